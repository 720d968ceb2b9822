"""Reading the record of runs: output by stream and range, live runs, and what became of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from children import child
from outputs import Output, execution, joined, query

from logbatch.capture.runs import Runs
from logbatch.errors import DatasetError
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Executions, to_moment

RUN = "01kb4zd8x0000000000000000a"
OTHER = "01kb4zd8x0000000000000000b"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record is."""
    return tmp_path / "runs.db"


def lines(data: bytes | bytearray, last: int) -> bytes:
    """The last lines of something, each with its end."""
    return bytes(b"".join(bytes(data).splitlines(keepends=True)[-last:]))


@pytest.mark.parametrize("inline", [0, 1, 1000, 1 << 20])
def test_every_range(inline: int, path: Path) -> None:
    """Any range of a stream, or of both in the order they came, also where the run has ended."""
    output = Output(inline)
    executions, runs = Executions(path, inline_bytes=inline), Runs(path)
    executions.begin(execution(RUN))
    for _ in range(4):
        executions.append(RUN, output.some(12), None)
    executions.append(RUN, [output.print(b"y" * 300_000)], None)
    executions.append(RUN, output.some(12), None)

    for ended in (False, True):
        if ended:
            executions.finish(RUN, ended_at=1002.5, exit_code=0)
        for stream in (None, "stdout", "stderr"):
            printed = output.of(stream)
            assert printed == joined(runs.read(RUN, stream))
            for _ in range(15):
                first = output.chance.randrange(len(printed))
                last = output.chance.randrange(first, len(printed) + 9)
                assert printed[first:last] == joined(runs.read(RUN, stream, first, last))
            assert b"" == joined(runs.read(RUN, stream, len(printed)))


def test_a_part_tells_its_stream_and_place(path: Path) -> None:
    """What is read of both streams can be told apart."""
    output = Output()
    executions = Executions(path)
    executions.begin(execution(RUN))
    executions.append(RUN, [output.print(b"ab"), output.print(b"c", "stderr")], None)
    executions.append(RUN, [output.print(b"d")], None)
    expected = [("stdout", 0, b"ab"), ("stderr", 2, b"c"), ("stdout", 3, b"d")]

    assert expected == list(Runs(path).read(RUN))
    executions.finish(RUN, ended_at=1002.5, exit_code=0)
    assert expected == list(Runs(path).read(RUN))


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("end", ["", "\n", "no end"])
def test_the_last_lines(end: str, ended: bool, path: Path) -> None:
    """The last lines begin at a place, whatever lies there and wherever they are stored."""
    output = Output()
    executions, runs = Executions(path, inline_bytes=500), Runs(path)
    executions.begin(execution(RUN))
    for number in range(0, 200, 50):
        executions.append(
            RUN,
            [
                output.print(f"line {at}\n".encode(), ("stdout", "stderr")[at % 3 == 0])
                for at in range(number, number + 50)
            ],
            None,
        )
    executions.append(RUN, [output.print(end.encode())], None)
    if ended:
        executions.finish(RUN, ended_at=1002.5, exit_code=0)

    run = runs.find(RUN)
    for stream in (None, "stdout", "stderr"):
        for count in (1, 2, 60, 100, 1000):
            printed = output.of(stream)
            assert lines(printed, count) == printed[runs.tail(run, stream, count) :]


def test_the_last_lines_of_nothing(path: Path) -> None:
    """A run that has printed nothing yet has none."""
    Executions(path).begin(execution(RUN))

    assert 0 == Runs(path).tail(Runs(path).find(RUN), None, 100)


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from outputs import Output, execution
from logbatch.storage.executions import Executions
executions = Executions(Path(sys.argv[1]), inline_bytes=700, patience=60)
executions.begin(execution("a"))
output = Output(5)
print("begun", flush=True)
for _ in range(12):
    executions.append("a", output.some(4), None)
sys.stdin.read()
executions.append("a", output.some(4), None)
executions.finish("a", ended_at=1002.5, exit_code=0)
"""


def test_following_another_process(path: Path) -> None:
    """A reader sees what another process writes until it ends, and both go on meanwhile."""
    command = [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parents[1])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert b"begun\n" == writer.stdout.readline()
        expected = Output(5)
        for _ in range(12):
            expected.some(4)
        size = len(expected.all)
        found = bytearray()
        for part in Runs(path).follow("a", wait=threading.Event().wait):
            found += part.data
            if len(found) == size and not writer.stdin.closed:
                assert Runs(path).find("last").is_live
                writer.stdin.close()
        assert 0 == writer.wait()

    expected.some(4)
    assert expected.all == found


def test_a_reader_in_the_middle_keeps_nobody_waiting(path: Path) -> None:
    """While output is read, more is written, and the log beside the file is taken into it."""
    output = Output()
    executions = Executions(path, patience=0.0)
    executions.begin(execution(RUN))
    executions.append(RUN, [output.print(b"x" * 100_000)] * 1, None)
    reading = Runs(path).read(RUN)
    first = next(reading)
    executions.append(RUN, [output.print(b"y" * 3_000_000)], None)
    with closing(sqlite3.connect(path, timeout=0)) as other:
        blocked, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    assert 0 == blocked
    assert output.all == first.data + joined(reading)


# ------------------------------------------------------------------ what became of it


def test_what_became_of_runs(path: Path) -> None:
    """Each run has a status, whoever recorded it."""
    executions = Executions(path)
    here = Owner.this_process()
    with child(lambda: None) as gone:
        gone.wait()
    owners = {
        "running": here,
        "exit 3": here,
        "SIGKILL": here,
        "signal 63": here,
        "lost": here._replace(started="1"),
        "elsewhere": here._replace(host="web-9"),
    }
    for number, (name, owner) in enumerate(owners.items()):
        executions.begin(execution(name, at=float(number)), owner)
    executions.finish("exit 3", ended_at=9.0, exit_code=3)
    executions.finish("SIGKILL", ended_at=9.0, exit_code=-9)
    executions.finish("signal 63", ended_at=9.0, exit_code=-63)
    executions.begin(execution("found to be lost", at=7.0))
    executions.finish("found to be lost", ended_at=9.0, exit_code=None)
    found = {run.id: run.outcome for run in Runs(path).newest()}

    assert {**{name: name for name in owners}, "found to be lost": "lost"} == found
    assert ["elsewhere", "running"] == [run.id for run in Runs(path).live(5)]
    assert ["elsewhere"] == [run.id for run in Runs(path).live(1)]


def test_a_run_whose_process_was_killed_is_lost(path: Path) -> None:
    """As soon as the process that records it is gone."""

    def begin() -> None:
        Executions(path).begin(execution(RUN))

    with child(begin) as process:
        process.wait()
    run = Runs(path).find(RUN)

    assert ("lost", False, None) == (run.status, run.is_live, run.exit_code)


def test_finding_a_run(path: Path) -> None:
    """By its id, the beginning of it, or as the newest one."""
    executions, runs = Executions(path), Runs(path)
    for name, at in ((RUN, 2.0), (OTHER, 1.0), ("b", 0.0), ("bc", 0.0)):
        executions.begin(execution(name, at=at))

    assert RUN == runs.find("last").id
    assert OTHER == runs.find(OTHER).id
    assert "b" == runs.find("b").id
    assert "bc" == runs.find("bc").id
    with pytest.raises(DatasetError, match=f"01k is the beginning of several runs: {RUN}, "):
        runs.find("01k")
    with pytest.raises(DatasetError, match="holds no run x"):
        runs.find("x")
    assert [RUN, "b"] == runs.shorten([RUN, "b"], 1)
    assert runs.get("01k") is None


def test_many_runs(path: Path) -> None:
    """They come newest first, in pages; what is long in a row is not touched for that."""
    executions = Executions(path)
    executions.begin(execution("first", at=1000.0))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO executions (id, command, started_at, stdout) VALUES (?, 'x', ?, 'y')",
            [(f"run {number:04}", to_moment(number // 3)) for number in range(1200)],
        )
    runs = Runs(path)
    found = [run.id for run in runs.newest()]

    assert ["first", *(f"run {number:04}" for number in reversed(range(1200)))] == found
    assert found[:600] == [run.id for run in runs.newest(600)]
    assert (7, 1201) == (runs.count(7), runs.count(10_000))
    (plan,) = query(
        path,
        "EXPLAIN QUERY PLAN SELECT id, command, started_at, ended_at, exit_code, stdout_size,"
        " stderr_size, output_truncated, progress, last_output_at, host, pid, owner"
        " FROM executions WHERE (started_at, id) < (1, 'a') ORDER BY started_at DESC, id DESC",
    )
    assert "USING COVERING INDEX executions_by_time" in plan[3]


def test_no_file(path: Path) -> None:
    """Where nothing was recorded, there is nothing."""
    runs = Runs(path)

    assert [] == list(runs.newest())
    assert ([], 0, None) == (runs.live(5), runs.count(5), runs.get(RUN))
    with pytest.raises(DatasetError, match="holds no runs"):
        runs.find("last")
    path.touch()
    assert [] == list(runs.newest())


def test_a_damaged_file(path: Path) -> None:
    """It is said, and what will become of it; a reader leaves it as it is."""
    path.write_bytes(b"no database" * 100)

    with pytest.raises(DatasetError, match=r"is damaged .*; the next run sets it aside"):
        list(Runs(path).newest())
    assert b"no database" * 100 == path.read_bytes()


def test_a_run_that_is_followed_and_goes_away(path: Path) -> None:
    """Where the file is set aside, whoever follows is told."""
    Executions(path).begin(execution(RUN))

    with pytest.raises(DatasetError, match="any more"):
        list(Runs(path).follow(RUN, wait=lambda _seconds: path.unlink()))
