"""A process that merges is killed at any instruction, and so is the one that finishes its work."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from children import Child
from make import A, B, make_batch

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.disk import STALE
from logbatch.storage.segments import list_segments
from logbatch.transports.parquet import ParquetTransport

SPANS = ((0, 3), (4, 6), (7, 9))  # ten records, so that they are merged at once
CHANGES = ("write", "fsync", "utime", "rename", "unlink")  # what changes a disk, beside `open`
INSIDE = 10  # calls of these in a merge, at the least

Change = Callable[..., Any]


def die_at(number: int) -> None:
    """Have this process be killed instead of changing anything on the disk for the n-th time."""
    done = 0

    def counted(change: Change, matters: Callable[..., bool] = lambda *_a, **_k: True) -> Change:
        def call(*args: Any, **keywords: Any) -> Any:
            nonlocal done
            if matters(*args, **keywords):
                done += 1
                if done == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **keywords)

        return call

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    os.open = counted(os.open, lambda _path, flags, *_: bool(flags & os.O_CREAT))


def run(body: Callable[[], object]) -> bool:
    """Run a function in a process of its own; return whether it was killed."""
    _, status = os.waitpid(Child(body).pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return status != 0


def merge(directory: Path, stop: int) -> None:
    """Publish some files and merge them; be killed at a change of the merge."""
    transport = ParquetTransport(directory, compact_share=1.0)
    for span in SPANS:
        transport.send(make_batch(*span, A))
    transport.clock = lambda: float("inf")  # no pauses
    die_at(stop)
    while not transport.tidy().merges:
        pass


def finish(directory: Path, stop: int) -> None:
    """Write something to the folder, as the next process; be killed at a change."""
    transport = ParquetTransport(directory)
    die_at(stop)
    transport.send(make_batch(0, 0, B))


def check(directory: Path, *more: tuple[str, int]) -> None:
    """Check that each record is there once for our readers."""
    found = sorted((row["producer"], row["sequence"]) for row in Dataset(directory).rows())
    expected = [(A, n) for n in range(10)]
    assert found in (expected, [*expected, *more])
    report = verify(directory)
    assert (0, ()) == (report.repeated, tuple(report.problems))


def check_finished(directory: Path) -> None:
    """Check that what a next process leaves is in order for those who only glob, too."""
    assert not run(partial(finish, directory, 0))
    check(directory, (B, 0))
    segments = [(each.first, each.last) for each in list_segments(directory, A)]
    assert segments in ([(0, 9)], list(SPANS))
    assert 11 == pyarrow.dataset.dataset(directory, format="parquet").count_rows()
    for path in directory.glob("date=*/.part-*"):  # it is removed when it is old
        old = os.stat(path).st_mtime - 2 * STALE
        os.utime(path, (old, old))
    ParquetTransport(directory).send(make_batch(1, 1, B))
    assert [] == list(directory.glob("date=*/.part-*"))


def test_killed_at_each_change_of_a_merge(tmp_path: Path) -> None:
    """Each record is there once then, and when the next process has written something."""
    for stop in range(1, 100):
        directory = tmp_path / str(stop)
        if not run(partial(merge, directory, stop)):
            break
        check(directory)
        check_finished(directory)
    assert stop >= INSIDE
    assert [(0, 9)] == [(each.first, each.last) for each in list_segments(directory, A)]


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_while_that_is_cleaned_up(tmp_path: Path, seed: int) -> None:
    """The same when the next process is killed as well, at any change that it makes."""
    chance = random.Random(seed)
    for number in range(5):
        directory = tmp_path / str(number)
        assert run(partial(merge, directory, chance.randint(4, INSIDE - 1)))
        run(partial(finish, directory, chance.randint(1, 9)))
        check(directory, (B, 0))
        check_finished(directory)
