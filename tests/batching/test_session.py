"""The account of one journal, and what callers leave for the thread that delivers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections import Counter

import pytest
from make import logged_line as line

from logbatch.batching.inbox import Inbox, Request
from logbatch.batching.session import FAR, NOT_IN_TIME, Session, Tally
from logbatch.identity import new_producer
from logbatch.journal import Journal


def new_session(*texts: str, max_bytes: int = 1 << 30) -> Session:
    """Make one in memory, with events."""
    session = Session(Journal(None, new_producer(), max_bytes=max_bytes))
    for text in texts:
        session.journal.append(line(text))
    return session


def test_every_event_is_in_the_account() -> None:
    """Before it is settled, and after."""
    session = new_session("a", "b", "c")
    assert Tally(accepted=3, pending=3) == session.tally()
    session.settle(1, 1)
    assert Tally(accepted=3, published=1, pending=1, rejected=1) == session.tally()
    session.drop_newest("journal full")
    full = Tally(4, 1, 1, 1, session.tally().dropped)
    assert full == session.tally()
    session.end()
    lost = full.dropped + Counter({NOT_IN_TIME: 1})
    assert Tally(4, 1, 0, 1, lost) == session.tally()


def test_nothing_is_dropped_of_a_session_that_has_ended() -> None:
    """Regression: an event that found no room while the session was ended was in no account."""
    session = new_session("a")
    session.settle(0)
    session.end()
    assert 0 == session.drop_newest("journal full")
    assert Tally(accepted=1, published=1) == session.tally()


def test_losses_for_one_reason_are_reported_together() -> None:
    """With the first and the last sequence; one that cannot be reported yet is kept."""
    session = new_session(*["x" * 2000] * 200, max_bytes=1 << 19)
    session.drop_newest("no room")
    first = session.pop_loss()
    assert first is not None
    assert session.drop_oldest("no room")
    session.put_back(first)
    loss = session.pop_loss()

    assert loss is not None
    (span,) = session.journal.dropped
    assert (span[0], span[1]) == (loss.first, loss.last)
    assert span[1] - span[0] + 2 == loss.events
    assert loss.since <= loss.until
    assert session.pop_loss() is None
    session.end()


def test_as_long_as_one_waits_a_flush_is_asked_for() -> None:
    """Who is answered goes on; who gives up takes nothing from the others."""
    session = new_session("a", "b")
    inbox = Inbox()
    soon, later = Request(session, 1), Request(session, FAR)
    inbox.ask([soon])
    inbox.ask([later])
    inbox.answer()
    assert [soon, later] == list(inbox.requests)
    session.settle(0)
    inbox.answer()
    assert [later] == list(inbox.requests)
    inbox.withdraw([soon])
    assert inbox.asked
    session.end()
    inbox.answer()
    assert not inbox.asked


def test_many_wakes_are_one() -> None:
    """Who wakes the thread while it works has it look once more."""
    inbox = Inbox()
    for _ in range(3):
        inbox.wake()
    inbox.wait(60.0)
    inbox.wait(0.0)
    threading.Timer(0.01, inbox.wake).start()
    inbox.wait(60.0)


STORM = """
    import signal
    import threading
    import time

    from logbatch.batching.batcher import Batcher
    from logbatch.options import BatchOptions
    from logbatch.testing import CapturingTransport

    batcher = Batcher(
        CapturingTransport(),
        BatchOptions(flush_interval=3600.0, max_journal_bytes=1 << 16, when_full="{when_full}"),
    )
    line = b'{{"message":"%s"}}\\n' % (b"." * 1000)
    ended = False

    def look():
        while not ended:
            stats = batcher.stats()
            assert stats.accepted == stats.pending + stats.published + sum(stats.dropped.values())

    looking = threading.Thread(target=look)
    looking.start()
    signal.signal(signal.SIGVTALRM, lambda *_: batcher.append(line, 20))
    signal.setitimer(signal.ITIMER_VIRTUAL, 1e-4, 1e-4)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        batcher.append(line, 20)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    ended = True
    looking.join()
    assert batcher.stats().dropped
    assert batcher.close(30)
"""


@pytest.mark.parametrize("when_full", ["drop_newest", "drop_oldest"])
def test_a_signal_handler_may_log_while_another_thread_looks(when_full: str) -> None:
    """Regression: with a full journal, the two waited for each other's lock for ever."""
    code = textwrap.dedent(STORM).format(when_full=when_full)

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
