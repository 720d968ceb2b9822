"""`logbatch run -- command`: it prints and ends as it would alone, and all it prints is stored."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import command_line, list_runs, run, running, show, type_into
from waiting import wait_until

from logbatch import Dataset
from logbatch.capture.lost import recover_runs
from logbatch.transports import build


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def read(logs: Path, where: str | None = None) -> list[dict[str, Any]]:
    """The events, in order, but the last of each run."""
    rows = [dict(row) for row in Dataset(logs).rows(where)]
    return [row for row in rows if "event" not in row["attributes"]]


def read_end(logs: Path) -> dict[str, Any]:
    """The event of the end of the only run, with its attributes."""
    (row,) = Dataset(logs).rows("event=end")
    return {**row, **row["attributes"]}


# ------------------------------------------------------------------ as if alone

SCRIPTS = {
    "nothing": "true",
    "status": "echo out; echo err >&2; exit 7",
    "signal": "kill -TERM $$",
    "killed": "echo before; kill -KILL $$",
    "bytes": r"printf 'a\0b\377\033[31mred\r\n'; printf 'no end'",
    "much": "seq 30000",
    "input": "cat",
    "directory": "pwd",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_prints_and_ends_as_alone(logs: Path, name: str) -> None:
    """Byte for byte; a signal is told as a shell does."""
    words = ["sh", "-c", SCRIPTS[name]]
    given: dict[str, Any] = {"input": b"typed\n\xff", "cwd": logs.parent}
    alone = subprocess.run(words, capture_output=True, check=False, **given)
    done = run(logs, *words, **given)
    code = alone.returncode

    assert (alone.stdout, alone.stderr) == (done.stdout, done.stderr)
    assert (128 - code if code < 0 else code) == done.returncode == read_end(logs)["status"]
    assert alone.stdout == show(logs, stream="stdout")
    assert alone.stderr == show(logs, stream="stderr")


def test_events(logs: Path) -> None:
    """A line is an event; what a run is called is in each."""
    run(logs, "sh", "-c", "echo one; echo 'level=error msg=two n=3'; echo three >&2; exit 1")
    rows = [{**row, **row["attributes"]} for row in read(logs)]
    told = {row["message"]: (row["level"], row["stream"], row["line"]) for row in rows}
    (run_id,) = {row["run_id"] for row in rows}
    end = read_end(logs)

    assert {
        "one": ("INFO", "stdout", 1),
        "two": ("ERROR", "stdout", 2),
        "three": ("WARNING", "stderr", 1),
    } == told
    assert {"run"} == {row["logger"] for row in rows} and {"sh"} == {row["service"] for row in rows}
    assert ("WARNING", 1, 3, run_id) == (
        end["level"],
        end["status"],
        end["lines_printed"],
        end["run_id"],
    )


@pytest.mark.parametrize(("word", "status"), [("no-such-command", 127), ("/", 126)])
def test_what_cannot_be_started(logs: Path, word: str, status: int) -> None:
    """As a shell says it; and it is recorded."""
    done = run(logs, word)

    assert status == done.returncode == read_end(logs)["status"]
    assert done.stderr.startswith(b"logbatch run: cannot run " + word.encode())
    assert 1 == done.stderr.count(b"\n")


def test_quiet(logs: Path) -> None:
    """It is stored, and not shown."""
    done = run(logs, "echo", "hello", options=["--quiet"])

    assert (b"", b"") == (done.stdout, done.stderr)
    assert b"hello\n" == show(logs)


def test_a_reader_that_goes_away(logs: Path) -> None:
    """The command learns it as it would alone, by SIGPIPE."""
    with running(*command_line(logs, "yes"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert 128 + signal.SIGPIPE == process.wait(60)


def test_what_is_secret_is_not_in_the_record(logs: Path) -> None:
    """Where something is to be redacted, raw output is not kept."""
    run(logs, "sh", "-c", "printf k; echo ey abc", options=["-o", "redact_patterns=key \\w+"])

    assert ["[redacted]"] == [row["message"] for row in read(logs)]
    assert b"" == show(logs)
    assert [] == [
        path for path in logs.rglob("*") if path.is_file() and b"key" in path.read_bytes()
    ]


# ------------------------------------------------------------------ signals and terminals

TWO = "sh -c 'echo $$; exec sleep 60'; true"  # not in the background, where SIGINT is ignored


def is_there(pid: int) -> bool:
    """Whether a process is there."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.fixture
def _hangup() -> Iterator[None]:
    """Let a hangup reach what is started, as `nohup` does not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_whole_group(logs: Path, number: int) -> None:
    """What the command has started, too."""
    words = command_line(logs, "sh", "-c", TWO)
    with running(*words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        assert 128 + number == process.wait(60)
    wait_until(lambda: not is_there(pid))
    assert 128 + number == read_end(logs)["status"]


def test_a_signal_that_the_command_handles(logs: Path) -> None:
    """It decides how it ends."""
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with running(*command_line(logs, "sh", "-c", script), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        process.terminate()
        assert (b"caught\n", 5) == (process.stdout.read(), process.wait(60))


@pytest.mark.parametrize("options", [[], ["--pty"]])
def test_a_terminal(logs: Path, options: list[str]) -> None:
    """What is typed reaches the command; only one of its own makes its output a terminal."""
    script = "[ -t 1 ] && echo terminal || echo pipe; read line; echo got $line"
    words = command_line(logs, "sh", "-c", script, options=options)
    shown, status = type_into(words, [(b"\r\n", b"hello\n")])

    assert 0 == status
    assert (b"terminal" if options else b"pipe") in shown and b"got hello" in shown
    assert ["terminal" if options else "pipe", "got hello"] == [
        row["message"] for row in read(logs) if row["message"] != "hello"
    ]


def test_a_large_paste(logs: Path) -> None:
    """All of it arrives, though the command echoes it and reads slowly."""
    pasted = b"".join(b"line %d of what was pasted\n" % n for n in range(2000)) + b"\x04"
    script = "stty -icanon -echo; echo ready; sleep 0.2; head -c 50000 | cksum"
    words = command_line(logs, "sh", "-c", script, options=["--pty"])
    shown, status = type_into(words, [(b"ready", pasted)])
    expected = subprocess.run(
        ["cksum"], input=pasted[:50000], capture_output=True, check=True
    ).stdout.split()

    assert 0 == status and expected[0] in shown


@pytest.mark.parametrize("options", [[], ["--pty"]])
def test_ctrl_c_in_a_terminal(logs: Path, options: list[str]) -> None:
    """It reaches the whole group, once."""
    words = command_line(logs, "sh", "-c", TWO, options=options)
    shown, status = type_into(words, [(b"\r\n", b"\x03")])
    (pid,) = [int(line) for line in shown.split() if line.isdigit()]

    assert 128 + signal.SIGINT == status
    wait_until(lambda: not is_there(pid))


def test_size_of_a_terminal_and_escapes(logs: Path) -> None:
    """It is as large as ours; colours are shown and kept, and not in the message."""
    script = "stty size; printf '\\033[31mred\\033[0m\\n'"
    words = command_line(logs, "sh", "-c", script, options=["--pty"])
    sized = f"stty rows 31 cols 77; exec {shlex.join(words)}"
    shown, _ = type_into(["sh", "-c", sized], [])

    assert b"31 77" in shown and b"\033[31mred\033[0m" in shown
    assert ["31 77", "red"] == [row["message"] for row in read(logs)]
    assert b"\033[31mred\033[0m\r\n" in show(logs)


RAW = """
import os, termios, tty
before = termios.tcgetattr(0)
tty.setraw(0)
os.write(1, b"a\\nb\\n")
termios.tcsetattr(0, termios.TCSADRAIN, before)
os.write(1, b"c\\n")
"""


def test_line_ends_in_a_terminal(logs: Path) -> None:
    """What they become is the command's choice, as if it were alone: editors make it none."""
    words = [sys.executable, "-c", RAW]
    alone = type_into(words, [])

    assert (b"a\nb\nc\r\n", 0) == alone
    assert alone == type_into(command_line(logs, *words, options=["--pty"]), [])


def test_from_the_background_to_the_front(logs: Path) -> None:
    """What is typed reaches a job of an interactive shell after `fg`."""
    words = command_line(logs, "sh", "-c", "read line; echo got $line; exit 3")
    script = f"set -m; {shlex.join(words)} & sleep 0.5; echo front; fg >/dev/null; exit $?"
    shown, status = type_into(["bash", "--norc", "-c", script], [(b"front\r\n", b"hello\n")])

    assert b"got hello" in shown and 3 == status


# ------------------------------------------------------------------ progress


def test_progress_is_seen_at_once(logs: Path) -> None:
    """While the command goes on, and of a bar that never ends its line."""
    script = "printf '10%%\\r42%%'; read line"
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with running(*command_line(logs, "sh", "-c", script), **given) as process:
        assert process.stdin is not None

        def shown() -> Any:
            return [(each.status, each.progress) for each in list_runs(logs)]

        wait_until((logs / "runs.db").exists)
        wait_until(lambda: shown() == [("running", "42%")])
        process.stdin.write(b"\n")
        process.stdin.close()
        assert 0 == process.wait(60)


# ------------------------------------------------------------------ killed

PRINTS = """
import sys, time
for n in range(1, 100_000):
    print("line", n, file=sys.stderr if n % 7 == 0 else sys.stdout, flush=n % 3 == 0)
    if n % 50 == 0:
        time.sleep(0.001)
"""


def check_lost(logs: Path, shown: bytes) -> None:
    """What was shown before a kill is stored once, as events and as output; the run is lost."""
    assert 0 == run(logs, "true").returncode  # which does it, but waits for that some time only
    recover_runs(build(f"jsonl:{logs}"), lambda _kind, text: pytest.fail(text))
    lost = list_runs(logs)[-1]
    if not shown and lost.status != "lost":
        return  # it was killed before it began
    assert "lost" == lost.status, lost
    output = show(logs, lost.id, "stdout")
    assert output.startswith(shown)
    events = [row["attributes"] | row for row in read(logs)]
    lines = [row["line"] for row in events if row["stream"] == "stdout"]
    assert list(range(1, len(lines) + 1)) == sorted(lines)
    told = [row["message"] for row in events if row["stream"] == "stdout"]
    assert output.decode().splitlines() == [
        text for _, text in sorted(zip(lines, told, strict=True))
    ]
    assert 1 == sum(row["level"] == "ERROR" for row in Dataset(logs).rows("event=end"))


@pytest.mark.parametrize("seed", range(2))
def test_killed(logs: Path, seed: int) -> None:
    """What it had read is there, once, however it was killed."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with running(*command_line(logs, sys.executable, "-c", PRINTS), **given) as process:
        assert process.stdout is not None
        shown = os.read(process.stdout.fileno(), 65536)
        time.sleep(random.Random(seed).uniform(0, 0.3))
        process.kill()
        shown += process.stdout.read()
    check_lost(logs, shown)
