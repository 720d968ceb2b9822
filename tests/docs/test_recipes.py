"""Each recipe of docs/recipes.md does what the page says, with the real software.

What is run is what stands there: its files and its commands, but for the port.  `tox -e recipes`
has the software; elsewhere this file is skipped where some of it is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, Block, find_blocks, find_rows
from lambda_api import LambdaApi
from servers import free_port, wait_for
from waiting import PATIENCE, wait_until

import logbatch
from logbatch.dataset.verify import verify

SOFTWARE = (
    *("awslambdaric", "celery", "django", "fastapi", "flask", "gunicorn"),
    *("ipykernel", "loguru", "nbclient", "uvicorn"),
)
for _name in SOFTWARE:
    if os.environ.get("TOX_ENV_NAME") == "recipes":
        importlib.import_module(_name)
    else:
        pytest.importorskip(_name)

pytestmark = pytest.mark.usefixtures("home")  # where some of this software writes

PAGE = ROOT / "docs" / "recipes.md"
PROGRAMS = Path(__file__).parents[1] / "programs"
SCRIPTS = Path(sys.executable).parent
REQUESTS = 40

Rows = list[dict[str, Any]]


class Recipe:
    """A section of the page.

    Args:
        section: Its heading.
        folder: Where its files are written and its commands run.
    """

    def __init__(self, section: str, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.blocks: list[Block] = [each for each in find_blocks(PAGE) if each.section == section]
        for block in self.blocks:
            if block.file:
                self.write(block.file, block.text.replace("8000", str(self.port)))

    def write(self, name: str, text: str) -> None:
        """Write a file, or add to one that is there."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def code(self) -> list[str]:
        """Return the Python blocks that are no files."""
        return [each.text for each in self.blocks if each.language == "python" and not each.file]

    def command(self) -> list[str]:
        """Return the one command of the section, its program that of this environment."""
        (block,) = [each for each in self.blocks if each.language == "console"]
        text = block.text.removeprefix("$ ").replace("8000", str(self.port))
        program, *arguments = shlex.split(text)
        found = sys.executable if program == "python" else str(SCRIPTS / program)
        return [found, *arguments]

    def run(self) -> str:
        """Run the command to its end and return what it printed."""
        done = subprocess.run(
            self.command(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command until the block ends; nothing of it goes on then."""
        log = self.folder / "output.log"
        with log.open("ab") as file, _started(self.command(), self.folder, file) as process:
            try:
                yield process
            except BaseException:
                print(log.read_text(encoding="utf-8", errors="replace"))
                raise

    def rows(self, where: str) -> Rows:
        """Read what was logged."""
        with suppress(logbatch.DatasetError):
            return list(logbatch.Dataset(self.folder / "logs").rows(where))
        return []

    def wait_for_rows(self, where: str, count: int) -> Rows:
        """Read what was logged once there is enough of it."""
        wait_until(lambda: len(self.rows(where)) >= count, f"{count} of {where}", every=0.1)
        return self.rows(where)

    def wait_for_output(self, text: str, times: int) -> None:
        """Return once the program has printed a text so often."""
        output = self.folder / "output.log"
        wait_until(lambda: output.read_text(encoding="utf-8").count(text) >= times, text)

    def ask(self, numbers: Sequence[int]) -> None:
        """Ask the server for items."""
        for number in numbers:
            url = f"http://127.0.0.1:{self.port}/items/{number}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert 200 == answer.status

    def assert_nothing_is_missing(self) -> None:
        """Each process's numbers have no gap, and none is there twice."""
        report = verify(self.folder / "logs")
        assert (0, 0) == (report.gaps, report.repeated)


@contextmanager
def _started(
    command: Sequence[str], folder: Path, output: Any
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=folder, stdout=output, stderr=output, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nobody else is in it
        process.wait(PATIENCE)


DJANGO_SITE = """
DEBUG = True
SECRET_KEY = "of a test"
ROOT_URLCONF = "urls"
"""
DJANGO_URLS = """
import logging
from django.http import JsonResponse
from django.urls import path

log = logging.getLogger("shop")

def show_item(request, item):
    log.info("item %d asked for", item, extra={"item": item})
    return JsonResponse({"item": item})

urlpatterns = [path("items/<int:item>", show_item)]
"""
DJANGO_MANAGE = """
import os
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line()
"""


def test_django(tmp_path: Path) -> None:
    """What a Django site logs is there once, though all its processes are killed; errors too."""
    recipe = Recipe("Django", tmp_path)
    recipe.write("settings.py", DJANGO_SITE)
    recipe.write("urls.py", DJANGO_URLS)
    recipe.write("manage.py", DJANGO_MANAGE)
    with recipe.running() as process:
        wait_for(process, recipe.port, tmp_path / "output.log")
        recipe.ask(range(REQUESTS))
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{recipe.port}/nowhere", timeout=10)
        error.value.close()
    items = recipe.rows("logger=shop")
    assert list(range(REQUESTS)) == [row["attributes"]["item"] for row in items]
    (failed,) = recipe.rows("logger=django.request")
    assert 404 == failed["attributes"]["status_code"]
    recipe.assert_nothing_is_missing()


def by_attribute(row: dict[str, Any]) -> int:
    """Return which item was asked for, where the record tells."""
    return int(row["attributes"]["item"])


def by_path(row: dict[str, Any]) -> int:
    """Return the same of an access log."""
    return int(row["message"].rpartition("/")[2])


SERVERS = {
    "Flask with gunicorn": ('"asked for"', by_attribute),
    "FastAPI with uvicorn": ('"asked for"', by_attribute),
    "uWSGI": ('"GET /items"', by_path),
}


@pytest.mark.parametrize("section", SERVERS)
def test_a_server_with_several_processes(section: str, tmp_path: Path) -> None:
    """What each process logs is there once, though one is killed; the server ends when told to."""
    if section == "uWSGI" and not (SCRIPTS / "uwsgi").exists():
        pytest.skip("uWSGI is not installed: it is compiled for that")
    where, number_of = SERVERS[section]
    recipe = Recipe(section, tmp_path)
    with recipe.running() as process:
        wait_for(process, recipe.port, tmp_path / "output.log")
        recipe.ask(range(REQUESTS))
        rows = recipe.wait_for_rows(where, REQUESTS)
        worker = rows[-1]["process"]
        assert worker != process.pid
        os.kill(worker, signal.SIGKILL)
        recipe.ask(range(REQUESTS, 2 * REQUESTS))
        if section == "uWSGI":
            # A worker that is told to end while it loads its application never does.
            recipe.wait_for_output("WSGI app 0 (mountpoint='') ready", 4)
        process.terminate()
        assert 0 == process.wait(PATIENCE)
    numbers = sorted(map(number_of, recipe.rows(where)))
    assert list(range(2 * REQUESTS)) == numbers
    recipe.assert_nothing_is_missing()


def test_gunicorn_logs_its_own(tmp_path: Path) -> None:
    """The access log and what gunicorn says of itself are there as well."""
    recipe = Recipe("Flask with gunicorn", tmp_path)
    with recipe.running() as process:
        wait_for(process, recipe.port, tmp_path / "output.log")
        recipe.ask(range(3))
        assert 3 == len(recipe.wait_for_rows('logger=gunicorn.access "GET /items"', 3))
        assert recipe.rows('logger=gunicorn.error "Booting worker"')


def test_fastapi_binds_the_request(tmp_path: Path) -> None:
    """Every record of a request has its id, also from a thread of the pool; so has no other."""
    recipe = Recipe("FastAPI with uvicorn", tmp_path)
    with recipe.running() as process:
        wait_for(process, recipe.port, tmp_path / "output.log")
        recipe.ask(range(5))
        rows = recipe.wait_for_rows("logger=shop", 5)
        assert 5 == len(recipe.wait_for_rows("logger=uvicorn.access", 5))
    assert 5 == len({row["attributes"]["request_id"] for row in rows})


CELERY_CONFIG = """
import os

for folder in ("queue", "control"):
    os.makedirs(folder, exist_ok=True)
broker_url = "filesystem://"
broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
}
"""
# Within a task: a process that waits for the next one holds a lock that Celery's others need.
CELERY_DEATH = """
import os

@app.task
def die():
    log.info("dying")
    os.kill(os.getpid(), 9)
"""


def send_tasks(recipe: Recipe, code: str) -> None:
    """Run code in a client of the worker.

    Celery's broker of files writes a message where the worker reads it, which then meets half of
    it; so messages are written elsewhere, and moved there.
    """
    outbox = recipe.folder / "outbox"
    outbox.mkdir(exist_ok=True)
    options = 'tasks.app.conf.broker_transport_options["data_folder_out"] = "outbox"'
    command = [sys.executable, "-c", f"import tasks\n{options}\n{code}"]
    subprocess.run(command, cwd=recipe.folder, check=True, timeout=PATIENCE)
    for path in sorted(outbox.iterdir()):
        path.rename(recipe.folder / "queue" / path.name)


def test_celery(tmp_path: Path) -> None:
    """Tasks and the worker itself are logged once, though a process of the pool is killed."""
    recipe = Recipe("Celery", tmp_path)
    recipe.write("celeryconfig.py", CELERY_CONFIG)
    recipe.write("tasks.py", CELERY_DEATH)
    with recipe.running() as process:
        send_tasks(recipe, "for n in range(20): tasks.add.delay(n, 1)")
        send_tasks(recipe, "tasks.die.delay()")
        recipe.wait_for_rows("logger=tasks dying", 1)
        send_tasks(recipe, "for n in range(20, 40): tasks.add.delay(n, 1)")
        recipe.wait_for_rows("logger=celery.app.trace succeeded", 40)
        process.terminate()
        assert 0 == process.wait(PATIENCE)
    rows = recipe.rows("logger=tasks adding")
    assert list(range(40)) == sorted(row["attributes"]["a"] for row in rows)
    assert 1 == len(recipe.rows("logger=tasks dying"))
    assert {"tasks.add"} == {row["attributes"]["task_name"] for row in rows}
    assert 40 == len({row["attributes"]["task_id"] for row in rows})
    assert 40 == len(recipe.rows("logger=celery.app.trace succeeded"))
    assert 41 == len(recipe.rows("logger=celery.worker.strategy received"))
    recipe.assert_nothing_is_missing()


def test_celery_needs_both_signals(tmp_path: Path) -> None:
    """With either signal alone the records of the other logger are missing, as the page says."""
    for signal_name, missing in (
        ("@after_setup_task_logger.connect\n", "logger=tasks adding"),
        ("@after_setup_logger.connect\n", "logger=celery.worker"),
    ):
        folder = tmp_path / missing.partition(" ")[0]
        folder.mkdir()
        recipe = Recipe("Celery", folder)
        recipe.write("celeryconfig.py", CELERY_CONFIG)
        program = (folder / "tasks.py").read_text(encoding="utf-8")
        assert signal_name in program
        (folder / "tasks.py").write_text(program.replace(signal_name, ""), encoding="utf-8")
        with recipe.running() as process:
            send_tasks(recipe, "for n in range(3): tasks.add.delay(n, 1)")
            there = {"logger=tasks adding", "logger=celery.worker"} - {missing}
            assert recipe.wait_for_rows(there.pop(), 3)
            process.terminate()
            process.wait(PATIENCE)
        assert [] == recipe.rows(missing)


def test_loguru(tmp_path: Path) -> None:
    """Message, level, bound values and exception are stored, each in its place."""
    recipe = Recipe("loguru", tmp_path)
    recipe.run()
    imported, failed = recipe.rows("")
    assert "1204 items imported" == imported["message"]
    assert ("SUCCESS", 25) == (imported["level"], imported["levelno"])
    assert [imported] == recipe.rows("extra.user_id=42")
    assert "ZeroDivisionError" == failed["exception_type"]
    assert "1 / 0" in failed["stacktrace"]
    assert "Traceback" not in failed["message"]


def test_pytest(tmp_path: Path) -> None:
    """What tests log can be asked for by test, and a test can say what must be logged."""
    recipe = Recipe("pytest", tmp_path)
    assert "1 passed" in recipe.run()
    (row,) = recipe.rows("test~order")
    assert "order 7" == row["message"]
    assert "test_shop.py::test_an_order_is_logged" == row["attributes"]["test"]


def test_notebooks(tmp_path: Path) -> None:
    """Running the first cell again doubles nothing, and a kernel that is killed loses nothing."""
    recipe = Recipe("Notebooks", tmp_path)
    setup, train, look = recipe.code()
    cells = [setup, setup, train, look]
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "notebook.py")],
        input=json.dumps(cells),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "[1.0, 0.5, 0.3333333333333333]" == done.stdout.strip()
    rows = recipe.rows("logger=training")
    assert [0, 1, 2] == [row["attributes"]["epoch"] for row in rows]
    assert {"training.ipynb"} == {row["service"] for row in rows}


# ------------------------------------------------------------------ AWS Lambda


LAMBDA_DEATH = """
class Killer(logging.Handler):
    def emit(self, record):
        if record.getMessage() == "order 1":
            import os
            os.kill(os.getpid(), 9)

logging.getLogger().addHandler(Killer())
"""


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], Any], str]]:
    """A receiver that can be stopped and started again: its directory, its starter, its URL."""
    port = free_port()
    folder = tmp_path / "receiver"
    folder.mkdir()
    command = [sys.executable, "-m", "logbatch", "serve", "logs", "--port", str(port)]

    @contextmanager
    def start() -> Iterator[None]:
        with (folder / "server.log").open("ab") as log, _started(command, folder, log) as process:
            wait_for(process, port, folder / "server.log")
            yield
            process.terminate()
            process.wait(PATIENCE)

    yield folder / "logs", start, f"http://127.0.0.1:{port}/v1/logs"


def lambda_environment(url: str, tmp_path: Path) -> dict[str, str]:
    """What a function sees of AWS: no home, and one directory that can be written to."""
    variables = {row[0].strip("`"): row[1].strip("`") for row in find_rows(PAGE, "AWS Lambda")}
    assert {"LOGBATCH_TRANSPORT", "XDG_STATE_HOME"} == variables.keys()
    variables["LOGBATCH_TRANSPORT"] = url
    variables["XDG_STATE_HOME"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    return {**os.environ, **variables, "HOME": "/dev/null/home"}


def orders(directory: Path) -> list[int]:
    """List the orders whose records have arrived."""
    rows = logbatch.Dataset(directory).rows("logger=orders")
    return sorted(int(row["message"].removeprefix("order ")) for row in rows)


def test_lambda(tmp_path: Path, receiver: Any) -> None:
    """Each invocation's records arrive before it answers, though the process is frozen then."""
    logs, start, url = receiver
    Recipe("AWS Lambda", tmp_path)
    with start(), LambdaApi(tmp_path, lambda_environment(url, tmp_path)) as function:
        for number in range(5):
            assert {"order": number} == function.invoke({"order": number})
            assert list(range(number + 1)) == orders(logs)
        assert {0, 1, 2, 3, 4} == {
            int(row["attributes"]["request_id"]) for row in logbatch.Dataset(logs).rows()
        }


def test_lambda_after_an_outage(tmp_path: Path, receiver: Any) -> None:
    """What a server that was away did not get, a later invocation sends."""
    logs, start, url = receiver
    Recipe("AWS Lambda", tmp_path)
    with LambdaApi(tmp_path, lambda_environment(url, tmp_path)) as function:
        assert {"order": 0} == function.invoke({"order": 0})
        with start():
            assert {"order": 1} == function.invoke({"order": 1})
            assert [0, 1] == orders(logs)


def test_lambda_that_was_killed(tmp_path: Path, receiver: Any) -> None:
    """What an invocation logged that was killed is sent by the next process there."""
    logs, start, url = receiver
    recipe = Recipe("AWS Lambda", tmp_path)
    recipe.write("lambda_function.py", LAMBDA_DEATH)
    with start(), LambdaApi(tmp_path, lambda_environment(url, tmp_path)) as function:
        assert {"order": 0} == function.invoke({"order": 0})
        assert function.invoke({"order": 1}) is None
        assert {"order": 2} == function.invoke({"order": 2})
        deadline = time.monotonic() + PATIENCE
        number = 3
        while 1 not in orders(logs) and time.monotonic() < deadline:
            function.invoke({"order": number})
            number += 1
    assert list(range(number)) == orders(logs)


def test_every_recipe_is_run() -> None:
    """There is a test for each section of the page."""
    tested = Path(__file__).read_text(encoding="utf-8")
    sections = {block.section for block in find_blocks(PAGE)}
    assert len(sections) >= 9
    for section in sections:
        assert f'"{section}"' in tested, section
