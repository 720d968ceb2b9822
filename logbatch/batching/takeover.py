"""Publish what processes that died left in the journals of a destination.

Each process that logs to a destination does this now and then, one batch between its own; a
recovery does it at once, without logging anything.  The journal of a living process is never
touched.  A journal that was taken over and is not finished is left to the next process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.batching.session import cut_batch
from logbatch.identity import Ranges
from logbatch.journal import Journal, adopt
from logbatch.options import BatchOptions
from logbatch.trouble import Trouble

_LEFT = (".state", ".journal", ".crash")  # how the files end that processes may leave


class Orphan(NamedTuple):
    """A journal that was taken over, and which of its records the destination has already."""

    journal: Journal
    known: Ranges


class Takeover:
    """Takes over the journals of processes that died, in rounds, and sends what is in them.

    Its fields belong to the thread that delivers.

    Args:
        directory: Where journals are; None where they are in memory, and end with their process.
        delivery: Sends batches.
        options: How large a batch may be.
        counters: Where it is counted.
        trouble: Where damage is reported.
    """

    def __init__(
        self,
        directory: Path | None,
        delivery: Delivery,
        options: BatchOptions,
        counters: Counters,
        trouble: Trouble,
    ) -> None:
        self.directory = directory
        self._delivery = delivery
        self._options = options
        self._counters = counters
        self._trouble = trouble
        self._round: Iterator[Orphan] | None = None  # those of this round that are still to come
        self._orphan: Orphan | None = None  # the one that is being sent

    @property
    def is_under_way(self) -> bool:
        """Whether a round has begun and is not at its end."""
        return self._round is not None

    def may_find_any(self) -> bool:
        """Return whether there are journals here that may be those of processes that died."""
        if self.directory is None:
            return False
        with contextlib.suppress(OSError):
            return any(name.endswith(_LEFT) for name in os.listdir(self.directory))
        return False

    def send_one(self) -> None:
        """Send one batch, of a new round if none is under way.

        Raises:
            TemporaryError: The destination does not take it now; the next call sends it again.
        """
        if self._round is None:
            self._round = self._take_over()
        if self._orphan is None:
            self._orphan = next(self._round, None)
        if self._orphan is None:
            self._round = None
        elif not self._send(self._orphan):
            self._orphan.journal.close()
            self._orphan = None
            self._counters.recovered_journals += 1

    def send_all(self, may_go_on: Callable[[], bool]) -> None:
        """Send what is left of a round, or a whole one, as long as the function says so.

        Raises:
            TemporaryError: The destination does not take it now.
        """
        self.send_one()
        while self.is_under_way and may_go_on():
            self.send_one()

    def _take_over(self) -> Iterator[Orphan]:
        if self.directory is None:
            return
        known: dict[str, Ranges] = {}

        def ask(producer: str) -> Ranges:
            known[producer] = self._delivery.transport.published(producer)
            return known[producer]

        for journal in adopt(self.directory, published=ask, on_trouble=self._trouble.say):
            yield Orphan(journal, known.pop(journal.producer))

    def _send(self, orphan: Orphan) -> bool:
        """Send the next batch of a journal; return whether there was one."""
        journal = orphan.journal
        batch = cut_batch(journal, self._options)
        if batch is None:
            return False

        def settle(last: int, rejected: int) -> None:
            self._counters.recovered += last + 1 - max(journal.settled, batch.first) - rejected
            journal.acknowledge(last)

        self._delivery.deliver(batch, orphan.known, settle)
        return True

    # ------------------------------------------------------------------ the end

    def give_up(self) -> None:
        """Leave what is not finished to the next process."""
        if self._orphan is not None:
            self._orphan.journal.close()
        self._orphan = self._round = None

    def abandon(self) -> None:
        """Let go without touching a file, in a forked child: it is the parent's."""
        if self._orphan is not None:
            self._orphan.journal.abandon()
        self._orphan = self._round = None
