"""Publish at once what dead processes left, without logging anything: `logbatch recover`.

Several may do it at the same time, and any process that logs to the same place does it as well.
Each journal is taken over by one of them.  The others wait until that one is done, and go on with
the journal if it is not: so all end with the same answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from logbatch.batching.backoff import Backoff
from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.batching.takeover import Takeover
from logbatch.errors import DeniedError, TemporaryError
from logbatch.journal import LeftJournal, find_left, read_pending
from logbatch.options import BatchOptions
from logbatch.transports.base import BaseTransport, journal_directory
from logbatch.trouble import Trouble

PATIENCE = 60.0  # seconds in which nothing is done, neither here nor by others, until we give up
_LOOK = 0.2  # seconds between two looks at what others do
_BACKOFF = Backoff(cap=10.0)


class Recovered(NamedTuple):
    """What a recovery did.

    Attributes:
        producers: Journals finished here.
        events: Events published here.
        left: Events that could not be published.
        elsewhere: Those of them that are in journals which another process has taken over.
        by_others: Whether others finished journals meanwhile.
    """

    producers: int
    events: int
    left: int = 0
    elsewhere: int = 0
    by_others: bool = False


class Recovery:
    """Takes journals over and publishes them until nothing is left.

    Args:
        transport: Where to.
        meant_for: The destination that they were logged to; None for the same.
        patience: Seconds to retry while the destination accepts nothing; 0 retries nothing.
        timeout: Seconds it may take in all; with it, it is retried as long.  None sets no limit.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        transport: BaseTransport,
        *,
        meant_for: BaseTransport | None = None,
        patience: float = 0.0,
        timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory = journal_directory(meant_for or transport)
        rejected = directory / "rejected" if directory is not None else None
        options = BatchOptions.build({}, defaults=transport.defaults)
        self.transport = transport
        self._counters, self._trouble = Counters(), Trouble()
        self._delivery = Delivery(transport, rejected, self._trouble, self._counters, clock)
        self._takeover = Takeover(directory, self._delivery, options, self._counters, self._trouble)
        self._clock = clock
        self._patience = patience if timeout is None else timeout
        self._waiting = PATIENCE if timeout is None else timeout
        self._ends = clock() + timeout if timeout is not None else float("inf")
        self._failures = 0  # in a row
        self._moved = clock()  # when something was done last, here or by others
        # What was done, and what was left then.
        self._seen: tuple[int, dict[str, LeftJournal]] = (0, {})
        self._by_others = False

    @property
    def published(self) -> int:
        """Events published so far."""
        return self._counters.recovered

    def count_left(self) -> int:
        """Return how many events wait, in all journals that processes left."""
        return sum(self._count(self._find_left()).values())

    def step(self) -> float | None:
        """Send one batch, or look what others do.

        Returns:
            Seconds until the next step; None where there is nothing more to do, or no time.
        """
        try:
            self._takeover.send_one()
        except TemporaryError as error:
            return self._back_off(error)
        self._failures = 0
        if self._takeover.is_under_way:
            self._moved = self._clock()
            return 0.0 if self._clock() < self._ends else None
        return self._look()

    def _back_off(self, error: TemporaryError) -> float | None:
        now = self._clock()
        self._failures += 1
        wait = _BACKOFF.delay(self._failures, random.random(), error.retry_after)
        in_vain = isinstance(error, DeniedError)
        if in_vain or now + wait > min(self._moved + self._patience, self._ends):
            fate = "what is not published stays in the journals; run it again when it can be sent"
            self._trouble.say("recover", f"cannot publish: {error}; {fate}", error)
            return None
        text = f"{error}; the rest waits in the journal; retrying in {wait:.1f} s"
        self._trouble.say("send", text, error)
        return wait

    def _look(self) -> float | None:
        """See, at the end of a round, whether there is anything left, and whether it gets less."""
        left = self._find_left()
        now = self._clock()
        done, before = self._seen
        self._seen = self._counters.recovered_journals, left
        if done == self._counters.recovered_journals:
            self._by_others |= any(each.held and name not in left for name, each in before.items())
        if not left:
            return None
        if self._seen != (done, before):
            self._moved = now
        elif not any(each.held for each in left.values()):
            return None  # two rounds could not take them over; it was said why
        return _LOOK if now + _LOOK < min(self._moved + self._waiting, self._ends) else None

    def _find_left(self) -> dict[str, LeftJournal]:
        return find_left(self._directory) if self._directory is not None else {}

    def _count(self, left: dict[str, LeftJournal]) -> dict[str, int]:
        """Count the events that wait, by producer."""
        found = read_pending(self._directory) if self._directory is not None and left else []
        return {each.producer: each.lines.count(b"\n") for each in found if each.producer in left}

    def end(self) -> Recovered:
        """Leave what is not finished to others, and say what was done."""
        self._takeover.give_up()
        self.transport.close()
        left = self._find_left()
        counts = self._count(left)
        return Recovered(
            self._counters.recovered_journals,
            self._counters.recovered,
            sum(counts.values()),
            sum(number for name, number in counts.items() if left[name].held),
            self._by_others,
        )
