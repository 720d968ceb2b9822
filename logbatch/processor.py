"""`BatchProcessor`: what an application that uses structlog puts into its chain."""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping
from typing import Any

from logbatch import dedupe
from logbatch.batching.delivery import delivering
from logbatch.frontend import Frontend
from logbatch.handler import make_batcher
from logbatch.trouble import describe


class BatchProcessor(Frontend):
    """A structlog processor that takes each event and passes it on unchanged.

    Put it before whatever renders the event to a text.  Where the chain ends in a standard library
    logger that has a `BatchHandler` for the same destination, an event is taken once, here.

    Args:
        transport: As for `BatchHandler`.
        final: End the chain here (`structlog.DropEvent`): nothing is rendered or printed.
        columns: As for `BatchHandler`.
        export_metrics: As for `BatchHandler`.
        **options: As for `BatchHandler`, without `level`: the chain filters by level.

    Raises:
        ValueError: An option or the transport is unknown or out of range, or there is nothing to
            export metrics to.
    """

    _kind = "processor"

    def __init__(
        self,
        transport: Any = None,
        *,
        final: bool = False,
        columns: Mapping[str, str] | None = None,
        export_metrics: Any = None,
        **options: Any,
    ) -> None:
        batcher, encoder = make_batcher(transport, columns, options)
        self._encode = encoder.event_dict
        self._end: type[Exception] | None = None
        if final:
            from structlog import DropEvent  # whoever makes a processor has it loaded, or will

            self._end = DropEvent
        self.way = dedupe.way_of(batcher.transport)
        self._open(batcher, export_metrics)
        dedupe.ways.add(self.way)

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Take an event.

        Raises:
            structlog.DropEvent: `final` is set.
        """
        batcher = self._batcher
        try:
            if delivering and threading.get_ident() in delivering:
                batcher.suppress()
            else:
                level, line = self._encode(logger, method_name, event_dict)
                batcher.append(line, level)
        except Exception as error:
            batcher.report("processor", f"an event could not be taken: {describe(error)}", error)
        if self._end is not None:
            raise self._end
        return event_dict

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._batcher.transport!r}>"
