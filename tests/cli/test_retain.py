"""`logbatch retain`: what it says, and how it ends."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aged import names_in
from limits import files_of_at_most
from make import batch_of, event, publish

from logbatch.cli import main
from logbatch.cli.sizes import readable
from logbatch.identity import new_producer


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory, `logs`, with records of 0 to 9 days ago, two of each, one of them an error."""
    producer = new_producer()
    for number, age in enumerate(range(9, -1, -1)):
        moment = datetime.fromtimestamp(time.time() - age * 86_400 - 60, UTC)
        record = event(timestamp=f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        error = {**record, "level": "ERROR", "levelno": 40}
        publish(tmp_path / "logs", batch_of(producer, 2 * number, record, error))
    return tmp_path / "logs"


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """Run `logbatch retain logs …`; return its exit code, lines, and what is on stderr."""
    code = main(["retain", "logs", *arguments])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def usage(logs: Path) -> str:
    """What the files take of the disk, as it is shown."""
    found = [(logs / name).stat() for name in names_in(logs)]
    return readable(sum(max(each.st_size, each.st_blocks * 512) for each in found))


def test_what_it_says(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it would do, what it did, and that there is no more to do."""
    before = usage(logs)
    _, lines, _ = ran(capsys, "--max-age", "5d", "--dry-run")
    assert "would remove 5 files with 10 records" == lines[0]
    assert 10 == len(names_in(logs))
    code, lines, err = ran(capsys, "--max-age", "5d")
    size = f"5 files, {usage(logs)} on the disk; before {before}"
    assert (0, ["removed 5 files with 10 records", size], "") == (code, lines, err)
    assert 5 == len(names_in(logs))
    _, lines, _ = ran(capsys, "--max-age", "5d", "--max-bytes", "5GB")
    assert "nothing is too old or too much" == lines[0]


def test_what_is_kept(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are rewritten, here of one date, as they were published just now."""
    _, lines, _ = ran(capsys, "--max-age", "5d", "--keep", "level>=ERROR", "--keep-age", "8d")
    assert [
        "removed 2 files with 4 records",
        "rewrote 3 files into 1: 3 records kept, 3 removed",
    ] == lines[:2]
    main(["verify", "logs"])
    assert "7 records removed by retention" in capsys.readouterr().out


def test_what_is_kept_may_be_misspelt(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing matches a field that no record has, so that is said."""
    _, _, told = ran(capsys, "--max-age", "3d", "--keep", "nosuch=1 or level>=ERROR", "--dry-run")
    assert "Warning: --keep: no record has a field 'nosuch'\n" == told


def test_as_json(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as one object."""
    _, lines, _ = ran(capsys, "--max-bytes", "1", "--json")
    found = json.loads(lines[0])
    assert (10, 20, 0) == (found["removed"], found["removed_records"], found["bytes_after"])


def test_a_clock_that_jumped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what stays, and how it goes."""
    publish(tmp_path / "logs", batch_of(new_producer(), 0, event(timestamp="2001-01-01T00:00:00Z")))
    _, lines, _ = ran(capsys, "--max-age", "14d")
    assert "nothing was removed" == lines[0]
    assert (
        "1 file would be too old by the clock, but nothing since 2001-01-01 00:00 UTC bears it out"
        " yet, so it stays: run this again in a day, or with --trust-clock"
    ) == lines[1]
    _, lines, _ = ran(capsys, "--max-age", "14d", "--trust-clock")
    assert "removed 1 file with 1 record" == lines[0]


def test_no_room_for_the_note(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be noted stays, and that is said; the lock needs no room."""
    files = names_in(logs)
    with files_of_at_most(10):
        code, lines, err = ran(capsys, "--max-age", "5d")
    assert (1, [], files) == (code, lines, names_in(logs))
    assert "retired.json: File too large, to note there what is to go; it stays" in err


def test_what_stays_is_a_failure(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read is named on stderr, and the exit code is 1."""
    (folder,) = logs.glob("date=*")
    (folder / f"{new_producer()}-0-0.parquet").write_bytes(b"torn")
    code, lines, err = ran(capsys, "--max-age", "5d")
    assert (1, "removed 5 files with 10 records") == (code, lines[0])
    assert err.startswith(f"Warning: {folder}/0")
    assert err.endswith("it stays\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--max-age, --max-bytes or both must say what may stay"),
        (("--max-age", "2 weeks"), "--max-age='2 weeks' must be a duration such as '14d'"),
        (("--max-age", "2w", "--keep-age", "3w"), "--keep-age needs --keep: which records"),
        (("--max-bytes", "1GB", "--keep", "level>=ERROR"), "--keep needs --max-age: from when"),
        (("--max-age", "2w", "--keep", "level>>3"), "Invalid value for --keep: >> is no"),
    ],
)
def test_wrong_usage(
    logs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2, and options are named as they are given."""
    code, _, err = ran(capsys, *arguments)
    assert 2 == code
    assert message in err
    assert 10 == len(names_in(logs))
