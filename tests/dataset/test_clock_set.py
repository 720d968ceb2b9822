"""What is read is right, whichever days the folders say and whatever the clock showed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from clocks import DAY, producer_born, with_clock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from make import MIDNIGHT, encode, event

from logbatch.dataset.reader import Dataset
from logbatch.dataset.rows import Row, row_order
from logbatch.dataset.verify import verify
from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.base import Batch

KINDS = ["parquet", "jsonl"]


class Process:
    """A process that logs to a directory, with a clock that can be set.

    Args:
        kind: Of files.
        directory: Where they are.
        began: What the clock showed when it began.
    """

    def __init__(self, kind: str, directory: Path, began: float = MIDNIGHT) -> None:
        self.clock = ManualClock(began)
        self.producer = producer_born(began)
        self.transport = with_clock(build(f"{kind}:{directory}"), self.clock)
        self.logged: list[float] = []
        self.directory = directory
        self._sent = 0

    def log(self, count: int) -> None:
        """Log records, a millisecond apart."""
        for _ in range(count):
            self.clock.now = round(self.clock.now + 0.001, 3)
            self.logged.append(self.clock.now)

    def publish(self) -> None:
        """Publish what was logged; the files bear the time that the clock shows now."""
        before = set(self._files().values())
        lines = b"".join(map(line_at, self.logged[self._sent :]))
        self.transport.send(Batch(self.producer, self._sent, len(self.logged) - 1, lines))
        self._sent = len(self.logged)
        for path, state in self._files().items():
            if state not in before:  # it was written to; one that only got another name was not
                os.utime(path, (self.clock.now, self.clock.now))

    def _files(self) -> dict[Path, tuple[int, int]]:
        found = {path: path.stat() for path in self.directory.glob("date=*/*")}
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}

    def waits(self) -> bool:
        """Return whether records are not published yet."""
        return len(self.logged) > self._sent

    def die(self) -> None:
        """Close files."""
        self.transport.close()


def line_at(at: float) -> bytes:
    """Make the line of a record that was logged at a time."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    stamp = moment.replace("+00:00", "Z")
    return encode(event(timestamp=stamp))


def check(directory: Path, processes: list[Process]) -> list[datetime]:
    """Check every way to read against what was logged; return the times of all records."""
    report = verify(directory)
    assert (True, 0, ()) == (report.ok, report.repeated, report.problems)
    expected = sorted(
        (datetime.fromtimestamp(at, UTC), process.producer, sequence)
        for process in processes
        for sequence, at in enumerate(process.logged)
    )
    dataset = Dataset(directory)
    assert expected == order(list(dataset.rows()))
    for limit in (1, len(expected) // 2, len(expected)):
        for where in (None, "hello"):
            newest = dataset.rows(where, limit=limit, newest_first=True)
            assert expected[::-1][:limit] == order(list(newest))
    middle = expected[len(expected) // 2][0]
    old = [each for each in expected if each[0] < middle]
    new = [each for each in expected if each[0] >= middle]
    assert old == order(list(dataset.rows(f'until="{middle.isoformat()}"')))
    assert new == order(list(dataset.rows(f'since="{middle.isoformat()}"')))
    return [time for time, _, _ in expected]


def order(rows: list[Row]) -> list[tuple[datetime, str, int]]:
    """Return what rows are ordered by."""
    return list(map(row_order, rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("days", [-1, -366, -3653, 1, 3653])
def test_set_between_two_batches(tmp_path: Path, kind: str, days: float) -> None:
    """The clock is set, and set right again, between batches."""
    process = Process(kind, tmp_path)
    for by in (0, days * DAY, -days * DAY):
        process.clock.now += by
        for _ in range(2):
            process.log(5)
            process.publish()
            process.clock.now += 60
    process.die()

    times = check(tmp_path, [process])
    for at in times[:: len(times) // 3]:
        since = f"timestamp >= '{at.isoformat()}'::TIMESTAMPTZ"
        found = Dataset(tmp_path).sql(f"SELECT count(*) FROM logs WHERE {since}")
        assert [sum(each >= at for each in times)] == found.column(0).to_pylist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("days", [-1, -366, -3653, 1, 3653])
def test_set_between_a_record_and_its_file(tmp_path: Path, kind: str, days: float) -> None:
    """The clock is set while records wait: they are newer than their file, or much older."""
    process = Process(kind, tmp_path)
    for by in (0, days * DAY, -days * DAY):
        process.log(5)
        process.publish()
        process.log(5)
        process.clock.now += by
        process.publish()
        process.clock.now += 60
    process.die()

    check(tmp_path, [process])


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_that_learns_the_time(tmp_path: Path, kind: str) -> None:
    """A machine boots in 2036 and then meets a server of time, beside one that knows it."""
    right = Process(kind, tmp_path)
    boots = Process(kind, tmp_path, MIDNIGHT + 3653 * DAY)
    for process in (right, boots):
        process.log(5)
        process.publish()
        process.log(5)
    boots.clock.now = right.clock.now + 1
    for process in (boots, right, boots):
        process.publish()
        process.log(5)
        process.publish()
        process.clock.now += 60
    boots.die()
    right.die()

    check(tmp_path, [right, boots])


walks = st.lists(
    st.tuples(
        st.sampled_from(["log", "log", "publish", "publish", "set"]),
        st.integers(0, 1),
        st.integers(-5000, 5000) | st.sampled_from([0.0001, -0.0001, 0.5, -0.5]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=20)
@given(walk=walks, began=st.integers(-5000, 5000))
@example(walk=[("set", 0, 2165), ("log", 0, 0), ("set", 0, -2)], began=2164)
@pytest.mark.parametrize("kind", KINDS)
def test_any_walk_of_the_clock(kind: str, walk: list[tuple[str, int, float]], began: int) -> None:
    """Reading finds what was logged, all of it and nothing else, after any walk of two clocks.

    In the order of time, too: but for the newest few that is promised only where no record waited
    for its file while the clock was set.
    """
    with TemporaryDirectory() as folder:
        processes = [
            Process(kind, Path(folder), MIDNIGHT + 10_000 * DAY),
            Process(kind, Path(folder), MIDNIGHT + (10_000 + began) * DAY),
        ]
        for what, index, days in [*walk, ("log", 0, 0), ("log", 1, 0)]:
            process = processes[index]
            if what == "log":
                process.log(2)
            elif process.waits():
                process.publish()
            if what == "set":
                process.clock.now += days * DAY
        for process in processes:
            process.publish()
            process.die()

        check(Path(folder), processes)


class Steps:
    """What happens between the polls of `follow`; after the last step it ends."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = iter(steps)

    def wait(self, timeout: float) -> bool:
        """Run the next step."""
        step = next(self._steps, None)
        if step is not None:
            step()
        return step is None

    def is_set(self) -> bool:
        """End between two polls only."""
        return False


@pytest.mark.parametrize("days", [-1, 1])
def test_a_file_server_with_another_time(tmp_path: Path, days: float) -> None:
    """Who follows misses no file, if two came within a tick of a clock that differs from ours."""
    changed = time.time() + days * DAY
    process = Process("parquet", tmp_path)

    def publish() -> None:
        process.log(5)
        process.publish()
        for folder in tmp_path.glob("date=*"):
            os.utime(folder, (changed, changed))

    publish()
    rows = Dataset(tmp_path).follow(last=None, stop=Steps(publish, publish))
    assert list(range(15)) == [sequence for _, _, sequence in order(list(rows))]
