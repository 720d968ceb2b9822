"""Conditions on texts and numbers in DuckDB's SQL; NULL where the engine cannot tell."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from logbatch.dataset.filter.comparisons import CONTAINS, Operand, fold
from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.filter.tree import Term

EXACT = 1 << 53
"""Up to here a double is any integer."""

NUMERIC = "'0123456789+-.eE'"
"""The characters of numbers."""

_INT64 = range(-(1 << 63), 1 << 63)
# Letters whose cases have been the same in all versions of Unicode for long.
_OLD_LETTERS = re.compile(r"[\x00-\u017f\u0370-\u03ff\u0400-\u0481\u3040-\u9fff\uac00-\ud7a3]*")

Test = Callable[[str], str]
"""Makes the condition on a value, which is never NULL, of its name."""


def search(term: Term) -> Test:
    """Return the search for a text, or for a regular expression."""
    return _contains(term.operand) if term.operator == CONTAINS else _matches(term.operand)


def is_old(term: Term) -> bool:
    """Return whether the text of a term has only letters of which all say the same."""
    return _OLD_LETTERS.fullmatch(term.operand.text) is not None


def _contains(operand: Operand) -> Test:
    wanted = quoted_text(fold(operand.text))
    if operand.text.isascii() and not re.search(r"[%_\\\0]", operand.text):
        pattern = quoted_text(f"%{operand.text}%")
        return lambda text: f"{text} ILIKE {pattern}"
    if _OLD_LETTERS.fullmatch(operand.text):
        return lambda text: f"contains(lower({text}), {wanted})"
    return lambda text: f"CASE WHEN {is_ascii(text)} THEN FALSE END"


def _matches(pattern: str) -> Test:
    wanted = quoted_text(pattern)
    return lambda text: f"CASE WHEN {is_ascii(text)} THEN regexp_matches({text}, {wanted}) END"


def is_ascii(text: str) -> str:
    """Tell texts without other letters than those of ASCII."""
    return f"strlen({text}) = length({text})"


def any_of(term: Term, tests: Sequence[Test]) -> Test:
    """Return what `=` or `!=` means with several values, of each of which there is a test."""
    start = "NOT " if term.operator == "!=" else ""
    return lambda s: start + "(" + " OR ".join(test(s) for test in tests) + ")"


FEW = 20
"""Values that are compared one by one; of more than these there is one search for all of them."""

_TOGETHER = 1 << 15  # characters of texts in one expression; the engine limits what it may become
_LONG = 1000  # characters of a text that is better compared by itself


def among(texts: Sequence[str], *, below: bool = False) -> Test:
    """Tell whether a text is one of these; however many they are, it takes about as long.

    The engine compares with each of a list, and only looks it up where nothing stands around it.
    A regular expression becomes an automaton.

    Args:
        texts: The texts.
        below: Whether one with a dot and anything behind it counts as well; of many only.
    """
    if len(texts) <= FEW:
        return lambda s: f"{s} IN ({', '.join(map(quoted_text, texts))})"
    single = [text for text in texts if len(text) > _LONG or "\0" in text]
    groups: list[list[str]] = [[]]
    size = 0
    for text in dict.fromkeys(texts):
        if text in single:
            continue
        size += len(text) + 1
        if size > _TOGETHER:
            groups.append([])
            size = len(text)
        groups[-1].append(re.escape(text))
    end = r"(?:\.(?s:.*))?" if below else ""
    patterns = [quoted_text(f"(?:{'|'.join(group)}){end}") for group in groups if group]

    def test(s: str) -> str:
        found = [f"regexp_full_match({s}, {pattern})" for pattern in patterns]
        found += [f"{s} = {quoted_text(text)}" for text in single]
        found += [f"starts_with({s}, {quoted_text(text + '.')})" for text in single if below]
        return f"({' OR '.join(found)})"

    return test


def whole(numbers: Iterable[int | float | None]) -> list[int]:
    """Return those of some numbers that are whole."""
    return [
        int(number)
        for number in numbers
        if isinstance(number, int) or (number is not None and number.is_integer())
    ]


def integer_among(numbers: Sequence[int | float | None]) -> Test:
    """Tell whether an integer is one of many numbers."""
    found = among([str(number) for number in whole(numbers)] or ["none"])
    return lambda value: found(f"{value}::VARCHAR")


def integer(value: str, operator: str, number: int | float | None) -> str:
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


def double(column: str, operator: str, number: int | float | None) -> str:
    """Compare a column of doubles, all of which are smaller than 2**53."""
    if number is None:
        return "FALSE"
    if not -EXACT < number < EXACT:
        return str(operator[0] == ("<" if number > 0 else ">")).upper()
    return f"{column} {operator} {quoted_text(repr(float(number)))}::DOUBLE"


def ordering(operator: str, number: int | float | None) -> Test:
    """Return an ordering of texts that are numbers; all others are in none."""
    if number is None:
        return lambda s: "FALSE"
    exact = -EXACT < number < EXACT
    limit = f"{quoted_text(repr(float(number)))}::DOUBLE" if exact else ""

    def test(s: str) -> str:
        found = f"TRY_CAST({s} AS DOUBLE)"
        compared = f"coalesce({found} {operator} {limit}, FALSE)" if exact else "NULL"
        # The engine takes more for a number than Python does: spaces, names of infinity.
        otherwise = f"CASE WHEN {found} IS NULL THEN FALSE END"
        return f"CASE WHEN trim({s}, {NUMERIC}) = '' THEN {compared} ELSE {otherwise} END"

    return test
