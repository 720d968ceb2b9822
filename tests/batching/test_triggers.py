"""When a batch is due, asked at chosen instants: nothing here waits."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.batching.triggers import COALESCE, Pace, Triggers, Waiting
from logbatch.options import BatchOptions

TRIGGERS = Triggers(interval=1.0, size=100, bytes=10_000)
NOW = 1000.0


def due(now: float = NOW, triggers: Triggers = TRIGGERS, **waiting: Any) -> str | float:
    """Ask about one event that has just come, with something changed."""
    given = {"events": 1, "bytes": 300, "oldest": NOW, **waiting}
    return triggers.due(Waiting(**given), now)


# --------------------------------------------------------------------------- one by one


@pytest.mark.parametrize(
    ("now", "expected"),
    [(NOW, 1.0), (NOW + 0.25, 0.75), (NOW + 0.875, 0.125), (NOW + 1, "age"), (NOW + 99, "age")],
)
def test_age_makes_due(now: float, expected: str | float) -> None:
    """The oldest event waits for the interval and no longer."""
    assert expected == due(now)


@pytest.mark.parametrize(("events", "expected"), [(99, 1.0), (100, "size"), (10_000, "size")])
def test_count_makes_due(events: int, expected: str | float) -> None:
    """So many events are due at once."""
    assert expected == due(events=events)


@pytest.mark.parametrize(
    ("size", "expected"), [(9_999, 1.0), (10_000, "bytes"), (1 << 30, "bytes")]
)
def test_bytes_make_due(size: int, expected: str | float) -> None:
    """So many bytes are due at once, however few events they are."""
    assert expected == due(bytes=size)


def test_an_urgent_event_makes_due() -> None:
    """An event of the flush level does not wait where nothing was flushed before."""
    assert "level" == due(urgent=True)


@pytest.mark.parametrize(
    ("since_flush", "expected"),
    [(0.0, COALESCE), (0.03125, COALESCE - 0.03125), (0.0625, "level"), (60.0, "level")],
)
def test_urgent_events_are_coalesced(since_flush: float, expected: str | float) -> None:
    """After a flush urgent events wait for the rest of 50 ms, together."""
    assert expected == pytest.approx(due(urgent=True, flushed=NOW - since_flush), abs=1e-9)


def test_coalescing_does_not_outlast_the_interval() -> None:
    """An urgent event waits no longer than another would."""
    short = Triggers(interval=0.03125, size=100, bytes=10_000)

    assert 0.03125 == due(triggers=short, urgent=True, flushed=NOW)


def test_a_burst_of_urgent_events_makes_at_most_one_flush_in_50_ms() -> None:
    """1,000 errors within a second, one each millisecond, are at most 20 flushes."""
    flushes, flushed, oldest = 0, -inf, None
    for millisecond in range(1000):
        now = NOW + millisecond / 1000
        oldest = now if oldest is None else oldest
        waiting = Waiting(events=1, bytes=1, oldest=oldest, urgent=True, flushed=flushed)
        if TRIGGERS.due(waiting, now) == "level":
            flushes, flushed, oldest = flushes + 1, now, None

    assert 19 <= flushes <= 20


def test_whoever_asks_does_not_wait() -> None:
    """A flush that is asked for is due at once, also right after another."""
    assert "asked" == due(asked=True, flushed=NOW)


@pytest.mark.parametrize("flags", [{}, {"urgent": True}, {"asked": True}])
def test_nothing_is_never_due(flags: dict[str, Any]) -> None:
    """Without an event there is nothing to look at again."""
    assert inf == due(NOW + 3600, events=0, bytes=0, **flags)


def test_the_first_reason_that_holds_is_told() -> None:
    """Where several things make due, the statistics name one, always the same."""
    everything: dict[str, Any] = {"events": 100, "bytes": 10_000, "urgent": True, "asked": True}
    told = []
    for held in ("asked", "events", "bytes", "urgent"):
        told.append(due(NOW + 1, **everything))
        del everything[held]

    assert ["asked", "size", "bytes", "age"] == told


# --------------------------------------------------------------------------- always

seconds = st.floats(0, 1e6)
limits = st.builds(
    Triggers,
    interval=st.floats(0.01, 86_400),
    size=st.integers(1, 1_000_000),
    bytes=st.integers(1, 1 << 28),
)
anything = st.builds(
    Waiting,
    events=st.integers(0, 2_000_000),
    bytes=st.integers(0, 1 << 29),
    oldest=seconds,
    urgent=st.booleans(),
    asked=st.booleans(),
    flushed=st.one_of(st.just(-inf), seconds),
)
SLACK = 1e-6  # more than what a float of a million seconds cannot say


@given(limits, anything, seconds)
def test_due_is_never_late(triggers: Triggers, waiting: Waiting, now: float) -> None:
    """Who looks again after the wait that was answered finds the batch due."""
    now = max(now, waiting.oldest)
    answer = triggers.due(waiting, now)

    if isinstance(answer, float) and answer < inf:
        assert isinstance(triggers.due(waiting, now + answer + SLACK), str)


@given(limits, anything, seconds)
def test_due_is_never_early(triggers: Triggers, waiting: Waiting, now: float) -> None:
    """Half of the wait that was answered is too little for age, and for an urgent event."""
    now = max(now, waiting.oldest)
    answer = triggers.due(waiting, now)

    if isinstance(answer, float) and 2 * SLACK < answer < inf:
        assert isinstance(triggers.due(waiting, now + answer / 2), float)


@given(limits, anything, seconds)
def test_a_wait_is_positive_and_within_the_interval(
    triggers: Triggers, waiting: Waiting, now: float
) -> None:
    """No wait is zero or negative, and none is longer than the interval while events wait."""
    now = max(now, waiting.oldest)
    answer = triggers.due(waiting, now)

    if isinstance(answer, float):
        assert 0 < answer
        assert (answer == inf) == (waiting.events == 0)
        if waiting.events:
            assert answer <= triggers.interval + SLACK


def instant(triggers: Triggers, waiting: Waiting, now: float) -> float:
    """Return when a batch is due: now, or later."""
    answer = triggers.due(waiting, now)
    return now if isinstance(answer, str) else now + answer


@given(limits, anything, seconds, seconds)
def test_what_is_due_stays_due(
    triggers: Triggers, waiting: Waiting, now: float, later: float
) -> None:
    """Time alone never takes a reason away, nor puts the instant off."""
    now, later = sorted((now, later))

    if isinstance(triggers.due(waiting, now), str):
        assert isinstance(triggers.due(waiting, later), str)
    elif waiting.events:
        assert instant(triggers, waiting, later) <= max(
            later, instant(triggers, waiting, now) + SLACK
        )


@given(limits, anything, seconds, st.integers(0, 1000), st.integers(0, 1 << 20))
def test_more_is_never_due_later(
    triggers: Triggers, waiting: Waiting, now: float, events: int, size: int
) -> None:
    """More events, more bytes, an urgent event or a question only bring the instant nearer."""
    before = instant(triggers, waiting, now)

    for more in (
        {"events": waiting.events + events},
        {"bytes": waiting.bytes + size},
        {"urgent": True},
        {"asked": True},
    ):
        assert instant(triggers, dataclasses.replace(waiting, **more), now) <= before


# --------------------------------------------------------------------------- the adaptive pace


def run(*measures: tuple[int, float], begin: float = 0.0) -> list[Pace]:
    """Return the pace after each measure of (events, seconds)."""
    paces, pace = [], Pace(begin)
    for events, took in measures:
        pace = pace.after(events, took)
        paces.append(pace)
    return paces


def test_a_new_pace_expects_little() -> None:
    """Before anything was measured the interval is the longest and the batch the smallest."""
    assert (2.0, 10) == (Pace().interval, Pace().size(10_000))


@pytest.mark.parametrize(
    ("rate", "interval", "size"),
    [
        (0.0, 2.0, 10),
        (1.0, 2.0, 10),
        (25.5, 1.25, 32),
        (50.0, 0.5, 25),
        (1_000.0, 0.5, 500),
        (1_000_000.0, 0.5, 10_000),
    ],
)
def test_the_interval_falls_and_the_size_grows_with_the_rate(
    rate: float, interval: float, size: int
) -> None:
    """The interval runs from 2 s to 0.5 s; a batch is what an interval brings, in its limits."""
    assert (interval, size) == (Pace(rate).interval, Pace(rate).size(10_000))


def test_a_small_limit_holds_for_a_small_batch() -> None:
    """The adaptive size never goes beyond `max_batch_size`, though that be under ten."""
    assert 3 == Pace(1000.0).size(3)


def test_a_steady_flow_is_learnt_within_a_few_flushes() -> None:
    """At 100 events a second the interval goes from 2 s to 0.5 s and stays."""
    paces = run(*[(50, 0.5)] * 8)

    assert [50, 75, 87.5, 93.75] == [pace.rate for pace in paces[:4]]
    assert [0.5] * 8 == [pace.interval for pace in paces]
    assert 99 < paces[-1].rate < 100


def test_a_burst_is_followed_however_short_the_measures_are() -> None:
    """At 100,000 events a second batches grow to thousands within ten flushes of 1 ms."""
    sizes = [pace.size(10_000) for pace in run(*[(100, 0.001)] * 10)]

    assert sorted(sizes) == sizes
    assert [10_000] * 7 == sizes[3:]


def test_a_flow_that_thins_out_gets_the_long_interval() -> None:
    """From 1,000 events a second to one: within ten flushes the interval is 2 s again."""
    intervals = [round(pace.interval, 2) for pace in run(*[(1, 1.0)] * 11, begin=1000.0)]

    assert [0.5] * 4 == intervals[:4]
    assert sorted(intervals) == intervals
    assert 1.98 <= intervals[-1] <= 2.0


def test_silence_is_forgotten_by_its_length() -> None:
    """Regression: one event after an hour of silence was taken for half of the flow before it."""
    (pace,) = run((1, 3600.0), begin=1000.0)

    assert (2.0, 10) == (pace.interval, pace.size(10_000))


def test_no_time_says_nothing() -> None:
    """A measure over no time, or over less, leaves the pace as it is."""
    assert [Pace(5.0)] * 2 == run((9, 0.0), (9, -1.0), begin=5.0)


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 1e9)), max_size=20),
    st.integers(1, 1_000_000),
)
def test_the_pace_keeps_its_limits(measures: list[tuple[int, float]], most: int) -> None:
    """Whatever was measured, the interval is 0.5 s to 2 s, and the two are valid options."""
    for pace in run(*measures):
        assert 0.5 <= pace.interval <= 2.0
        assert min(most, 10) <= pace.size(most) <= most
        BatchOptions(flush_interval=pace.interval, max_batch_size=pace.size(most))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 1_000_000))
def test_a_higher_rate_never_waits_longer(one: float, other: float, most: int) -> None:
    """The interval does not grow with the rate."""
    slow, quick = sorted((one, other))

    assert Pace(quick).interval <= Pace(slow).interval


@given(st.floats(0, 1e6), st.integers(0, 10**6), st.floats(0.001, 1e6))
def test_the_pace_lies_between_what_was_and_what_came(
    rate: float, events: int, took: float
) -> None:
    """The smoothed rate is never outside the old rate and the newest."""
    newest = events / took
    after = Pace(rate).after(events, took).rate

    assert min(rate, newest) * 0.999999 <= after <= max(rate, newest) * 1.000001
