"""Real programs, unchanged but for their logging configuration, keep every record."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from recovering import recover
from servers import free_port, running

from logbatch import Dataset
from logbatch.transports import build

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = Path(__file__).parent / "programs"
REQUESTS = 50


def get(url: str) -> int:
    """Ask for a page and return the status."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_flask_app_keeps_every_record(tmp_path: Path) -> None:
    """What a Flask app and its server log is there once, though SIGTERM ended it."""
    logs, port = tmp_path / "logs", free_port()
    app = str(EXAMPLES / "flask_app.py")
    command = [sys.executable, "-m", "flask", "--app", app, "run", "--port", str(port)]
    with running(command, port, tmp_path, LOGBATCH_TRANSPORT=f"parquet:{logs}"):
        statuses = [get(f"http://127.0.0.1:{port}/items/{n}") for n in range(REQUESTS)]
    assert 5 == statuses.count(404)
    recover(build(f"parquet:{logs}"))
    asked = [r["attributes"]["item"] for r in Dataset(logs).rows('"asked for"')]
    assert list(range(REQUESTS)) == sorted(asked)
    assert REQUESTS == sum(1 for _ in Dataset(logs).rows('logger=werkzeug "GET /items/"'))
    failed = list(Dataset(logs).rows("level>=ERROR exception_type=LookupError"))
    assert {0, 10, 20, 30, 40} == {row["attributes"]["item"] for row in failed}
    assert all("Traceback (most recent call last)" in row["stacktrace"] for row in failed)


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn_with_a_log_config_keeps_every_record(tmp_path: Path, workers: int) -> None:
    """Uvicorn's access log is there once, from one process or from several."""
    logs, port = tmp_path / "logs", free_port()
    config = str(EXAMPLES / "uvicorn_logging.json")
    command = [sys.executable, "-m", "uvicorn", "asgi:app", "--app-dir", str(PROGRAMS)]
    command += ["--port", str(port), "--log-config", config, "--workers", str(workers)]
    with running(command, port, tmp_path, LOGBATCH_TRANSPORT=f"parquet:{logs}"):
        assert [200] * REQUESTS == [get(f"http://127.0.0.1:{port}/{n}") for n in range(REQUESTS)]
    recover(build(f"parquet:{logs}"))
    messages = [row["message"] for row in Dataset(logs).rows("logger=uvicorn.access")]
    asked = sorted(int(message.split()[3].lstrip("/")) for message in messages)
    assert list(range(REQUESTS)) == asked
    started = list(Dataset(logs).rows('logger=uvicorn.error "Started server"'))
    assert 1 <= len(started)
    assert all({} == row["attributes"] for row in started)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_keeps_every_record(tmp_path: Path, method: str) -> None:
    """Each record of a pool's workers is there once, though the pool is terminated."""
    logs = tmp_path / "logs"
    subprocess.run(
        [sys.executable, str(EXAMPLES / "pool.py"), method],
        env=os.environ | {"LOGBATCH_TRANSPORT": f"parquet:{logs}"},
        check=True,
        timeout=100,
    )
    numbers = [row["attributes"]["number"] for row in Dataset(logs).rows("squaring")]
    assert list(range(1000)) == sorted(numbers)
    assert ["sum 332833500"] == [row["message"] for row in Dataset(logs).rows('"sum "')]
