"""What is too old and what is too much, decided without a file."""

from __future__ import annotations

from typing import Any

import pytest

from logbatch.epoch import SECOND
from logbatch.storage.policy import (
    DAY,
    Policy,
    Weighed,
    believe,
    choose_excess,
    choose_old,
    extend,
)

NOW = 20_000 * DAY
HOUR = DAY // 24
WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14d", 14 * DAY),
        ("36h", 36 * HOUR),
        ("1w12h", WEEK + 12 * HOUR),
        (" 1.5d ", 36 * HOUR),
        (90, 90 * SECOND),
        (0.5, SECOND // 2),
    ],
)
def test_ages(text: Any, expected: int) -> None:
    """A duration is written as in a filter, or is a number of seconds."""
    assert Policy(max_age=expected) == Policy.build(text, None)


@pytest.mark.parametrize("text", ["", "14", "d", "-1d", "0d", "1y", "99999w9999999w", True, -1])
def test_ages_that_are_none(text: Any) -> None:
    """Nothing is guessed: the message says what is possible."""
    with pytest.raises(ValueError, match=r"max_age=.* must be a duration such as '14d'"):
        Policy.build(text, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5GB", 5 * 10**9), ("512MiB", 512 << 20), ("1.5 kB", 1500), ("1000", 1000), (77, 77)],
)
def test_sizes(text: Any, expected: int) -> None:
    """A size is written as everywhere, or is a number of bytes."""
    assert Policy(max_bytes=expected) == Policy.build(None, text)


@pytest.mark.parametrize("text", ["", "many", "0", "-5GB", "5XB", True, -1, float("nan")])
def test_sizes_that_are_none(text: Any) -> None:
    """Nothing is guessed: the message says what is possible."""
    with pytest.raises(ValueError, match=r"max_bytes=.* must be a size such as '5GB'"):
        Policy.build(None, text)


def logged(first: int, last: int) -> list[int]:
    """Times of records that came every hour."""
    return list(range(first, last + 1, HOUR))


@pytest.mark.parametrize(
    ("why", "times", "seen", "expected"),
    [
        ("nothing is known", [], None, NOW),
        ("the log goes on", logged(NOW - 30 * DAY, NOW - HOUR), None, NOW),
        ("the clock is behind", logged(NOW + DAY, NOW + 30 * DAY), None, NOW),
        ("a jump ahead", logged(NOW - 400 * DAY, NOW - 390 * DAY), None, NOW - 390 * DAY),
        (
            "a jump, and the first records",
            [*logged(NOW - 400 * DAY, NOW - 390 * DAY), *logged(NOW - 3 * HOUR, NOW)],
            None,
            NOW - 390 * DAY,
        ),
        (
            "it was no jump",
            [*logged(NOW - 400 * DAY, NOW - 390 * DAY), *logged(NOW - 13 * HOUR, NOW)],
            None,
            NOW,
        ),
        ("the process is gone", logged(NOW - 400 * DAY, NOW - 390 * DAY), (NOW - DAY, NOW), NOW),
        (
            "looked at only once",
            logged(NOW - 400 * DAY, NOW - 390 * DAY),
            (NOW, NOW),
            NOW - 390 * DAY,
        ),
        ("times that were made up", [NOW + 9000 * DAY, *logged(NOW - 9 * DAY, NOW)], None, NOW),
        (
            "two jumps",
            [*logged(NOW - 900 * DAY, NOW - 890 * DAY), NOW - 400 * DAY],
            None,
            NOW - 890 * DAY,
        ),
        ("a quiet week", [*logged(NOW - 9 * DAY, NOW - 7 * DAY)], None, NOW),
    ],
)
def test_which_time_is_believed(
    why: str, times: list[int], seen: tuple[int, int] | None, expected: int
) -> None:
    """A clock that has jumped makes nothing old before something else bears it out."""
    assert expected == believe(NOW, times, seen, WEEK), why


def test_looks_bear_witness_as_long_as_they_go_on() -> None:
    """One by a clock that was set back, or after a long time, begins anew."""
    assert (NOW, NOW) == extend(None, NOW, WEEK)
    assert (NOW - DAY, NOW) == extend((NOW - DAY, NOW - HOUR), NOW, WEEK)
    assert (NOW, NOW) == extend((NOW - 400 * DAY, NOW - 300 * DAY), NOW, WEEK)
    assert (NOW, NOW) == extend((NOW + DAY, NOW + 2 * DAY), NOW, WEEK)


def weigh(*newest: int, bytes: int = 10) -> list[Weighed]:
    """Make files of one size."""
    return [Weighed(at, bytes, growing=False) for at in newest]


def test_old_files() -> None:
    """A file is as old as its newest record; the oldest comes first."""
    assert [1, 0] == choose_old(weigh(50, 40, 90, 100), 20, 100)
    assert [] == choose_old(weigh(50, 40, 90, 100), None, 100)


def test_too_many_bytes() -> None:
    """The oldest go, as many as need be; one that grows stays, and counts."""
    assert [] == choose_excess(weigh(3, 1, 2), 30)
    assert [1] == choose_excess(weigh(3, 1, 2), 29)
    assert [1, 2] == choose_excess(weigh(3, 1, 2), 10)
    assert [1, 2, 0] == choose_excess(weigh(3, 1, 2), 1)
    assert [] == choose_excess(weigh(3, 1, 2), None)
    growing = [Weighed(0, 25, growing=True), *weigh(2, 1)]
    assert [2, 1] == choose_excess(growing, 26)
