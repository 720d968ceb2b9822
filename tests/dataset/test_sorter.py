"""Records in order, within a limit of memory, however many they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make import A, B, batch_of, event, publish

from logbatch.dataset.compaction.sorter import LEAST_MEMORY, Sorter, order_by
from logbatch.identity import Ranges

ROWS = 120
LONG = "x" * 1_000_000  # so many rows of these do not fit into the least memory at once


def make_events() -> list[dict[str, Any]]:
    """Make events of which many have the same time, and some no session or one like another."""
    chance = random.Random(5)
    return [
        event(
            LONG,
            timestamp=f"2026-11-21T10:00:{chance.choice((0, 0, 0, 17, 42)):02}.000000Z",
            attributes=chance.choice(({}, {"s": "a"}, {"s": "b"}, {"s": "b'"}, {"s": None})),
        )
        for _ in range(ROWS)
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of two producers, each with a few of the records."""
    logs, events = tmp_path_factory.mktemp("sorter"), make_events()
    for first in range(0, ROWS // 2, 10):
        for producer, start in ((A, 0), (B, ROWS // 2)):
            stop = start + first + 10
            publish(logs, batch_of(producer, first, *events[start + first : stop]), compact=False)
    return sorted(logs.glob("date=*/*.parquet"))


@pytest.fixture
def sorter(tmp_path: Path, files: list[Path]) -> Iterator[Sorter]:
    """A sorter of these files, with the least memory."""
    with Sorter(tmp_path / "spill", LEAST_MEMORY, 2) as found:
        found.use(files)
        yield found


def keys_of(sorter: Sorter, at: int, cluster: list[str]) -> list[tuple[Any, ...]]:
    """Return session, time, producer and sequence of the records of a slice, as they come."""
    found = []
    for batch in sorter.stream(at, cluster):
        names = ("attributes", "timestamp", "producer", "sequence")
        rows = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        found += [(next(iter(text.split('"')[3:4]), None), *others) for text, *others in rows]
    return found


@pytest.mark.parametrize("cluster", [[], ["s"]])
def test_parts_make_one_order(sorter: Sorter, cluster: list[str]) -> None:
    """What is sorted part by part is in order as a whole, with each record once, nulls last."""
    found = keys_of(sorter, 0, [order_by(name, None) for name in cluster])

    def order(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[0] is None, row[0] or "", *row[1:]) if cluster else row[1:]

    assert ROWS == sorter.rows() == len(set(found))
    assert sorted(found, key=order) == found


def test_slices_and_their_parts(sorter: Sorter) -> None:
    """Slices of time follow one another, and what is said of each is what it holds."""
    slices = sorter.divide(3)
    said = sorter.identities(None)
    found = [keys_of(sorter, at, []) for at in range(slices)]
    assert said is not None
    for at, rows in enumerate(found):
        held: dict[str, Ranges] = {}
        for _, _, producer, sequence in rows:
            held.setdefault(producer, Ranges()).add(sequence, sequence)
        assert held == said.get(at, {})
    moments = [row[1] for rows in found for row in rows]
    assert (ROWS, sorted(moments)) == (len(moments), moments)


def test_too_many_ranges(sorter: Sorter) -> None:
    """Nothing is said of what is where, if that would be more than is wanted."""
    sorter.divide(3)
    assert sorter.identities(3) is None
    sorter.stay_whole()
    assert {
        0: {A: Ranges([(0, ROWS // 2 - 1)]), B: Ranges([(0, ROWS // 2 - 1)])}
    } == sorter.identities(3)
