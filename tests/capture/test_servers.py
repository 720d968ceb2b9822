"""Servers and workers as they come, under `logbatch run`: what their processes log is there, once.

`tox -e recipes` has the software; elsewhere this file is skipped where some of it is missing.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from servers import free_port, wait_for
from waiting import PATIENCE, wait_until

from logbatch.dataset.reader import Dataset
from logbatch.dataset.verify import verify

for _name in ("celery", "django", "flask", "gunicorn", "uvicorn", "watchfiles"):
    if os.environ.get("TOX_ENV_NAME") == "recipes":
        importlib.import_module(_name)
    else:
        pytest.importorskip(_name)

pytestmark = pytest.mark.usefixtures("home")

RUN = (sys.executable, "-m", "logbatch", "run", "--to", "parquet:logs")

Rows = list[dict[str, Any]]


class Started:
    """A server that runs in the current directory.

    Args:
        process: Its first process.
        port: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, path: str) -> str:
        """Send a request and return the answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def try_to_ask(self, path: str) -> str | None:
        """Do the same while the server may be away."""
        with suppress(OSError):
            return self.ask(path)
        return None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal to its first process, and return its status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def started(*words: str, port: int | None = None) -> Iterator[Started]:
    """Run a server; whatever is left of it at the end is killed."""
    log = Path("output.log")
    command = [*RUN, *words]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        if port is not None:
            wait_for(process, port, log)
        yield Started(process, port or 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nobody else is in it
        process.wait(PATIENCE)


def rows(where: str = "") -> Rows:
    """Return what is stored, in the order of time."""
    return list(Dataset("logs").rows(where)) if Path("logs").exists() else []


def wait_for_rows(where: str, count: int) -> Rows:
    """Wait until so many records are there."""
    found: Rows = []

    def are_there() -> bool:
        found[:] = rows(where)
        return len(found) >= count

    wait_until(are_there, f"{count} records {where}", every=0.05)
    return found


def assert_one_run(found: Rows, processes: int) -> None:
    """All records are of one run, of at least so many processes, and none is missing."""
    assert 1 == len({row["attributes"]["run_id"] for row in found})
    assert processes <= len({row["process"] for row in found})
    report = verify(Path("logs"))
    assert (0, 0) == (report.gaps, report.repeated)


FLASK = """
import logging, os
from flask import Flask

app = Flask(__name__)

@app.route("/items/<int:item>")
def show(item):
    app.logger.warning("item %d asked for", item, extra={"item": item})
    return f"{os.getpid()} one"
"""


def test_flask_with_its_reloader(tmp_path: Path) -> None:
    """Flask's server is started anew when its code changes, and logs into the same run."""
    Path("shop.py").write_text(FLASK)
    port = free_port()
    words = ("-m", "flask", "--app", "shop", "run", "--debug", "--port", str(port))
    with started(*words, port=port) as server:
        assert "one" in server.ask("items/1")
        (before,) = wait_for_rows("logger=shop", 1)
        Path("shop.py").write_text(FLASK.replace("one", "two"))
        wait_until(lambda: "two" in (server.try_to_ask("items/2") or ""), "the reload", every=0.2)
        assert before["process"] != wait_for_rows("logger=shop item=2", 1)[-1]["process"]
        assert 1 <= len(wait_for_rows('logger=werkzeug "GET /items/2"', 1))
    assert_one_run(rows("logger=shop"), 2)


DJANGO = {
    "settings.py": """
DEBUG = True
SECRET_KEY = "x"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.utils.autoreload": {"level": "DEBUG"}},
}
""",
    "urls.py": """
import logging
from django.http import HttpResponse
from django.urls import path

def show(request, item):
    logging.getLogger("django.shop").info("item %d asked for", item)
    return HttpResponse("one")

urlpatterns = [path("items/<int:item>", show)]
""",
    "manage.py": """
import os, sys
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    execute_from_command_line(sys.argv)
""",
}


def test_django_with_its_reloader(tmp_path: Path) -> None:
    """Django's server is started anew when its code changes, and logs into the same run."""
    for name, text in DJANGO.items():
        Path(name).write_text(text)
    port = free_port()
    with started("manage.py", "runserver", str(port), "--skip-checks", port=port) as server:
        assert "one" in server.ask("items/1")
        (before,) = wait_for_rows("logger=django.shop", 1)
        # The reloader compares a file with what it has seen of it; this server answers before that.
        wait_for_rows(f'logger=django.utils.autoreload "{Path.cwd().name}/urls.py first seen"', 1)
        Path("urls.py").write_text(DJANGO["urls.py"].replace("one", "two"))
        wait_until(lambda: "two" in (server.try_to_ask("items/2") or ""), "the reload", every=0.2)
        found = wait_for_rows('logger=django.shop "item 2"', 1)
        assert before["process"] != found[-1]["process"]
        assert 1 <= len(wait_for_rows('logger=django.server "GET /items/2"', 1))
    assert_one_run(rows("logger=django.shop"), 2)


ASGI = """
import logging, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    logging.getLogger("shop").warning("asked for %s", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d one" % os.getpid()})
"""


@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["one", "workers"])
def test_uvicorn(more: Sequence[str], tmp_path: Path) -> None:
    """Uvicorn configures logging by itself; its access log is there, and the application's."""
    Path("app.py").write_text(ASGI)
    port = free_port()
    with started("-m", "uvicorn", "app:app", "--port", str(port), *more, port=port) as server:
        pids: set[str] = set()

        def ask() -> bool:
            pids.add(server.ask(f"items/{len(pids)}").partition(" ")[0])
            return len(pids) >= (2 if more else 1)

        wait_until(ask, "an answer of each worker")
        wait_for_rows("logger=shop", len(pids))
        wait_for_rows("logger=uvicorn.access", len(pids))
        assert server.end() in (0, -signal.SIGTERM)
    assert len(rows("logger=shop")) == len(rows("logger=uvicorn.access"))
    assert pids == {str(row["process"]) for row in rows("logger=shop")}
    assert_one_run(rows(), 3 if more else 1)
    assert rows('logger=uvicorn.error "Finished server process"')


def test_uvicorn_with_its_reloader(tmp_path: Path) -> None:
    """Uvicorn's reloader starts another process, which logs into the same run."""
    Path("app.py").write_text(ASGI)
    port = free_port()
    words = ("-m", "uvicorn", "app:app", "--port", str(port), "--reload")
    with started(*words, port=port) as server:
        wait_until(lambda: server.try_to_ask("items/1"), "the first answer", every=0.1)
        wait_for_rows("logger=shop", 1)

        def reload() -> bool:
            if "two" in (server.try_to_ask("items/2") or ""):
                return True
            # Again and again: the first may come before it has begun to look.
            Path("app.py").write_text(ASGI.replace("one", "two"))
            return False

        wait_until(reload, "the reload", every=2)
        wait_for_rows('logger=shop "items/2"', 1)
    assert_one_run(rows(), 3)


def test_gunicorn(tmp_path: Path) -> None:
    """Gunicorn's own log, and what its two workers log, are there, though one crashes."""
    Path("shop.py").write_text(
        f"{FLASK}\n@app.route('/crash')\ndef crash():\n    import ctypes; ctypes.string_at(0)\n"
    )
    port = free_port()
    words = ("-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "--access-logfile", "-")
    with started(*words, "shop:app", port=port) as server:
        pids: set[str] = set()

        def ask() -> bool:
            pids.add(server.ask(f"items/{len(pids)}").partition(" ")[0])
            return len(pids) >= 2

        wait_until(ask, "an answer of each worker")
        wait_for_rows("logger=shop", 2)
        with pytest.raises(OSError):
            server.ask("crash")
        (crash,) = wait_for_rows('logger=run "Segmentation fault"', 1)
        assert "shop.py" in crash["stacktrace"]
        assert 0 == server.end()
    assert len(rows("logger=shop")) == len(rows('logger=gunicorn.access "/items/"'))
    assert pids <= {str(row["process"]) for row in rows("logger=shop")}
    assert 3 <= len(rows('logger=gunicorn.error "Booting worker"'))
    assert_one_run(rows(), 3)


CELERY = """
import logging, os
from celery import Celery
from celery.utils.log import get_task_logger

for folder in ("queue", "control"):
    os.makedirs(folder, exist_ok=True)
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": os.environ.get("OUTBOX", "queue"),
    "control_folder": "control",
}
log = get_task_logger(__name__)

@app.task
def add(a, b):
    log.info("adding %d", a)
    return a + b
"""


def test_celery(tmp_path: Path) -> None:
    """A Celery worker hijacks the root logger; its log, and its tasks', are there once."""
    Path("tasks.py").write_text(CELERY)
    Path("outbox").mkdir()
    words = ("-m", "celery", "-A", "tasks", "worker", "-l", "INFO", "-c", "2")
    with started(*words) as worker:
        wait_for_rows('logger=celery.apps.worker "ready"', 1)
        # Celery's broker of files writes a message where the worker reads it: half of it, maybe.
        code = "import tasks\nfor n in range(10): tasks.add.delay(n, 1)"
        env = {**os.environ, "OUTBOX": "outbox"}
        subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=PATIENCE)
        for path in sorted(Path("outbox").iterdir()):
            path.rename(Path("queue") / path.name)
        wait_for_rows("logger=celery.app.trace succeeded", 10)
        assert 0 == worker.end()
    assert 10 == len(rows("logger=tasks adding"))
    assert 10 == len(rows("logger=celery.app.trace succeeded"))
    assert_one_run(rows(), 2)


def test_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest prints what it prints, and what is logged by the tests is stored."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    Path("test_it.py").write_text(
        "import logging, warnings\n"
        "def test_one(caplog):\n    logging.warning('one'); assert 'one' in caplog.text\n"
        "def test_two():\n    logging.getLogger('a').error('two'); assert 0\n"
        "def test_three():\n    warnings.warn('three')\n"
    )
    words = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q", "--no-header")
    outputs = []
    for command in ([sys.executable], RUN):
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert 1 == done.returncode, done.stderr
        outputs.append((done.stdout.rpartition(" in ")[0], done.stderr))
    assert outputs[0] == outputs[1]
    assert ["one", "two"] == [row["message"] for row in rows("level>=WARNING")]
