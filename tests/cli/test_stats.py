"""`logbatch stats`: the picture, in a pipe."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from make import START, A, B, batch_of, encode, make_batch, write_compacted
from make import publish_events as write

from logbatch.cli import main
from logbatch.cli.sizes import readable
from logbatch.identity import new_producer
from logbatch.transports import build

OTHER = """
import sys
from logbatch.identity import new_producer
from logbatch.transports import build
from logbatch.transports.base import Batch
build("parquet:logs").send(Batch(new_producer(), 0, 0, sys.argv[1].encode()))
"""


def event(at: float, level: str = "INFO", number: int = 20, **more: Any) -> dict[str, Any]:
    """An event so many seconds after the start."""
    time = START + timedelta(seconds=at)
    fixed = {"timestamp": time, "level": level, "levelno": number, "logger": "app"}
    return {**fixed, "message": f"at {at}", "template": "at %s", "process": 7, **more}


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run `logbatch stats logs …`, which succeeds; return its lines."""
    assert main(["stats", "logs", *arguments]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Volume by level, loggers, templates, processes and files, within 80 columns."""
    quiet = [event(at / 10) for at in range(600)]
    write(
        tmp_path / "logs",
        *quiet,
        event(30.01, "ERROR", 40, logger="app.db", template=None, message="away \x1b[31m"),
        event(30.02, "WARNING", 30, service="shop", host="web-1"),
    )
    lines = shown(capsys)
    text = "\n".join(lines)

    assert "602 records, 2026-11-21 10:00:00 to 10:00:59 UTC; a bar is 1 s" == lines[0]
    assert "      12│                              ░".replace("░", "▒") == lines[2]
    assert lines[10].startswith("       0│▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒█▒▒")
    assert "         █ ERROR+ 1   ▓ WARNING 1   ▒ INFO 600   ░ DEBUG 0" in lines
    assert ["app", "601", "0"] == lines[lines.index("") + 14].split()[:3]
    assert r"away \x1b[31m" in text
    assert "parquet       1" in text
    assert [line for line in lines if len(line) > 80] == []


def test_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The options of `tail` choose what is counted."""
    write(tmp_path / "logs", event(0), event(1, "ERROR", 40), event(2))

    assert shown(capsys, "--level", "error")[0].startswith("1 record, 2026-11-21 10:00:01 to ")


def test_top(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--top` says how long the lists are, and what is left out is counted."""
    write(tmp_path / "logs", *(event(0, logger=f"l{n}", process=n) for n in range(9)))
    lines = shown(capsys, "--top", "2")

    assert ["l0", "l1"] == [
        line.split()[0] for line in lines if line.startswith("l") and "1" in line
    ]
    assert "and 7 more" in lines


def test_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One process is one line, whatever its handlers; another one with the same id is another."""
    write(tmp_path / "logs", event(0), event(1))
    write(tmp_path / "logs", event(2))
    line = encode(event(3))
    subprocess.run([sys.executable, "-c", OTHER, line], check=True, timeout=60)
    lines = shown(capsys)
    first = lines.index("process  service  host  records  from                 to") + 1

    assert [["7", "3"], ["7", "1"]] == [line.split()[:2] for line in lines[first : first + 2]]
    assert "" == lines[first + 2]


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are counted by kind and by size, with what a record takes and how old they are."""
    logs = tmp_path / "logs"
    write(logs, event(0), event(-86_400))
    write(logs, event(1), kind="jsonl")
    write_compacted(logs / "date=2026-11-19", *(make_batch(0, 9999, who) for who in (A, B)))
    lines = shown(capsys)
    at = next(at for at, line in enumerate(lines) if line.startswith("files "))
    assert ["files", "number", "size", "a", "record", "oldest"] == lines[at].split()
    kinds = [line.split() for line in lines[at + 1 : at + 4]]
    assert [("compacted", "1"), ("jsonl", "1"), ("parquet", "1")] == [(k[0], k[1]) for k in kinds]
    assert ["2026-11-21"] * 3 == [kind[-1] for kind in kinds]
    sizes = [line.split()[:4] for line in lines[at + 6 : at + 8]]
    assert [["up", "to", "10", "kB"], ["up", "to", "1", "MB"]] == sizes


def test_what_upkeep_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says it of the commands that are there for it, where there is something to do."""
    transport: Any = build("parquet:logs")
    producer = new_producer()
    for first, age in ((0, 18), (2, 18), (4, 16), (6, 10), (8, 0)):
        then = time.time() - age * 86_400 - 60
        transport.now = lambda then=then: then
        moment = datetime.fromtimestamp(then, UTC).isoformat()
        transport.send(batch_of(producer, first, *[event(0, timestamp=moment)] * 2))
    assert [
        "logbatch compact would make about 3 of 4 files",
        "logbatch retain --max-age 14d would remove 3 files with 6 records",
    ] == shown(capsys)[-2:]
    assert main(["retain", "logs", "--max-age", "14d", "--dry-run"]) == 0
    assert "would remove 3 files with 6 records" in capsys.readouterr().out
    assert main(["retain", "logs", "--max-age", "1d", "--trust-clock"]) == 0
    capsys.readouterr()
    assert not [line for line in shown(capsys) if line.startswith("logbatch ")]


def test_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty log has no picture."""
    (tmp_path / "logs").mkdir()

    assert ["no records"] == shown(capsys)


def test_a_field_that_no_record_has_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is found; of an empty log there is nothing to say."""
    (tmp_path / "logs").mkdir()
    assert main(["stats", "logs", "--where", "usr_id=7"]) == 0
    assert ("no records\n", "") == capsys.readouterr()
    write(tmp_path / "logs", event(0, attributes={"user_id": 7}))
    assert main(["stats", "logs", "--where", "usr_id=7"]) == 0
    hint = "no record has a field 'usr_id'; did you mean 'user_id'?\n"
    assert ("no records\n", hint) == capsys.readouterr()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 B"), (999, "999 B"), (8600, "8.6 kB"), (70_600_000, "70.6 MB"), (2e15, "2000.0 TB")],
)
def test_readable_sizes(number: float, expected: str) -> None:
    """Sizes are written in powers of a thousand."""
    assert expected == readable(number)
