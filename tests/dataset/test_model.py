"""Whatever is done to a directory, in any order, and killed at any instant: readers see the truth.

A service publishes, its process merges, compacts and retains, is killed and started again; a
receiver takes ranges that were cut otherwise.  After each step readers see what a model says.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from killing import killed_after
from make import batch_of, event

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.identity import new_producer
from logbatch.transports.base import Batch
from logbatch.transports.parquet import ParquetTransport

DAY = 86_400
KEEP = "levelno>=40"
DAYS = 40  # that the whole may take at most, before today

Record = tuple[str, int]


def dated_batch(producer: str, first: int, last: int, now: float) -> Batch:
    """Make a batch of records of a moment; the same records are always the same."""
    moment = datetime.fromtimestamp(now, UTC).isoformat()
    events = (
        event(f"{producer}/{n}", timestamp=moment, levelno=10 if n % 3 else 40)
        for n in range(first, last + 1)
    )
    return batch_of(producer, first, *events)


class Model(RuleBasedStateMachine):
    """A directory, who writes to it, and what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self.directory = Path(self._place.name) / "logs"
        self.directory.mkdir()
        self.now = time.time() - DAYS * DAY
        self.idle = 0.0  # the clock by which the process waits
        self.expected: dict[Record, float] = {}  # with the time of each
        self.retired: set[Record] = set()
        self.sent: list[tuple[str, int, int, float]] = []  # by the service, acknowledged
        self.remote = new_producer(), 0  # another program, and how much it has sent
        self.start_service()
        self.start_receiver()

    def teardown(self) -> None:
        self.writer.close()
        self.receiver.close()
        self._place.cleanup()

    # ------------------------------------------------------------------ processes

    def start_service(self) -> None:
        self.producer, self.next = new_producer(), 0
        self.writer = self._open()
        self.writer.begin(self.producer)

    def start_receiver(self) -> None:
        self.receiver = self._open()

    def _open(self) -> ParquetTransport:
        writer = ParquetTransport(self.directory)
        writer.now = lambda: self.now
        writer.clock = lambda: self.idle
        return writer

    def _expect(self, producer: str, first: int, last: int, now: float) -> None:
        for n in range(first, last + 1):
            if (producer, n) not in self.retired:
                self.expected.setdefault((producer, n), now)

    # ------------------------------------------------------------------ what may happen

    @initialize()
    def begin(self) -> None:
        """A directory with something in it."""
        self.publish(3)

    @rule(hours=st.sampled_from([0.1, 1, 10, 30, 100]))
    def time_goes_on(self, hours: float) -> None:
        """Past midnight, perhaps by some days."""
        self.now = min(self.now + hours * 3600, time.time())

    @rule()
    def clock_is_set_back(self) -> None:
        """By two days."""
        self.now -= 2 * DAY

    @rule(count=st.sampled_from([1, 2, 5, 12]), times=st.integers(1, 12))
    def publish_often(self, count: int, times: int) -> None:
        """Many small batches, as errors make them."""
        for _ in range(times):
            self.publish(count)

    def publish(self, count: int) -> None:
        """One batch of the service."""
        batch = self.producer, self.next, self.next + count - 1, self.now
        self.writer.send(dated_batch(*batch))
        self.sent.append(batch)
        self._expect(*batch)
        self.next += count

    @rule(which=st.integers(0, 100), cut=st.integers(0, 5))
    def publish_again(self, which: int, cut: int) -> None:
        """The batches of this process, or of one that died, come again and are cut otherwise."""
        producer = self.sent[which % len(self.sent)][0]
        for _, first, last, now in [batch for batch in self.sent if batch[0] == producer]:
            middle = min(first + cut, last)
            if all((producer, n) in self.expected for n in range(middle, last + 1)):
                self.writer.send(dated_batch(producer, middle, last, now))

    @rule(count=st.integers(1, 9), overlap=st.integers(0, 5))
    def receive(self, count: int, overlap: int) -> None:
        """Another program's records come over HTTP, and the last ones perhaps once more."""
        first = max(self.remote[1] - overlap, 0)
        if any((self.remote[0], n) not in self.expected for n in range(first, self.remote[1])):
            return  # retired meanwhile: whether it may come again is not said
        for n in range(first, self.remote[1] + count):
            now = self.expected.get((self.remote[0], n), self.now)
            self.receiver.send(dated_batch(self.remote[0], n, n, now))
            self._expect(self.remote[0], n, n, now)
        self.remote = self.remote[0], self.remote[1] + count

    @rule()
    def merge(self) -> None:
        """The service is idle for a while."""
        self._merge()

    def _merge(self) -> None:
        while math.isfinite(wait := self.writer.tidy().wait):
            self.idle += wait

    @rule(cluster=st.sampled_from([(), ("number",)]), days=st.sampled_from([0, 1, 3]))
    def compact(self, cluster: tuple[str, ...], days: int) -> None:
        """As by cron."""
        self._compact(cluster, days)

    def _compact(self, cluster: tuple[str, ...], days: int) -> None:
        ago = max(time.time() - self.now, 0)
        Dataset(self.directory).compact(older_than=ago + days * DAY, cluster_by=cluster)

    @rule(days=st.sampled_from([1, 5, 20]), keep=st.sampled_from([None, KEEP]))
    def retain(self, days: int, keep: str | None) -> None:
        """As by cron."""
        self._retain(days, keep)
        self._note_retired(days, keep)

    def _retain(self, days: int, keep: str | None = None) -> None:
        ago = max(time.time() - self.now, 0)
        Dataset(self.directory).retain(max_age=ago + days * DAY, keep=keep, trust_clock=True)

    def _note_retired(self, days: int, keep: str | None = None) -> None:
        """Whole files go, so of what is old enough some may be left."""
        there = self._read()
        for record, moment in list(self.expected.items()):
            if keep is not None and record[1] % 3 == 0:
                continue  # it stays
            if moment < self.now - days * DAY and record not in there:
                del self.expected[record]
                self.retired.add(record)

    @rule()
    def restart(self) -> None:
        """Both end in order, and others begin."""
        self.writer.close()
        self.receiver.close()
        self.start_service()
        self.start_receiver()

    @rule(
        changes=st.integers(0, 30),
        what=st.sampled_from(["publish", "merge", "compact", "retain", "keep"]),
        again=st.booleans(),
    )
    def kill(self, changes: int, what: str, again: bool) -> None:
        """At any change of a file, and then perhaps the next process, too."""
        batch = self.producer, self.next, self.next + 3, self.now
        work: dict[str, Callable[[], object]] = {
            "publish": lambda: self.writer.send(dated_batch(*batch)),
            "merge": self._merge,
            "compact": lambda: self._compact((), 0),
            "retain": lambda: self._retain(1),
            "keep": lambda: self._retain(1, KEEP),
        }
        for _ in range(1 + again):
            with killed_after(changes):
                work[what]()
            if what in ("retain", "keep"):
                self._note_retired(1, KEEP if what == "keep" else None)
            if what == "publish":
                self.writer = self._open()
        if what == "publish":  # it is in the journal, which the next process finishes
            self.writer = self._open()
            self.writer.send(dated_batch(*batch))
            self.sent.append(batch)
            self._expect(*batch)
        self.start_service()
        self.start_receiver()

    # ------------------------------------------------------------------ what must be true

    def _read(self) -> set[Record]:
        rows = Dataset(self.directory).to_table(columns=["producer", "sequence"]).to_pylist()
        found = [(row["producer"], row["sequence"]) for row in rows]
        assert len(set(found)) == len(found)
        return set(found)

    @invariant()
    def readers_see_the_truth(self) -> None:
        """Each record once, however they read."""
        assert self.expected.keys() == self._read()
        (counted,) = Dataset(self.directory).sql("SELECT count(*) AS n FROM logs").to_pylist()
        assert {"n": len(self.expected)} == counted
        report = verify(self.directory)
        assert (0, 0, ()) == (report.gaps, report.repeated, report.problems)


Model.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_model = Model.TestCase
