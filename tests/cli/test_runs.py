"""`logbatch runs`: the table, JSON, and what a run printed, in a pipe and on a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import warm
from children import child
from outputs import Output, execution
from terminals import COLOURS, command, environment, on_terminal
from waiting import wait_until

from logbatch.capture.runs import Runs
from logbatch.cli import main
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Executions
from logbatch.storage.sqlite import writing

START = datetime(2026, 11, 21, 10, 0, 3, tzinfo=UTC).timestamp()
IDS = [f"01kb4zd8x{number}000000000000000a" for number in range(6)]
NASTY = b"a\x1b]0;title\x07\tb\xe2\x80\xaec\rd\r\n\xff\\x1b\n"
SHOWN = "a\\x1b]0;title\\x07\tb\\u202ec\\rd\n\\udcff\\\\x1b\n"


@pytest.fixture
def logs(tmp_path: Path) -> Executions:
    """The record of a directory `logs`."""
    return Executions(tmp_path / "logs" / "runs.db", inline_bytes=1000)


def record(logs: Executions, number: int, text: str = "make all", **more: Any) -> str:
    """Record a run of a minute that began so many minutes after the others."""
    begin = START + 60 * number
    logs.begin(execution(IDS[number], text, begin), more.get("owner"))
    output = Output()
    logs.append(IDS[number], [output.print(b"x" * 1234), output.print(b"y", "stderr")], None)
    if progress := more.get("progress"):
        logs.append(IDS[number], [], progress)
    if "exit_code" in more:
        logs.finish(IDS[number], ended_at=begin + 65.3, exit_code=more["exit_code"])
    return IDS[number]


def record_all(logs: Executions) -> None:
    """Record a run of each kind."""
    here = Owner.this_process()
    record(logs, 0, "make \x1b[31m" + "all " * 40, exit_code=0, progress="100%")
    record(logs, 1, exit_code=2, progress="42%")
    record(logs, 2, exit_code=-9)
    record(logs, 3, owner=here._replace(host="web-9"))
    record(logs, 4, owner=here._replace(started="1"), progress="a long text of progress, 3/10")
    record(logs, 5, "python train.py", progress="3/10 \x1b[2J")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run `logbatch runs …`, which succeeds; return its lines."""
    assert main(["runs", *arguments]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_the_table(logs: Executions, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, with what became of each; nothing in it drives the terminal."""
    record_all(logs)
    head, *rows = shown(capsys, "logs")
    words = [row.split() for row in rows]

    assert ["run", "status", "began", "took", "output", "command"] == head.split()
    assert [name[:10] for name in reversed(IDS)] == [row[0] for row in words]
    assert ["running", "3/10", r"\x1b[2J", "2026-11-21", "10:05"] == words[0][1:6]
    assert "lost a long text of … 2026-11-21 10:04 0.0 s 1.2 kB make all" in " ".join(words[1])
    assert "elsewhere  " in rows[2]
    assert "SIGKILL  " in rows[3]
    assert "exit 2 42%  " in rows[4]
    assert rows[5].endswith(r"1:05 min  1.2 kB  make \x1b[31m" + ("all " * 40).rstrip())
    assert "100%" not in rows[5]


def test_the_table_on_a_terminal(logs: Executions) -> None:
    """In colour, and cut to its width."""
    record_all(logs)
    text = on_terminal("runs", "logs")

    assert "\x1b[1;36mrunning" in text
    assert "\x1b[32mexit 0" in text
    assert "\x1b[31mSIGKILL" in text
    lines = COLOURS.sub("", text).splitlines()
    assert (7, 80) == (len(lines), max(map(len, lines)))
    assert lines[-1].endswith("…")
    narrow = COLOURS.sub("", on_terminal("runs", "logs", size=(24, 40))).splitlines()
    assert [IDS[2][:10], "SIGKILL", "make"] == re.split(r"\W+", narrow[4])[:3]
    assert max(map(len, narrow)) == 40


def test_today_is_not_said(logs: Executions, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run that began today only the time is shown."""
    now = datetime.now(UTC)
    logs.begin(execution("a", at=now.timestamp()))
    (row,) = shown(capsys, "logs")[1:]

    assert row.split()[2] == f"{now:%H:%M:%S}" or datetime.now(UTC).date() != now.date()


def test_the_newest(logs: Executions, capsys: pytest.CaptureFixture[str]) -> None:
    """Old runs are left out, and counted; what still goes on is never left out."""
    record_all(logs)
    assert main(["runs", "logs", "-n", "1"]) == 0
    done = capsys.readouterr()

    assert [IDS[5][:10], IDS[3][:10]] == [row.split()[0] for row in done.out.splitlines()[1:]]
    assert "and 4 more; --number all shows all\n" == done.err
    assert 7 == len(shown(capsys, "logs", "-n", "all"))


def test_ids_that_begin_alike(logs: Executions, capsys: pytest.CaptureFixture[str]) -> None:
    """As much of an id is shown as tells it from the others."""
    for end in "ab":
        logs.begin(execution(f"01kb4zd8x0000000{end}"))
    rows = shown(capsys, "logs")[1:]

    assert ["01kb4zd8x0000000b", "01kb4zd8x0000000a"] == [row.split()[0] for row in rows]


def test_json(logs: Executions, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, all runs, with exact values."""
    record_all(logs)
    found = [json.loads(line) for line in shown(capsys, "logs", "--json")]

    assert [*reversed(IDS)] == [each["id"] for each in found]
    assert {
        "id": IDS[2],
        "command": "make all",
        "status": "killed",
        "started_at": "2026-11-21T10:02:03.000000Z",
        "ended_at": "2026-11-21T10:03:08.300000Z",
        "exit_code": -9,
        "stdout_size": 1234,
        "stderr_size": 1,
        "output_truncated": True,
        "progress": None,
        "last_output_at": "1970-01-01T00:16:40.020000Z",
        "host": "web-1",
        "pid": 4711,
        "signal": "SIGKILL",
    } == found[3]


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory in which nothing was run says so."""
    (tmp_path / "logs").mkdir()

    assert ["no runs"] == shown(capsys, "logs")
    assert [] == shown(capsys, "logs", "--json")


def test_the_default_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without DIR, it is where `logbatch run` writes, also where logs go to a URL."""
    monkeypatch.setenv("LOGBATCH_TRANSPORT", f"parquet:{tmp_path}/mine")
    record(Executions(tmp_path / "mine" / "runs.db"), 0, exit_code=0)
    assert 2 == len(shown(capsys))

    monkeypatch.setenv("LOGBATCH_TRANSPORT", "http://127.0.0.1:9/")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record(Executions(tmp_path / "logbatch" / "log" / "runs.db"), 0, exit_code=0)
    record(Executions(tmp_path / "logbatch" / "log" / "runs.db"), 1, exit_code=0)
    assert 3 == len(shown(capsys))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "Error: there is no directory nowhere\n"),
        (["show", "nowhere", "last"], 1, "Error: there is no directory nowhere\n"),
        (["show", "logs", "zz"], 1, "Error: logs/runs.db holds no run zz\n"),
        (["show", "logs", "01"], 1, f"Error: 01 is the beginning of several runs: {IDS[0]}, "),
        (["logs", "-n", "0"], 2, "'0' is neither a number from 1 on nor all"),
        (["show"], 2, "Missing argument '[DIR] ID'"),
        (["show", "a", "b", "c"], 2, "expected [DIR] ID, got 3 arguments"),
        (["show", "logs", "last", "--range", "5"], 2, "'5' is no range of bytes such as 0:1000"),
        (["show", "logs", "last", "--range", "0:", "--tail"], 2, "cannot be used together"),
    ],
)
def test_what_goes_wrong(
    arguments: list[str],
    code: int,
    message: str,
    logs: Executions,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said in a sentence, with the exit code of its kind."""
    record(logs, 0)
    record(logs, 1)

    assert code == main(["runs", *arguments])
    assert message in capsys.readouterr().err


def test_help_of_show_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a command of its own, with examples."""
    lines = shown(capsys, "show", "--help")

    assert "Usage: logbatch runs show [OPTIONS] [DIR] ID" == lines[0]
    assert "    logbatch runs show logs last" in lines
    assert [line for line in lines if len(line) > 80] == []


# ------------------------------------------------------------------ what it printed


def show(*arguments: str) -> bytes:
    """Run `logbatch runs show logs …` with its output in a pipe."""
    line = command("runs", "show", "logs", *arguments)
    done = subprocess.run(line, capture_output=True, check=True, env=environment())
    assert b"" == done.stderr
    return done.stdout


def printed(logs: Executions, *pieces: bytes, exit_code: int | None = None) -> Output:
    """Record a run that printed these, to its two streams in turn."""
    output = Output()
    logs.begin(execution(IDS[0]))
    chunks = [output.print(data, ("stdout", "stderr")[at % 2]) for at, data in enumerate(pieces)]
    logs.append(IDS[0], chunks, None)
    if exit_code is not None:
        logs.finish(IDS[0], ended_at=1002.5, exit_code=exit_code)
    return output


def test_output_to_a_pipe(logs: Executions) -> None:
    """Byte for byte, all of it, a stream, or a range."""
    output = printed(logs, NASTY, b"error\n", b"\0" * 3000, b"\xe2\x82", exit_code=0)

    assert output.all == show("last")
    assert output.streams["stderr"] == show(IDS[0][:5], "--stream", "stderr")
    assert output.all[5:3005] == show("last", "--range", "5:3005")
    assert output.streams["stdout"][7:] == show("last", "--range", "7:", "--stream", "stdout")


def test_the_last_lines(logs: Executions) -> None:
    """The last 100 of them, of a run that goes on, too."""
    output = printed(logs, *(f"line {number}\n".encode() for number in range(500)))

    assert bytes(output.all).splitlines(keepends=True)[-100:] == show("last", "--tail").splitlines(
        keepends=True
    )


def test_output_on_a_terminal(logs: Executions) -> None:
    """It does nothing there unless that is asked for; what went to stderr is red."""
    printed(logs, NASTY, b"error\n", b"\xe2\x82", exit_code=3)
    text = on_terminal("runs", "show", "logs", "last")
    head, _, rest = COLOURS.sub("", text).partition("\n")

    assert f"{IDS[0]}: exit 3 after 2.5 s: make all" == head
    assert f"{SHOWN}error\n" r"\udce2\udc82" == rest
    assert "\x1b[31merror" in text
    raw = on_terminal("runs", "show", "logs", "last", "--raw", "--range", "0:11")
    assert raw.endswith("a\x1b]0;title\x07")


def test_following(logs: Executions, tmp_path: Path) -> None:
    """What comes is written at once, until the run ends."""
    output = Output()
    logs.begin(execution(IDS[0]))
    logs.append(IDS[0], [output.print(b"one\n")], None)
    line = command("runs", "show", "logs", "last", "--tail", "-f")
    with warm.Popen(line, stdout=subprocess.PIPE, env=environment()) as reader:
        assert reader.stdout is not None
        assert b"one\n" == reader.stdout.readline()
        logs.append(IDS[0], [output.print(b"two\n", "stderr")], None)
        assert b"two\n" == reader.stdout.readline()
        logs.append(IDS[0], [output.print(b"3")], None)
        assert b"3" == reader.stdout.read(1)
        logs.append(IDS[0], [output.print(b"\n")], None)
        logs.finish(IDS[0], ended_at=1002.5, exit_code=0)
        assert b"\n" == reader.stdout.read()
        assert 0 == reader.wait()


def test_following_a_run_that_is_lost(tmp_path: Path, logs: Executions) -> None:
    """Nothing more comes of it, so that ends."""
    with child(lambda: record(Executions(tmp_path / "logs" / "runs.db"), 0)) as process:
        process.wait()

    assert b"x" * 1234 + b"y" == show("last", "--follow")


def test_a_locked_file_can_be_read(logs: Executions, tmp_path: Path) -> None:
    """A program that writes, or that has forgotten to end its transaction, is no reason to wait."""
    output = printed(logs, b"one\n")
    with writing(tmp_path / "logs" / "runs.db"):
        began = time.monotonic()
        wait_until(lambda: output.all == show("last"))
        assert time.monotonic() - began < 30
    assert Runs(tmp_path / "logs" / "runs.db").find("last").id == IDS[0]
