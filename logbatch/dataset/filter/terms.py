"""What one term of a filter means, on a single value.

A term compares one field of a record with a value.  A field is a column, or an attribute by its
key; `user.id` is the key `user.id` or else the key `id` inside the object `user`.

- On a field that is missing, or null, every comparison is false, also `!=`; so the negation of a
  comparison is true.  `=null` is true for it (and for the text "null"), `!=null` is true for any
  value.
- `=` compares exactly: a text with the value as written, a number by its amount (`42` is `42.0`),
  a boolean with `true` and `false`, an object or list by its compact JSON.
- `~` looks for the value in the text, or the JSON, of the field, and ignores case.
- `<`, `<=`, `>`, `>=` compare numbers, and texts that are numbers (`"503"`); all else is false.
- `logger=` means that logger and those below it; `level` is compared by its number; `timestamp`
  as an instant.
"""

from __future__ import annotations

import json
import operator as operators
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from logbatch.epoch import to_datetime, to_microseconds, to_text
from logbatch.options import parse_level
from logbatch.storage.columns import ATTRIBUTE, COLUMNS, LEVEL, NUMBER, TEXT, TIME

Part = Literal["name", "operator", "value"]
Test = Callable[[Any], bool]

ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operators.gt,
    ">=": operators.ge,
    "<": operators.lt,
    "<=": operators.le,
}
COMPARISONS = {**ORDERINGS, "=": operators.eq, "!=": operators.ne}
OPERATORS = (*COMPARISONS, "~")

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_STEP = re.compile(r"([0-9.]+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIMPLE = re.compile(r"[^\s\\'\"=<>!~-][^\s\\'\"=<>!~]*")

NAME = re.compile(r"[\w@$]([\w.:@/$-]*\w)?")
"""A name that needs no quotes."""

_decode = msgspec.json.Decoder().decode


class Mistake(ValueError):
    """A term that is not valid; `part` says which part of it is wrong."""

    def __init__(self, reason: str, part: Part) -> None:
        super().__init__(reason)
        self.part: Part = part


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on one field.

    Attributes:
        name: The field, as written.
        operator: One of `OPERATORS`.
        value: What it is compared with, as written; a time is in its absolute form.
        negated: Whether the condition must not hold.
        column: The column that is read.
        path: The key in `attributes`, where an attribute is read.
        kind: How it is compared: TIME, LEVEL, NUMBER, TEXT or ATTRIBUTE.
        operand: The value in the form of its kind: microseconds since 1970, a level's number,
            or an `Operand`.
    """

    name: str
    operator: str
    value: str
    negated: bool
    column: str
    path: str | None
    kind: str
    operand: Any

    def __str__(self) -> str:
        sign = "-" if self.negated else ""
        return f"{sign}{_quoted(self.name, NAME)}{self.operator}{_quoted(self.value, _SIMPLE)}"

    def read(self, row: Mapping[str, Any]) -> Any:
        """Return the value that is compared, from a record; None if it is missing."""
        return self.read_cell(row.get(self.column))

    def read_cell(self, value: Any) -> Any:
        """Return the value that is compared, from that of its column."""
        if self.column == "attributes":
            return find(as_object(value), self.path)
        if self.column == "timestamp":
            return _instant(value) if self.kind == TIME else _time_text(value)
        return value

    def test(self) -> Test:
        """Return the comparison, of a value that `read` returned; it ignores `negated`."""
        if self.kind in (TIME, LEVEL):
            return _comparison(COMPARISONS[self.operator], self.operand)
        if self.column == "logger" and self.operator in ("=", "!="):
            return _is_below(self.operand, wanted=self.operator == "=")
        return _general(self.operator, self.operand)


@dataclass(frozen=True, slots=True)
class Operand:
    """A value as written, and what it may mean."""

    text: str

    @property
    def number(self) -> int | float | None:
        """The number that it is, or None."""
        return number_in(self.text)

    @property
    def truth(self) -> bool | None:
        """The boolean that it is, or None."""
        return {"true": True, "false": False}.get(self.text.lower())

    @property
    def is_null(self) -> bool:
        """Whether it means a missing value."""
        return self.text == "null"


def make_term(
    name: str, operator: str, value: str, *, now: datetime, negated: bool = False
) -> Term:
    """Make a term.

    Raises:
        Mistake: It is not valid.
    """
    _check_text(name, "name")
    _check_text(value, "value")
    if name in ("since", "until"):
        if operator != "=":
            raise Mistake(f"{name} needs =, not {operator}", "operator")
        operator, name = (">=" if name == "since" else "<"), "timestamp"
    kind = COLUMNS[name].kind if name in COLUMNS else ATTRIBUTE
    if operator == "~":
        if not value:
            raise Mistake("a text to look for is missing", "value")
        kind = TEXT if kind in (TIME, LEVEL) else kind
    column, path = _place(name)
    operand: Any = Operand(value)
    if kind == TIME:
        operand = parse_time(value, now)
        value = to_text(operand)
    elif kind == LEVEL:
        column, operand = "levelno", _level(value)
    else:
        _check_value(name, operator, operand, kind)
    return Term(name, operator, value, negated, column, path, kind, operand)


def parse_time(value: str, now: datetime) -> int:
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
        raise Mistake(f"{value!r} is too far away", "value") from None
    except ValueError:
        raise Mistake(
            f"{value!r} is not a time: write a duration before now (90s, 15m, 2h, 3d, 1w), or a"
            " date or time (2026-11-21, 2026-11-21T10:00), which is UTC unless it has an offset",
            "value",
        ) from None


def find(attributes: Mapping[str, Any], path: str | None) -> Any:
    """Return an attribute: by the whole path as a key first, then in nested objects.

    Args:
        attributes: Where to look.
        path: Keys joined by dots; None means the attributes as a whole.
    """
    if path is None or path in attributes:
        return attributes if path is None else attributes[path]
    for at in (match.start() for match in re.finditer(r"\.", path)):
        inner = attributes.get(path[:at])
        if isinstance(inner, dict):
            found = find(inner, path[at + 1 :])
            if found is not None:
                return found
    return None


def as_object(value: Any) -> Mapping[str, Any]:
    """Return the attributes of a record, which may come as JSON text, as a mapping."""
    if isinstance(value, str):
        try:
            value = _decode(value)
        except (msgspec.DecodeError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def number_in(text: str) -> int | float | None:
    """Return the number that a text is; None if it is not one."""
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else None


def fold(text: str) -> str:
    """Return the text in lower case, one character at a time.

    The result is that of Arrow's `utf8_lower`, for all that folds to ASCII; `str.lower` alone looks
    at a sigma's neighbours, and makes two characters of a dotted capital I.
    """
    return text.lower() if text.isascii() else text.replace("İ", "i").replace("Σ", "σ").lower()


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


def _level(value: str) -> int:
    try:
        return parse_level(value)
    except ValueError as error:
        hint = "(write a level that only your program knows as its number)"
        raise Mistake(f"{error} {hint}", "value") from None


def _check_value(name: str, operator: str, operand: Operand, kind: str) -> None:
    if operator in ORDERINGS and kind == TEXT:
        raise Mistake(f"{name} is text, which supports =, != and ~, not {operator}", "operator")
    equality = kind == NUMBER and operator in ("=", "!=") and not operand.is_null
    if (operator in ORDERINGS or equality) and operand.number is None:
        close = get_close_matches(name, COLUMNS, 1, 0.75) if kind == ATTRIBUTE else []
        hint = f"; did you mean {close[0]}{operator}?" if close and close[0] != name else ""
        raise Mistake(f"{name}{operator} needs a number, not {operand.text!r}{hint}", "value")


def _as_moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None


def _instant(value: Any) -> int | None:
    if isinstance(value, int):
        return value
    moment = _as_moment(value)
    return None if moment is None else to_microseconds(moment)


def _time_text(value: Any) -> str | None:
    """Return a time in the one form that `~` searches, and that `parse_time` reads."""
    micros = _instant(value)
    return None if micros is None else to_text(micros)


def _comparison(compare: Callable[[Any, Any], bool], operand: int) -> Test:
    return lambda value: value is not None and compare(value, operand)


def _is_below(operand: Operand, *, wanted: bool) -> Test:
    name, prefix = operand.text, f"{operand.text}."

    def test(value: str | None) -> bool:
        if value is None:
            return wanted and operand.is_null
        return (value == name or value.startswith(prefix)) is wanted

    return test


def _general(operator: str, operand: Operand) -> Test:
    if operator == "~":
        return _contains(operand)
    if operator in ORDERINGS:
        return _ordering(ORDERINGS[operator], operand.number)
    equals = _equals(operand)
    if operator == "=":
        return equals
    return lambda value: value is not None and not equals(value)


def _contains(operand: Operand) -> Test:
    wanted = fold(operand.text)
    return lambda value: value is not None and wanted in fold(_text(value))


def _ordering(compare: Callable[[Any, Any], bool], limit: int | float | None) -> Test:
    def test(value: Any) -> bool:
        if isinstance(value, str):
            value = number_in(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return limit is not None and compare(value, limit)

    return test


def _equals(operand: Operand) -> Test:
    text, number, truth = operand.text, operand.number, operand.truth

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return value == text
        if value is None:
            return operand.is_null
        if isinstance(value, bool):
            return value is truth
        if isinstance(value, (int, float)):
            return number is not None and value == number
        return _text(value) == text

    return test


def _text(value: Any) -> str:
    """Return a value as `~` sees it: a text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _quoted(text: str, simple: re.Pattern[str]) -> str:
    if simple.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
