"""Publish what processes that died left, without logging anything."""

from __future__ import annotations

from typing import Any, NamedTuple

from logbatch.batcher import Batcher
from logbatch.delivery import Sender
from logbatch.errors import TemporaryError
from logbatch.options import BatchOptions
from logbatch.places import defaults_of


class Recovered(NamedTuple):
    """What `recover` did: journals finished, events published, events that could not be."""

    producers: int
    events: int
    left: int


def recover(transport: Sender, *, on_error: Any = None) -> Recovered:
    """Publish what processes that died left in the journals of a destination.

    Args:
        transport: The destination.
        on_error: As in `BatchOptions`.

    Returns:
        What was done.  Journals of living processes are not touched and not counted.
    """
    keywords = {"on_error": on_error} if on_error else {}
    batcher = Batcher(transport, BatchOptions.build(keywords, defaults=defaults_of(transport)))
    try:
        batcher.flusher.recover(lambda: True)
    except TemporaryError as error:
        batcher.report("recover", str(error), error)
    done = batcher.flusher.recovered
    left = batcher.flusher.adopted_left()
    batcher.flusher.give_up()
    transport.close()
    return Recovered(done["producers"], done["events"], left)
