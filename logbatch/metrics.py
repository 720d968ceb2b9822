"""Export the figures of `stats()` to Prometheus or OpenTelemetry, if the application has either.

One table defines the metrics.  Both libraries call back when they want values, and `stats()` is
read then: nothing is counted twice, and a logging call does no more than without.  A registry or a
meter gets one set of metrics, with a row for each handler that exists; the labels `destination` and
`source` ("handler", "handler-2", "processor") tell them apart.

prometheus_client's multiprocess mode reads no metrics of this kind: scrape each process there.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from logbatch.forks import call_in_child
from logbatch.stats import Stats
from logbatch.version import VERSION

_QUANTILES = {"p50": "0.5", "p90": "0.9", "p99": "0.99", "max": "1"}

Row = tuple[dict[str, str], float]


class Source(Protocol):
    """What has figures to export."""

    def stats(self) -> Stats:
        """Return them."""


class Registry(Protocol):
    """What is asked of a `prometheus_client.CollectorRegistry`."""

    def register(self, collector: Any, /) -> object:
        """Ask the collector for its metrics from now on."""

    def collect(self) -> Any:
        """Return the metrics of all collectors."""


class Meter(Protocol):
    """What is asked of an OpenTelemetry `Meter`."""

    def create_observable_counter(
        self, name: str, callbacks: Any = ..., unit: str = ..., description: str = ...
    ) -> object:
        """Make a counter that calls back."""

    def create_observable_gauge(
        self, name: str, callbacks: Any = ..., unit: str = ..., description: str = ...
    ) -> object:
        """Make a gauge that calls back."""


class MeterProvider(Protocol):
    """What is asked of an OpenTelemetry `MeterProvider`."""

    def get_meter(self, name: str, version: str | None = ..., /) -> Any:
        """Return a meter."""


MetricsPlace = Registry | Meter | MeterProvider


class Figure(NamedTuple):
    """One metric.

    Attributes:
        name: Without the prefix, and without the suffixes of Prometheus.
        kind: A counter only grows.
        unit: In the notation of OpenTelemetry: "{event}", "By", "s", "1".
        text: The description.
        rows: Reads it from the statistics: labels and value.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    text: str
    rows: Callable[[Stats], Iterable[Row]]


def _one(read: Callable[[Stats], float | None]) -> Callable[[Stats], Iterable[Row]]:
    def rows(stats: Stats) -> Iterable[Row]:
        value = read(stats)
        return () if value is None else (({}, value),)

    return rows


def _each(label: str, read: Callable[[Stats], Mapping[str, float]]) -> Callable[[Stats], list[Row]]:
    return lambda stats: [({label: key}, value) for key, value in read(stats).items()]


def _outcomes(stats: Stats) -> dict[str, float]:
    dropped = sum(stats.dropped.values())
    return {"published": stats.published, "rejected": stats.rejected, "dropped": dropped}


def _seconds(stats: Stats) -> dict[str, float]:
    return {_QUANTILES[name]: value for name, value in stats.flush_seconds.items()}


FIGURES = (
    Figure("accepted_events", "counter", "{event}", "Events accepted", _one(lambda s: s.accepted)),
    Figure(
        "events",
        "counter",
        "{event}",
        "Events that are settled, by outcome",
        _each("outcome", _outcomes),
    ),
    Figure(
        "pending_events", "gauge", "{event}", "Events in the journal", _one(lambda s: s.pending)
    ),
    Figure(
        *("dropped_events", "counter", "{event}", "Events lost, by reason"),
        _each("reason", lambda s: s.dropped),
    ),
    Figure(
        *("suppressed_events", "counter", "{event}", "Events that the delivery itself logged"),
        _one(lambda s: s.suppressed),
    ),
    Figure(
        *("collapsed_events", "counter", "{event}", "Repeated events that were collapsed"),
        _one(lambda s: s.collapsed),
    ),
    Figure(
        *("recovered_events", "counter", "{event}", "Events of dead processes that were published"),
        _one(lambda s: s.recovered),
    ),
    Figure(
        *("skipped_events", "counter", "{event}", "Events acknowledged but not stored"),
        _one(lambda s: s.skipped),
    ),
    Figure("batches", "counter", "{batch}", "Batches acknowledged", _one(lambda s: s.batches)),
    Figure(
        *("sent", "counter", "By", "JSON in the batches acknowledged"),
        _one(lambda s: round(s.bytes_per_batch * s.batches)),
    ),
    Figure("requests", "counter", "{request}", "Sends attempted", _one(lambda s: s.requests)),
    Figure(
        *("saved_requests", "gauge", "{request}", "Sends saved against one for each event"),
        _one(lambda s: s.requests_saved or 0),
    ),
    Figure(
        "retries",
        "counter",
        "{retry}",
        "Sends that failed and are retried",
        _one(lambda s: s.retries),
    ),
    Figure(
        *("batch_success", "gauge", "1", "Share of batch sends that were acknowledged"),
        _one(lambda s: s.batch_success_rate),
    ),
    Figure(
        *("fallback", "gauge", "1", "Share of events that were sent singly"),
        _one(lambda s: s.fallback_share),
    ),
    Figure(
        *("flushes", "counter", "{flush}", "Flushes begun, by trigger"),
        _each("trigger", lambda s: s.flushes),
    ),
    Figure("errors", "counter", "{error}", "Errors, by kind", _each("kind", lambda s: s.errors)),
    Figure(
        *("send_duration", "gauge", "s", "Duration of the last 1,024 sends"),
        _each("quantile", _seconds),
    ),
    Figure("merges", "counter", "{file}", "Files made of small ones", _one(lambda s: s.merges)),
    Figure(
        *("merged_files", "counter", "{file}", "Small files that were merged"),
        _one(lambda s: s.merged_files),
    ),
    Figure(
        *("merged", "counter", "By", "Size of the files made of small ones"),
        _one(lambda s: s.merged_bytes),
    ),
    Figure(
        *("merge_time", "counter", "s", "Processor time that merging took"),
        _one(lambda s: s.merge_seconds),
    ),
)

_SUFFIXES = {"By": "_bytes", "s": "_seconds", "1": "_ratio"}


class Group:
    """The sources that one registry or meter shows."""

    def __init__(self) -> None:
        self._labels: weakref.WeakKeyDictionary[Source, dict[str, str]]
        self._labels = weakref.WeakKeyDictionary()

    def add(self, source: Source, destination: str, kind: str) -> None:
        """Show a source as long as it exists, with labels that no other one has."""
        if source in self._labels:
            return
        taken = [labels for _, labels in self._living()]
        number, labels = 1, {"destination": destination, "source": kind}
        while labels in taken:
            number += 1
            labels = {**labels, "source": f"{kind}-{number}"}
        self._labels[source] = labels

    def _living(self) -> list[tuple[Source, dict[str, str]]]:
        return list(self._labels.items())

    def read(self) -> list[tuple[Stats, dict[str, str]]]:
        """Read the statistics of all sources that exist, each with its labels."""
        return [(source.stats(), labels) for source, labels in self._living()]


# ---------------------------------------------------------------------------- Prometheus


class _Collector:
    """What a registry of prometheus_client calls."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def describe(self) -> Iterator[Any]:
        """Return the metrics without values, for the registry to find duplicate names."""
        return self._families([])

    def collect(self) -> Iterator[Any]:
        """Return the metrics with their values."""
        return self._families(self._group.read())

    def _families(self, readings: list[tuple[Stats, dict[str, str]]]) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for figure in FIGURES:
            make = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            family = make(_prometheus_name(figure), figure.text)
            for stats, labels in readings:
                for more, value in figure.rows(stats):
                    suffix = "_total" if figure.kind == "counter" else ""
                    family.add_sample(family.name + suffix, {**labels, **more}, value)
            yield family


def _prometheus_name(figure: Figure) -> str:
    return f"logbatch_{figure.name}{_SUFFIXES.get(figure.unit, '')}"


# ---------------------------------------------------------------------------- OpenTelemetry


def _observe(group: Group, meter: Any) -> None:
    """Create an instrument for each figure."""
    for figure in FIGURES:
        make = (
            meter.create_observable_counter
            if figure.kind == "counter"
            else meter.create_observable_gauge
        )
        make(
            f"logbatch.{figure.name}",
            callbacks=[_callback(group, figure)],
            unit=figure.unit,
            description=figure.text,
        )


def _callback(group: Group, figure: Figure) -> Callable[[Any], list[Any]]:
    def observe(_: Any) -> list[Any]:
        from opentelemetry.metrics import Observation

        return [
            Observation(value, {**labels, **more})
            for stats, labels in group.read()
            for more, value in figure.rows(stats)
        ]

    return observe


# ---------------------------------------------------------------------------- where to


_groups: weakref.WeakKeyDictionary[Any, Group] = weakref.WeakKeyDictionary()
_lock = threading.RLock()  # guards `_groups`; not held while figures are read


def export(source: Source, destination: str, kind: str, to: MetricsPlace | None = None) -> None:
    """Show a source in a registry of Prometheus or a meter of OpenTelemetry while it exists.

    Args:
        source: What has the figures.
        destination: Where its events go, for a label.
        kind: What it is, for a label.
        to: A `prometheus_client.CollectorRegistry`, or an OpenTelemetry `Meter` or
            `MeterProvider`.  None means prometheus_client's own registry if the application has
            imported that package, else OpenTelemetry's global provider if it has imported that.

    Raises:
        ValueError: There is none of these, or the registry has metrics of these names.
    """
    place, begin = _find_place(to)
    with _lock:
        group = _groups.get(place)
        if group is None:
            group = Group()
            begin(group)
            _groups[place] = group
        group.add(source, destination, kind)


def _find_place(to: Any) -> tuple[Any, Callable[[Group], object]]:
    """Return what the group belongs to, and how to register it there."""
    if to is None:
        return _find_own_place()
    if hasattr(to, "create_observable_counter"):
        return to, lambda group: _observe(group, to)
    if hasattr(to, "get_meter"):
        return _find_place(to.get_meter("logbatch", VERSION))
    if hasattr(to, "register") and hasattr(to, "collect"):
        return to, lambda group: to.register(_Collector(group))
    raise ValueError(
        f"export_metrics={to!r} must be a CollectorRegistry of prometheus_client, or a Meter or"
        " MeterProvider of OpenTelemetry"
    )


def _find_own_place() -> tuple[Any, Callable[[Group], object]]:
    if (prometheus := sys.modules.get("prometheus_client")) is not None:
        return _find_place(prometheus.REGISTRY)
    if (metrics := sys.modules.get("opentelemetry.metrics")) is not None:
        # The module stands for the global provider, which may be set later on.
        return metrics, lambda group: _observe(group, metrics.get_meter("logbatch", VERSION))
    raise ValueError(
        "there is nothing to export metrics to: neither prometheus_client nor"
        " opentelemetry.metrics is imported; install and import one of them"
        " (prometheus-client, opentelemetry-sdk), or pass a registry or a meter"
    )


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.RLock()


call_in_child(_after_fork)
