"""A consistent view: every record that is there at one instant, exactly once.

A record moves from its journal into a file, and may move on into another file.  So the journals
are read first and the names of the files second; then each record is taken from one place: where
several files hold it, from one of them, and from the journal only where no file does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from logbatch.dataset.footers import reading
from logbatch.dataset.listing import (
    JOURNAL,
    Damaged,
    Grown,
    Vanished,
    find_folders,
    find_moved,
    find_segment,
    is_foreign,
    look,
)
from logbatch.identity import Ranges
from logbatch.storage.coverage import NoCoverage, read_coverage
from logbatch.storage.segments import Segment, list_files

Spans = tuple[tuple[int, int], ...]
"""Sequences `(first, last)`, in order."""

Taken = tuple[tuple[str, Spans], ...]
"""Producers, and which of their records; of a file that is not compacted there is one producer."""


class PendingLines(Protocol):
    """What a journal still holds: see `logbatch.journal.Pending`."""

    @property
    def producer(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def lines(self) -> bytes: ...
    @property
    def alive(self) -> bool: ...


ReadPending = Callable[[Path], Sequence[PendingLines]]


class Part(NamedTuple):
    """The records that are taken from one file.

    Attributes:
        segment: The file.
        taken: Whose records, and which.
        whole: Whether these are all that the file holds, so that none need be left out.
        stop: The bytes that count of a file that grows; None takes them all.
    """

    segment: Segment
    taken: Taken
    whole: bool = True
    stop: int | None = None

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.segment.path

    @property
    def spans(self) -> Spans:
        """Which records are taken of a file with those of one producer."""
        return self.taken[0][1] if self.taken else ()

    def left_out(self) -> Taken:
        """Return which records of a Parquet file are not taken.

        Raises:
            Vanished, Damaged: It is a compacted one that cannot be read.
        """
        taken = {producer: Ranges(spans) for producer, spans in self.taken}
        found = []
        for producer, spans in make_part(self.segment).taken:
            ranges = taken.get(producer, Ranges())
            if rest := tuple(hole for span in spans for hole in ranges.missing(*span)):
                found.append((producer, rest))
        return tuple(found)

    def only(self, wanted: Mapping[str, Ranges]) -> Part:
        """Take only what is also in a given set."""
        taken = tuple(
            (producer, spans)
            for producer, before in self.taken
            if (spans := _common(wanted, producer, before))
        )
        return self._replace(taken=taken, whole=self.whole and taken == self.taken)


class Tail(NamedTuple):
    """The records that are taken from one journal, of the lines that begin with `first`."""

    producer: str
    first: int
    lines: bytes
    spans: Spans

    def pieces(self) -> list[tuple[int, list[bytes]]]:
        """Return consecutive lines, each without its newline, with the sequence of the first."""
        lines = self.lines.split(b"\n")
        return [(a, lines[a - self.first : b - self.first + 1]) for a, b in self.spans]


class Snapshot(NamedTuple):
    """Where each record is.

    Attributes:
        parts: The files.
        tails: The journals.
        covered: Producer -> the sequences that are there.
        foreign: Files that look as if they held records, but are not ours.
    """

    parts: list[Part]
    tails: list[Tail]
    covered: dict[str, Ranges]
    foreign: list[Path]

    def holes(self) -> set[tuple[str, int, int]]:
        """Return what is missing of each producer before its last record that is there."""
        found = set()
        for producer, ranges in self.covered.items():
            last = max((last for _, last in ranges), default=-1)
            found |= {(producer, *hole) for hole in ranges.missing(0, last)}
        return found

    def within(self, wanted: Mapping[str, Ranges]) -> Snapshot:
        """Keep only the records of a given set."""
        parts, tails = [], []
        for part in (each.only(wanted) for each in self.parts):
            if part.taken:
                parts.append(part)
        for tail in self.tails:
            spans = _common(wanted, tail.producer, tail.spans)
            if spans:
                tails.append(tail._replace(spans=spans))
        return Snapshot(parts, tails, {p: Ranges(r) for p, r in wanted.items()}, self.foreign)


def without(wanted: Mapping[str, Ranges], done: Snapshot) -> dict[str, Ranges]:
    """Leave out of a set of records what was read."""
    rest = dict(wanted)
    for producer, spans in [
        *(taken for part in done.parts for taken in part.taken),
        *((tail.producer, tail.spans) for tail in done.tails),
    ]:
        read = Ranges(spans)
        rest[producer] = Ranges(hole for span in rest[producer] for hole in read.missing(*span))
    return rest


def take_snapshot(
    directory: Path,
    read_pending: ReadPending,
    excluded: Collection[Path] = (),
    growing: MutableMapping[Path, Grown] | None = None,
) -> Snapshot:
    """Look at a directory.

    Args:
        directory: The dataset's.
        read_pending: Reads what the journals of a directory hold.
        excluded: Files that count as not there.
        growing: What is known of growing files, so that only news is read; it is kept up to date.

    Raises:
        DatasetError: The directory cannot be read.
        Vanished: A file went away meanwhile.
        Damaged: A file does not say what it holds.
    """
    pending = read_pending(directory / JOURNAL)  # before the names: see above
    parts: list[Part] = []
    foreign: list[Path] = []
    for folder in find_folders(directory):
        for name in list_files(folder):
            path = folder / name
            segment = None if excluded and path in excluded else find_segment(path)
            if segment is not None:
                parts.append(make_part(segment, growing))
            elif is_foreign(path):
                foreign.append(path)
    covered: dict[str, Ranges] = {}
    return Snapshot(choose(parts, covered), _remaining(pending, covered), covered, sorted(foreign))


def snapshot_of(segments: Iterable[Segment]) -> Snapshot:
    """Return where each record of some files is, each once; nothing grows among them.

    Raises:
        Vanished: A file is gone.
        Damaged: A compacted file does not say what it holds.
    """
    covered: dict[str, Ranges] = {}
    return Snapshot(choose([make_part(each) for each in segments], covered), [], covered, [])


def make_part(segment: Segment, growing: MutableMapping[Path, Grown] | None = None) -> Part:
    """Return which records a file holds.

    Raises:
        Vanished: The file is gone.
        Damaged: It is one that grows and cannot be read, or a compacted one that does not say what
            it holds.
    """
    if segment.last is not None:
        return Part(segment, ((segment.producer, ((segment.first, segment.last),)),))
    if segment.compacted:
        return Part(segment, _read_taken(segment.path))
    known = {} if growing is None else growing
    try:
        with reading(segment.path):
            grown = look(segment.path, segment.producer, known.get(segment.path))
    except (Vanished, Damaged) as error:
        known.pop(segment.path, None)
        moved = find_moved(segment) if isinstance(error, Vanished) else None
        if moved is None:
            raise
        return make_part(moved)
    known[segment.path] = grown
    return Part(segment, ((segment.producer, tuple(grown.ranges)),), grown.plain, grown.stop)


def _read_taken(path: Path) -> Taken:
    try:
        ranges = read_coverage(path).ranges
    except FileNotFoundError:
        raise Vanished(str(path)) from None
    except NoCoverage as error:
        raise Damaged(path, str(error)) from error
    except OSError as error:
        raise Damaged(path, error.strerror or str(error)) from error
    return tuple((producer, tuple(found)) for producer, found in ranges.items())


def choose(parts: list[Part], covered: dict[str, Ranges]) -> list[Part]:
    """Take each record from one file: from that which holds more, where one was made of others.

    Those that are compacted come first, and of two others that begin alike, the longer.

    Args:
        parts: The files, with all that they hold.
        covered: What is taken is added to it; what is in it already is taken from no file.
    """

    def order(part: Part) -> tuple[bool, int, str, int, int, str, Path]:
        segment = part.segment
        if segment.compacted:
            return False, -_count(part.taken), "", 0, 0, "", part.path
        last = part.spans[-1][1] if part.spans else -1
        return True, 0, segment.producer, segment.first, -last, segment.ext, segment.path

    chosen = []
    for part in sorted(parts, key=order):
        taken = []
        for producer, before in part.taken:
            ranges = covered.setdefault(producer, Ranges())
            if spans := _add_new(ranges, before):
                taken.append((producer, spans))
        if taken:
            whole = part.whole and tuple(taken) == part.taken
            chosen.append(part._replace(taken=tuple(taken), whole=whole))
    return chosen


def _count(taken: Taken) -> int:
    return sum(last - first + 1 for _, spans in taken for first, last in spans)


def _remaining(pending: Sequence[PendingLines], covered: dict[str, Ranges]) -> list[Tail]:
    tails = []
    for waiting in pending:
        ranges = covered.setdefault(waiting.producer, Ranges())
        last = waiting.first + waiting.lines.count(b"\n") - 1
        spans = _add_new(ranges, ((waiting.first, last),))
        if spans:
            tails.append(Tail(waiting.producer, waiting.first, waiting.lines, spans))
    return tails


def _add_new(ranges: Ranges, spans: Spans) -> Spans:
    """Add to a set what is not in it yet, and return that."""
    new = tuple(hole for first, last in spans for hole in ranges.missing(first, last))
    for first, last in new:
        ranges.add(first, last)
    return new


def _common(wanted: Mapping[str, Ranges], producer: str, spans: Spans) -> Spans:
    ranges = wanted.get(producer, Ranges())
    return tuple(common for first, last in spans for common in present(ranges, first, last))


def present(ranges: Ranges, first: int, last: int) -> list[tuple[int, int]]:
    """List the parts of `first..last` that are in a set, in order."""
    holes = ranges.missing(first, last)
    starts = [first, *(hole[1] + 1 for hole in holes)]
    stops = [*(hole[0] - 1 for hole in holes), last]
    return [(a, b) for a, b in zip(starts, stops, strict=True) if a <= b]
