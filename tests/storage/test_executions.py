"""The record of runs as rows of SQLite: what is where, once, and at a cost that stays the same."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import outputs
import pytest
from children import child
from outputs import Output, execution, joined, query
from waiting import wait_until

from logbatch.capture.chunk import Chunk
from logbatch.capture.runs import Runs
from logbatch.storage.executions import Executions, from_moment, to_moment
from logbatch.storage.sqlite import DamagedError, LockedError

RUN = "01kb4zd8x0000000000000000a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record is."""
    return tmp_path / "runs.db"


@pytest.fixture
def begun(path: Path) -> Executions:
    """A record in which a run has begun; 100 bytes of each stream will stand in its row."""
    executions = Executions(path, inline_bytes=100)
    executions.begin(execution(RUN))
    return executions


def row(path: Path) -> dict[str, object]:
    """The row of the run."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM executions").fetchone())


def chunks(path: Path) -> list[tuple[object, ...]]:
    """The chunks, in their order."""
    return query(
        path, "SELECT chunk_index, stream, text FROM execution_output_chunks ORDER BY chunk_index"
    )


def test_the_tables(begun: Executions, path: Path) -> None:
    """The columns are those that are documented, and there is an index to find a chunk by."""
    (executions,) = query(path, "SELECT group_concat(name) FROM pragma_table_info('executions')")
    (pieces,) = query(
        path, "SELECT group_concat(name) FROM pragma_table_info('execution_output_chunks')"
    )

    assert executions[0].startswith(
        "id,command,started_at,ended_at,exit_code,stdout,stderr,stdout_size,stderr_size,"
        "output_truncated,progress,last_output_at,host,pid,"
    )
    assert pieces[0].startswith("execution_id,chunk_index,stream,text,timestamp,")
    sql = "EXPLAIN QUERY PLAN SELECT * FROM execution_output_chunks WHERE execution_id = 1 AND"
    (plan,) = query(path, f"{sql} chunk_index = 2")
    assert "INDEX" in plan[3]
    assert "wal" == query(path, "PRAGMA journal_mode")[0][0]


def test_a_run_that_goes_on(begun: Executions, path: Path) -> None:
    """What is printed is in chunks; the row says how much it is, and that it is not in the row."""
    output = Output()
    begun.append(RUN, [output.print(b"one\n"), output.print(b"two\n", "stderr")], "3/10")
    begun.append(RUN, [output.print(b"three\n")], None)
    found = row(path)

    assert [(0, "stdout", "one\n"), (1, "stderr", "two\n"), (2, "stdout", "three\n")] == (
        chunks(path)
    )
    assert (10, 4, 1, "3/10", to_moment(output.time), None, None) == tuple(
        found[name]
        for name in (
            *("stdout_size", "stderr_size", "output_truncated", "progress"),
            *("last_output_at", "ended_at", "exit_code"),
        )
    )
    assert ("make all", "1970-01-01 00:16:40.000000", "web-1", 4711) == (
        found["command"],
        found["started_at"],
        found["host"],
        found["pid"],
    )


def test_little_output_is_in_the_row(begun: Executions, path: Path) -> None:
    """At the end it stands in the row, as text; no chunk is left."""
    output = Output()
    begun.append(RUN, [output.print(b"one\n"), output.print("zwei €\n".encode(), "stderr")], None)
    begun.append(RUN, [output.print(b"three\n")], None)
    begun.finish(RUN, ended_at=1002.5, exit_code=3)
    found = row(path)

    assert ("one\nthree\n", "zwei €\n", 0) == (
        found["stdout"],
        found["stderr"],
        found["output_truncated"],
    )
    assert ("1970-01-01 00:16:42.500000", 3) == (found["ended_at"], found["exit_code"])
    assert [] == chunks(path)
    assert output.all == joined(Runs(path).read(RUN))


def test_much_output_goes_on_in_chunks(begun: Executions, path: Path) -> None:
    """The first bytes are in the row, the rest is in chunks, and nothing is there twice."""
    output = Output()
    for _ in range(4):
        begun.append(RUN, [output.print(b"x" * 59 + b"\n"), output.print(b"e\n", "stderr")], None)
    begun.finish(RUN, ended_at=1002.5, exit_code=0)
    found = row(path)

    assert output.streams["stdout"][:100].decode() == found["stdout"]
    assert ("e\n" * 4, 1) == (found["stderr"], found["output_truncated"])
    assert [20, 60, 60] == [len(str(text)) for _, _, text in chunks(path)]
    assert output.all == joined(Runs(path).read(RUN))


def test_a_run_without_output(begun: Executions, path: Path) -> None:
    """Its output is empty, which is not unknown."""
    begun.finish(RUN, ended_at=1002.5, exit_code=0)

    assert ("", "", 0) == query(path, "SELECT stdout, stderr, output_truncated FROM executions")[0]


@pytest.mark.parametrize("data", [b"a\0b" * 60, b"\xff" * 150, b"\xe2\x82" * 80])
def test_bytes_that_are_no_text(data: bytes, begun: Executions, path: Path) -> None:
    """They are stored as they are."""
    begun.append(RUN, [Output().print(data)], None)
    begun.finish(RUN, ended_at=1002.5, exit_code=0)

    assert data[:100] == row(path)["stdout"]
    assert data == joined(Runs(path).read(RUN))


def test_no_character_is_cut(begun: Executions, path: Path) -> None:
    """Where the limit is inside a character, that stands in the chunk."""
    output = Output()
    begun.append(RUN, [output.print("€".encode() * 20)], None)
    begun.append(RUN, [output.print(b"\xe2"), output.print(b"\x82")], None)  # one, in three pieces
    begun.append(RUN, [output.print(b"\xac" + "€".encode() * 20)], None)
    begun.finish(RUN, ended_at=1002.5, exit_code=0)

    assert "€" * 33 == row(path)["stdout"]
    assert ["€" * 8] == [text for _, _, text in chunks(path)]
    assert output.all == joined(Runs(path).read(RUN))


def test_words_that_are_no_text(path: Path) -> None:
    """A command or a progress with bytes of no character is stored, with those escaped."""
    executions = Executions(path)
    executions.begin(execution(RUN, "cat \udcff"))
    executions.append(RUN, [], "\ud800 50%")

    assert ("cat \\udcff", "\\ud800 50%") == query(
        path, "SELECT command, progress FROM executions"
    )[0]


def test_what_comes_twice_is_stored_once(begun: Executions, path: Path) -> None:
    """What lies before the position in the spool is left out, also by another process."""
    output = Output()
    first, second, third = (output.print(word) for word in (b"one\n", b"two\n", b"three\n"))
    begun.append(RUN, [first, second], None)
    Executions(path).append(RUN, [first, second, third], None)
    begun.append(RUN, [third._replace(end=third.end + 1)], None)  # its place in the stream counts

    assert third.end + 1 == begun.position(RUN)
    assert output.all == joined(Runs(path).read(RUN))


def test_the_first_end_counts(begun: Executions, path: Path) -> None:
    """Whoever finds a run that has ended later does not take it for lost."""
    begun.finish(RUN, ended_at=1002.5, exit_code=0)
    again = Executions(path)
    again.begin(execution(RUN, at=5.0))
    again.finish(RUN, ended_at=2000.0, exit_code=None)

    assert (to_moment(1000.0), to_moment(1002.5), 0) == query(
        path, "SELECT started_at, ended_at, exit_code FROM executions"
    )[0]


def test_a_run_that_nobody_knows(path: Path) -> None:
    """It is at its beginning, and cannot be continued."""
    executions = Executions(path)

    assert 0 == executions.position(RUN)
    with pytest.raises(LookupError, match=RUN):
        executions.append(RUN, [], None)


def test_a_gap(begun: Executions, path: Path) -> None:
    """Where the spool has lost something, the rest keeps its place."""
    output = Output()
    one, _, three = (output.print(word) for word in (b"one\n", b"two\n", b"three\n"))
    begun.append(RUN, [one], None)
    begun.append(RUN, [three], None)
    begun.finish(RUN, ended_at=1002.5, exit_code=0)

    assert ("one\n", 14, 1) == query(
        path, "SELECT stdout, stdout_size, output_truncated FROM executions"
    )[0]
    for stream in (None, "stdout"):
        assert [(0, b"one\n"), (8, b"three\n")] == [
            (part.place, part.data) for part in Runs(path).read(RUN, stream)
        ]
        assert b"ee\n" == joined(Runs(path).read(RUN, stream, 11))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1795857282.650441, "2026-11-28 09:14:42.650441"),
        (-1.5, "1969-12-31 23:59:58.500000"),
        (1e18, "9999-12-31 23:59:59.999999"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    """They are texts that sort, and that SQLite's functions take; a clock may show anything."""
    assert text == to_moment(seconds)
    assert text == to_moment(from_moment(text)) or seconds > 1e12
    assert len("1970-01-01 00:00:00.000000") == len(to_moment(0))


# ------------------------------------------------------------------ other programs


def test_a_locked_file_delays(begun: Executions, path: Path) -> None:
    """What could not be written is written later, once."""
    output = Output()
    piece = output.print(b"one\n")
    hasty = Executions(path, patience=0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match="locked"):
            hasty.append(RUN, [piece], None)
        assert b"" == joined(Runs(path).read(RUN))  # a reader does not wait
        other.execute("COMMIT")
    begun.append(RUN, [piece], None)

    assert output.all == joined(Runs(path).read(RUN))


def test_a_damaged_file_is_set_aside(begun: Executions, path: Path) -> None:
    """The run goes on in a new file, with its place in the spool and in its streams."""
    output = Output()
    begun.append(RUN, [output.print(b"one\n"), output.print(b"two\n", "stderr")], None)
    path.write_bytes(b"no database" * 100)
    rest = [output.print(b"three\n")]
    with pytest.raises(DamagedError, match=r"set aside as runs\.db\.damaged-"):
        begun.append(RUN, rest, None)
    begun.append(RUN, rest, "3/3")
    begun.finish(RUN, ended_at=1002.5, exit_code=0)
    found = row(path)

    assert rest[-1].end == begun.position(RUN)
    assert ("make all", 10, 4, "3/3", 1) == tuple(
        found[name]
        for name in ("command", "stdout_size", "stderr_size", "progress", "output_truncated")
    )
    assert [(8, b"three\n")] == [(part.place, part.data) for part in Runs(path).read(RUN)]
    assert b"no database" * 100 == next(path.parent.glob("runs.db.damaged-*")).read_bytes()


def test_several_runs_at_once(path: Path) -> None:
    """Processes write to one file at the same time, each its own run."""
    runs = [f"{RUN[:-1]}{letter}" for letter in "abcd"]

    def write(run_id: str, seed: int) -> None:
        executions = Executions(path, inline_bytes=1000, patience=60)
        executions.begin(execution(run_id))
        output = Output(seed)
        for _ in range(5):
            executions.append(run_id, output.some(3), None)
        executions.finish(run_id, ended_at=1002.5, exit_code=seed)

    def writer(run_id: str, seed: int) -> Callable[[], None]:
        return lambda: write(run_id, seed)

    with (
        child(writer(runs[0], 0)) as a,
        child(writer(runs[1], 1)) as b,
        child(writer(runs[2], 2)) as c,
        child(writer(runs[3], 3)) as d,
    ):
        for process in (a, b, c, d):
            process.wait()

    for seed, run_id in enumerate(runs):
        expected = Output(seed)
        for _ in range(5):
            expected.some(3)
        found = Runs(path).find(run_id)
        assert seed == found.exit_code
        assert expected.all == joined(Runs(path).read(run_id))


def test_killed_at_any_instant(path: Path) -> None:
    """Whoever takes over goes on behind what is stored: all is there once."""
    output = Output(7)
    pieces = output.some(120)
    chance = random.Random(3)
    Executions(path, inline_bytes=2000).begin(execution(RUN))

    def write(most: int) -> None:
        """Go on for so many pieces at most: no life is to do it all before it can be killed."""
        executions = Executions(path, inline_bytes=2000)
        at = _behind(pieces, executions.position(RUN))
        most += at
        while at < len(pieces):
            if at > most:
                signal.pause()
            executions.append(RUN, pieces[max(at - 1, 0) : at + 5], f"{at}")
            at += 5
        executions.finish(RUN, ended_at=1002.5, exit_code=0)

    lives = 0
    while Runs(path).find(RUN).ended_at is None:
        lives += 1
        more = chance.randrange(1, 30)
        goal = min(stored(path, pieces) + more, len(pieces))
        with child(partial(write, more + 20)) as process:
            wait_until(partial(is_stored, path, pieces, goal))
            time.sleep(chance.random() / 500)  # at any instant of what it does next
            process.kill()

    assert lives > 1
    assert output.all == joined(Runs(path).read(RUN))
    assert [len(output.streams[name]) for name in ("stdout", "stderr")] == [
        *query(path, "SELECT stdout_size, stderr_size FROM executions")[0]
    ]


def _behind(pieces: list[Chunk], position: int) -> int:
    """Count the pieces that lie before a position."""
    return sum(piece.end <= position for piece in pieces)


def stored(path: Path, pieces: list[Chunk]) -> int:
    """Count the pieces that are stored."""
    run = Runs(path).find(RUN)
    sizes = {"stdout": run.stdout_size, "stderr": run.stderr_size}
    return sum(piece.offset + len(piece.data) <= sizes[piece.stream] for piece in pieces)


def is_stored(path: Path, pieces: list[Chunk], goal: int) -> bool:
    """Return whether so many pieces are stored."""
    return stored(path, pieces) >= goal


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from outputs import Output, execution
from logbatch.storage.executions import Executions
from pathlib import Path
executions = Executions(Path(sys.argv[1]))
executions.begin(execution("a"))
output = Output()
def written():
    with open("/proc/self/io") as file:
        return int(file.read().split()[3])
def append(pieces):
    before = written()
    executions.append("a", [output.print(b"x" * 9999 + b"\\n") for _ in range(pieces)], "1%")
    return written() - before
early = sorted(append(1) for _ in range(9))[4]
for _ in range(10):
    append(100)
print(early, sorted(append(1) for _ in range(9))[4])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process writes")
def test_appending_costs_the_same_whatever_is_there(path: Path) -> None:
    """As many bytes are written for a piece of 10 kB behind 10 MB as at the beginning."""
    command = [sys.executable, "-c", WRITER, str(path), str(Path(outputs.__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    early, late = map(int, done.stdout.split())

    assert late < early * 1.3
