"""An object of another package, whatever it lacks, is a whole transport behind the door."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from recovering import recover

from logbatch import BatchHandler, BatchProcessor
from logbatch.errors import BatchUnsupportedError
from logbatch.identity import Ranges, new_producer
from logbatch.testing import CapturingTransport
from logbatch.transports import build
from logbatch.transports.adapted import given_object
from logbatch.transports.base import BaseTransport, Batch, journal_directory


class Bare:
    """Has what an object must have, and no more."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.closed = 0

    def send(self, batch: Batch) -> Any:
        """Keep it, and return something that is no receipt."""
        self.batches.append(batch)
        return "200 OK"

    def close(self) -> None:
        """Count."""
        self.closed += 1

    @property
    def messages(self) -> list[str]:
        """What was sent."""
        return [event["message"] for batch in self.batches for event in batch.events()]


class Full(Bare):
    """Has all that the contract knows, and is no `BaseTransport`."""

    destination = "queue://there"
    defaults = {"max_batch_size": 7}  # noqa: RUF012  # as others write it
    patience: float | None = None

    def __init__(self, journals: Path | None = None) -> None:
        super().__init__()
        self.journal_directory = journals
        self.singles: list[Batch] = []
        self.begun: list[str] = []
        self.forks = 0

    def send(self, batch: Batch) -> Any:
        """Refuse it: there are only single sends."""
        raise BatchUnsupportedError("no batches")

    def send_single(self, batch: Batch) -> Any:
        """Keep it."""
        self.singles.append(batch)
        return None

    def published(self, producer: str) -> Ranges:
        """Know of some."""
        return Ranges([(0, 1)])

    def begin(self, producer: str) -> None:
        """Keep it."""
        self.begun.append(producer)

    def after_fork(self) -> None:
        """Count."""
        self.forks += 1


def test_what_an_object_lacks_has_the_default(home: Path) -> None:
    """It is sent to, closed, and taken for the only one of its class."""
    mine = Bare()
    transport: Any = build(mine)
    batch = Batch(new_producer(), 0, 0, b'{"message":"a"}\n')
    transport.send(batch)
    transport.send_single(batch)
    transport.close()
    transport.after_fork()
    transport.patience = 1.0

    assert ([batch, batch], 1) == (mine.batches, mine.closed)
    assert Ranges() == transport.published(batch.producer)
    assert (None, {}, None) == (transport.destination, transport.defaults, transport.patience)
    directory = journal_directory(transport)
    assert directory is not None
    assert directory.is_relative_to(home)
    assert directory == journal_directory(build(Bare()))
    assert not hasattr(mine, "patience")


def test_all_of_the_contract_is_passed_on() -> None:
    """Whatever a transport can have, one that stands for another's object defines itself."""
    contract = {name for name in vars(BaseTransport) if not name.startswith("_")}
    made = build(Full())

    assert set() == contract - vars(type(made)).keys() - vars(made).keys()


def test_what_an_object_has_is_used(tmp_path: Path) -> None:
    """All of it."""
    mine = Full(tmp_path / "journals")
    transport = build(mine)
    batch = Batch(new_producer(), 0, 0, b'{"message":"a"}\n')
    with pytest.raises(BatchUnsupportedError):
        transport.send(batch)
    transport.send_single(batch)
    transport.begin(batch.producer)
    transport.after_fork()
    transport.patience = 1.0

    assert [batch.producer] == mine.begun
    assert ([batch], 1, 1.0) == (mine.singles, mine.forks, mine.patience)
    assert Ranges([(0, 1)]) == transport.published(batch.producer)
    assert ("queue://there", {"max_batch_size": 7}, 1.0) == (
        transport.destination,
        transport.defaults,
        transport.patience,
    )
    assert tmp_path / "journals" == journal_directory(transport)


def test_a_journal_in_memory_is_asked_for_by_name() -> None:
    """An object says by a destination of None that its journal is to be in memory."""
    mine: Any = Bare()
    mine.destination = None

    assert journal_directory(build(mine)) is None


def test_a_destination_says_where_the_journals_are() -> None:
    """The same directory as for a transport of logbatch with the same destination."""
    whole = CapturingTransport(destination="queue://there")

    assert journal_directory(whole) == journal_directory(build(Full()))


def test_a_handler_delivers_to_any_object(home: Path, app: logging.Logger) -> None:
    """And is shown with the object that the application gave it."""
    mine = Bare()
    handler = BatchHandler(mine)
    app.addHandler(handler)
    app.info("a")
    assert handler.close()

    assert (["a"], 1) == (mine.messages, mine.closed)
    assert repr(mine) in repr(handler)


def test_the_defaults_of_an_object_are_taken(tmp_path: Path, app: logging.Logger) -> None:
    """And single events go to its `send_single`."""
    mine = Full(tmp_path)
    handler = BatchHandler(mine)
    app.addHandler(handler)
    for number in range(8):
        app.info(str(number))
    assert handler.close()

    assert 8 == len(mine.singles)
    assert 7 == handler._batcher.options.max_batch_size
    assert 1.0 == handler.stats().fallback_share


def test_a_forked_child_tells_the_object(tmp_path: Path) -> None:
    """As it tells a transport of logbatch."""
    mine = Full(tmp_path)
    handler = BatchHandler(mine)
    child = os.fork()
    if child == 0:
        os._exit(mine.forks)
    assert 1 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 0 == mine.forks
    handler.close()


def test_what_an_object_has_already_is_not_sent_again(tmp_path: Path) -> None:
    """When the journal of a process that died is taken over, it is asked which records it has."""
    child = os.fork()
    if child == 0:
        try:
            logger = logging.Logger("app")
            logger.addHandler(BatchHandler(Full(tmp_path), flush_interval=3600))
            for number in range(5):
                logger.info(str(number))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    mine = Full(tmp_path)
    done = recover(build(mine))

    assert [2, 3, 4] == [batch.first for batch in mine.singles]
    assert (1, 0) == (done.producers, done.left)


@pytest.mark.parametrize("other", [False, True], ids=["the same object", "another"])
def test_one_object_is_one_destination(home: Path, other: bool) -> None:
    """An event that a processor took is not taken by a handler for the same object again."""
    mine = Bare()
    theirs = Bare() if other else mine
    handler = BatchHandler(theirs)
    processor = BatchProcessor(mine)
    stdlib = logging.Logger("app")
    stdlib.addHandler(handler)
    log = structlog.wrap_logger(
        stdlib, processors=[processor, structlog.stdlib.render_to_log_kwargs]
    )
    log.warning("once")
    assert processor.close()
    assert handler.close()

    assert ["once"] == mine.messages
    assert ["once"] == theirs.messages


def test_metrics_are_labelled_with_the_class_of_the_object(home: Path) -> None:
    """Where it names no destination."""
    registry = CollectorRegistry()
    with BatchHandler(Bare(), export_metrics=registry):
        labels = {"destination": "Bare", "source": "handler"}
        assert 0 == registry.get_sample_value("logbatch_pending_events", labels)


def test_a_factory_may_make_any_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another package registers is adapted, too."""
    (tmp_path / "other_package.py").write_text(
        "class Queue:\n"
        "    def __init__(self, path): self.path = path\n"
        "    def send(self, batch): pass\n"
        "    def close(self): pass\n"
    )
    info = tmp_path / "other_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[logbatch.transports]\nother = other_package:Queue\n")
    monkeypatch.syspath_prepend(tmp_path)
    transport = build({"type": "other", "path": "x"})

    assert isinstance(transport, BaseTransport)
    assert "Queue" == type(given_object(transport)).__name__
