r"""Halves of surrogate pairs that stand alone in JSON, as JavaScript writes them of a cut emoji.

JSON's grammar allows `"\ud83d"`, but no UTF-8 can hold what it means, so parsers refuse all of the
text that it stands in.  It is stored as these six characters, as our own encoder has it.
"""

from __future__ import annotations

import re

_MOST = 500_000  # halves in one text; each costs up to a microsecond
_HIGH = rb"[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"[dD][c-fC-F][0-9a-fA-F]{2}"

# What may be half a pair, or look as if it was whole.  Whether its backslash is itself escaped
# is told by how many stand before it.
_SUSPECT = re.compile(
    rb"\\u(?:"
    rb"%(high)b(?!\\u%(low)b)"
    rb"|(?<!\\u%(high)b\\u)%(low)b"
    rb"|(?<=\\\\u)%(high)b(?P<second>\\u%(low)b)"
    rb")" % {b"high": _HIGH, b"low": _LOW}
)


def count_halves(text: bytes) -> int:
    """Return how many halves of pairs, alone or not, are looked at; 0 where there are too many."""
    halves = text.count(rb"\ud") + text.count(rb"\uD")
    return halves if halves <= _MOST else 0


def mark_lone_surrogates(text: bytes) -> bytes:
    r"""Have each mean the six characters that it is written with.

    Args:
        text: JSON; nothing else of it changes.  One with very many halves does not change at all.
    """
    return _SUSPECT.sub(_mark, text) if count_halves(text) else text


def _mark(found: re.Match[bytes]) -> bytes:
    """Put a backslash before that of an escape which stands for half a pair."""
    second = found["second"]
    if not _is_escaped(found.string, found.start()):
        return found[0] if second else b"\\" + found[0]
    return found[0].removesuffix(second) + b"\\" + second if second else found[0]


def _is_escaped(text: bytes, at: int) -> bool:
    """Return whether the character at a place in a JSON string has a backslash that escapes it."""
    size = 16
    while True:
        before = text[max(at - size, 0) : at]
        run = len(before) - len(before.rstrip(b"\\"))
        if run < len(before) or size >= at:
            return run % 2 == 1
        size *= 2
