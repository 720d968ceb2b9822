"""Count what is in a JSON text without building any of it.

A parser makes an object of each value before anybody can say that there are too many.  What is
counted here first costs no more than a pass over the text.
"""

from __future__ import annotations

import re

# Strings are passed over whole; the quantifiers are possessive, so that nothing is tried twice.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[\]{},]', re.DOTALL)
_CHEAP = 20  # values for each entry that is allowed; so many are not worth a closer look


def has_more_entries(text: bytes, most: int) -> bool:
    """Tell whether the array in a text has more entries than allowed.

    Args:
        text: An array, or an object with arrays directly in it, all of which count.
        most: How many entries are allowed.
    """
    if text.count(b",") < max(most, 1) * _CHEAP:
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
    """Tell whether a JSON text is nested deeper than allowed."""
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    depth = 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > most:
                return True
        elif token in b"]}":
            depth -= 1
    return False
