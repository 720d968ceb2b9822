"""Prove that nothing is missing and nothing is there twice, from the numbers of the records.

A producer numbers its records 0, 1, 2 … without gaps, so a number that is neither in a file nor in
a journal is a record that was lost: unless the log itself says that it was dropped, or it was
refused by the destination and stands among the dead letters.  What a producer logged last of all
and never reached a journal has no number, and is not seen here.

A number that no process can reach is a forgery or a mistake: it is told as such, and nothing is
missing before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from logbatch.dataset.filter.comparisons import as_object
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.footers import FIXED
from logbatch.dataset.leftovers import find_leftovers
from logbatch.dataset.listing import JOURNAL, Damaged, Vanished
from logbatch.dataset.runs import Runs, read_runs
from logbatch.dataset.snapshot import Part, Spans, make_part, present
from logbatch.dataset.source import Source
from logbatch.dataset.tables import scan
from logbatch.identity import LAST_SEQUENCE, Ranges, is_producer, process_of
from logbatch.storage.coverage import Coverage, read_coverage
from logbatch.storage.retired import DamagedNote, read_retired
from logbatch.storage.segments import list_segments

LOSSES = 'logger=logbatch message~"logbatch dropped "'
"""The filter of the records by which losses are told in the log itself."""

RETIRED = "removed by retention"

_SHOWN = 10  # runs that are listed of a file which does not hold what it says

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Loss:
    """Records that are not there, for a reason that was told.

    Attributes:
        first: Sequence of the first.
        last: Sequence of the last.
        kind: `"dropped"` by the library, `"rejected"` by the destination, or `"retired"`: removed
            by retention, for their age or to make room.
        reason: In the words of whoever dropped or rejected them.
    """

    first: int
    last: int
    kind: str
    reason: str


@dataclass(frozen=True)
class ProducerReport:
    """What became of the records of one producer; each list holds sequences `(first, last)`.

    Attributes:
        producer: Whose records.
        present: In files.
        pending: In its journal only, so far.
        missing: Nowhere, for no reason that was told: the gaps.
        twice: In more than one place of the files.
        accounted: Not there, for a reason that was told.
        alive: Whether the process is still there; None where nothing tells.
    """

    producer: str
    present: Spans
    pending: Spans
    missing: Spans
    twice: Spans
    accounted: tuple[Loss, ...]
    alive: bool | None


@dataclass(frozen=True)
class Report:
    """What was found in a directory.

    Attributes:
        directory: Where.
        producers: One report for each producer, in the order in which they began.
        problems: What could not be read, or contradicts its own name.
        unnumbered: Records that were dropped before they had a number, by reason.
        leftovers: Files that were merged into others and are still there: they count as not there.
    """

    directory: str
    producers: tuple[ProducerReport, ...]
    problems: tuple[str, ...]
    unnumbered: Mapping[str, int]
    leftovers: tuple[str, ...] = ()

    @property
    def gaps(self) -> int:
        """How many records are missing."""
        return sum(count(producer.missing) for producer in self.producers)

    @property
    def repeated(self) -> int:
        """How many records are there more than once."""
        return sum(count(producer.twice) for producer in self.producers)

    @property
    def processes(self) -> int:
        """How many processes logged them; each has one producer or more."""
        return len({process_of(producer.producer) for producer in self.producers})

    @property
    def ok(self) -> bool:
        """Whether each record is there, and once, and everything could be read."""
        return not (self.gaps or self.repeated or self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON knows, its conclusions first."""
        totals = {"ok": self.ok, "gaps": self.gaps, "repeated": self.repeated}
        return {**totals, **asdict(self), "unnumbered": dict(self.unnumbered)}


def count(spans: Spans) -> int:
    """Count the records in spans."""
    return sum(last - first + 1 for first, last in spans)


def verify(path: str | PathLike[str]) -> Report:
    """Check a directory.  The processes that write to it may go on meanwhile.

    Args:
        path: The directory.

    Raises:
        DatasetError: The directory cannot be read.
    """
    return check(Source(Path(path).absolute()))


def check(source: Source) -> Report:
    """Check what a source reads; see `verify`."""
    known: dict[Path, dict[str, Runs]] = {}
    return source.retry(lambda snapshot: _Check(source, known).run())


class _Check:
    """One pass over a directory.

    Args:
        source: The directory.
        known: What was found in files that never change, by an earlier pass.
    """

    def __init__(self, source: Source, known: dict[Path, dict[str, Runs]]) -> None:
        self._source = source
        self._known = known
        self._present: dict[str, Ranges] = {}
        self._twice: dict[str, Ranges] = {}
        self._pending: dict[str, Ranges] = {}
        self._alive: dict[str, bool | None] = {}
        self._losses: list[tuple[str, Loss, int]] = []  # producer, span, how many of it
        self._unnumbered: dict[str, int] = {}
        self._problems: list[str] = []

    def run(self) -> Report:
        directory = self._source.directory
        self._read_pending()  # before the files: what moves meanwhile is seen in both
        parts = list(self._list_parts())
        self._source.files = len(parts)
        leftovers = find_leftovers(parts)
        for part in parts:
            self._source.looked_at.add(part.path)
            if part.path not in leftovers:
                self._count(part)
        self._read_dropped()
        self._read_rejected(directory / JOURNAL / "rejected")
        self._read_retired(directory / JOURNAL)
        names = {*self._present, *self._pending, *(producer for producer, _, _ in self._losses)}
        reports = tuple(self._report(producer) for producer in sorted(names))
        problems = tuple(dict.fromkeys([*self._source.problems, *self._problems]))
        left = tuple(map(str, sorted(leftovers)))
        return Report(str(directory), reports, problems, self._unnumbered, left)

    # ------------------------------------------------------------------ what is there

    def _read_pending(self) -> None:
        for pending in self._source.read_pending(self._source.directory / JOURNAL):
            last = pending.first + pending.lines.count(b"\n") - 1
            for span in self._possible(pending.producer, [(pending.first, last)]):
                self._pending.setdefault(pending.producer, Ranges()).add(*span)
            self._alive[pending.producer] = pending.alive

    def _possible(
        self, producer: str, spans: Iterable[tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        """Yield the spans that a process can have logged, and note the others."""
        for first, last in spans:
            if _is_possible(first, last):
                yield first, last
            else:
                which = f"{producer}: the records {first}-{last}"
                self._problems.append(f"{which} are beyond what a process can log; not counted")

    def _add(self, producer: str, first: int, last: int) -> None:
        there = self._present.setdefault(producer, Ranges())
        for span in present(there, first, last):
            self._twice.setdefault(producer, Ranges()).add(*span)
        there.add(first, last)

    def _list_parts(self) -> Iterator[Part]:
        for segment in list_segments(self._source.directory):
            try:
                yield make_part(segment)
            except (Vanished, Damaged) as error:
                self._source.leave_out(error)

    def _count(self, part: Part) -> None:
        """Count what a file holds, each record as often as it is in there."""
        try:
            found = self._known.get(part.path) or read_runs(part)
        except (Vanished, Damaged) as error:
            self._source.leave_out(error)
            return
        if not part.segment.growing:
            self._known[part.path] = found
        self._compare(part, found)
        for producer, spans in found.items():
            for span in self._possible(producer, spans):
                self._add(producer, *span)

    def _compare(self, part: Part, found: Mapping[str, Runs]) -> None:
        """Note a file that does not hold what it says."""
        segment = part.segment
        said = Coverage({producer: Ranges(spans) for producer, spans in part.taken})
        if segment.compacted:
            said = read_coverage(segment.path)
            if said.retired:
                self._note_retired(said.ranges)
        if not (segment.growing or _agrees(found, said)):
            what = "footer" if segment.compacted else "name"
            holds = f"it holds {_describe(found)}, not what its {what} says"
            self._problems.append(f"{segment.path}: {holds}")

    # ------------------------------------------------------------------ what is known to be lost

    def _read_dropped(self) -> None:
        schema = pa.schema([FIXED.field(name) for name in ("logger", "attributes")])
        found = self._source.snapshot()
        told = found._replace(parts=[part for part in found.parts if self._may_tell(part)])
        table = scan(self._source, told, schema, Filter.parse(LOSSES))
        for logger, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
            fields = as_object(text)
            dropped, reason = fields.get("dropped"), str(fields.get("reason"))
            producer, first, last = (fields.get(key) for key in ("producer", "first", "last"))
            if not isinstance(dropped, int) or logger != "logbatch":
                continue
            if isinstance(first, int) and isinstance(last, int) and is_producer(str(producer)):
                for span in self._possible(str(producer), [(first, last)]):
                    loss = Loss(*span, "dropped", reason)
                    self._losses.append((str(producer), loss, dropped))
            else:
                self._unnumbered[reason] = self._unnumbered.get(reason, 0) + dropped

    def _may_tell(self, part: Part) -> bool:
        """Return whether a record of ours may be in a file, as far as its end tells."""
        return part.segment.ext != "parquet" or self._source.footer(part).may_have_logger(
            "logbatch"
        )

    def _read_rejected(self, directory: Path) -> None:
        try:
            letters = {
                directory / name: (directory / name).read_bytes()
                for name in sorted(os.listdir(directory))
                if name.endswith(".jsonl")
            }
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._problems.append(f"{error.filename}: {error.strerror}")
            return
        for path, data in letters.items():
            bad = 0
            for line in data.splitlines():
                try:
                    letter = _decode(line)
                    producer, at = str(letter["producer"]), int(letter["sequence"])
                    loss = Loss(at, at, "rejected", str(letter.get("reason")))
                except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError):
                    bad += 1
                    continue
                if is_producer(producer) and _is_possible(at, at):
                    self._losses.append((producer, loss, 1))
                else:
                    bad += 1
            if bad:
                self._problems.append(f"{path}: {bad} dead letters cannot be read")

    def _read_retired(self, journal: Path) -> None:
        try:
            self._note_retired(read_retired(journal).ranges)
        except DamagedNote as error:
            self._problems.append(str(error))
        except OSError as error:
            self._problems.append(f"{error.filename}: {error.strerror}")

    def _note_retired(self, ranges: Mapping[str, Ranges]) -> None:
        """Note records that are not missing if they are not there: they were removed."""
        for producer, spans in ranges.items():
            for first, last in spans:
                loss = Loss(first, last, "retired", RETIRED)
                self._losses.append((producer, loss, last - first + 1))

    # ------------------------------------------------------------------ what follows

    def _report(self, producer: str) -> ProducerReport:
        there = self._present.get(producer, Ranges())
        waiting = self._pending.get(producer, Ranges())
        known = Ranges([*there, *waiting])
        losses = [(loss, events) for name, loss, events in self._losses if name == producer]
        ends = [*(last for _, last in known), *(loss.last for loss, _ in losses)]
        holes = Ranges(known.missing(0, max(ends, default=-1)))
        accounted = self._account(producer, losses, holes)
        told = Ranges((loss.first, loss.last) for loss in accounted)
        return ProducerReport(
            producer,
            present=tuple(there),
            pending=_minus(waiting, there),
            missing=_minus(holes, told),
            twice=tuple(self._twice.get(producer, ())),
            accounted=tuple(accounted),
            alive=self._alive.get(producer),
        )

    def _account(self, producer: str, losses: list[tuple[Loss, int]], holes: Ranges) -> list[Loss]:
        """List the losses that explain holes; one that explains more than it says explains none."""
        accounted: list[Loss] = []
        told = Ranges()
        for loss, events in sorted(losses, key=_by_kind):
            spans = present(holes, loss.first, loss.last)
            if count(tuple(spans)) > events:
                text = f"{count(tuple(spans))} are missing where {events} were said to be dropped"
                self._problems.append(f"{producer}: of {loss.first}-{loss.last} {text}")
                continue
            for span in spans:
                for first, last in told.missing(*span):
                    told.add(first, last)
                    _append(accounted, Loss(first, last, loss.kind, loss.reason))
        return accounted


def _by_kind(told: tuple[Loss, int]) -> tuple[bool, int, int]:
    """Order losses: what was dropped and removed later is told as dropped."""
    loss, _ = told
    return loss.kind == "retired", loss.first, loss.last


def _is_possible(first: int, last: int) -> bool:
    return 0 <= first <= last <= LAST_SEQUENCE


def _append(losses: list[Loss], loss: Loss) -> None:
    before = losses[-1] if losses else None
    if before and (before.last + 1, before.kind, before.reason) == (
        loss.first,
        loss.kind,
        loss.reason,
    ):
        losses[-1] = Loss(before.first, loss.last, loss.kind, loss.reason)
    else:
        losses.append(loss)


def _minus(ranges: Ranges, other: Ranges) -> Spans:
    return tuple(hole for first, last in ranges for hole in other.missing(first, last))


def _agrees(found: Mapping[str, Runs], said: Coverage) -> bool:
    """Return whether a file holds what it says, each record once."""
    missing = 0
    for producer in {*found, *said.ranges}:
        there = Ranges(found.get(producer, ()))
        if sum(last - first + 1 for first, last in found.get(producer, ())) != there.count():
            return False
        told = said.ranges.get(producer, Ranges())
        if any(told.missing(*span) for span in there):
            return False
        missing += told.count() - there.count()
    return missing == said.retired


def _describe(found: Mapping[str, Runs]) -> str:
    if len(found) > 1:
        return f"other records of {len(found)} producers"
    runs = [f"{first}-{last}" for spans in found.values() for first, last in spans]
    return ", ".join(runs[:_SHOWN]) + (", …" if len(runs) > _SHOWN else "") or "nothing"
