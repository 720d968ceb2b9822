"""`logbatch export`: what it says, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from aged import fill
from limits import files_of_at_most

from logbatch.cli import main


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory, `logs`, of three days."""
    fill(tmp_path / "logs", 3)
    return tmp_path / "logs"


def test_to_a_file_and_to_files(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how many records there are, and where."""
    assert 0 == main(["export", "logs", "--to", "out.csv", "--level", "ERROR"])
    assert "6 records in out.csv\n" == capsys.readouterr().out
    assert 0 == main(["export", "logs", "--to", "days", "--format", "jsonl"])
    assert "30 records in 3 files\n" == capsys.readouterr().out
    assert 1 == main(["export", "logs", "--to", "out.csv"])
    told = "Error: out.csv is there already; it is replaced only by force (--force)\n"
    assert ("", told) == capsys.readouterr()
    assert 0 == main(["export", "logs", "--to", "out.csv", "--force", "--where", "n=3"])


def test_to_standard_output(logs: Path) -> None:
    """Only the records are there, in any format, and a reader that ends early is no trouble."""
    command = [sys.executable, "-m", "logbatch", "export", "logs", "--to", "-", "--format"]
    for form, begin, end in (
        ("csv", b"timestamp,level,", b"29\n"),
        ("jsonl", b'{"timestamp":', b'"sequence":29}\n'),
        ("parquet", b"PAR1", b"PAR1"),
    ):
        done = warm.run([*command, form], capture_output=True, check=True, timeout=60)
        assert done.stdout.startswith(begin) and done.stdout.endswith(end)
        assert b"" == done.stderr
    with warm.Popen([*command, "csv"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert 141 == child.wait(60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--to'"),
        (("--to", "-"), "standard output needs --format."),
        (("--to", "out"), "out ends neither in .parquet nor in .csv or .jsonl: a file needs"),
        (("--to", "out"), "and a directory needs --format"),
        (("--to", "out.csv", "--format", "jsonl"), "out.csv ends like a file of csv"),
    ],
)
def test_wrong_usage(
    logs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, and a sentence."""
    assert 2 == main(["export", "logs", *arguments])
    assert message in capsys.readouterr().err


def test_a_full_disk_and_a_place_in_the_log(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, which file, and why."""
    with files_of_at_most(100):
        assert 1 == main(["export", "logs", "--to", "out.parquet"])
    assert ("", "Error: out.parquet: File too large\n") == capsys.readouterr()
    assert 1 == main(["export", "logs", "--to", "logs/out.parquet"])
    assert "Error: logs/out.parquet is in " in capsys.readouterr().err
    assert ["logs"] == os.listdir(tmp_path)


def test_a_field_that_no_record_has(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said where nothing was found."""
    assert 0 == main(["export", "logs", "--to", "out.csv", "--where", "nmber=3"])
    shown = capsys.readouterr()
    assert "0 records in out.csv\n" == shown.out
    assert "no record has a field 'nmber'; did you mean 'number'?\n" == shown.err
