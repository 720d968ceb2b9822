"""A run of one event is stored as the first and a count, and the account still agrees."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from itertools import groupby, repeat, takewhile
from pathlib import Path
from typing import Any

import pytest
from bench import assert_law, put
from hypothesis import given
from hypothesis import strategies as st
from make import encoder
from make import logged_line as line
from waiting import wait_until

import logbatch
from logbatch.batching.batcher import Batcher
from logbatch.batching.repeats import Collapser
from logbatch.errors import TemporaryError
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport, ManualClock


class Bench:
    """A collapser with a store that is a list."""

    def __init__(self, interval: float = 1.0) -> None:
        self.clock = ManualClock(100.0)
        self.stored: list[tuple[dict[str, Any], int]] = []
        self.wakes = 0
        self.has_room = True
        self.collapser = Collapser(self._store, self._wake, interval, self.clock)

    def _store(self, line: bytes, level: int) -> bool:
        if self.has_room:
            self.stored.append((json.loads(line), level))
        return self.has_room

    def _wake(self) -> None:
        self.wakes += 1

    def append(self, *texts: str, level: int = logging.INFO) -> None:
        """Append events."""
        for text in texts:
            self.collapser.append(line(text, level), level)

    def flush_due(self) -> float | None:
        """Store the counts that are due, as the flusher does."""
        return self.collapser.flush_due(lambda line: self._store(line, 0))

    @property
    def messages(self) -> list[str]:
        """What is stored."""
        return [event["message"] for event, _ in self.stored]


def told(times: int) -> str:
    """Return the message that counts repeats."""
    return f"last message repeated {times} times"


@pytest.fixture
def bench() -> Bench:
    """A collapser that tells after a second."""
    return Bench()


def test_a_run_is_the_first_and_a_count(bench: Bench) -> None:
    """What comes again is counted, and told when another event comes."""
    bench.append("a", "a", "a", "a", "b", "c", "c", "d")

    assert ["a", told(3), "b", "c", told(1), "d"] == bench.messages
    assert 4 == bench.collapser.collapsed


def test_what_is_told_of_repeats(bench: Bench) -> None:
    """Logger and level of the event; how often, when first and last, and of which message."""
    first = line("boom", logging.ERROR, n=1)
    again = [line("boom", logging.ERROR, n=1) for _ in range(3)]
    for each in (first, *again):
        bench.collapser.append(each, logging.ERROR)
    bench.collapser.end()
    event, level = bench.stored[-1]
    times = [json.loads(each)["timestamp"] for each in again]

    assert (logging.ERROR, "ERROR", logging.ERROR, "test") == (
        level,
        event["level"],
        event["levelno"],
        event["logger"],
    )
    assert {"repeated": 3, "first": times[0], "last": times[2], "message": "boom"} == (
        event["attributes"]
    )
    assert times[2] == event["timestamp"]  # in the order of time it stands behind the repeats
    assert "last message repeated %d times" == event["template"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (line("a"), line("b")),
        (line("a", logging.INFO), line("a", logging.WARNING)),
        (line("a", n=1), line("a", n=2)),
        (line("a", n=1), line("a")),
        (line("a"), encoder.text("a", level=20, logger="other")),
        (
            b'{"message":"a","exception_type":"X","exception_message":"1"}\n',
            b'{"message":"a","exception_type":"X","exception_message":"2"}\n',
        ),
        (b'{"message":"a"}\n', b"not an event\n"),
    ],
    ids=["message", "level", "attributes", "none", "logger", "exception", "no event"],
)
def test_what_differs_is_not_folded(one: bytes, other: bytes) -> None:
    """Logger, level, message, attributes and exception must all be the same."""
    stored: list[bytes] = []

    def store(line: bytes, _: int) -> bool:
        stored.append(line)
        return True

    collapser = Collapser(store, lambda: None, 1.0)
    for each in (one, other, other if other.startswith(b"{") else one):
        collapser.append(each, 20)

    assert [one, other] == stored[:2]
    assert (1 if other.startswith(b"{") else 0) == collapser.collapsed


def test_a_long_run_is_told_every_interval(bench: Bench) -> None:
    """While it goes on, a repeat that comes after the interval tells of all before."""
    for _ in range(41):
        bench.append("a")
        bench.clock.advance(0.125)
    assert ["a", *[told(9)] * 4] == bench.messages
    bench.append("b")
    assert ["a", *[told(9)] * 4, told(4), "b"] == bench.messages


def test_a_run_that_stops_is_told_by_the_flusher(bench: Bench) -> None:
    """The flusher is woken by the first repeat, and finds it due after the interval."""
    bench.append("a")
    assert (0, float("inf")) == (bench.wakes, bench.collapser.due_in())
    bench.append("a", "a")
    assert (1, 1.0) == (bench.wakes, bench.collapser.due_in())
    bench.clock.advance(0.75)
    assert 0.25 == bench.collapser.due_in()
    assert bench.flush_due() is None
    bench.clock.advance(0.25)
    assert 100.0 == bench.flush_due()
    assert ["a", told(2)] == bench.messages
    assert float("inf") == bench.collapser.due_in()
    assert bench.flush_due() is None
    bench.append("a")
    assert 2 == bench.wakes
    assert ["a", told(2)] == bench.messages  # the run goes on


def test_what_finds_no_room_is_told_later(bench: Bench) -> None:
    """If the journal is full the flusher tries again, and no repeat is forgotten."""
    bench.append("a", "a", "a")
    bench.clock.advance(1.0)
    bench.has_room = False
    assert bench.flush_due() is None
    bench.has_room = True
    assert 1.0 == bench.collapser.due_in()
    bench.append("a")
    bench.clock.advance(1.0)
    bench.flush_due()
    assert ["a", told(3)] == bench.messages


def test_nothing_is_folded_into_an_event_that_was_dropped(bench: Bench) -> None:
    """Only what is stored already can be repeated."""
    bench.has_room = False
    bench.append("a", "a")
    bench.has_room = True
    bench.append("a", "a")
    bench.collapser.end()

    assert ["a", told(1)] == bench.messages
    assert 1 == bench.collapser.collapsed


def test_end_ends_the_run_and_flush_does_not(bench: Bench) -> None:
    """After a flush a repeat is still one; after a close the event is stored anew."""
    bench.append("a", "a")
    bench.collapser.flush()
    bench.append("a")
    bench.collapser.end()
    bench.collapser.end()
    bench.append("a")

    assert ["a", told(1), told(1), "a"] == bench.messages


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_what_is_stored_tells_the_whole_story(texts: list[str]) -> None:
    """The events can be read back from what is stored."""
    bench = Bench()
    bench.append(*texts)
    bench.collapser.end()
    read: list[str] = []
    for event, _ in bench.stored:
        times = event.get("attributes", {}).get("repeated")
        read += [event["message"]] if times is None else [read[-1]] * times

    assert texts == read
    assert len(list(groupby(texts))) + bench.collapser.collapsed == len(texts)


def test_an_event_stored_while_another_was_counts_as_newer(bench: Bench) -> None:
    """What comes while an event is being stored is the newest; the run is that one's."""
    bench.collapser = Collapser(lambda *a: store(*a), bench._wake, 1.0, bench.clock)  # noqa: PLW0108

    def store(line: bytes, level: int) -> bool:
        event = json.loads(line)
        if event["message"] == "outer":  # as a signal handler does
            bench.stored.append((event, level))
            bench.append("inner")
            return True
        return bench._store(line, level)

    bench.append("outer")
    bench.append("inner")
    assert ["outer", "inner"] == bench.messages
    assert 1 == bench.collapser.collapsed


# ---------------------------------------------------------------------------- in a batcher


def new_batcher(transport: CapturingTransport, **options: Any) -> Batcher:
    """Make a batcher that collapses."""
    return Batcher(
        transport, BatchOptions(**{"flush_interval": 3600.0, "collapse_repeats": True, **options})
    )


def test_flush_tells_and_the_run_goes_on() -> None:
    """After a flush all repeats so far are at the destination, and the account agrees."""
    transport = CapturingTransport()
    batcher = new_batcher(transport)
    put(batcher, *"aaa")
    assert batcher.flush()
    assert ["a", told(2)] == transport.messages
    put(batcher, *"aab")
    assert_law(batcher)
    assert batcher.close()
    assert ["a", told(2), told(2), "b"] == transport.messages
    stats = batcher.stats()
    assert (4, 4, 4) == (stats.accepted, stats.published, stats.collapsed)
    assert_law(batcher)


def test_close_tells_and_what_comes_afterwards_is_stored() -> None:
    """A closed batcher has told all; the same event afterwards is one of a new run."""
    transport = CapturingTransport()
    batcher = new_batcher(transport)
    put(batcher, *"aaa")
    assert batcher.close()
    put(batcher, *"aaa")
    assert batcher.close()
    assert ["a", told(2)] * 2 == transport.messages


def test_a_run_that_stops_is_published_within_the_interval() -> None:
    """With nothing more to come, the count arrives by itself."""
    transport = CapturingTransport()
    batcher = new_batcher(transport, flush_interval=0.2)
    put(batcher, *"aaaa")
    assert transport.wait_for(2)
    assert ["a", told(3)] == transport.messages
    assert not {"asked", "close"} & set(batcher.stats().flushes)
    assert batcher.close()


def test_a_run_after_close_is_told_by_itself() -> None:
    """A batcher that was closed goes on, until what came is told."""
    transport = CapturingTransport()
    batcher = new_batcher(transport, flush_interval=0.2)
    batcher.close()
    put(batcher, *"aaaa")
    assert transport.wait_for(2)
    assert ["a", told(3)] == transport.messages
    assert batcher.close()


def test_a_run_is_told_in_the_journal_while_the_destination_is_away() -> None:
    """An outage keeps nothing from being stored; the repeats of it are a count every interval."""
    over = threading.Event()
    transport = CapturingTransport(
        takewhile(lambda _: not over.is_set(), repeat(TemporaryError("down")))
    )
    batcher = new_batcher(transport, flush_interval=0.05)
    put(batcher, *"aaaa")
    wait_until(lambda: batcher.stats().pending == 2)
    over.set()
    assert batcher.flush()
    assert ["a", told(3)] == transport.messages
    batcher.close()


def test_urgent_events_are_not_held_up() -> None:
    """An error goes at once after a run of others, and takes the count along."""
    transport = CapturingTransport()
    batcher = new_batcher(transport)
    put(batcher, *"aaa")
    put(batcher, "a", level=logging.ERROR)
    assert transport.wait_for(3)
    put(batcher, "a", level=logging.ERROR)
    put(batcher, "b", level=logging.ERROR)
    assert transport.wait_for(5)
    assert ["a", told(2), "a", told(1), "b"] == transport.messages
    batcher.close()


def test_a_full_journal_loses_no_count() -> None:
    """Where the journal is full, what is dropped is counted and nothing is folded into it."""
    transport = CapturingTransport(repeat(TemporaryError("down")))
    batcher = new_batcher(transport, durability="memory", max_journal_bytes=1 << 16)
    for n in range(600):
        put(batcher, f"{n:0200}", f"{n:0200}")
        assert_law(batcher)
    stats = batcher.stats()
    assert stats.dropped
    assert stats.collapsed < 600
    batcher.close(0)


def test_threads_lose_no_event() -> None:
    """Many threads at once: what is stored and what is counted is all there was."""
    transport = CapturingTransport()
    batcher = new_batcher(transport, flush_interval=0.01)

    def work(name: str) -> None:
        for n in range(2000):
            put(batcher, name if n % 50 else "all")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert batcher.close()
    repeated = [event.get("attributes", {}).get("repeated") for event in transport.events]
    stats = batcher.stats()
    assert 8000 == sum(1 if times is None else times for times in repeated)
    assert stats.collapsed == sum(times or 0 for times in repeated)
    assert stats.accepted == stats.published == len(repeated)


def test_an_event_at_every_place_within_a_call() -> None:
    """Two events that come in between, as a signal handler logs them, are stored or counted."""
    places = _put_in_between(frozenset())
    for first in range(places):
        for second in range(first + 1, places):
            _put_in_between(frozenset((first, second)))


def _put_in_between(wanted: frozenset[int]) -> int:
    """Append four events, and one more at each of some calls that this makes; count the calls."""
    bench = Bench(interval=1000.0)
    calls = interrupts = 0

    def interrupt(_frame: object, what: str, _function: object) -> None:
        nonlocal calls, interrupts
        if what in ("call", "c_return"):  # where an interpreter looks for signals
            if calls in wanted:
                interrupts += 1
                bench.append("a")
            calls += 1

    append, before = bench.collapser.append, sys.getprofile()
    lines = [(line(text), logging.INFO) for text in "abba"]
    sys.setprofile(interrupt)
    try:
        for each in lines:
            append(*each)
    finally:
        sys.setprofile(before)
    bench.collapser.flush()
    times = [event.get("attributes", {}).get("repeated", 1) for event, _ in bench.stored]
    assert len(lines) + interrupts == sum(times)
    return calls


def test_a_signal_handler_that_logs_in_between() -> None:
    """A handler that interrupts a call anywhere neither waits for it nor loses anything."""
    transport = CapturingTransport()
    batcher = new_batcher(transport, flush_interval=0.01)
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        put(batcher, "a" if interrupts % 3 else "b")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(20_000):
            put(batcher, "a")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert batcher.close()
    repeated = [event.get("attributes", {}).get("repeated") for event in transport.events]
    assert interrupts > 10
    assert 20_000 + interrupts == sum(1 if times is None else times for times in repeated)
    assert_law(batcher)


def test_secrets_do_not_come_back_by_what_is_told() -> None:
    """The message that is told of is the redacted one."""
    transport = CapturingTransport()
    with logbatch.BatchHandler(
        transport, collapse_repeats=True, redact_patterns=["hunter2"]
    ) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        for _ in range(3):
            logger.info("password %s", "hunter2")
    assert ["password [redacted]", told(2)] == transport.messages
    assert "hunter2" not in json.dumps(transport.events)


def test_a_processor_collapses_too() -> None:
    """The option is one of structlog's side as well."""
    transport = CapturingTransport()
    with logbatch.BatchProcessor(transport, collapse_repeats=True) as processor:
        for _ in range(3):
            processor(None, "info", {"event": "hello", "n": 1})
    assert ["hello", told(2)] == transport.messages


# ---------------------------------------------------------------------------- processes


def test_a_forked_child_has_a_run_of_its_own(tmp_path: Path) -> None:
    """What the parent had logged before the fork is stored anew by the child."""
    logs = tmp_path / "logs"
    with logbatch.BatchHandler(f"jsonl:{logs}", collapse_repeats=True) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        logger.info("same")
        logger.info("same")
        child = os.fork()
        if child == 0:
            logger.info("same")
            logger.info("same")
            logger.info("same")
            handler.close()
            os._exit(0 if handler.stats().collapsed == 2 else 1)
        assert 0 == os.waitpid(child, 0)[1]
        logger.info("same")
    rows = list(logbatch.Dataset(logs).rows())
    counts = [row["attributes"]["repeated"] for row in rows if "repeated" in row["attributes"]]

    assert 2 == sum(row["message"] == "same" for row in rows)
    assert [2, 2] == counts


PROGRAM = """
import logging, os, signal, sys, time, logbatch
handler = logbatch.BatchHandler(sys.argv[1], collapse_repeats=True, flush_interval=3600)
logging.getLogger().addHandler(handler)
for n in range(1000):
    logging.warning("same")
if sys.argv[2] == "killed":
    logging.warning("other")
    logging.warning("other")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["normal", "killed"])
def test_a_process_that_ends_has_told(tmp_path: Path, end: str) -> None:
    """A normal end tells all; one that is killed loses only the count of the last run."""
    logs = tmp_path / "logs"
    command = [sys.executable, "-c", PROGRAM, f"jsonl:{logs}", end]
    subprocess.run(command, timeout=60, check=end == "normal")
    messages = [row["message"] for row in logbatch.Dataset(logs).rows()]

    assert ["same", told(999), *(["other"] if end == "killed" else [])] == messages
