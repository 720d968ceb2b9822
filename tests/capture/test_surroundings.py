"""`logbatch run -- command` in surroundings that nobody wishes for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from logbatch import Dataset

LOGBATCH = [sys.executable, "-m", "logbatch"]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def run(logs: Path, *words: str | bytes, **given: object) -> subprocess.CompletedProcess[bytes]:
    """Run something."""
    whole = [*LOGBATCH, "run", "--to", f"jsonl:{logs}", "--", *words]
    return subprocess.run(whole, timeout=60, check=False, **{"capture_output": True, **given})


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
