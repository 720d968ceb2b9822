"""The commands as processes: on a terminal, in a pipe, followed, interrupted, cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import warm
from make import event, publish_events
from terminals import COLOURS, command, environment, on_terminal

NASTY = "a\x1b]0;title\x07b\u202ec\x9b2Jd"
ESCAPED = r"a\x1b]0;title\x07b\u202ec\x9b2Jd"


def write(directory: Path, *messages: str) -> None:
    """Publish events as one process."""
    publish_events(directory, *(event(each, level="ERROR", levelno=40) for each in messages))


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `logbatch` with its output in a pipe."""
    pipe = subprocess.PIPE
    with warm.Popen(
        command(*arguments), stdout=pipe, stderr=pipe, text=True, env=environment()
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_colours_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal a record is coloured; its own text does nothing there."""
    write(tmp_path / "logs", NASTY)
    shown = on_terminal("tail", "logs")

    assert "\x1b[1;31mERROR" in shown
    assert f"2026-11-21T10:00:00.123Z ERROR    app  {ESCAPED}\n" == COLOURS.sub("", shown)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"}), (("--color", "never"), {})],
)
def test_no_colours(arguments: tuple[str, ...], settings: dict[str, Any], tmp_path: Path) -> None:
    """Where colours are not wanted, not one escape sequence is written."""
    write(tmp_path / "logs", NASTY)
    shown = on_terminal("tail", "logs", *arguments, **settings)

    assert f"2026-11-21T10:00:00.123Z ERROR    app  {ESCAPED}\n" == shown


def test_colours_in_a_pipe_when_asked(tmp_path: Path) -> None:
    """`--color always` colours a pipe too, for a pager."""
    write(tmp_path / "logs", "x")
    arguments = command("tail", "logs", "--color", "always")
    done = warm.run(arguments, capture_output=True, text=True, check=True)

    assert "\x1b[1;31mERROR" in done.stdout


def test_a_long_line_is_left_to_the_terminal(tmp_path: Path) -> None:
    """A long record is one line, so that it is copied and searched as one."""
    write(tmp_path / "logs", "x" * 500)

    assert len(on_terminal("tail", "logs").splitlines()) == 1


def test_csv_on_a_terminal_is_escaped(tmp_path: Path) -> None:
    """CSV is exact in a pipe; on a terminal it does nothing there."""
    write(tmp_path / "logs", NASTY)
    arguments = ("query", "logs", "SELECT message FROM logs", "--format", "csv")
    piped = warm.run(command(*arguments), capture_output=True, check=True).stdout

    assert f"message\n{ESCAPED}\n" == on_terminal(*arguments)
    assert f"message\n{NASTY}\n".encode() == piped


def test_a_row_that_is_too_wide_for_the_terminal(tmp_path: Path) -> None:
    """A table with more columns than fit is written row by row."""
    write(tmp_path / "logs", "hello")
    lines = on_terminal("query", "logs", "FROM logs", "--color", "never").splitlines()

    assert "row 1" == lines[0].rstrip()
    assert ["message", "hello"] in [line.split() for line in lines]
    assert max(map(len, lines)) <= 80


def test_parquet_is_not_for_a_terminal(tmp_path: Path) -> None:
    """Binary data goes into a pipe or a file only."""
    write(tmp_path / "logs", "x")
    arguments = command("query", "logs", "SELECT 1 AS n", "--format", "parquet")
    piped = warm.run(arguments, capture_output=True, check=True).stdout

    assert piped.startswith(b"PAR1")
    with pytest.raises(AssertionError, match="Parquet is not for a terminal"):
        on_terminal("query", "logs", "SELECT 1 AS n", "--format", "parquet")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_stats_fit_the_terminal(width: int, tmp_path: Path) -> None:
    """The picture is as wide as the terminal, and no wider."""
    write(tmp_path / "logs", *["x" * 200] * 50)
    shown = on_terminal("stats", "logs", size=(24, width))

    assert "\x1b[31m" in shown
    assert max(len(line) for line in COLOURS.sub("", shown).splitlines()) <= width


@pytest.mark.parametrize("arguments", [["stats", "logs"], ["tail", "logs"]])
def test_a_terminal_without_blocks(arguments: list[str], tmp_path: Path) -> None:
    """Where the encoding has no blocks and no letters of the log, ASCII stands for them."""
    write(tmp_path / "logs", "é")
    settings = environment(PYTHONIOENCODING="ascii")
    done = warm.run(command(*arguments), capture_output=True, check=True, env=settings)

    assert done.stdout.isascii()
    assert b"\\xe9" in done.stdout
    assert b"\\u" not in done.stdout


def test_json_is_utf8_everywhere(tmp_path: Path) -> None:
    """What programs read is UTF-8, whatever the locale."""
    write(tmp_path / "logs", "é")
    settings = environment(PYTHONIOENCODING="latin-1")
    arguments = command("tail", "logs", "--json")
    done = warm.run(arguments, capture_output=True, check=True, env=settings)

    assert json.loads(done.stdout.decode("utf-8"))["message"] == "é"


def test_following_in_a_pipe(tmp_path: Path) -> None:
    """With `-f` each record is written at once, in a pipe too; Ctrl-C ends it."""
    write(tmp_path / "logs", "before", "last")
    with running("tail", "-f", "logs", "-n", "1", "--json") as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["message"] == "last"
        write(tmp_path / "logs", "after")
        assert json.loads(child.stdout.readline())["message"] == "after"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)

    assert ("", "\n", 130) == (out, err, child.returncode)


def test_following_what_is_not_there_yet(tmp_path: Path) -> None:
    """`tail -f` waits for its directory, says so, and then shows all that comes."""
    with running("tail", "-f", "logs", "-n", "1", "--json") as child:
        assert child.stdout is not None and child.stderr is not None
        said = child.stderr.readline()
        write(tmp_path / "logs", "first", "second")
        shown = [json.loads(child.stdout.readline())["message"] for _ in range(2)]
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)

    assert "logs is not there yet; waiting for it, Ctrl-C ends that\n" == said
    assert ["first", "second"] == shown
    assert 130 == child.returncode


def test_a_long_query_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends a query that runs for long."""
    write(tmp_path / "logs", "x")
    sql = "SELECT sum(hash(n)) FROM range(1000000000000) AS t(n)"
    with running("query", "logs", sql, "--timeout", "20") as child:
        process = psutil.Process(child.pid)
        while process.cpu_times().user < 1.2:  # by then it is the query that works
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.05)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)

    assert ("", "\n", 130) == (out, err, child.returncode)


@pytest.mark.parametrize(
    "arguments",
    [
        ["tail", "logs", "-n", "all"],
        ["tail", "logs", "-n", "all", "--color", "always"],
        ["query", "logs", "SELECT message FROM logs", "--max-rows", "0"],
        ["query", "logs", "FROM logs", "--format", "csv"],
        ["query", "logs", "SELECT hash(n) AS n FROM range(300000) AS t(n)", "--format", "parquet"],
    ],
)
def test_a_closed_pipe_is_no_failure(arguments: list[str], tmp_path: Path) -> None:
    """When the reader goes away (`| head`), the command ends without a word."""
    write(tmp_path / "logs", *["x" * 100] * 5_000)
    with running(*arguments) as child:
        assert child.stdout is not None
        assert os.read(child.stdout.fileno(), 10)
        child.stdout.close()
        assert child.stderr is not None
        said = child.stderr.read()

    assert ("", 141) == (said, child.returncode)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """A file that cannot be read is named on stderr, safely, and the rest is shown."""
    write(tmp_path / "logs", "x")
    [folder] = (tmp_path / "logs").glob("date=*")
    (folder / "odd\x1b[2J.parquet").touch()
    done = warm.run(command("tail", "logs"), capture_output=True, text=True, check=True)

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.startswith("Warning: ")
    assert r"odd\x1b[2J.parquet" in done.stderr
    assert len(done.stderr.splitlines()) == 1
