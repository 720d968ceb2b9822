"""The one thread that delivers: started, interrupted, killed, or not to be had."""

import ctypes
import sys
import threading
from _thread import start_new_thread
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bench import no_threads, put
from waiting import wait_until

from logbatch.batching.batcher import Batcher
from logbatch.batching.inbox import Inbox
from logbatch.batching.worker import Worker
from logbatch.errors import TemporaryError
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport
from logbatch.transports.base import Batch, Receipt
from logbatch.trouble import Trouble

WAITS = 30.0  # seconds after which who still waits does so for ever


@contextmanager
def interrupted_at(function: object) -> Iterator[None]:
    """Press Ctrl-C at the moment when a function written in C is called."""

    def interrupt(frame: object, event: str, called: object) -> None:
        if event == "c_call" and called is function:
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_events_are_delivered_where_no_thread_can_be_started(transport: CapturingTransport) -> None:
    """Without a thread, flush and close deliver on the calling thread."""
    batcher = Batcher(transport, BatchOptions(flush_interval=3600.0))
    with no_threads():
        put(batcher, "a")
        assert batcher.flush()
        put(batcher, "b")
        assert batcher.close()
    assert ["a", "b"] == transport.messages


def test_a_transport_is_told_how_long_it_may_take_where_no_thread_can_be_started(
    transport: CapturingTransport,
) -> None:
    """No longer than whoever waits; afterwards, also after an interrupt, as long as it likes."""
    seen = []

    class Telling(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            assert self.patience is not None
            seen.append(self.patience)
            return super().send(batch)

    transport = Telling([TemporaryError("down"), KeyboardInterrupt()])
    batcher = Batcher(transport, BatchOptions(flush_interval=3600.0))
    with no_threads():
        put(batcher, "a")
        assert batcher.flush(5.0)
    assert 3 == len(seen)
    assert all(0 < each <= 5.0 for each in seen)
    assert None is transport.patience
    assert batcher.close()


def test_an_interrupt_while_the_thread_is_started_leaves_it_to_the_next_event(
    transport: CapturingTransport,
) -> None:
    """Ctrl-C in the middle of the first event costs nothing (no thread was ever started)."""
    batcher = Batcher(transport, BatchOptions(flush_interval=0.02))
    with pytest.raises(KeyboardInterrupt), interrupted_at(start_new_thread):
        put(batcher, "a")
    put(batcher, "b")
    assert transport.wait_for(2)
    assert batcher.close()


def test_who_starts_the_thread_does_not_wait_for_the_journal() -> None:
    """Regression: a signal handler could log from within the journal and wait for ever.

    It wanted to start the thread while the one before, about to rest, looked at the journal.
    """
    callers: list[threading.Thread] = []
    waited: list[bool] = []

    class Idle:
        """What has nothing to do; while it looks for the last time, somebody logs."""

        def step(self) -> float:
            return 0.0

        def rest(self) -> None:
            pass

        rearm = rest

        def is_busy(self) -> bool:
            if not worker.running and not callers:
                callers.append(threading.Thread(target=worker.start))
                callers[0].start()
                callers[0].join(WAITS)
                waited.append(callers[0].is_alive())
            return False

    inbox = Inbox()
    inbox.closing = True
    worker = Worker(Idle(), inbox, CapturingTransport(), None, Trouble())  # type: ignore[arg-type]
    worker.start()
    wait_until(lambda: waited and not worker.running)

    assert [False] == waited


def test_the_thread_is_restarted_when_it_died(transport: CapturingTransport) -> None:
    """Where the flusher's thread was killed, the next event starts another."""
    idents: list[int] = []

    class Telling(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            idents.append(threading.get_ident())
            return super().send(batch)

    transport = Telling()
    batcher = Batcher(transport, BatchOptions(flush_interval=0.02))
    put(batcher, "a")
    assert transport.wait_for(1)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(idents[0]), ctypes.py_object(SystemExit)
    )
    for n in range(100):
        put(batcher, str(n))
        assert transport.wait_for(n + 2)
    batcher.close()
