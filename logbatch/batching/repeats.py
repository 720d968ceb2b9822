"""A run of the same event again and again is stored as the first, and how often it was repeated.

Two events are the same if logger, level, message, attributes and exception are.  What else differs
(thread, trace, line) is not stored of the repeats; when the first and the last of them came, is.

An event is folded away only while one like it, the newest that came, is in the journal already.
How often that happened is stored as "last message repeated N times" when another event comes, when
somebody flushes or closes, and `interval` seconds after the first repeat that is not stored yet: by
the next repeat, or by the flusher if none comes.  So a process that is killed loses the number of
the repeats since then, and nothing else.

Several threads may be inside, and a signal handler may log in between: the lock is held only to
compare and to count, never while anything is stored, and one thread may hold it twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from logbatch.events.values import fit_text
from logbatch.native import RLock

TEMPLATE = "last message repeated %d times"
_MOST_BYTES = 1000  # of the repeated message, in the event that says how often it was repeated

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


class _Repeats(NamedTuple):
    """Repeats that are being stored, as one event."""

    level: int
    since: float  # when the first of them came, by the clock
    times: int
    first: bytes
    last: bytes

    def line(self) -> bytes:
        """Return the event.

        It has the time of the last repeat, so that it also stands behind them in the order of time.
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
        return _encode_lines([fields])


class _Run:
    """One event that came, and its repeats that are not stored yet."""

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
        store: Puts a line of some level into the journal; returns whether there was room.
        wake: Called when there are repeats to be stored in `interval` seconds, for somebody to
            call `flush_due` then.
        interval: Seconds that repeats may wait.
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
        self._lock = RLock()
        self._run: _Run | None = None
        self._turn = 0  # grows with each event that is stored

    def append(self, line: bytes, level: int) -> bool:
        """Store an event, unless it repeats the one before; False if it found no room."""
        same = _read_sameness(line)
        now = self._clock()
        repeats = None
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
                    repeats = self._pop_repeats(run)
            else:
                # Taken before anything is called: an event that comes in between has a later turn.
                turn = self._turn = self._turn + 1
                count, repeats = 0, self._end()
        self._store_repeats(repeats)
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

    def _end(self) -> _Repeats | None:
        """Leave the run, so that the next event is stored whatever it is; return its repeats."""
        run, self._run = self._run, None
        return self._pop_repeats(run) if run is not None else None

    def _pop_repeats(self, run: _Run) -> _Repeats | None:
        count, run.count = run.count, 0
        if not count:
            return None
        return _Repeats(run.level, run.since, count, run.first, run.last)

    def _store_repeats(self, repeats: _Repeats | None) -> None:
        if repeats is not None:
            self._store(repeats.line(), repeats.level)

    # ------------------------------------------------------------------ without a new event

    def flush(self) -> None:
        """Store how many repeats came so far; the run goes on."""
        with self._lock:
            repeats = self._pop_repeats(self._run) if self._run is not None else None
        self._store_repeats(repeats)

    def end(self) -> None:
        """Store how many repeats came so far, and the next event whatever it is."""
        with self._lock:
            self._turn += 1
            repeats = self._end()
        self._store_repeats(repeats)

    def due_in(self) -> float:
        """Return the seconds until repeats are to be stored; infinity if there are none."""
        with self._lock:
            run = self._run
            if run is None or not run.count:
                return float("inf")
            return max(run.since + self._interval - self._clock(), 0.0)

    def flush_due(self, store: Callable[[bytes], bool]) -> float | None:
        """Store how many repeats came, if the first has waited for `interval`.

        Args:
            store: Stores a line; where there is no room, it is tried again later.

        Returns:
            Since when they waited; None if nothing was stored.
        """
        with self._lock:
            run = self._run
            if run is None or self._clock() < run.since + self._interval:
                return None
            repeats = self._pop_repeats(run)
        if repeats is None:
            return None
        if store(repeats.line()):
            return repeats.since
        with self._lock:
            run.count += repeats.times
            run.first, run.since = repeats.first, self._clock()
        return None


def _read_sameness(line: bytes) -> _Sameness | None:
    try:
        return _decode_sameness(line)
    except msgspec.DecodeError:
        return None  # like no other
