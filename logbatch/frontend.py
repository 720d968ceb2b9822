"""What a handler and a processor have in common: everything but how events come in."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import ClassVar, Self

from logbatch import metrics
from logbatch.batching.batcher import Batcher
from logbatch.metrics import MetricsPlace
from logbatch.stats import Stats
from logbatch.transports.adapted import given_object


class Frontend:
    """What an application holds of a batcher."""

    _kind: ClassVar[str]  # in the labels of metrics
    _batcher: Batcher

    def _open(self, batcher: Batcher, export_metrics: bool | MetricsPlace | None) -> None:
        self._batcher = batcher
        if export_metrics not in (None, False):
            self.export_metrics(None if isinstance(export_metrics, bool) else export_metrics)
        # Where it is garbage without close(), its thread ends and its files are finished.
        weakref.finalize(self, batcher.retire).atexit = False

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged before this call is delivered.

        Args:
            timeout: Seconds to wait at most; None means `close_timeout`.

        Returns:
            Whether everything was delivered.
        """
        return self._batcher.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is pending and release everything.

        The end of the process does it too.  What cannot be delivered in time stays in the journal.
        It can be used again.

        Args:
            timeout: Seconds this may take; None means `close_timeout`.

        Returns:
            Whether everything was delivered.
        """
        return self._batcher.close(timeout)

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        return self._batcher.stats()

    def export_metrics(self, to: MetricsPlace | None = None) -> None:
        """Export the figures of `stats()` to Prometheus or OpenTelemetry.

        The metrics are named `logbatch_…` (Prometheus) or `logbatch.…` (OpenTelemetry), with the
        labels `destination` and `source`; they are read when a scrape or a reader asks, as long as
        this object exists.  A second call for the same registry or meter changes nothing.

        Args:
            to: A `prometheus_client.CollectorRegistry`, or an OpenTelemetry `Meter` or
                `MeterProvider`.  None means prometheus_client's own registry if that package is
                imported, else OpenTelemetry's global provider if that is.

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
