"""Bounds on what work costs, which hold on a slow machine too."""

from __future__ import annotations

import time
from collections.abc import Callable

_NOMINAL = 0.0027  # CPU seconds that the loop below takes on the machine where bounds were set


def cpu_seconds(work: Callable[[], object]) -> float:
    """Measure what work costs at best, in CPU seconds of a machine as fast as that one.

    This one may be busy or slow, or become so: it is measured beside by a loop of known cost.
    """
    return min(_spend(work) / _spend(_known) for _ in range(3)) * _NOMINAL


def _spend(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


def _known() -> None:
    texts = [str(number) for number in range(20_000)]
    assert 20_000 == len({text: len(text) for text in texts})
