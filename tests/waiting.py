"""Waiting in tests: for something that another thread or process does, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds until something that does not come is a failure


def wait_until(
    condition: Callable[[], object], what: str = "a condition", every: float = 0.001
) -> None:
    """Return as soon as something holds, looking every so many seconds.

    What is waited for needs the processor as well: looking takes a fifth of it at most.
    """
    deadline = time.monotonic() + PATIENCE
    looked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(max(every, min(4 * (now - looked), 1.0)))
        looked = time.monotonic()
