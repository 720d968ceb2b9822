"""Nothing is lost and nothing is there twice, to whatever time the clock is set meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clocks import elsewhen

from logbatch import Dataset
from logbatch.dataset.verify import verify

PROGRAM = Path(__file__).parent / "programs" / "told.py"
RECOVER = "import sys; from logbatch.cli import main; sys.exit(main())"
SET = [-1, -3653, 3653]  # by so many days; the transports' own tests have more


class Program:
    """The program, started when the clock is so many days ahead, or behind."""

    def __init__(self, url: str, days: float) -> None:
        self.child = subprocess.Popen(
            [sys.executable, str(PROGRAM), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=elsewhen(days),
        )

    def tell(self, *commands: str) -> None:
        """Have it do something; return when that is done."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        for command in commands:
            self.child.stdin.write(f"{command}\n")
            self.child.stdin.flush()
            assert "done\n" == self.child.stdout.readline()

    def kill(self) -> None:
        """Kill it."""
        self.child.kill()
        self.child.communicate()


Start = Callable[[float], Program]


@pytest.fixture(params=["parquet", "jsonl"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start the program; what still runs at the end is killed."""
    started: list[Program] = []

    def run(days: float) -> Program:
        started.append(Program(f"{request.param}:{tmp_path / 'logs'}", days))
        return started[-1]

    yield run
    for each in started:
        each.kill()


def recover(directory: Path, days: float) -> None:
    """Have a process of its own publish what dead ones left."""
    command = [sys.executable, "-c", RECOVER, "recover", str(directory)]
    subprocess.run(command, env=elsewhen(days), check=True, capture_output=True, timeout=60)


def check(directory: Path, records: int, producers: int) -> None:
    """Check that all records are there, each once, in whatever way they are read."""
    report = verify(directory)
    assert (True, 0, ()) == (report.ok, report.repeated, report.problems)
    assert producers == len(report.producers)
    dataset = Dataset(directory)
    rows = list(dataset.rows())
    newest = list(dataset.rows(limit=records + 1, newest_first=True))
    times = [row["timestamp"] for row in rows]
    assert list(range(records)) == sorted(row["attributes"]["n"] for row in rows)
    assert sorted(times) == times
    assert rows == newest[::-1]
    for at in (0, records // 2, records - 1):
        since = dataset.rows(f'since="{times[at].isoformat()}"')
        until = dataset.rows(f'until="{times[at].isoformat()}"')
        assert (records - times.index(times[at]), times.index(times[at])) == (
            len(list(since)),
            len(list(until)),
        )


@pytest.mark.parametrize("days", SET)
def test_while_a_process_logs(tmp_path: Path, start: Start, days: int) -> None:
    """The clock is set between batches of one process, and again before another takes over."""
    program = start(0)
    program.tell("log 0 99", "flush", "log 100 199", f"clock {days}")
    program.tell("log 200 299", "flush", "log 300 399", f"clock {-days}")
    program.tell("log 400 499", "flush", "log 500 549")
    program.kill()
    recover(tmp_path / "logs", days)

    check(tmp_path / "logs", 550, 1)


@pytest.mark.parametrize("days", [-3653, 3653])
def test_before_the_machine_knows_the_time(tmp_path: Path, start: Start, days: int) -> None:
    """A machine that starts with a wrong clock and learns the time then, each time it starts."""
    for first in (0, 100):
        program = start(days)
        program.tell(f"log {first} {first + 39}", "flush", f"log {first + 40} {first + 49}")
        program.tell("clock 0", f"log {first + 50} {first + 79}", "flush")
        program.tell(f"log {first + 80} {first + 99}")
        program.kill()
    recover(tmp_path / "logs", 0)

    check(tmp_path / "logs", 200, 2)


def test_while_somebody_follows(tmp_path: Path, start: Start) -> None:
    """Who follows the log is told of each record once."""
    program = start(0)
    program.tell("log 0 9", "flush")
    stop = threading.Event()
    news = Dataset(tmp_path / "logs").follow(last=None, interval=0.01, stop=stop)
    seen = [next(news)["attributes"]["n"] for _ in range(10)]
    for first, set_to in ((10, 3653), (30, -3653), (50, 0)):
        program.tell(f"clock {set_to}", f"log {first} {first + 9}", "flush")
        program.tell(f"log {first + 10} {first + 19}")
        seen += [next(news)["attributes"]["n"] for _ in range(20)]
    program.kill()
    recover(tmp_path / "logs", 0)
    stop.set()
    seen += [row["attributes"]["n"] for row in news]

    assert list(range(70)) == seen
