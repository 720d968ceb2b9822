"""Progress: how far a program says it is.

What counts is a share (`42%`), a step (`step 3`, `Step 3/10`), a count (`3/10`, `1.2/3.4 MB`), and
a line with the word complete, error or warning.  The expressions take linear time: whatever they
repeat is bounded.

Expressions of one's own are RE2's, by way of Arrow, whose time is linear whatever the expression;
it is loaded when there are any.  They are searched for in the first and the last `ENDS` characters
of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from logbatch.capture.escapes import is_binary

ENDS = 1000
SHOWN = 80  # characters

_NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
_SHARE = re.compile(r"(?<![\w.,])\d{1,3}(?:\.\d{1,6})? ?%(?![\w%])", re.ASCII)
_STEP = re.compile(rf"\bstep #?\d{{1,12}}(?:(?:/| of ){_NUMBER})?\b", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(
    rf"(?<![\w./:-])({_NUMBER}) ?([kKMGT]?i?B)?/ ?({_NUMBER})(?: ?[kKMGT]?i?B\b)?(?![\w/:-]|\.\d)",
    re.ASCII,
)
_WORD = re.compile(r"\b(?:completed?|error|warning)\b", re.IGNORECASE | re.ASCII)

_NEEDLES = (b"%", b"step", b"complete", b"error", b"warning")
_FRACTION = re.compile(rb"\d[ kKMGTiB]{0,4}/ ?\d")


def find_progress(text: str, *, words: bool = True) -> str | None:
    """Return what a line says about progress; None if nothing.

    Args:
        text: The line.
        words: Whether a word counts, too.
    """
    if is_binary(text):
        return None
    text = _ends_of(text)
    if "%" in text and (found := _last(_SHARE, text)) and _is_share(found):
        return found
    if (found := _last(_STEP, text)) is not None:
        return found
    if "/" in text and (found := _last_count(text)) is not None:
        return found
    if words and _WORD.search(text):
        return _shorten(text)
    return None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match[0]
    return found


def _is_share(text: str) -> bool:
    return float(text.rstrip(" %")) <= 100


def _last_count(text: str) -> str | None:
    found = None
    for match in _COUNT.finditer(text):
        part, unit, whole = match.groups()
        if float(whole) > 0 and (unit or float(part) <= float(whole)):
            found = match[0]
    return found


def _shorten(text: str) -> str:
    text = " ".join(text[: 4 * SHOWN].split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _ends_of(text: str) -> str:
    return text if len(text) <= 2 * ENDS else f"{text[:ENDS]}\n{text[-ENDS:]}"


def find_candidates(body: bytes, folded: bytes) -> Iterator[int]:
    """Find the lines of a piece in which `find_progress` may find something, by their index.

    Some may come twice.

    Args:
        body: The lines.
        folded: The same in small letters.
    """
    for needle in _NEEDLES:
        yield from find_lines_with(folded, needle)
    if b"/" in body:
        index = at = 0
        while found := _FRACTION.search(body, at):
            index += body.count(b"\n", at, found.start())
            yield index
            at = body.find(b"\n", found.start())
            if at < 0:
                return


def find_lines_with(body: bytes, needle: bytes) -> Iterator[int]:
    """Find the lines of a piece that hold a text, by their index."""
    index = at = 0
    while (found := body.find(needle, at)) >= 0:
        index += body.count(b"\n", at, found)
        yield index
        at = body.find(b"\n", found)
        if at < 0:
            return


class OwnPatterns:
    """Expressions that the user gives.

    Args:
        patterns: In RE2's syntax; case does not matter unless one begins with `(?-i)`.

    Raises:
        ValueError: One is not valid.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        from logbatch.dataset.filter.patterns import BadPattern, compile_pattern

        self._patterns: list[tuple[str, str]] = []
        for pattern in patterns:
            try:
                compiled = compile_pattern(pattern)
            except BadPattern as error:
                raise ValueError(
                    f"the progress pattern {pattern!r} is not valid: {error}"
                ) from None
            self._patterns.append((compiled, _with_group(compiled)))

    def search(self, texts: Sequence[str]) -> list[int]:
        """Return the indexes of the lines in which one of them is found, in order."""
        from logbatch.dataset.filter.patterns import search

        looked = [_ends_of(text) for text in texts]
        found: set[int] = set()
        for pattern, _ in self._patterns:
            hits = search(pattern, looked)
            found.update(index for index, is_hit in enumerate(hits) if is_hit)
        return sorted(found)

    def find(self, text: str) -> str | None:
        """Return what the first of them that is found in a line finds: its first group, or all."""
        from logbatch.dataset.filter.patterns import search

        text = _ends_of(text)
        for pattern, extraction in self._patterns:
            if search(pattern, [text])[0]:
                return _shorten(_extract(text, extraction)) or _shorten(text)
        return None


def _with_group(pattern: str) -> str:
    """Return an expression for a whole text that captures what is wanted of it, as group 1."""
    import pyarrow as pa

    plain = rf"(?s)\A.*?({pattern}).*\z"
    try:
        _replace(plain, "", r"\2")
    except pa.ArrowInvalid:
        return "1" + plain
    return "2" + plain


def _extract(text: str, extraction: str) -> str:
    group, pattern = extraction[0], extraction[1:]
    return _replace(pattern, text, rf"\{group}") or _replace(pattern, text, r"\1")


def _replace(pattern: str, text: str, by: str) -> str:
    import pyarrow.compute as pc

    from logbatch.storage.arrays import make_array

    clean = text.encode(errors="replace").decode()
    return str(
        pc.replace_substring_regex(
            make_array([clean], "string"), pattern=pattern, replacement=by, max_replacements=1
        )[0].as_py()
    )
