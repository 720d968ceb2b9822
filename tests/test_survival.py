"""The table of what is lost when a process ends: our row is all zeros."""

import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest

from logbatch import Dataset
from logbatch.batcher import recover
from logbatch.dataset.verify import verify
from logbatch.transports import build

PROGRAM = Path(__file__).parent / "programs" / "ending.py"
RECORDS = 5000

ALONE = [
    "end",
    "sys.exit",
    "exception",
    "SIGINT",
    "os._exit",
    "abort",
    "segfault",
    "SIGTERM",
    "SIGKILL",
    "thread",
    "daemon thread",
    "atexit",
    "os.fork",
]
WITH_CHILDREN = ["process", "process that dies", "pool", "executor"]
CASES = [(way, "fork") for way in ALONE] + [
    (way, method) for way in WITH_CHILDREN for method in ("fork", "spawn", "forkserver")
]
# What ends by itself, and its children too, leaves nothing to be recovered.
CLEAN = {"end", "sys.exit", "exception", "SIGINT", "thread", "daemon thread", "process", "executor"}


def run(url: str, way: str, method: str) -> None:
    """Run the program to its end, whatever that is."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), url, way, method],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Logging error" not in done.stderr
    assert "logbatch:" not in done.stderr, done.stderr
    if way in ("end", "process", "pool", "executor", "thread", "atexit", "os.fork"):
        assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("scheme", ["parquet", "jsonl"])
@pytest.mark.parametrize(("way", "method"), CASES, ids=[f"{way}-{how}" for way, how in CASES])
def test_nothing_is_lost_and_nothing_twice(tmp_path: Path, scheme: str, way: str, method: str):
    """However the process ends, each of 5,000 records is there exactly once, then and later."""
    url = f"{scheme}:{tmp_path / 'logs'}"
    run(url, way, method)
    seen = [row["attributes"]["n"] for row in Dataset(tmp_path / "logs").rows()]
    assert list(range(RECORDS)) == sorted(seen)

    recovered = recover(build(url))
    assert 0 == recovered.left
    if way in CLEAN:
        assert 0 == recovered.events
    left = [path.name for path in (tmp_path / "logs" / ".journal").glob("*")]
    assert [] == left
    kept = [row["attributes"]["n"] for row in Dataset(tmp_path / "logs").rows()]
    assert list(range(RECORDS)) == sorted(kept)
    assert verify(tmp_path / "logs").ok
    if scheme == "parquet":
        plain = pyarrow.dataset.dataset(tmp_path / "logs", format="parquet")
        assert RECORDS == plain.count_rows()
