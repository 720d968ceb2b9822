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
import warm

from logbatch.cli import demo_files, main
from logbatch.cli.directory import for_shell

SHORT = ("--seconds", "0.3", "--rate", "300")


def run_demo(*arguments: str) -> str:
    """Run `logbatch demo …` with its output in a pipe; return it."""
    command = [sys.executable, "-m", "logbatch", "demo", *SHORT, *arguments]
    done = warm.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown: str = done.stdout
    return shown


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
    assert re.search(r"^logging +\d+ records? in \d+ batch(es)? \(\d+ each\), ", shown, re.M)
    assert re.search(r"^structlog +\d+ records? in .*acknowledged.*flushes: ", shown, re.M | re.S)
    assert "request" not in shown.partition("How was it written?")[2]
    assert re.search(r"^\d+ records are in \d+ Parquet files?, ", shown, re.M)


def test_what_it_prints_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that is printed works, and nothing is missing or twice."""
    typed = commands_in(run_demo("--directory", "logs"))
    codes = [main(arguments) for arguments in typed]

    assert [0] * 9 == codes
    assert {"tail", "query", "stats", "verify", "demo"} == {each[0] for each in typed}
    assert " 0 missing, 0 twice, 0 pending\n" in capsys.readouterr().out
    assert not (tmp_path / "logs").exists()  # the last one cleans up


def test_without_a_directory(home: Path) -> None:
    """By default each run has a new directory among the user's logs, which is said."""
    for _ in range(2):
        run_demo()
    directories = sorted(home.rglob("*/logbatch-demo/log/*"))

    assert len(directories) == 2
    assert [list(path.glob("date=*/*.parquet")) for path in directories] != [[], []]
    assert main(["demo", "--clean"]) == 0
    assert [] == list(home.rglob("logbatch-demo*"))
    assert main(["demo", "--clean"]) == 0


def test_only_what_a_demo_made_is_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that was there before, be it of other logs, stays, and so does one in use."""
    (tmp_path / "mine" / "date=2026-11-21").mkdir(parents=True)
    with demo_files.in_use(tmp_path / "mine") as is_marked:
        assert not is_marked
    assert main(["demo", "--clean", "--directory", "mine"]) == 1
    with demo_files.in_use(tmp_path / "demos"):
        assert main(["demo", "--clean", "--directory", "demos"]) == 1
    assert main(["demo", "--clean", "--directory", "nowhere"]) == 1
    out, err = capsys.readouterr()

    assert "" == out
    assert [
        "Error: mine was not made by a demo; nothing is removed",
        "Error: a demo is writing to demos; nothing is removed",
        "Error: nowhere was not made by a demo; nothing is removed",
    ] == err.splitlines()
    assert {"mine", "demos"} <= {path.name for path in tmp_path.iterdir()}
    assert main(["demo", "--clean", "--directory", "demos"]) == 0
    assert not (tmp_path / "demos").exists()


def test_it_is_not_silent_in_a_pipe(tmp_path: Path) -> None:
    """Where there is no screen, a line on stderr each second says that it works."""
    command = [sys.executable, "-m", "logbatch", "demo", "--seconds", "2.2", "--directory", "logs"]
    done = warm.run(command, capture_output=True, text=True, check=True)

    assert re.fullmatch(r"(\d of 2\.2 s, \d+ records?\n){1,2}", done.stderr)


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
    last = shown.partition("How was it written?")[2].replace("\r", "").splitlines()
    assert max(len(line) for line in last if not line.startswith(("logbatch", "python"))) <= size[1]
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
        assert main(["demo", *arguments]) == 2
