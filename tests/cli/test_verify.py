"""`logbatch verify` and `logbatch recover`: what is there, what is not, what is brought back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import warm
from make import batch_of, event, make_batch, publish

from logbatch.cli import main
from logbatch.identity import new_producer

DIES = """
import logging, os, signal, sys
from logbatch import BatchHandler

handler = BatchHandler(sys.argv[1], flush_interval=3600)
logger = logging.getLogger("app")
logger.addHandler(handler)
for number in range(3):
    logger.warning("number %d", number, extra={"user_id": number})
os.kill(os.getpid(), signal.SIGKILL)
"""


def write(directory: Path, *spans: tuple[int, int], kind: str = "parquet") -> str:
    """Publish these sequences as one process; return its id."""
    producer = new_producer()
    batches = (make_batch(first, last, producer) for first, last in spans)
    publish(directory, *batches, kind=kind)
    return producer


def leave_behind(transport: str) -> None:
    """Let a process log three records and be killed before it publishes them."""
    child = warm.run([sys.executable, "-c", DIES, transport], check=False, timeout=60)
    assert child.returncode == -9


def verified(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Run `logbatch verify logs`; return its exit code and lines."""
    code = main(["verify", "logs"])
    return code, [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_all_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is missing the exit code is 0."""
    producer = write(tmp_path / "logs", (0, 4), (5, 9))

    assert (
        0,
        [
            "producer                    present  pending  missing  twice",
            f"{producer}  0-9      -        -        -",
            "",
            "10 records of 1 process: 0 missing, 0 twice, 0 pending",
        ],
    ) == verified(capsys)


def test_a_gap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a record is missing the exit code is 1, and the table says which."""
    producer = write(tmp_path / "logs", (0, 4), (6, 9), (12, 13))
    code, lines = verified(capsys)

    assert code == 1
    assert f"{producer}  0-4      -        5-5      -" == lines[1]
    assert ["6-9", "10-11"] == lines[2].split()
    assert "11 records of 1 process: 3 missing, 0 twice, 0 pending" == lines[-1]


def test_processes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process that closes its handler and logs again, or has a processor too, is one process."""
    code = """
import sys
from logbatch import BatchHandler, BatchProcessor
import logging
for handler in (BatchHandler(sys.argv[1]), BatchHandler(sys.argv[1])):
    for _ in range(2):
        handler.handle(logging.makeLogRecord({"msg": "x"}))
        handler.close()
with BatchProcessor(sys.argv[1]) as processor:
    processor(None, "info", {"event": "y"})
"""
    for _ in range(2):
        warm.run([sys.executable, "-c", code, "parquet:logs"], check=True, timeout=60)
    done, lines = verified(capsys)

    assert (0, 13) == (done, len(lines))
    assert "10 records of 2 processes: 0 missing, 0 twice, 0 pending" == lines[-1]


def test_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a record is there twice the exit code is 1."""
    producer = write(tmp_path / "logs", (0, 4))
    [path] = (tmp_path / "logs").glob("*/*.parquet")
    table = pyarrow.parquet.ParquetFile(path).read()
    pyarrow.parquet.write_table(table.slice(0, 2), path.with_name(f"{producer}-0-1.parquet"))
    code, lines = verified(capsys)

    assert code == 1
    assert f"{producer}  0-4      -        -        0-1" == lines[1]


def test_many_gaps_are_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long list of ranges is cut in the table, not in the numbers or in JSON."""
    write(tmp_path / "logs", *((at, at) for at in range(0, 20, 2)))
    _, lines = verified(capsys)
    main(["verify", "logs", "--json"])
    report = json.loads(capsys.readouterr().out)

    assert ["and", "7", "more", "and", "6", "more"] == lines[4].split()
    assert lines[-1].startswith("10 records of 1 process: 9 missing")
    assert [[at, at] for at in range(1, 19, 2)] == report["producers"][0]["missing"]
    assert (False, 9, 0) == (report["ok"], report["gaps"], report["repeated"])


def test_a_damaged_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is a failure, also where its records were the last ones."""
    write(tmp_path / "logs", (0, 4))
    [path] = (tmp_path / "logs").glob("*/*.parquet")
    path.write_bytes(b"nonsense")
    code, lines = verified(capsys)

    assert code == 1
    assert [line for line in lines if path.name in line] != []


def test_nothing_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty log is whole."""
    (tmp_path / "logs").mkdir()

    assert (0, ["0 records of 0 processes: 0 missing, 0 twice, 0 pending"]) == verified(capsys)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_recovery(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a killed process left is pending, then published, once."""
    write(tmp_path / "logs", (0, 4), kind=kind)
    leave_behind(f"{kind}:{tmp_path / 'logs'}")
    before = verified(capsys)
    assert main(["recover", "logs"]) == 0
    said = capsys.readouterr()
    after = verified(capsys)

    assert "8 records of 2 processes: 0 missing, 0 twice, 3 pending" == before[1][-1]
    assert ("published 3 records from 1 journal of dead processes\n", "") == said
    assert (0, "8 records of 2 processes: 0 missing, 0 twice, 0 pending") == (
        after[0],
        after[1][-1],
    )
    names = [path.name for path in (tmp_path / "logs").glob("date=*/*")]
    assert [name for name in names if not name.endswith(f".{kind}")] == []
    assert main(["recover", "logs"]) == 0
    assert "nothing to recover: no dead process left anything\n" == capsys.readouterr().out


def test_recovery_to_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--to` says which files to write."""
    leave_behind(f"parquet:{tmp_path / 'logs'}")

    assert main(["recover", "logs", "--to", "jsonl"]) == 0
    assert len(list((tmp_path / "logs").glob("date=*/*.jsonl"))) == 1


def test_recovery_as_the_directory_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is written as a transport says which files to write, whatever is there."""
    write(tmp_path / "logs", (0, 4))
    leave_behind(f"parquet:{tmp_path / 'logs'}")

    assert main(["recover", "jsonl:logs"]) == 0
    assert len(list((tmp_path / "logs").glob("date=*/*.jsonl"))) == 1


def test_recovered_records_have_the_columns_of_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attributes that were promoted to columns are columns of recovered records too."""
    columns = {"user_id": "int64", "note": "string"}
    batch = batch_of(new_producer(), 0, event(attributes={"user_id": 7}))
    publish(tmp_path / "logs", batch, columns=columns)
    leave_behind(f"parquet:{tmp_path / 'logs'}")
    main(["recover", "logs"])
    capsys.readouterr()
    main(["query", "logs", "SELECT user_id FROM logs ORDER BY user_id", "--format", "json"])

    assert [0, 1, 2, 7] == [row["user_id"] for row in json.loads(capsys.readouterr().out)]
