"""What dead processes left is published by hand: by several at once, and over a bad network."""

from __future__ import annotations

import io
import logging
import sys
from itertools import repeat
from typing import Any

import pytest
from children import Child
from scripted import Answer, Request, scripted
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.batching.recovery import Recovery
from logbatch.cli import main
from logbatch.dataset.verify import verify
from logbatch.errors import DeniedError, TemporaryError
from logbatch.identity import Ranges
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.transports.base import Transport

# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


def leave(transport: str | Transport, records: int) -> None:
    """Have a process log and die before it delivers anything."""

    def die() -> None:
        logger = logging.Logger("dead")
        logger.addHandler(BatchHandler(transport, flush_interval=3600))
        for n in range(records):
            logger.info("record %d", n)

    Child(die).wait()


def new_transport() -> CapturingTransport:
    """Make the destination of all that is left here."""
    return CapturingTransport(destination="there")


@pytest.mark.usefixtures("tmp_path")
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_four_at_once_end_well(kind: str) -> None:
    """Of four, one published and three said that nothing could be published."""
    leave(f"{kind}:logs", 3000)

    def recover() -> None:
        assert 0 == main(["recover", "logs"])

    for child in [Child(recover) for _ in range(4)]:
        child.wait()
    report = verify("logs")
    assert report.ok
    assert [((0, 2999),)] == [producer.present for producer in report.producers]


class Nosy(CapturingTransport):
    """Has another recovery look while this one takes a journal over."""

    def __init__(self, other: Recovery) -> None:
        super().__init__(destination="there")
        self.other = other
        self.seen: list[float | None] = []

    def published(self, producer: str) -> Ranges:
        """Know nothing."""
        self.seen.append(self.other.step())
        return super().published(producer)


def test_one_waits_for_another_to_be_done() -> None:
    """From the moment it takes a journal over; afterwards nothing is left."""
    leave(new_transport(), 5)
    waiting = Recovery(new_transport())
    transport = Nosy(waiting)
    busy = Recovery(transport)
    assert 0.0 == busy.step()
    assert [0.2] == transport.seen
    assert 0.2 == waiting.step()
    assert 0.0 == busy.step()

    assert 5 == len(transport.messages)
    assert None is waiting.step()
    assert (0, 0, 0, 0, True) == waiting.end()
    assert (1, 5, 0, 0, False) == busy.end()


def test_one_goes_on_where_another_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or died."""
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_SIZE", "2")
    leave(new_transport(), 5)
    first, second = new_transport(), new_transport()
    gives_up, goes_on = Recovery(first), Recovery(second)
    gives_up.step()
    assert 0.2 == goes_on.step()
    assert (0, 2, 3, 0, False) == gives_up.end()
    while goes_on.step() is not None:
        pass

    assert (1, 3, 0, 0, False) == goes_on.end()
    assert [f"record {n}" for n in range(5)] == first.messages + second.messages


def test_another_that_does_nothing_is_not_waited_for_for_ever() -> None:
    """What is with it is told apart."""
    leave(new_transport(), 5)
    stuck = Recovery(transport := new_transport(), patience=60)
    transport.answer_with(repeat(TemporaryError("down")))
    stuck.step()
    clock = ManualClock()
    waiting = Recovery(new_transport(), clock=clock)
    while (wait := waiting.step()) is not None:
        clock.advance(wait)

    assert 59 < clock.now < 61
    assert (0, 0, 5, 5, False) == waiting.end()
    stuck.end()


@pytest.mark.parametrize(
    ("options", "seconds"), [({"patience": 60.0}, 60), ({"timeout": 10.0}, 10), ({}, 0)]
)
def test_it_is_retried_for_so_long(options: dict[str, Any], seconds: int) -> None:
    """While nothing is accepted; the wait before the last try would be up too late."""
    leave(new_transport(), 5)
    clock = ManualClock()
    recovery = Recovery(transport := new_transport(), clock=clock, **options)
    transport.answer_with(repeat(TemporaryError("down")))
    while (wait := recovery.step()) is not None:
        clock.advance(wait)

    assert seconds - 10 <= clock.now <= seconds
    assert (0, 0, 5, 0, False) == recovery.end()


def test_what_is_denied_is_not_retried() -> None:
    """Somebody has to give us another token first."""
    leave(new_transport(), 5)
    recovery = Recovery(transport := new_transport(), patience=60)
    transport.answer(DeniedError("401"))

    assert None is recovery.step()
    recovery.end()


def test_a_network_that_breaks_every_third_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One call is enough; each gave up at the first."""
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_SIZE", "10")

    def break_third(request: Request) -> Answer:
        return Answer(-1, commits=False) if len(server.requests) % 3 == 0 else Answer()

    with scripted(rest=break_third) as server:
        leave(server.url, 60)
        assert 0 == main(["recover", server.url])
        assert list(range(60)) == [sequence for _, sequence in server.identities]
    told = capsys.readouterr()
    assert "published 60 records from 1 journal of dead processes\n" == told.out
    assert 1 == told.err.count("; the rest waits in the journal; retrying in ")


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def test_a_terminal_shows_how_much_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it takes longer than a second; nothing of it is left at the end."""
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_SIZE", "10")
    monkeypatch.setattr(sys, "stderr", screen := Screen())

    def answer(request: Request) -> Answer:
        if len(server.requests) == 2:
            wait_until(lambda: "published 10 of 30 records, " in screen.getvalue(), "the line")
        return Answer()

    with scripted(rest=answer) as server:
        leave(server.url, 30)
        assert 0 == main(["recover", server.url])
    assert screen.getvalue().endswith("\r\x1b[K")


def test_timeout_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    """With what is left, and why."""
    with scripted(rest=503) as server:
        leave(server.url, 5)
        assert 1 == main(["recover", server.url, "--timeout", "0.1"])
    told = capsys.readouterr().err
    assert "cannot publish: " in told and "answered 503" in told
    assert "Error: 5 records could not be published; they stay in the journal\n" in told
