"""A page anywhere: exactly the rows that sorting everything gives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import START, event, publish_events
from mixed import make_mixed

from logbatch import Dataset
from logbatch.dataset.analysis.summary import Summary, Wanted, summarise
from logbatch.dataset.analysis.timeline import LARGE, Bin, Timeline, page
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter

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
    """Only what is in it is on pages."""
    at = round(START.timestamp()) * 1_000_000
    view = View(mixed, "", start=at + 5_000_000, end=at + 20_000_000)
    rows = [
        row
        for row in mixed.rows(newest_first=True)
        if timedelta(seconds=5) <= row["timestamp"] - START < timedelta(seconds=20)
    ]
    for offset in (0, 7, len(rows) - 3, len(rows)):
        assert_page(view, rows, offset, 10)


def test_the_snapshot_stays(tmp_path: Path) -> None:
    """What is logged later moves nothing."""
    publish_events(tmp_path, *(event(f"{n}") for n in range(10)))
    logs = Dataset(tmp_path)
    view, rows = View(logs, ""), list(logs.rows(newest_first=True))
    publish_events(tmp_path, *(event(f"later {n}") for n in range(10)))
    assert_page(view, rows, 2, 5)


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
