"""Eight handlers whose destination never answers; the process ends all the same."""

import logging
import threading

import logbatch


class Hanging(logbatch.Transport):
    """Never answers."""

    destination = None  # the journal is in memory

    def send(self, batch: logbatch.Batch) -> None:
        """Wait for ever."""
        threading.Event().wait()

    def close(self) -> None:
        """Return at once."""


logger = logging.getLogger("hanging")
logger.setLevel(logging.INFO)
for _ in range(8):
    logger.addHandler(logbatch.BatchHandler(Hanging(), close_timeout=2.0))
logger.error("one")
print("ends", flush=True)
