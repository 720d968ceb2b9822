"""One journal, from its first event to its end, and the account of what became of each event.

A session is the *current* one, then *retiring* (another is current; the flusher finishes it), then
*ended* (its journal is closed, its account is final).  What holds at all times:

- `accepted = published + pending + rejected + dropped`, in every tally.
- A caller may still hold a session that is retiring and put events into it, until its journal is
  stopped; from then on it gets `JournalStopped`, and goes to the current one.
- Only who is inside a step of the flusher, or keeps others out of one, ends a session.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from typing import Any

from logbatch.journal import Journal
from logbatch.options import BatchOptions
from logbatch.transports.base import Batch

FAR = 1 << 62
CUT_OFF = "journal file cut off"  # by another program
NOT_IN_TIME = "not delivered in time"  # and in no file


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
    """Events that were dropped for one reason and are not yet reported in the log.

    Attributes:
        first, last: The sequences of the first and last of them; None where they never had one.
        since, until: When the first and the last were dropped, in seconds since 1970.
    """

    reason: str
    events: int
    first: int | None
    last: int | None
    since: float
    until: float

    def add(self, later: Loss) -> None:
        """Count more events that were dropped for the same reason."""
        self.events += later.events
        self.first = min(_known(self.first, later.first), default=None)
        self.last = max(_known(self.last, later.last), default=None)
        self.since = min(self.since, later.since)
        self.until = max(self.until, later.until)

    def attributes(self, producer: str) -> dict[str, Any]:
        """Return which events, by sequence where they had one and by time."""
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
    """A journal with what callers and the flusher know of it.

    Callers read `wake_at` and `wake_offset` after each event: the number of lines, and the place
    in the segment, from which on they wake the flusher.

    Attributes:
        ticks: Counts lines as callers append them; set by the flusher to what it has seen.
        wake_at, wake_offset: The marks.  The flusher sets them; a caller that wakes it sets both to
            `FAR`, and `wake_at` to 0 to have the next event wake it.
        oldest: When the oldest pending event was first seen.
        until: Everything before this sequence is being flushed.
        ended: Whether the journal is closed.
        losses: By reason, what was dropped and is not yet reported in the log.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.writer = journal.writer
        # Written by callers and by the flusher, without a lock: a mark that is lost is set again by
        # the flusher's next look.
        self.ticks = count()
        self.wake_at = 0
        self.wake_offset = FAR
        # The flusher's own.
        self.oldest: float | None = None
        self.until = 0
        self.begun = False  # whether the transport was told of it
        # Must agree with the journal, and so is written under `_lock`, the journal's own: a signal
        # handler that logs from within the journal would wait for a second one, whose holder waits
        # for the journal.  `ended` and `losses` are read without it by who needs only a hint.
        self._lock = journal.lock
        self.ended = False
        self.losses: dict[str, Loss] = {}
        self._final = Tally()
        self._rejected = 0
        self._dropped: Counter[str] = Counter()

    def settle(self, last: int, rejected: int = 0) -> None:
        """Acknowledge everything up to `last`, of which so many were rejected."""
        self.journal.count()  # not under the lock: that may take long
        with self._lock:
            self._rejected += rejected
            self.journal.acknowledge(last)
        self.journal.report()

    # ------------------------------------------------------------------ losses

    def drop_newest(self, reason: str) -> int:
        """Count an event that found no room.

        Returns:
            How many were dropped for this reason and are not yet reported in the log; 0 where the
            session has ended meanwhile, and the next one must be tried.
        """
        with self._lock:
            return 0 if self.ended else self._drop(reason, 1)

    def drop_oldest(self, reason: str) -> bool:
        """Drop the oldest events that are not being sent; return whether there were any."""
        self.journal.count()  # not under the lock: that may take long
        with self._lock:
            span = self.journal.drop_oldest()
            if span is None:
                return False
            first, last = span
            self._drop(reason, last - first + 1, first, last)
            return True

    def _drop(
        self, reason: str, events: int, first: int | None = None, last: int | None = None
    ) -> int:
        self._dropped[reason] += events
        now = time.time()
        return self._note(Loss(reason, events, first, last, now, now))

    def _note(self, loss: Loss) -> int:
        noted = self.losses.setdefault(loss.reason, loss)
        if noted is not loss:
            noted.add(loss)
        return noted.events

    def pop_loss(self) -> Loss | None:
        """Return what was dropped for one reason, to be reported now; None where nothing was."""
        with self._lock:
            return self.losses.popitem()[1] if self.losses else None

    def look(self) -> None:
        """Notice what other programs did to the journal's files, and count what is lost by it."""
        self.journal.look(lambda first, last: self._drop(CUT_OFF, last - first + 1, first, last))

    def put_back(self, loss: Loss) -> None:
        """Keep what could not be reported, to be reported later."""
        with self._lock:
            self._note(loss)

    # ------------------------------------------------------------------ the account

    def tally(self) -> Tally:
        """Return the account at this instant; without the lock when it is final."""
        return self._final if self.ended else self._tally_now()

    def _tally_now(self) -> Tally:
        self.journal.count()  # not under the lock: that may take long
        with self._lock:
            if self.ended:
                return self._final
            came, pending = self.journal.count_and_pending()
            dropped = Counter(self._dropped)
            accepted = came + dropped.total() - self.journal.dropped.count()
            published = accepted - pending - self._rejected - dropped.total()
            return Tally(accepted, published, pending, self._rejected, dropped)

    def end(self) -> None:
        """Close the journal; what is not settled stays in it for the next process."""
        with self._lock:
            final = self.tally()
            self.journal.close()
            if lost := self.journal.left().in_memory:
                self._dropped[NOT_IN_TIME] += lost
                dropped, pending = Counter(self._dropped), final.pending - lost
                final = dataclasses.replace(final, dropped=dropped, pending=pending)
            self._final = final
            self.ended = True
        self.journal.report()


def cut_batch(journal: Journal, options: BatchOptions) -> Batch | None:
    """Return the oldest events that are not settled, as many as one batch holds; None for none.

    The journal notes the range, so that after a failure or a crash the same batch is cut again.
    """
    lines = journal.read(journal.settled, options.max_batch_bytes, options.max_batch_size)
    if lines is None:
        return None
    journal.sending(lines.last)
    return Batch(journal.producer, lines.first, lines.last, lines.data)


def _known(*sequences: int | None) -> list[int]:
    return [sequence for sequence in sequences if sequence is not None]
