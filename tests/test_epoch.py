"""Times as numbers of microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.epoch import FIRST, LAST, to_datetime, to_microseconds, to_text


@given(st.datetimes())
def test_a_time_is_a_number_and_back(moment: datetime) -> None:
    """Each time that Python knows comes back exactly, as a time and as a text."""
    number = to_microseconds(moment)

    assert moment.replace(tzinfo=UTC) == to_datetime(number)
    assert moment.replace(tzinfo=UTC) == datetime.fromisoformat(to_text(number))
    assert FIRST <= number <= LAST


def test_an_offset_counts() -> None:
    """A time with an offset is the instant that it stands for, one without is in UTC."""
    plain = datetime(1970, 1, 1, 1)

    assert 0 == to_microseconds(plain.replace(tzinfo=timezone(timedelta(hours=1))))
    assert 3_600_000_000 == to_microseconds(plain)


@pytest.mark.parametrize("number", [FIRST - 1, LAST + 1, 1 << 62])
def test_a_year_that_python_lacks_overflows(number: int) -> None:
    """What no datetime can hold raises, and is never another time."""
    with pytest.raises(OverflowError):
        to_datetime(number)


def test_the_text_has_one_form() -> None:
    """The text has microseconds and "Z" also where they are zero."""
    assert "1970-01-01T00:00:00.000000Z" == to_text(0)
