"""Commands whose standard streams are closed, or whose directory may not be read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from make import A, event, make_batch, publish, publish_events
from waiting import PATIENCE

from logbatch.cli import main

pytestmark = pytest.mark.skipif(
    "FAKETIME" in os.environ, reason="libfaketime opens files of its own, in the place of streams"
)

CLOSED = "Error: standard output: it is closed\n"
ONE = "SELECT count(*) AS n FROM logs"
NOBODY = 65534
ALL = (["tail"], ["stats"], ["verify"], ["recover"], ["query"], ["replay"])


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log of one record, in `logs`."""
    publish_events(tmp_path / "logs", event("hello"))
    (tmp_path / "logs" / ".journal").mkdir(exist_ok=True)
    return tmp_path / "logs"


@pytest.mark.parametrize(
    ("arguments", "redirected", "code", "out", "err"),
    [
        ("tail logs", ">&-", 1, "", CLOSED),
        (f'query logs "{ONE}" --format parquet', ">&-", 1, "", CLOSED),
        (f'query logs "{ONE}" -o found.csv', ">&-", 0, "", ""),
        ("verify logs --json", ">&- 2>&-", 1, "", ""),
        ("recover logs", ">&- 2>&- <&-", 1, "", ""),
        (f'query logs "{ONE}" --format csv', "2>&- <&-", 0, "n\n1\n", ""),
        ("tail logs", ">/dev/full", 1, "", "Error: No space left on device\n"),
        ("tail --nonsense", "2>/dev/full", 2, "", ""),
    ],
)
@pytest.mark.usefixtures("logs")
def test_streams_that_are_closed(
    arguments: str, redirected: str, code: int, out: str, err: str
) -> None:
    """A closed standard output is an error where something is printed; the others are none."""
    program = shlex.join([sys.executable, "-m", "logbatch"])
    done = subprocess.run(
        ["sh", "-c", f"{program} {arguments} {redirected}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={name: os.environ[name] for name in os.environ.keys() - {"PYTHONUNBUFFERED"}},
    )

    assert (code, out, err) == (done.returncode, done.stdout, done.stderr)
    if "-o found.csv" in arguments:
        assert "n\n1\n" == Path("found.csv").read_text(encoding="utf-8")


def arguments_for(command: list[str], directory: str) -> list[str]:
    """Complete a command that reads a directory."""
    more = {"query": [ONE], "replay": ["--to", "parquet:elsewhere"]}
    return [*command, directory, *more.get(command[0], [])]


@contextmanager
def somebody_else(*closed: Path) -> Iterator[None]:
    """Be a user who may not read some places."""
    modes = {path: path.stat().st_mode for path in closed}
    me = os.geteuid()
    for path in closed:
        path.chmod(0)
    try:
        if me == 0:
            os.seteuid(NOBODY)
        yield
    finally:
        if me == 0:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.fixture
def _reachable(tmp_path: Path) -> Iterator[None]:
    """Let every user come as far as the directory of the test."""
    ways = [tmp_path, *(each for each in tmp_path.parents if each.name.startswith("p"))]
    modes = {way: way.stat().st_mode for way in ways}  # what pytest and its workers made
    for way in ways:
        way.chmod(0o755)
    yield
    for way, mode in modes.items():
        way.chmod(mode)


@pytest.mark.usefixtures("_reachable")
@pytest.mark.filterwarnings("always::logbatch.DatasetWarning")
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "growing"])
def test_a_file_that_may_not_be_read(
    logs: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is left out and said, also where a process writes to it."""
    publish(logs, make_batch(0, 9, A), kind="jsonl" if kind == "growing" else kind)
    (path,) = logs.rglob(f"{A}-*")
    if kind == "growing":
        path = path.rename(path.with_name(f"{A}-0.jsonl"))
    for command in ALL[:4]:
        main(arguments_for(command, "logs"))
    for each in (logs, logs / ".journal", *logs.rglob("date=*"), *logs.rglob("*.parquet")):
        each.chmod(0o755)
    capsys.readouterr()
    with somebody_else(path):
        assert main(["tail", "logs"]) == 0
        shown, said = capsys.readouterr()
        assert main(["verify", "logs"]) == 1
        proved = capsys.readouterr().out

    assert 1 == shown.count("\n") and "hello" in shown
    assert said.startswith(f"Warning: {path.absolute()}: ")
    assert "Permission denied" in said and "it was left out" in said
    assert f"{path.absolute()}: " in proved and "it was left out" in proved


@pytest.mark.usefixtures("_reachable")
@pytest.mark.parametrize("command", ALL, ids=lambda command: command[0])
def test_a_directory_that_may_not_be_read(
    command: list[str], logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says so in one sentence, with the same exit code."""
    main(arguments_for(command, "logs"))  # what it imports may be nobody else's to read
    capsys.readouterr()
    with somebody_else(logs):
        code = main(arguments_for(command, "logs"))
    assert code == 1
    assert ("", "Error: cannot read logs: Permission denied\n") == capsys.readouterr()


@pytest.mark.usefixtures("_reachable")
@pytest.mark.filterwarnings("always::logbatch.DatasetWarning")
def test_journals_that_may_not_be_read(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not published is missing from the answer, which is said, and proves nothing."""
    for command in ALL[:4]:
        main(arguments_for(command, "logs"))
    for path in (*logs.rglob("date=*"), *logs.rglob("*.parquet")):
        path.chmod(0o755)
    logs.chmod(0o755)
    capsys.readouterr()
    told = f"{logs}/.journal: Permission denied; what is not published yet was left out"
    with somebody_else(logs / ".journal"):
        assert main(["tail", "logs"]) == 0
        shown, said = capsys.readouterr()
        assert main(["verify", "logs"]) == 1
        proved = capsys.readouterr().out
        assert main(["recover", "logs"]) == 1
        refused = capsys.readouterr()

    assert "hello" in shown
    assert f"Warning: {told}\n" == said
    assert told in proved
    assert ("", "Error: cannot read logs/.journal: Permission denied\n") == refused
