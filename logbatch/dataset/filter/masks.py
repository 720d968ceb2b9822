"""A filter on an Arrow table, a column at a time.

What Arrow cannot compare exactly as `comparisons` does is compared value by value, and only in the
rows of which the rest of the filter does not tell already whether they match.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.filter.comparisons import (
    CONTAINS,
    EQUALITIES,
    HAS,
    MATCHES,
    as_object,
    as_text,
    find,
    fold,
)
from logbatch.dataset.filter.patterns import search
from logbatch.dataset.filter.tree import And, Node, Not, Term, terms_of
from logbatch.storage.arrays import arrow_type, find_true, make_array, make_scalar
from logbatch.storage.columns import LEVEL, NUMBER, TEXT, TIME

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

Mask = pa.BooleanArray
Column = Any
"""A `pyarrow.Array` or `ChunkedArray`."""

_COMPARE = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_TIME_TYPE = pa.timestamp("us", "UTC")
_TRUE, _FALSE = make_scalar(True, "bool"), make_scalar(False, "bool")
_INT64 = range(-(1 << 63), 1 << 63)


def mask(node: Node, table: pa.Table) -> Mask:
    """Return for each row whether it matches."""
    if isinstance(node, Term):
        column = table.column(node.column)
        return _by_column(node, column) if _is_quick(node) else _one_by_one(node, column)
    if isinstance(node, Not):
        return cast("Mask", pc.invert(mask(node.child, table)))
    if isinstance(node, And):
        return _all(node.children, table)
    outside = _all([Not(child) for child in node.children], table)
    return cast("Mask", pc.invert(outside))


def _all(nodes: Sequence[Node], table: pa.Table) -> Mask:
    """Return for each row whether all nodes hold; slow ones see only the rows that are left."""
    result: Any = pa.repeat(_TRUE, table.num_rows)
    slow = []
    for node in nodes:
        if all(map(_is_quick, terms_of(node))):
            result = pc.and_(result, mask(node, table))
        else:
            slow.append(node)
    if not slow:
        return cast("Mask", result)
    rows = find_true(result)
    for node in slow:
        names = list({term.column for term in terms_of(node)})
        rows = rows.filter(mask(node, table.select(names).take(rows)))
    everything = make_array(range(table.num_rows), "int64").cast(pa.uint64())
    return cast("Mask", pc.is_in(everything, value_set=rows))


def _is_quick(term: Term) -> bool:
    """Return whether Arrow can compare a whole column as `comparisons` does."""
    if term.column == "attributes" or (term.column == "timestamp" and term.kind != TIME):
        return False
    if term.operator == CONTAINS:
        # Arrow and Python may have different versions of Unicode.
        return bool(term.operand.text.isascii())
    if term.kind in (NUMBER, LEVEL) and term.operator not in (HAS, MATCHES):
        numbers = [_number(term, operand) for operand in term.operands]
        return all(isinstance(number, int) and number in _INT64 for number in numbers)
    return True


def _number(term: Term, operand: Any) -> int | float | None:
    """Return the number of an operand; any will do for null, which is none."""
    if term.kind == LEVEL:
        return int(operand)
    return 0 if operand.is_null else operand.number


def _by_column(term: Term, column: Column) -> Mask:
    found = _compare(term, column)
    return cast("Mask", _whole(found) if len(found) else make_array([], "bool"))


def _whole(column: Column) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _compare(term: Term, column: Column) -> Column:
    if term.operator == HAS:
        return pc.is_valid(column)
    if term.operator == CONTAINS:
        texts = pc.utf8_lower(_as(pa.string(), column))
        return pc.fill_null(pc.match_substring(texts, fold(term.operand.text)), _FALSE)
    if term.operator == MATCHES:
        texts = _as(pa.string(), column)
        return pc.fill_null(pc.match_substring_regex(texts, term.operand), _FALSE)
    if term.operator not in EQUALITIES:
        limit = _scalar(term, term.operand)
        return pc.fill_null(_COMPARE[term.operator](_as(limit.type, column), limit), _FALSE)
    equal = _equals_any(term, column)
    return equal if term.operator == "=" else pc.and_not(pc.is_valid(column), equal)


def _equals_any(term: Term, column: Column) -> Column:
    """Compare a column with each value, as `=` does."""
    alike = term.kind in (NUMBER, TEXT) and term.column != "logger"
    if len(term.operands) == 1 or not alike:
        each = [_equals(term, operand, column) for operand in term.operands]
        return functools.reduce(pc.or_, each)
    numbers = term.kind == NUMBER
    kept = [operand for operand in term.operands if not (numbers and operand.is_null)]
    values = [_number(term, operand) if numbers else operand.text for operand in kept]
    known = make_array(values, kind := "int64" if numbers else "string")
    found = pc.is_in(_as(arrow_type(kind), column), value_set=known)
    has_null = any(operand.is_null for operand in term.operands)
    return pc.or_(found, pc.is_null(column)) if has_null else found


def _equals(term: Term, operand: Any, column: Column) -> Column:
    """Compare a column with one value, as `=` does."""
    is_null = term.kind in (NUMBER, TEXT) and operand.is_null
    if is_null and term.kind == NUMBER:
        return pc.is_null(column)
    scalar = _scalar(term, operand)
    values = _as(scalar.type, column)
    found = pc.equal(values, scalar)
    if term.column == "logger":
        found = pc.or_(found, pc.starts_with(values, f"{operand.text}."))
    return pc.fill_null(found, _TRUE if is_null else _FALSE)


def _scalar(term: Term, operand: Any) -> Any:
    if term.kind == TIME:
        return _time(operand)
    if term.kind == TEXT:
        return _text(operand.text)
    return make_scalar(_number(term, operand), "int64")


def _text(text: str) -> Any:
    return make_scalar(text, "string")


def _time(microseconds: int) -> Any:
    return make_scalar(microseconds, "int64").cast(_TIME_TYPE)


def _as(kind: Any, column: Column) -> Column:
    return column if column.type == kind else column.cast(kind)


def _one_by_one(term: Term, column: Column) -> Mask:
    values = _read(term, _whole(column))
    if term.operator == MATCHES:
        texts = [as_text(value) for value in values if value is not None]
        found = iter(search(term.operand, texts))
        hits = [value is not None and next(found) for value in values]
    else:
        test = term.test()
        hits = [test(value) for value in values]
    return cast("Mask", make_array(hits, "bool"))


def _read(term: Term, column: Column) -> list[Any]:
    """Return the value that is compared in each row."""
    if term.column == "timestamp":  # as numbers: Arrow would need a time zone database
        column = _as(_TIME_TYPE, column).cast(pa.int64())
    if term.path is None:
        return [term.read_cell(value) for value in column.to_pylist()]
    values: list[Any] = [None] * len(column)
    rows = find_true(may_hold(column, term.path))
    probe = _probe(term.path)
    for row, text in zip(rows.to_pylist(), column.take(rows).to_pylist(), strict=True):
        values[row] = find(probe(text), term.path)
    return values


def may_hold(column: Column, path: str) -> Column:
    """Return which texts of attributes may hold a key; a backslash may hide it."""
    head, tail = path.partition(".")[0], path.rpartition(".")[2]
    found = pc.match_substring(column, f'"{path}"' if head == path else f'"{head}')
    if head != path:
        found = pc.and_(found, pc.match_substring(column, f'{tail}"'))
    escaped = pc.match_substring(column, "\\")
    return pc.fill_null(pc.or_(escaped, found), _FALSE)


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
