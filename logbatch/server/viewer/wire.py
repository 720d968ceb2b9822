"""Rows as the page gets them: a list for each column, in JSON.

A browser's numbers are exact up to 2**53, so whatever is larger is sent as a text; JSON knows no
NaN, and UTF-8 no half of a pair of surrogates.  Long texts are cut: a window of ten thousand rows
must not be as large as what is in them; the whole record is asked for by itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from logbatch.dataset.answers import unique, values_of
from logbatch.dataset.filter.comparisons import find
from logbatch.dataset.rows import Row
from logbatch.epoch import to_microseconds
from logbatch.server.viewer.messages import ALWAYS
from logbatch.storage.columns import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_LONG = 1_000  # characters of a text in a row
_SHORT = 40  # to which they are cut at least
_MOST = 4 << 20  # bytes of the rows in one message, about
_EXACT = 1 << 53
_DEPTH = 50  # objects inside one another

_encode = msgspec.json.Encoder().encode


def encode(message: object) -> bytes:
    """Encode a message, whatever texts are in it."""
    try:
        return _encode(message)
    except UnicodeEncodeError:
        return _encode(plain(msgspec.to_builtins(message)))


def columnar(rows: Sequence[Row], names: Sequence[str]) -> msgspec.Raw:
    """Encode rows, with those columns that each row has; names are of columns or attributes."""
    wanted = list(dict.fromkeys((*ALWAYS, *names)))
    found = _encode_rows(rows, wanted, _LONG)
    if len(found) > _MOST:
        found = _encode_rows(rows, wanted, max(_SHORT, _LONG * _MOST // len(found) // 2))
    return msgspec.Raw(found)


def columns_for(names: Sequence[str]) -> list[str]:
    """Return the fixed columns that `columnar` reads."""
    fixed = (name if name in COLUMNS else "attributes" for name in names)
    return list(dict.fromkeys((*ALWAYS, *fixed)))


def _encode_rows(rows: Sequence[Row], names: Sequence[str], longest: int) -> bytes:
    columns = {name: list(map(_reader(name, longest), rows)) for name in names}
    return encode(columns)


def _reader(name: str, longest: int) -> Callable[[Row], Any]:
    """Return what reads a column, or an attribute, of a row."""
    if name == "timestamp":
        return lambda row: to_microseconds(row["timestamp"])
    if name == "attributes":
        return lambda row: _cut(as_json(row["attributes"]), longest)
    if name in COLUMNS:
        kind = COLUMNS[name].type
        if kind == "int64" and name != "sequence":
            return lambda row: _exact(row[name])
        return lambda row: _cut(row[name], longest)
    path = name.removeprefix("attributes.")
    return lambda row: _short(find(row["attributes"], path), longest)


def _short(value: Any, longest: int) -> Any:
    """Return a value of an attribute as it stands in a row: nested ones as JSON."""
    if isinstance(value, dict | list):
        return _cut(as_json(value), longest)
    return _cut(plain(value), longest)


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return f"{value[: longest - 1]}…"
    return value


def _exact(value: Any) -> Any:
    return str(value) if isinstance(value, int) and abs(value) > _EXACT else value


def as_json(value: Any) -> str:
    """Return a value as JSON."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, OverflowError, ValueError):
        return json.dumps(plain(value), separators=(",", ":"))


def full(row: Row) -> dict[str, Any]:
    """Return a whole record, with its attributes as an object."""
    found = {name: plain(value) for name, value in row.items() if name != "timestamp"}
    return {"timestamp": to_microseconds(row["timestamp"]), **found}


def answer(table: pa.Table, most: int) -> dict[str, Any]:
    """Return the first rows of an answer to SQL, a list for each column; `more` tells of others."""
    shown = table.slice(0, most)
    return {
        "columns": unique(table.column_names),
        "types": [str(kind) for kind in table.schema.types],
        "values": [plain(values_of(column), depth=_DEPTH + 1) for column in shown.columns],
        "count": len(shown),
        "more": len(table) > most,
    }


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """Return a value that every browser reads as it is meant."""
    match value:
        case bool() | None:
            return value
        case int():
            return _exact(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _whole(value)
        case Mapping() if depth:
            return {_whole(str(key)): plain(each, depth - 1) for key, each in value.items()}
        case list() | tuple() if depth:
            return [plain(each, depth - 1) for each in value]
        case datetime():
            return to_time(value)
        case msgspec.Raw() | bytes():
            return bytes(value).decode("utf-8", "replace")
    return _whole(str(value))


def to_time(moment: datetime) -> str:
    """Return a time in ISO 8601, in UTC where it is aware."""
    if moment.tzinfo is None:
        return moment.isoformat(" ")
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _whole(text: str) -> str:
    """Show halves of pairs of surrogates, which no encoding has, escaped."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()
