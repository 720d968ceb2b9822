"""Regular expressions of a filter.

They are RE2's, by way of Arrow: the time is linear in the text whatever the expression, so nobody
can stall a reader with one.  Case does not matter unless it begins with `(?-i)`; `.` is no line
break, unless `(?s)` says so; `^` and `$` are the ends of the text, with `(?m)` of each line.  What
RE2 does not have is an error: to look behind or ahead, and to refer to a group.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from logbatch.storage.arrays import make_array

_PREFIX = "(?i)"
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
    import pyarrow as pa

    pattern = _PREFIX + text
    try:
        search(pattern, [""])
    except pa.ArrowInvalid as error:
        reason = str(error).partition(": ")[2]
        about = reason.partition(": ")[2]
        raise BadPattern(reason, max(text.find(about), 0)) from None
    return pattern


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
