"""The public signatures, as a type checker sees them.

mypy checks this file, nothing runs it.  A line that must be an error says which: where it is none,
mypy reports the unused `type: ignore`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Unpack, assert_type

import duckdb
import polars as pl
import pyarrow as pa
import structlog
from opentelemetry.metrics import get_meter, get_meter_provider
from prometheus_client import CollectorRegistry

import logbatch
from logbatch import (
    Batch,
    BatchHandler,
    BatchProcessor,
    BatchUnsupportedError,
    Dataset,
    DeniedError,
    ErrorGroup,
    Facet,
    Filter,
    Histogram,
    Options,
    Pattern,
    Ranges,
    Receipt,
    RejectedError,
    Stats,
    TemporaryError,
    Transport,
)
from logbatch.capture import CompletedRun, RunOptions, run, run_async
from logbatch.testing import CapturingTransport, ManualClock


class Plain:
    """A transport as small as it may be, which derives from nothing."""

    def send(self, batch: Batch) -> None:
        """Deliver it."""

    def close(self) -> None:
        """Return at once."""


class Full:
    """A transport with all that it may have, whose parameters have names of their own."""

    destination: str | None = "queue"
    defaults: Mapping[str, Any] = {"max_batch_size": 10}

    def send(self, what: Batch) -> Receipt | None:
        """Deliver it, in part."""
        if not what.lines:
            raise TemporaryError("later", retry_after=1.5)
        if len(what) > 1:
            raise BatchUnsupportedError("one by one", recheck=60)
        raise RejectedError({0: "bad"}, status=400)

    def send_single(self, what: Batch) -> Receipt | None:
        """Deliver one event."""
        return Receipt(taken=Ranges([(what.first, what.last)]), skipped=1)

    def close(self) -> bool:
        """Return something that nobody reads."""
        return True


class NoClose:
    """Is no transport."""

    def send(self, batch: Batch) -> None:
        """Deliver it."""


class Derived(Transport):
    """A transport that says it is one."""

    def send(self, batch: Batch, /) -> None:
        """Deliver it."""

    def close(self) -> None:
        """Return at once."""


def transports() -> Iterator[BatchHandler]:
    """A transport is a URL, a dict, an object with `send` and `close`, or nothing."""
    yield BatchHandler()
    yield BatchHandler(None)
    yield BatchHandler("parquet:logs")
    yield BatchHandler({"type": "parquet", "path": "logs"})
    yield BatchHandler(Plain())
    yield BatchHandler(Full())
    yield BatchHandler(Derived())
    yield BatchHandler(CapturingTransport([None, DeniedError("no"), Receipt()], destination="x"))
    yield BatchHandler(5)  # type: ignore[arg-type]
    yield BatchHandler(Plain)  # type: ignore[arg-type]
    yield BatchHandler(NoClose())  # type: ignore[arg-type]
    yield BatchHandler(logging.StreamHandler())  # type: ignore[arg-type]


def every_option() -> Iterator[object]:
    """Each option is a keyword with a type."""
    yield BatchHandler(
        "parquet:logs",
        level="INFO",
        columns={"user_id": "int64"},
        export_metrics=True,
        flush_interval="adaptive",
        max_batch_size=10,
        max_batch_bytes=1000,
        flush_level="never",
        durability="power",
        max_journal_bytes=1 << 20,
        when_full="block",
        block_timeout=0.5,
        close_timeout=30,
        max_value_bytes=1000,
        objects="type",
        service="shop",
        host=None,
        redact=["password"],
        redact_patterns=[r"\d{16}", re.compile("x")],
        collapse_repeats=True,
        report=False,
        on_error=lambda kind, text, error: None,
        compression="zstd",
    )
    yield BatchHandler("jsonl:logs", level=logging.INFO, rotate_bytes=1000, rotate_seconds=0.5)
    yield BatchHandler("parquet:logs", retain_age="14d", retain_bytes=5_000_000_000)
    yield BatchHandler("parquet:logs", compact=False, compact_share=0.5, compact_bytes=1 << 20)
    yield BatchProcessor(
        "https://logs.example.org/",
        final=True,
        redact={"password"},
        flush_level=logging.ERROR,
        body="ndjson",
        fields={"message": "msg", "template": None},
        headers={"X-Team": "web"},
        token=lambda: "secret",
        account="shop",
        single_url="/v1/log",
        single_method="PUT",
        batch_recheck=60,
        fallback="any",
        timeout=2.5,
        proxies="http://proxy:8080",
        verify="ca.pem",
        insecure=True,
        accept_html=True,
    )


def wrong_options() -> Iterator[object]:
    """A misspelt option, and a value of another type, is an error."""
    yield BatchHandler("parquet:logs", flush_intervall=1)  # type: ignore[call-arg]
    yield BatchHandler("parquet:logs", flush_interval="often")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", durability="disk")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", when_full="drop")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", max_batch_size="10")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", columns=["user_id"])  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", export_metrics="yes")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", objects="str")  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", compact="no")  # type: ignore[arg-type]
    yield BatchHandler("jsonl:logs", compress="zstd")  # type: ignore[call-arg]
    yield BatchHandler("jsonl:logs", compression="zip")  # type: ignore[arg-type]
    yield BatchHandler("https://h", token=5)  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", final=True)  # type: ignore[call-arg]
    yield BatchProcessor("parquet:logs", level="INFO")  # type: ignore[call-arg]
    yield BatchProcessor("parquet:logs", host=5)  # type: ignore[arg-type]
    yield BatchHandler("parquet:logs", "INFO")  # type: ignore[call-arg]
    yield BatchHandler("jsonl:logs", remembered=5)  # type: ignore[call-arg]


SHARED: Options = {"flush_interval": 2.0, "redact": ["password"]}


def passed_on(**options: Unpack[Options]) -> tuple[BatchHandler, BatchProcessor]:
    """Options can be shared, and passed on by a function of the application."""
    passed_on(**SHARED)
    passed_on(flush_interval=2, flush_intervall=1)  # type: ignore[call-arg]
    return BatchHandler("parquet:logs", **options), BatchProcessor("parquet:logs", **options)


def life(handler: BatchHandler, processor: BatchProcessor) -> None:
    """What can be done with a handler and a processor."""
    for front in (handler, processor):
        assert_type(front.flush(), bool)
        assert_type(front.flush(timeout=1.5), bool)
        assert_type(front.close(2), bool)
        assert_type(front.stats(), Stats)
        front.export_metrics()
        front.export_metrics(CollectorRegistry())
        front.export_metrics(to=get_meter_provider())
        front.export_metrics(get_meter("mine"))
        front.export_metrics(5)  # type: ignore[arg-type]
    with BatchHandler("parquet:logs", export_metrics=CollectorRegistry()) as opened:
        assert_type(opened, BatchHandler)
    with BatchProcessor() as chained:
        assert_type(chained, BatchProcessor)
    logging.getLogger().addHandler(handler)
    structlog.configure(processors=[processor, structlog.processors.JSONRenderer()])


def attached() -> None:
    """`attach` yields the handler."""
    with logbatch.attach(Plain(), "app", job="import", run=7) as handler:
        assert_type(handler, BatchHandler)
    with logbatch.attach(handler, logging.getLogger("app")):
        pass
    logbatch.attach(5)  # type: ignore[arg-type]


def statistics(stats: Stats) -> None:
    """They are numbers, and mappings of names to numbers."""
    assert_type(stats.accepted, int)
    assert_type(stats.suppressed, int)
    assert_type(stats.dropped, Mapping[str, int])
    assert_type(stats.batch_success_rate, float | None)
    assert_type(stats.as_dict(), dict[str, Any])
    assert_type(stats.summary(), str)
    stats.accepted = 5  # type: ignore[misc]


def reading(logs: Dataset) -> None:
    """A dataset gives rows and Arrow tables."""
    assert_type(logs.rows("level>=ERROR", limit=10, newest_first=True), Iterator[dict[str, Any]])
    assert_type(logs.to_table(Filter.parse("since=1h"), columns=["message"]), pa.Table)
    assert_type(logs.sql("SELECT 1"), pa.Table)
    assert_type(logs.sql("SELECT 1", memory_limit="2GB", timeout=None), pa.Table)
    assert_type(logs.scan("level>=ERROR", ["message"]), pa.RecordBatchReader)
    assert_type(logs.problems, Sequence[str])
    assert_type(Filter.build(level="ERROR", since="1h") & Filter(), Filter)
    logs.rows(columns=["message"])  # type: ignore[call-arg]
    for field in logs.unknown_fields("usr_id=42", timeout=0.5):
        assert_type(field.close, str | None)
    assert_type(logs.follow(last=10), Iterator[dict[str, Any]])
    report = logs.compact(older_than=timedelta(days=2), cluster_by=["a"], target_size="64MB")
    assert_type(report.problems, tuple[str, ...])
    assert_type(report.before.rows + report.after.bytes, int)
    logs.compact(to=b"parquet")  # type: ignore[arg-type]


def grouped(logs: Dataset) -> None:
    """Alike records are put together, and one is shown among those around it."""
    now = datetime.now(UTC)
    errors = logs.errors("logger=app", start=now, since=now, limit=5, bins=10, timeout=None)
    assert_type(errors[0], ErrorGroup)
    assert_type(errors.left_out, int)
    assert_type(errors[0].where, str)
    assert_type(Filter.matching("message", "^a"), Filter)
    assert_type([group.frames for group in errors], list[tuple[tuple[str, str], ...]])
    assert_type(logs.context(errors[0].example, before=1), Sequence[dict[str, Any]])
    logs.context(("01m8", 5), after=3)
    logs.context("01m8")  # type: ignore[arg-type]
    for pattern in logs.patterns(compare=((None, now), (now, None)), limit=3):
        assert_type(pattern, Pattern)
        assert_type(pattern.ratio, float | None)
    logs.patterns(compare=(None, now))  # type: ignore[arg-type]
    assert_type(str(Filter.equals("template", "it's %s") & Filter.equals("trace_id", None)), str)


def counted(logs: Dataset) -> None:
    """Volume over time, and frequent values."""
    now = datetime.now(UTC)
    volume = logs.histogram("level>=ERROR", start=now, end=now, bins=10, timeout=None)
    assert_type(volume, Histogram)
    assert_type(volume.total, int)
    assert_type(volume.counts[0][0], int)
    for facet in logs.facets(fields=["level"], limit=3, attributes=0, sample=1000, start=now):
        assert_type(facet, Facet)
        assert_type(facet.distinct + facet.missing + facet.of, int)
        assert_type(facet.values, Sequence[tuple[Any, int]])
    volume.total = 5  # type: ignore[misc]
    logs.histogram(start="now")  # type: ignore[arg-type]


def bridges(logs: Dataset) -> None:
    """A dataset is handed to other engines, each in the type that is its own."""
    logs.to_pandas("since=1h", ["message"])  # pandas has no types without its stubs
    assert_type(logs.to_polars(), pl.LazyFrame)
    assert_type(logs.to_duckdb(duckdb.connect(), name="mine"), duckdb.DuckDBPyRelation)
    for path, rows in logs.files():
        assert_type(path, Path)
        assert_type(rows, tuple[tuple[int, int], ...] | None)


def upkeep(logs: Dataset) -> None:
    """What is kept, and for how long; and files for others."""
    retained = logs.retain(max_age="14d", max_bytes=5_000_000_000, keep="level>=ERROR")
    assert_type(retained.removed_records, int)
    logs.retain(keep_age=timedelta(days=9))  # type: ignore[arg-type]
    exported = logs.export("errors.csv", "level>=ERROR", force=True, exact=True)
    assert_type(exported.files, tuple[Path, ...])
    logs.export("errors", format="parquet")
    logs.export()  # type: ignore[call-arg]


async def runs(tell: Callable[[str], None], given: RunOptions) -> None:
    """Commands, whose output is stored."""
    done = run(["make", Path("all")], "parquet:logs", on_progress=tell, flush_interval=2.0)
    assert_type(done.status, int)
    assert_type(done.sizes, Mapping[str, int])
    assert_type(await run_async(["make"], **given), CompletedRun)
    await run_async(["make"], pyt=True)  # type: ignore[call-arg]
    run("make all", flush_interva=2)  # type: ignore[call-arg]


def contract(batch: Batch, transport: Transport, captured: CapturingTransport) -> None:
    """What a transport is given, and what it returns."""
    assert_type(batch.producer, str)
    assert_type(batch.lines, bytes)
    assert_type(batch.key, str)
    assert_type(batch.events(), list[dict[str, Any]])
    assert_type(transport.send(batch), Receipt | None)
    assert_type(captured.messages, list[str])
    assert_type(captured.wait_for(5, timeout=1), bool)
    assert_type(ManualClock()(), float)
    assert_type(logbatch.__version__, str)


TRANSPORTS: tuple[Transport, ...] = (Plain(), Full(), Derived(), CapturingTransport())
