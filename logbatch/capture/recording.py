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
from logbatch.capture.description import Ending
from logbatch.capture.spool import Mark, SpoolReader, Taken, TakenFile
from logbatch.capture.structured import Level
from logbatch.errors import TemporaryError
from logbatch.events.event import LineEncoder
from logbatch.events.fields import Event
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Execution, Executions

LOGGER = "run"

_STEP = 1 << 20  # bytes of the spool that are taken at once
_ROWS_EVERY = 1.0  # seconds that output waits for its row
_ROWS_BYTES = 10_000  # bytes that do not wait
_ROWS_LINES = 100  # lines that do not
_PROGRESS_EVERY = 0.1  # seconds
_RETRY = 0.25  # seconds until a row is tried again
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
        self._owner = owner
        self._encoder = encoder
        self._batcher = batcher
        self._executions = executions
        self._keep_output = keep_output and executions is not None
        self._report = report
        self._reader = SpoolReader(spool, is_finished=is_finished)
        self._notes = TakenFile(spool)
        before = self._notes.read()
        self._marks = before.marks
        self._after = dict(before.after)  # the last line of each stream of which there are events
        self._is_told = before.is_told or is_told
        self._pending: list[Made] = []  # events for which there was no room yet
        self._outstanding: dict[str, deque[_Piece]] = {stream: deque() for stream in STREAMS}
        # Positions in the spool.
        self._events_at = 0
        self._rows_at = 0
        # When there was something last, in seconds since the epoch.
        self._seen = max(before.seen, run.started_at)
        self._noted = self._seen
        self._rows_time = 0.0
        self._rows_lines = 0
        self._synced_time = 0.0
        self._told_progress: str | None = None
        self._rows_fail = False
        self._has_row = False
        self._cannot_read = False

    @property
    def taken(self) -> int:
        """The position in the spool up to which all has been taken."""
        return min(self._events_at, self._rows_at) if self._keep_output else self._events_at

    # ------------------------------------------------------------------ steps

    def step(self, now: float) -> bool:
        """Take a piece of what is there, and return whether there was any.

        Args:
            now: Seconds since the epoch.
        """
        took = self._take_events(now)
        self._seen = now
        if not 0 <= now - self._noted < _SIGN_EVERY:
            self._note()
        if self._rows_are_due(now):
            took = self._take_rows(now) or took
        if not 0 <= now - self._synced_time < _SYNC_EVERY:
            self._synced_time = now
            self._free()
        return took

    def waits(self) -> bool:
        """Return whether something waits for its time, though nothing comes."""
        rows = self._executions is not None and (
            not self._has_row
            or self._told_progress != self.converter.progress
            or (self._keep_output and self._rows_at < self._events_at)
        )
        return rows or bool(self._pending) or self.converter.waits_until() is not None

    def finish(self, ending: Ending) -> bool:
        """Take what is left, and how the run ended; return whether all went through.

        What did not go through stays in the spool, for whoever comes later.

        Args:
            ending: How it ended.
        """
        all_events = self._finish_events(ending)
        return self._finish_rows(ending) and all_events

    def _finish_events(self, ending: Ending) -> bool:
        now = self._end_of(ending)
        while self._take_events(now) or (self._pending and self._wait_for_room()):
            if self._rows_are_due(now):
                self._take_rows(now)
        if self._cannot_read or self._pending:
            return False
        self._pending = self.converter.end()
        while not self._append_pending():
            if not self._wait_for_room():
                return False
        if not self._is_told:
            self._batcher.append(*self._last_event(ending))
            self._is_told = True
        self._note()
        return True

    def _end_of(self, ending: Ending) -> float:
        """Return when the run ended or, where nobody saw that, gave its last sign of life."""
        return self._seen if ending.at is None else ending.at

    def close(self) -> None:
        """Let go of the files; they stay."""
        self._reader.close()
        self._notes.close()

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
        """Wait for the destination; return whether it takes anything at all."""
        before = self._batcher.stats().pending
        return self._batcher.flush() or self._batcher.stats().pending < before

    def _note(self) -> None:
        """Note how far the output has become events, and that this process lives."""
        if not self._pending:  # what is pending is not noted, and is made again if we die
            starts = self.converter.starts()
            self._marks = {stream: Mark(*starts[stream]) for stream in STREAMS}
        self._noted = self._seen
        with contextlib.suppress(OSError):  # after a crash a little more is looked at
            self._notes.write(Taken(self._marks, self._after, self._seen, self._is_told))

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

    # ------------------------------------------------------------------ rows

    def _rows_are_due(self, now: float) -> bool:
        """Return whether to write rows: after a second, 100 lines or 10 kB."""
        waited = now - self._rows_time
        if self._executions is None or (self._rows_fail and 0 <= waited < _RETRY):
            return False
        news = not self._has_row or self._told_progress != self.converter.progress
        if news and not 0 <= waited < _PROGRESS_EVERY:
            return True
        waiting = self._events_at - self._rows_at if self._keep_output else 0
        lines = self._count_lines() - self._rows_lines
        return waiting > 0 and (
            waiting >= _ROWS_BYTES or lines >= _ROWS_LINES or not 0 <= waited < _ROWS_EVERY
        )

    def _take_rows(self, now: float) -> bool:
        """Store a piece of the spool; return whether there was one."""
        assert self._executions is not None
        chunks = self._read(self._rows_at) if self._keep_output else []
        progress = self.converter.progress
        self._rows_time = now
        try:
            if not self._has_row:
                self._executions.begin(self._run, self._owner)
                self._has_row = True
            if chunks or progress != self._told_progress:
                self._executions.append(self._run.id, chunks, progress)
        except TemporaryError as error:
            self._rows_fail = True
            self._report("runs", f"{error}; it is tried again")
            return False
        self._rows_fail = False
        self._told_progress = progress
        self._rows_lines = self._count_lines()
        if chunks:
            self._rows_at = chunks[-1].end
        return bool(chunks)

    def _finish_rows(self, ending: Ending) -> bool:
        if self._executions is None:
            return True
        self._rows_fail = False
        end = self._end_of(ending)
        while self._take_rows(end):
            pass
        if self._rows_fail or self._cannot_read:
            return False
        try:
            self._executions.finish(self._run.id, ended_at=end, exit_code=ending.code)
        except TemporaryError as error:
            self._report("runs", str(error))
            return False
        return True

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
