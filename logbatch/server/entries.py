"""The entries of a request: found in its body, checked, and made lines.

What our own clients send are lines already; they are checked and stored byte for byte.  Only where
one of them is something else is each looked at closely.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from logbatch.server.json_size import is_deeper
from logbatch.server.limits import Limits, Refusal
from logbatch.server.normalise import DEFAULT_LEVEL, Level, Made, Rejected, normalise
from logbatch.server.unique_keys import SMALL, keep_last_keys
from logbatch.storage.columns import COLUMNS, FIELDS, JSON_TYPES
from logbatch.storage.line import format_time

_T = TypeVar("_T")

_STEP = 1 << 16  # bytes of a body that are made a text at a time
_SPACES = bytes.maketrans(b"\n\r", b"  ")
_WHITE = b" \t\r\n"


class Checked(NamedTuple):
    """Entries that were looked at.

    Attributes:
        lines: The line of each, without its newline; None where it was refused.
        rejected: Index of each that was refused -> the reason.
        undated: Indexes of those that did not say when they happened.
    """

    lines: Sequence[bytes | None]
    rejected: dict[int, str]
    undated: frozenset[int] = frozenset()


class _Object(msgspec.Struct, gc=False):
    """Any JSON object; nothing of it is kept."""


class _Envelope(msgspec.Struct, gc=False):
    """`{"logs": […]}`, as syslog-ng and our own clients send it."""

    logs: list[msgspec.Raw]


def _strict_field(name: str) -> tuple[Any, ...]:
    column = COLUMNS[name]
    kind = JSON_TYPES[column.type]
    return (name, kind) if column.required else (name, kind | None, None)


def _make_own(attributes: Any) -> msgspec.json.Decoder[Any]:
    """Make a decoder of a line that needs no work: of `logbatch.storage.line.Line`, strictly."""
    fields = [*map(_strict_field, FIELDS[:-1]), ("attributes", attributes | None, None)]
    kind = msgspec.defstruct(
        "_Own", fields, gc=False, forbid_unknown_fields=True, omit_defaults=True
    )
    return msgspec.json.Decoder(kind)


_check_own = _make_own(_Object).decode
_build_own = _make_own(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode
_UNDECODABLE = (msgspec.MsgspecError, ValueError)

# ------------------------------------------------------------------ finding them


def find_in_json(body: bytes, limits: Limits) -> list[bytes]:
    """Find the entries of `{"logs": […]}` or of a bare array.

    Raises:
        Refusal: It is neither (400), or there are too many (413).
    """
    if body.lstrip(_WHITE)[:1] == b"[":
        raws = _parse(_decode_array, body)
    else:
        raws = _parse(_decode_envelope, body).logs
    if len(raws) > limits.max_records:
        raise _too_many(limits)
    if b"\n" in body or b"\r" in body:
        return [_in_one_line(bytes(raw)) for raw in raws]
    return list(map(bytes, raws))


def find_in_lines(body: bytes, limits: Limits) -> list[bytes]:
    """Find the entries of NDJSON; blank lines do not count.

    Raises:
        Refusal: There are too many (413), or it is not UTF-8 (400).
    """
    if body.count(b"\n") > 2 * limits.max_records:
        raise _too_many(limits)
    check_text(body)
    found = [_in_one_line(line) for line in body.split(b"\n") if line.strip(_WHITE)]
    if len(found) > limits.max_records:
        raise _too_many(limits)
    return found


def find_one(body: bytes) -> list[bytes]:
    """Find the one entry of a body.

    Raises:
        Refusal: It is not one JSON value (400).
    """
    return [_in_one_line(bytes(_parse(_decode_any, body)))]


def _parse(decode: Callable[[bytes], _T], body: bytes) -> _T:
    check_text(body)
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise Refusal(400, 'the body is neither {"logs": [...]} nor an array') from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except _UNDECODABLE:
        raise Refusal(400, "the body is not JSON") from None


def check_text(body: bytes) -> None:
    """Check what parsers pass over in strings that they do not build.

    Raises:
        Refusal: It is not UTF-8 (400).
    """
    if body.isascii():
        return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for at in range(0, len(body), _STEP):  # whole, the text could take four times its bytes
            decode(body[at : at + _STEP], at + _STEP >= len(body))
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not UTF-8") from None


def _in_one_line(entry: bytes) -> bytes:
    """Replace line ends: a parser that passed this entry takes none within a string."""
    if b"\n" in entry or b"\r" in entry:
        entry = entry.translate(_SPACES)
    return entry.strip(_WHITE)


def _too_many(limits: Limits) -> Refusal:
    return Refusal(413, f"a request may hold {limits.max_records} entries")


# ------------------------------------------------------------------ checking them


def check(
    entries: list[bytes],
    limits: Limits,
    now: float,
    default: Level = DEFAULT_LEVEL,
    first: int = 0,
) -> Checked:
    """Make lines of entries.

    Args:
        entries: JSON, each without a line end.
        limits: Which depth is allowed.
        now: When they were received, in seconds since 1970.
        default: The level of those that have none.
        first: Index that the first of them has in its request.

    Raises:
        Refusal: One is nested too deeply (400); its index is told.
    """
    for index in (first + each for each in _find_deep(entries, limits.max_depth)):
        raise Refusal(
            400,
            f"entry {index} is nested deeper than {limits.max_depth} levels",
            more={"index": index},
        )
    if all(map(_is_own, entries)):
        return Checked(entries, {})
    received = format_time(datetime.fromtimestamp(now, UTC))
    return _check_singly(entries, received, default, first)


def _find_deep(entries: Iterable[bytes], most: int) -> Iterable[int]:
    for index, entry in enumerate(entries):
        if entry.count(b"{") + entry.count(b"[") > most and is_deeper(entry, most):
            yield index


def _is_own(entry: bytes) -> bool:
    """Return whether an entry is a line just as our clients encode it, so with no key twice."""
    try:
        return len(entry) <= SMALL and _encode(_build_own(entry)) == entry
    except (RecursionError, OverflowError, *_UNDECODABLE):
        return False


def _check_singly(entries: list[bytes], received: str, default: Level, first: int) -> Checked:
    lines: list[bytes | None] = []
    rejected: dict[int, str] = {}
    undated: set[int] = set()
    for index, entry in enumerate(entries, first):
        line, dated = None, True
        try:
            line, dated = _make_line(entry, received, default)
        except Rejected as error:
            rejected[index] = str(error)
        if not dated:
            undated.add(index)
        lines.append(line)
    return Checked(lines, rejected, frozenset(undated))


def _make_line(entry: bytes, received: str, default: Level) -> Made:
    """Keep a line of ours, or make one of what another program sends.

    Raises:
        Rejected: It cannot be stored.
    """
    try:
        _check_own(entry)
        made = Made(entry, dated=True)
    except (RecursionError, *_UNDECODABLE):
        made = normalise(entry, received, default)
    return Made(keep_last_keys(made.line), made.dated)
