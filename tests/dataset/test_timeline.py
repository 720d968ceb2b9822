"""A page anywhere: exactly the rows that sorting everything gives."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import DAY, START, A, encode, event, publish_events
from mixed import make_mixed

from logbatch import Dataset
from logbatch.dataset.analysis.summary import Summary, Wanted, summarise
from logbatch.dataset.analysis.timeline import LARGE, Bin, Timeline, page
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.listing import Vanished
from logbatch.dataset.stopping import Stopped, stopping
from logbatch.epoch import to_microseconds
from logbatch.identity import Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage

COLUMNS = ["message", "attributes", "producer", "sequence"]
FILTERS = ["", "level>=INFO", "user.id=3", "message~/7$/", "zzz", "since=2026-11-21T10:00:05"]


class View:
    """A filter over a directory at one moment, as a viewer has it."""

    def __init__(self, logs: Dataset, where: str, **within: Any) -> None:
        self.source = logs._source
        self.snapshot = self.source.snapshot()
        self.where = Filter.parse(where)
        found = summarise(
            self.source, self.snapshot, self.where, Wanted(fields=(), attributes=0), **within
        )
        self.summary: Summary = found

    def page(self, offset: int, count: int, engine: Engine | None = None) -> pa.Table:
        """Read a page."""
        given = self.source, self.snapshot, self.where, COLUMNS, self.summary.timeline
        return page(*given, offset, count, engine)


def identities(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return of rows what tells them apart."""
    return [(row["producer"], row["sequence"], row["message"]) for row in rows]


def assert_page(view: View, rows: Sequence[dict[str, Any]], offset: int, count: int) -> None:
    """Compare a page with a slice; `rows` are the newest first."""
    found = view.page(offset, count)
    assert COLUMNS == found.column_names
    assert identities(rows[offset : offset + count][::-1]) == identities(found.to_pylist())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each kind of file, and odd records."""
    return make_mixed(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def views(mixed: Dataset) -> dict[str, tuple[View, list[dict[str, Any]]]]:
    """All filters, and what they find."""
    return {w: (View(mixed, w), list(mixed.rows(w, newest_first=True))) for w in FILTERS}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FILTERS), st.integers(0, 500), st.integers(1, 200))
def test_any_page(
    views: dict[str, tuple[View, list[dict[str, Any]]]], where: str, offset: int, count: int
) -> None:
    """Of each kind of file, of records of one moment, and of such as the engine cannot decide."""
    view, rows = views[where]
    assert len(rows) == view.summary.total == view.summary.timeline.total
    assert_page(view, rows, offset, count)


def test_a_range(mixed: Dataset) -> None:
    """Only what is in it is on pages, also where no bin begins or ends with it."""
    start, end = timedelta(microseconds=5_123_450), timedelta(microseconds=20_123_457)
    zero = to_microseconds(START)
    view = View(mixed, "", start=zero + 5_123_450, end=zero + 20_123_457)
    rows = [row for row in mixed.rows(newest_first=True) if start <= row["timestamp"] - START < end]
    for offset in (0, 7, len(rows) - 3, len(rows)):
        assert_page(view, rows, offset, 10)


def test_a_range_within_a_crowd(crowded: Dataset) -> None:
    """A part of a bin is divided as well."""
    zero = to_microseconds(START)
    for start, end in ((0, 2), (1, 6), (0, 1), (2, 5)):
        view = View(crowded, "", start=zero + start, end=zero + end)
        rows = [
            row
            for row in crowded.rows(newest_first=True)
            if start <= (row["timestamp"] - START) // timedelta(microseconds=1) < end
        ]
        for offset in (0, len(rows) // 2, len(rows) - 3):
            assert_page(view, rows, offset, 10)


def test_few_records_among_many_are_read_once(tmp_path: Path) -> None:
    """They lie far from one another; pages are cut out of them."""
    events = (event(f"{n}", attributes={"n": n}) for n in range(1000))
    some, tables = table_from_lines(encode(*events), A, 0, {}), []
    at = some.schema.get_field_index("sequence")
    for first in range(0, 450_000, 1000):
        numbers = pa.array(range(first, first + 1000), pa.int64())
        times = numbers.cast(pa.timestamp("us", "UTC"))
        tables.append(some.set_column(at, "sequence", numbers).set_column(0, "timestamp", times))
    coverage = Coverage({A: Ranges([(0, 449_999)])})
    table = pa.concat_tables(tables).replace_schema_metadata({KEY: encode_coverage(coverage)})
    (tmp_path / DAY).mkdir()
    pq.write_table(table, tmp_path / DAY / compacted_name(), row_group_size=50_000)
    view = View(Dataset(tmp_path), "n=77")
    rows = [{"producer": A, "sequence": n * 1000 + 77, "message": "77"} for n in range(449, -1, -1)]
    for offset, count in ((0, 10), (5, 440), (440, 20), (450, 5)):
        assert_page(view, rows, offset, count)
        if offset == 5:
            assert view.summary.timeline.rows is not None
    for path in tmp_path.glob("*/*.parquet"):
        path.unlink()
    assert_page(view, rows, 100, 3)


def test_the_snapshot_stays(tmp_path: Path) -> None:
    """What is logged later moves nothing."""
    publish_events(tmp_path, *(event(f"{n}") for n in range(10)))
    logs = Dataset(tmp_path)
    view, rows = View(logs, ""), list(logs.rows(newest_first=True))
    publish_events(tmp_path, *(event(f"later {n}") for n in range(10)))
    assert_page(view, rows, 2, 5)


def test_files_that_went_away(tmp_path: Path) -> None:
    """Their records are found where they are now, by the same offsets."""
    producer = publish_events(tmp_path, *(event(f"{n}") for n in range(20)))
    publish_events(tmp_path, *(event(f"other {n}") for n in range(20)))
    logs = Dataset(tmp_path)
    view, rows = View(logs, ""), list(logs.rows(newest_first=True))
    publish_events(tmp_path, event("later"))
    logs.compact(older_than=0)
    assert not list(tmp_path.glob(f"*/{producer}*"))
    with pytest.raises(Vanished):
        view.page(5, 20)
    view.snapshot = view.source.snapshot().within(view.snapshot.covered)
    assert_page(view, rows, 5, 20)
    again = View(logs, "")
    assert 41 == again.summary.total == logs.histogram().total


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """More records in a few microseconds than one reads for a page, and one long before."""
    path = tmp_path_factory.mktemp("crowded")
    moments = [START + timedelta(microseconds=n) for n in (0, 0, 0, 1, 2, 5)]
    texts = [f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" for moment in moments]
    publish_events(path, event("first", timestamp="1999-01-01T00:00:00Z"))
    for part in range(2):
        publish_events(path, *(event(f"{part} {n}", timestamp=texts[n % 6]) for n in range(LARGE)))
    return Dataset(path)


@pytest.mark.parametrize("where", ["", "message~1"])
def test_many_records_of_one_moment(crowded: Dataset, where: str) -> None:
    """A bin that holds too many is divided, down to the microsecond; the order is the same."""
    view, rows = View(crowded, where), list(crowded.rows(where, newest_first=True))
    bins = len(view.summary.timeline)
    total = len(rows)
    for offset in (0, total // 6 - 3, total // 2 - 5, total - 11, total - 3, total):
        assert_page(view, rows, offset, 10)
    assert where or bins < len(view.summary.timeline)


def test_a_window_holds_the_page_and_little_more() -> None:
    """It says how many of its records come before and behind."""
    timeline = Timeline([Bin(30, 40, 5), Bin(10, 20, 7), Bin(20, 30, 0), Bin(40, 41, 1)])
    assert 13 == timeline.total
    assert (40, 41, 0, 0, 1) == timeline.window(0, 1)
    assert (30, 41, 0, 3, 3) == timeline.window(0, 3)
    assert (10, 40, 4, 5, 3) == timeline.window(5, 3)
    assert (10, 20, 6, 0, 1) == timeline.window(12, 9)
    assert timeline.window(13, 1) is timeline.window(-1, 5) is timeline.window(0, 0) is None
    assert Timeline([]).window(0, 5) is None


def test_an_engine_that_is_given_stays_open(mixed: Dataset) -> None:
    """As the viewer has one for its pages."""
    view = View(mixed, "user.id=3")
    with Engine() as engine:
        assert view.page(0, 5, engine) == view.page(0, 5, engine) == view.page(0, 5)


def test_nobody_wants_it_any_more(mixed: Dataset) -> None:
    """Statistics and pages end, by an event or by closing their engine, and leave others alone."""
    source, snapshot = mixed._source, mixed._source.snapshot()
    view, stop = View(mixed, "user.id=3"), threading.Event()
    stop.set()
    with Engine() as engine:
        for end in ("stop", "close"):
            own = engine.beside()
            if end == "close":
                own.close()
            with stopping(stop) if end == "stop" else nullcontext():
                with pytest.raises(Stopped):
                    summarise(source, snapshot, Filter(), Wanted(), own)
                with pytest.raises(Stopped):
                    view.page(0, 5, own)
            own.close()
        assert 5 == view.page(0, 5, engine).num_rows
