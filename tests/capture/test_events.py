"""What `logbatch run` stores of a Python program: each record once, and what is not caught."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import free_port
from waiting import PATIENCE

from logbatch.dataset.reader import Dataset
from logbatch.identity import is_producer

pytestmark = pytest.mark.usefixtures("home", "tmp_path")

RUN = (sys.executable, "-m", "logbatch", "run")

Rows = list[dict[str, Any]]


def run(
    code: str, *arguments: str, options: Sequence[str] = ("--to", "jsonl:logs"), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program `app.py` to its end."""
    Path("app.py").write_text(code, encoding="utf-8")
    return subprocess.run(
        [*RUN, *options, "app.py", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **variables},
    )


def rows(where: str = "", place: str = "logs") -> Rows:
    """Return what is stored, in the order of time."""
    return list(Dataset(place).rows(where)) if Path(place).exists() else []


def told(found: Rows) -> list[tuple[str, str, str]]:
    """Return level, logger and message of records."""
    return [(row["level"], row["logger"], row["message"].partition("\n")[0]) for row in found]


CONFIGURED = """
import logging, logging.config, logging.handlers, queue, sys

log = logging.getLogger("shop")
log.warning("before everything")
logging.basicConfig(level=logging.INFO, force=True); log.info("basic")
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"h": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["h"], "level": "INFO"},
    "loggers": {"shop": {"handlers": ["h"]}, "alone": {"handlers": ["h"], "propagate": False}},
})
log.info("twice")
logging.getLogger("alone").info("alone")
logging.getLogger().handlers.clear(); log.info("no handler at all")
logging.disable(logging.INFO); log.info("not let pass"); logging.disable(0)

class Colours(logging.Formatter):
    def format(self, record):
        record.levelname, record.msg, record.args = "<31m", "x", ()
        return "x"

class Adds(logging.Filter):
    def filter(self, record):
        record.request = "r1"
        return True

handler = logging.StreamHandler(); handler.setFormatter(Colours()); handler.addFilter(Adds())
log.addHandler(handler); log.info("with %s", "colours"); log.removeHandler(handler)

waiting = queue.SimpleQueue()
log.addHandler(logging.handlers.QueueHandler(waiting))
listener = logging.handlers.QueueListener(waiting, logging.StreamHandler())
listener.start(); log.info("queued"); listener.stop()

class Refusing(logging.Handler):
    def emit(self, record): raise OSError("full")
log.addHandler(Refusing())
try: log.error("refused")
except OSError: print("passed on")
"""


def test_each_record_is_stored_once_whatever_is_configured() -> None:
    """No configuration takes a record away, or doubles one; formatters do not change it."""
    done = run(CONFIGURED)

    assert (0, "passed on\n") == (done.returncode, done.stdout), done.stderr
    found = rows()
    assert [
        ("WARNING", "shop", "before everything"),
        ("INFO", "shop", "basic"),
        ("INFO", "shop", "twice"),
        ("INFO", "alone", "alone"),
        ("INFO", "shop", "no handler at all"),
        ("INFO", "shop", "with colours"),
        ("INFO", "shop", "queued"),
        ("ERROR", "shop", "refused"),
    ] == told(found)
    assert "with %s" == found[5]["template"]
    assert "r1" == found[5]["attributes"]["request"]
    (run_id,) = {row["attributes"]["run_id"] for row in found}
    assert is_producer(run_id)
    assert {"app"} == {row["service"] for row in found}


OWN_HANDLER = """
import logging, logbatch, sys
handler = logbatch.BatchHandler(sys.argv[1], level="WARNING", service="own")
logging.getLogger("shop").addHandler(handler)
logging.getLogger("shop").setLevel(10)
logging.getLogger("shop").info("one")
logging.getLogger("shop").warning("two", extra={"run_id": "mine"})
"""


def test_a_handler_of_the_program_itself() -> None:
    """What it stores in the same place by itself is not doubled; in another place, it has both."""
    assert 0 == run(OWN_HANDLER, "jsonl:logs").returncode
    assert [("app", "one"), ("own", "two")] == [(r["service"], r["message"]) for r in rows()]

    assert 0 == run(OWN_HANDLER, "jsonl:others", options=("--to", "jsonl:again")).returncode
    assert ["one", "two"] == [row["message"] for row in rows(place="again")]
    assert ["two"] == [row["message"] for row in rows(place="others")]
    assert "mine" == rows(place="again")[1]["attributes"]["run_id"]


FAILING = """
import asyncio, logging, sys, threading, warnings

def f(): raise ValueError("in a thread")
thread = threading.Thread(target=f, name="t1"); thread.start(); thread.join()
threading.excepthook = lambda args: logging.error("own hook", exc_info=args.exc_value)
thread = threading.Thread(target=f, name="t2"); thread.start(); thread.join()

class Deleted:
    def __del__(self): raise TypeError("deleted")
Deleted()

warnings.warn("old one", FutureWarning)
with warnings.catch_warnings(record=True):
    warnings.warn("not shown")
logging.captureWarnings(True); warnings.warn("captured")

async def nobody(): raise LookupError("nobody waits")
async def main():
    task = asyncio.create_task(nobody()); await asyncio.sleep(0); await asyncio.sleep(0)
asyncio.run(main())

def last(): raise RuntimeError("at last")
last()
"""


def test_what_is_not_caught_becomes_an_event() -> None:
    """Exceptions in threads, tasks, `__del__` and at the end, and warnings: each once."""
    done = run(FAILING)

    assert 1 == done.returncode
    found = rows()
    logged, loud, quiet = "root", "run", "py.warnings"
    assert [
        ("ERROR", loud, "thread t1 ended by ValueError: in a thread"),
        ("ERROR", logged, "own hook"),
        ("ERROR", loud, "Exception ignored in Deleted.__del__: TypeError: deleted"),
        ("WARNING", quiet, "FutureWarning: old one"),
        ("ERROR", "asyncio", "Task exception was never retrieved"),
        ("CRITICAL", loud, "the program ended by RuntimeError: at last"),
    ] == [each for each in told(found) if "captured" not in each[2]]
    assert 1 == len(rows('logger=py.warnings "captured"'))
    last = found[-1]
    assert ("RuntimeError", "at last") == (last["exception_type"], last["exception_message"])
    assert last["stacktrace"] == done.stderr[done.stderr.rindex("Traceback") :].rstrip("\n")
    assert str(Path("app.py").absolute()) == last["pathname"]


def test_a_hook_that_logs() -> None:
    """An exception that the program's own hook logs is stored once, as the hook logs it."""
    code = "import logging, sys\ndef hook(*info): logging.critical('mine', exc_info=info)\n"

    done = run(f"{code}sys.excepthook = hook\n1 / 0\n")

    assert 1 == done.returncode
    assert [("CRITICAL", "root", "mine")] == told(rows())


STRUCTLOG = """
import logging, structlog, sys
log = structlog.get_logger("shop")
def f(): log.info("printed", a=1)
f()
structlog.configure(cache_logger_on_first_use=True, processors=[
    lambda l, m, e: {k: v for k, v in e.items() if k != "secret"},
    structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
bound = structlog.get_logger().bind(b=2)
bound.warning("as JSON", secret="s"); bound.bind(c=3).error("again")
with structlog.testing.capture_logs() as found:
    structlog.get_logger().info("in a test")
print(len(found))
structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
logging.basicConfig(level=10, format="%(message)s")
structlog.get_logger("std").info("by logging")
import logbatch
structlog.configure(logger_factory=structlog.PrintLoggerFactory(), processors=[
    logbatch.BatchProcessor("jsonl:logs"), structlog.processors.JSONRenderer()])
structlog.get_logger().info("by its own processor")
print([type(each).__name__ for each in sys.meta_path][:1])
"""


def test_structlog_that_prints_by_itself() -> None:
    """Its events are there as they are before they are rendered, and it prints what it prints."""
    alone = subprocess.run(
        [sys.executable, "-c", STRUCTLOG], capture_output=True, timeout=PATIENCE, check=True
    )
    shutil.rmtree("logs")  # what the program itself has stored

    done = run(STRUCTLOG)

    assert without_times(alone.stdout.decode()) == without_times(done.stdout)
    found = rows()
    assert ["printed", "as JSON", "again"] == [row["message"] for row in found[:3]]
    assert ["shop", "INFO", "f"] == [found[0][name] for name in ("logger", "level", "func_name")]
    assert 1 == found[0]["attributes"]["a"]
    assert {"b", "run_id"} == found[1]["attributes"].keys()
    assert {"b", "c", "run_id"} == found[2]["attributes"].keys()
    assert 1 == len(rows('"by its own processor"'))
    assert 1 == len(rows('"by logging"'))


def without_times(text: str) -> str:
    """Replace the times in what is printed."""
    return re.sub(r"\d\d:\d\d:\d\d", "TIME", text)


def test_options() -> None:
    """The options of a handler and a transport are given on the command line."""
    code = "import logging, sys\nlogging.warning('low')\nlogging.error('high of 4711')\n"
    code += "print(sys.argv)"
    given = ("--level", "error", "--service", "name", "-o", "redact_patterns=[0-9]{4}")
    to = ("--to", "parquet:logs?compression=gzip", "-o", 'columns={"run_id": "string"}')

    done = run(code, "--to", "x", "--help", options=(*to, *given))

    assert "['app.py', '--to', 'x', '--help']\n" == done.stdout, done.stderr
    (row,) = rows()
    assert ("high of [redacted]", "name") == (row["message"], row["service"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "nowhere:x"), "transport 'nowhere' is unknown"),
        (("-o", "flush_intervall=1"), "did you mean 'flush_interval'?"),
        (("-o", "level"), "NAME=VALUE"),
        (("--level", "loud"), "level='loud'"),
        (("-m", "-c"), "-m and -c"),
        (("--nothing",), "No such option"),
    ],
)
def test_wrong_usage(options: Sequence[str], said: str) -> None:
    """A wrong option is told in a line, and the program is not run."""
    done = run("print('ran')", options=options)

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_no_program() -> None:
    """Without a program there is nothing to run."""
    done = subprocess.run(RUN, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert 2 == done.returncode
    assert "name a program" in done.stderr


def test_the_environment_is_no_way_in() -> None:
    """No variable makes logbatch take anything."""
    Path("app.py").write_text("import logging, logbatch, sys; logging.error('x')")
    env = {**os.environ, "LOGBATCH_AUTO": "1", "LOGBATCH_TRANSPORT": "jsonl:logs"}
    env |= {"LOGBATCH_RUN_ID": "x", "LOGBATCH_RUN_OPTIONS": "[null, {}]"}

    subprocess.run([sys.executable, "app.py"], env=env, check=True, timeout=PATIENCE)

    assert not Path("logs").exists()


def test_what_the_delivery_logs_is_not_printed() -> None:
    """A program that shows everything at DEBUG does not show what we do over the network."""
    code = "import logging\nlogging.basicConfig(level=10)\nlogging.error('x')\n"
    to = ("--to", f"http://127.0.0.1:{free_port()}/", "-o", "close_timeout=1")

    done = run(code, options=to)

    others = [line for line in done.stderr.splitlines() if not line.startswith("logbatch: ")]
    assert ["ERROR:root:x"] == others


QUEUE = """
import logging, logging.handlers, multiprocessing, os, sys

def work(records):
    log = logging.getLogger("worker")
    log.addHandler(logging.handlers.QueueHandler(records)); log.propagate = False
    log.warning("from %d", os.getpid())

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    records = context.Queue()
    process = context.Process(target=work, args=(records,))
    process.start()
    record = records.get()
    logging.getLogger(record.name).handle(record)
    process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_records_that_processes_send_to_one(method: str) -> None:
    """A record that is logged again in another process of the run is stored once."""
    done = run(QUEUE, method)

    assert 0 == done.returncode, done.stderr
    assert ["worker"] == [row["logger"] for row in rows()]


CHILDREN = """
import json, logging, os, subprocess, sys

def start(*words, **options):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)
    assert done.args[1:] == list(words), done.args
    return json.loads(done.stdout or "0"), done.stderr

if len(sys.argv) > 1:
    logging.getLogger(sys.argv[1]).error("in %s", sys.argv[1])
    with open("/proc/self/cmdline") as file:
        print(json.dumps([sys.argv, sys.orig_argv, "--joined" in file.read()]))
    sys.exit()

path = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
print(json.dumps([
    start("app.py", "script"),
    start("-X", "dev", "-m", "app", "module", "-c"),
    start("-c", "import app", "code"),
    start("-Bcimport app", "attached"),
    start("app.py", "unbound", env=path),
    start("app.py", "elsewhere", close_fds=False),
    start("-I", "app.py", "isolated"),
    start("-S", "app.py", "bare"),
]))
sys.stdout.flush()
if os.fork() == 0:
    os.execv(sys.executable, [sys.executable, "app.py", "executed"])
os.wait()
pid = os.posix_spawn(sys.executable, [sys.executable, "app.py", "spawned"], os.environ)
os.waitpid(pid, 0)
subprocess.run("exec " + sys.executable + " app.py shell", shell=True, check=True)
"""


def test_children_of_the_same_python_join() -> None:
    """Whatever the same Python is started by, it joins the run, and finds the same arguments."""
    done = run(CHILDREN)

    assert 0 == done.returncode, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("" == err or "Traceback" not in err for _, err in answers[0]), answers[0]
    assert [
        [["app.py", "script"], ["app.py", "script"], True],
        [
            [str(Path("app.py").absolute()), "module", "-c"],
            ["-X", "dev", "-m", "app", "module", "-c"],
            True,
        ],
        [["-c", "code"], ["-c", "import app", "code"], True],
        [["-c", "attached"], ["-B", "-c", "import app", "attached"], True],
        [["app.py", "unbound"], ["app.py", "unbound"], True],
        [["app.py", "elsewhere"], ["app.py", "elsewhere"], True],
        [["app.py", "isolated"], ["-I", "app.py", "isolated"], False],
        [["app.py", "bare"], ["-S", "app.py", "bare"], False],
    ] == [[argv, orig[1:], joined] for (argv, orig, joined), _ in answers[0]]
    assert [True, True, False] == [joined for _, _, joined in answers[1:]]
    found = rows()
    joined = ["script", "module", "code", "attached", "unbound", "elsewhere", "executed", "spawned"]
    assert joined == [row["logger"] for row in found]
    assert 1 == len({row["attributes"]["run_id"] for row in found})
    assert {"app"} == {row["service"] for row in found}


def test_no_children() -> None:
    """`--no-children` leaves all of them as they are."""
    code = "import subprocess, sys, logging, os\nlogging.error('x')\n"
    code += "subprocess.run([sys.executable, '-c', 'import logging; logging.error(1)'], check=True)"

    assert 0 == run(code, options=("--to", "jsonl:logs", "--no-children")).returncode
    assert ["x"] == [row["message"] for row in rows()]


def test_children_find_the_directory_from_elsewhere() -> None:
    """A directory that was named relative to the first program is the same for all."""
    Path("sub").mkdir()
    code = "import subprocess, sys, logging\nlogging.error('x')\n"
    code += "subprocess.run([sys.executable, '-c', 'import logging; logging.error(1)'], cwd='sub')"

    assert (
        0 == run(code, options=(), LOGBATCH_TRANSPORT="jsonl:logs?rotate_bytes=1000000").returncode
    )
    assert ["x", "1"] == [row["message"] for row in rows()]
    assert [] == os.listdir("sub")


def test_a_plain_command_line_loads_little() -> None:
    """Neither click, nor what only tells mistakes or the host, holds a program up."""
    loaded = "import sys; print([name for name in (%r) if name in sys.modules])"
    names = ("click", "difflib", "socket", "rich", "pyarrow", "duckdb", "requests")
    words = [sys.executable, "-m", "logbatch", "run", "--to", "jsonl:logs", "-c", loaded % (names,)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert ("[]\n", "") == (done.stdout, done.stderr)
