"""What is found of a producer, and what is not listed again for that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbatch.identity import new_producer
from logbatch.storage import finder
from logbatch.storage.finder import Finder
from logbatch.storage.segments import list_segments
from logbatch.testing import ManualClock

P = "01arz3ndektsv4rrffq69g5fav"
Q = "01arz3ndektsv4rrffq69g5faw"
DAYS = ("date=1970-01-01", "date=2026-11-21", "date=2036-02-07")
CHANGED = 1_795_305_600_123_456_789  # nanoseconds since 1970: when a folder changed


@pytest.fixture
def clock() -> ManualClock:
    """Seconds that only go forward."""
    return ManualClock(100.0)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that are listed from now on, by name.

    One that changed just now, or in the future by a clock that is behind, is read twice in a row.
    """
    names: list[str] = []
    scandir: Any = os.scandir

    def noted(path: Any) -> Any:
        name = os.path.basename(path) if isinstance(path, str | Path) else ""
        if name.startswith("date=") and names[-1:] != [name]:
            names.append(name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    return names


def add(root: Path, day: str, *names: str, changed: int = CHANGED) -> None:
    """Publish files on a day; the folder changed at that time."""
    folder = root / day
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    os.utime(folder, ns=(changed, changed))


def found(finder: Finder, producer: str) -> list[int]:
    """Return the first sequences of a producer's segments, as they are found."""
    return [each.first for each in finder.find(producer)]


def test_on_any_day(tmp_path: Path, clock: ManualClock) -> None:
    """The files of a producer are found in all folders, whatever their dates."""
    add(tmp_path, DAYS[2], f"{P}-0-9.parquet", f"{Q}-0-9.parquet")
    add(tmp_path, DAYS[0], f"{P}-10-19.jsonl.zst")
    add(tmp_path, DAYS[1], f"{P}-20.jsonl", f"{Q}-10-19.parquet")
    finder = Finder(tmp_path, clock)
    for _ in range(4):
        assert [10, 20, 0] == found(finder, P)
        assert [10, 0] == found(finder, Q)
        assert [] == found(finder, new_producer())
        assert list_segments(tmp_path) == finder.find("")
        clock.now += 1


def test_what_did_not_change_is_not_listed_again(
    tmp_path: Path, clock: ManualClock, listed: list[str]
) -> None:
    """Once a folder is known well, it is listed for its own producers only, until it changes."""
    for day in DAYS:
        add(tmp_path, day, f"{P}-0-9.parquet")
    add(tmp_path, DAYS[1], f"{Q}-0-9.parquet")
    finder = Finder(tmp_path, clock)
    for _ in range(2):
        found(finder, new_producer())
        clock.now += 1
    listed.clear()

    assert ([], []) == (found(finder, new_producer()), listed)
    assert ([0], [DAYS[1]]) == (found(finder, Q), listed)
    listed.clear()
    add(tmp_path, DAYS[2], f"{Q}-10-19.parquet", changed=CHANGED + 1)
    assert ([0, 10], [*DAYS[1:]]) == (found(finder, Q), listed)


def test_two_changes_of_one_time(tmp_path: Path, clock: ManualClock) -> None:
    """A file is found that came right behind a look, when the file system's clock stood still."""
    finder = Finder(tmp_path, clock)
    for first in range(2):
        add(tmp_path, DAYS[0], f"{P}-{first}-{first}.parquet")
        assert first + 1 == len(found(finder, P))
        clock.now += 0.05
        add(tmp_path, DAYS[0], f"{Q}-{first}-{first}.parquet")
        assert first + 1 == len(found(finder, Q))


@pytest.mark.parametrize("unit", [1_000_000, 1_000_000_000])
def test_coarse_times(tmp_path: Path, clock: ManualClock, unit: int) -> None:
    """Where a file system keeps times coarsely, nothing is taken for unchanged."""
    changed = CHANGED // unit * unit
    finder = Finder(tmp_path, clock)
    for first in range(4):
        assert first == len(found(finder, P))
        add(tmp_path, DAYS[0], f"{P}-{first}-{first}.parquet", changed=changed)
        clock.now += 3600


def test_another_folder_of_that_name(tmp_path: Path, clock: ManualClock) -> None:
    """A folder that was removed, or replaced, is not taken for the one before."""
    finder = Finder(tmp_path, clock)
    add(tmp_path, DAYS[0], f"{Q}-0-9.parquet")
    for _ in range(3):
        assert [] == found(finder, P)
        clock.now += 1
    (tmp_path / DAYS[0]).rename(tmp_path / "old")
    assert [] == found(finder, Q)
    add(tmp_path, DAYS[0], f"{P}-0-9.parquet")
    assert [0] == found(finder, P)
    shutil.rmtree(tmp_path / DAYS[0])
    (tmp_path / DAYS[0]).touch()
    assert [] == found(finder, P)


def test_more_than_is_kept_in_mind(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is no room for is listed each time."""
    monkeypatch.setattr(finder, "_ROOM", 4)
    producers = [new_producer() for _ in range(9)]
    looks = Finder(tmp_path, clock)
    for index, producer in enumerate(producers):
        add(tmp_path, DAYS[index % 3], f"{producer}-0-9.parquet", changed=CHANGED + index)
    for _ in range(3):
        assert [1] * 9 == [len(looks.find(producer)) for producer in producers]
        clock.now += 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["publish", "look", "wait", "wait", "wait", "remove"]),
        st.sampled_from(DAYS),
        st.sampled_from([P, Q, "01arz3ndektsv4rrffq69g5fax"]),
    ),
    max_size=40,
)


@settings(max_examples=100)
@given(steps=steps)
def test_finds_what_a_listing_does(
    tmp_path_factory: Any, steps: list[tuple[str, str, str]]
) -> None:
    """Whatever happens between two looks, each finds what a listing of everything does."""
    root, clock = tmp_path_factory.mktemp("root"), ManualClock(0.0)
    finder = Finder(root, clock)
    for number, (what, day, producer) in enumerate(steps):
        changed = CHANGED + int(clock.now * 10) * 100_000_007  # that clock shows tenths of seconds
        if what == "publish":
            add(root, day, f"{producer}-{number}-{number}.parquet", changed=changed)
        elif what == "remove" and (left := list_segments(root, producer)):
            left[0].path.unlink()
            os.utime(left[0].path.parent, ns=(changed, changed))
        elif what == "wait":
            clock.now += 0.06
        assert list_segments(root, producer) == finder.find(producer)
