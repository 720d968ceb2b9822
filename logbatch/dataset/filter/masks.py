"""The terms of a filter on an Arrow table, a column at a time.

What Arrow cannot compare exactly as `terms.py` does is compared value by value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.filter.terms import (
    COMPARISONS,
    Term,
    as_object,
    find,
    fold,
)
from logbatch.storage.arrays import make_array, make_scalar
from logbatch.storage.columns import LEVEL, NUMBER, TEXT, TIME

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

Mask = pa.BooleanArray
Column = Any
"""A `pyarrow.Array` or `ChunkedArray`."""

_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_TIME_TYPE = pa.timestamp("us", "UTC")
_TRUE, _FALSE = make_scalar(True, "bool"), make_scalar(False, "bool")
_INT32, _INT64 = range(-(1 << 31), 1 << 31), range(-(1 << 63), 1 << 63)


def mask(terms: Sequence[Term], table: pa.Table) -> Mask:
    """Return for each row whether all terms hold; slow terms check only the rows that are left."""
    result: Any = pa.repeat(_TRUE, table.num_rows)
    slow = []
    for term in terms:
        found = _by_column(term, table.column(term.column))
        if found is None:
            slow.append(term)
        else:
            hits = make_array([], "bool") if not len(found) else found.combine_chunks()
            result = pc.and_(result, pc.xor(hits, _TRUE if term.negated else _FALSE))
    if not slow:
        return cast("Mask", result)
    rows = pc.indices_nonzero(result)
    for term in slow:
        values = table.column(term.column).take(rows).combine_chunks()
        negated = _TRUE if term.negated else _FALSE
        rows = rows.filter(pc.xor(_one_by_one(term, values), negated))
    everything = make_array(range(table.num_rows), "int64").cast(pa.uint64())
    return cast("Mask", pc.is_in(everything, value_set=rows))


def expression(terms: Iterable[Term]) -> Any:
    """Return those terms that a Parquet scan can check, joined; None if there are none."""
    known = [found for term in terms if not term.negated and (found := _pushed(term)) is not None]
    return functools.reduce(lambda left, right: left & right, known) if known else None


def _pushed(term: Term) -> Any:
    field = pc.field(term.column)
    if term.kind == TIME:
        return COMPARISONS[term.operator](field, _time(term.operand))
    if term.kind == LEVEL:
        fits = term.operand in _INT32
        scalar = make_scalar(term.operand, "int32") if fits else None
        return COMPARISONS[term.operator](field, scalar) if fits else None
    if term.kind != TEXT or term.operator != "=" or term.operand.is_null:
        return None
    text = term.operand.text
    if term.column != "logger":
        return field == _text(text)
    below = (field >= _text(f"{text}.")) & (field < _text(f"{text}/"))  # "/" is the next after "."
    return (field == _text(text)) | below


def _by_column(term: Term, column: Column) -> Column:
    """Compare a whole column; None if Arrow cannot."""
    if term.kind == TIME:
        return _compare(term.operator, column, _time(term.operand))
    if term.kind == LEVEL:
        return _compare_number(term.operator, column, term.operand)
    if term.column in ("attributes", "timestamp"):
        return None
    if term.operator == "~":
        return _contains(column, term.operand.text)
    if term.kind == NUMBER and term.operand.is_null:
        return pc.is_null(column) if term.operator == "=" else pc.is_valid(column)
    if term.kind == NUMBER:
        return _compare_number(term.operator, column, term.operand.number)
    return _compare_text(term, column)


def _compare(operator: str, column: Column, limit: Any) -> Column:
    return pc.fill_null(_COMPARE[operator](_as(limit.type, column), limit), _FALSE)


def _compare_number(operator: str, column: Column, number: int | float | None) -> Column:
    if not isinstance(number, int) or number not in _INT64:
        return None
    return _compare(operator, column, make_scalar(int(number), "int64"))


def _compare_text(term: Term, column: Column) -> Column:
    texts = _as(pa.string(), column)
    found = pc.equal(texts, _text(term.operand.text))
    if term.column == "logger":
        found = pc.or_(found, pc.starts_with(texts, f"{term.operand.text}."))
    if term.operator == "=":
        return pc.fill_null(found, _TRUE if term.operand.is_null else _FALSE)
    return pc.fill_null(pc.invert(found), _FALSE)


def _contains(column: Column, text: str) -> Column:
    if not text.isascii():
        return None  # Arrow and Python may have different versions of Unicode
    texts = pc.utf8_lower(_as(pa.string(), column))
    return pc.fill_null(pc.match_substring(texts, fold(text)), _FALSE)


def _bools(hits: Sequence[bool]) -> Mask:
    return cast("Mask", make_array(hits, "bool"))


def _text(text: str) -> Any:
    return make_scalar(text, "string")


def _time(microseconds: int) -> Any:
    return make_scalar(microseconds, "int64").cast(_TIME_TYPE)


def _as(kind: Any, column: Column) -> Column:
    return column if column.type == kind else column.cast(kind)


def _one_by_one(term: Term, column: Column) -> Mask:
    test = term.test()
    if term.column == "timestamp":  # as numbers: Arrow would need a time zone database
        column = _as(_TIME_TYPE, column).cast(pa.int64())
    if term.path is None:
        return _bools([test(term.read_cell(value)) for value in column.to_pylist()])
    hits = [test(None)] * len(column)
    rows = pc.indices_nonzero(_may_hold(column, term.path))
    probe = _probe(term.path)
    for row, text in zip(rows.to_pylist(), column.take(rows).to_pylist(), strict=True):
        hits[row] = test(find(probe(text), term.path))
    return _bools(hits)


def _may_hold(column: Column, path: str) -> Column:
    """Return which texts may hold the key; a backslash may hide it."""
    head = path.partition(".")[0]
    start = f'"{head}"' if head == path else f'"{head}'
    escaped = pc.match_substring(column, "\\")
    return pc.fill_null(pc.or_(escaped, pc.match_substring(column, start)), _FALSE)


def _probe(path: str) -> Callable[[str], Mapping[str, Any]]:
    """Make a decoder of only those keys of a JSON text that a path may begin with."""
    keys = [path[: match.start()] for match in re.finditer(r"\.|$", path)]
    if re.search(r'[\\"\x00-\x1f]', path):
        return as_object  # msgspec renames no field to that
    fields = [(f"key{index}", Any, msgspec.UNSET) for index in range(len(keys))]
    names = {f"key{index}": key for index, key in enumerate(keys)}
    decode = msgspec.json.Decoder(msgspec.defstruct("Probe", fields, rename=names)).decode

    def probe(text: str) -> Mapping[str, Any]:
        try:
            values = msgspec.structs.astuple(decode(text))
        except (msgspec.DecodeError, RecursionError):
            return {}
        found = zip(keys, values, strict=True)
        return {key: value for key, value in found if value is not msgspec.UNSET}

    return probe
