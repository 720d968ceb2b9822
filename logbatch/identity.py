"""Who wrote a record and which one it is: producer ids, sequence ranges, segment names.

A record is identified for ever by its producer and its place in that producer's journal.  A file
that holds the records `first..last` of a producer says so in its name, so a directory listing is
the ledger of what was published.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LAST_SEQUENCE = 10**13
"""The greatest number that a record can have: at a million a second, that takes four months."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case
_PRODUCER = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_SEGMENT = re.compile(
    r"(?P<producer>[0-7][0-9a-hjkmnp-tv-z]{25})-(?P<first>0|[1-9][0-9]{0,18})"
    r"-(?P<last>0|[1-9][0-9]{0,18})\.(?P<ext>[a-z0-9.]+)"
)


_of_process = (0, b"")  # a process id, and the bytes that are in all ids which it makes


def new_producer() -> str:
    """Make the id of a producer: 26 characters, random, sortable by time.

    The form is a ULID in lower case: 48 bits of milliseconds, 80 random bits.  The first 40 of
    these are the same in all ids of one process, and others after a fork: see `process_of`.
    Source: https://github.com/ulid/spec
    """
    global _of_process  # noqa: PLW0603  # not every fork calls Python's hooks, so the pid tells
    pid = os.getpid()
    if pid != _of_process[0]:
        _of_process = (pid, os.urandom(5))
    random = int.from_bytes(_of_process[1] + os.urandom(5), "big")
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1  # a clock may show anything
    number = milliseconds << 80 | random
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def process_of(producer: str) -> str:
    """Return what the ids of all producers of one process have in common, and no others have.

    A process has a producer for each handler and processor, and another one after it was closed.
    """
    return producer[10:18]


def is_producer(text: str) -> bool:
    """Return whether a text has the form of a producer id."""
    return _PRODUCER.fullmatch(text) is not None


class SegmentName(NamedTuple):
    """What the name of a published file says: `<producer>-<first>-<last>.<ext>`."""

    producer: str
    first: int
    last: int
    ext: str

    def __str__(self) -> str:
        return f"{self.producer}-{self.first}-{self.last}.{self.ext}"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        """Read a file name; None where it is not the name of a segment."""
        match = _SEGMENT.fullmatch(name)
        if match is None:
            return None
        first, last = int(match["first"]), int(match["last"])
        return cls(match["producer"], first, last, match["ext"]) if first <= last else None


class Ranges:
    """A set of integers kept as sorted, merged, inclusive ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Add `first..last`, both included."""
        low = bisect_right(self._firsts, first) - 1
        if low < 0 or self._lasts[low] < first - 1:
            low += 1
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(tuple(self._firsts), tuple(self._lasts), strict=True)

    def count(self) -> int:
        """Return how many integers are in the set.

        It has no `len`: `tuple` and `list` would take that for the number of ranges, and reserve
        memory for a thousand million of them.
        """
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """List the parts of `first..last` that are not in the set, in order."""
        holes = []
        at = max(bisect_right(self._firsts, first) - 1, 0)
        while first <= last:
            if at == len(self._firsts) or self._firsts[at] > last:
                holes.append((first, last))
                break
            if self._firsts[at] > first:
                holes.append((first, self._firsts[at] - 1))
            first = max(first, self._lasts[at] + 1)
            at += 1
        return holes
