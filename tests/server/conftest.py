"""Receivers that tests start, and what they send to them."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make import event
from receivers import (
    Client,
    MakeEntries,
    MakeEntry,
    Process,
    ReadAnswer,
    Start,
    StartProcess,
    read_answer,
    running,
)

from logbatch.server.limits import Limits
from logbatch.server.run import Settings


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start receivers in threads, with settings or limits; none may meet a bug of its own."""
    with contextlib.ExitStack() as stack:

        def run(directory: Path | None = None, **given: Any) -> Client:
            names = {field.name for field in dataclasses.fields(Limits)}
            limits = Limits(**{name: given.pop(name) for name in names & given.keys()})
            where = directory or tmp_path / "logs"
            settings = Settings(where, port=0, limits=limits, **given)
            return stack.enter_context(running(settings))

        yield run


@pytest.fixture
def process(tmp_path: Path) -> Iterator[StartProcess]:
    """Start receivers as processes; those that still run at the end are killed."""
    started: list[Process] = []

    def run(*arguments: str, directory: Path | str | None = None, **given: Any) -> Process:
        options = arguments if "--port" in arguments else (*arguments, "--port", "0")
        started.append(Process(directory or tmp_path / "logs", *options, **given))
        return started[-1]

    yield run
    for each in started:
        each.end(signal.SIGKILL)


@pytest.fixture
def client(start: Start) -> Client:
    """A receiver as it is by default."""
    return start()


@pytest.fixture
def answer() -> ReadAnswer:
    """Read one answer from a connection; return status and body."""
    return read_answer


@pytest.fixture
def line() -> MakeEntry:
    """Make an entry as our own clients send them."""
    return event


@pytest.fixture
def lines() -> MakeEntries:
    """Make the entries of a range of sequences; each tells its number."""
    return lambda first, last: [event(f"n {n}") for n in range(first, last + 1)]
