"""Regular expressions of a filter.

They are RE2's, by way of Arrow: the time is linear in the text whatever the expression, so nobody
can stall a reader with one.  Case does not matter unless it begins with `(?-i)`; `.` is no line
break, unless `(?s)` says so; `^` and `$` are the ends of the text, with `(?m)` of each line.  What
RE2 does not have is an error: to look behind or ahead, and to refer to a group.  So is what only
some versions of it have, and what takes it too long to compile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from logbatch.storage.arrays import make_array

_PREFIX = "(?i)"
_COPIES = 16  # so many copies of an expression must fit into the memory that RE2 gives to one
_BEHIND = re.compile(r"(?:\\.|[^\\])*?(\(\?<)", re.DOTALL)
_PIECE = re.compile(r"\\.|/", re.DOTALL)


class BadPattern(ValueError):
    """A regular expression that is not valid; `at` is where in it that shows."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__(reason)
        self.at = at


def compile_pattern(text: str) -> str:
    """Return the expression in the form that engines with RE2 get.

    Raises:
        BadPattern: It is not valid.
    """
    behind = _BEHIND.match(text)
    if behind:
        raise BadPattern("(?< is not supported, as nothing can look behind", behind.start(1))
    reason = _try(text)
    if reason:
        about = reason.partition(": ")[2]
        raise BadPattern(reason, max(text.find(about), 0))
    if "too large" in _try(_PREFIX + f"(?:{text})" * _COPIES):
        raise BadPattern("it is too large; large numbers in {} make it so", 0)
    return _PREFIX + text


def _try(pattern: str) -> str:
    """Return why a pattern is not valid; an empty text if it is."""
    import pyarrow as pa

    try:
        search(pattern, [""])
    except pa.ArrowInvalid as error:
        return str(error).partition(": ")[2]
    return ""


def search(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Return for each text whether a pattern that `compile_pattern` returned is found in it."""
    import pyarrow.compute as pc

    clean = [text if text.isascii() else text.encode(errors="replace").decode() for text in texts]
    return list(
        map(bool, pc.match_substring_regex(make_array(clean, "string"), pattern).to_pylist())
    )


def with_escaped_slashes(text: str) -> str:
    """Return an expression as it is written between slashes."""
    return _PIECE.sub(lambda piece: "\\/" if piece[0] == "/" else piece[0], text)


def without_escaped_slashes(text: str) -> str:
    """Return an expression that was written between slashes as it is without them."""
    return _PIECE.sub(lambda piece: "/" if piece[0] == "\\/" else piece[0], text)
