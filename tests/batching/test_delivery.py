"""What is done about each answer of a transport."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import files_of_at_most
from make import P as PRODUCER
from make import make_batch, numbered

from logbatch.batching.counters import Counters
from logbatch.batching.delivery import RECHECK, Delivery, delivering
from logbatch.errors import BatchUnsupportedError, RejectedError, TemporaryError
from logbatch.identity import Ranges
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.transports.base import Batch, Receipt
from logbatch.trouble import Trouble

Told = tuple[str, str, BaseException | None]


UNKEPT = "1 event was rejected: bad; lost: where the journal is in memory no dead letters are kept"


class Desk:
    """A delivery with everything around it, and the journal's side of the account."""

    def __init__(self, transport: CapturingTransport, rejected: Path | None = None) -> None:
        self.transport = transport
        self.clock = ManualClock()
        self.told: list[Told] = []
        self.trouble = Trouble(lambda *each: self.told.append(each))
        self.counters = Counters()
        self.delivery = Delivery(transport, rejected, self.trouble, self.counters, self.clock)
        self.settled: list[tuple[int, int]] = []

    def deliver(self, batch: Batch, known: Ranges | None = None) -> None:
        """Deliver a batch, noting what is settled."""
        self.delivery.deliver(
            batch, known or Ranges(), lambda last, rejected: self.settled.append((last, rejected))
        )

    def deliver_all(self, first: int, last: int) -> int:
        """Deliver as the flusher does, from what is settled on; return how often it failed."""
        failures = 0
        while (begin := self.settled[-1][0] + 1 if self.settled else first) <= last:
            try:
                self.deliver(make_batch(begin, last))
            except TemporaryError:
                failures += 1
        return failures

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The ranges that `send` was called with."""
        return [(batch.first, batch.last) for batch in self.transport.attempts]

    @property
    def taken(self) -> list[int]:
        """The sequences that the transport took, in their order."""
        return [event["sequence"] for event in self.transport.events]

    @property
    def rejected(self) -> int:
        """How many events were settled as rejected."""
        return sum(rejected for _, rejected in self.settled)


def desk_with(*answers: Receipt | BaseException | None, rejected: Path | None = None) -> Desk:
    """Make a desk whose transport gives these answers."""
    return Desk(CapturingTransport(answers), rejected)


class Picky(CapturingTransport):
    """Refuses every batch that holds one of some sequences, as a whole."""

    def __init__(self, poison: set[int], reason: str = "poison") -> None:
        super().__init__()
        self.poison = poison
        self.reason = reason

    def send(self, batch: Batch) -> Receipt | None:
        """Accept it or refuse it."""
        if self.poison.intersection(range(batch.first, batch.last + 1)):
            self.answer(RejectedError(self.reason))
        return super().send(batch)


def letters(directory: Path) -> list[dict[str, Any]]:
    """Read the dead letters of the producer."""
    text = (directory / f"{PRODUCER}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


# --------------------------------------------------------------------------- acknowledged


def test_what_is_taken_is_settled() -> None:
    """A transport that returns has taken the batch; the journal is told once."""
    desk = desk_with()
    desk.deliver(make_batch(5, 9))

    assert [make_batch(5, 9)] == desk.transport.batches
    assert [(9, 0)] == desk.settled
    assert [] == desk.told


def test_what_was_taken_is_counted() -> None:
    """Batches, events, bytes and the seconds that each send took."""

    class Slow(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            desk.clock.advance(0.5)
            return super().send(batch)

    desk = Desk(Slow([None, TemporaryError("down")]))
    desk.deliver(make_batch(0, 2))
    with pytest.raises(TemporaryError):
        desk.deliver(make_batch(3, 3))
    desk.deliver(make_batch(3, 3))

    sent = desk.counters
    lines = make_batch(0, 3).lines
    assert (2, 4, len(lines), 1) == (sent.batches, sent.events, sent.bytes, sent.retries)
    assert [0.5, 0.5, 0.5] == list(sent.seconds)


# --------------------------------------------------------------------------- temporary


def test_a_temporary_failure_settles_nothing() -> None:
    """The batch stays; the wait that was asked for is passed on."""
    down = TemporaryError("busy", retry_after=7.0)
    desk = desk_with(down)
    with pytest.raises(TemporaryError) as caught:
        desk.deliver(make_batch(0, 9))

    assert down is caught.value
    assert 7.0 == caught.value.retry_after
    assert [] == desk.settled
    assert (0, 1) == (desk.counters.batches, desk.counters.retries)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("bug"), "RuntimeError: bug"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (MemoryError(), "MemoryError"),
        (ConnectionResetError("peer\nwent"), r"ConnectionResetError: peer\nwent"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_any_other_exception_is_temporary(error: BaseException, text: str) -> None:
    """Whatever a transport raises, a BaseException included, the batch is tried again."""
    desk = desk_with(error)
    with pytest.raises(TemporaryError) as caught:
        desk.deliver(make_batch(0, 9))
    desk.deliver(make_batch(0, 9))

    assert (text, None) == (str(caught.value), caught.value.retry_after)
    assert error is caught.value.__cause__
    assert [(9, 0)] == desk.settled
    assert (1, 1) == (desk.counters.batches, desk.counters.retries)


# --------------------------------------------------------------------------- some are refused


def test_refused_records_become_dead_letters_and_the_rest_counts_as_taken(tmp_path: Path) -> None:
    """A mapping of index to reason: one send, those records are kept with reason and identity."""
    desk = desk_with(RejectedError({3: "no user", 1: "too long"}), rejected=tmp_path)
    desk.deliver(make_batch(10, 14))

    assert [(10, 14)] == desk.spans
    assert [(14, 2)] == desk.settled
    expected = [
        {
            "status": None,
            "reason": reason,
            "producer": PRODUCER,
            "sequence": n,
            "event": numbered(n),
        }
        for n, reason in [(11, "too long"), (13, "no user")]
    ]
    assert expected == [
        {name: value for name, value in letter.items() if name != "time"}
        for letter in letters(tmp_path)
    ]
    kept = f"kept in {tmp_path / PRODUCER}.jsonl, for `logbatch replay`"
    told = f"2 events were rejected: no user; {kept}"
    assert [("rejected", told, None)] == desk.told


def test_without_a_directory_refused_records_are_only_counted() -> None:
    """Where the journal is in memory, what is refused is told but not kept."""
    desk = desk_with(RejectedError({0: "bad"}))
    desk.deliver(make_batch(0, 1))

    assert [(1, 1)] == desk.settled
    assert [("rejected", UNKEPT, None)] == desk.told


def test_a_refusal_of_nothing_is_a_success() -> None:
    """An empty mapping refuses no record."""
    desk = desk_with(RejectedError({}))
    desk.deliver(make_batch(0, 4))

    assert [(4, 0)] == desk.settled
    assert (1, 5) == (desk.counters.batches, desk.counters.events)
    assert [] == desk.told


def test_a_batch_that_is_refused_to_the_last_record_is_not_a_batch_taken() -> None:
    """Statistics count a batch of which something was taken, and what was."""
    desk = desk_with(RejectedError({0: "a", 1: "b"}), RejectedError({0: "a"}))
    desk.deliver(make_batch(0, 1))
    desk.deliver(make_batch(2, 3))

    assert [(1, 2), (3, 1)] == desk.settled
    assert (1, 1) == (desk.counters.batches, desk.counters.events)


def test_odd_reasons_are_kept_as_text(tmp_path: Path) -> None:
    """Regression: a reason that is no valid UTF-8 text, or none at all, stopped the delivery."""
    reasons: dict[Any, Any] = {0: "bad \udcff", np.int64(1): None, 2: {"code": 7}}
    desk = desk_with(RejectedError(reasons), rejected=tmp_path)
    desk.deliver(make_batch(0, 2))

    found = [(letter["sequence"], letter["reason"]) for letter in letters(tmp_path)]
    assert [(0, r"bad \udcff"), (1, "None"), (2, "{'code': 7}")] == found
    assert [(2, 3)] == desk.settled


@pytest.mark.parametrize("index", [3, -1, "1", None, 1.5])
def test_a_refusal_that_fits_no_record_is_one_of_the_whole_batch(index: Any) -> None:
    """Regression: a record refused under an index that is not in the batch passed for taken."""

    class OffByOne(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            if batch.first <= 1 <= batch.last:
                self.answer(RejectedError({index: "bad"}))
            return super().send(batch)

    desk = Desk(OffByOne())
    desk.deliver(make_batch(0, 2))

    assert [0, 2] == desk.taken
    assert 1 == desk.rejected
    assert [("rejected", UNKEPT, None)] == desk.told


def test_a_directory_that_cannot_be_written_loses_the_letters_and_nothing_else(
    tmp_path: Path,
) -> None:
    """The records stay counted as rejected, the trouble is told, and the delivery goes on."""
    in_the_way = tmp_path / "rejected"
    in_the_way.write_text("a file")
    desk = desk_with(RejectedError({1: "bad"}), rejected=in_the_way)
    desk.deliver(make_batch(0, 2))
    desk.deliver(make_batch(3, 4))

    assert [(2, 1), (4, 0)] == desk.settled
    ((kind, text, _),) = desk.told
    assert "rejected" == kind
    assert text.startswith(
        "1 event was rejected: bad; lost, as no dead letter could be written: File"
    )


def test_a_full_disk_leaves_no_half_a_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A letter that the disk has no room for is taken back, and the next begins on its own line."""
    desk = desk_with(*[RejectedError({0: "bad"})] * 3, rejected=tmp_path)
    desk.deliver(make_batch(0, 0))
    path = tmp_path / f"{PRODUCER}.jsonl"
    before = path.read_bytes()
    with files_of_at_most(len(before) + 20):
        desk.deliver(make_batch(1, 1))
    assert before == path.read_bytes()
    desk.deliver(make_batch(2, 2))

    assert [0, 2] == [letter["sequence"] for letter in letters(tmp_path)]
    assert [(0, 1), (1, 1), (2, 1)] == desk.settled
    assert (
        "lost, as no dead letter could be written: OSError: [Errno 27] File too" in desk.told[1][1]
    )


# --------------------------------------------------------------------------- all is refused


def test_a_refused_batch_is_halved_until_the_record_is_found(tmp_path: Path) -> None:
    """Only the record at fault is a dead letter; the others are taken, in order."""
    desk = Desk(Picky({5}), tmp_path)
    desk.deliver(make_batch(0, 7))

    assert [(0, 7), (0, 3), (4, 7), (4, 5), (4, 4), (5, 5), (6, 7)] == desk.spans
    assert [0, 1, 2, 3, 4, 6, 7] == desk.taken
    assert [(3, 0), (4, 0), (5, 1), (7, 0)] == desk.settled
    assert [(5, "poison")] == [(each["sequence"], each["reason"]) for each in letters(tmp_path)]


def test_a_single_record_that_is_refused_is_one_letter(tmp_path: Path) -> None:
    """There is nothing to halve in a batch of one."""
    desk = Desk(Picky({5}), tmp_path)
    desk.deliver(make_batch(5, 5))

    assert [(5, 5)] == desk.spans
    assert [(5, 1)] == desk.settled
    assert 0 == desk.counters.batches


@given(st.integers(1, 5000), st.data())
def test_finding_one_record_costs_few_sends(size: int, data: st.DataObject) -> None:
    """One poison among N costs at most 2 * log2(N) + 2 sends (N rounded up to a power of two)."""
    poison = data.draw(st.integers(100, 99 + size))
    desk = Desk(Picky({poison}))
    desk.deliver(make_batch(100, 99 + size))

    assert len(desk.spans) <= 2 * ceil(log2(size)) + 2
    assert [n for n in range(100, 100 + size) if n != poison] == desk.taken
    assert 1 == desk.rejected


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_any_records_are_found(size: int, poison: set[int]) -> None:
    """However many are refused, those and only those become dead letters, in order."""
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Picky(poison), Path(directory))
        desk.deliver(make_batch(0, size - 1))
        refused = sorted(poison.intersection(range(size)))

        assert sorted(set(range(size)) - poison) == desk.taken
        assert len(refused) == desk.rejected
        if refused:
            assert refused == [letter["sequence"] for letter in letters(Path(directory))]
    assert sorted(set(desk.settled)) == desk.settled
    assert size - 1 == desk.settled[-1][0]


# --------------------------------------------------------------------------- no batch endpoint

NO_BATCHES = BatchUnsupportedError("404")


def test_where_batches_are_unsupported_records_go_one_by_one() -> None:
    """Each is a batch of one with its own identity, settled as it is taken."""
    desk = desk_with(NO_BATCHES)
    desk.deliver(make_batch(4, 6))

    assert [(4, 6), (4, 4), (5, 5), (6, 6)] == desk.spans
    assert [make_batch(n, n) for n in (4, 5, 6)] == desk.transport.batches
    assert [(4, 0), (5, 0), (6, 0)] == desk.settled
    assert (3, 3, 0) == (desk.counters.batches, desk.counters.events, desk.counters.retries)
    assert desk.transport.batches == desk.transport.singles
    assert (4, 3, 3) == (
        desk.counters.calls,
        desk.counters.single_calls,
        desk.counters.singles,
    )


def test_a_batch_of_one_goes_to_the_single_endpoint_as_well() -> None:
    """Where there is no batch endpoint, it does not matter how many events are due."""
    desk = desk_with(NO_BATCHES)
    desk.deliver(make_batch(0, 0))
    desk.deliver(make_batch(1, 1))

    assert [(0, 0), (0, 0), (1, 1)] == desk.spans
    assert [make_batch(0, 0), make_batch(1, 1)] == desk.transport.singles


@pytest.mark.parametrize(("recheck", "batches"), [(0.0, 2), (5.0, 1), (None, 1)])
def test_a_transport_says_how_long_batches_are_not_tried(
    recheck: float | None, batches: int
) -> None:
    """0 seconds: only this batch goes singly."""
    desk = desk_with(BatchUnsupportedError("reset", recheck=recheck))
    desk.deliver(make_batch(0, 1))
    desk.deliver(make_batch(2, 3))

    assert batches == len([span for span in desk.spans if span[0] < span[1]])
    assert [0, 1, 2, 3] == desk.taken


def test_a_fallback_that_dies_half_way_repeats_and_loses_nothing() -> None:
    """What was taken singly is settled; the next try begins behind it, with a batch."""
    once = BatchUnsupportedError("reset", recheck=0.0)
    desk = desk_with(once, None, None, TemporaryError("reset"))
    assert 1 == desk.deliver_all(0, 4)

    assert [(0, 4), (0, 0), (1, 1), (2, 2), (2, 4)] == desk.spans
    assert [0, 1, 2, 3, 4] == desk.taken


# --------------------------------------------------------------------------- partly taken


class Partly(CapturingTransport):
    """Accepts only the events of some sequences, of whatever it is sent."""

    def __init__(self, limits: list[tuple[int, int]]) -> None:
        super().__init__()
        self.limits = limits
        self.stored: list[int] = []

    def send(self, batch: Batch) -> Receipt | None:
        """Accept the part of the batch that lies within the next limit."""
        self.attempts.append(batch)
        first, last = self.limits.pop(0) if self.limits else (batch.first, batch.last)
        self.stored += range(max(first, batch.first), min(last, batch.last) + 1)
        return Receipt(Ranges([(first, last)]))


@pytest.mark.parametrize(
    ("limits", "spans", "settled"),
    [
        ([(0, 2)], [(0, 9), (3, 9)], [(2, 0), (9, 0)]),
        ([(4, 6)], [(0, 9), (0, 3), (7, 9)], [(6, 0), (9, 0)]),
        ([(7, 9)], [(0, 9), (0, 6)], [(9, 0)]),
        ([(0, 2), (3, 3)], [(0, 9), (3, 9), (4, 9)], [(2, 0), (3, 0), (9, 0)]),
        ([(-5, 90)], [(0, 9)], [(9, 0)]),
    ],
)
def test_what_was_not_taken_is_sent_again(
    limits: list[tuple[int, int]], spans: list[tuple[int, int]], settled: list[tuple[int, int]]
) -> None:
    """Only that; and nothing counts as settled behind an event that is not."""
    transport = Partly(limits)
    desk = Desk(transport)
    desk.deliver(make_batch(0, 9))

    assert spans == desk.spans
    assert settled == desk.settled
    assert list(range(10)) == sorted(transport.stored)
    assert (len(spans), 10) == (desk.counters.batches, desk.counters.events)
    assert len(make_batch(0, 9).lines) == desk.counters.bytes


@pytest.mark.parametrize("taken", [Ranges(), Ranges([(10, 20)])])
def test_a_batch_of_which_nothing_was_taken_waits(taken: Ranges) -> None:
    """It is not sent again at once, for ever."""
    desk = desk_with(Receipt(taken))
    with pytest.raises(TemporaryError, match="the destination accepted none of the batch"):
        desk.deliver(make_batch(0, 9))

    assert [] == desk.settled
    assert (0, 0) == (desk.counters.batches, desk.counters.events)


def test_what_a_destination_skipped_is_counted_and_said_once() -> None:
    """It does not say which, so nothing can be sent again."""
    desk = desk_with(Receipt(skipped=2), None, Receipt(skipped=1))
    for first in (0, 5, 10):
        desk.deliver(make_batch(first, first + 4))

    assert [(4, 0), (9, 0), (14, 0)] == desk.settled
    assert (3, 15) == (desk.counters.skipped, desk.counters.events)
    assert ["skipped"] == [kind for kind, _, _ in desk.told]
    assert "did not store 2 of 5 events" in desk.told[0][1]


def test_a_dead_letter_holds_the_status(tmp_path: Path) -> None:
    """Where the refusal has one."""
    desk = desk_with(
        RejectedError({0: "bad"}, status=200), RejectedError("no", status=422), rejected=tmp_path
    )
    desk.deliver(make_batch(0, 0))
    desk.deliver(make_batch(1, 1))

    assert [200, 422] == [letter["status"] for letter in letters(tmp_path)]


def test_that_batches_are_unsupported_is_remembered_and_rechecked() -> None:
    """For ten minutes nothing is asked again; then a batch is tried, and used if it works."""
    desk = desk_with(NO_BATCHES)
    desk.deliver(make_batch(0, 1))
    desk.clock.advance(RECHECK - 1)
    desk.deliver(make_batch(2, 3))
    desk.clock.advance(1)
    desk.deliver(make_batch(4, 5))
    desk.deliver(make_batch(6, 7))

    expected = [(0, 1), (0, 0), (1, 1), (2, 2), (3, 3), (4, 5), (6, 7)]
    assert expected == desk.spans
    assert list(range(8)) == desk.taken


def test_a_recheck_that_fails_is_remembered_anew() -> None:
    """Where there is still no batch endpoint, the next ten minutes go one by one as well."""
    desk = desk_with(NO_BATCHES, None, None, NO_BATCHES)
    desk.deliver(make_batch(0, 1))
    desk.clock.advance(RECHECK)
    desk.deliver(make_batch(2, 3))
    desk.clock.advance(RECHECK - 1)
    desk.deliver(make_batch(4, 5))

    expected = [(0, 1), (0, 0), (1, 1), (2, 3), (2, 2), (3, 3), (4, 4), (5, 5)]
    assert expected == desk.spans


def test_a_destination_that_takes_nothing_at_all_is_temporarily_so() -> None:
    """Where single records are unsupported too, they stay and are tried again."""
    desk = desk_with(NO_BATCHES, BatchUnsupportedError("405"))
    with pytest.raises(TemporaryError) as caught:
        desk.deliver(make_batch(0, 1))

    expected = "405, to batches and to single records; is the path right?"
    assert expected == str(caught.value)
    assert ([], 1) == (desk.settled, desk.counters.retries)


def test_one_by_one_a_refused_record_is_a_letter_and_the_rest_go_on(tmp_path: Path) -> None:
    """A refusal of a single record does not stop those after it."""
    desk = desk_with(NO_BATCHES, None, RejectedError("bad"), rejected=tmp_path)
    desk.deliver(make_batch(0, 2))

    assert [0, 2] == desk.taken
    assert [(0, 0), (1, 1), (2, 0)] == desk.settled
    assert [1] == [letter["sequence"] for letter in letters(tmp_path)]


# --------------------------------------------------------------------------- half way


def test_after_a_failure_half_way_single_records_are_not_repeated() -> None:
    """One by one, the second try begins with the record that failed."""
    desk = desk_with(NO_BATCHES, None, None, TemporaryError("down"))
    failures = desk.deliver_all(0, 4)

    assert 1 == failures
    assert [(0, 4), (0, 0), (1, 1), (2, 2), (2, 2), (3, 3), (4, 4)] == desk.spans
    assert [0, 1, 2, 3, 4] == desk.taken


def test_after_a_failure_half_way_halves_are_not_repeated(tmp_path: Path) -> None:
    """A crash between two halves: what is settled, and its dead letter, is not done again."""
    too_large = RejectedError("too large")
    desk = desk_with(too_large, too_large, None, too_large, OSError(), rejected=tmp_path)
    failures = desk.deliver_all(0, 3)

    assert 1 == failures
    assert [(0, 3), (0, 1), (0, 0), (1, 1), (2, 3), (2, 3)] == desk.spans
    assert [(0, 0), (1, 1), (3, 0)] == desk.settled
    assert [1] == [letter["sequence"] for letter in letters(tmp_path)]


def test_what_is_known_to_be_there_is_left_out() -> None:
    """Of a journal that was taken over only the holes are sent, and all of it is settled."""
    desk = desk_with()
    desk.deliver(make_batch(10, 19), Ranges([(0, 10), (13, 14), (17, 30)]))

    assert [make_batch(11, 12), make_batch(15, 16)] == desk.transport.batches
    assert [(14, 0), (19, 0)] == desk.settled


def test_a_batch_that_is_wholly_known_is_settled_without_a_send() -> None:
    """Where everything is there already, the journal is told and the transport is not asked."""
    desk = desk_with()
    desk.deliver(make_batch(10, 19), Ranges([(0, 30)]))

    assert [] == desk.spans
    assert [(19, 0)] == desk.settled


def test_a_failure_between_holes_settles_what_came_before() -> None:
    """The known records after a part that was taken are settled with it."""
    desk = desk_with(None, TemporaryError("down"))
    with pytest.raises(TemporaryError):
        desk.deliver(make_batch(0, 9), Ranges([(2, 3), (6, 7)]))

    assert [(3, 0)] == desk.settled


def test_a_journal_that_fails_is_not_the_destinations_fault() -> None:
    """What `settle` raises passes through as it is: it is no answer of the transport."""
    desk = desk_with()

    def fail(last: int, rejected: int) -> None:
        raise OSError("journal")

    with pytest.raises(OSError, match="journal"):
        desk.delivery.deliver(make_batch(0, 1), Ranges(), fail)
    assert 0 == desk.counters.retries


Answer = Callable[[Batch], BaseException | None]
ANSWERS: list[Answer] = [
    lambda batch: None,
    lambda batch: TemporaryError("down"),
    lambda batch: RuntimeError("bug"),
    lambda batch: KeyboardInterrupt(),
    lambda batch: RejectedError("too large"),
    lambda batch: RejectedError({len(batch) // 2: "bad"}),
    lambda batch: RejectedError({0: "bad", len(batch): "no such record"}),
    lambda batch: BatchUnsupportedError(),
]


class Moody(CapturingTransport):
    """Answers as it likes, and keeps what it took of a batch that it refused in part."""

    def __init__(self, moods: list[int]) -> None:
        super().__init__()
        self.moods = moods
        self.took: list[int] = []

    def send(self, batch: Batch) -> Receipt | None:
        """Answer."""
        error = ANSWERS[self.moods.pop() if self.moods else 0](batch)
        refused: Any = getattr(error, "reasons", None)
        if error is None or (isinstance(refused, dict) and len(batch) not in refused):
            sequences = range(batch.first, batch.last + 1)
            self.took += [n for i, n in enumerate(sequences) if i not in (refused or {})]
        if error is not None:
            raise error
        return None


@given(
    st.integers(1, 30),
    st.lists(st.integers(0, len(ANSWERS) - 1), max_size=40),
    st.integers(0, 1000),
)
def test_every_event_is_taken_or_a_letter_exactly_once(
    size: int, moods: list[int], first: int
) -> None:
    """Whatever a transport answers, nothing is lost, repeated or put out of order."""
    last = first + size - 1
    transport = Moody(moods)
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(transport, Path(directory))
        desk.deliver_all(first, last)
        files = os.listdir(directory)
        buried = [each["sequence"] for each in letters(Path(directory))] if files else []

    assert list(range(first, last + 1)) == sorted(transport.took + buried)
    assert sorted(transport.took) == transport.took
    assert sorted(buried) == buried
    assert len(buried) == desk.rejected
    assert set() == delivering


# --------------------------------------------------------------------------- who is inside


def test_the_thread_inside_is_known() -> None:
    """While a transport works, and while a refusal is reported, its thread counts as inside."""
    seen: list[set[int]] = []

    class Looking(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            seen.append(set(delivering))
            raise RejectedError("bad")

    trouble = Trouble(lambda *each: seen.append(set(delivering)))
    delivery = Delivery(Looking(), None, trouble, Counters())
    seen.append(set(delivering))
    delivery.deliver(make_batch(0, 0), Ranges(), lambda *each: seen.append(set(delivering)))

    me = {threading.get_ident()}
    assert [set(), me, me, set()] == seen
