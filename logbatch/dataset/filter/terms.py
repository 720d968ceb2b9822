"""A term as it is written becomes a `Term`, or a mistake that says which part is wrong."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal

from logbatch.dataset.filter.comparisons import (
    CONTAINS,
    EQUALITIES,
    HAS,
    MATCHES,
    ORDERINGS,
    Operand,
)
from logbatch.dataset.filter.patterns import BadPattern, compile_pattern, without_escaped_slashes
from logbatch.dataset.filter.tree import Term
from logbatch.epoch import to_datetime, to_microseconds, to_text
from logbatch.options import parse_level
from logbatch.storage.columns import ATTRIBUTE, COLUMNS, LEVEL, NUMBER, TEXT, TIME

Part = Literal["name", "operator"] | int

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_STEP = re.compile(r"([0-9.]+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Mistake(ValueError):
    """A term that is not valid.

    Attributes:
        part: Which part of it is wrong; a number is the index of a value.
        at: How many characters into that part.
    """

    def __init__(self, reason: str, part: Part, at: int = 0) -> None:
        super().__init__(reason)
        self.part: Part = part
        self.at = at


def make_term(name: str, operator: str, *values: str, now: datetime) -> Term:
    """Make a term.

    Raises:
        Mistake: It is not valid.
    """
    _check_text(name, "name")
    for index, value in enumerate(values):
        _check_text(value, index)
    if name in ("since", "until"):
        if operator != "=":
            raise Mistake(f"{name} needs =, not {operator}", "operator")
        if len(values) > 1:
            raise Mistake(f"{name} takes one time", 1)
        operator, name = (">=" if name == "since" else "<"), "timestamp"
    kind = COLUMNS[name].kind if name in COLUMNS else ATTRIBUTE
    if operator in (CONTAINS, MATCHES, HAS) and kind in (TIME, LEVEL):
        kind = TEXT
    column, path = _place(name)
    if kind == LEVEL:
        column = "levelno"
    if operator == MATCHES:
        values = tuple(map(without_escaped_slashes, values))
    operands = tuple(
        _operand(name, operator, value, kind, index, now) for index, value in enumerate(values)
    )
    if kind == TIME:
        values = tuple(map(to_text, operands))
    return Term(name, operator, values, column, path, kind, operands)


def _operand(name: str, operator: str, value: str, kind: str, index: int, now: datetime) -> Any:
    if kind == TIME:
        return parse_time(value, now, index)
    if kind == LEVEL:
        return _level(value, index)
    if operator == MATCHES:
        return _pattern(value, index)
    operand = Operand(value)
    _check_value(name, operator, operand, kind, index)
    return operand


def parse_time(value: str, now: datetime, part: Part = 0) -> int:
    """Parse a duration before `now`, or a date or time, which is in UTC unless it has an offset.

    Returns:
        Microseconds since 1970.

    Raises:
        Mistake: It is neither.
    """
    try:
        if _DURATION.fullmatch(value):
            steps = {_UNITS[unit]: 0.0 for unit in "smhdw"}
            for amount, unit in _STEP.findall(value):
                steps[_UNITS[unit]] += float(amount)
            moment = now - timedelta(**steps)
        else:
            moment = datetime.fromisoformat(value)
        micros = to_microseconds(moment)
        to_datetime(micros)  # an offset can lead beyond the years of a datetime
        return micros
    except OverflowError:
        raise Mistake(f"{value!r} is too far away", part) from None
    except ValueError:
        raise Mistake(
            f"{value!r} is not a time: write a duration before now (90s, 15m, 2h, 3d, 1w), or a"
            " date or time (2026-11-21, 2026-11-21T10:00), which is UTC unless it has an offset",
            part,
        ) from None


def _check_text(text: str, part: Part) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Mistake("this is not valid text", part) from None


def _place(name: str) -> tuple[str, str | None]:
    if name in COLUMNS:
        return name, None
    path = name.removeprefix("attributes.")
    if not path:
        raise Mistake("the name of an attribute is missing", "name")
    return "attributes", path


def _level(value: str, part: Part) -> int:
    try:
        return parse_level(value)
    except ValueError as error:
        hint = "(write a level that only your program knows as its number)"
        raise Mistake(f"{error} {hint}", part) from None


def _pattern(value: str, part: Part) -> str:
    if not value:
        raise Mistake("a regular expression to look for is missing", part)
    try:
        return compile_pattern(value)
    except BadPattern as error:
        raise Mistake(f"this is not a regular expression: {error}", part, error.at) from None


def _check_value(name: str, operator: str, operand: Operand, kind: str, part: Part) -> None:
    if operator == CONTAINS and not operand.text:
        raise Mistake("a text to look for is missing", part)
    if operator in ORDERINGS and kind == TEXT:
        raise Mistake(f"{name} is text, which supports =, != and ~, not {operator}", "operator")
    equality = kind == NUMBER and operator in EQUALITIES and not operand.is_null
    if (operator in ORDERINGS or equality) and operand.number is None:
        close = get_close_matches(name, COLUMNS, 1, 0.75) if kind == ATTRIBUTE else []
        hint = f"; did you mean {close[0]}{operator}?" if close and close[0] != name else ""
        raise Mistake(f"{name}{operator} needs a number, not {operand.text!r}{hint}", part)
