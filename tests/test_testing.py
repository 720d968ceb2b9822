"""The test doubles that logbatch ships."""

from __future__ import annotations

import threading
from itertools import repeat

import pytest
from make import P, batch_of

from logbatch.errors import RejectedError, TemporaryError
from logbatch.identity import Ranges
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.transports.base import BaseTransport, Batch


def batch(*messages: str, first: int = 0) -> Batch:
    """Make a batch of events with these messages."""
    return batch_of(P, first, *({"message": message} for message in messages))


def test_batches_are_kept_in_order() -> None:
    """What was sent can be looked at as batches, as events and as messages."""
    transport = CapturingTransport()
    one, other = batch("a", "b"), batch("c", first=2)
    transport.send(one)
    transport.send(other)

    assert [one, other] == transport.batches == transport.attempts
    assert ["a", "b", "c"] == transport.messages
    assert [
        {"message": "a", "producer": P, "sequence": 0},
        {"message": "b", "producer": P, "sequence": 1},
        {"message": "c", "producer": P, "sequence": 2},
    ] == transport.events


def test_answers_are_given_one_after_the_other() -> None:
    """None acknowledges, an exception is raised, and in the end everything is acknowledged."""
    down, bad = TemporaryError("down"), RejectedError("bad")
    transport = CapturingTransport([down, None, bad])
    raised: list[Exception | None] = []
    for message in "abcd":
        try:
            transport.send(batch(message))
            raised.append(None)
        except (TemporaryError, RejectedError) as error:
            raised.append(error)

    assert [down, None, bad, None] == raised
    assert ["b", "d"] == transport.messages
    assert 4 == len(transport.attempts)


def test_answers_can_be_added() -> None:
    """Later answers come after those that were given before."""
    transport = CapturingTransport([TemporaryError("first")])
    transport.answer(TemporaryError("second"), None)
    transport.answer(TemporaryError("third"))
    raised = []
    for message in "abcde":
        try:
            transport.send(batch(message))
        except TemporaryError as error:
            raised.append(str(error))

    assert ["first", "second", "third"] == raised
    assert ["c", "e"] == transport.messages


def test_answers_need_not_end() -> None:
    """A destination can be down for ever; its one exception does not grow with each raise."""
    down = TemporaryError("down")
    transport = CapturingTransport(repeat(down))
    depths = set()
    for _ in range(50):
        with pytest.raises(TemporaryError) as caught:
            transport.send(batch("a"))
        depths.add(len(caught.traceback))

    assert {2} == depths
    assert [] == transport.batches


def test_a_base_exception_is_an_answer_too() -> None:
    """Even a KeyboardInterrupt can be scripted."""
    with pytest.raises(KeyboardInterrupt):
        CapturingTransport([KeyboardInterrupt()]).send(batch("a"))


def test_the_journal_is_in_memory_unless_the_destination_has_a_name() -> None:
    """A double with a `destination` gets a journal in files."""
    assert None is CapturingTransport().destination
    assert "shop" == CapturingTransport(destination="shop").destination


def test_it_is_a_transport() -> None:
    """It keeps the contract: it knows of nothing published, and may be closed again and again."""
    transport = CapturingTransport()
    transport.close()
    transport.close()

    assert isinstance(transport, BaseTransport)
    assert 2 == transport.closed
    assert Ranges() == transport.published(P)


def test_waiting_ends_when_the_events_are_there() -> None:
    """A test can wait for what another thread sends."""
    transport = CapturingTransport([TemporaryError("down")])

    def work() -> None:
        with pytest.raises(TemporaryError):
            transport.send(batch("lost"))
        transport.send(batch("a", "b"))
        transport.send(batch("c", first=2))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert transport.wait_for(3)
    finally:
        thread.join()


def test_waiting_gives_up_in_time() -> None:
    """Events that do not come are answered with False."""
    transport = CapturingTransport()
    transport.send(batch("a"))

    assert transport.wait_for(1, timeout=0)
    assert not transport.wait_for(2, timeout=0)


def test_the_clock_stands_still() -> None:
    """It tells the same until it is told to go on."""
    clock = ManualClock(5.0)
    told = [clock(), clock()]
    clock.advance(1.5)
    told.append(clock())
    clock.now = 100.0
    told.append(clock())

    assert [5.0, 5.0, 6.5, 100.0] == told
    assert 0.0 == ManualClock()()
