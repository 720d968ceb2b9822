"""Publish what processes that died left, without logging anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from logbatch.batching.batcher import Batcher
from logbatch.batching.lifetime import process
from logbatch.errors import TemporaryError
from logbatch.journal import read_pending
from logbatch.options import BatchOptions
from logbatch.transports.base import Transport, journal_directory


class Recovered(NamedTuple):
    """What `recover` did: journals finished, events published, events that could not be."""

    producers: int
    events: int
    left: int


def recover(
    transport: Transport, *, meant_for: Transport | None = None, on_error: Any = None
) -> Recovered:
    """Publish what processes that died left in the journals of a destination.

    Args:
        transport: Where to.
        meant_for: The destination that they logged to; None for the same.
        on_error: As in `BatchOptions`.

    Returns:
        What was done.  Journals of living processes are not touched and not counted.
    """
    keywords = {"on_error": on_error} if on_error else {}
    options = BatchOptions.build(keywords, defaults=transport.defaults)
    directory = journal_directory(meant_for or transport)
    batcher = Batcher(transport, options, directory=directory)
    process.forget(batcher)  # what is left is not tried again at exit
    try:
        batcher.flusher.recover(lambda: True)
    except TemporaryError as error:
        batcher.report("recover", str(error), error)
    done = batcher.flusher.recovered
    left = batcher.flusher.adopted_left() + _count_untouched(directory)
    batcher.flusher.give_up()
    transport.close()
    return Recovered(done["producers"], done["events"], left)


def _count_untouched(directory: Path | None) -> int:
    """Count what waits in journals that were not even taken over."""
    found = read_pending(directory) if directory is not None else []
    return sum(each.lines.count(b"\n") for each in found if not each.alive)
