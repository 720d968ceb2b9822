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


def count_values(text: bytes, most: int) -> int:
    """Return about how many values a text has: never fewer than a parser builds objects of.

    Args:
        text: JSON.
        most: How many are allowed.

    Raises:
        Refusal: There are more (413).
    """
    commas, opened = text.count(b","), text.count(b"[") + text.count(b"{")
    if max(commas, opened) > most:
        raise Refusal(413, "the body holds too many values")
    return commas + opened


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
