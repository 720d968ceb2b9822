"""The picture of volume over time: true to the numbers, and no error lost in the crowd."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.cli.chart import BANDS, Axis, band_of, draw, stack, time_axis

SECOND = 1_000_000
counts = st.lists(st.integers(0, 10**6), min_size=len(BANDS), max_size=len(BANDS))
instants = st.integers(-(10**15), 2 * 10**17)


@given(instants, instants, st.integers(1, 200))
def test_an_axis_covers_its_period(one: int, other: int, width: int) -> None:
    """Every instant of the period falls into one of at most `width` spans."""
    first, last = sorted((one, other))
    axis = Axis.over(first, last, width)

    assert 1 <= axis.bins <= width
    assert axis.start <= first
    assert axis.start + axis.bins * axis.step > last


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.05, "1 ms"), (6, "100 ms"), (60, "1 s"), (3600, "1 min"), (86400, "30 min")],
)
def test_spans_have_round_lengths(seconds: float, expected: str) -> None:
    """A span lasts as long as a clock's marks."""
    begin = int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()) * SECOND

    assert expected == Axis.over(begin, begin + int(seconds * SECOND), 66).span


@given(counts, st.integers(0, 10**6), st.integers(4, 40))
def test_no_error_or_warning_is_lost(numbers: list[int], more: int, height: int) -> None:
    """A bar shows each of errors and warnings if there is one, and is never higher than allowed."""
    bar = stack(numbers, sum(numbers) + more or 1, height)

    assert bar == sorted(bar)
    assert len(bar) <= height
    assert bool(bar) == bool(sum(numbers))
    for index, band in enumerate(BANDS):
        if band.always:
            assert (index in bar) == bool(numbers[index])
    assert all(numbers[index] for index in bar)


def test_the_fullest_bar_is_as_high_as_the_picture() -> None:
    """The highest bar fills the height; half the records take half of it."""
    assert [len(stack([0, 0, count, 0], 100, 16)) for count in (100, 50, 1, 0)] == [16, 8, 1, 0]


def test_without_colours() -> None:
    """In a pipe the levels are told apart by shade."""
    lines = draw([[0, 0, 4, 0], [1, 1, 0, 2], [0, 0, 0, 0]], 4, coloured=False, shades=True)

    assert ["▒░ ", "▒░ ", "▒▓ ", "▒█ "] == [line.plain for line in lines]


def test_without_blocks() -> None:
    """Where the encoding has no shades, letters do."""
    lines = draw([[0, 0, 4, 0], [1, 1, 0, 2], [0, 0, 0, 0]], 4, coloured=False, shades=False)

    assert ["i. ", "i. ", "iW ", "iE "] == [line.plain for line in lines]


def test_with_colours() -> None:
    """With colours a cell holds two points."""
    lines = draw([[1, 1, 0, 2], [0, 0, 3, 0]], 2, coloured=True, shades=True)

    assert ["█▄", "▄█"] == [line.plain for line in lines]
    assert ["bright_black", "green"] == [str(span.style) for span in lines[0].spans]
    assert ["red on yellow", "green"] == [str(span.style) for span in lines[1].spans]


def test_nothing_to_draw() -> None:
    """No records are an empty picture, not a failure."""
    assert ["", ""] == [line.plain for line in draw([], 2, coloured=False, shades=True)]


@pytest.mark.parametrize(
    ("level", "expected"),
    [(50, "ERROR"), (40, "ERROR"), (35, "WARNING"), (20, "INFO"), (0, "DEBUG"), (-5, "DEBUG")],
)
def test_bands(level: int, expected: str) -> None:
    """A level of one's own is drawn like the named one below it."""
    assert expected == BANDS[band_of(level)].name


def test_the_axis_is_labelled() -> None:
    """The labels are as wide as the bars: begin, middle and end."""
    begin = int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()) * SECOND
    axis = Axis.over(begin, begin + 40 * SECOND, 50)

    assert "10:00:00        10:00:20         10:00:41" == time_axis(axis)


@given(instants, instants, st.integers(1, 80))
def test_labels_never_fail(one: int, other: int, width: int) -> None:
    """Whatever the period, there are labels, on one line that ends with the bars if it can."""
    axis = Axis.over(min(one, other), max(one, other), width)
    text = time_axis(axis)

    assert "\n" not in text
    assert len(text) <= max(axis.bins, len("00:00:00.000"))
