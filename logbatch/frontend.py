"""What a handler and a processor have in common: everything but how events come in."""

from __future__ import annotations

import copy
import weakref
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from logbatch import metrics
from logbatch.batching.batcher import Batcher
from logbatch.events.context import service_name
from logbatch.metrics import MetricsPlace
from logbatch.options import OPTION_NAMES
from logbatch.stats import Stats
from logbatch.transports.adapted import given_object
from logbatch.transports.base import BaseTransport, plain
from logbatch.trouble import describe


class Frontend:
    """What an application holds of a batcher.

    A copy, and what comes out of a pickle, sends to the same destination as another producer.
    """

    _kind: ClassVar[str]  # in the labels of metrics
    _batcher: Batcher
    _options: dict[str, Any]  # with which it was made, but for those of the transport
    _own: frozenset[str]  # the attributes that are made anew in a copy

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

    # ------------------------------------------------------------------ copies

    def _parts(self) -> tuple[type[Self], BaseTransport, dict[str, Any], dict[str, Any]]:
        """Return what another one is made of: its class, transport, options, other attributes."""
        others = {name: value for name, value in vars(self).items() if name not in self._own}
        options = plain(self._options)
        options.setdefault("service", self._batcher.options.service or service_name())
        return type(self), self._batcher.transport, options, others

    def _remember(self, options: Mapping[str, Any], before: Iterable[str]) -> None:
        """Note what a copy needs; all attributes but those that were there before are our own."""
        self._options = {name: options[name] for name in options if name in OPTION_NAMES}
        self._own = frozenset((*vars(self), "_own")).difference(before)

    @abstractmethod
    def _make_anew(self, transport: BaseTransport, options: dict[str, Any]) -> None:
        """Initialise a copy."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        import pickle  # whoever pickles has it

        parts = self._parts()
        try:
            pickle.dumps(parts)
        except Exception as error:
            raise TypeError(self._refuse("pickled", error)) from error
        return make_again, parts

    def __copy__(self) -> Self:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        kind, transport, options, others = self._parts()
        try:
            transport = copy.deepcopy(transport, memo)
        except Exception as error:
            raise TypeError(self._refuse("copied", error)) from error
        return cast(Self, make_again(kind, transport, options, others))

    def _refuse(self, what: str, error: Exception) -> str:
        return (
            f"{self!r} cannot be {what}, because something that it was made with cannot be:"
            f" {describe(error)}; make another {self._kind} where it is needed instead, by the"
            " same dictConfig for instance, or give it only what can be: a URL or a dict for the"
            " transport, and functions of a module"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def make_again(
    kind: type[Frontend],
    transport: BaseTransport,
    options: dict[str, Any],
    others: dict[str, Any],
) -> Frontend:
    """Make a handler or a processor like one that was copied or pickled.

    Args:
        kind: Its class.
        transport: Its transport.
        options: With which it is made.
        others: Attributes that a derived class, or the application, gave it.
    """
    made = kind.__new__(kind)
    made._make_anew(transport, options)
    vars(made).update(others)
    return made
