"""`Dataset.histogram`: volume over time by level, compared with counting in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import START, event, publish_events
from mixed import make_mixed

from logbatch import Dataset, FilterError, Histogram, QueryError
from logbatch.dataset.analysis.widths import WIDTHS

Rows = Sequence[dict[str, Any]]
FILTERS = ["", "level>=INFO", "user.id=3", "message~/7$/", "n>4 or service=*", "process=1", "zzz"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each kind of file, and odd records."""
    return make_mixed(tmp_path_factory.mktemp("logs"), timedelta(milliseconds=1))


def assert_right(found: Histogram, rows: Rows) -> None:
    """Each bin holds what is in it, and nothing is outside."""
    assert len(rows) == found.total
    levels = {row["level"]: row["levelno"] for row in rows}
    assert sorted(levels, key=lambda name: levels[name]) == list(found.levels)
    assert found.end - found.start >= found.width * (len(found.counts) - 1)
    expected = Counter(
        ((row["timestamp"] - found.start) // found.width, row["level"]) for row in rows
    )
    counted = {
        (number, level): count
        for number, counts in enumerate(found.counts)
        for level, count in zip(found.levels, counts, strict=True)
        if count
    }
    assert expected == counted


@pytest.mark.parametrize("where", FILTERS)
def test_it_counts_what_matches(mixed: Dataset, where: str) -> None:
    """From the first year to the last."""
    rows = list(mixed.rows(where))
    for bins in (1, 7, 5000):
        found = mixed.histogram(where, bins=bins)
        assert len(found.counts) <= bins
        assert_right(found, rows)


MOMENTS = st.none() | st.builds(
    lambda at, more: at + more,
    st.sampled_from([START, datetime(1970, 1, 1, tzinfo=UTC), START + timedelta(milliseconds=20)]),
    st.timedeltas(timedelta(days=-1), timedelta(days=1))
    | st.timedeltas(timedelta(0), timedelta(milliseconds=50)),
)


@settings(max_examples=15, deadline=None)
@given(MOMENTS, MOMENTS, st.integers(1, 300))
def test_any_range(mixed: Dataset, start: datetime | None, end: datetime | None, bins: int) -> None:
    """It is half-open, and has no more bins than asked for."""
    low, high = start or datetime.min.replace(tzinfo=UTC), end or datetime.max.replace(tzinfo=UTC)
    rows = mixed.rows()
    some = [r for r in rows if low <= r["timestamp"] and (r["timestamp"] < high or end is None)]
    found = mixed.histogram(start=start, end=end, bins=bins)
    assert len(found.counts) <= bins
    assert_right(found, some)
    if start is not None and end is not None and start < end:
        assert found.start <= start
        assert end <= found.end
        assert found.width <= max(3 * (end - start) / bins, timedelta(microseconds=1)) or bins < 3


def test_the_width_is_round_and_no_wider_than_need_be(tmp_path: Path) -> None:
    """Also where a filter finds little of a long log, and a bin begins at a round time."""
    moments = [START + timedelta(days=n) for n in range(0, 3000, 30)]
    moments += [START + timedelta(days=300, seconds=n) for n in range(61)]
    publish_events(
        tmp_path, *(event(str(n), timestamp=at.isoformat()) for n, at in enumerate(moments))
    )
    logs = Dataset(tmp_path)
    whole = logs.histogram(bins=120)
    assert (timedelta(days=28), 107) == (whole.width, len(whole.counts))
    part = logs.histogram("since=2027-09-17T10:00 until=2027-09-17T10:30", bins=120)
    assert (timedelta(seconds=1), 61) == (part.width, len(part.counts))
    some = logs.histogram("message~/^1[0-9][0-9]$/", bins=120)
    assert (timedelta(seconds=1), 61) == (some.width, len(some.counts))
    assert START + timedelta(days=300) == some.start
    assert list(WIDTHS) == sorted(set(WIDTHS))


def test_nothing(tmp_path: Path) -> None:
    """Of an empty directory, or where nothing matches; a range that is given is drawn."""
    (tmp_path / "logs").mkdir()
    logs = Dataset(tmp_path / "logs")
    assert (0, (), ()) == (logs.histogram().total, logs.histogram().levels, logs.histogram().counts)
    publish_events(tmp_path / "logs", event("x"))
    found = logs.histogram("zzz", start=START, end=START + timedelta(minutes=10), bins=10)
    assert (timedelta(minutes=1), 10, 0) == (found.width, len(found.counts), found.total)
    assert 0 == logs.histogram(start=START, end=START - timedelta(1)).total


def test_mistakes(tmp_path: Path) -> None:
    """They are told as by the other methods."""
    publish_events(tmp_path, event("x"))
    logs = Dataset(tmp_path)
    with pytest.raises(FilterError):
        logs.histogram("level>=")
    for bins in (0, 100_001):
        with pytest.raises(ValueError, match=f"bins={bins} must be from 1 to 100,000"):
            logs.histogram(bins=bins)
    with pytest.raises(ValueError, match="timeout=0 must be"):
        logs.histogram(timeout=0)
    with pytest.raises(QueryError, match="stopped after 1e-09 s"):
        logs.histogram(timeout=1e-9)
