"""One journal, from its first event to its end, and the account of what became of each event."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from typing import Any

from logbatch.journal import Journal

FAR = 1 << 62


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """How many events came in, and what became of them; the sum always agrees."""

    accepted: int = 0
    published: int = 0
    pending: int = 0
    rejected: int = 0
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.accepted + other.accepted,
            self.published + other.published,
            self.pending + other.pending,
            self.rejected + other.rejected,
            self.dropped + other.dropped,
        )


@dataclasses.dataclass(slots=True)
class Loss:
    """Events that were dropped for one reason and not yet spoken of in the log."""

    reason: str
    events: int = 0
    first: int | None = None
    last: int | None = None
    since: float = dataclasses.field(default_factory=time.time)
    until: float = 0.0

    def attributes(self, producer: str) -> dict[str, Any]:
        """Say which events: by sequence where they had one, and by time."""
        return {
            "dropped": self.events,
            "reason": self.reason,
            "producer": producer,
            "first": self.first,
            "last": self.last,
            "since": datetime.fromtimestamp(self.since, UTC),
            "until": datetime.fromtimestamp(self.until, UTC),
        }


class Session:
    """A journal with its counters.

    Callers read `wake_at` and `wake_offset` after each event: the number of lines, and the place
    in the segment, from which on they wake the flusher.  Everything that must agree with the
    journal is changed under `lock`.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.writer = journal.writer
        self.lock = threading.RLock()
        self.ticks = count()
        self.wake_at = 0
        self.wake_offset = FAR
        self.oldest: float | None = None  # when the oldest pending event was first seen
        self.until = 0  # everything before this sequence is being flushed
        self.ended = False
        self.final = Tally()
        self.losses: dict[str, Loss] = {}
        self._rejected = 0
        self._dropped: Counter[str] = Counter()

    def settle(self, last: int, rejected: int = 0) -> None:
        """Acknowledge everything up to `last`, of which so many were rejected."""
        with self.lock:
            self._rejected += rejected
            self.journal.acknowledge(last)

    def drop_newest(self, reason: str) -> bool:
        """Count one event that found no room; tell whether it is the first of its kind."""
        with self.lock:
            return self._note(reason, 1).events == 1

    def drop_oldest(self, reason: str) -> bool:
        """Drop the oldest events that are not being sent; tell whether there were any."""
        with self.lock:
            span = self.journal.drop_oldest()
            if span is None:
                return False
            loss = self._note(reason, span[1] - span[0] + 1)
            loss.first = span[0] if loss.first is None else min(loss.first, span[0])
            loss.last = span[1] if loss.last is None else max(loss.last, span[1])
            return True

    def _note(self, reason: str, events: int) -> Loss:
        self._dropped[reason] += events
        loss = self.losses.setdefault(reason, Loss(reason))
        loss.events += events
        loss.until = time.time()
        return loss

    def tally(self) -> Tally:
        """Return the account at this instant."""
        with self.lock:
            if self.ended:
                return self.final
            came, pending = self.journal.count_and_pending()
            dropped = Counter(self._dropped)
            accepted = came + dropped.total() - len(self.journal.dropped)
            published = accepted - pending - self._rejected - dropped.total()
            return Tally(accepted, published, pending, self._rejected, dropped)

    def end(self) -> None:
        """Close the journal; what is not settled stays in it for the next process."""
        with self.lock:
            self.final = self.tally()
            self.journal.close()
            self.ended = True


class Request:
    """Somebody waits until a session is settled up to a sequence."""

    def __init__(self, session: Session, target: int) -> None:
        self._session = session
        self._target = target
        self._done = threading.Event()

    def look(self) -> bool:
        """Tell, and let the waiting one know, whether it is settled."""
        met = self._session.ended or self._session.journal.settled >= self._target
        if met:
            self._done.set()
        return met

    def wait(self, seconds: float) -> bool:
        return self._done.wait(max(seconds, 0.0))
