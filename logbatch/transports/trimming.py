"""Remove old records from a SQLite file that a process logs to, rarely, and in short steps.

It is done by the thread that delivers, while nothing is to be sent: some thousand records at a
time, with pauses.  Which time is believed is said in `logbatch.storage.policy`; those that bear
witness are the records themselves, and earlier looks of this process.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from logbatch import epoch
from logbatch.storage.events import format_moment, prepare
from logbatch.storage.policy import DAY, Policy, Span, believe, extend
from logbatch.storage.sqlite import LockedError, writing

FIRST = 60.0  # seconds until the first look: a process that ends before leaves it to others
_SPREAD = 30.0  # seconds by which those of several processes differ, at the most
_LONGEST, _SHORTEST = 3600.0, 10.0  # seconds between two looks
_OF_AGE = 24  # looks in the time that records may stay
_TOGETHER = 2_000  # records that are removed in one step
_PAGES = 1_000  # pages of the file that are given back in one step
_PAUSE = 4  # times as long as a step took is the pause behind it
_WITNESSES = 100  # records that are asked what time it is, an hour apart
_PATIENCE = 0.05  # seconds to wait for others who write: this can wait

_HOUR = timedelta(hours=1)
_NEWEST = "SELECT max(timestamp) FROM events WHERE timestamp < ?"
_OF_THE_OLDEST = "rowid IN (SELECT rowid FROM events ORDER BY timestamp LIMIT ?)"
_REMOVE = f"DELETE FROM events WHERE {_OF_THE_OLDEST}"
_REMOVE_OLD = f"{_REMOVE} AND timestamp < ?"


class Trimming:
    """Keeps a SQLite file small.  One thread at a time may use it.

    Args:
        path: The file.
        policy: What may stay.
        clock: Seconds that only go forward.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._policy = policy
        self._clock = clock
        self._now = now
        age = _LONGEST if policy.max_age is None else policy.max_age / 1e6 / _OF_AGE
        most = _LONGEST if policy.max_bytes is None else FIRST
        self._every = min(max(age, _SHORTEST), most)
        self._seen: Span | None = None  # from when to when this process has looked
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a forked child."""
        spread = int.from_bytes(os.urandom(2)) / 0xFFFF * _SPREAD
        self._due = self._clock() + min(FIRST, self._every) + spread

    def step(self) -> float:
        """Do a short step, if it is time for one.

        Returns:
            Seconds until there may be something to do again.

        Raises:
            TemporaryError: The file cannot be written now; it is tried again.
        """
        now = self._clock()
        if now < self._due:
            return self._due - now
        self._due = now + self._every
        if not os.path.lexists(self._path):
            return self._every
        began = time.perf_counter()
        try:
            removed = self._remove()
        except LockedError:  # the others need it more
            self._due = now + _SHORTEST
            return _SHORTEST
        if removed < _TOGETHER:
            return self._every
        wait = (time.perf_counter() - began) * _PAUSE
        self._due = now + wait
        return wait

    def _remove(self) -> int:
        """Remove some thousand records, if they must go; return how many."""
        with writing(self._path, patience=_PATIENCE) as connection:
            prepare(connection)
            removed = self._remove_old(connection)
            if removed < _TOGETHER:
                removed = max(removed, self._remove_excess(connection))
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            for _ in range(min(free, _PAGES)):  # the Python module takes one step of each
                connection.execute("PRAGMA incremental_vacuum(1)")
        return removed

    def _remove_old(self, connection: sqlite3.Connection) -> int:
        if self._policy.max_age is None:
            return 0
        now = int(self._now() * epoch.SECOND)
        gap = max(int(self._every * 2 * epoch.SECOND), DAY)
        self._seen = extend(self._seen, now, gap)
        believed = believe(now, _find_witnesses(connection, now), self._seen, gap)
        oldest = _format(believed - self._policy.max_age)
        return connection.execute(_REMOVE_OLD, (_TOGETHER, oldest)).rowcount

    def _remove_excess(self, connection: sqlite3.Connection) -> int:
        most = self._policy.max_bytes
        if most is None or _measure(connection) <= most:
            return 0
        return connection.execute(_REMOVE, (_TOGETHER,)).rowcount


def _find_witnesses(connection: sqlite3.Connection, now: int) -> Iterator[int]:
    """Yield times of records, the newest first, an hour apart at the least."""
    before = _format(now)
    for _ in range(_WITNESSES):
        (found,) = connection.execute(_NEWEST, (before,)).fetchone()
        if found is None:
            return
        moment = datetime.fromisoformat(found).replace(tzinfo=UTC)
        yield epoch.to_microseconds(moment)
        before = format_moment(moment - _HOUR) if moment.year > 1 else ""


def _format(microseconds: int) -> str:
    return format_moment(epoch.to_datetime(max(microseconds, epoch.FIRST)))


def _measure(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
