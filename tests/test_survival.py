"""The table of what is lost when a process ends: our row is all zeros."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pyarrow.dataset
import pytest
import warm
from children import MAY_CRASH
from recovering import recover
from waiting import PATIENCE, wait_until

import logbatch
from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.storage.arrow import schema
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
    "C fork",
]
WITH_CHILDREN = ["process", "process that dies", "pool", "executor"]
CASES = [(way, "fork") for way in ALONE] + [
    (way, method) for way in WITH_CHILDREN for method in ("fork", "spawn", "forkserver")
]
# What ends by itself, and its children too, leaves nothing to be recovered.
CLEAN = {"end", "sys.exit", "exception", "SIGINT", "thread", "daemon thread", "process", "executor"}

# It does not come to an end of Python's, so it may be forked from one in which all is imported.
KILLED = {"os._exit", "abort", "segfault", "SIGTERM", "SIGKILL"}

# Forked processes of which one dies without further ado while others go on.
SHARING = {("os.fork", "fork"), ("C fork", "fork"), ("process that dies", "fork"), ("pool", "fork")}


def run(url: str, way: str, method: str) -> None:
    """Run the program to its end, whatever that is."""
    start = warm.run if way in KILLED else subprocess.run
    command = [sys.executable, str(PROGRAM), url, way, method]
    done = start(command, capture_output=True, text=True, timeout=100, check=False)
    assert "Logging error" not in done.stderr
    assert "logbatch:" not in done.stderr, done.stderr
    if way in ("end", "process", "pool", "executor", "thread", "atexit", "os.fork", "C fork"):
        assert 0 == done.returncode, done.stderr


def numbers(logs: Path) -> list[int]:
    """Read the numbers of all records, those that are not published as well."""
    found = Dataset(logs).to_table(columns=["attributes"])["attributes"].to_pylist()
    return sorted(json.loads(str(text))["n"] for text in found)


@pytest.mark.parametrize("scheme", ["parquet", "jsonl"])
@pytest.mark.parametrize(("way", "method"), CASES, ids=[f"{way}-{how}" for way, how in CASES])
def test_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, scheme: str, way: str, method: str
) -> None:
    """However the process ends, each of 5,000 records is there exactly once, then and later."""
    if "FAKETIME" in os.environ and (way, method) in SHARING:
        pytest.skip("libfaketime's lock is shared by forked processes; one that dies may hold it")
    if way == "C fork" and MAY_CRASH:
        pytest.skip(MAY_CRASH)
    url = f"{scheme}:{tmp_path / 'logs'}"
    run(url, way, method)
    assert list(range(RECORDS)) == numbers(tmp_path / "logs")

    recovered = recover(build(url))
    assert 0 == recovered.left
    if way in CLEAN:
        assert 0 == recovered.events
    assert {"reports"} >= set(os.listdir(tmp_path / "logs" / ".journal"))
    assert list(range(RECORDS)) == numbers(tmp_path / "logs")
    assert verify(tmp_path / "logs").ok
    if scheme == "parquet":
        plain = pyarrow.dataset.dataset(tmp_path / "logs", format="parquet")
        assert RECORDS == plain.count_rows()


@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("end", "fork"),
        ("SIGKILL", "fork"),
        ("atexit", "fork"),
        ("os.fork", "fork"),
        ("C fork", "fork"),
        ("process", "spawn"),
        ("pool", "fork"),
    ],
)
def test_nothing_is_lost_and_nothing_twice_in_sqlite(tmp_path: Path, way: str, method: str) -> None:
    """The same, for the ways that differ: one file is shared by all processes."""
    if "FAKETIME" in os.environ and (way, method) in SHARING:
        pytest.skip("libfaketime's lock is shared by forked processes; one that dies may hold it")
    if way == "C fork" and MAY_CRASH:
        pytest.skip(MAY_CRASH)
    url = f"sqlite:{tmp_path / 'logs.db'}"
    run(url, way, method)
    recovered = recover(build(url))
    assert 0 == recovered.left
    if way in CLEAN:
        assert 0 == recovered.events
    assert ["reports"] == os.listdir(tmp_path / ".logs.db.journal")
    with closing(sqlite3.connect(tmp_path / "logs.db")) as connection:
        found = connection.execute("SELECT json_extract(attributes, '$.n') FROM events")
        assert list(range(RECORDS)) == sorted(n for (n,) in found)


def test_a_live_handler_finishes_what_a_killed_process_left(tmp_path: Path) -> None:
    """Records of a killed process are in files within seconds while any handler is alive."""
    logs = tmp_path / "logs"
    with logbatch.BatchHandler(f"parquet:{logs}") as handler:
        logger = logging.Logger("alive")
        logger.addHandler(handler)
        logger.info("alive")
        run(f"parquet:{logs}", "SIGKILL", "fork")
        # The promise is 5 s; this machine may be busy.
        wait_until(lambda: handler.stats().recovered == RECORDS and handler.flush())
        assert RECORDS + 1 == len(published(logs))
        assert RECORDS == handler.stats().recovered


EXECUTES = """
import logging, os, sys
import logbatch

handler = logbatch.BatchHandler(sys.argv[1], flush_interval=3600)
log = logging.getLogger()
log.addHandler(handler)
log.warning("before")
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[2:]])
"""
RESTS = """
print("ready", flush=True)
input()
"""
LOGS = """
import logging, sys, time
import logbatch

with logbatch.BatchHandler(sys.argv[1]) as handler:
    log = logging.getLogger()
    log.addHandler(handler)
    log.warning("after")
    while handler.stats().recovered == 0:
        time.sleep(0.01)
"""


def test_a_process_that_executes_another_program(tmp_path: Path) -> None:
    """Regression: its journal counted as that of a living process, of which it had the pid."""
    url = f"jsonl:{tmp_path / 'logs'}"
    command = [sys.executable, "-c", EXECUTES, url, RESTS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        done = recover(build(url))
        assert (1, 1, 0) == (done.producers, done.events, done.left)
        process.communicate(b"\n")
    assert ["before"] == [row["message"] for row in Dataset(tmp_path / "logs").rows()]


def test_a_process_that_executes_itself_again(tmp_path: Path) -> None:
    """It publishes what it had logged before, as autoreloaders need it."""
    url = f"jsonl:{tmp_path / 'logs'}"
    command = [sys.executable, "-c", EXECUTES, url, LOGS, url]
    subprocess.run(command, check=True, timeout=PATIENCE)
    messages = [row["message"] for row in Dataset(tmp_path / "logs").rows()]
    assert ["after", "before"] == sorted(messages)
    assert [] == list((tmp_path / "logs" / ".journal").glob("*.journal"))


def test_a_live_journal_is_left_alone(tmp_path: Path) -> None:
    """Neither `recover` nor another handler touches the journal of a handler that lives."""
    logs = tmp_path / "logs"
    with logbatch.BatchHandler(f"parquet:{logs}", flush_interval=3600) as handler:
        logger = logging.Logger("alive")
        logger.addHandler(handler)
        logger.info("waiting")
        assert (0, 0, 0) == recover(build(f"parquet:{logs}"))[:3]
        assert [] == published(logs)
        assert ["waiting"] == [row["message"] for row in Dataset(logs).rows()]
    assert ["waiting"] == published(logs)


def published(logs: Path) -> list[str]:
    """Read the messages in the published files alone, as another engine would."""
    if not logs.is_dir():
        return []
    files = pyarrow.dataset.dataset(logs, format="parquet", schema=schema())
    return [str(each) for each in files.to_table(columns=["message"])["message"].to_pylist()]


def test_a_process_whose_destinations_hang_ends_within_one_close_timeout() -> None:
    """However many handlers hang, the end of the process waits `close_timeout` once."""
    command = [sys.executable, str(PROGRAM.with_name("hanging.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"ends\n" == process.stdout.readline()
        started = time.monotonic()
        assert 0 == process.wait(60)
    assert time.monotonic() - started < 5 * 2.0  # eight would wait for 16
