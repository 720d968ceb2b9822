"""What a term of a filter means, on a single value.

A term compares one field of a record with values.  A field is a column, or an attribute by its
key; `user.id` is the key `user.id` or else the key `id` inside the object `user`.

- On a field that is missing, or null, every comparison is false, also `!=`; so the negation of a
  comparison is true.  `=null` is true for it (and for the text "null"); `=*` is true for any value.
- `=` compares exactly: a text with the value as written, a number by its amount (`42` is `42.0`),
  a boolean with `true` and `false`, an object or list by its compact JSON.  Of several values one
  must be equal, and for `!=` none.
- `~` looks for the value in the text, or the JSON, of the field, and ignores case; `~/…/` looks
  there for a regular expression (`patterns`).
- `<`, `<=`, `>`, `>=` compare numbers, and texts that are numbers (`"503"`); all else is false.
- `logger=` means that logger and those below it; `level` is compared by its number; `timestamp`
  as an instant.
"""

from __future__ import annotations

import json
import operator as operators
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from logbatch.dataset.filter.patterns import search
from logbatch.epoch import to_microseconds, to_text

Test = Callable[[Any], bool]

ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operators.gt,
    ">=": operators.ge,
    "<": operators.lt,
    "<=": operators.le,
}
EQUALITIES = ("=", "!=")
CONTAINS, MATCHES, HAS = "~", "~/", "=*"
OPERATORS = (*ORDERINGS, *EQUALITIES, CONTAINS, MATCHES, HAS)

_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

_decode = msgspec.json.Decoder().decode


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


def _as_moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None


def as_instant(value: Any) -> int | None:
    """Return a time, as a number, a datetime or a text, in microseconds since 1970."""
    if isinstance(value, int):
        return value
    moment = _as_moment(value)
    return None if moment is None else to_microseconds(moment)


def as_time_text(value: Any) -> str | None:
    """Return a time in the one form that `~` searches, and that `parse_time` reads."""
    micros = as_instant(value)
    return None if micros is None else to_text(micros)


def compare_exactly(operator: str, limit: int) -> Test:
    """Return an ordering of instants or of levels."""
    compare = ORDERINGS[operator]
    return lambda value: value is not None and compare(value, limit)


def compare_numbers(operator: str, limit: int | float | None) -> Test:
    """Return an ordering of numbers, and of texts that are numbers."""
    compare = ORDERINGS[operator]

    def test(value: Any) -> bool:
        if isinstance(value, str):
            value = number_in(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return limit is not None and compare(value, limit)

    return test


def equality(operator: str, equals: Sequence[Test]) -> Test:
    """Return what `=` or `!=` means with several values, of each of which there is an `equals`."""
    if operator == "!=":
        return lambda value: value is not None and not any(test(value) for test in equals)
    return equals[0] if len(equals) == 1 else lambda value: any(test(value) for test in equals)


def is_among(operands: Sequence[Operand]) -> Test:
    """Return the comparison with any of many values, as `is_equal` compares with each of them."""
    texts = {operand.text for operand in operands}
    numbers = {operand.number for operand in operands} - {None}
    truths = {operand.truth for operand in operands} - {None}
    has_null = any(operand.is_null for operand in operands)

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        if value is None:
            return has_null
        if isinstance(value, bool):
            return value in truths
        if isinstance(value, (int, float)):
            return value in numbers
        return as_text(value) in texts

    return test


def is_exactly(operand: int) -> Test:
    """Return the comparison with an instant or a level."""
    return lambda value: bool(value == operand)


def is_below(operand: Operand) -> Test:
    """Return the comparison with a logger: that one, and those below it."""
    name, prefix = operand.text, f"{operand.text}."

    def test(value: str | None) -> bool:
        if value is None:
            return operand.is_null
        return value == name or value.startswith(prefix)

    return test


def contains(operand: Operand) -> Test:
    """Return the search for a text, in any case."""
    wanted = fold(operand.text)
    return lambda value: value is not None and wanted in fold(as_text(value))


def matches(pattern: str) -> Test:
    """Return the search for a regular expression."""
    return lambda value: value is not None and search(pattern, [as_text(value)])[0]


def has_value(value: Any) -> bool:
    """Return whether there is any value."""
    return value is not None


def is_equal(operand: Operand) -> Test:
    """Return the comparison with any other value."""
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
        return as_text(value) == text

    return test


def as_text(value: Any) -> str:
    """Return a value as `~` sees it: a text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
