"""The statistics: the quantiles, and that they are plain values."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.stats import Stats, quantiles, share


def test_new_statistics_are_empty() -> None:
    """Nothing accepted, nothing lost: every count is zero."""
    expected = {
        "accepted": 0,
        "published": 0,
        "pending": 0,
        "rejected": 0,
        "dropped": {},
        "suppressed": 0,
        "collapsed": 0,
        "recovered": 0,
        "batches": 0,
        "records_per_batch": 0.0,
        "bytes_per_batch": 0.0,
        "requests": 0,
        "requests_saved": 0,
        "batch_success_rate": None,
        "fallback_share": 0.0,
        "skipped": 0,
        "flushes": {},
        "retries": 0,
        "errors": {},
        "last_error": None,
        "flush_seconds": {},
        "merges": 0,
        "merged_files": 0,
        "merged_bytes": 0,
        "merge_seconds": 0.0,
    }

    assert expected == Stats().as_dict()


def test_statistics_become_json() -> None:
    """`as_dict` gives values that any encoder and any metrics client takes."""
    stats = Stats(accepted=3, dropped={"journal full": 1}, flush_seconds=quantiles([0.5]))

    assert stats.as_dict() == json.loads(json.dumps(stats.as_dict()))


def test_statistics_are_one_instant() -> None:
    """They are a value: what is returned does not change any more."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Stats().accepted = 1  # type: ignore[misc]


def test_the_dict_is_a_copy() -> None:
    """Whoever changes the dict does not change the statistics."""
    stats = Stats(flushes={"age": 1})
    stats.as_dict()["flushes"]["age"] = 9

    assert Stats(flushes={"age": 1}) == stats


def test_every_field_is_documented() -> None:
    """The docstring names each field, in the order of the fields, and no other."""
    documented = re.findall(r"^    (\w+): ", inspect.getdoc(Stats) or "", re.MULTILINE)

    assert [field.name for field in dataclasses.fields(Stats)] == documented


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([7.0], {"p50": 7.0, "p90": 7.0, "p99": 7.0, "max": 7.0}),
        ([2.0, 1.0], {"p50": 1.0, "p90": 2.0, "p99": 2.0, "max": 2.0}),
        ([4.0, 1.0, 3.0, 2.0], {"p50": 2.0, "p90": 4.0, "p99": 4.0, "max": 4.0}),
        (
            [float(n) for n in range(1, 101)],
            {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0},
        ),
        (
            [float(n) for n in range(1, 1025)],
            {"p50": 512.0, "p90": 922.0, "p99": 1014.0, "max": 1024.0},
        ),
    ],
)
def test_quantiles_are_the_nearest_ranks(values: list[float], expected: dict[str, float]) -> None:
    """Each quantile is a value that was there; no values give none."""
    assert expected == quantiles(values)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_quantiles_are_what_they_say(values: list[float]) -> None:
    """So many per cent of the values are at or below the quantile, and fewer below it alone."""
    found = quantiles(values)

    for name, wanted in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
        at_most = sum(value <= found[name] for value in values)
        below = sum(value < found[name] for value in values)
        assert below * 100 < len(values) * wanted <= at_most * 100


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (Stats(), "0 records in 0 batches, 0 requests saved, 0 retries; flushes: none"),
        (
            Stats(
                published=200_000,
                batches=41,
                records_per_batch=200_000 / 41,
                requests_saved=199_959,
                batch_success_rate=1.0,
                flushes={"size": 40, "close": 1},
            ),
            "200,000 records in 41 batches (4,878 each), 199,959 requests saved,"
            " 100% of batches acknowledged, 0% sent singly, 0 retries; flushes: size 40, close 1",
        ),
        (
            Stats(
                published=1,
                batches=1,
                records_per_batch=1,
                batch_success_rate=0.9999,
                fallback_share=0.0001,
                retries=1,
                collapsed=7,
                dropped={"journal full": 2, "disk full": 1},
                rejected=4,
                pending=5,
            ),
            "1 record in 1 batch (1 each), 0 requests saved, 99.9% of batches acknowledged,"
            " 0.1% sent singly, 1 retry, 7 repeats collapsed, 3 dropped, 4 rejected, 5 pending;"
            " flushes: none",
        ),
        (
            Stats(
                published=3,
                batches=2,
                records_per_batch=1.5,
                requests_saved=None,
                batch_success_rate=1.0,
            ),
            "3 records in 2 batches (2 each), 100% of batches acknowledged, 0 retries;"
            " flushes: none",
        ),
    ],
)
def test_the_summary_is_one_line(stats: Stats, expected: str) -> None:
    """It names what was saved and, where there is any, what went wrong."""
    assert expected == stats.summary()


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 0, None), (1, 0, None), (1, 4, 0.25), (4, 4, 1.0), (5, 4, 1.0), (-1, 4, 0.0)],
)
def test_a_share_is_from_nothing_to_all(part: int, whole: int, expected: float | None) -> None:
    """A share of nothing is none; counters read one after the other make none beyond the ends."""
    assert expected == share(part, whole)
