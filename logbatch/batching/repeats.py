"""A run of the same event again and again is stored as the first, and how often it was repeated.

Two events are the same if logger, level, message, attributes and exception are.  What else differs
(thread, trace, line) is not told of the repeats; when the first and the last of them were, is.

An event is folded away only while one like it, the newest that came, is in the journal already.
How often that happened is stored as "last message repeated N times" when another event comes, when
somebody flushes or closes, and `interval` seconds after the first repeat that is not told of yet:
by the next repeat, or by the flusher if none comes.  So a process that is killed loses the number
of the repeats since then, and nothing else.

Several threads may be inside, and a signal handler may log in between: the lock is held only to
compare and to count, never while anything is stored, and may be taken twice by one thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from logbatch.events.values import fit_text

TEMPLATE = "last message repeated %d times"
_MOST_BYTES = 1000  # of the repeated message, in what tells of it

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode_lines = msgspec.json.Encoder().encode_lines
_KEPT = frozenset(("timestamp", "level", "levelno", "logger", "process", "service", "host"))

Store = Callable[[bytes, int], bool]


class _Sameness(msgspec.Struct, frozen=True, gc=False):
    """What two events have in common if they are the same."""

    level: Raw = Raw(b"")
    levelno: Raw = Raw(b"")
    logger: Raw = Raw(b"")
    message: Raw = Raw(b"")
    attributes: Raw = Raw(b"")
    exception_type: Raw = Raw(b"")
    exception_message: Raw = Raw(b"")
    stacktrace: Raw = Raw(b"")


_decode_sameness = msgspec.json.Decoder(_Sameness).decode


class Told(NamedTuple):
    """Repeats that are being told of."""

    level: int
    since: float  # when the first of them came, by the clock
    times: int
    first: bytes
    last: bytes

    def line(self) -> bytes:
        """Make the event that tells of them.

        It has the time of the last, so that in the order of time too it stands behind them.
        """
        first, last = _decode_fields(self.first), _decode_fields(self.last)
        fields: dict[str, Any] = {key: raw for key, raw in last.items() if key in _KEPT}
        fields["message"] = TEMPLATE % self.times
        fields["template"] = TEMPLATE
        fields["attributes"] = {
            "repeated": self.times,
            "first": first.get("timestamp"),
            "last": last.get("timestamp"),
            "message": fit_text(str(_decode(last.get("message", b'""'))), _MOST_BYTES),
        }
        return _encode_lines((fields,))


class _Run:
    """One event that came, and its repeats that are not told of yet."""

    __slots__ = ("count", "first", "last", "level", "same", "since")

    def __init__(self, same: _Sameness, level: int) -> None:
        self.same = same
        self.level = level
        self.count = 0
        self.first = self.last = b""
        self.since = 0.0


class Collapser:
    """Stores events, but for those that repeat the one before.

    Args:
        store: Puts a line of some level into the journal; tells whether there was room.
        wake: Called when there is something to tell in `interval` seconds, for somebody to
            call `due` then.
        interval: Seconds that repeats may be untold.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[], object],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.collapsed = 0  # events folded away
        self._store = store
        self._wake = wake
        self._interval = interval
        self._clock = clock
        self._lock = threading.RLock()
        self._run: _Run | None = None
        self._turn = 0  # grows with each event that is stored

    def append(self, line: bytes, level: int) -> bool:
        """Store an event, unless it repeats the one before; False if it found no room."""
        same = _read_sameness(line)
        now = self._clock()
        told = None
        with self._lock:
            run = self._run
            if run is not None and run.same == same:
                # Nothing is called from here on until it is counted: no signal comes in between.
                self.collapsed += 1
                run.count += 1
                run.last = line
                count = run.count
                if count == 1:
                    run.first, run.since = line, now
                elif now >= run.since + self._interval:
                    told = self._tell(run)
            else:
                count, told = 0, self._end()
                turn = self._turn
        self._store_told(told)
        if count:
            if count == 1:
                self._wake()
            return True
        stored = self._store(line, level)
        if stored and same is not None:
            self._begin(_Run(same, level), turn)
        return stored

    def _begin(self, run: _Run, turn: int) -> None:
        with self._lock:
            if self._turn == turn:  # else another event was stored since
                self._run = run

    def _end(self) -> Told | None:
        """Leave the run, so that the next event is stored whatever it is."""
        run, self._run = self._run, None
        self._turn += 1
        return self._tell(run) if run is not None else None

    def _tell(self, run: _Run) -> Told | None:
        count, run.count = run.count, 0
        if not count:
            return None
        return Told(run.level, run.since, count, run.first, run.last)

    def _store_told(self, told: Told | None) -> None:
        if told is not None:
            self._store(told.line(), told.level)

    # ------------------------------------------------------------------ without a new event

    def tell(self) -> None:
        """Store what is untold; the run goes on."""
        with self._lock:
            told = self._tell(self._run) if self._run is not None else None
        self._store_told(told)

    def end(self) -> None:
        """Store what is untold, and the next event whatever it is."""
        with self._lock:
            told = self._end()
        self._store_told(told)

    def wait(self) -> float:
        """Return the seconds until something is to be told; infinity if there is nothing."""
        with self._lock:
            run = self._run
            if run is None or not run.count:
                return float("inf")
            return max(run.since + self._interval - self._clock(), 0.0)

    def tell_due(self, store: Callable[[bytes], bool]) -> float | None:
        """Store what has waited for `interval`; return since when it did, or None.

        Args:
            store: Stores a line; if there is no room, it is told later.
        """
        with self._lock:
            run = self._run
            if run is None or self._clock() < run.since + self._interval:
                return None
            told = self._tell(run)
        if told is None:
            return None
        if store(told.line()):
            return told.since
        with self._lock:
            run.count += told.times
            run.first, run.since = told.first, self._clock()
        return None


def _read_sameness(line: bytes) -> _Sameness | None:
    try:
        return _decode_sameness(line)
    except msgspec.DecodeError:
        return None  # like no other
