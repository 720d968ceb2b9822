"""What becomes of the output of one run: its spool is made into events and into rows.

Events go to a batcher, raw output to `runs.db`; each has its own place in the spool, and neither
waits for the other.  The same steps are taken while a run goes on, and for a run whose process
died; which events there are already is then told by the events themselves.
"""

from __future__ import annotations

import contextlib
import signal
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from logbatch.batching.batcher import Batcher
from logbatch.capture.chunk import STREAMS, Chunk
from logbatch.capture.convert import Converter, Made
from logbatch.capture.notes import Ending, Mark, Notes, NotesFile
from logbatch.capture.rows import Rows
from logbatch.capture.spool import SpoolReader
from logbatch.capture.structured import Level
from logbatch.events.event import LineEncoder
from logbatch.events.fields import Event
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Execution, Executions

LOGGER = "run"

_STEP = 1 << 20  # bytes of the spool that are taken at once
_SYNC_EVERY = 1.0  # seconds
_SIGN_EVERY = 10.0  # seconds between two signs of life of a command that prints nothing
_HELD = 256 << 20  # bytes of the spool that a line without an end may hold
_BACKLOG = 64 << 20  # bytes of events that wait: what comes later waits in the spool
_AT_ONCE = 1 << 30  # a level that no batch waits with


_INFO, _WARNING, _ERROR = ("INFO", 20), ("WARNING", 30), ("ERROR", 40)


class _Piece(NamedTuple):
    """A piece that is not yet wholly in events: where it is, and what it reaches in its stream."""

    position: int
    behind: int


class Recording:
    """The output of one run on its way.  It belongs to one thread.

    Args:
        spool: The directory of the spool.
        run: The run.
        converter: Makes events.
        encoder: Makes the last one.
        batcher: Takes events.
        executions: Where rows go; None where there are none.
        owner: The process that runs it; None for this one.
        keep_output: Whether the rows have the output, too.
        report: Called (kind, text) where something goes wrong.
        is_finished: Whether nobody fills the spool any more.
        is_told: Whether there is known to be an event that says how the run ended.
    """

    def __init__(
        self,
        spool: Path,
        run: Execution,
        converter: Converter,
        encoder: LineEncoder,
        batcher: Batcher,
        executions: Executions | None,
        *,
        owner: Owner | None = None,
        keep_output: bool = True,
        report: Callable[[str, str], object],
        is_finished: bool = False,
        is_told: bool = False,
    ) -> None:
        self.converter = converter
        self.sizes = dict.fromkeys(STREAMS, 0)
        self._spool = spool
        self._run = run
        self._encoder = encoder
        self._batcher = batcher
        self._report = report
        self._rows: Rows | None = None
        if executions is not None:
            read = self._read if keep_output else None
            self._rows = Rows(executions, run, owner, read, report)
        self._keep_output = keep_output and executions is not None
        self._reader = SpoolReader(spool, is_finished=is_finished)
        self._notes_file = NotesFile(spool)
        self._notes = self._notes_file.read()
        self._after = dict(self._notes.after)  # the last line of each stream that is in an event
        self._is_told = self._notes.is_told or is_told
        self._pending: list[Made] = []  # events for which there was no room yet
        self._outstanding: dict[str, deque[_Piece]] = {stream: deque() for stream in STREAMS}
        self._events_at = 0  # position in the spool
        # When there was something last, in seconds since the epoch.
        self._seen = max(self._notes.seen, run.started_at)
        self._synced_time = 0.0
        self._cannot_read = False

    @property
    def taken(self) -> int:
        """The position in the spool up to which all has been taken."""
        if self._rows is None or not self._keep_output:
            return self._events_at
        return min(self._events_at, self._rows.at)

    # ------------------------------------------------------------------ steps

    def step(self, now: float) -> bool:
        """Take a piece of what is there, and return whether there was any.

        Args:
            now: Seconds since the epoch.
        """
        took = self._take_events(now)
        self._seen = now
        if not 0 <= now - self._notes.seen < _SIGN_EVERY:
            self._note()
        took = self._take_due_rows(now) or took
        if not 0 <= now - self._synced_time < _SYNC_EVERY:
            self._synced_time = now
            self._free()
        return took

    def waits(self) -> bool:
        """Return whether something waits for its time, though nothing comes."""
        rows = self._rows is not None and self._rows.waits(self._events_at, self.converter.progress)
        return rows or bool(self._pending) or self.converter.waits_until() is not None

    def finish(self, ending: Ending) -> bool:
        """Take what is left, and how the run ended; return whether all went through.

        What did not go through stays in the spool, for whoever comes later.

        Args:
            ending: How it ended.
        """
        all_events, all_rows = self._finish_events(ending), True
        if self._rows is not None:
            all_rows = self._rows.finish(
                self._end_of(ending), ending.code, self.converter.progress, self._count_lines()
            )
        return all_events and all_rows and not self._cannot_read

    def _finish_events(self, ending: Ending) -> bool:
        now = self._end_of(ending)
        self._notes = msgspec.structs.replace(self._notes, ending=ending)
        self._note()
        while self._take_events(now) or (self._pending and self._wait_for_room()):
            self._take_due_rows(now)
        if self._cannot_read or self._pending:
            return False
        self._pending = self.converter.end()
        if not self._is_told:
            self._pending.append((*self._last_event(ending), True))
        while not self._append_pending():
            if not self._wait_for_room():
                return False
        self._is_told = True
        self._note()
        return self._batcher.keeps_all()

    def _take_due_rows(self, now: float) -> bool:
        """Store a piece of the spool, if that is due; return whether there was one."""
        rows, progress, lines = self._rows, self.converter.progress, self._count_lines()
        if rows is None or not rows.are_due(now, self._events_at, progress, lines):
            return False
        return rows.take(now, progress, lines)

    def _end_of(self, ending: Ending) -> float:
        """Return when the run ended or, where nobody saw that, gave its last sign of life."""
        return self._seen if ending.at is None else ending.at

    def close(self) -> None:
        """Let go of the files; they stay."""
        self._reader.close()
        self._notes_file.close()

    # ------------------------------------------------------------------ events

    def _take_events(self, now: float) -> bool:
        """Make events of a piece of the spool; return whether there was one."""
        if self._pending and not self._append_pending():
            return False
        chunks = self._read(self._events_at)
        for chunk in chunks:
            size = chunk.offset + len(chunk.data)
            self._pending += self.converter.feed(chunk)
            self._outstanding[chunk.stream].append(_Piece(self._events_at, size))
            self.sizes[chunk.stream] = size
            self._events_at = chunk.end
            self._seen = max(self._seen, chunk.time)
        if not chunks:
            self._pending += self.converter.tick(now)
        self._append_pending()
        return bool(chunks)

    def _append_pending(self) -> bool:
        """Hand the events to the batcher; return whether it had room for all of them."""
        waiting = len(self._pending)
        while self._pending:
            count, size = self._count_fitting()
            if not self._batcher.has_room(size, _BACKLOG):
                break
            events, self._pending = self._pending[:count], self._pending[count:]
            wakes = max(_AT_ONCE if now else level for _, level, now in events)
            for line, _, _ in events[:-1]:
                self._batcher.append(line, 0)
            self._batcher.append(events[-1][0], wakes)  # all of them are woken for at once
            if self._pending:
                self._after.update(_last_lines(events))
        if len(self._pending) < waiting:
            self._note()
        return not self._pending

    def _count_fitting(self) -> tuple[int, int]:
        """Return how many events go together, and their bytes: all, unless the journal is small."""
        ends = list(accumulate(len(line) for line, _, _ in self._pending))
        most = self._batcher.options.max_journal_bytes // 4
        count = len(ends) if ends[-1] <= most else max(bisect_right(ends, most), 1)
        return count, ends[count - 1]

    def _wait_for_room(self) -> bool:
        """Wait for the destination; return whether that makes room."""
        before = self._batcher.stats().pending
        if not before:  # the disk is full, but not of what waits for the destination
            return False
        return self._batcher.flush() or self._batcher.stats().pending < before

    def _note(self) -> None:
        """Note how far the output has become events, and that this process lives."""
        marks = self._notes.marks
        if not self._pending and self._batcher.keeps_all():  # or they are made again if we die
            starts = self.converter.starts()
            marks = {stream: Mark(*starts[stream]) for stream in STREAMS}
        self._notes = Notes(
            marks,
            dict(self._after),
            self._seen,
            self._is_told,
            self._notes.ending,
            self._notes.turn + 1,
        )
        with contextlib.suppress(OSError):  # after a crash a little more is looked at
            self._notes_file.write(self._notes)

    def _last_event(self, ending: Ending) -> tuple[bytes, int]:
        text, (name, level) = describe(self._run.command, ending)
        attributes: dict[str, Any] = {
            "run_id": self._run.id,
            "command": self._run.command,
            "event": "end",
            "status": None if ending.code is None else shell_status(ending.code),
            "duration": ending.seconds,
            "lines_printed": self._count_lines(),
            "bytes_printed": sum(self.sizes.values()),
        }
        if ending.code is not None and ending.code < 0:
            attributes["signal"] = -ending.code
        if ending.lost:
            attributes["bytes_lost"] = ending.lost
        moment = datetime.fromtimestamp(self._end_of(ending), UTC)
        event = Event(moment, name, level, LOGGER, text, process=self._run.pid)
        event.attributes = attributes
        return self._encoder.event(event), level

    def _count_lines(self) -> int:
        return sum(line - 1 for _, line in self.converter.starts().values())

    # ------------------------------------------------------------------ the spool

    def _read(self, position: int) -> list[Chunk]:
        try:
            return self._reader.read(position, _STEP)
        except OSError as error:
            self._cannot_read = True
            self._report("spool", f"cannot read {self._spool} ({error.strerror}); it stays")
            return []

    def _free(self) -> None:
        """Remove what has been taken from the spool, and bring the rest to the disk."""
        taken = self.taken
        if self._events_at - self._settled() > _HELD:  # a line without an end holds it up
            for stream, pieces in self._outstanding.items():
                if pieces and pieces[0].position == self._settled():
                    self._pending += self.converter.end(stream)
        with contextlib.suppress(OSError):  # it survives the end of this process all the same
            self._reader.sync(self._events_at)
        if not self._pending:
            self._reader.remove_before(min(taken, self._settled()))

    def _settled(self) -> int:
        """Return the position in the spool up to which all is in events."""
        starts = self.converter.starts()
        for stream, pieces in self._outstanding.items():
            while pieces and pieces[0].behind <= starts[stream][0]:
                pieces.popleft()
        first = [pieces[0].position for pieces in self._outstanding.values() if pieces]
        return min(first, default=self._events_at)


def _last_lines(events: Sequence[Made]) -> dict[str, int]:
    """Return the last line of each stream that is in these events."""
    found: dict[str, int] = {}
    for line, _, _ in events:
        attributes = msgspec.json.decode(line)["attributes"]
        if "stream" in attributes:  # or it is the end
            found[attributes["stream"]] = attributes["line"] + attributes.get("lines", 1) - 1
    return found


def shell_status(code: int) -> int:
    """Return how a shell reports an ending: 128+n where signal n was the end."""
    return 128 - code if code < 0 else code


def describe(command: str, ending: Ending) -> tuple[str, Level]:
    """Return how a run ended, in words, and the level of that."""
    if ending.code is None:
        return f"lost: {command}; nobody knows how it ended, as who ran it was killed", _ERROR
    after = f"after {ending.seconds:.1f} s: {command}"
    if ending.code < 0:
        return f"ended by {_name_signal(-ending.code)} {after}", _ERROR
    return f"ended with status {ending.code} {after}", _WARNING if ending.code else _INFO


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
