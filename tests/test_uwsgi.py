"""Real uWSGI, which forks its workers without `os.fork`: each record is there once.

`tox -e recipes` has uWSGI, which is compiled; elsewhere this is skipped where it is missing.
"""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recovering import recover
from servers import free_port, running
from waiting import PATIENCE, wait_until

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.transports import build

UWSGI = Path(sys.executable).with_name("uwsgi")
PROGRAMS = Path(__file__).parent / "programs"

pytestmark = pytest.mark.skipif(not UWSGI.exists(), reason="uWSGI is not installed")

MODES = ["", "--lazy-apps", "--py-call-uwsgi-fork-hooks"]


def ask(port: int, numbers: Iterable[int]) -> set[int]:
    """Ask with each number, some at a time; return the pids of those that answered."""

    def get(number: int) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=PATIENCE) as page:
            return int(page.read())

    with ThreadPoolExecutor(6) as pool:
        return set(pool.map(get, numbers))


@pytest.mark.parametrize("mode", MODES)
def test_each_worker_logs_for_itself(mode: str, tmp_path: Path) -> None:
    """Regression: workers wrote over each other in the master's journal, and new ones hung."""
    port, logs = free_port(), tmp_path / "logs"
    address = f"127.0.0.1:{port}"
    command: list[str | Path] = [UWSGI, "--http-socket", address, "--pythonpath", str(PROGRAMS)]
    command += ["--module", "wsgi", "--need-app", "--processes", "3", "--master", "--die-on-term"]
    command += [mode, "--enable-threads"] if mode else []

    def said() -> str:
        return (tmp_path / "server.log").read_text()

    def is_complete() -> bool:
        """Return whether no worker loads the application: one that is told to end then hangs."""
        loads = 4 if mode == "--lazy-apps" else 1
        return "Respawned uWSGI worker" in said() and said().count(") ready in ") == loads

    with running(command, port, tmp_path):
        workers = ask(port, range(100))
        os.kill(min(workers), signal.SIGKILL)
        wait_until(is_complete, "a new worker")
        workers |= ask(port, range(100, 200))
    recover(build(f"jsonl:{logs}"))
    rows = list(Dataset(logs).rows())
    found = sorted(row["attributes"]["n"] for row in rows)
    loads = sum(n < 0 for n in found)
    assert list(range(600)) == found[loads:], said()
    assert {-2, -1} == set(found[:loads])
    assert workers == {row["process"] for row in rows if row["attributes"]["n"] >= 0}
    assert verify(logs).ok
