"""The figures of `stats()` at Prometheus and OpenTelemetry, as these show them."""

from __future__ import annotations

import gc
import logging
import logging.config
import os
import subprocess
import sys
import threading
from typing import Any

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import logbatch
from logbatch.errors import BatchUnsupportedError, RejectedError, TemporaryError
from logbatch.metrics import FIGURES
from logbatch.testing import CapturingTransport

pytestmark = pytest.mark.usefixtures("tmp_path")  # they write to the current directory

Rows = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(registry: Any) -> Rows:
    """Read a registry as Prometheus would: by its text."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


class Observer:
    """OpenTelemetry's SDK with a reader in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.provider.shutdown()

    def read(self) -> Rows:
        """Collect once."""
        data: Any = self._reader.get_metrics_data()
        return {
            (metric.name, frozenset(point.attributes.items())): point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


def labels(**given: str) -> frozenset[tuple[str, str]]:
    """Make the labels of a row, of a handler for "there" where nothing else is said."""
    return frozenset({"destination": "there", "source": "handler", **given}.items())


def new_handler(transport: CapturingTransport | None = None, **options: Any) -> Any:
    """Make a handler that sends when it is flushed, and only waits in memory."""
    transport = transport or CapturingTransport(destination="there")
    options = {"flush_interval": 3600, "durability": "memory", **options}
    return logbatch.BatchHandler(transport, **options)


def log(handler: logging.Handler, *messages: str) -> None:
    """Log by a handler."""
    logger = logging.Logger("app")
    logger.addHandler(handler)
    for message in messages:
        logger.info(message)


def test_prometheus_shows_what_stats_tells() -> None:
    """Every figure is there under its name, counters as counters, with both labels."""
    registry = CollectorRegistry()
    transport = CapturingTransport(destination="there")
    with new_handler(transport, collapse_repeats=True) as handler:
        handler.export_metrics(registry)
        log(handler, "a", "a", "a", "b", "c")
        before = scraped(registry)
        handler.flush()
        after = scraped(registry)
    assert 4 == before["logbatch_pending_events", labels()]
    assert 0 == before["logbatch_requests_total", labels()]
    assert ("logbatch_batch_success_ratio", labels()) not in before
    assert {
        ("logbatch_accepted_events_total", labels()): 4,
        ("logbatch_events_total", labels(outcome="published")): 4,
        ("logbatch_events_total", labels(outcome="rejected")): 0,
        ("logbatch_events_total", labels(outcome="dropped")): 0,
        ("logbatch_pending_events", labels()): 0,
        ("logbatch_collapsed_events_total", labels()): 2,
        ("logbatch_requests_total", labels()): 1,
        ("logbatch_saved_requests", labels()): 3,
        ("logbatch_batches_total", labels()): 1,
        ("logbatch_batch_success_ratio", labels()): 1,
        ("logbatch_fallback_ratio", labels()): 0,
        ("logbatch_retries_total", labels()): 0,
        ("logbatch_flushes_total", labels(trigger="asked")): 1,
    }.items() <= after.items()
    sizes = [after["logbatch_sent_bytes_total", labels()]]
    assert [sum(len(batch.lines) for batch in transport.batches)] == sizes
    assert {"0.5", "0.9", "0.99", "1"} == {
        dict(row)["quantile"] for name, row in after if name == "logbatch_send_duration_seconds"
    }


def test_opentelemetry_shows_the_same() -> None:
    """The same rows come to OpenTelemetry, under its names and with its units."""
    registry = CollectorRegistry()
    transport = CapturingTransport([TemporaryError("x"), RejectedError({0: "no"})])
    transport.destination = "there"
    with Observer() as observer, new_handler(transport) as handler:
        handler.export_metrics(observer.provider)
        handler.export_metrics(registry)
        log(handler, "a", "b")
        handler.flush()
        seen = observer.read()
        expected = scraped(registry)
    assert 1 == seen["logbatch.events", labels(outcome="rejected")]
    assert 1 == seen["logbatch.retries", labels()]
    assert 0.5 == seen["logbatch.batch_success", labels()]
    assert sorted(expected.values()) == pytest.approx(sorted(seen.values()))


def test_names_and_units_follow_the_rules() -> None:
    """Each figure has a name of its own, a unit and a text; only what grows is a counter."""
    counters = {figure.name for figure in FIGURES if figure.kind == "counter"}

    assert len({figure.name for figure in FIGURES}) == len(FIGURES)
    assert all(figure.unit and figure.text for figure in FIGURES)
    assert {"pending_events", "saved_requests", "batch_success"}.isdisjoint(counters)


def test_two_handlers_on_one_registry() -> None:
    """Each has its rows; two of one kind for one destination are told apart by a number."""
    registry = CollectorRegistry()
    processor = logbatch.BatchProcessor(CapturingTransport(), export_metrics=registry)
    with new_handler() as one, new_handler() as two, processor:
        for handler in (one, two, one):
            handler.export_metrics(registry)
        log(two, "a", "b")
        seen = scraped(registry)
    rows = {
        dict(row)["source"]: value
        for (name, row), value in seen.items()
        if name == "logbatch_accepted_events_total"
    }
    assert {"handler": 0, "handler-2": 2, "processor": 0} == rows


def test_two_handlers_on_one_provider() -> None:
    """All handlers share the instruments of a provider; asking twice changes nothing."""
    with Observer() as observer, new_handler() as one, new_handler() as two:
        one.export_metrics(observer.provider)
        two.export_metrics(observer.provider)
        two.export_metrics(observer.provider)
        log(two, "a")
        seen = observer.read()
    assert 1 == seen["logbatch.accepted_events", labels(source="handler-2")]
    assert 0 == seen["logbatch.accepted_events", labels()]


def test_a_handler_that_is_gone_disappears() -> None:
    """The metrics keep no handler alive, and its rows end with it."""
    registry = CollectorRegistry()
    with Observer() as observer:
        handler = new_handler()
        handler.export_metrics(registry)
        handler.export_metrics(observer.provider)
        assert scraped(registry)
        handler.close()
        del handler
        gc.collect()
        assert {} == scraped(registry) == observer.read()


def test_a_registry_that_is_gone_disappears() -> None:
    """A handler keeps no registry alive."""
    import weakref

    registry = CollectorRegistry()
    gone = weakref.ref(registry)
    with new_handler() as handler:
        handler.export_metrics(registry)
        del registry
        gc.collect()
        assert gone() is None


def test_fallback_and_failures_are_told() -> None:
    """Events that were sent singly, and batches that failed, are shares of what was sent."""
    registry = CollectorRegistry()
    transport = CapturingTransport([BatchUnsupportedError("404")])
    transport.destination = "there"
    with new_handler(transport, export_metrics=registry) as handler:
        log(handler, "a", "b", "c")
        handler.flush()
        seen = scraped(registry)
    assert 1.0 == seen["logbatch_fallback_ratio", labels()]
    assert 4 == seen["logbatch_requests_total", labels()]
    assert 0 == seen["logbatch_saved_requests", labels()]
    assert 0 == seen["logbatch_batch_success_ratio", labels()]


def test_reading_does_not_wait_for_a_send() -> None:
    """A scrape and a call that logs go on while a send hangs."""
    registry = CollectorRegistry()
    go_on, hangs = threading.Event(), threading.Event()

    class Hanging(CapturingTransport):
        def send(self, batch: Any) -> None:
            hangs.set()
            assert go_on.wait(30)
            super().send(batch)

    with new_handler(Hanging(destination="there"), export_metrics=registry) as handler:
        log(handler, "a")
        flushing = threading.Thread(target=handler.flush)
        flushing.start()
        try:
            assert hangs.wait(30)
            log(handler, "b")
            assert 2 == scraped(registry)["logbatch_pending_events", labels()]
        finally:
            go_on.set()
            flushing.join()


def test_what_it_cannot_be_exported_to() -> None:
    """Something else is refused, and so is a registry that has such a metric already."""
    registry = CollectorRegistry()
    prometheus_client.Counter("logbatch_requests", "of the application", registry=registry)
    with new_handler() as handler:
        with pytest.raises(ValueError, match="must be a CollectorRegistry"):
            handler.export_metrics("prometheus")
        with pytest.raises(ValueError, match="Duplicated"):
            handler.export_metrics(registry)
    with pytest.raises(ValueError, match="must be a CollectorRegistry"):
        new_handler(export_metrics=object())


def test_as_an_option_of_dict_config() -> None:
    """`export_metrics` is a key of dictConfig, and may name the registry."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "batch": {
                    "class": "logbatch.BatchHandler",
                    "transport": "jsonl:logs",
                    "export_metrics": "ext://prometheus_client.REGISTRY",
                },
                "too": {
                    "class": "logbatch.BatchHandler",
                    "transport": "jsonl:other",
                    "export_metrics": True,
                },
            },
            "loggers": {"metrics.test": {"handlers": ["batch", "too"], "level": "INFO"}},
        }
    )
    logger = logging.getLogger("metrics.test")
    logger.info("hello")
    accepted = {
        dict(row)["destination"]: value
        for (name, row), value in scraped(prometheus_client.REGISTRY).items()
        if name == "logbatch_accepted_events_total"
    }
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    assert [1, 1] == [value for key, value in accepted.items() if key.endswith(("/logs", "/other"))]


def run(program: str) -> str:
    """Run a program of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


BEGIN = """
import logging, sys, logbatch
from logbatch.testing import CapturingTransport
handler = logbatch.BatchHandler(CapturingTransport())
logger = logging.Logger("x")
logger.addHandler(handler)
logger.info("hello")
"""


def test_nothing_is_loaded_and_nothing_found() -> None:
    """Without either library loaded the error says what to install, and none is loaded by us."""
    shown = run(f"""{BEGIN}
try:
    handler.export_metrics()
except ValueError as error:
    print(error)
print({{"prometheus_client", "opentelemetry"}} & set(sys.modules))
""")
    assert "neither prometheus_client nor opentelemetry.metrics is imported" in shown
    assert "prometheus-client, opentelemetry-sdk" in shown
    assert shown.endswith("set()\n")


def test_what_is_loaded_is_taken() -> None:
    """Without `to`, Prometheus comes first where it is loaded, then OpenTelemetry's provider."""
    shown = run(f"""{BEGIN}
from opentelemetry import metrics
handler.export_metrics()  # before the application has set its provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
other = logbatch.BatchHandler(CapturingTransport(), export_metrics=True)
for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics:
    for metric in scope.metrics:
        if metric.name == "logbatch.accepted_events":
            for point in metric.data.data_points:
                print(scope.scope.name, point.attributes["source"], point.value)
import prometheus_client
handler.export_metrics()
shown = prometheus_client.generate_latest().decode()
print(*[line for line in shown.splitlines() if line.startswith("logbatch_accepted")])
""")
    assert [
        "logbatch handler 1",
        "logbatch handler-2 0",
        'logbatch_accepted_events_total{destination="CapturingTransport",source="handler"} 1.0',
    ] == shown.splitlines()


def test_a_forked_child_tells_of_itself() -> None:
    """After a fork the child's registry shows what the child did."""
    registry = CollectorRegistry()
    with new_handler(export_metrics=registry) as handler:
        log(handler, "parent", "parent")
        child = os.fork()
        if child == 0:
            log(handler, "child")
            seen = scraped(registry)
            handler.close()
            os._exit(int(seen["logbatch_accepted_events_total", labels()]))
        assert 1 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert 2 == scraped(registry)["logbatch_accepted_events_total", labels()]
