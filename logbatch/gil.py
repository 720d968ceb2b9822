"""When a thread that computes in the background lets others run."""

from __future__ import annotations

import math
import sys
import time

from logbatch.native import sleep


class Yielder:
    """Hands the interpreter lock on from time to time, but not too often.

    A thread that computes keeps the lock for 5 ms (`sys.getswitchinterval`) once it has it, so a
    turn costs us 5 ms for each such thread.  We compute for a third of what the last turn cost,
    1 ms at least, and so get a quarter of the time.  Where that comes to 5 ms we hand on nothing,
    for the interpreter does it then.  An object is for one thread, and for one piece of work.
    """

    _SHORTEST = 0.001  # seconds of computing between two turns

    def __init__(self) -> None:
        self._hold = self._SHORTEST
        self._since = time.thread_time()

    def let_others_run(self) -> None:
        """Hand the lock on, if it is time."""
        if time.thread_time() - self._since < self._hold:
            return
        began = time.perf_counter()
        sleep(1e-6)  # not 0, which may return before another thread is awake
        share = (time.perf_counter() - began) / 3
        self._hold = max(share, self._SHORTEST) if share < sys.getswitchinterval() else math.inf
        self._since = time.thread_time()
