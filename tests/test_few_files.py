"""A process that logs leaves few files, and a reader sees each record once all the while."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from children import Child
from waiting import PATIENCE, wait_until

import logbatch
from logbatch import BatchHandler, Dataset
from logbatch.dataset.verify import verify
from logbatch.storage.segments import list_segments

PROGRAM = """
import logging, sys
import logbatch

handler = logbatch.BatchHandler(sys.argv[1], flush_interval=0.05)
log = logging.getLogger()
log.setLevel(logging.INFO)
log.addHandler(handler)
for n in range(int(sys.argv[2])):
    log.log(logging.ERROR if n % 10 == 9 else logging.INFO, "n %d", n, extra={"n": n})
    if n % 10 == 9:
        handler.flush()
print("flushed", flush=True)
sys.stdin.read()
handler.close()
stats = handler.stats()
print(stats.published, stats.batches, stats.merges, stats.merged_files)
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[logging.Logger, BatchHandler]]:
    """A logger with a handler that writes often."""
    handler = BatchHandler(f"parquet:{tmp_path / 'logs'}", flush_interval=0.01)
    logger = logging.Logger("app")
    logger.addHandler(handler)
    yield logger, handler
    handler.close()


def test_a_service_with_errors(tmp_path: Path) -> None:
    """Each error makes a file, and soon they are few; whoever counts meanwhile counts right."""
    logs, records = tmp_path / "logs", 300
    command = [sys.executable, "-c", PROGRAM, f"parquet:{logs}", str(records)]
    with warm.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        wait_until(lambda: list_segments(logs))
        dataset, seen = Dataset(logs), 0
        while seen < records:
            numbers = [row["attributes"]["n"] for row in dataset.rows()]
            assert list(range(len(numbers))) == sorted(numbers)
            assert seen <= len(numbers)
            seen = len(numbers)
        assert "flushed\n" == process.stdout.readline()
        wait_until(lambda: len(list_segments(logs)) <= 15)
        told, _ = process.communicate("", timeout=PATIENCE)
    published, batches, merges, files = map(int, told.split())
    assert records == published
    assert batches >= records / 10
    assert merges >= 1
    assert files - merges == batches - len(list_segments(logs))
    assert verify(logs).ok
    assert list(range(records)) == sorted(row["attributes"]["n"] for row in dataset.rows())


def test_few_files_after_a_pause(tmp_path: Path, app: tuple[logging.Logger, BatchHandler]) -> None:
    """Ten flushes, ten files; a moment later they are one, and `stats` and metrics say so."""
    logger, handler = app
    for n in range(10):
        logger.warning("n %d", n)
        assert handler.flush()
    wait_until(lambda: handler.stats().merges == 1)
    assert 1 == len(list_segments(tmp_path / "logs"))
    assert 10 == handler.stats().merged_files
    assert 0 < handler.stats().merged_bytes
    assert 10 == len(list(Dataset(tmp_path / "logs").rows()))


def test_a_child_leaves_its_parents_files_alone(
    tmp_path: Path, app: tuple[logging.Logger, BatchHandler]
) -> None:
    """What was published before the fork is merged by the parent, each process its own."""
    logger, handler = app
    logs = tmp_path / "logs"
    for n in range(5):
        logger.warning("parent %d", n)
        assert handler.flush()

    def work() -> None:
        for n in range(10):
            logger.warning("child %d", n)
            assert handler.flush()
        wait_until(lambda: handler.stats().merges == 1)
        assert 10 == handler.stats().merged_files
        handler.close()

    Child(work).wait()
    for n in range(5, 10):
        logger.warning("parent %d", n)
        assert handler.flush()
    wait_until(lambda: len(list_segments(logs)) == 2)
    assert 20 == len({row["message"] for row in Dataset(logs).rows()})
    assert verify(logs).ok


def test_compact_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a keyword, in the URL, and in the environment of kind `parquet`."""
    monkeypatch.setenv("LOGBATCH_PARQUET_COMPACT", "false")
    for number, handler in enumerate(
        (
            logbatch.BatchHandler(f"parquet:{tmp_path / '0'}"),
            logbatch.BatchHandler(f"parquet:{tmp_path / '1'}?compact=false"),
            logbatch.BatchHandler(f"parquet:{tmp_path / '2'}", compact=False),
        )
    ):
        logger = logging.Logger("app")
        logger.addHandler(handler)
        for n in range(12):
            logger.warning("n %d", n)
            assert handler.flush()
        handler.close()
        assert 12 == len(list_segments(tmp_path / str(number)))
