"""The statistics of a handler or a processor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The state of a handler at one instant.

    At every instant `accepted == published + pending + rejected + sum(dropped.values())`.

    Attributes:
        accepted: Events accepted from the application, and logbatch's own about losses.
        published: Events that the destination acknowledged.
        pending: Events that are still in the journal.
        rejected: Events that the destination rejected for good; they are dead letters.
        dropped: Events that were lost, by reason.
        suppressed: Events that the delivery itself logged; they are not accepted.
        collapsed: Events that repeated the one before (`collapse_repeats`); they are not accepted.
        recovered: Events of dead processes that this one published.
        batches: Batches acknowledged.
        records_per_batch: Their mean size, in events.
        bytes_per_batch: Their mean size, in bytes.
        requests: Sends attempted, successful or not.
        requests_saved: How many fewer than one for each event that was delivered; None where the
            destination is files.
        batch_success_rate: The share of batch sends that was acknowledged, from 0 to 1; None
            before the first.
        fallback_share: The share of delivered events that was sent singly, for lack of a batch
            endpoint, from 0 to 1.
        skipped: Events that the destination acknowledged but reported as not stored.
        flushes: Flushes begun, by trigger: age, size, bytes, level, full, asked, close.
        retries: Sends that failed and are retried.
        errors: Errors, by kind.
        last_error: The latest error in one sentence.
        flush_seconds: Seconds that the last 1,024 sends took: "p50", "p90", "p99" and "max".
        merges: Files that were made of small ones (`compact`).
        merged_files: Of how many they were made.
        merged_bytes: How large they were made.
        merge_seconds: Processor time that took.
    """

    accepted: int = 0
    published: int = 0
    pending: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    suppressed: int = 0
    collapsed: int = 0
    recovered: int = 0
    batches: int = 0
    records_per_batch: float = 0.0
    bytes_per_batch: float = 0.0
    requests: int = 0
    requests_saved: int | None = 0
    batch_success_rate: float | None = None
    fallback_share: float = 0.0
    skipped: int = 0
    flushes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    retries: int = 0
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    last_error: str | None = None
    flush_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    merges: int = 0
    merged_files: int = 0
    merged_bytes: int = 0
    merge_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON or metrics."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """Return in one line what was sent, what batching saved, and what went wrong."""
        rate = self.batch_success_rate
        saved = self.requests_saved
        parts = [
            f"{_counted(self.published, 'record')} in {_counted(self.batches, 'batch')}"
            + (f" ({self.records_per_batch:,.0f} each)" if self.batches else ""),
            f"{_counted(saved, 'request')} saved" if saved is not None else "",
            f"{_percent(rate)} of batches acknowledged" if rate is not None else "",
            f"{_percent(self.fallback_share)} sent singly"
            if self.batches and saved is not None
            else "",
            f"{self.retries:,} {'retry' if self.retries == 1 else 'retries'}",
            f"{self.collapsed:,} repeats collapsed" if self.collapsed else "",
            f"{sum(self.dropped.values()):,} dropped" if self.dropped else "",
            f"{self.rejected:,} rejected" if self.rejected else "",
            f"{self.pending:,} pending" if self.pending else "",
        ]
        flushes = ", ".join(f"{why} {times:,}" for why, times in self.flushes.items())
        text = ", ".join(part for part in parts if part)
        return f"{text}; flushes: {flushes or 'none'}"


def share(part: float, whole: float) -> float | None:
    """Return a part as a share of the whole, from 0 to 1; None where there is no whole."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else None


def _percent(value: float) -> str:
    """Format a share; one that is not quite 0 or 1 is never shown as 0% or 100%."""
    if 0 < value < 1:
        return f"{min(max(value * 100, 0.1), 99.9):.1f}%"
    return f"{value:.0%}"


def _counted(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


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
