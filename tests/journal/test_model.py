"""The journal against a model of itself: whatever happens, in whatever order, each line once."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from make import padded_line as line

from logbatch.identity import Ranges, new_producer
from logbatch.journal import Journal, JournalFull, JournalStopped, Lines, adopt, read_pending

DEAD_PID = (1 << 22) + 1  # above what Linux gives away
MANY = 1 << 40


def numbers(data: bytes) -> list[int]:
    """The numbers of lines, each of which must be whole."""
    found = [msgspec.json.decode(piece)["message"] for piece in data.splitlines()]
    return [int(text.rstrip(".")) for text in found]


class Model:
    """What is to be true of one producer's journal."""

    def __init__(self) -> None:
        self.accepted = 0
        self.settled = 0
        self.dropped = Ranges()
        self.sending: int | None = None
        self.delivered: list[int] = []

    def waiting(self) -> list[int]:
        """The lines that are neither settled nor dropped."""
        return [n for n in range(self.settled, self.accepted) if n not in self.dropped]

    def settle(self, last: int) -> None:
        """Note that all up to `last` was delivered."""
        self.delivered += [number for number in self.waiting() if number <= last]
        self.settled = max(self.settled, last + 1)
        if self.sending is not None and self.sending <= last:
            self.sending = None


class JournalMachine(RuleBasedStateMachine):
    """One process after another that logs into the same directory, delivers, and dies."""

    power = False

    @initialize(max_bytes=st.sampled_from([1, 20_000, 70_000, 300_000]))
    def begin(self, max_bytes: int) -> None:
        self.directory = Path(tempfile.mkdtemp()) / ".journal"
        self.models: dict[str, Model] = defaultdict(Model)
        self.max_bytes = max_bytes
        self.adopted: list[Journal] = []
        self.start()

    def start(self) -> None:
        self.journal = Journal(
            self.directory, new_producer(), power=self.power, max_bytes=self.max_bytes
        )

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            self.die()
            self.take_over()
            for journal in self.adopted:
                self.deliver(journal, MANY, MANY, MANY)
                assert journal.close()
            for model in self.models.values():
                assert [] == model.waiting()
                assert model.delivered == sorted(set(model.delivered))
                assert model.accepted == len(model.delivered) + model.dropped.count()
            left = [path.name for path in self.directory.glob("*")]
            shutil.rmtree(self.directory.parent)
            assert [] == left

    # ------------------------------------------------------------------ the one who logs

    @rule(count=st.integers(1, 60), size=st.sampled_from([0, 150, 500, 5000, 70_000]))
    def append(self, count: int, size: int) -> None:
        model = self.models[self.journal.producer]
        for _ in range(count):
            try:
                self.journal.append(line(model.accepted, size))
            except (JournalFull, JournalStopped):
                return
            model.accepted += 1

    @rule()
    def drop_oldest(self) -> None:
        span = self.journal.drop_oldest()
        if span is not None:
            model = self.models[self.journal.producer]
            assert model.settled <= span[0] <= span[1] < model.accepted
            assert all(number not in model.dropped for number in range(span[0], span[1] + 1))
            assert model.sending is None or model.sending < span[0]
            model.dropped.add(*span)

    @rule()
    def prepare(self) -> None:
        self.journal.prepare(lambda: None)

    @rule()
    def sync(self) -> None:
        self.journal.sync()

    @rule()
    def stop(self) -> None:
        self.journal.stop()

    # ------------------------------------------------------------------ the one who delivers

    limits = (st.sampled_from([1, 700, 10_000, MANY]), st.sampled_from([1, 7, MANY]))

    @rule(max_bytes=limits[0], max_lines=limits[1], batches=st.integers(1, 5))
    def deliver_own(self, max_bytes: int, max_lines: int, batches: int) -> None:
        self.deliver(self.journal, max_bytes, max_lines, batches)

    @precondition(lambda self: self.adopted)
    @rule(max_bytes=limits[0], max_lines=limits[1], batches=st.integers(1, 5))
    def deliver_adopted(self, max_bytes: int, max_lines: int, batches: int) -> None:
        self.deliver(self.adopted[0], max_bytes, max_lines, batches)

    def deliver(self, journal: Journal, max_bytes: int, max_lines: int, batches: int) -> None:
        while batches > 0:
            lines = self.read(journal, max_bytes, max_lines)
            if lines is None:
                return
            self.send(journal, lines)
            journal.acknowledge(lines.last)
            self.models[journal.producer].settle(lines.last)
            batches -= 1

    def read(self, journal: Journal, max_bytes: int, max_lines: int) -> Lines | None:
        model = self.models[journal.producer]
        waiting = model.waiting()
        lines = journal.read(journal.settled, max_bytes, max_lines)
        if lines is None:
            assert [] == waiting
            return None
        assert list(range(lines.first, lines.last + 1)) == numbers(lines.data)
        assert numbers(lines.data) == waiting[: lines.last - lines.first + 1]
        if model.sending is not None:
            assert lines.last == model.sending
        else:
            assert lines.last == lines.first or len(lines.data) <= max_bytes
            assert lines.last - lines.first < max_lines
        return lines

    def send(self, journal: Journal, lines: Lines) -> None:
        journal.sending(lines.last)
        self.models[journal.producer].sending = lines.last

    @rule(max_lines=limits[1], part=st.floats(0, 1), adopted=st.booleans())
    def deliver_in_part(self, max_lines: int, part: float, adopted: bool) -> None:
        journal = self.adopted[0] if adopted and self.adopted else self.journal
        lines = self.read(journal, MANY, max_lines)
        if lines is not None:
            self.send(journal, lines)
            last = lines.first + int((lines.last - lines.first) * part) - 1
            journal.acknowledge(last)
            self.models[journal.producer].settle(last)

    @rule(part=st.floats(0, 1))
    def read_ahead(self, part: float) -> None:
        waiting = self.models[self.journal.producer].waiting()
        if waiting:
            first = waiting[int((len(waiting) - 1) * part)]
            lines = self.journal.read(first, 1)
            assert (first, [first]) == (lines and lines.first, lines and numbers(lines.data)[:1])

    # ------------------------------------------------------------------ ends and beginnings

    @rule()
    def die(self) -> None:
        """Die at this moment, as by SIGKILL: descriptors close, and nothing is written."""
        for journal in (self.journal, *self.adopted):
            journal.abandon()
            path = self.directory / f"{journal.producer}.state"
            if path.exists():
                owner = json.loads(path.read_bytes()[:1024])
                content = json.dumps(owner | {"pid": DEAD_PID}).encode().ljust(1023) + b"\n"
                with path.open("r+b") as file:
                    file.write(content)
        self.adopted = []
        self.start()

    @rule()
    def close_own(self) -> None:
        done = self.journal.close()
        assert done == (not self.models[self.journal.producer].waiting())
        self.start()

    @precondition(lambda self: self.adopted)
    @rule()
    def close_adopted(self) -> None:
        journal = self.adopted.pop(0)
        assert journal.close() == (not self.models[journal.producer].waiting())

    @rule()
    def take_over(self) -> None:
        held = {journal.producer for journal in (self.journal, *self.adopted)}
        for journal in adopt(self.directory):
            assert journal.producer not in held
            self.adopted.append(journal)

    # ------------------------------------------------------------------ always

    @invariant()
    def the_account_agrees(self) -> None:
        for journal in (self.journal, *self.adopted):
            model = self.models[journal.producer]
            assert (model.accepted, len(model.waiting())) == journal.count_and_pending()
            assert journal.settled <= min([*model.waiting(), model.accepted])

    @invariant()
    def readers_see_the_same(self) -> None:
        for pending in read_pending(self.directory):
            waiting = self.models[pending.producer].waiting()
            found = numbers(pending.lines)
            assert list(range(pending.first, pending.first + len(found))) == found
            assert found == waiting[: len(found)]


class AppendingMachine(JournalMachine):
    """The same with plain appends."""

    power = True


steps = settings(max_examples=60, stateful_step_count=40)
TestMapped = JournalMachine.TestCase
TestMapped.settings = steps
TestAppended = AppendingMachine.TestCase
TestAppended.settings = settings(steps, max_examples=25)
