"""When is a batch due?  Pure: `now` is an argument, nothing is read and nothing is kept.

Six things make a batch due: the oldest event has waited `flush_interval`; there are
`max_batch_size` events; there are `max_batch_bytes` bytes; an event of `flush_level` came (then at
once, but at most every `COALESCE` seconds); the journal is full; somebody asked (`flush`, `close`).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

COALESCE = 0.05  # seconds between two flushes that urgent events cause

FLOWING, TRICKLING = 0.5, 2.0  # seconds: the ends of the adaptive interval
FLOWING_RATE = 50.0  # events a second from which on events "flow"
TRICKLING_RATE = 1.0
SHORTEST = 0.001  # seconds; a rate is not measured over less

Reason = Literal["age", "size", "bytes", "level", "full", "asked"]


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the journal, as the flusher sees it.

    Attributes:
        events: How many events are unsent.
        bytes: How many bytes they take.
        oldest: When the oldest of them came.
        urgent: Whether one of them is of `flush_level` or above.
        full: Whether an event found no room.
        asked: Whether somebody waits for a flush.
        flushed: When the last flush began.
    """

    events: int
    bytes: int
    oldest: float
    urgent: bool = False
    full: bool = False
    asked: bool = False
    flushed: float = float("-inf")


@dataclasses.dataclass(frozen=True, slots=True)
class Triggers:
    """The limits that make a batch due."""

    interval: float
    size: int
    bytes: int

    def due(self, waiting: Waiting, now: float) -> Reason | float:
        """Return why a flush is due now, or the seconds after which to look again.

        Infinity means that only a new event or a question can change the answer.
        """
        if waiting.events == 0:
            return float("inf")
        if waiting.asked:
            return "asked"
        if waiting.full:
            return "full"
        if waiting.events >= self.size:
            return "size"
        if waiting.bytes >= self.bytes:
            return "bytes"
        wait = waiting.oldest + self.interval - now
        if wait <= 0:
            return "age"
        if waiting.urgent:
            pause = waiting.flushed + COALESCE - now
            return "level" if pause <= 0 else min(pause, wait)
        return wait


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """The adaptive interval and batch size, for the rate at which events come.

    Attributes:
        rate: Events a second, smoothed.
    """

    rate: float = 0.0

    def after(self, events: int, seconds: float) -> Pace:
        """Return the pace after `events` came in `seconds`.

        The newest rate counts for half, so that a burst is followed within a few flushes however
        quickly they come; a measure over more than a second counts for more, so that an hour of
        silence leaves nothing of the rate before it.
        """
        if seconds <= 0:
            return self
        old = min(0.5, 0.5**seconds)
        return Pace(self.rate * old + events / max(seconds, SHORTEST) * (1 - old))

    @property
    def interval(self) -> float:
        """Seconds to wait: 2.0 up to 1 event a second, 0.5 from 50 on, a line between."""
        share = (self.rate - TRICKLING_RATE) / (FLOWING_RATE - TRICKLING_RATE)
        return TRICKLING + (FLOWING - TRICKLING) * min(max(share, 0.0), 1.0)

    def size(self, most: int) -> int:
        """Events that make a batch due: what one interval brings, from 10 to `most`."""
        return min(most, max(10, round(self.rate * self.interval)))
