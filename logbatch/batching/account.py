"""What a batcher tells about itself, put together from what its parts have counted."""

from __future__ import annotations

from logbatch.batching.delivery import Delivery
from logbatch.batching.flusher import Flusher
from logbatch.batching.session import Tally
from logbatch.stats import Stats, quantiles, share
from logbatch.trouble import Trouble


def make_stats(
    tally: Tally,
    sent: Delivery,
    flusher: Flusher,
    trouble: Trouble,
    suppressed: int,
    collapsed: int,
) -> Stats:
    """Return the state at this instant.

    Args:
        tally: What became of all events accepted.
        sent: What was sent.
        flusher: What was flushed and recovered.
        trouble: What went wrong.
        suppressed: Events that a delivery itself logged.
        collapsed: Events folded away as repeats.
    """
    return Stats(
        accepted=tally.accepted,
        published=tally.published,
        pending=tally.pending,
        rejected=tally.rejected,
        dropped=dict(tally.dropped),
        suppressed=suppressed,
        collapsed=collapsed,
        recovered=flusher.recovered["events"],
        batches=sent.batches,
        records_per_batch=sent.events / sent.batches if sent.batches else 0.0,
        bytes_per_batch=sent.bytes / sent.batches if sent.batches else 0.0,
        requests=sent.calls,
        requests_saved=max(sent.events - sent.calls, 0),
        batch_success_rate=share(sent.batches - sent.singles, sent.calls - sent.single_calls),
        fallback_share=share(sent.singles, sent.events) or 0.0,
        skipped=sent.skipped,
        flushes=dict(flusher.flushes),
        retries=sent.retries,
        errors=dict(trouble.counts),
        last_error=trouble.last,
        flush_seconds=quantiles(list(sent.seconds)),
    )
