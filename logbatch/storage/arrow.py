"""Arrow tables of lines.

Every table has the fixed columns, in the same order and of the same types, so that no engine can
fail on a union of files.  The attributes named by `columns=` follow, each of a type that the user
chose: types are never guessed from data.  A table has a row for every line, whatever is in it.

The types of promoted columns, and what fits them; any other value is null there and stays whole in
`attributes`:

    int64       an integer from -2**63 to 2**63 - 1; neither 5.0 nor "5" nor true
    float64     a number, integers included; "NaN", "Infinity" and "-Infinity" as the encoder
                writes them.  An integer over 2**53 is rounded
    bool        true or false
    string      a string
    timestamp   a string in ISO 8601 with "Z" or an offset; stored in UTC with microseconds
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from logbatch import epoch
from logbatch.storage.arrays import arrow_type, join_texts, make_array, make_scalar
from logbatch.storage.columns import COLUMNS, FIELDS, JSON_TYPES
from logbatch.storage.line import decode_lines, salvage

if TYPE_CHECKING:
    import pyarrow as pa

PROMOTED_TYPES: Mapping[str, Any] = {
    name: JSON_TYPES[name] for name in ("int64", "float64", "bool", "string", "timestamp")
}
"""The types that a promoted column can have, and what a value is decoded as."""

_PLAIN_NAME = re.compile(r'[^"\\\x00-\x1f\x7f\ud800-\udfff]+')
_NOT_FINITE = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}
_BLOCK = 3000  # rows from which a block of arrays is made
_BLOCK_BYTES = 4 << 20  # bytes of lines that are enough for a block, however few rows they are
_SHARED = 4096  # rows of the arrays of one repeated value, which blocks share
_CHUNK = 64 << 10  # bytes of lines that are decoded at once
_ODD_BLOCK = 1 << 20  # bytes of lines that are salvaged if one of them does not fit


def check_columns(columns: Any) -> dict[str, str]:
    """Return promoted columns that are valid.

    Args:
        columns: Attribute names and types; None for none.

    Raises:
        ValueError: A name is in use or cannot be used, or a type is unknown.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise ValueError(f"columns={columns!r} must map attribute names to types")
    # Item by item, so that logging.config's dicts resolve "cfg://".
    promoted: dict[Any, Any] = {name: columns[name] for name in columns}
    taken = {**dict.fromkeys(COLUMNS, "a fixed column"), "date": "the name of the day's folder"}
    for name, kind in promoted.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"columns: {name!r} must be the name of an attribute")
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(
                f"columns: {name!r} cannot be promoted: a column's name holds no quotation mark,"
                " no backslash, no control character and no surrogate"
            )
        if reason := taken.get(name.lower()):  # SQL ignores case
            raise ValueError(f"columns: {name!r} cannot be promoted, it is {reason} already")
        taken[name.lower()] = "a promoted column"
        if not isinstance(kind, str) or kind not in PROMOTED_TYPES:
            raise ValueError(f"columns: {name}={kind!r} {_type_rule(kind)}")
    return promoted


def _type_rule(kind: object) -> str:
    close = difflib.get_close_matches(str(kind).lower(), PROMOTED_TYPES, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"must be one of {', '.join(PROMOTED_TYPES)}{hint}"


def columns(extra: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of the columns of a table, in order.

    Args:
        extra: Promoted columns and their types.
    """
    return (*COLUMNS, *(extra or {}))


def schema(extra: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the schema of a table.

    Args:
        extra: Promoted columns and their types.
    """
    import pyarrow as pa

    fixed = [
        pa.field(name, arrow_type(column.type), nullable=not column.required)
        for name, column in COLUMNS.items()
    ]
    promoted = [pa.field(name, arrow_type(kind)) for name, kind in (extra or {}).items()]
    return pa.schema([*fixed, *promoted])


def table_from_lines(
    lines: bytes,
    producer: str,
    first: int,
    columns: Mapping[str, str] | None = None,
    *,
    count: int | None = None,
    pause: Callable[[], object] = lambda: None,
) -> pa.Table:
    """Make a table of lines: one row for each, whatever is in it.

    Args:
        lines: Lines of JSON, each ended by a newline.
        producer: Who wrote them.
        first: Sequence of the first one.
        columns: Promoted columns and their types.
        count: How many lines there are; None counts them, which takes a while.
        pause: Called about every 0.1 ms, so that the caller can let other threads run.
    """
    import pyarrow as pa

    promoted = columns or {}
    count = lines.count(b"\n") if count is None else count
    for odd in (False, True):
        at, blocks = first, []
        for arrays in _make_blocks(lines, producer, promoted, pause, odd):
            rows = len(arrays["level"])
            arrays["producer"] = _make_constant(producer, "string", rows)
            arrays["sequence"] = _make_sequence(at, rows)
            ordered = [arrays[name] for name in (*COLUMNS, *promoted)]
            blocks.append(pa.RecordBatch.from_arrays(ordered, schema=schema(promoted)))
            at += rows
        if at == first + count:  # not so if a line holds no JSON value, or two
            break
    return pa.Table.from_batches(blocks, schema(promoted))


def _make_blocks(
    lines: bytes, producer: str, promoted: Mapping[str, str], pause: Callable[[], object], odd: bool
) -> Iterator[dict[str, pa.Array[Any]]]:
    """Make the arrays of some thousand rows at a time, whose cells fit into the CPU's cache."""
    at = 0
    while at < len(lines):
        try:
            cells, end = ([], at) if odd else _decode_block(lines, at, pause)
            if not cells:
                raise ValueError
            arrays = _make_arrays(cells, promoted, pause)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            end = _find_end(lines, at + _ODD_BLOCK)
            rows = [salvage(line, producer) for line in _split(lines[at:end])]
            arrays = _make_arrays(list(_flatten(rows)), promoted, pause)
        yield arrays
        at = end


def _decode_block(lines: bytes, at: int, pause: Callable[[], object]) -> tuple[list[Any], int]:
    """Decode lines from an offset on; return their cells row by row, and where they end."""
    cells: list[Any] = []
    stop = min(len(lines), at + _BLOCK_BYTES)
    while at < stop and len(cells) < _BLOCK * len(FIELDS):
        end = _find_end(lines, at + _CHUNK)
        cells.extend(_flatten(decode_lines(lines[at:end])))
        at = end
        pause()
    return cells, at


def _flatten(rows: Iterable[Any]) -> Iterator[Any]:
    return chain.from_iterable(map(msgspec.structs.astuple, rows))


def _find_end(lines: bytes, at: int) -> int:
    """Return the end of the line that holds this offset."""
    return lines.find(b"\n", at) + 1 or len(lines)


def _split(lines: bytes) -> list[bytes]:
    split = lines.split(b"\n")
    return split if split[-1] else split[:-1]


# ------------------------------------------------------------------ arrays


def _make_arrays(
    cells: list[Any], promoted: Mapping[str, str], pause: Callable[[], object]
) -> dict[str, pa.Array[Any]]:
    arrays: dict[str, pa.Array[Any]] = {}
    for index, name in enumerate(FIELDS):
        values = cells[index :: len(FIELDS)]
        if name == "attributes":
            arrays[name] = _make_json(values)
            if promoted:
                arrays |= _promote(values, promoted)
        elif name == "timestamp":
            arrays[name] = _make_moments(values)
        else:
            arrays[name] = _make_array(values, COLUMNS[name].type)
        pause()
    return arrays


def _make_array(values: list[Any], kind: str) -> pa.Array[Any]:
    """Make an array; many columns have the same value in every row."""
    head = values[0]
    if head == values[-1] and values.count(head) == len(values):
        return _make_constant(head, kind, len(values))
    return make_array(values, kind)


def _make_constant(value: object, kind: str, rows: int) -> pa.Array[Any]:
    if rows > _SHARED or (isinstance(value, str) and len(value) > 128):
        return make_array([value] * rows, kind)
    return _share(value, kind).slice(0, rows)


@functools.lru_cache(maxsize=64)
def _share(value: object, kind: str) -> pa.Array[Any]:
    return make_array([value] * _SHARED, kind)


def _make_moments(values: list[str]) -> pa.Array[Any]:
    import pyarrow.compute as pc

    moments = make_array(values, "string").cast(arrow_type("timestamp"))
    limits: Any = pc.min_max(moments)
    if limits["min"].value < epoch.FIRST or limits["max"].value > epoch.LAST:
        raise ValueError("Python has no such year")
    return moments


def _make_json(values: list[msgspec.Raw]) -> pa.Array[Any]:
    """Make a column of JSON text without a Python object for each row."""
    import pyarrow as pa

    joined = b"".join(values)
    if not joined.isascii():
        joined.decode()  # raises where it is not UTF-8, which would spoil the file
    buffers = join_texts(map(len, values), joined)
    return pa.Array.from_buffers(arrow_type("string"), len(values), [None, *buffers])


def _make_sequence(first: int, rows: int) -> pa.Array[Any]:
    import pyarrow.compute as pc

    if rows > _SHARED:
        return make_array(range(first, first + rows), "int64")
    numbers: pa.Array[Any] = pc.add(_share_numbers().slice(0, rows), make_scalar(first, "int64"))
    return numbers


@functools.cache
def _share_numbers() -> pa.Array[Any]:
    return make_array(range(_SHARED), "int64")


# ------------------------------------------------------------------ promoted columns


def promote(attributes: pa.Array[Any], promoted: Mapping[str, str]) -> dict[str, pa.Array[Any]]:
    """Make the typed columns of records that are in a table already.

    Args:
        attributes: Their attributes, JSON text.
        promoted: The columns and their types.
    """
    import pyarrow as pa

    if not promoted:
        return {}
    blocks = [{name: make_array([], kind) for name, kind in promoted.items()}]
    for at in range(0, len(attributes), _BLOCK):
        texts = attributes.slice(at, _BLOCK).to_pylist()
        blocks.append(_promote([msgspec.Raw((text or "").encode()) for text in texts], promoted))
    return {name: pa.concat_arrays([block[name] for block in blocks]) for name in promoted}


def _promote(
    attributes: list[msgspec.Raw], promoted: Mapping[str, str]
) -> dict[str, pa.Array[Any]]:
    """Make the typed columns; if a value does not fit its type, convert them one by one."""
    strict, loose = _make_decoders(tuple(promoted.items()))
    try:
        rows = strict.decode_lines(b"\n".join(attributes))
        if len(rows) != len(attributes):  # others may have written one over several lines
            raise ValueError
        return _make_promoted(list(_flatten(rows)), promoted)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        kinds = list(promoted.values())
        cells = [cell for each in attributes for cell in _fit(each, loose, kinds)]
        return _make_promoted(cells, promoted)


def _make_promoted(cells: list[Any], promoted: Mapping[str, str]) -> dict[str, pa.Array[Any]]:
    return {
        name: make_array(cells[index :: len(promoted)], kind)
        for index, (name, kind) in enumerate(promoted.items())
    }


@functools.lru_cache(maxsize=16)
def _make_decoders(
    promoted: tuple[tuple[str, str], ...],
) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """Make a decoder of attributes to typed values, and one that leaves each value raw."""
    typed: list[Any] = []
    untyped: list[Any] = []
    for index, (name, kind) in enumerate(promoted):
        null = msgspec.field(default=None, name=name)
        typed.append((f"c{index}", PROMOTED_TYPES[kind] | None, null))
        null = msgspec.field(default=msgspec.Raw(b"null"), name=name)
        untyped.append((f"c{index}", msgspec.Raw, null))
    return (
        msgspec.json.Decoder(msgspec.defstruct("Typed", typed, gc=False)),
        msgspec.json.Decoder(msgspec.defstruct("Untyped", untyped, gc=False)),
    )


def _fit(
    attributes: msgspec.Raw, decoder: msgspec.json.Decoder[Any], kinds: Sequence[str]
) -> list[Any]:
    """Return the value of each promoted column, None if it does not fit."""
    try:
        values = msgspec.structs.astuple(decoder.decode(attributes))
    except (msgspec.MsgspecError, ValueError):
        return [None] * len(kinds)
    return [_fit_one(value, kind) for value, kind in zip(values, kinds, strict=True)]


def _fit_one(value: msgspec.Raw, kind: str) -> Any:
    try:
        return msgspec.json.decode(value, type=PROMOTED_TYPES[kind] | None)
    except (msgspec.MsgspecError, ValueError):
        return _NOT_FINITE.get(bytes(value)) if kind == "float64" else None
