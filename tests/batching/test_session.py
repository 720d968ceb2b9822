"""The account of a journal, kept by several threads and by signal handlers."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

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
