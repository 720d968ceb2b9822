"""A handler and a processor are copied, and pickled for other processes."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import pytest
from structlog import DropEvent

from logbatch import Batch, BatchHandler, BatchProcessor
from logbatch.dataset.reader import Dataset
from logbatch.testing import CapturingTransport

pytestmark = pytest.mark.usefixtures("tmp_path")  # they write to the current directory

PROGRAM = Path(__file__).parent / "programs" / "copied.py"

Remake = Callable[[Any], Any]


def pickled(original: Any) -> Any:
    """Pickle something and load it."""
    return pickle.loads(pickle.dumps(original))


def on_error(*_: object) -> None:
    """Ignore a trouble."""


class Derived(BatchHandler):
    """A handler of an application's own."""

    def __init__(self, place: str, colour: str) -> None:
        self.early = colour
        super().__init__(f"jsonl:{place}?rotate_bytes=5000", level="INFO", on_error=on_error)
        self.colour = colour


@pytest.mark.parametrize("remake", [pickled, copy.copy, copy.deepcopy])
def test_a_copy_of_a_handler_is_another_producer(
    remake: Remake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same destination wherever the process is, the same options, and what it was given.

    It raised TypeError: cannot pickle '_thread.RLock' object.
    """
    original = Derived("logs", "red")
    original.addFilter(logging.Filter("app"))
    original.setLevel("WARNING")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = remake(original)

    assert repr(original) == repr(made)
    assert ("red", "red") == (made.colour, made.early)
    logger = logging.Logger("app")
    for handler in (original, made):
        logger.handlers = [handler]
        logger.info("left out by the level")
        logger.warning("kept")
        handler.handle(logging.makeLogRecord({"name": "other", "msg": "left out by the filter"}))
        handler.close()
    rows = list(Dataset(tmp_path / "logs").rows())
    assert ["kept"] * 2 == [row["message"] for row in rows]
    assert 2 == len({row["producer"] for row in rows})
    assert 1 == len({row["service"] for row in rows})


@pytest.mark.parametrize("remake", [pickled, copy.deepcopy])
def test_a_copy_of_a_processor_is_another_producer(remake: Remake) -> None:
    """It ends the chain where the other one did."""
    for processor in (original := BatchProcessor("jsonl:logs", final=True), remake(original)):
        with pytest.raises(DropEvent):
            processor(None, "info", {"event": "kept"})
        assert processor.close()
    rows = list(Dataset("logs").rows())
    assert 2 == len(rows) == len({row["producer"] for row in rows})


@pytest.mark.parametrize("remake", [pickled, copy.deepcopy])
@pytest.mark.parametrize(
    "options",
    [
        {"transport": "https://me:secret@x.example/logs?key=value", "headers": {"A": "b"}},
        {"transport": "https://x.example/", "token": "env:HOME", "account": "mine"},
        {"transport": {"type": "parquet", "path": "logs"}, "columns": {"user_id": "int64"}},
        {"redact": ["password"], "redact_patterns": ["a+"], "flush_level": "never"},
        {"transport": CapturingTransport(destination="there")},
    ],
)
def test_whatever_a_handler_was_made_with(
    options: dict[str, Any], remake: Remake, home: Path
) -> None:
    """Its copy has the same destination and options."""
    original = BatchHandler(**options)
    made = remake(original)

    assert repr(original) == repr(made)
    assert original._batcher.options == replace(made._batcher.options, service=None)
    original.close()
    made.close()


def test_what_dict_config_made_is_pickled_without_its_configuration() -> None:
    """Its dicts refer to the configurator, and that to all handlers."""
    columns = {"user_id": "int64"}
    transport = {"type": "parquet", "path": "logs"}
    mine = {"class": "logbatch.BatchHandler", "transport": transport, "columns": columns}
    dictConfig({"version": 1, "handlers": {"mine": mine}, "loggers": {"a": {"handlers": ["mine"]}}})
    (handler,) = logging.getLogger("a").handlers
    stored = pickle.dumps(handler)
    dictConfig({"version": 1, "loggers": {"a": {"handlers": []}}})

    assert b"onvert" not in stored and b"onfigurator" not in stored
    assert repr(handler) == repr(pickle.loads(stored))


class Locked:
    """A transport that cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def send(self, batch: Batch) -> None:
        """Take it."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("remake", [pickled, copy.deepcopy])
@pytest.mark.parametrize("make", [BatchHandler, BatchProcessor])
def test_what_cannot_be_copied_is_told(make: Callable[..., Any], remake: Remake) -> None:
    """In a sentence that says what to do."""
    with pytest.raises(TypeError) as caught:
        remake(make(Locked()))
    told = str(caught.value)
    assert "cannot pickle '_thread.lock' object; make another " in told
    assert "a URL or a dict for the transport, and functions of a module" in told


@pytest.mark.parametrize("how", ["spawn", "joblib"])
def test_other_processes_log_with_what_they_are_given(how: str) -> None:
    """Each is a producer of its own."""
    if how == "joblib":
        pytest.importorskip("joblib")
    subprocess.run([sys.executable, PROGRAM, how, "jsonl:logs"], check=True, timeout=60)
    rows = list(Dataset("logs").rows())
    expected = ["handler 0", "handler 1", "processor", "processor"]
    assert expected == sorted(row["message"] for row in rows)
    assert 4 == len({row["producer"] for row in rows})
    assert {"copied"} == {row["service"] for row in rows}
    assert ["ada"] * 2 == [row["attributes"]["user"] for row in rows if row["attributes"]]
