"""Mend `time.sleep` under libfaketime, at the start of each Python that is to see another time.

Up to 0.9.10 (Debian 12) libfaketime answers a sleep until a moment of the monotonic clock, which is
how Python sleeps, with EINVAL where it does not fake that clock.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select((), (), (), seconds)


time.sleep = _sleep
