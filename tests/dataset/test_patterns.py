"""`Dataset.patterns`: messages by their templates, and what changed between two ranges."""

from __future__ import annotations

import logging
import math
import random
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import START, batch_of, event, publish

from logbatch import BatchHandler, Dataset, Filter, FilterError, Pattern, QueryError
from logbatch.dataset.analysis.comparison import CHANCE, FEWEST, compare
from logbatch.dataset.analysis.patterns import Asked, find_patterns
from logbatch.dataset.engine import Engine
from logbatch.identity import new_producer

SECOND = timedelta(seconds=1)


def said(template: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """Make a record of a template, so long after the beginning."""
    moment = START + timedelta(seconds=seconds)
    given = {"timestamp": moment.isoformat(), "template": template, **fields}
    return event(f"{template} at {seconds:g}", **given)


def store(path: Path, *events: dict[str, Any], **given: Any) -> Dataset:
    """Publish events, and read them."""
    publish(path, batch_of(new_producer(), 0, *events), **given)
    return Dataset(path)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_who_counts_by_hand_counts_the_same(tmp_path: Path, kind: str) -> None:
    """Records are counted by template, logger and level, in the range alone."""
    rng = random.Random(1)
    events = [
        said(
            f"t{rng.choice('abc')} %s",
            rng.randrange(100),
            logger=f"l{rng.randrange(2)}",
            level=rng.choice(("INFO", "ERROR")),
        )
        for _ in range(500)
    ]
    logs = store(tmp_path, *events, kind=kind)
    start, end = START + 10 * SECOND, START + 60 * SECOND
    inside = [e for e in events if start <= datetime.fromisoformat(e["timestamp"]) < end]
    expected = Counter((e["template"], e["logger"], e["level"]) for e in inside)

    found = logs.patterns(start=start, end=end)
    assert expected == {(each.template, each.logger, each.level): each.count for each in found}
    assert (len(inside), len(expected), 0) == (found.total, found.distinct, found.left_out)
    assert sorted((each.count for each in found), reverse=True) == [each.count for each in found]
    for each in found:
        mine = [e for e in inside if e["template"] == each.template and e["level"] == each.level]
        times = [datetime.fromisoformat(e["timestamp"]) for e in mine if e["logger"] == each.logger]
        assert (min(times), max(times)) == (each.first, each.last)
        assert each.example.endswith(f" at {(each.last - START).seconds}")
        assert each.count / len(inside) == each.share
        assert each.count / 50 == each.rate
        assert (None,) * 5 == (each.before, each.after, each.change, each.ratio, each.chance)


def test_a_real_handler(tmp_path: Path) -> None:
    """The template is what was logged; what was formatted before is a template of its own."""
    with BatchHandler(f"parquet:{tmp_path}") as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        for number in range(10):
            logger.info("%d items", number)
            logger.info(f"number {number % 2}")
        found = Dataset(tmp_path).patterns()
    assert [(each.template, each.count, each.example) for each in found] == [
        ("%d items", 10, "9 items"),
        ("number 0", 5, "number 0"),
        ("number 1", 5, "number 1"),
    ]


def test_records_without_a_template(tmp_path: Path) -> None:
    """Their message stands for it; with others that have one, too."""
    plain = event("plain")
    logs = store(tmp_path, plain, said("t", 1), plain, event("plain", template="t"))
    assert {"plain": 2, "t": 2} == {each.template: each.count for each in logs.patterns()}


def test_more_patterns_than_are_wanted(tmp_path: Path) -> None:
    """Those with the most records are told, and how many there are of the others."""
    events = [said(f"t{n}", n) for n in range(3000)] + [said("often", n) for n in range(7)]
    logs = store(tmp_path, *events)
    found = logs.patterns(limit=10)

    assert (10, 3007, 3001, 3007 - 7 - 9) == (
        len(found), found.total, found.distinct, found.left_out
    )  # fmt: skip
    assert ("often", 7) == (found[0].template, found[0].count)
    nothing = logs.patterns(limit=0)
    assert ((), 3007, 3001, 3007) == (nothing, nothing.total, nothing.distinct, nothing.left_out)
    with pytest.raises(ValueError, match="limit=-1"):
        logs.patterns(limit=-1)


def test_repeats_count_as_often_as_they_were(tmp_path: Path) -> None:
    """What `collapse_repeats` folds away is of the template of what was repeated."""
    with BatchHandler(f"parquet:{tmp_path}", collapse_repeats=True) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        for count in (5, 1, 3):
            for _ in range(count):
                logger.info("asked %s", "db")
            logger.info("something else")
    logs = Dataset(tmp_path)
    assert {"asked %s": 9, "something else": 3} == {
        each.template: each.count for each in logs.patterns()
    }
    assert 2 == len(list(logs.rows("repeated=*")))


def test_too_little_memory(tmp_path: Path) -> None:
    """It is said; what is on the disk counts as long as there is room."""
    logs = store(tmp_path, *(said(f"t{n} {n * 'x'}", n) for n in range(3000)))
    source, asked = logs._source, Asked(Filter())
    with Engine(30_000_000, spill=False) as engine, pytest.raises(QueryError, match="more memory"):
        find_patterns(source, logs.snapshot(), asked, engine)


def changes(found: tuple[Pattern, ...]) -> dict[str, str | None]:
    """Return what became of each template."""
    return {each.template: each.change for each in found}


def test_what_changed(tmp_path: Path) -> None:
    """Templates that are new, gone, more or less frequent come first, the surest ones before."""
    middle, end = START + 100 * SECOND, START + 150 * SECOND  # so half the time after it
    numbers = {"same": (200, 100), "more": (20, 60), "less": (100, 10), "few": (1, 3)}
    numbers |= {"new": (0, 30), "gone": (300, 0), "once": (0, 1), "much": (2000, 1300)}
    events = []
    for name, (before, after) in numbers.items():
        events += [said(name, 100 * n / before) for n in range(before)]
        events += [said(name, 100 + 50 * n / after) for n in range(after)]
    logs = store(tmp_path, *events)
    found = logs.patterns(compare=((START, middle), (middle, end)))

    assert changes(found) == {
        "same": "same",
        "more": "more",
        "less": "less",
        "few": "same",
        "new": "new",
        "gone": "gone",
        "once": "new",
        "much": "same",  # no chance, but less than twice as often
    }
    assert numbers == {each.template: (each.before, each.after) for each in found}
    assert {"once", "gone"} == {found[0].template, found[4].template}
    assert "gone" == found[0].template
    assert all((a.chance or 0) <= (b.chance or 0) for a, b in pairwise(found[:5]))
    ratios = {each.template: each.ratio for each in found}
    assert (math.inf, 0.0) == (ratios["new"], ratios["gone"])
    assert math.isclose(6, ratios["more"] or 0)
    assert len(events) == found.total

    # Ranges without ends go as far as there are records.
    assert changes(found) == changes(logs.patterns(compare=((None, middle), (middle, None))))
    # What is counted besides may be another range.
    wide = logs.patterns(start=START, end=START, compare=((START, middle), (middle, end)))
    assert changes(found) == changes(wide)
    assert {0} == {each.count for each in wide}
    assert {0.0} == {each.share for each in wide}


def test_ranges_that_hold_nothing(tmp_path: Path) -> None:
    """They are no obstacle."""
    logs = store(tmp_path, said("a", 5), said("b", 6))
    early = (START - 9 * SECOND, START - 8 * SECOND)
    everything = (None, None)
    assert {"a": "new", "b": "new"} == changes(logs.patterns(compare=(early, everything)))
    assert {"a": "gone", "b": "gone"} == changes(logs.patterns(compare=(everything, early)))
    nothing = logs.patterns("level=DEBUG", compare=(everything, everything))
    assert ((), 0, 0) == (nothing, nothing.total, nothing.distinct)
    assert {"a": "same", "b": "same"} == changes(logs.patterns(compare=(everything, everything)))
    empty = (START, START)
    assert {"a": "same", "b": "same"} == changes(logs.patterns(compare=(empty, early[::-1])))
    with pytest.raises(FilterError):
        logs.patterns("level>")


@given(
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.floats(1e-6, 1e9),
    st.floats(1e-6, 1e9),
    st.integers(1, 10_000),
)
def test_the_rule(before: int, after: int, first: float, second: float, compared: int) -> None:
    """It is as stated, and the same seen from the other side."""
    found = compare(before, after, first, second, compared)
    other = compare(after, before, second, first, compared)
    opposite = {"new": "gone", "gone": "new", "more": "less", "less": "more", "same": "same"}
    assert opposite[found.change] == other.change or found.ratio in (0.5, 2.0)
    assert math.isclose(found.chance, other.chance, rel_tol=1e-3, abs_tol=1e-9)
    assert 0 <= found.chance <= 1
    if not before or not after:
        assert found.change == ("new" if after else "gone" if before else "same")
    elif found.change != "same":
        assert before + after >= FEWEST and found.chance * compared <= CHANCE
        assert found.ratio is not None and (found.ratio >= 2 or found.ratio <= 0.5)


def test_chance() -> None:
    """Of counts that come of one rate hardly any is told to have changed."""
    rng = random.Random(5)
    wrong = 0
    for _ in range(300):
        pairs = [(_poisson(rng, 12), _poisson(rng, 4)) for _ in range(20)]
        wrong += any(compare(a, b, 60, 20, 20).change in ("more", "less") for a, b in pairs)
    assert wrong <= 12  # of 300, where 3 are to be expected
    assert ("same", "more") == (compare(3, 9, 1, 1).change, compare(10, 40, 1, 1).change)


def _poisson(rng: random.Random, mean: float) -> int:
    number, at = 0, rng.expovariate(mean)
    while at < 1:
        number, at = number + 1, at + rng.expovariate(mean)
    return number
