"""The batcher: events go into the journal on the caller's thread, batches leave on the flusher's.

`append` takes an encoded event.  It never raises, never waits (but for `when_full="block"`), and
takes no lock that is held while anything is sent.  One background thread, started by the first
event, loops over `Flusher.step`.

Closing a batcher, or forking, ends a *session*: its journal is finished, or left to the parent.
An event that comes afterwards begins the next one, so nothing is too late to be logged.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from logbatch.batching.account import make_stats
from logbatch.batching.delivery import Delivery, delivering
from logbatch.batching.flusher import Flusher
from logbatch.batching.lifetime import process
from logbatch.batching.repeats import Collapser
from logbatch.batching.session import FAR, Request, Session, Tally
from logbatch.batching.triggers import FLOWING
from logbatch.events.event import LineEncoder
from logbatch.events.redact import Redactor
from logbatch.identity import new_producer
from logbatch.journal import Journal, JournalFull, JournalStopped
from logbatch.options import BatchOptions
from logbatch.stats import Stats
from logbatch.transports.base import Transport, journal_directory
from logbatch.trouble import Trouble, describe

_POLL = 0.01  # seconds between two looks for room, when a caller waits for it
_LONGEST_SLEEP = 3600.0


class Batcher:
    """Takes encoded events and delivers them in batches.

    Args:
        transport: The destination.
        options: How to gather, and what happens at the limits; None takes the transport's
            defaults.
        directory: Where journals are; None takes the one of the destination.
        clock: Seconds that only go forward; tests bring their own.
    """

    _redact: Redactor | None
    _repeats: Collapser | None

    def __init__(
        self,
        transport: Transport,
        options: BatchOptions | None = None,
        *,
        directory: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self.options = options or BatchOptions.build({}, defaults=transport.defaults)
        in_memory = self.options.durability == "memory"
        self.directory = None if in_memory else directory or journal_directory(transport)
        self._clock = clock
        self._urgent_level = self.options.flush_level
        self._begin()
        if self.options.redacts or self.options.collapse_repeats:
            # On the instance, so that where neither is asked for a call costs nothing more.
            self.append = self._append_filtered  # type: ignore[method-assign]
        process.add(self)

    def _begin(self) -> None:
        """Start with nothing: when built, and in a forked child."""
        rejected = self.directory / "rejected" if self.directory else None
        self._trouble = Trouble(self.options.on_error)
        self.report = self._trouble.say
        self._begin_filters()
        self.delivery = Delivery(self.transport, rejected, self._trouble, self._clock)
        self.flusher = Flusher(
            self.delivery,
            self.options,
            self.directory,
            lambda: self._session,
            LineEncoder(service=self.options.service, host=self.options.host),
            self._trouble,
            self._clock,
            repeats=self._repeats,
        )
        self._lock = threading.RLock()  # which session is the current one
        self._working = threading.RLock()  # held by the one thread that delivers
        self._signals: SimpleQueue[None] = SimpleQueue()
        self._requests: deque[Request] = deque()
        self._suppressed = 0
        self._past = Tally()
        self._sessions: list[Session] = []  # all that are not folded into `_past`
        self._worker: int | None = None  # the thread that is inside a step
        self._running = False
        self._closing = False
        self._finalizer_set = False
        self._session = self._new_session()

    def _begin_filters(self) -> None:
        """Make what looks at each line before it is stored, if that is asked for."""
        options = self.options
        self._redact = self._repeats = None
        if options.redacts:
            self._redact = Redactor(options.redact, options.redact_patterns, self.report)
        if options.collapse_repeats:
            self._repeats = Collapser(
                self._append,
                lambda: self._wake(self._session, 0),
                FLOWING if options.flush_interval == "adaptive" else options.flush_interval,
                self._clock,
            )

    def _new_session(self) -> Session:
        session = Session(
            Journal(
                self.directory,
                new_producer(),
                power=self.options.durability == "power",
                max_bytes=self.options.max_journal_bytes,
                on_trouble=self._trouble.say,
                on_segment=self._signal,
            )
        )
        self._sessions.append(session)
        return session

    # ------------------------------------------------------------------ the caller's side

    def append(self, line: bytes, level: int) -> bool:
        """Take an encoded event.

        Args:
            line: One line of JSON, newline and all.
            level: Its level number.

        Returns:
            Whether it was taken; if not, it is counted as dropped.
        """
        session = self._session
        try:
            session.writer.write(line)
        except ValueError:
            taken = self._append_anew(line)
            if taken is None:
                return False
            session = taken
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

    def _append(self, line: bytes, level: int) -> bool:
        """Take an event that nothing looks at any more."""
        return Batcher.append(self, line, level)

    def _append_filtered(self, line: bytes, level: int) -> bool:
        """Take an event, without its secrets, and unless it repeats the one before."""
        if self._redact is not None:
            line = self._redact(line)
        if self._repeats is not None:
            return self._repeats.take(line, level)
        return self._append(line, level)

    def _append_anew(self, line: bytes) -> Session | None:
        """Append in a new segment, in a new session, or when there is room; None if dropped."""
        deadline = self._clock() + self.options.block_timeout
        while True:
            session = self._session
            try:
                session.journal.append(line)
                return session
            except JournalStopped:
                self._replace(session)
            except JournalFull as full:
                if not self._make_room(session, deadline):
                    if session.drop_newest(str(full)):
                        self._trouble.say("dropped", f"events are dropped: {full}")
                    return None

    def _make_room(self, session: Session, deadline: float) -> bool:
        """Do what `when_full` says; tell whether to try again."""
        if not self.flusher.full:
            self.flusher.full = True
            self._wake(session, 0)
        if self.options.when_full == "drop_oldest" and session.drop_oldest("journal full"):
            self._trouble.say("dropped", "the oldest events are dropped: journal full")
            return True
        if self.options.when_full == "block" and self._clock() < deadline:
            if self.delivery.thread == threading.get_ident():
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
                self.flusher.urgent = True
            self._signal()
            if not self._running and not self._start() and not process.ending:
                session.wake_at = 0  # try again with the next event
        except BaseException:  # an interrupt: the next event wakes it
            session.wake_at = 0
            raise

    def _signal(self) -> None:
        self._signals.put(None)

    def suppress(self) -> None:
        """Count an event that the delivery itself logged; it would feed on itself for ever."""
        self._suppressed += 1

    # ------------------------------------------------------------------ the flusher's thread

    def _start(self) -> bool:
        """Start the thread, if it does not run; tell whether it does now."""
        if process.ending:
            return self._running
        self._end_with_multiprocessing()
        with self._lock:
            if self._running:
                return True
            self._running = True
            try:
                # Not threading.Thread: its start() waits for the new thread and takes a lock that
                # is not re-entrant, so a signal handler that logs could wait for itself.
                start_new_thread(self._run, ())
            except RuntimeError:  # no more threads, or the interpreter is shutting down
                self._running = False
            except BaseException:
                self._running = False  # if it did start, two are no harm: one works at a time
                raise
        return self._running

    def _end_with_multiprocessing(self) -> None:
        """Close at the end of a child of multiprocessing, which runs no atexit functions."""
        util = sys.modules.get("multiprocessing.util")
        processes = sys.modules.get("multiprocessing.process")
        if util is None or processes is None or self._finalizer_set:
            return
        if processes.parent_process() is not None:
            self._finalizer_set = True
            util.Finalize(None, _close_one, args=(weakref.ref(self),), exitpriority=-100)

    def _run(self) -> None:
        rests = False
        try:
            while True:
                wait = self._step()
                rests = self._may_rest()
                if rests:
                    return
                with contextlib.suppress(Empty):
                    self._signals.get(timeout=min(wait, _LONGEST_SLEEP))
                    while True:
                        self._signals.get_nowait()
        finally:
            if not rests:  # the thread was killed: another goes on, now or with the next event
                self._running = False
                self._session.wake_at = 0
                if self._busy():
                    self._start()

    def _step(self) -> float:
        with self._working:
            self._worker = threading.get_ident()
            try:
                return self.flusher.step()
            except BaseException as error:
                self._trouble.say("flusher", f"the flusher failed: {describe(error)}", error)
                return 1.0
            finally:
                self._worker = None
                self._answer_requests()

    def _answer_requests(self) -> None:
        for request in list(self._requests):
            if request.look():
                with contextlib.suppress(ValueError):
                    self._requests.remove(request)
        self.flusher.asked = bool(self._requests)

    def _may_rest(self) -> bool:
        """End the thread of a closed batcher; but not if an event came in at this moment."""
        if not self._closing or self._busy():
            return False
        self._running = False
        self._session.wake_at = 0
        with self._lock:
            if self._running or not self._busy():  # another was started, or none is needed
                return True
            self._running = True
            return False

    def _busy(self) -> bool:
        if self._repeats is not None and self._repeats.wait() < FAR:
            return True
        return bool(self.flusher.retiring or self._requests or self._session.journal.pending())

    def _drain_here(self, timeout: float) -> None:
        """Deliver on the calling thread, where no other can be started."""
        deadline = self._clock() + timeout
        if self._worker == threading.get_ident():
            return
        with self._working:  # a `with`, so that no interrupt leaves it locked
            while self._requests and (left := deadline - self._clock()) > 0:
                self._limit_transport(left)
                time.sleep(min(max(self._step(), 0.0), left, 0.1))
            self._limit_transport(None)

    def _limit_transport(self, seconds: float | None) -> None:
        self.transport.patience = seconds

    # ------------------------------------------------------------------ flush and close

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything accepted before this call is settled.

        Args:
            timeout: Seconds to wait at the most; None takes `close_timeout`.

        Returns:
            Whether it is.  False at once on the thread that delivers.
        """
        if self._worker == threading.get_ident():
            return False
        if self._repeats is not None:
            self._repeats.tell()
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
        if self._worker == threading.get_ident():
            return False
        self.retire()
        requests = [Request(session, FAR) for session in self.flusher.retiring.copy()]
        done = self._wait_for(requests, self._patience(timeout))
        if not done and not self._running:
            self.leave_to_others()
        return done

    def retire(self) -> None:
        """Begin to close, without waiting: the flusher ends the session and then itself."""
        self._closing = True
        if self._repeats is not None:
            self._repeats.end()
        with self._lock:
            old = self._session
            if old.journal.begun or old.losses or self._others_left():
                self._session = self._new_session()
            for session in self._sessions:  # also one that an interrupt kept from being retired
                unfinished = session is not self._session and not session.ended
                if unfinished and session not in self.flusher.retiring.copy():
                    self.flusher.retiring.append(session)
        self._signal()

    def _others_left(self) -> bool:
        """Tell whether there are journals here that may be those of processes that died."""
        if self.directory is None:
            return False
        with contextlib.suppress(OSError):
            return any(name.endswith(".state") for name in os.listdir(self.directory))
        return False

    def _patience(self, timeout: float | None) -> float:
        timeout = self.options.close_timeout if timeout is None else max(timeout, 0.0)
        return process.limit(timeout)

    def _wait_for(self, requests: list[Request], timeout: float) -> bool:
        waiting = [request for request in requests if not request.look()]
        if not waiting:
            return True
        started = self._clock()
        deadline = started + timeout
        self._requests.extend(waiting)
        self.flusher.asked = self.flusher.hurry = True
        self._signal()
        if self._start():
            for request in waiting:
                request.wait(deadline - self._clock())
        else:
            self._drain_here(timeout)
        process.spend(self._clock() - started)
        settled = [request.look() for request in waiting]
        for request in waiting:
            with contextlib.suppress(ValueError):
                self._requests.remove(request)
        return all(settled)

    def leave_to_others(self) -> None:
        """Give up what could not be delivered, where no thread goes on trying."""
        with self._working:
            while self.flusher.retiring:
                self.flusher.retiring.popleft().end()
            self.flusher.give_up()

    def tell_left(self) -> None:
        """Say, when the process ends, where events are that could not be delivered."""
        left = self.stats().pending
        if left:
            events = "1 event is" if left == 1 else f"{left:,} events are"
            fate = (
                "lost: they were in memory"
                if self.directory is None
                else f"in {self.directory}; the next process that logs to the same place, or"
                " `logbatch recover`, delivers what is there"
            )
            self._trouble.say("left", f"{events} {fate}")

    # ------------------------------------------------------------------ the account

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        with self._lock:
            self._fold_ended()
            tally = sum((session.tally() for session in self._sessions), self._past)
        collapsed = self._repeats.collapsed if self._repeats is not None else 0
        return make_stats(
            tally, self.delivery, self.flusher, self._trouble, self._suppressed, collapsed
        )

    def _fold_ended(self) -> None:
        for session in [session for session in self._sessions if session.ended]:
            self._past += session.final
            self._sessions.remove(session)

    # ------------------------------------------------------------------ fork

    def after_fork(self) -> None:
        """Start afresh in a forked child; the journals are the parent's, who goes on with them."""
        delivering.clear()
        for session in self._sessions:
            session.journal.abandon()
        self.flusher.abandon()
        self.transport.after_fork()
        self._begin()


def _close_one(reference: weakref.ref[Batcher]) -> None:
    batcher = reference()
    if batcher is not None:
        batcher.close()
