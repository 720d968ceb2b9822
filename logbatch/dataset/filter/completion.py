"""What may be written at a place of a filter text: for an editor that helps while one types."""

from __future__ import annotations

from typing import NamedTuple

from logbatch.dataset.filter.parser import COMMA, QUOTES, SIGNS
from logbatch.dataset.filter.tree import NAME, SIMPLE, quoted

_BEFORE = "-("  # what may stand before a term, without a space


class Place(NamedTuple):
    """What is being written.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        text: The part of it before the cursor, without quotes.
        name: The field whose value it is; None where it is a field, or a word.
        operator: What stands between them.
    """

    start: int
    stop: int
    text: str
    name: str | None = None
    operator: str = ""


def find_place(text: str, at: int) -> Place:
    """Return what is being written where the cursor is.

    Args:
        text: The whole filter, which need not be one yet.
        at: How many characters are before the cursor.
    """
    at = min(max(at, 0), len(text))
    start = _term_start(text, at)
    while start < at and text[start] in _BEFORE:
        start += 1
    name_stop = _skip(text, start, at, stops="=<>!~")
    signs = SIGNS.match(text, name_stop)
    if signs is None or signs.end() > at:
        return Place(
            start, max(at, _skip(text, at, len(text), stops="=<>!~")), _bare(text[start:at])
        )
    value = signs.end()
    while (comma := _skip(text, value, at, stops=",")) < at and COMMA.match(text, comma):
        value = comma + 1
    name = _bare(text[start:name_stop])
    stop = _skip(text, at, len(text), stops=",")
    return Place(value, max(at, stop), _bare(text[value:at]), name, signs[0])


def _term_start(text: str, at: int) -> int:
    """Return where the term begins in which a place is."""
    start = 0
    here = 0
    while here < at:
        stop = _skip(text, here, at)
        if stop >= at:
            return here
        here = start = stop + 1
    return start


def _skip(text: str, start: int, limit: int, stops: str = "") -> int:
    """Return where a word ends: at a space, a ) or one of some characters, outside of quotes."""
    at = start
    quote = ""
    while at < limit:
        character = text[at]
        if character == "\\":
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in QUOTES:
            quote = character
        elif character.isspace() or character == ")" or character in stops:
            return at
        at += 1
    return min(at, limit)


def _bare(text: str) -> str:
    """Return a text without the quotes and backslashes around and in it."""
    found, at = [], 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        elif text[at] in QUOTES:
            at += 1
            continue
        found.append(text[at])
        at += 1
    return "".join(found)


def write_name(name: str) -> str:
    """Return the name of a field as it is written in a filter."""
    return quoted(name, NAME)


def write_value(value: str) -> str:
    """Return a value as it is written in a filter."""
    return quoted(value, SIMPLE)
