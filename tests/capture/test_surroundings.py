"""`logbatch run -- command` in surroundings that nobody wishes for."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from logbatch import Dataset

LOGBATCH = [sys.executable, "-m", "logbatch"]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def run(logs: Path, *words: str | bytes, **given: Any) -> subprocess.CompletedProcess[bytes]:
    """Run something."""
    whole = [*LOGBATCH, "run", "--to", f"jsonl:{logs}", "--", *words]
    return subprocess.run(whole, capture_output=True, timeout=60, check=False, **given)


def messages(logs: Path) -> list[str]:
    """What was printed, as it is stored."""
    return [str(row["message"]) for row in Dataset(logs).rows("stream=stdout")]


def test_what_is_left_behind_may_print_for_ever(logs: Path) -> None:
    """It is listened to for a while, and what the command itself has printed is all there."""
    chatty = "while :; do echo more; sleep 0.01; done"
    began = time.monotonic()
    done = run(logs, "sh", "-c", f"(exec 2>/dev/null; {chatty}) & seq 1000; exit 3")

    assert 3 == done.returncode
    assert time.monotonic() - began < 50
    assert 1000 == len([text for text in messages(logs) if text != "more"])
    assert b"still holds its output" in done.stderr


def test_a_command_that_is_no_utf8(logs: Path) -> None:
    """It runs as it is; where it is named, its bytes are escaped."""
    done = run(logs, "echo", b"a\xffb")

    assert (0, b"a\xffb\n", b"") == (done.returncode, done.stdout, done.stderr)
    (row,) = Dataset(logs).rows("stream=stdout")
    assert ("a\\xffb", "echo 'a\\udcffb'") == (row["message"], row["attributes"]["command"])


def test_a_script_without_an_interpreter(logs: Path, tmp_path: Path) -> None:
    """It is run by the shell, as it would be alone."""
    script = tmp_path / "script"
    script.write_text("echo hello $1; exit 5\n")
    script.chmod(0o755)
    done = run(logs, str(script), "there")

    assert (5, b"hello there\n", b"") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_descriptors(logs: Path, closed: str) -> None:
    """No file of ours takes their place, so nothing is written into one."""
    script = f'exec "$@" {closed}'
    words = [*LOGBATCH, "run", "--to", f"jsonl:{logs}", "--", "sh", "-c", "echo out; exit 3"]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, timeout=60, check=False
    )

    assert (3, b"", b"") == (done.returncode, done.stdout, done.stderr)
    assert ["out"] == messages(logs)


def test_the_end_of_children_is_ignored(logs: Path) -> None:
    """Whoever started us may have it so; how the command ended is known all the same."""
    done = run(
        logs,
        *("sh", "-c", "exit 3"),
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )

    assert 3 == done.returncode
