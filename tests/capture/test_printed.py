"""Programs as they are, under `logbatch run`: they print the same, and each line is there."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import list_runs, run, show, type_into

from logbatch import Dataset

BAR = """
import sys, time
from rich.progress import track
for _ in track(range(20), "Working"): pass
print("done", file=sys.stderr)
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def test_many_short_lines(logs: Path) -> None:
    """`yes`, at its own speed."""
    done = run(logs, "sh", "-c", "yes | head -n 50000")
    assert (b"y\n" * 50_000, 0) == (done.stdout, done.returncode)
    assert done.stdout == show(logs)
    assert 50_000 == len([row for row in Dataset(logs).rows("message=y")])


def test_binary(logs: Path, tmp_path: Path) -> None:
    """`cat` of what is no text: shown and kept byte for byte, and one event for each line."""
    data = random.Random(5).randbytes(300_000)
    (tmp_path / "data").write_bytes(data)
    done = run(logs, "cat", str(tmp_path / "data"))
    assert (data, 0) == (done.stdout, done.returncode)
    assert data == show(logs)
    covered = [row["attributes"] for row in Dataset(logs).rows("line=*")]
    lines = sum(attributes.get("lines", 1) for attributes in covered)
    assert data.count(b"\n") + (not data.endswith(b"\n")) == lines


def test_a_program_that_crashes(logs: Path, tmp_path: Path) -> None:
    """In C: the signal is what it ended by."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    source = tmp_path / "crash.c"
    source.write_text(
        '#include <stdio.h>\nint main(void) { printf("before\\n"); fflush(stdout);'
        " return *(volatile int *)0; }\n"
    )
    subprocess.run(["cc", "-o", tmp_path / "crash", source], check=True, timeout=60)
    done = run(logs, str(tmp_path / "crash"))
    assert (b"before\n", 128 + 11) == (done.stdout, done.returncode)
    (kept,) = list_runs(logs)
    assert -11 == kept.exit_code


@pytest.mark.parametrize(
    "script",
    [
        "ls --color=auto /usr",
        f'{sys.executable} -c "$BAR" && printf "\\033]0;title\\007\\033[1;32mgreen\\033[0m\\n"',
        "for n in 1 2 3; do printf '\\r%d/3' $n; done; echo",
    ],
)
def test_a_terminal_shows_the_same(
    logs: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --pty, byte for byte what it would show alone."""
    monkeypatch.setenv("BAR", BAR)
    monkeypatch.setenv("TERM", "dumb")  # how often a bar is drawn hangs on time otherwise
    alone = type_into(["sh", "-c", script], [])
    words = ["run", "--to", f"jsonl:{logs}", "--pty", "--", "sh", "-c", script]
    assert alone == type_into([sys.executable, "-m", "logbatch", *words], [])


@pytest.mark.skipif(shutil.which("less") is None, reason="NOT TESTED: there is no less")
def test_a_program_that_takes_the_whole_screen(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --pty, keys reach it, and what it draws is what it would draw alone."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("LESS", raising=False)
    (tmp_path / "text").write_text("".join(f"line {number}\n" for number in range(100)))
    monkeypatch.setenv("LESSHISTFILE", "-")
    keys = [(b"line 20", b"/line 77\r"), (b"line 77", b"q")]
    logbatch = [sys.executable, "-m", "logbatch", "run", "--to", f"jsonl:{logs}", "--pty", "--"]
    shown = [
        type_into(["sh", "-c", 'stty rows 24 cols 80; exec "$@"', *before], keys)
        for before in (["sh", "less", "text"], ["sh", *logbatch, "less", "text"])
    ]

    assert shown[0] == shown[1] and 0 == shown[0][1]
