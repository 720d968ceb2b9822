"""Records as dicts: every fixed column, the time aware, the attributes as Python values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from logbatch.epoch import to_datetime
from logbatch.storage.columns import COLUMNS
from logbatch.storage.line import Line, salvage

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

_NAMES = tuple(COLUMNS)
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)

_decode_line = msgspec.json.Decoder(Line).decode
_decode_any = msgspec.json.Decoder().decode


def rows_of_table(table: pa.Table, names: Sequence[str] = _NAMES) -> Iterator[Row]:
    """Yield the rows of a table, with all fixed columns or with these of them."""
    columns = [_values(table.column(name), name) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: Any, name: str) -> list[Any]:
    if name == "timestamp":  # by hand: Arrow would look for a database of time zones
        return list(map(to_datetime, column.cast("int64").to_pylist()))
    values: list[Any] = column.to_pylist()
    return [_attributes(text) for text in values] if name == "attributes" else values


def rows_of_lines(lines: list[bytes], producer: str, first: int) -> Iterator[Row]:
    """Yield the rows of consecutive lines of a journal, one for each."""
    for sequence, text in enumerate(lines, first):
        try:
            line = _decode_line(text)
            moment = datetime.fromisoformat(line.timestamp)
        except _BAD:
            line = salvage(text, producer)
            moment = datetime.fromisoformat(line.timestamp)
        yield _row(line, moment, producer, sequence)


def _row(line: Line, moment: datetime, producer: str, sequence: int) -> Row:
    found = msgspec.structs.asdict(line)
    found["timestamp"] = moment.astimezone(UTC)
    found["attributes"] = _attributes(line.attributes)
    found["producer"], found["sequence"] = producer, sequence
    return {name: found[name] for name in _NAMES}


def _attributes(text: str | msgspec.Raw) -> Row:
    try:
        found = _decode_any(text)
    except _BAD:
        found = _decode_loosely(text if isinstance(text, str) else bytes(text))
    return found if isinstance(found, dict) else {}


def _decode_loosely(text: str | bytes) -> Any:
    """Read what another writer may have put there: numbers out of range, NaN, half surrogates."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def row_order(row: Row) -> tuple[datetime, str, int]:
    """Return what rows are ordered by: the time, then who wrote it, then which one it is."""
    return row["timestamp"], row["producer"], row["sequence"]
