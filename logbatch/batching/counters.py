"""What the parts of a batcher count, in one place; `stats()` is made of it."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque

from logbatch.batching.session import Tally
from logbatch.stats import Stats, quantiles, share
from logbatch.transports.base import Tidied
from logbatch.trouble import Trouble


@dataclasses.dataclass(slots=True)
class Counters:
    """The numbers of one batcher since it was made; any thread may read them.

    Attributes:
        calls: Sends begun, whatever became of them.
        batches: Sends that were acknowledged, those of single events included.
        events, bytes: What these held.
        single_calls, singles: Of the calls and of the events, those of single events to a
            destination that does not take batches.
        skipped: Events that the destination left out without saying which.
        retries: Sends that must be tried again.
        seconds: How long the newest sends took.
        flushes: Flushes begun, by trigger.
        recovered: Events of processes that died which were published here.
        recovered_journals: Journals of such processes that were finished here.
        merges, merged_files, merged_bytes, merge_seconds: Files that the transport made of small
            ones, of how many, how large they are, and the processor time it took.
        suppressed: Events that a delivery itself logged.
    """

    # Written by the thread that delivers.
    calls: int = 0
    batches: int = 0
    events: int = 0
    bytes: int = 0
    single_calls: int = 0
    singles: int = 0
    skipped: int = 0
    retries: int = 0
    seconds: deque[float] = dataclasses.field(default_factory=lambda: deque(maxlen=1024))
    flushes: Counter[str] = dataclasses.field(default_factory=Counter)
    recovered: int = 0
    recovered_journals: int = 0
    merges: int = 0
    merged_files: int = 0
    merged_bytes: int = 0
    merge_seconds: float = 0.0
    # Written by callers: those that are inside a transport, of this batcher or of another.
    suppressed: int = 0

    def add_tidied(self, done: Tidied) -> None:
        """Count what a transport did to keep its files in order."""
        self.merges += done.merges
        self.merged_files += done.files
        self.merged_bytes += done.bytes
        self.merge_seconds += done.seconds

    def make_stats(
        self, tally: Tally, trouble: Trouble, collapsed: int, *, to_files: bool = False
    ) -> Stats:
        """Return the state at this instant.

        Args:
            tally: What became of all events accepted.
            trouble: What went wrong.
            collapsed: Events folded away as repeats.
            to_files: Whether the destination is files.
        """
        return Stats(
            accepted=tally.accepted,
            published=tally.published,
            pending=tally.pending,
            rejected=tally.rejected,
            dropped=dict(tally.dropped),
            suppressed=self.suppressed,
            collapsed=collapsed,
            recovered=self.recovered,
            batches=self.batches,
            records_per_batch=self.events / self.batches if self.batches else 0.0,
            bytes_per_batch=self.bytes / self.batches if self.batches else 0.0,
            requests=self.calls,
            requests_saved=None if to_files else max(self.events - self.calls, 0),
            batch_success_rate=share(self.batches - self.singles, self.calls - self.single_calls),
            fallback_share=share(self.singles, self.events) or 0.0,
            skipped=self.skipped,
            flushes=dict(self.flushes),
            retries=self.retries,
            errors=dict(trouble.counts),
            last_error=trouble.last,
            flush_seconds=quantiles(self.seconds.copy()),
            merges=self.merges,
            merged_files=self.merged_files,
            merged_bytes=self.merged_bytes,
            merge_seconds=self.merge_seconds,
        )
