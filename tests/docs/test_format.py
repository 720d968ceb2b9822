"""What docs/format.md says is so: a reader made of nothing but that page sees each record once."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import warm
from documents import ROOT, find_blocks, find_rows
from waiting import wait_until

import logbatch
from logbatch.journal import read_pending
from logbatch.testing import CapturingTransport

PAGE = ROOT / "docs" / "format.md"
KILLED = """
import logging, os, sys
import logbatch

url, durability = sys.argv[1:]
handler = logbatch.BatchHandler(
    url, durability=durability, flush_interval=3600, flush_level="never", columns=%(columns)s
)
log = logging.getLogger("app")
log.addHandler(handler)
log.setLevel("INFO")
for part in range(3):
    for number in range(200):
        log.info("record %%d", number, extra={"number": number, "text": "ä\\n\\x00" * %(repeats)d})
    if part < 2:
        handler.flush()
try:
    raise LookupError("gone")
except LookupError:
    log.exception("failed")
os.kill(os.getpid(), 9)
"""
BUSY = """
import logging, sys
import logbatch

log = logging.getLogger("app")
log.addHandler(logbatch.BatchHandler(sys.argv[1], flush_interval=0.02))
log.setLevel("INFO")
for number in range(10_000):
    log.info("record %d", number)
"""

Records = dict[tuple[str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def reader() -> dict[str, Any]:
    """The functions of the page's reader."""
    (block,) = [each for each in find_blocks(PAGE, "python") if "def read_log" in each.text]
    assert len(block.text.splitlines()) <= 85
    names: dict[str, Any] = {}
    exec(compile(block.text, str(PAGE), "exec"), names)
    return names


def run_and_die(url: str, durability: str = "process", repeats: int = 1) -> None:
    """Log 601 records, publish two thirds of them, and be killed."""
    columns = {"number": "int64"} if url.startswith("parquet") else None
    program = KILLED % {"repeats": repeats, "columns": columns}
    done = warm.run([sys.executable, "-c", program, url, durability], check=False)
    assert -signal.SIGKILL == done.returncode


def by_logbatch(directory: Path) -> Records:
    """Read what logbatch's own reader sees, without nulls."""
    return {
        (row["producer"], row["sequence"]): {k: v for k, v in row.items() if v is not None}
        for row in logbatch.Dataset(directory).rows()
    }


def without_promoted(records: Records) -> Records:
    """Leave out the column that is not among the fixed ones."""
    return {key: {k: v for k, v in row.items() if k != "number"} for key, row in records.items()}


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_reader_sees_what_killed_processes_left(
    kind: str, durability: str, tmp_path: Path, reader: dict[str, Any]
) -> None:
    """Every record of two killed processes, in files and in journals, and each of them once."""
    for _ in range(2):
        run_and_die(f"{kind}:{tmp_path / 'logs'}", durability)
    found = reader["read_log"](tmp_path / "logs")
    assert 2 * 601 == len(found)
    assert by_logbatch(tmp_path / "logs") == without_promoted(found)


def test_the_reader_sees_what_fills_several_pieces(tmp_path: Path, reader: dict[str, Any]) -> None:
    """A journal of several pieces is read from the settled one on."""
    # 20 MB are left, and no piece is longer than 16.
    run_and_die(f"parquet:{tmp_path / 'logs'}", repeats=10_000)
    assert len(list((tmp_path / "logs" / ".journal").glob("*.journal"))) > 1
    found = reader["read_log"](tmp_path / "logs")
    assert 601 == len(found)
    assert by_logbatch(tmp_path / "logs") == without_promoted(found)


def test_the_reader_sees_files_of_all_kinds(tmp_path: Path, reader: dict[str, Any]) -> None:
    """Parquet, JSON Lines, and both compressed forms of it, in one directory."""
    log = logging.getLogger("kinds")
    log.setLevel(logging.INFO)
    forms: list[tuple[str, dict[str, Any]]] = [
        ("parquet:logs", {}),
        ("jsonl:logs", {}),
        ("jsonl:logs", {"compression": "gzip"}),
        ("jsonl:logs", {"compression": "zstd"}),
    ]
    for url, options in forms:
        handler = logbatch.BatchHandler(url, **options)
        log.addHandler(handler)
        log.info("to %s", url, extra=options)
        log.removeHandler(handler)
        handler.close()
    kinds = {path.name.partition(".")[2] for path in Path("logs").glob("date=*/*")}
    assert {"parquet", "jsonl", "jsonl.gz", "jsonl.zst"} == kinds
    found = reader["read_log"](Path("logs"))
    assert 4 == len(found)
    assert by_logbatch(Path("logs")) == found


def test_the_reader_goes_on_behind_what_was_dropped(home: Path, reader: dict[str, Any]) -> None:
    """Where the oldest events were dropped, those behind them keep their numbers."""
    answers = itertools.repeat(logbatch.TemporaryError("away", retry_after=60))
    transport = CapturingTransport(answers, destination="nowhere")
    handler = logbatch.BatchHandler(
        transport, when_full="drop_oldest", max_journal_bytes=1 << 20, flush_interval=0.01
    )
    log = logging.getLogger("dropping")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("record %d", 0)
    wait_until(lambda: handler.stats().errors)  # while it reads to send, less can be dropped
    for number in range(1, 20_000):
        log.info("record %d", number, extra={"filling": "x" * 100})
    log.removeHandler(handler)
    assert handler.stats().dropped
    (folder,) = {path.parent for path in home.rglob("*.state")}
    found = reader["read_journals"](folder)
    handler.close(timeout=0)

    assert [f"record {sequence}" for _, sequence in found] == [
        row["message"] for row in found.values()
    ]
    sequences = {sequence for _, sequence in found}
    holes = sum(1 for each in sequences if each + 1 not in sequences)
    assert (2, 19_999) == (holes, max(sequences))  # one hole, and the end
    (pending,) = read_pending(folder)
    assert pending.first in sequences


def test_the_reader_sees_each_record_once_while_it_moves(
    tmp_path: Path, reader: dict[str, Any]
) -> None:
    """While processes publish every 20 ms, what is seen has no gap and never becomes less."""
    url = f"jsonl:{tmp_path / 'logs'}"
    processes = [warm.Popen([sys.executable, "-c", BUSY, url]) for _ in range(2)]
    counts = [0]
    while any(process.poll() is None for process in processes):
        if (tmp_path / "logs").exists():
            counts.append(len(read_without_holes(reader, tmp_path / "logs")))
    assert [0, 0] == [process.wait() for process in processes]
    assert sorted(counts) == counts
    assert 20_000 == len(read_without_holes(reader, tmp_path / "logs"))


def read_without_holes(reader: dict[str, Any], directory: Path) -> Records:
    """Read, and once more where there is a hole, as the page says."""
    for last in (False, True):
        found: Records = reader["read_log"](directory)
        holes = [(p, n) for p, n in found if n > 0 and (p, n - 1) not in found]
        if not holes:
            return found
        assert not last, holes
    raise AssertionError


def test_the_table_of_columns_is_that_of_a_file(tmp_path: Path) -> None:
    """Names, order, types and nulls are those of a file that was written."""
    with logbatch.attach("parquet:logs"):
        logging.getLogger("one").error("record")
    (path,) = Path("logs").glob("date=*/*.parquet")
    schema = pq.read_schema(path)
    rows = find_rows(PAGE, "A record")
    assert schema.names == [row[0].strip("`") for row in rows]
    assert [str(field.type) for field in schema] == [
        row[1].replace("UTC", "tz=UTC") for row in rows
    ]
    assert [field.nullable for field in schema] == [row[2] == "yes" for row in rows]


def test_the_names_in_the_picture_are_names(reader: dict[str, Any]) -> None:
    """What the picture of a directory says are records, the reader takes for them; nothing else."""
    picture = next(block.text for block in find_blocks(PAGE) if "date=2026-11-21/" in block.text)
    names = re.findall(r"^    (\S+)", picture, re.MULTILINE)
    records = [name for name in names if reader["FILE"].fullmatch(name)]
    assert 5 == len(records)
    assert records == names[:5]


def test_the_example_of_a_state_is_one(tmp_path: Path, reader: dict[str, Any]) -> None:
    """The page's reader takes the page's own slots, and the newer one holds."""
    example = next(block.text for block in find_blocks(PAGE) if '"format": 1' in block.text)
    owner, *slots = example.encode().splitlines()
    content = owner.ljust(1023) + b"\n" + b"".join(slot.ljust(255) + b"\n" for slot in slots)
    (tmp_path / "a.state").write_bytes(content)
    assert 1536 == len(content)
    assert [7, 0, 43817, 161, 0, 45023, 165, 0, 0, 0, 0] == reader["read_slot"](
        tmp_path / "a.state"
    )
    for slot in slots:
        numbers, _, checksum = slot.rpartition(b" ")
        assert b"%08x" % zlib.crc32(numbers) == checksum


def test_a_state_is_as_the_page_says(tmp_path: Path) -> None:
    """Its size, the form of its lines and the owner it names."""
    handler = logbatch.BatchHandler("parquet:logs", flush_interval=3600)
    log = logging.getLogger("stating")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("one")
    log.removeHandler(handler)
    (state,) = Path("logs/.journal").glob("*.state")
    content = state.read_bytes()
    handler.close()

    assert 1536 == len(content)
    assert b"\n" == content[1023:1024]
    assert b"\n" in (content[1279:1280], content[1535:1536])  # the other was not written yet
    assert f'"pid": {os.getpid()},'.encode() in content[:1024]
