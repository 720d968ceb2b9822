"""`logbatch run -- command` and `logbatch runs`, as somebody types them."""

from __future__ import annotations

import contextlib
import os
import pty
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import warm

from logbatch.capture.runs import Run, Runs
from logbatch.storage.executions import FILE

LOGBATCH = [sys.executable, "-m", "logbatch"]


def command_line(logs: Path, *words: str, options: Sequence[str] = ()) -> list[str]:
    """The command line that runs something."""
    return [*LOGBATCH, "run", "--to", f"jsonl:{logs}", *options, "--", *words]


def run(
    logs: Path, *words: str, options: Sequence[str] = (), **given: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run something."""
    words = tuple(command_line(logs, *words, options=options))
    return warm.run(words, capture_output=True, timeout=60, check=False, **given)


def show(logs: Path, run_id: str | None = None, stream: str | None = None) -> bytes:
    """What a run printed, by default the last one, as the record has it."""
    runs = Runs(logs / FILE)
    wanted = run_id or runs.find("last").id
    return b"".join(part.data for part in runs.read(wanted, stream))


def list_runs(logs: Path) -> list[Run]:
    """The runs, the newest first."""
    return list(Runs(logs / FILE).newest())


@contextlib.contextmanager
def running(*words: str, **given: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the test."""
    start = warm.Popen if words[0] == sys.executable else subprocess.Popen
    process = start(words, **given)
    try:
        with process:
            yield process
    finally:
        if process.poll() is None:
            process.kill()


def type_into(words: Sequence[str], steps: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """Run something in a terminal; wait for a text, type another, and so on to its end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(words[0], list(words))
    shown, status = b"", -1
    waiting = list(steps)
    deadline = time.monotonic() + 60
    selector = selectors.DefaultSelector()
    selector.register(terminal, selectors.EVENT_READ)
    try:
        while time.monotonic() < deadline:
            if not selector.select(0.1):
                continue
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
            if waiting and waiting[0][0] in shown:
                os.write(terminal, waiting.pop(0)[1])
    finally:
        selector.close()
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert not waiting, shown
    return shown, os.waitstatus_to_exitcode(status)
