"""What the commands do with a SQLite file: they say how to ask it, and write what is left to it."""

from __future__ import annotations

import logging
import os
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from children import Child
from make import P, named_batch, publish

from logbatch import BatchHandler
from logbatch.cli import main
from logbatch.transports import build


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with ten records."""
    path = tmp_path / "my logs.db"
    build(f"sqlite:{path}").send(named_batch(P, 0, 9))
    return path


def count(path: Path) -> int:
    """Count the records of a file."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


@pytest.mark.parametrize("url", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        "tail {}",
        "query {} 'FROM logs'",
        "stats {}",
        "verify {}",
        "compact {}",
        "retain {} --max-age 1d",
        "export {} --to x.csv",
    ],
)
def test_it_is_said_how_to_ask(
    path: Path, command: str, url: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sentence, with a line for the shell."""
    place = f"sqlite:{path}" if url else str(path)
    assert main([word.format(place) for word in shlex.split(command)])
    said = capsys.readouterr().err
    assert f"{path} is a SQLite file, not a directory; ask it in SQL: sqlite3 " in said


def test_what_is_said_works(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The statement is one that the file answers."""
    assert main(["tail", str(path)])
    program, file, statement = shlex.split(capsys.readouterr().err.partition("in SQL: ")[2])
    assert ("sqlite3", str(path)) == (program, file)
    with closing(sqlite3.connect(file)) as connection:
        assert 10 == len(connection.execute(statement).fetchall())


def test_in_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command without a DIR says where the name comes from."""
    monkeypatch.setenv("LOGBATCH_TRANSPORT", f"sqlite:{path}")
    assert main(["tail"])
    assert f"LOGBATCH_TRANSPORT: {path} is a SQLite file" in capsys.readouterr().err


def leave(path: Path) -> None:
    """Have a process die with a record in its journal."""

    def work() -> None:
        logger = logging.Logger("app")
        logger.addHandler(BatchHandler(f"sqlite:{path}", flush_interval=3600))
        logger.info("left")
        os._exit(0)

    Child(work).wait()


def test_recover(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a dead process left gets into the file, once."""
    leave(path)
    for expected in ("published 1 record from 1 journal", "nothing to recover"):
        assert 0 == main(["recover", f"sqlite:{path}"])
        assert expected in capsys.readouterr().out
    assert 11 == count(path)


def test_recover_to_another_place(path: Path, tmp_path: Path) -> None:
    """Or into a directory."""
    leave(path)
    assert 0 == main(["recover", f"sqlite:{path}", "--to", "jsonl:there"])
    assert 10 == count(path)
    (file,) = Path("there").rglob("*.jsonl")
    assert b'"left"' in file.read_bytes()


def test_replay(path: Path, tmp_path: Path) -> None:
    """A directory is written to a file; records that are there stay as they are."""
    publish(tmp_path / "logs", named_batch(P, 5, 19))
    for _ in range(2):
        assert 0 == main(["replay", str(tmp_path / "logs"), "--to", f"sqlite:{path}"])
    assert 20 == count(path)


def test_recover_of_a_path(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mere path is that of a directory."""
    assert main(["recover", str(path)])
    assert "is a SQLite file, not a directory" in capsys.readouterr().err


def test_replay_of_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no file of dead letters."""
    assert main(["replay", str(path), "--to", "jsonl:there"])
    assert "is a SQLite file" in capsys.readouterr().err


def test_the_command_of_sqlite(path: Path) -> None:
    """SQLite's own command reads it, where there is one."""
    try:
        done = subprocess.run(
            ["sqlite3", path, "SELECT count(*) FROM events"], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("NOT TESTED: there is no sqlite3 command here")
    assert b"10\n" == done.stdout
