"""What a handler and a processor have in common, but for how events come in."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Self

from logbatch import metrics
from logbatch.batching.batcher import Batcher
from logbatch.stats import Stats
from logbatch.transports.adapted import given_object


class Frontend:
    """The end of a batcher that an application holds."""

    _kind = "sink"  # in the labels of metrics
    _batcher: Batcher

    def _open(self, batcher: Batcher, export_metrics: Any) -> None:
        self._batcher = batcher
        if export_metrics not in (None, False):
            self.export_metrics(None if export_metrics is True else export_metrics)
        # One that is dropped without close() takes its thread and its files with it.
        weakref.finalize(self, batcher.retire).atexit = False

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before this call is delivered.

        Args:
            timeout: Seconds to wait at the most; None takes `close_timeout`.

        Returns:
            Whether it is.
        """
        return self._batcher.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is there and release everything.

        Done by itself when the process ends.  What cannot be delivered stays in the journal.  What
        is logged afterwards is still taken.

        Args:
            timeout: Seconds it may take; None takes `close_timeout`.

        Returns:
            Whether everything was delivered.
        """
        return self._batcher.close(timeout)

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        return self._batcher.stats()

    def export_metrics(self, to: Any = None) -> None:
        """Hand the figures of `stats()` to Prometheus or OpenTelemetry, whenever those ask.

        The metrics are named `logbatch_…` (Prometheus) or `logbatch.…` (OpenTelemetry), with the
        labels `destination` and `source`.  They end when this object does.  Asking again for the
        same place changes nothing.

        Args:
            to: A `prometheus_client.CollectorRegistry`, or an OpenTelemetry `Meter` or
                `MeterProvider`.  None takes prometheus_client's own registry if that package is
                loaded, else OpenTelemetry's global provider if that is.

        Raises:
            ValueError: There is none of these, or the registry has metrics of these names.
        """
        transport = self._batcher.transport
        destination = transport.destination or type(given_object(transport)).__name__
        metrics.export(self, destination, self._kind, to)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
