"""What a handler tells about itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The state of a handler at one instant.

    At every instant `accepted == published + pending + rejected + sum(dropped.values())`.

    Attributes:
        accepted: Events taken from the application (and logbatch's own about losses).
        published: Events the destination acknowledged.
        pending: Events that wait in the journal.
        rejected: Events the destination refused; they are dead letters.
        dropped: Events lost, by reason.
        refused: Events that the delivery itself logged; they were never accepted.
        recovered: Events of other processes, which had died, that this one published.
        batches: Batches acknowledged.
        records_per_batch: Their mean size, in events.
        bytes_per_batch: Their mean size, in bytes.
        flushes: Flushes begun, by trigger: age, size, bytes, level, full,
            asked, close.
        retries: Sends that failed and are, or were, tried again.
        errors: Troubles, by kind.
        last_error: The newest trouble in one sentence.
        flush_seconds: Seconds one send takes: quantiles "p50", "p90", "p99" and "max" of the last
            1,024.
    """

    accepted: int = 0
    published: int = 0
    pending: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    refused: int = 0
    recovered: int = 0
    batches: int = 0
    records_per_batch: float = 0.0
    bytes_per_batch: float = 0.0
    flushes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    retries: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    last_error: str | None = None
    flush_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON or metrics."""
        return dataclasses.asdict(self)


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and the maximum; empty for no values.

    Each is one of the values: the smallest that so many per cent of all do not exceed (the
    "nearest rank").
    """
    ordered = sorted(seconds)
    if not ordered:
        return {}
    shares = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    return {name: ordered[-(-len(ordered) * share // 100) - 1] for name, share in shares.items()}
