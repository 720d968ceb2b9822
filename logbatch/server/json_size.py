"""Count what is in a JSON text without building any of it.

A parser makes an object of each value before anybody can say that there are too many.  What is
counted here first costs a pass over the text, or some.
"""

from __future__ import annotations

import re

from logbatch.server.limits import Refusal

# Strings are passed over whole; the quantifiers are possessive, so that nothing is tried twice.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_BRACKETS = re.compile(rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
_TOKENS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_CHEAP = 20  # values for each entry that is allowed; so many are not worth a closer look
_FEW = 1000  # entries that are allowed, at the least, as far as these two are concerned


def count_values(text: bytes, most: int) -> int:
    """Return about how many values a text has: never fewer than a parser builds objects of.

    Args:
        text: JSON.
        most: How many are allowed.

    Raises:
        Refusal: There are more (413).
    """
    commas, opened = text.count(b","), text.count(b"[") + text.count(b"{")
    # Quotation marks are two of a string; each value of an object has a key, too.
    if max(commas, opened, text.count(b'"') // 4) > most:
        raise Refusal(413, "the body holds too many values")
    return commas + opened


def has_more_entries(text: bytes, most: int) -> bool:
    """Return whether the array in a text has more entries than allowed, if it has very many.

    Args:
        text: An array, or an object with arrays directly in it, all of which count.
        most: How many entries are allowed.
    """
    if text.count(b",") < max(most, _FEW) * _CHEAP:
        return False  # the parser says exactly how many there are, at little cost
    inside = 1 if text.lstrip()[:1] == b"[" else 2
    depth, commas = 0, 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif token == b"," and depth == inside:
            commas += 1
            if commas >= most:
                return True
    return False


def is_deeper(text: bytes, most: int) -> bool:
    """Return whether a JSON value is nested deeper than allowed."""
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    depth = at = 0
    while match := _BRACKETS.match(text, at):  # a search would look again from each byte behind it
        depth += 1 if match[1] in b"[{" else -1
        if depth > most:
            return True
        at = match.end()
    return False
