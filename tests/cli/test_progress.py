"""The line that says how far a command is."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import warm
from make import A
from waiting import PATIENCE

from logbatch.cli.progress import Progress
from logbatch.testing import ManualClock


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def show(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO, eighths: int = 16) -> Progress:
    """Look every eighth of a second what there is to show."""
    monkeypatch.setattr(sys, "stderr", screen)
    looks: list[int] = []
    progress = Progress(lambda: f"{len(looks)} of 15", clock := ManualClock())
    for look in range(eighths):
        progress.show()
        looks.append(look)
        clock.advance(0.125)
    return progress


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, five times a second at the most; nothing is left of it."""
    monkeypatch.setenv("TERM", "xterm")
    show(monkeypatch, screen := Screen()).clear()

    lines = screen.getvalue().split("\r\x1b[K")
    shown = [f"{n} of 15, {s} s so far\r" for n, s in ((8, 1), (10, 1), (12, 2), (14, 2))]
    assert ["", *shown, ""] == lines


def test_a_terminal_that_cannot_rewrite_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a new line after a second, and then every five."""
    monkeypatch.setenv("TERM", "dumb")
    show(monkeypatch, screen := Screen(), 8 * 12).clear()

    assert "8 of 15, 1 s so far\n48 of 15, 6 s so far\n88 of 15, 11 s so far\n" == screen.getvalue()


def test_a_quick_command_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that prints all the time."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    clock = ManualClock()
    progress = Progress(lambda: "half", clock)
    for _ in range(5):
        clock.advance(0.9)
        progress.show()
        progress.clear()

    assert "" == screen.getvalue()


def test_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shown, and no thread is started for it."""
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    before = threading.active_count()
    with Progress(lambda: "half", ManualClock()):
        assert before == threading.active_count()

    assert "" == pipe.getvalue()


BLOCKED = (
    ["tail", "logs", "--where", "nothing"],
    ["stats", "logs"],
    ["verify", "logs"],
    ["query", "logs", "SELECT count(*) AS n FROM logs"],
)


@contextmanager
def on_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `logbatch` on a terminal of its own; yield the process and our end of that."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "logbatch", *arguments]
    settings = {**os.environ, "TERM": "xterm"}
    with warm.Popen(command, stdout=its, stderr=its, env=settings) as child:
        os.close(its)
        try:
            yield child, ours
        finally:
            child.kill()
            os.close(ours)


def test_commands_that_take_long(tmp_path: Path) -> None:
    """Each shows what it does while a file is slow to be read: one of many gigabytes, here."""
    folder = tmp_path / "logs" / "date=2026-11-21"
    folder.mkdir(parents=True)
    blank = gzip.compress((b" " * 999 + b"\n") * (1 << 14)) * 500
    (folder / f"{A}-0-0.jsonl.gz").write_bytes(blank)
    with ExitStack() as stack:
        started = {" ".join(each): stack.enter_context(on_terminal(*each))[1] for each in BLOCKED}
        for command, ours in started.items():
            shown = os.read(ours, 4096)
            while not shown.endswith(b" s so far\r"):
                shown += os.read(ours, 4096)
            assert re.fullmatch(
                rb"(\r\x1b\[K(reading|checking|the query runs).* s so far\r)+", shown
            ), command


def test_the_line_is_gone_before_anything_is_printed(tmp_path: Path) -> None:
    """What the command says begins in its place."""
    (tmp_path / "logs").mkdir()
    sql = "SELECT sum(hash(n)) FROM range(1000000000000) AS t(n)"
    with on_terminal("query", "logs", sql, "--timeout", "2.5") as (child, ours):
        shown = b""
        while b"stopped" not in shown:
            shown += os.read(ours, 4096)
        assert 1 == child.wait(PATIENCE)
    *lines, said = shown.split(b"\r\x1b[K")

    assert lines[1].startswith(b"the query runs, ")
    assert said.startswith(b"Error: the query was stopped after 2.5 s")
