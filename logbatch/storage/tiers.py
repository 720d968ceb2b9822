"""Which small files to merge: a plan of numbers alone, so that files stay few and work bounded.

The tier of a file is how often the number of its rows can be divided by ten.  Files that follow one
another are merged when

- none of them is in a higher tier than `t`, and together they reach tier `t + 1`: so a record is
  rewritten once for each tier that it rises through;
- smaller ones are stuck before a larger one, where they cannot grow with what is still to come,
  and there are twenty of them: they are merged with what they are stuck before;
- nothing will follow any more, as another day has begun;
- nothing came for some seconds, and small ones together are twice as large as the largest of them.

So what n records leave grows with the logarithm of n, and so does how often one is rewritten.  A
file with half of what one may hold is full, and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

FAN = 10  # so many of one tier make one of the next
_STUCK = 2 * FAN
_SMALL = FAN**3  # rows from which on a file is not worth to be merged before its tier is full


class File(NamedTuple):
    """The records `first..last` of one producer in a file of so many bytes."""

    first: int
    last: int
    size: int

    @property
    def rows(self) -> int:
        """How many records it holds."""
        return self.last - self.first + 1


class Limits(NamedTuple):
    """How much one file may hold."""

    rows: int = 1_000_000
    size: int = 32 << 20

    def is_full(self, file: File) -> bool:
        """Return whether a file is left alone from now on."""
        return 2 * file.rows >= self.rows or 2 * file.size >= self.size


def plan(
    files: Sequence[File], limits: Limits, *, closed: bool = False, idle: bool = False
) -> list[File]:
    """Return the files to merge into one now; none where there is nothing to do.

    Args:
        files: Those of one producer in one folder, in order.
        limits: What one may hold.
        closed: Whether no other file will follow these.
        idle: Whether nothing came for some seconds.
    """
    stretches = list(_stretches(files, limits))
    for at, stretch in enumerate(stretches):
        ends = closed or at + 1 < len(stretches) or stretch[-1] != files[-1]
        if chosen := _choose(stretch, closed=ends, idle=idle):
            return _cut(chosen, limits)
    return []


def may_grow(files: Sequence[File], limits: Limits) -> list[File]:
    """Return those at the end to which others may be added; nothing is to be done for the rest.

    To be asked when there is no plan for them.
    """
    stretches = list(_stretches(files, limits))
    return stretches[-1] if stretches and stretches[-1][-1] == files[-1] else []


def tier(rows: int) -> int:
    """Return how often a number can be divided by ten."""
    found = 0
    while rows >= FAN:
        rows //= FAN
        found += 1
    return found


def _stretches(files: Sequence[File], limits: Limits) -> Iterator[list[File]]:
    """Yield files that follow one another without a gap and without a full one between them."""
    stretch: list[File] = []
    for file in files:
        full = limits.is_full(file)
        if stretch and (full or file.first != stretch[-1].last + 1):
            yield stretch
            stretch = []
        if not full:
            stretch.append(file)
    if stretch:
        yield stretch


def _choose(stretch: Sequence[File], *, closed: bool, idle: bool) -> Sequence[File]:
    if len(stretch) < 2:
        return ()
    if closed:
        return stretch
    tiers = [tier(file.rows) for file in stretch]
    chosen = _find_rising(stretch, tiers) or _find_stuck(stretch, tiers)
    return chosen or (_find_small(stretch) if idle else ())


def _find_rising(stretch: Sequence[File], tiers: Sequence[int]) -> Sequence[File]:
    """Find files of low tiers that together reach a higher one, beginning with the lowest."""
    for highest in sorted(set(tiers)):
        start = rows = 0
        for at, each in enumerate([*tiers, highest + 1]):
            if each <= highest:
                rows += stretch[at].rows
                continue
            if at > start + 1 and rows >= FAN ** (highest + 1):
                return stretch[start:at]
            start, rows = at + 1, 0
    return ()


def _find_stuck(stretch: Sequence[File], tiers: Sequence[int]) -> Sequence[File]:
    """Find files before larger ones, with the last of these, if there are many."""
    stuck, highest = [], -1
    for at in range(len(stretch) - 1, -1, -1):
        if tiers[at] < highest:
            stuck.append(at)
        highest = max(highest, tiers[at])
    return stretch[stuck[-1] : stuck[0] + 2] if len(stuck) >= _STUCK else ()


def _find_small(stretch: Sequence[File]) -> Sequence[File]:
    """Find as many small files as there are whose largest is at most half of them all.

    So the file that a record is in doubles at least.
    """
    best: Sequence[File] = ()
    for start in range(len(stretch)):
        rows = largest = 0
        for stop in range(start, len(stretch)):
            file = stretch[stop]
            if file.rows >= _SMALL:
                break
            rows, largest = rows + file.rows, max(largest, file.rows)
            if 2 * largest <= rows and stop + 1 - start > len(best):
                best = stretch[start : stop + 1]
    return best


def _cut(files: Sequence[File], limits: Limits) -> list[File]:
    """Return as many from the first on as one file may hold: two at least, as none is full."""
    chosen: list[File] = []
    rows = size = 0
    for file in files:
        rows, size = rows + file.rows, size + file.size
        if chosen and (rows > limits.rows or size > limits.size):
            break
        chosen.append(file)
    return chosen
