"""The flusher's work, one step at a time: what is due, what is sent, what is taken over.

`step` does what can be done now and returns how long nothing will have to be done, unless somebody
signals.  It neither waits nor starts threads, so tests drive it with a clock of their own; the
batcher's thread only loops over it.  One thread at a time may be inside.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from logbatch.batching.backoff import LONGEST_ASKED, Backoff
from logbatch.batching.delivery import Delivery
from logbatch.batching.repeats import Collapser
from logbatch.batching.session import Session
from logbatch.batching.triggers import Pace, Triggers, Waiting
from logbatch.errors import DeniedError, TemporaryError
from logbatch.events.event import LineEncoder
from logbatch.gil import Turns
from logbatch.identity import Ranges
from logbatch.journal import Journal, JournalFull, JournalStopped, adopt
from logbatch.options import BatchOptions
from logbatch.transports.base import Batch
from logbatch.trouble import Trouble

ADOPT_EVERY = 3.0  # seconds between two looks for journals of processes that died
LAST_LOOK = 1.0  # seconds given to them when a session is closed

_BACKOFF = Backoff()
_DENIED = Backoff(base=5.0, cap=60.0, floor=5.0)  # somebody has to give us another token first


class Flusher:
    """Delivers the sessions of one batcher, and the journals it takes over.

    Args:
        delivery: Sends batches.
        options: When a batch is due.
        directory: Where journals are; None where they are in memory.
        current: Returns the session that events go into at this moment.
        encoder: Makes the lines by which losses are told in the log itself.
        trouble: Where failures are reported.
        clock: Seconds that only go forward.
        pause: Called between two pieces of work to let other threads run; None hands on the
            interpreter lock from time to time.
        repeats: What knows of repeated events that are not told of yet.
    """

    def __init__(
        self,
        delivery: Delivery,
        options: BatchOptions,
        directory: Path | None,
        current: Callable[[], Session],
        encoder: LineEncoder,
        trouble: Trouble,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[], object] | None = None,
        repeats: Collapser | None = None,
    ) -> None:
        self.urgent = False  # an event of `flush_level` came
        self.full = False  # an event found no room
        self.asked = False  # somebody waits for a flush
        self.hurry = False  # somebody new waits: do not sit out our backoff
        self.retiring: deque[Session] = deque()
        self.flushes: Counter[str] = Counter()
        self.recovered = Counter[str]()
        self._delivery = delivery
        self._options = options
        self._directory = directory
        self._current = current
        self._encoder = encoder
        self._trouble = trouble
        self._clock = clock
        self._given_pause = pause
        self._pause = pause or Turns().take
        self._repeats = repeats
        self._failures = 0  # in a row
        self._taken = 0  # batches when the last of them came
        self._retry_at = float("-inf")
        self._asked_until = float("-inf")  # the destination wants to be left alone until then
        self._flushed = float("-inf")
        self._orphans: Iterator[tuple[Journal, Ranges]] | None = None  # while we take them over
        self._adopted: tuple[Journal, Ranges] | None = None  # the one that is being sent
        self._adopt_at = float("-inf")
        self._pace = Pace()
        self._paced: tuple[float, int] | None = None

    # ------------------------------------------------------------------ one step

    def step(self) -> float:
        """Do what is due.

        Returns:
            Seconds until something may be due again if nobody signals before.
        """
        if self.hurry:
            self.hurry = False
            self._retry_at = self._asked_until
        self._pause = self._given_pause or Turns().take
        self._tell_repeats()  # also while the destination is away
        if self._clock() >= self._retry_at:
            self._deliver_all()
        session = self._current()
        session.journal.prepare(self._pause)
        return self._next_look(session)

    def _deliver_all(self) -> None:
        try:
            # Only here are sessions ended, so one that is asked for behind this lasts for the step.
            self._finish_retiring()
            session = self._current()
            if session.journal.settled < session.until:
                self._send_all(session)  # what a failure interrupted
            if isinstance(due := self._due(session), str):
                self._flush(session, due)
            self._tell_losses(session)  # not before sending works: they might be dropped, too
            if self._orphans is not None or self._clock() >= self._adopt_at:
                self._recover_one()
            self._failures = 0
        except TemporaryError as error:
            in_a_row = self._taken == self._delivery.batches
            self._failures = self._failures + 1 if in_a_row else 1
            self._taken = self._delivery.batches
            chance = int.from_bytes(os.urandom(2)) / 0xFFFF  # `random` takes long to import
            backoff, kind = (
                (_DENIED, "denied") if isinstance(error, DeniedError) else (_BACKOFF, "send")
            )
            wait = backoff.delay(self._failures, chance, error.retry_after)
            now = self._clock()
            self._retry_at = now + wait
            self._asked_until = now + min(error.retry_after or 0.0, LONGEST_ASKED)
            self._trouble.say(kind, f"{error}; trying again in {wait:.1f} s", error)

    def _next_look(self, session: Session) -> float:
        untold = self._repeats.wait() if self._repeats is not None else float("inf")
        return min(self._next_delivery(session), untold)

    def _next_delivery(self, session: Session) -> float:
        now = self._clock()
        if now < self._retry_at:
            return self._retry_at - now
        if self._orphans is not None or self.retiring:
            return 0.0
        due = self._due(session)
        wait = 0.0 if isinstance(due, str) else due
        return max(min(wait, self._adopt_at - now), 0.0) if self._directory else wait

    # ------------------------------------------------------------------ triggers

    def _due(self, session: Session) -> str | float:
        """Ask the triggers, and set the marks at which callers wake us before their answer ends."""
        triggers = self._triggers()
        while True:
            came, events = session.journal.count_and_pending()
            waiting = session.journal.pending_bytes() if events else 0
            now = self._clock()
            if not events:
                session.oldest = None
            elif session.oldest is None:
                session.oldest = now
            oldest = now if session.oldest is None else session.oldest
            due = triggers.due(
                Waiting(
                    events,
                    waiting,
                    oldest,
                    urgent=self.urgent,
                    full=self.full,
                    asked=self.asked,
                    flushed=self._flushed,
                ),
                now,
            )
            if isinstance(due, str):
                return due
            session.ticks = count(came)
            session.wake_at = came + (triggers.size - events - 1 if events else 0)
            session.wake_offset = session.writer.position() + triggers.bytes - waiting
            # Look again after the marks are set: an event that came in between did not see them.
            if session.journal.count() <= session.wake_at:
                return due

    def _triggers(self) -> Triggers:
        interval, size = self._options.flush_interval, self._options.max_batch_size
        if interval == "adaptive":
            interval, size = self._pace.interval, self._pace.size(size)
        return Triggers(interval, size, self._options.max_batch_bytes)

    def _measure_pace(self, session: Session) -> None:
        if self._options.flush_interval == "adaptive":
            now, came = self._clock(), session.journal.count()
            if self._paced is not None and came >= self._paced[1]:
                self._pace = self._pace.after(came - self._paced[1], now - self._paced[0])
            self._paced = (now, came)

    # ------------------------------------------------------------------ own events

    def _flush(self, session: Session, why: str) -> None:
        """Send everything that is there now."""
        self.flushes[why] += 1
        self._flushed = self._clock()
        self._measure_pace(session)
        self.urgent = self.full = False
        session.until = session.journal.count()
        self._send_all(session)

    def _send_all(self, session: Session) -> None:
        while session.journal.settled < session.until and self._send_next(session):
            self._pause()
        # What came meanwhile has waited since the flush began, at the most.
        session.oldest = self._flushed if session.journal.pending() else None

    def _send_next(self, session: Session) -> bool:
        journal = session.journal
        batch = _next_batch(journal, self._options)
        if batch is None:
            return False
        self._delivery.deliver(batch, Ranges(), session.settle)
        return True

    def _finish_retiring(self) -> None:
        if not self.retiring:
            return
        while self.retiring:
            self._finish(self.retiring[0])
            self.retiring.popleft()
        # Nobody may come after us, so what others left is finished as far as that is soon done.
        deadline = self._clock() + LAST_LOOK
        try:
            self.recover(lambda: self._clock() < deadline)
        finally:
            self.give_up()  # this process may live on without sending anything here

    def _finish(self, session: Session) -> None:
        """Send the rest of a session that is replaced already, and end it."""
        if session.journal.pending():
            self.flushes["close"] += 1
        while self._send_next(session):
            self._pause()
        self._tell_losses(session)  # there is room now
        session.journal.stop()
        while self._send_next(session):
            self._pause()
        session.end()

    def _tell_losses(self, session: Session) -> None:
        """Put a WARNING about dropped events into the log, once there is room."""
        for reason in list(session.losses):
            loss = session.losses[reason]
            text = f"logbatch dropped {loss.events} events ({reason})"
            attributes = loss.attributes(session.journal.producer)
            line = self._encoder.text(
                text, level=logging.WARNING, logger="logbatch", attributes=attributes
            )
            if not _append_own(session, line):
                return
            session.losses.pop(reason)

    def _tell_repeats(self) -> None:
        """Put how often the last event was repeated into the log; it has waited long enough."""
        if self._repeats is None:
            return
        session = self._current()
        since = self._repeats.tell_due(lambda line: _append_own(session, line))
        if since is not None:
            session.oldest = since if session.oldest is None else min(session.oldest, since)

    # ------------------------------------------------------------------ others' events

    def _recover_one(self) -> None:
        """Send one batch that a process which died left, so that our own never wait for long."""
        if self._orphans is None:
            self._adopt_at = self._clock() + ADOPT_EVERY
            self._orphans = self._take_over()
        if self._adopted is None:
            self._adopted = next(self._orphans, None)
        if self._adopted is None:
            self._orphans = None
        elif not self._send_adopted(*self._adopted):
            self._adopted[0].close()
            self._adopted = None
            self.recovered["producers"] += 1

    def recover(self, may_go_on: Callable[[], bool]) -> None:
        """Take over and send what is left here, as long as the function says so.

        Raises:
            TemporaryError: The destination does not take it now.
        """
        self._recover_one()
        while self._orphans is not None and may_go_on():
            self._recover_one()
        self._delivery.transport.close()

    def _take_over(self) -> Iterator[tuple[Journal, Ranges]]:
        """Take over, one after the other, the journals here whose owner is gone."""
        if self._directory is None:
            return
        known: dict[str, Ranges] = {}

        def published(producer: str) -> Ranges:
            known[producer] = self._delivery.transport.published(producer)
            return known[producer]

        for journal in adopt(self._directory, published=published, on_trouble=self._trouble.say):
            yield journal, known.pop(journal.producer)

    def _send_adopted(self, journal: Journal, known: Ranges) -> bool:
        batch = _next_batch(journal, self._options)
        if batch is None:
            return False

        def settle(last: int, rejected: int) -> None:
            self.recovered["events"] += last + 1 - max(journal.settled, batch.first) - rejected
            journal.acknowledge(last)

        self._delivery.deliver(batch, known, settle)
        return True

    def adopted_left(self) -> int:
        """Return how many events of the journal taken over still wait."""
        return self._adopted[0].pending() if self._adopted else 0

    def give_up(self) -> None:
        """Leave what was taken over to the next process."""
        if self._adopted is not None:
            self._adopted[0].close()
        self._adopted = self._orphans = None

    def abandon(self) -> None:
        """Let go of everything without a word, in a forked child: it is the parent's."""
        for session in self.retiring:
            session.journal.abandon()
        if self._adopted is not None:
            self._adopted[0].abandon()
        self._adopted = self._orphans = None


def _append_own(session: Session, line: bytes) -> bool:
    """Append a line of logbatch's own; tell whether there was room."""
    try:
        session.journal.append(line)
        next(session.ticks)
    except (JournalFull, JournalStopped):
        return False
    return True


def _next_batch(journal: Journal, options: BatchOptions) -> Batch | None:
    lines = journal.read(journal.settled, options.max_batch_bytes, options.max_batch_size)
    if lines is None:
        return None
    journal.sending(lines.last)
    return Batch(journal.producer, lines.first, lines.last, lines.data)
