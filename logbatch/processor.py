"""`BatchProcessor`: what an application that uses structlog puts into its chain."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self

from logbatch import oneway
from logbatch.handler import make_batcher
from logbatch.stats import Stats
from logbatch.trouble import describe


class BatchProcessor:
    """A structlog processor that takes each event and passes it on unchanged.

    Put it before whatever renders the event to a text.  Where the chain ends in a standard library
    logger that has a `BatchHandler` for the same destination, an event is taken once, here.

    Args:
        transport: As for `BatchHandler`.
        final: End the chain here (`structlog.DropEvent`): nothing is rendered or printed.
        columns: As for `BatchHandler`.
        **options: As for `BatchHandler`, without `level`: the chain filters by level.

    Raises:
        ValueError: An option or the transport is unknown or out of range.
    """

    def __init__(
        self,
        transport: Any = None,
        *,
        final: bool = False,
        columns: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self._batcher, self._encode = make_batcher(transport, columns, options)
        self._final = final
        self.way = oneway.way_of(self._batcher.transport)
        oneway.ways.add(self.way)
        # One that is dropped without close() takes its thread and its files with it.
        weakref.finalize(self, self._batcher.retire).atexit = False

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Take an event.

        Raises:
            structlog.DropEvent: `final` is set.
        """
        batcher = self._batcher
        try:
            if threading.get_ident() == batcher.delivery.thread:
                batcher.refuse()
            else:
                level, line = self._encode.event_dict(logger, method_name, event_dict)
                batcher.append(line, level)
        except Exception as error:
            batcher.report("processor", f"an event could not be taken: {describe(error)}", error)
        if self._final:
            from structlog import DropEvent  # who calls this has it loaded

            raise DropEvent
        return event_dict

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before this call is delivered; tell whether it is.

        Args:
            timeout: Seconds to wait at the most; None takes `close_timeout`.
        """
        return self._batcher.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is there and release everything; tell whether all was delivered.

        Done by itself when the process ends.  An event logged afterwards is still taken.

        Args:
            timeout: Seconds it may take; None takes `close_timeout`.
        """
        return self._batcher.close(timeout)

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        return self._batcher.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._batcher.transport!r}>"
