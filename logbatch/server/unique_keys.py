"""Lines in which each object has each of its keys once.

JSON's grammar allows a key twice, and most parsers let the last one win; but DuckDB and others
refuse the whole file.  Here, too, the last one wins, and is all that is stored.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from logbatch.server.normalise import Rejected

_SMALL = 128 << 10  # bytes of a line that is built as a whole, which takes up to 40 times as many
_KEYS = 200_000  # in one object or array of a longer line, counted from above

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Repeated(Exception):
    """An object has a key twice."""


def is_as_we_write(line: bytes) -> bool:
    """Return whether a line is, byte for byte, as our own clients encode it; quickly.

    Such a line has no key twice, as what is built of it has not.
    """
    if len(line) > _SMALL:
        return False
    try:
        return _encode(_decode_any(line)) == line
    except (msgspec.MsgspecError, ValueError, OverflowError):  # numbers that Python has not
        return False


def keep_last_keys(line: bytes) -> bytes:
    """Return a line without the keys that stand in it again later.

    Args:
        line: A JSON object that the parser takes, nested no deeper than it goes.

    Raises:
        Rejected: It is long, and has too many keys.
    """
    if is_as_we_write(line) or (len(line) <= _SMALL and not _has_repeats(line)):
        return line
    return bytes(_keep_last(msgspec.Raw(line)))


def _has_repeats(line: bytes) -> bool:
    try:
        json.loads(line, object_pairs_hook=_check, parse_float=str, parse_int=str)
    except _Repeated:
        return True
    return False


def _check(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _Repeated


def _keep_last(raw: msgspec.Raw) -> msgspec.Raw:
    """Do so level by level; what holds no object stays as it is, and is not built."""
    text = bytes(raw)
    if b"{" not in text or text.startswith(b'"'):
        return raw
    if text.startswith(b"{"):
        _check_count(text.count(b":"))
        fields = _decode_object(text)
        return msgspec.Raw(_encode({key: _keep_last(value) for key, value in fields.items()}))
    _check_count(text.count(b","))
    return msgspec.Raw(_encode([_keep_last(value) for value in _decode_array(text)]))


def _check_count(count: int) -> None:
    if count > _KEYS:
        raise Rejected("it is too long for so many keys")
