"""Records as dicts: every fixed column, the time aware, the attributes as Python values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from logbatch.epoch import to_datetime
from logbatch.storage.columns import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

_NAMES = tuple(COLUMNS)
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)

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


def _attributes(text: str) -> Row:
    try:
        found = _decode_any(text)
    except _BAD:
        found = _decode_loosely(text)
    return found if isinstance(found, dict) else {}


def _decode_loosely(text: str) -> Any:
    """Read what another writer may have put there: numbers out of range, NaN, half surrogates."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def row_order(row: Row) -> tuple[datetime, str, int]:
    """Return what rows are ordered by: the time, then who wrote it, then which one it is."""
    return row["timestamp"], row["producer"], row["sequence"]
