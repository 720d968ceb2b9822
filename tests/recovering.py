"""Publish what processes that died left, as `logbatch recover` does."""

from __future__ import annotations

import time

from logbatch.batching.recovery import Recovered, Recovery
from logbatch.transports.base import BaseTransport


def recover(transport: BaseTransport) -> Recovered:
    """Publish all that can be; journals of living processes are neither touched nor counted."""
    recovery = Recovery(transport)
    try:
        while (wait := recovery.step()) is not None:
            time.sleep(wait)
    finally:
        done = recovery.end()
    return done
