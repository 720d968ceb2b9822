"""The flusher's work, one step at a time: what is due, what is sent, what is taken over.

`step` does what can be done now and returns how long nothing will have to be done, unless somebody
wakes the thread.  It neither waits nor starts threads, so tests drive it with a clock of their own;
the worker only loops over it.  One thread at a time may be inside, and all fields are its own.

In one step, in this order:

1. Sessions that retire are finished and ended.  Only here, so that the current session, which is
   asked for behind this, lasts for the step even if it is retired meanwhile.
2. The rest of a flush that a failure interrupted is sent, then what is due.
3. Losses are reported in the log, now that sending works: before, they might be dropped, too.
4. One batch of a process that died is sent, so that our own events never wait for long.
5. Where nothing of all this is left to do, the destination is kept in order for a moment; and once
   a second even if there is, as a process that is always busy would never do it.

Before the lines of a journal are counted or read, and at the end of each step, we look whether its
files still are as they were left; so a step comes at least every second as long as there are any.

A failure ends the step; what is not acknowledged is sent again by a later one, as the same batch.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from itertools import count

from logbatch.batching.backoff import LONGEST_ASKED, Backoff
from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.batching.inbox import Inbox
from logbatch.batching.lifetime import process
from logbatch.batching.repeats import Collapser
from logbatch.batching.session import FAR, Session, cut_batch
from logbatch.batching.takeover import Takeover
from logbatch.batching.triggers import Pace, Triggers, Waiting
from logbatch.errors import DeniedError, TemporaryError
from logbatch.events.event import LineEncoder
from logbatch.gil import Yielder
from logbatch.identity import Ranges
from logbatch.journal import JournalFull, JournalStopped
from logbatch.options import BatchOptions
from logbatch.trouble import Trouble

TAKE_OVER_EVERY = 3.0  # seconds between two looks for journals of processes that died
SYNC_EVERY = 1.0  # seconds that events wait before they are brought to the disk where they are
LOOK_EVERY = 1.0  # seconds between two looks whether the journals' files are still there
TIDY_EVERY = 1.0  # seconds after which the destination is kept in order though more is due
LAST_LOOK = 1.0  # seconds given to them when a session is closed

_BACKOFF = Backoff()
_DENIED = Backoff(base=5.0, cap=60.0, floor=5.0)  # somebody has to give us another token first


class Flusher:
    """Delivers the sessions of one batcher, and the journals that it takes over.

    Args:
        options: When a batch is due, and how large it may be.
        current: Returns the session that events go into at this moment.
        inbox: What callers want.
        delivery: Sends batches.
        takeover: Sends what processes that died left.
        encoder: Makes the lines by which losses are reported in the log itself.
        repeats: What folds repeated events away; None where nothing does.
        counters: Where flushes are counted.
        trouble: Where failures are reported.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        options: BatchOptions,
        current: Callable[[], Session],
        inbox: Inbox,
        delivery: Delivery,
        takeover: Takeover,
        encoder: LineEncoder,
        repeats: Collapser | None,
        counters: Counters,
        trouble: Trouble,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._current = current
        self._inbox = inbox
        self._delivery = delivery
        self._takeover = takeover
        self._encoder = encoder
        self._repeats = repeats
        self._counters = counters
        self._trouble = trouble
        self._clock = clock
        self._yielder = Yielder()
        # After a failure.
        self._failures = 0  # in a row
        self._batches_then = 0  # those acknowledged when the last of them came
        self._retry_at = float("-inf")
        self._asked_until = float("-inf")  # the destination wants to be left alone until then
        # When what is due.
        self._flushed = float("-inf")
        self._take_over_at = float("-inf")
        self._synced = float("-inf")
        self._tidied = float("-inf")
        self._pace = Pace()
        self._paced: tuple[float, int] | None = None  # when it was measured, and at which event

    # ------------------------------------------------------------------ one step

    def step(self) -> float:
        """Run what is due.

        Returns:
            Seconds until something may be due again if nobody wakes the thread before.
        """
        if self._inbox.hurry:
            self._inbox.hurry = False
            self._retry_at = self._asked_until
        self._yielder = Yielder()
        self._store_repeats()  # also while the destination is away
        if self._clock() >= self._retry_at:
            self._deliver_all()
        session = self._current()
        session.look()
        session.journal.prepare(self._yielder.let_others_run)
        looks_again = LOOK_EVERY if session.journal.has_files else float("inf")
        wait = min(self._next_look(session), self._sync(session), looks_again)
        return min(wait, self._tidy(wait))

    def _deliver_all(self) -> None:
        try:
            self._finish_retiring()
            session = self._current()
            session.look()  # before lines are counted and read
            if session.journal.settled < session.until:
                self._send_all(session)
            if isinstance(due := self._due(session), str):
                self._flush(session, due)
            self._report_losses(session)
            self._take_over_one()
            self._failures = 0
        except TemporaryError as error:
            self._back_off(error)

    def _back_off(self, error: TemporaryError) -> None:
        """Decide when to try again after a failure."""
        in_a_row = self._batches_then == self._counters.batches
        self._failures = self._failures + 1 if in_a_row else 1
        self._batches_then = self._counters.batches
        chance = int.from_bytes(os.urandom(2)) / 0xFFFF  # `random` takes long to import
        denied = isinstance(error, DeniedError)
        backoff, kind = (_DENIED, "denied") if denied else (_BACKOFF, "send")
        wait = backoff.delay(self._failures, chance, error.retry_after)
        now = self._clock()
        self._retry_at = now + wait
        self._asked_until = now + min(error.retry_after or 0.0, LONGEST_ASKED)
        text = f"{error}; events wait in {self._where_events_wait()}; retrying in {wait:.1f} s"
        self._trouble.say(kind, text, error)

    def _where_events_wait(self) -> str:
        current, retiring = self._current(), self._inbox.retiring.copy()
        begun = [each.journal for each in (*retiring, current) if each.journal.begun]
        places = {journal.place for journal in begun} or {current.journal.place}
        return places.pop() if len(places) == 1 else "the journal and in memory"

    def _sync(self, session: Session) -> float:
        """Bring to the disk what waits for long, so that a power failure does not cost more.

        Returns:
            Seconds until this is due again.
        """
        now = self._clock()
        is_away = now < self._retry_at
        oldest = session.oldest
        if self._takeover.directory is None or (oldest is None and not is_away):
            return float("inf")
        since = self._synced if is_away or oldest is None else max(self._synced, oldest)
        if (wait := since + SYNC_EVERY - now) > 0:
            return wait
        self._synced = now
        for each in (session, *self._inbox.retiring.copy()):
            each.journal.sync()
        return SYNC_EVERY

    def _tidy(self, wait: float) -> float:
        """Have the destination kept in order, if this process lives on and can send.

        Args:
            wait: Seconds until something else is due.

        Returns:
            Seconds until there may be more to do.
        """
        now = self._clock()
        ends = process.ending or self._inbox.closing
        if ends or now < self._retry_at or (wait <= 0 and now < self._tidied + TIDY_EVERY):
            return float("inf")
        self._tidied = now
        return min(self._delivery.tidy(), self._delivery.retain())

    def _next_look(self, session: Session) -> float:
        repeats = self._repeats.due_in() if self._repeats is not None else float("inf")
        return min(self._next_delivery(session), repeats)

    def _next_delivery(self, session: Session) -> float:
        now = self._clock()
        if now < self._retry_at:
            return self._retry_at - now
        if self._takeover.is_under_way or self._inbox.retiring:
            return 0.0
        due = self._due(session)
        wait = 0.0 if isinstance(due, str) else due
        if self._takeover.directory is not None:
            wait = min(wait, self._take_over_at - now)
        return max(wait, 0.0)

    # ------------------------------------------------------------------ for the worker

    def is_busy(self) -> bool:
        """Return whether there is something to do, now or soon."""
        if self._repeats is not None and self._repeats.due_in() < FAR:
            return True
        inbox = self._inbox
        return bool(inbox.retiring or inbox.asked or self._current().journal.pending())

    def rearm(self) -> None:
        """Have the next event wake the thread, or start another."""
        self._current().wake_at = 0

    def rest(self) -> None:
        """Let go of journals of other processes: nothing is sent here for some time."""
        self._takeover.give_up()

    def leave_to_others(self) -> None:
        """End what could not be finished; it stays in the journals for the next process."""
        while self._inbox.retiring:
            self._inbox.retiring.popleft().end()
        self._takeover.give_up()

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
                    urgent=self._inbox.urgent,
                    full=self._inbox.full,
                    asked=self._inbox.asked,
                    flushed=self._flushed,
                ),
                now,
            )
            if isinstance(due, str):
                return due
            session.ticks = count(came)
            session.wake_at = came + (triggers.size - events - 1 if events else 0)
            writer = session.writer
            session.wake_offset = min(
                writer.position() + triggers.bytes - waiting, writer.prepare_at()
            )
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
        self._counters.flushes[why] += 1
        self._flushed = self._clock()
        self._measure_pace(session)
        self._inbox.urgent = self._inbox.full = False  # before the count: see the inbox
        session.until = session.journal.count()
        self._send_all(session)

    def _send_all(self, session: Session) -> None:
        while session.journal.settled < session.until and self._send_next(session):
            self._yielder.let_others_run()
        # What came meanwhile has waited since the flush began, at the most.
        session.oldest = self._flushed if session.journal.pending() else None

    def _send_next(self, session: Session) -> bool:
        """Send one batch; return whether there was one."""
        batch = cut_batch(session.journal, self._options)
        if batch is None:
            return False
        if not session.begun:
            session.begun = True
            self._delivery.transport.begin(batch.producer)
        self._delivery.deliver(batch, Ranges(), session.settle)
        return True

    def _finish_retiring(self) -> None:
        retiring = self._inbox.retiring
        if not retiring:
            return
        while retiring:
            self._finish(retiring[0])
            retiring.popleft()
        # Nobody may come after us, so what others left is finished as far as that is soon done.
        deadline = self._clock() + LAST_LOOK
        try:
            self._takeover.send_all(lambda: self._clock() < deadline)
            self._delivery.transport.close()
        finally:
            self._takeover.give_up()  # this process may live on without sending anything here
            self._take_over_at = self._clock() + TAKE_OVER_EVERY

    def _finish(self, session: Session) -> None:
        """Send the rest of a session that retires, and end it."""
        session.look()
        if session.journal.pending():
            self._counters.flushes["close"] += 1
        self._send_rest(session)
        self._report_losses(session)  # there is room now
        session.journal.stop()  # a caller that still held it goes to the current one from now on
        self._send_rest(session)
        session.end()

    def _send_rest(self, session: Session) -> None:
        while self._send_next(session):
            self._yielder.let_others_run()

    def _report_losses(self, session: Session) -> None:
        """Put a WARNING about dropped events into the log, once there is room."""
        while (loss := session.pop_loss()) is not None:
            line = self._encoder.text(
                f"logbatch dropped {loss.events} events ({loss.reason})",
                level=logging.WARNING,
                logger="logbatch",
                attributes=loss.attributes(session.journal.producer),
            )
            if not _append_own(session, line):
                session.put_back(loss)
                return

    def _store_repeats(self) -> None:
        """Put how often the last event was repeated into the log, if that is due."""
        if self._repeats is None:
            return
        session = self._current()
        since = self._repeats.flush_due(lambda line: _append_own(session, line))
        if since is not None:
            session.oldest = since if session.oldest is None else min(session.oldest, since)

    # ------------------------------------------------------------------ events of other processes

    def _take_over_one(self) -> None:
        """Send one batch of a process that died, if there is one and it is time to look."""
        if not self._takeover.is_under_way:
            if self._clock() < self._take_over_at:
                return
            self._take_over_at = self._clock() + TAKE_OVER_EVERY
        self._takeover.send_one()


def _append_own(session: Session, line: bytes) -> bool:
    """Append a line of logbatch's own; return whether there was room."""
    try:
        session.journal.append(line)
        next(session.ticks)
    except (JournalFull, JournalStopped):
        return False
    return True
