"""Mend what libfaketime breaks, at the start of each Python that is to see another time.

Up to 0.9.10 (Debian 12) it answers a sleep until a moment of the monotonic clock, which is how
Python sleeps, with EINVAL where it does not fake that clock.  And of two threads that begin to wait
for the interpreter lock at the same instant one gets EAGAIN, which is the end of the process: so
the threads of a process share one processor.
"""

import contextlib
import os
import select
import time

with contextlib.suppress(AttributeError, OSError):  # another system; a processor not for us
    os.sched_setaffinity(0, {os.getpid() % (os.cpu_count() or 1)})


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select((), (), (), seconds)


time.sleep = _sleep  # type: ignore[assignment]  # it takes what has __index__, too
