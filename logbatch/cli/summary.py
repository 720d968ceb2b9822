"""What `logbatch stats` shows, counted on an Arrow table of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from logbatch.cli.chart import BANDS, Axis, Counts, band_of
from logbatch.identity import process_of
from logbatch.storage.arrays import make_scalar

_KEPT = ("process", "service", "host", "producer")
COLUMNS = ("timestamp", "levelno", "logger", "message", "template", *_KEPT)
"""The columns that are needed."""

_COUNTED = ("count_all", "time_min", "time_max")

pc: Any = pyarrow.compute  # its stubs know neither plain numbers nor chunks everywhere
_ERROR = BANDS[0].least


class Top(NamedTuple):
    """How many records, and how many errors among them, some part of the log has."""

    name: str
    records: int
    errors: int


class Process(NamedTuple):
    """What one process wrote; times in microseconds since 1970."""

    pid: int | None
    service: str
    host: str
    records: int
    first: int
    last: int


class Summary(NamedTuple):
    """A log in numbers; `axis` is None where there is not one record."""

    records: int
    first: int
    last: int
    axis: Axis | None
    spans: Sequence[Counts]
    totals: dict[str, int]
    loggers: list[Top]
    templates: list[Top]
    processes: list[Process]
    process_count: int


def summarise(table: pa.Table, *, width: int, top: int) -> Summary:
    """Count a table that has `COLUMNS`.

    Args:
        table: The records.
        width: The most spans of time to count them in.
        top: The most loggers, templates and processes to list.
    """
    if not len(table):
        return Summary(0, 0, 0, None, [], {}, [], [], [], 0)
    table = _prepared(table)
    bounds: dict[str, int] = pc.min_max(table["time"]).as_py()
    axis = Axis.over(bounds["min"], bounds["max"], width)
    spans = _spans(table, axis)
    totals = {band.name: sum(span[at] for span in spans) for at, band in enumerate(BANDS)}
    processes = _processes(table)
    return Summary(
        records=len(table),
        first=bounds["min"],
        last=bounds["max"],
        axis=axis,
        spans=spans,
        totals=totals,
        loggers=_top(table, "logger", top),
        templates=_top(table, "template", top),
        processes=processes[:top],
        process_count=len(processes),
    )


def _prepared(table: pa.Table) -> pa.Table:
    level = pc.fill_null(table["levelno"], make_scalar(0, "int32"))
    columns = {
        "time": pc.cast(table["timestamp"].cast(pa.timestamp("us", "UTC")), pa.int64()),
        "level": level,
        "error": pc.cast(pc.greater_equal(level, make_scalar(_ERROR, "int32")), pa.int64()),
        "logger": pc.fill_null(table["logger"], make_scalar("", "string")),
        "template": pc.coalesce(table["template"], table["message"]),
        **{name: table[name] for name in _KEPT},
    }
    return pa.table(columns)


def _spans(table: pa.Table, axis: Axis) -> list[list[int]]:
    start, step = make_scalar(axis.start, "int64"), make_scalar(axis.step, "int64")
    index = pc.divide(pc.subtract(table["time"], start), step)
    counted = (
        pa.table({"index": index, "level": table["level"]})
        .group_by(["index", "level"])
        .aggregate([([], "count_all")])
    )
    spans = [[0] * len(BANDS) for _ in range(axis.bins)]
    for row in counted.to_pylist():
        spans[row["index"]][band_of(row["level"])] += row["count_all"]
    return spans


def _top(table: pa.Table, name: str, top: int) -> list[Top]:
    counted = table.group_by([name]).aggregate([([], "count_all"), ("error", "sum")])
    rows = _most_first(counted, name).slice(0, top).to_pylist()
    return [Top(row[name], row["count_all"], row["error_sum"]) for row in rows]


def _processes(table: pa.Table) -> list[Process]:
    """Count by process: its id may be that of an earlier one, and it may have several producers."""
    counted = table.group_by(list(_KEPT)).aggregate(
        [([], "count_all"), ("time", "min"), ("time", "max")]
    )
    found: dict[tuple[Any, ...], Process] = {}
    for row in counted.to_pylist():
        pid, service, host, producer = (row[name] for name in _KEPT)
        key = (pid, service, host, process_of(producer))
        part = Process(pid, service or "", host or "", *(row[name] for name in _COUNTED))
        found[key] = _join(found[key], part) if key in found else part
    return sorted(found.values(), key=lambda each: (-each.records, each.first))


def _join(one: Process, other: Process) -> Process:
    return one._replace(
        records=one.records + other.records,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )


def _most_first(counted: pa.Table, then: str) -> pa.Table:
    return counted.sort_by([("count_all", "descending"), (then, "ascending")])
