"""What is noted of removed records while others change the directory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aged import DAY, NOW, aged_event, names_in, publish_aged
from make import A, B, P, batch_of

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.storage.bounds import finish
from logbatch.storage.maintenance import maintaining
from logbatch.storage.policy import Policy
from logbatch.storage.removal import note_looks, remove
from logbatch.storage.retention import Plan, make_plan
from logbatch.storage.retired import read_retired
from logbatch.transports import build

TWO_WEEKS = Policy.build("14d", None)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory."""
    return tmp_path / "logs"


def look(logs: Path, days: float = 0, meanwhile: Callable[[], object] = lambda: None) -> Plan:
    """Look at a directory so many days after `NOW`; something is done when that has begun."""
    steps = make_plan(logs, TWO_WEEKS, int((NOW + days * DAY) * 1e6), {}, trust_clock=True)
    next(steps)
    meanwhile()
    return finish(steps)


def retain(logs: Path, plan: Plan) -> list[str]:
    """Do what was planned; return what went wrong."""
    with maintaining(logs, "a test"):
        note_looks(logs, plan)
        return finish(remove(logs, plan, plan.old)).problems


def fill(logs: Path) -> None:
    """Publish what three processes logged; of two of them the first records are removed already."""
    for producer in (A, B):
        publish_aged(logs, producer, 0, 10, 20)
    publish_aged(logs, P, 0, 5, 2)  # its name comes first, where one looks
    for first in range(10, 40, 10):
        publish_aged(logs, A, first, 10, 2)
    publish_aged(logs, B, 10, 10, 2)
    retain(logs, look(logs))
    assert verify(logs).ok


def compact(logs: Path) -> None:
    """As by cron."""
    Dataset(logs).compact(older_than=0)


def merge(logs: Path) -> None:
    """As a receiver does with what it has just published."""
    writer: Any = build(f"parquet:{logs}")
    writer.now = lambda: NOW - 2 * DAY
    idle = 0.0
    writer.clock = lambda: idle
    for path in sorted(logs.glob(f"date=*/{A}-*")):
        first, last = map(int, path.name.removesuffix(".parquet").split("-")[1:])
        os.unlink(path)
        events = (aged_event(2, number) for number in range(first, last + 1))
        writer.send(batch_of(A, first, *events))
    while math.isfinite(wait := writer.tidy().wait):
        idle += wait
    writer.close()
    assert 1 == len(list(logs.glob(f"date=*/{A}-*")))


@pytest.mark.parametrize("others", [compact, merge])
def test_files_that_become_another_meanwhile(logs: Path, others: Callable[[Path], None]) -> None:
    """Whose files had other names when they were listed has something left all the same."""
    fill(logs)
    retain(logs, look(logs, 1, lambda: others(logs)))
    assert {A, B} == set(read_retired(logs / ".journal").ranges)
    assert verify(logs).ok


def test_a_file_that_could_not_be_removed(logs: Path) -> None:
    """Its process has something left, so what of it was removed before is still known."""
    fill(logs)
    plan = look(logs, 20)
    (kept,) = logs.glob(f"date=*/{B}-*")
    os.utime(kept)  # it is not the file any more that was looked at
    assert [] == retain(logs, plan)
    assert [str(kept.relative_to(logs))] == names_in(logs)
    assert {B} == set(read_retired(logs / ".journal").ranges)
    assert verify(logs).ok


def test_who_has_nothing_left_is_forgotten(logs: Path) -> None:
    """So that what is noted does not grow for ever."""
    fill(logs)
    for path in logs.glob(f"date=*/{A}-*"):
        os.unlink(path)
    retain(logs, look(logs, 1))
    assert {B} == set(read_retired(logs / ".journal").ranges)
    retain(logs, look(logs, 30))
    assert {} == read_retired(logs / ".journal").ranges
