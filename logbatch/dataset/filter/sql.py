"""A filter as a condition in DuckDB's SQL.

SQL's logic has three values, and NULL is used for "unsure": a row of which the engine cannot tell
for certain what `comparisons` says of it, which is then asked (`Filter.mask`).  Engine and Python
differ on floats in JSON, on objects and lists, on integers beyond 2**53, and on letters that
younger versions of Unicode have; what an ordinary log holds is decided by the engine.

An attribute is its text in the JSON, as `->>` gives it: an absent key and `null` are NULL.  It is
extracted once, and only where the text of the key stands in the JSON at all; TRY makes NULL of what
is no JSON, as `comparisons.as_object` makes nothing of it.  Where there is a typed column of an
attribute, which is null for values of other types, only its nulls are looked for in the JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from logbatch.dataset.filter.comparisons import CONTAINS, HAS, MATCHES, Operand, fold
from logbatch.dataset.filter.tree import And, Node, Not, Or, Term
from logbatch.epoch import to_text
from logbatch.storage.columns import LEVEL, NUMBER, TEXT, TIME

TYPED = ("int64", "float64", "bool", "string")
"""Types of columns that a filter reads instead of an attribute."""

_EXACT = 1 << 53  # up to here a double is any integer
_INT64 = range(-(1 << 63), 1 << 63)
_NUMERIC = "'0123456789+-.eE'"
_STRUCTURE = re.compile(r'["{}\[\]:,\\\x00-\x1f]')
# Letters whose cases have been the same in all versions of Unicode for long.
_OLD_LETTERS = re.compile(r"[\x00-\u017f\u0370-\u03ff\u0400-\u0481\u3040-\u9fff\uac00-\ud7a3]*")

Test = Callable[[str], str]
"""Makes the condition on a value, which is never NULL, of its name."""


class Condition(NamedTuple):
    """A filter in SQL.

    Attributes:
        where: Keeps the rows that match or may match.
        unsure: Is true for those of them that may or may not; empty where there are none such.
    """

    where: str
    unsure: str


def condition(root: Node, typed: Mapping[str, str]) -> Condition:
    """Put a filter into SQL.

    Args:
        root: The filter.
        typed: Attributes that the rows have as columns of their name, and the types of these.
    """
    nodes = root.children if isinstance(root, And) else (root,)
    made = [(node, *_make(node, typed)) for node in nodes]
    kept = [hint for node, _, _ in made if (hint := _hint(node, typed))]
    kept += [sql if exact else f"({sql}) IS NOT FALSE" for _, sql, exact in made]
    unsure = " AND ".join(f"({sql})" for _, sql, exact in made if not exact)
    return Condition(" AND ".join(kept) or "TRUE", f"({unsure}) IS NULL" if unsure else "")


def quoted_text(text: str) -> str:
    """Return a text as a literal."""
    if "\0" in text:  # it would end the statement
        return f"decode(from_hex('{text.encode().hex()}'))"
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Return the name of a column."""
    return '"' + name.replace('"', '""') + '"'


def quoted_time(microseconds: int) -> str:
    """Return a time, given since 1970, as a literal."""
    return f"TIMESTAMPTZ '{to_text(microseconds).replace('T', ' ').removesuffix('Z')}+00'"


def _make(node: Node, typed: Mapping[str, str]) -> tuple[str, bool]:
    """Return the condition of a node, and whether it is never NULL."""
    if isinstance(node, Term):
        return _make_term(node, typed)
    if isinstance(node, Not):
        sql, exact = _make(node.child, typed)
        return f"NOT ({sql})", exact
    joined = " OR " if isinstance(node, Or) else " AND "
    parts = [_make(child, typed) for child in node.children]
    sql = joined.join(f"({sql})" for sql, _ in parts) or "TRUE"
    return sql, all(exact for _, exact in parts)


def _make_term(term: Term, typed: Mapping[str, str]) -> tuple[str, bool]:
    if term.column == "attributes":
        return _attribute(term, typed), False
    if term.column == "timestamp" and term.kind != TIME and term.operator != HAS:
        return "NULL", False
    column = term.column
    if term.operator == HAS:
        return f"{column} IS NOT NULL", True
    if term.operator in (CONTAINS, MATCHES):
        text = column if term.kind == TEXT and not _is_number(column) else f"{column}::VARCHAR"
        return _present(column, _search(term)(text)), term.operator == CONTAINS and _is_old(term)
    return _compare(term), True


def _is_number(column: str) -> bool:
    return column in ("levelno", "lineno", "process", "thread", "sequence")


def _present(value: str, test: str) -> str:
    return f"({value} IS NOT NULL AND ({test}))"


# ------------------------------------------------------------------ columns


def _compare(term: Term) -> str:
    """Compare a column that is not searched."""
    column = term.column
    if term.operator not in ("=", "!="):
        return _present(column, _order(term, column, term.operand))
    equal = " OR ".join(_equal(term, column, operand) for operand in term.operands)
    if term.operator == "!=":
        return _present(column, f"NOT ({equal})")
    null = term.kind in (NUMBER, TEXT) and any(operand.is_null for operand in term.operands)
    return f"({column} IS NULL OR {equal})" if null else _present(column, equal)


def _order(term: Term, column: str, operand: Any) -> str:
    if term.kind == TIME:
        return f"{column} {term.operator} {quoted_time(operand)}"
    number = operand if term.kind == LEVEL else operand.number
    return _integer(column, term.operator, number)


def _equal(term: Term, column: str, operand: Any) -> str:
    if term.kind == TIME:
        return f"{column} = {quoted_time(operand)}"
    if term.kind == LEVEL:
        return _integer(column, "=", operand)
    if term.kind == NUMBER:
        return _integer(column, "=", operand.number)
    equal = f"{column} = {quoted_text(operand.text)}"
    if column == "logger":
        equal += f" OR starts_with({column}, {quoted_text(operand.text + '.')})"
    return f"({equal})"


def _integer(value: str, operator: str, number: int | float | None) -> str:
    """Compare a column of integers with any number, exactly."""
    if number is None:
        return "FALSE"
    if isinstance(number, float):
        if math.isfinite(number) and not number.is_integer():
            if operator == "=":
                return "FALSE"
            number = math.floor(number) if operator[0] == "<" else math.ceil(number)
            operator = f"{operator[0]}="
        elif math.isfinite(number):
            number = int(number)
    if number not in _INT64:
        return str(operator[0] == ("<" if number > 0 else ">")).upper()
    return f"{value} {operator} {int(number)}"


# ------------------------------------------------------------------ texts


def _search(term: Term) -> Test:
    return _contains(term.operand) if term.operator == CONTAINS else _matches(term.operand)


def _is_old(term: Term) -> bool:
    return _OLD_LETTERS.fullmatch(term.operand.text) is not None


def _contains(operand: Operand) -> Test:
    wanted = quoted_text(fold(operand.text))
    if _OLD_LETTERS.fullmatch(operand.text):
        return lambda text: f"contains(lower({text}), {wanted})"
    return lambda text: f"CASE WHEN {_is_ascii(text)} THEN FALSE END"


def _matches(pattern: str) -> Test:
    wanted = quoted_text(pattern)
    return lambda text: f"CASE WHEN {_is_ascii(text)} THEN regexp_matches({text}, {wanted}) END"


def _is_ascii(text: str) -> str:
    return f"strlen({text}) = length({text})"


# ------------------------------------------------------------------ attributes


def _attribute(term: Term, typed: Mapping[str, str]) -> str:
    if term.path is None:
        return _all_attributes(term)
    found = _of_json(term, term.path)
    kind = typed.get(term.path, "")
    test = _typed_test(term, kind)
    if test is None:
        return found
    column = quoted_name(term.path)
    known = f"abs({column}) < {_EXACT}" if kind == "float64" else f"{column} IS NOT NULL"
    return f"CASE WHEN {known} THEN {test(column)} ELSE {found} END"


def _all_attributes(term: Term) -> str:
    """Look at the JSON as a whole."""
    if term.operator == HAS:
        return "TRUE"
    if term.operator != CONTAINS or not term.operand.text.isascii():
        return "NULL"
    wanted = fold(term.operand.text)
    if _STRUCTURE.search(wanted) or not wanted.strip("0123456789+-.e"):
        return "NULL"  # what is written otherwise may look otherwise
    return (
        f"CASE WHEN contains(lower(attributes), {quoted_text(wanted)})"
        f" OR contains(attributes, '\\') OR NOT ({_is_ascii('attributes')}) THEN NULL"
        " WHEN attributes IS NOT NULL THEN FALSE END"
    )


def _of_json(term: Term, path: str) -> str:
    """Compare an attribute, as text."""
    missing = term.operator == "=" and any(operand.is_null for operand in term.operands)
    otherwise = str(missing).upper()
    test = _test(term)
    inner = f"CASE WHEN s IS NULL THEN {otherwise} ELSE {test('s')} END"
    value = _extract(path)
    possible = _may_equal(term) or _may_hold(path)
    if value is None:
        return f"CASE WHEN {possible} THEN NULL ELSE {otherwise} END"
    found = f"list_transform([{value}], lambda s: {inner})[1]"
    return f"CASE WHEN {possible} THEN {found} ELSE {otherwise} END"


def _may_equal(term: Term) -> str:
    """Tell which texts may hold one of the values; nothing where these may be written otherwise."""
    if term.operator != "=" or not all(map(_is_plain, term.operands)):
        return ""
    values = (f"contains(attributes, {quoted_text(each.text)})" for each in term.operands)
    return " OR ".join([*values, "contains(attributes, '\\')"])


def _is_plain(operand: Operand) -> bool:
    """Return whether a value is a text and nothing else, and stands in JSON as it is."""
    other = operand.number is not None or operand.truth is not None or operand.is_null
    return not other and _STRUCTURE.search(operand.text) is None


def _may_hold(path: str) -> str:
    """Tell which texts may hold the key; a backslash may hide it."""
    head = path.partition(".")[0]
    start = f'"{head}"' if head == path else f'"{head}'
    return f"contains(attributes, {quoted_text(start)}) OR contains(attributes, '\\')"


def _extract(path: str) -> str | None:
    """Return the text of an attribute; None where that is not so easy."""
    steps = path.split(".")
    if not all(steps) or len(steps) > 2:
        return None
    whole = quoted_text(_pointer(path))
    if len(steps) == 1:
        return f"TRY(json_extract_string(attributes, {whole}))"
    inner = quoted_text("".join(map(_pointer, steps)))
    found = f"TRY(json_extract(attributes, [{whole}, {inner}]))"
    first = "CASE WHEN v[1] IS NULL THEN v[2] ELSE v[1] END"
    return f"list_transform([{found}], lambda v: json_extract_string({first}, '$'))[1]"


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _test(term: Term) -> Test:
    """Return the test of a text that stands in JSON, as `->>` gives it."""
    if term.operator == HAS:
        return lambda s: "TRUE"
    if term.operator in (CONTAINS, MATCHES):
        search = _search(term)
        return lambda s: f"CASE WHEN {_may_look_otherwise(s)} THEN NULL ELSE {search(s)} END"
    if term.operator in ("=", "!="):
        return _any_of(term, [_equals(operand) for operand in term.operands])
    return _ordering(term.operator, term.operand.number)


def _any_of(term: Term, tests: Sequence[Test]) -> Test:
    start = "NOT " if term.operator == "!=" else ""
    return lambda s: start + "(" + " OR ".join(test(s) for test in tests) + ")"


def _may_look_otherwise(s: str) -> str:
    """Tell objects and lists, and floats of which Python's text may be another."""
    number = f"trim({s}, {_NUMERIC}) = ''"
    odd = f"contains(lower({s}), 'e') OR length({s}) > 16 OR contains({s}, '0.000')"
    return f"starts_with({s}, '{{') OR starts_with({s}, '[') OR ({number} AND ({odd}))"


def _equals(operand: Operand) -> Test:
    text, number = operand.text, operand.number
    same = quoted_text(text)
    if text[:1] in ("{", "[") or len(text) > 300:
        return lambda s: (
            f"CASE WHEN starts_with({s}, {quoted_text(text[:1])}) THEN NULL ELSE FALSE END"
        )
    if number is not None:
        close = quoted_text(repr(float(number)))
        return lambda s: (
            f"CASE WHEN {s} = {same} THEN TRUE"
            f" WHEN TRY_CAST({s} AS DOUBLE) = {close}::DOUBLE THEN NULL ELSE FALSE END"
        )
    if operand.truth is not None and text != text.lower():
        truth = quoted_text(text.lower())
        return lambda s: f"CASE WHEN {s} = {truth} THEN NULL ELSE {s} = {same} END"
    return lambda s: f"{s} = {same}"


def _ordering(operator: str, number: int | float | None) -> Test:
    if number is None:
        return lambda s: "FALSE"
    exact = -_EXACT < number < _EXACT
    limit = f"{quoted_text(repr(float(number)))}::DOUBLE" if exact else ""

    def test(s: str) -> str:
        found = f"TRY_CAST({s} AS DOUBLE)"
        compared = f"coalesce({found} {operator} {limit}, FALSE)" if exact else "NULL"
        # The engine takes more for a number than Python does: spaces, names of infinity.
        otherwise = f"CASE WHEN {found} IS NULL THEN FALSE END"
        return f"CASE WHEN trim({s}, {_NUMERIC}) = '' THEN {compared} ELSE {otherwise} END"

    return test


# ------------------------------------------------------------------ typed columns


def _typed_test(term: Term, kind: str) -> Test | None:
    """Return the test of a typed column where it is not null; None where the JSON is needed."""
    if kind not in TYPED:
        return None
    if term.operator == HAS:
        return lambda column: "TRUE"
    if kind == "string":
        return _of_texts(term)
    if term.operator in (CONTAINS, MATCHES):
        return None if kind == "float64" else lambda c: _search(term)(f"{c}::VARCHAR")
    if kind == "bool":
        return _of_bools(term)
    numbers = [operand.number for operand in term.operands]
    compare = _integer if kind == "int64" else _double
    if term.operator in ("=", "!="):
        tests: list[Test] = [lambda c, n=number: compare(c, "=", n) for number in numbers]  # type: ignore[misc]
        return _any_of(term, tests)
    return lambda column: compare(column, term.operator, numbers[0])


def _of_texts(term: Term) -> Test:
    if term.operator in (CONTAINS, MATCHES):
        return _search(term)
    if term.operator not in ("=", "!="):
        return _ordering(term.operator, term.operand.number)
    texts = [quoted_text(operand.text) for operand in term.operands]
    tests: list[Test] = [lambda column, text=text: f"{column} = {text}" for text in texts]  # type: ignore[misc]
    return _any_of(term, tests)


def _of_bools(term: Term) -> Test:
    if term.operator not in ("=", "!="):
        return lambda column: "FALSE"
    truths = [operand.truth for operand in term.operands]
    tests: list[Test] = [
        (lambda c, t=truth: "FALSE" if t is None else f"{c} = {t}")  # type: ignore[misc]
        for truth in truths
    ]
    return _any_of(term, tests)


def _double(column: str, operator: str, number: int | float | None) -> str:
    """Compare a column of doubles, all of which are smaller than 2**53."""
    if number is None:
        return "FALSE"
    if not -_EXACT < number < _EXACT:
        return str(operator[0] == ("<" if number > 0 else ">")).upper()
    return f"{column} {operator} {quoted_text(repr(float(number)))}::DOUBLE"


def _hint(node: Node, typed: Mapping[str, str]) -> str:
    """Return what the engine can check by a column's statistics, before it reads the JSON."""
    if not isinstance(node, Term) or node.path is None or node.operator in (CONTAINS, MATCHES, HAS):
        return ""
    if typed.get(node.path) != "int64" or node.operator == "!=":
        return ""
    column = quoted_name(node.path)
    test = _typed_test(node, "int64")
    return "" if test is None else f"({column} IS NULL OR {test(column)})"
