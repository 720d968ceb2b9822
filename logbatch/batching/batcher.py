"""The batcher: events go into the journal on the caller's thread, batches leave on another.

`append` takes an encoded event.  It never raises, never waits (but for `when_full="block"`), and
takes no lock that is held while anything is sent.  One background thread, started by the first
event, delivers.

Closing a batcher, or forking, ends a *session*: its journal is finished, or left to the parent.
An event that comes afterwards begins the next one, so nothing is too late to be logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery, delivering
from logbatch.batching.flusher import Flusher
from logbatch.batching.inbox import Inbox, Request
from logbatch.batching.left import describe_left, describe_loss
from logbatch.batching.lifetime import Patience, process
from logbatch.batching.repeats import Collapser
from logbatch.batching.reports import Reporter
from logbatch.batching.session import FAR, Session, Tally
from logbatch.batching.takeover import Takeover
from logbatch.batching.triggers import FLOWING
from logbatch.batching.worker import Worker
from logbatch.events.event import LineEncoder
from logbatch.events.redact import Redactor
from logbatch.forks import notice
from logbatch.identity import new_producer
from logbatch.journal import Journal, JournalFull, JournalStopped, Left
from logbatch.journal.state import SUPPORTED
from logbatch.native import RLock
from logbatch.options import BatchOptions
from logbatch.places import explain
from logbatch.stats import Stats
from logbatch.transports.base import BaseTransport, journal_directory
from logbatch.trouble import Trouble, describe

_POLL = 0.01  # seconds between two looks for room, when a caller waits for it


class Batcher:
    """Takes encoded events and delivers them in batches.

    Args:
        transport: The destination.
        options: How to gather, and what happens at the limits; None takes the transport's
            defaults.
        clock: Seconds that only go forward; tests bring their own.
    """

    def __init__(
        self,
        transport: BaseTransport,
        options: BatchOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Written here only.
        self.transport = transport
        self.options = options or BatchOptions.build({}, defaults=transport.defaults)
        in_memory = self.options.durability == "memory"
        self.directory = None if in_memory else journal_directory(transport)
        self._clock = clock
        self._urgent_level = self.options.flush_level
        self._begin()
        self._explain_directory()
        if self.options.redacts or self.options.collapse_repeats:
            # On the instance, so that where neither is asked for a call costs nothing more.
            self.append = self._append_filtered  # type: ignore[method-assign]
        process.add(self)

    def _explain_directory(self) -> None:
        """Say where the journal is, if nobody would look for it there."""
        meant = self.options.durability == "memory" or self.transport.destination is None
        if self.directory is None and meant:
            return
        if text := explain(self.directory):
            self._trouble.say("home", text)

    def _begin(self) -> None:
        """Start with nothing: when built, and in a forked child."""
        options, transport = self.options, self.transport
        rejected = self.directory / "rejected" if self.directory is not None else None
        # The same until the next fork.  Each part says who writes its fields.
        self._trouble = Trouble(options.on_error, self._clock)
        self.report = self._trouble.say
        self._counters = Counters()
        self._inbox = Inbox()
        self._redact = self._make_redactor()
        self._repeats = self._make_collapser()
        self._delivery = Delivery(transport, rejected, self._trouble, self._counters, self._clock)
        self._takeover = Takeover(
            self.directory, self._delivery, options, self._counters, self._trouble
        )
        self._flusher = Flusher(
            options,
            lambda: self._session,
            self._inbox,
            self._delivery,
            self._takeover,
            LineEncoder(service=options.service, host=options.host),
            self._repeats,
            self._counters,
            self._trouble,
            self._clock,
        )
        self._reporter = self._make_reporter()
        self._worker = Worker(
            self._flusher, self._inbox, transport, self._reporter, self._trouble, self._clock
        )
        # Written under `_lock` by any thread.  `_session`, the current one, is read without it.
        self._lock = RLock()
        self._sessions: list[Session] = []  # all that are not yet in `_past`, the current one too
        self._past = Tally()
        self._left: list[Left] = []  # of those in `_past`
        self._session = self._new_session()
        # Written by who waits; read by any.
        self._waited = Patience(options.close_timeout, self._clock())

    def _make_redactor(self) -> Redactor | None:
        options = self.options
        if not options.redacts:
            return None
        return Redactor(options.redact, options.redact_patterns, self.report)

    def _make_collapser(self) -> Collapser | None:
        options = self.options
        if not options.collapse_repeats:
            return None
        return Collapser(
            self._append,
            lambda: self._wake(self._session, 0),
            FLOWING if options.flush_interval == "adaptive" else options.flush_interval,
            self._clock,
        )

    def _make_reporter(self) -> Reporter | None:
        if not self.options.report or self.directory is None or not SUPPORTED:
            return None
        return Reporter(self.directory, self.transport, self.options, self.stats, self._clock)

    def _new_session(self) -> Session:
        session = Session(
            Journal(
                self.directory,
                new_producer(),
                power=self.options.durability == "power",
                max_bytes=self.options.max_journal_bytes,
                on_trouble=self._trouble.say,
                on_segment=self._inbox.wake,
            )
        )
        self._sessions.append(session)
        if self._reporter is not None:
            self._reporter.begin(session)
        return session

    # ------------------------------------------------------------------ the caller's side

    def append(self, line: bytes, level: int) -> bool:
        """Put an encoded event into the journal.

        Args:
            line: One line of JSON, newline and all.
            level: Its level number.

        Returns:
            Whether there was room; if not, it is counted as dropped.
        """
        session = self._session
        try:
            session.writer.write(line)
        except ValueError:
            found = self._append_anew(line)
            if found is None:
                return False
            session = found
        try:
            if (
                next(session.ticks) >= session.wake_at
                or level >= self._urgent_level
                or session.writer.position() >= session.wake_offset
            ):
                self._wake(session, level)
        except ValueError:
            pass  # the session was ended, and its memory given up, since the line went in
        except TypeError:
            self._wake(session, 0)  # a record may have any level; this one's is no number
        return True

    @property
    def producer(self) -> str:
        """Under which events go out that are appended now."""
        return self._session.journal.producer

    def has_room(self, need: int, within: int) -> bool:
        """Return whether events will find room, in files unless the journal is in memory by choice.

        Args:
            need: Bytes of all of them.
            within: The most bytes that may wait then; or as many as are allowed, if those are less.
        """
        return self._session.writer.has_room(need, within)

    def keeps_all(self) -> bool:
        """Return whether all events that were appended survive this process, or none ever do."""
        return self._session.writer.keeps_all()

    def _append(self, line: bytes, level: int) -> bool:
        """Append without looking at the event: it has been redacted, and is no repeat."""
        return Batcher.append(self, line, level)

    def _append_filtered(self, line: bytes, level: int) -> bool:
        """Append an event without its secrets, unless it repeats the one before."""
        if self._redact is not None:
            line = self._redact(line)
        if self._repeats is not None:
            return self._repeats.append(line, level)
        return self._append(line, level)

    def _append_anew(self, line: bytes) -> Session | None:
        """Append in a new segment, in a new session, or when there is room.

        Returns:
            The session it went into; None if it was dropped.
        """
        deadline = self._clock() + self.options.block_timeout
        while True:
            session = self._session
            try:
                session.journal.append(line)
                return session
            except JournalStopped:
                self._replace(session)
            except JournalFull as full:
                if self._make_room(session, deadline):
                    continue
                unreported = session.drop_newest(str(full))
                if unreported == 1:
                    self._trouble.say("dropped", describe_loss(str(full), self.directory))
                if unreported:
                    return None

    def _make_room(self, session: Session, deadline: float) -> bool:
        """Apply `when_full`; return whether to try again."""
        if not self._inbox.full:
            self._inbox.full = True
            self._wake(session, 0)
        if self.options.when_full == "drop_oldest" and session.drop_oldest("journal full"):
            self._trouble.say(
                "dropped", describe_loss("journal full", self.directory, "the oldest")
            )
            return True
        if self.options.when_full == "block" and self._clock() < deadline:
            if self._worker.is_inside():
                return False
            time.sleep(_POLL)
            return True
        return False

    def _replace(self, ended: Session) -> None:
        """Begin the next session, unless somebody has."""
        with self._lock:
            if self._session is ended:
                self._session = self._new_session()

    def _wake(self, session: Session, level: int) -> None:
        session.wake_at = session.wake_offset = FAR  # until the flusher has looked
        try:
            if level >= self._urgent_level:
                self._inbox.urgent = True
            self._inbox.wake()
            if not self._worker.running and not self._worker.start() and not process.ending:
                session.wake_at = 0  # try again with the next event
        except BaseException:  # an interrupt: the next event wakes it
            session.wake_at = 0
            raise

    def suppress(self) -> None:
        """Count an event that the delivery itself logged: to send it would log the next one."""
        self._counters.suppressed += 1

    # ------------------------------------------------------------------ flush and close

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything accepted before this call is settled.

        Args:
            timeout: Seconds to wait at the most; None takes `close_timeout`.

        Returns:
            Whether it is.  False at once on the thread that delivers.
        """
        notice()
        if self._worker.is_inside():
            return False
        if self._repeats is not None:
            self._repeats.flush()
        with self._lock:
            sessions = list(self._sessions)
        requests = [Request(session, session.journal.count()) for session in sessions]
        return self._wait_for(requests, self._patience(timeout))

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is there, end the thread, and remove the journal's files.

        It may be called again, and events may come afterwards: they begin a new session.

        Args:
            timeout: Seconds it may take; None takes `close_timeout`.

        Returns:
            Whether everything was delivered.  If not, it is in the journal: this process goes on
            trying as long as it lives, then the next one does.
        """
        notice()
        if self._worker.is_inside():
            return False
        self.retire()
        requests = [Request(session, FAR) for session in self._inbox.retiring.copy()]
        done = self._wait_for(requests, self._patience(timeout))
        if not done and not self._worker.running:
            self.leave_to_others()
        return done

    def retire(self) -> None:
        """Begin to close, without waiting: the flusher ends the session, and then the thread."""
        notice()
        self._inbox.closing = True
        if self._repeats is not None:
            self._repeats.end()
        with self._lock:
            old = self._session
            if old.journal.begun or old.losses or self._takeover.may_find_any():
                self._session = self._new_session()
            for session in self._sessions:  # also one that an interrupt kept from being retired
                unfinished = session is not self._session and not session.ended
                if unfinished and session not in self._inbox.retiring.copy():
                    self._inbox.retiring.append(session)
        self._inbox.wake()

    def _patience(self, timeout: float | None) -> float:
        timeout = self.options.close_timeout if timeout is None else max(timeout, 0.0)
        return process.limit(min(timeout, self.patience()) if process.ending else timeout)

    def patience(self) -> float:
        """Return how many seconds the end of the process may wait for what is left."""
        return self._waited.left(self._clock())

    def _wait_for(self, requests: list[Request], timeout: float) -> bool:
        waiting = [request for request in requests if not request.look()]
        if not waiting:
            return True
        started, sent = self._clock(), self._counters.batches
        self._inbox.ask(waiting)
        try:
            if self._worker.start():
                for request in waiting:
                    request.wait(started + timeout - self._clock())
            else:
                self._worker.drain(timeout)
        finally:
            self._inbox.withdraw(waiting)
            now = self._clock()
            process.spend(now - started)
            self._waited.note(started, now, in_vain=self._counters.batches == sent)
        return all(request.look() for request in waiting)

    def leave_to_others(self) -> None:
        """Give up what could not be delivered, where no thread goes on trying."""
        self._worker.leave_to_others()
        self._inbox.wake()  # the thread has nothing to do any more, and ends

    def report_left(self) -> None:
        """Report, when the process ends, where events are that could not be delivered."""
        with self._lock:
            self._fold_ended()
            left, sessions = self._left.copy(), self._sessions.copy()
        for session in sessions:
            session.journal.keep()  # the thread may be busy sending for longer than there is time
        left += [session.journal.left() for session in sessions]
        if text := describe_left(left, self.directory):
            self._trouble.say("left", text)

    # ------------------------------------------------------------------ the account

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        notice()
        with self._lock:
            self._fold_ended()
            past, sessions = self._past, self._sessions.copy()
        # Not under the lock: who holds a journal's may log, in a signal handler, and wait for this.
        tally = sum((session.tally() for session in sessions), past)
        collapsed = self._repeats.collapsed if self._repeats is not None else 0
        to_files = self.transport.writes_files
        return self._counters.make_stats(tally, self._trouble, collapsed, to_files=to_files)

    def _fold_ended(self) -> None:
        for session in [session for session in self._sessions if session.ended]:
            self._past += session.tally()
            self._left.append(session.journal.left())
            self._sessions.remove(session)

    # ------------------------------------------------------------------ fork

    def working_thread(self) -> int | None:
        """Return the thread that delivers at this moment; None where none does."""
        return self._worker.inside

    def after_fork(self) -> None:
        """Start afresh in a forked child; the journals are the parent's, who goes on with them."""
        delivering.clear()
        for session in self._sessions:
            session.journal.abandon()
        self._takeover.abandon()
        self._begin()
        try:
            self.transport.after_fork()
        except Exception as error:
            fate = "events are sent all the same"
            self.report("fork", f"the transport's after_fork failed: {describe(error)}; {fate}")
