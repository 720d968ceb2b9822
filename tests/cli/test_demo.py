"""`logbatch demo`: it works with no arguments, and what it prints can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from logbatch.cli import main
from logbatch.cli.directory import for_shell

SHORT = ("--seconds", "0.3", "--rate", "300")


def run_demo(*arguments: str) -> str:
    """Run `logbatch demo …` with its output in a pipe; return it."""
    command = [sys.executable, "-m", "logbatch", "demo", *SHORT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def commands_in(shown: str) -> list[list[str]]:
    """The commands that the demo says to type, without the program's name."""
    found = re.findall(r"^(?:python -m )?logbatch (\w+ (?:[^\n\"]|\"[^\"]*\")*)$", shown, re.M)
    return [shlex.split(arguments) for arguments in found]


def test_in_a_pipe(tmp_path: Path) -> None:
    """In a pipe there are no control codes, and the questions have answers."""
    shown = run_demo("--directory", "logs")

    assert set(shown) - {"\n"} == {c for c in shown if c.isprintable()}
    assert "ZeroDivisionError" in shown
    assert re.search(r"^/\S* +\d+ +\d+\.\d+$", shown, re.M)
    assert re.search(r"^ *\d+ +\d+ +\d+\.\d+$", shown, re.M)
    assert re.search(
        r"^logging +\d+ records? in \d+ batch(es)? \(\d+ each\), \d+ request", shown, re.M
    )
    assert re.search(
        r"^structlog +\d+ records? in .*acknowledged.*flushes: .*\Z", shown, re.M | re.S
    )
    assert re.search(r"^\d+ records are in \d+ Parquet files?, ", shown, re.M)


def test_what_it_prints_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that is printed works, and nothing is missing or twice."""
    typed = commands_in(run_demo("--directory", "logs"))
    codes = [main(arguments) for arguments in typed]

    assert [0] * 8 == codes
    assert {"tail", "query", "stats", "verify"} == {arguments[0] for arguments in typed}
    assert " 0 missing, 0 twice, 0 pending\n" in capsys.readouterr().out


def test_without_a_directory(home: Path) -> None:
    """By default each run has a new directory among the user's logs, which is said."""
    for _ in range(2):
        run_demo()
    directories = sorted(home.rglob("*/logbatch-demo/log/*"))

    assert len(directories) == 2
    assert [list(path.glob("date=*/*.parquet")) for path in directories] != [[], []]


@pytest.mark.parametrize("size", [(24, 80), (8, 40)])
def test_on_a_terminal(size: tuple[int, int], tmp_path: Path) -> None:
    """On a terminal there is a progress bar with the tail below it, within the screen."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, size)
    child = subprocess.Popen(
        [sys.executable, "-m", "logbatch", "demo", *SHORT, "--directory", "logs"],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(size[1])},
    )
    os.close(its)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux tells so that nobody holds the other side any more
        pass
    os.close(ours)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())

    assert child.wait() == 0, shown
    assert "━" in shown
    assert re.search(r"0 of 0 s \d+ records", shown)
    assert "shop.web  GET /" in shown
    assert written.count(b"\x1b[?25l") == written.count(b"\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize(
    ("path", "expected"),
    [("logs/a", "~/logs/a"), ("two words", None), ("/var/log/app", "/var/log/app"), ("$x", None)],
)
def test_paths_for_a_shell(path: str, expected: str | None, home: Path) -> None:
    """A path is written so that a shell reads it again, and short where that is safe."""
    whole = home / path

    assert for_shell(whole) == (expected or f"'{whole}'")


def test_nonsense_is_refused(tmp_path: Path) -> None:
    """Numbers out of range, and a file for a directory, are wrong usage."""
    (tmp_path / "file").touch()
    for arguments in (["--seconds", "0"], ["--rate", "1e9"], ["--directory", "file"]):
        command = [sys.executable, "-m", "logbatch", "demo", *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 2
