"""Whole lines that came in one piece: which of them are plain.

Most lines are: no level, nothing structured, not set in.  One expression for the beginning of a
line, and a few texts that are looked for in the whole piece, tell which may be more; each of those
is then looked at closely.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from logbatch.capture.escapes import as_text, clean, has_marks
from logbatch.capture.lines import BOM, Line
from logbatch.capture.progress import OwnPatterns, find_candidates, find_lines_with

_maybe_more = re.compile(
    r"[\s{<\[(}\])|+*#]"
    r"|[^\s:=._/$\d]{0,100}+[:=._/$\d]"
    r"|[TDIWEFC],? ?\[|[A-Z]{3,}+\b|\S{1,80} - |\S{1,100} \S{1,100} \S{1,100} \["
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"|(?:Traceback|[Ss]tack|Exception|[Ff]atal|[Pp]arse|[Ii]nternal|Current|[Tt]hread|goroutine)\b"
    r"|(?:npm|pnpm|yarn|[Pp][Hh][Pp])\b"
).match
_FIELDS = (b"level=", b"lvl=", b"severity=")


class Piece(NamedTuple):
    """Lines that came in one piece.

    Attributes:
        texts: What is shown of them.
        lines: Those that are more than their text: overwritten, or long.
        more: Indexes of those that may be more than plain, in order.
        progress: Indexes of those that may tell of progress, in order.
        own: Indexes of those in which an expression of the user's own is found.
    """

    texts: list[str]
    lines: dict[int, Line]
    more: list[int]
    progress: list[int]
    own: set[int]


def examine(
    body: bytes,
    make_line: Callable[[bytes], Line],
    longest: int,
    patterns: OwnPatterns | None,
    *,
    is_first: bool,
) -> Piece:
    """Split a piece into lines, and find those that may be more than plain.

    Args:
        body: Whole lines, without the last one's end.
        make_line: Makes a line of its bytes.
        longest: Most characters of a plain line.
        patterns: Expressions of the user's own.
        is_first: Whether the stream begins with it.
    """
    is_text = True
    try:
        text = body.decode()
    except UnicodeDecodeError:
        is_text = False
        text = body.decode("utf-8", "surrogateescape")
    if is_first:
        text = text.removeprefix(BOM)
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
    texts = text.split("\n")
    lines: dict[int, Line] = {}
    if "\r" in text or longest < max(map(len, texts)):
        for index, each in enumerate(texts):
            if "\r" in each or len(each) > longest:
                line = lines[index] = make_line(each.encode("utf-8", "surrogateescape"))
                texts[index] = line.text
    if has_marks(text):
        texts = [each if index in lines else clean(each) for index, each in enumerate(texts)]
    if not is_text:
        texts = [as_text(each) for each in texts]
    if not is_text or has_marks(text):
        body = "\n".join(texts).encode()
    more = {index for index, each in enumerate(texts) if _maybe_more(each)}
    more.update(lines)
    folded = body.lower()
    for field in _FIELDS:
        more.update(find_lines_with(folded, field))
    own = set(patterns.search(texts)) if patterns is not None else set()
    progress = {*find_candidates(body, folded), *own}
    return Piece(texts, lines, sorted(more), sorted(progress), own)
