"""Conditions on attributes in DuckDB's SQL.

An attribute is its text in the JSON, as `->>` gives it: an absent key and `null` are NULL.  It is
extracted once, and only where the text of the key, or of the value, stands in the JSON at all; TRY
makes NULL of what is no JSON, as `comparisons.as_object` makes nothing of it.  Where there is a
typed column of an attribute, which is null for values of other types, only its nulls are looked for
in the JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from logbatch.dataset.filter.comparisons import CONTAINS, HAS, MATCHES, Operand, fold
from logbatch.dataset.filter.literals import quoted_name, quoted_text
from logbatch.dataset.filter.sql_values import (
    EXACT,
    FEW,
    NUMERIC,
    Test,
    among,
    any_of,
    double,
    integer,
    integer_among,
    is_ascii,
    ordering,
    search,
    whole,
)
from logbatch.dataset.filter.tree import Node, Term

TYPED = ("int64", "float64", "bool", "string")
"""Types of columns that a filter reads instead of an attribute."""

_ODD_NUMBER = "[-+0-9.eE]*[.eE][-+0-9.eE]*|-0|-?[0-9]{16,}"
"""What a number is like in JSON that is not the plain text of a whole one below 2**53."""

_STRUCTURE = re.compile(r'["{}\[\]:,\\\x00-\x1f]')


def attribute(term: Term, typed: Mapping[str, str]) -> str:
    """Return the condition of a term on an attribute, or on all of them.

    Args:
        term: The term.
        typed: Attributes that the rows have as columns of their name, and the types of these.
    """
    if term.path is None:
        return _all_attributes(term)
    found = _of_json(term, term.path)
    kind = typed.get(term.path, "")
    test = _typed_test(term, kind)
    if test is None:
        return found
    column = quoted_name(term.path)
    known = f"abs({column}) < {EXACT}" if kind == "float64" else f"{column} IS NOT NULL"
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
        f" OR contains(attributes, '\\') OR NOT ({is_ascii('attributes')}) THEN NULL"
        " WHEN attributes IS NOT NULL THEN FALSE END"
    )


def _of_json(term: Term, path: str) -> str:
    """Compare an attribute, as text."""
    missing = term.operator == "=" and any(operand.is_null for operand in term.operands)
    otherwise = str(missing).upper()
    possible = _may_equal(term) or _may_hold(path)
    value = _extract(path)
    if value is None:
        found = "NULL"
    elif candidate := _candidate(term, value):
        # The value is extracted twice only where it is most likely equal.
        found = f"CASE WHEN {candidate} THEN {_test(term)(value)} ELSE FALSE END"
    else:
        inner = f"CASE WHEN s IS NULL THEN {otherwise} ELSE {_test(term)('s')} END"
        found = f"list_transform([{value}], lambda s: {inner})[1]"
    return f"CASE WHEN {possible} THEN {found} ELSE {otherwise} END"


def _candidate(term: Term, value: str) -> str:
    """Tell which values may be equal; nothing where that is as hard as to tell which are."""
    if term.operator != "=":
        return ""
    numbers = [operand.number for operand in term.operands]
    if len(numbers) > FEW:
        if any(operand.is_null for operand in term.operands):
            return ""
        return _candidate_of_many(term.operands)(value)
    if all(map(_is_plain, term.operands)):
        return f"{value} IN ({_literals(term.operands)})"
    if None in numbers:
        return ""
    doubles = (f"{quoted_text(repr(float(number or 0)))}::DOUBLE" for number in numbers)
    return f"TRY_CAST({value} AS DOUBLE) IN ({', '.join(doubles)})"


def _candidate_of_many(operands: Sequence[Operand]) -> Test:
    """Tell which values may be equal to one of many: by their text, and numbers written otherwise.

    A value that is an object or a list may be equal to a text that begins like one.
    """
    texts = [each.text for each in operands]
    texts += [each.text.lower() for each in operands if each.truth is not None]
    numbers = [each.number for each in operands if each.number is not None]
    texts += map(str, whole(numbers))
    found = among(texts)
    odd = [_ODD_NUMBER] if numbers else []
    odd += [r"[{\[](?s:.*)"] if any(text[:1] in ("{", "[") for text in texts) else []
    if not odd:
        return found
    pattern = quoted_text("|".join(odd))
    return lambda value: f"({found(value)} OR regexp_full_match({value}, {pattern}))"


def _may_equal(term: Term) -> str:
    """Tell which texts may hold one of the values; nothing where these may be written otherwise."""
    if term.operator != "=" or not all(map(_is_plain, term.operands)):
        return ""
    if len(term.operands) > FEW:
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
    """Return the text of an attribute; None where that is not so easy.

    A number behind a dot would find what is in a list.
    """
    steps = path.split(".")
    if not all(steps) or len(steps) > 2 or (steps[1:] and may_be_index(steps[1])):
        return None
    whole = quoted_text(pointer(path))
    if len(steps) == 1:
        return f"TRY(json_extract_string(attributes, {whole}))"
    inner = quoted_text("".join(map(pointer, steps)))
    found = f"TRY(json_extract(attributes, [{whole}, {inner}]))"
    first = "CASE WHEN v[1] IS NULL THEN v[2] ELSE v[1] END"
    return f"list_transform([{found}], lambda v: json_extract_string({first}, '$'))[1]"


def pointer(key: str) -> str:
    """Return a step of a JSON pointer, by which the engine finds a key."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def may_be_index(key: str) -> bool:
    """Return whether such a step could also be the position in a list."""
    return not key.strip("0123456789-")


def _test(term: Term) -> Test:
    """Return the test of a text that stands in JSON, as `->>` gives it."""
    if term.operator == HAS:
        return lambda s: "TRUE"
    if term.operator in (CONTAINS, MATCHES):
        found = search(term)
        return lambda s: f"CASE WHEN {_may_look_otherwise(s)} THEN NULL ELSE {found(s)} END"
    if term.operator in ("=", "!="):
        return any_of(term, _equalities(term.operands))
    return ordering(term.operator, term.operand.number)


def _may_look_otherwise(s: str) -> str:
    """Tell objects and lists, and floats of which Python's text may be another."""
    number = f"trim({s}, {NUMERIC}) = ''"
    odd = f"contains(lower({s}), 'e') OR length({s}) > 16 OR contains({s}, '0.000')"
    return f"starts_with({s}, '{{') OR starts_with({s}, '[') OR ({number} AND ({odd}))"


def _equalities(operands: Sequence[Operand]) -> list[Test]:
    """Return tests of which one holds for a text that is one of the values.

    Values that are compared alike have one together: planning takes long where there are many.
    """
    tests: list[Test] = []
    numbers, texts = [], []
    for each in operands:
        if each.text[:1] in ("{", "[") or len(each.text) > 300:
            tests.append(_may_be(each))
        elif each.number is not None:
            numbers.append(each)
        elif each.truth is not None and each.text != each.text.lower():
            tests.append(_is_truth(each))
        else:
            texts.append(each)
    if numbers:
        tests.append(_is_number_among(numbers))
    if texts:
        tests.append(among([each.text for each in texts]))
    return tests


def _literals(operands: Sequence[Operand]) -> str:
    return ", ".join(quoted_text(each.text) for each in operands)


def _may_be(operand: Operand) -> Test:
    start = quoted_text(operand.text[:1])
    return lambda s: f"CASE WHEN starts_with({s}, {start}) THEN NULL ELSE FALSE END"


def _is_truth(operand: Operand) -> Test:
    same, truth = quoted_text(operand.text), quoted_text(operand.text.lower())
    return lambda s: f"CASE WHEN {s} = {truth} THEN NULL ELSE {s} = {same} END"


def _is_number_among(operands: Sequence[Operand]) -> Test:
    close = ", ".join(f"{quoted_text(repr(float(each.number or 0)))}::DOUBLE" for each in operands)
    same = among([each.text for each in operands])
    otherwise = [str(n) for n in whole(each.number for each in operands)]
    plain = among(otherwise or ["0"])
    odd = f"regexp_full_match({{s}}, {quoted_text(_ODD_NUMBER)})"

    def test(s: str) -> str:
        equal = f"TRY_CAST({s} AS DOUBLE) IN ({close})"
        if len(operands) > FEW:  # most are told by their text
            may = f"{plain(s)} OR {odd.replace('{s}', s)}"
            equal = f"CASE WHEN {may} THEN {equal} ELSE FALSE END"
        return f"CASE WHEN {same(s)} THEN TRUE WHEN {equal} THEN NULL ELSE FALSE END"

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
        return None if kind == "float64" else lambda c: search(term)(f"{c}::VARCHAR")
    if kind == "bool":
        return _of_bools(term)
    numbers = [operand.number for operand in term.operands]
    compare = integer if kind == "int64" else double
    if term.operator in ("=", "!="):
        if kind == "int64" and len(numbers) > FEW:
            return any_of(term, [integer_among(numbers)])
        tests: list[Test] = [lambda c, n=number: compare(c, "=", n) for number in numbers]  # type: ignore[misc]
        return any_of(term, tests)
    return lambda column: compare(column, term.operator, numbers[0])


def _of_texts(term: Term) -> Test:
    if term.operator in (CONTAINS, MATCHES):
        return search(term)
    if term.operator not in ("=", "!="):
        return ordering(term.operator, term.operand.number)
    return any_of(term, [among([operand.text for operand in term.operands])])


def _of_bools(term: Term) -> Test:
    if term.operator not in ("=", "!="):
        return lambda column: "FALSE"
    truths = [operand.truth for operand in term.operands]
    tests: list[Test] = [
        (lambda c, t=truth: "FALSE" if t is None else f"{c} = {t}")  # type: ignore[misc]
        for truth in truths
    ]
    return any_of(term, tests)


def hint(node: Node, typed: Mapping[str, str]) -> str:
    """Return what the engine can check by a column's statistics, before it reads the JSON."""
    if not isinstance(node, Term) or node.path is None or node.operator in (CONTAINS, MATCHES, HAS):
        return ""
    if typed.get(node.path) != "int64" or node.operator == "!=":
        return ""
    column = quoted_name(node.path)
    if len(node.operands) > FEW:
        numbers = whole(operand.number for operand in node.operands) or [0]
        low, high = (min(max(n, -EXACT), EXACT) for n in (min(numbers), max(numbers)))
        limits = [f"{column} >= {low}"] if low > -EXACT else []
        limits += [f"{column} <= {high}"] if high < EXACT else []
        return f"({column} IS NULL OR ({' AND '.join(limits)}))" if limits else ""
    test = _typed_test(node, "int64")
    return "" if test is None else f"({column} IS NULL OR {test(column)})"
