"""A fork of which nobody tells Python is noticed, whatever comes first in the child."""

from __future__ import annotations

import importlib
import logging
import logging.handlers
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from children import Child, fork_unnoticed
from waiting import PATIENCE, wait_until

import logbatch
from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.frontend import Frontend
from logbatch.testing import CapturingTransport
from logbatch.transports.base import Batch

Log = Callable[[int], object]


def logger_to(*handlers: logging.Handler) -> logging.Logger:
    """Make a logger of these handlers."""
    logger = logging.Logger("app")
    for handler in handlers:
        logger.addHandler(handler)
    return logger


def start(way: str, url: str) -> tuple[Frontend, Log]:
    """Return what is logged with, and a function that logs a number."""
    if way == "structlog":
        processor = logbatch.BatchProcessor(url, final=True)
        events = structlog.wrap_logger(None, processors=[processor])
        return processor, lambda n: events.info("event", n=n)
    handler = logbatch.BatchHandler(url)
    logger = logger_to(handler)
    return handler, lambda n: logger.info("event", extra={"n": n})


def numbers(directory: Path) -> list[int]:
    """Return the numbers that were logged there, in order; nothing must be missing or twice."""
    assert verify(directory).ok
    return sorted(row["attributes"]["n"] for row in Dataset(directory).rows())


@pytest.mark.parametrize("way", ["logging", "logging without processes", "structlog"])
def test_each_process_has_a_journal_of_its_own(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: children that uWSGI had forked wrote over each other in their parent's."""
    monkeypatch.setattr(logging, "logProcesses", way != "logging without processes")
    frontend, log = start(way, f"jsonl:{tmp_path / 'logs'}")

    def work(first: int) -> None:
        for n in range(first, first + 100):
            log(n)

    def work_as_parent(first: int) -> None:
        work(first)
        grandchild = Child(lambda: work(first + 100), fork_unnoticed)
        grandchild.wait()

    with frontend:
        work(0)
        children = [
            Child(partial(work_as_parent, first), fork_unnoticed) for first in (1000, 2000, 3000)
        ]
        work(100)
        for child in children:
            child.wait()
    expected = [n for first in (0, 1000, 2000, 3000) for n in range(first, first + 200)]
    assert expected == numbers(tmp_path / "logs")


def test_the_process_is_named_by_its_own_pid(tmp_path: Path) -> None:
    """What is remembered of the parent is not said of the child."""
    frontend, log = start("structlog", f"jsonl:{tmp_path / 'logs'}")
    with frontend:
        log(0)
        child = Child(lambda: log(1), fork_unnoticed)
        child.wait()
    pids = {row["attributes"]["n"]: row["process"] for row in Dataset(tmp_path / "logs").rows()}
    assert pids[1] == child.pid != pids[0]


def test_a_record_of_the_parent_that_is_handled_in_the_child(tmp_path: Path) -> None:
    """What a MemoryHandler held when the process was forked says the parent's pid."""
    handler = logbatch.BatchHandler(f"jsonl:{tmp_path / 'logs'}")
    memory = logging.handlers.MemoryHandler(100, target=handler)
    direct, later = logger_to(handler), logger_to(memory)
    with handler:
        direct.info("here", extra={"n": 0})
        later.info("held", extra={"n": 1})
        Child(memory.flush, fork_unnoticed).wait()
        direct.info("here", extra={"n": 2})
        memory.buffer.clear()
    memory.close()
    assert [0, 1, 2] == numbers(tmp_path / "logs")


def test_no_thread_in_the_master_of_uwsgi(
    transport: CapturingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker would wait for it, for ever; there the caller of `flush` delivers."""
    uwsgi = SimpleNamespace(worker_id=lambda: 0, masterpid=os.getpid)
    monkeypatch.setitem(sys.modules, "uwsgi", cast("ModuleType", uwsgi))
    before = set(sys._current_frames())
    with logbatch.BatchHandler(transport) as handler:
        for n in range(3):
            logger_to(handler).error("loading %d", n)
        assert before == set(sys._current_frames())
        assert [] == transport.messages
        assert handler.flush()
        assert 3 == len(transport.messages)
        uwsgi.worker_id = lambda: 1
        logger_to(handler).error("serving")
        assert transport.wait_for(4, PATIENCE)


class Waiting(CapturingTransport):
    """A transport that takes a batch for as long as it is told to."""

    def __init__(self) -> None:
        super().__init__(destination="elsewhere")
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.sender = 0

    def send(self, batch: Batch) -> Any:
        self.sender = threading.get_ident()
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        return super().send(batch)

    def after_fork(self) -> None:
        self.may_end.set()


@contextmanager
def sending(transport: Waiting) -> Iterator[logbatch.BatchHandler]:
    """A handler of which one record is being sent."""
    with logbatch.BatchHandler(transport) as handler:
        logger_to(handler).error("the parent's")
        assert transport.begun.wait(PATIENCE)
        try:
            yield handler
        finally:
            transport.may_end.set()


def use_nothing(handler: logbatch.BatchHandler) -> None:
    """End without having logged anything."""
    assert handler.flush() and handler.close()
    assert (0, 0) == (handler.stats().accepted, handler.stats().pending)


def log_and_close(handler: logbatch.BatchHandler) -> None:
    """Log, and deliver that."""
    logger_to(handler).error("the child's")
    assert handler.close()
    assert (1, 1) == (handler.stats().accepted, handler.stats().published)


def log_in_a_thread(handler: logbatch.BatchHandler) -> None:
    """Log in a thread that has got the number of the one that was sending."""
    transport: Any = handler._batcher.transport
    record = logging.makeLogRecord({"msg": "the child's", "thread": transport.sender})
    handler.handle(record)
    assert (1, 0) == (handler.stats().accepted, handler.stats().suppressed)


@pytest.mark.parametrize("use", [use_nothing, log_and_close, log_in_a_thread])
def test_a_fork_while_a_batch_is_sent(
    use: Callable[[logbatch.BatchHandler], None], home: Path
) -> None:
    """The child neither waits for the thread that it lacks nor sends what is the parent's."""
    transport = Waiting()
    with sending(transport) as handler:
        Child(lambda: use(handler), fork_unnoticed).wait()
    assert ["the parent's"] == [each for each in transport.messages if each == "the parent's"]
    assert handler.stats().published == 1


def test_a_transport_that_fails_after_a_fork(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others start afresh all the same, and so does its own batcher."""

    class Failing(CapturingTransport):
        def after_fork(self) -> None:
            raise RuntimeError("no")

    handlers = [logbatch.BatchHandler(Failing(destination="x")) for _ in range(2)]

    def log() -> None:
        logger_to(*handlers).info("the child's")
        for handler in handlers:
            assert handler.close()
            assert 1 == handler.stats().published
            assert "RuntimeError: no" in str(handler.stats().last_error)

    logger_to(*handlers).info("the parent's")
    for fork in (fork_unnoticed, None):
        (Child(log, fork) if fork else Child(log)).wait()
    for handler in handlers:
        handler.close()


WHILE_IMPORTING = """
import logging, os, sys, threading
import logbatch

begun = threading.Event()

class Notice:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            begun.set()

sys.meta_path.insert(0, Notice())
handler = logbatch.BatchHandler(sys.argv[1])
log = logging.getLogger()
log.addHandler(handler)
log.error("the parent's")
assert begun.wait(60)
if (child := os.fork()) == 0:
    log.error("the child's")
    os._exit(0 if handler.flush(30) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("module", ["pyarrow", "pyarrow.parquet"])
def test_a_fork_while_the_transport_is_imported(module: str, tmp_path: Path) -> None:
    """Regression: such a child could never import it, and delivered nothing."""
    url = f"parquet:{tmp_path / 'logs'}"
    command = [sys.executable, "-W", "ignore", "-c", WHILE_IMPORTING, url, module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    rows = Dataset(tmp_path / "logs").rows()
    assert ["the child's", "the parent's"] == sorted(row["message"] for row in rows)


INSIDE_ARROW = """
import logging, os, sys, time, threading

# It runs after logbatch's own, whatever that waits for: the last to be registered is the first.
ARROW = ("logbatch/storage/arrow.py", "pyarrow/parquet/core.py")
found = []
os.register_at_fork(before=lambda: found.append(is_inside()))

def is_inside():
    for thread, frame in sys._current_frames().items():
        while thread != threading.get_ident() and frame is not None:
            if frame.f_code.co_filename.endswith(ARROW):
                return True
            frame = frame.f_back
    return False

import logbatch
handler = logbatch.BatchHandler(sys.argv[1], max_batch_size=10_000)
log = logging.getLogger()
log.addHandler(handler)
for batch in range(4):
    for n in range(10_000):
        log.error("number %d", n)
    while not is_inside() and handler.stats().pending:
        time.sleep(0)
    if (child := os.fork()) == 0:
        log.error("the child's")
        os._exit(0 if handler.flush(60) else 1)
    assert os.waitpid(child, 0)[1] == 0
    handler.flush()
handler.close()
sys.exit(any(found))
"""


def test_a_fork_while_arrow_is_at_work(tmp_path: Path) -> None:
    """Regression: its allocator was locked for ever in the child, which delivered nothing."""
    url = f"parquet:{tmp_path / 'logs'}"
    command = [sys.executable, "-W", "ignore", "-c", INSIDE_ARROW, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert 40_004 == Dataset(tmp_path / "logs").to_table().num_rows


SLOW_MODULE = """
import threading

begun = threading.Event()
may_end = threading.Event()
"""
SLOW = """
import importing_slowly

importing_slowly.begun.set()
assert importing_slowly.may_end.wait(60)
"""


class Importing(CapturingTransport):
    """Imports, within each batch, what takes as long as a test wants."""

    def send(self, batch: Batch) -> Any:
        importlib.import_module("slow")
        return super().send(batch)


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What tells that `slow` is being imported, and lets the import end."""
    (tmp_path / "importing_slowly.py").write_text(SLOW_MODULE)
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("importing_slowly")
    for name in ("slow", "importing_slowly"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("home")
def test_a_fork_without_hooks_while_something_is_imported(control: Any) -> None:
    """The child, which can never import it, waits for nothing; its parent delivers for it."""

    def log() -> None:
        logger_to(handler).error("the child's")
        assert not handler.flush()
        assert not handler.close()

    transport = Importing(destination="elsewhere")
    with logbatch.BatchHandler(transport) as handler:
        logger_to(handler).error("the parent's")
        assert control.begun.wait(PATIENCE)
        Child(log, fork_unnoticed).wait()
        control.may_end.set()
        wait_until(lambda: len(transport.messages) == 2, "the child's event")
    assert ["the child's", "the parent's"] == sorted(transport.messages)


@pytest.mark.usefixtures("home")
def test_a_fork_while_something_is_imported_in_a_batch(control: Any) -> None:
    """What a transport imports as late as that, the child can import, too."""

    def log() -> None:
        logger_to(handler).error("the child's")
        assert handler.close()

    with logbatch.BatchHandler(Importing(destination="elsewhere")) as handler:
        logger_to(handler).error("the parent's")
        assert control.begun.wait(PATIENCE)
        timer = threading.Timer(0.1, control.may_end.set)
        timer.start()
        Child(log).wait()
        timer.join()
