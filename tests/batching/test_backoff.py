"""How long to wait before the next try."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.batching.backoff import LONGEST_ASKED, Backoff


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    """With the highest chance the waits are 0.25 s, twice that, and so on to 30 s."""
    waits = [Backoff().delay(failures, 1.0) for failures in range(1, 11)]

    assert [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] == waits


def test_the_lowest_chance_still_waits() -> None:
    """A tenth of the ceiling is the least, so a broken destination always gets a pause."""
    waits = [Backoff(base=1.0, cap=8.0).delay(failures, 0.0) for failures in range(1, 6)]

    assert [0.1, 0.2, 0.4, 0.8, 0.8] == pytest.approx(waits)


def test_chance_moves_the_wait() -> None:
    """Between the two ends the wait grows with the chance, so that many clients spread out."""
    waits = [Backoff(base=1.0).delay(1, chance) for chance in (0.0, 0.25, 0.5, 0.75, 1.0)]

    assert [0.1, 0.325, 0.55, 0.775, 1.0] == pytest.approx(waits)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, 4.0),
        (0.0, 4.0),
        (-5.0, 4.0),
        (3.0, 4.0),
        (10.0, 10.0),
        (120.0, 120.0),
        (LONGEST_ASKED, 3600.0),
        (86_400.0, 3600.0),
        (inf, 3600.0),
        (nan, 4.0),
    ],
)
def test_what_the_destination_asks_for_is_the_least(asked: float | None, expected: float) -> None:
    """A longer wait that is asked for is kept, up to an hour; a shorter one changes nothing."""
    assert expected == Backoff().delay(5, 1.0, asked)


def test_without_a_failure_the_wait_is_that_of_the_first() -> None:
    """A count that is off does not make the wait shorter than the first."""
    assert [0.25, 0.25] == [Backoff().delay(failures, 1.0) for failures in (0, -5)]


@given(st.integers(1, 10**9), st.floats(0, 1), st.one_of(st.none(), st.floats()))
def test_a_wait_is_bounded(failures: int, chance: float, asked: float | None) -> None:
    """After any number of failures the wait is above zero and at most an hour."""
    assert 0.02 < Backoff().delay(failures, chance, asked) <= LONGEST_ASKED


@given(st.integers(1, 100), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1e5)))
def test_one_more_failure_never_waits_less(
    failures: int, chance: float, asked: float | None
) -> None:
    """With the same chance the wait does not shrink from one failure to the next."""
    assert Backoff().delay(failures, chance, asked) <= Backoff().delay(failures + 1, chance, asked)
