"""Small files become few, by the transport that wrote them, in short steps and within a budget."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from clocks import DAY, with_clock
from make import MIDNIGHT, A, B, make_batch

from logbatch import Dataset
from logbatch.errors import TemporaryError
from logbatch.storage.segments import Segment, list_segments
from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.base import BaseTransport, Tidied
from logbatch.transports.merging import AFTER_TROUBLE, IDLE, Merger
from logbatch.transports.parquet import ParquetTransport


class Writer:
    """A transport whose clock is set by hand, and what it did to keep its files in order."""

    def __init__(self, directory: Path, **options: object) -> None:
        self.clock = ManualClock(MIDNIGHT - DAY)
        self.directory = directory
        self.transport = with_clock(ParquetTransport(directory, **options), self.clock)  # type: ignore[arg-type]
        self.next: dict[str, int] = {}
        self.merges = self.files = self.bytes = self.most = 0

    def send(self, rows: int = 1, producer: str = A) -> None:
        """Publish the next records of a producer."""
        first = self.next.get(producer, 0)
        self.next[producer] = first + rows
        self.transport.send(make_batch(first, first + rows - 1, producer))

    def tidy(self) -> Tidied:
        """Do one step."""
        done = self.transport.tidy()
        self.merges += done.merges
        self.files += done.files
        self.bytes += done.bytes
        return done

    def run(self, seconds: float) -> None:
        """Do for some time, by the clock, what the thread that delivers does when it is idle."""
        until = self.clock.now + seconds
        while self.clock.now + (wait := self.tidy().wait) < until:
            self.clock.advance(wait)
        self.clock.now = until

    def names(self, producer: str = A) -> list[tuple[int, int | None]]:
        """List the ranges of a producer's files, folder by folder."""
        return [(each.first, each.last) for each in self.segments() if each.producer == producer]

    def segments(self) -> list[Segment]:
        """List the files."""
        found = list_segments(self.directory)
        self.most = max(self.most, len(found))
        return found

    def count(self) -> int:
        """Count the records that a reader sees, each of which must be another."""
        rows = [(row["producer"], row["sequence"]) for row in Dataset(self.directory).rows()]
        assert len(rows) == len(set(rows))
        return len(rows)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """A transport that may use a whole core: pauses are as long as steps."""
    return Writer(tmp_path, compact_share=1.0)


def test_ten_become_one(writer: Writer) -> None:
    """Ten files of one record are one, soon after the tenth, and hold each record once."""
    for _ in range(9):
        writer.send()
        writer.run(1.0)
    assert 9 == len(writer.names())
    writer.send()
    writer.run(1.0)
    assert [(0, 9)] == writer.names()
    assert (1, 10) == (writer.merges, writer.files)
    assert writer.bytes == writer.segments()[0].path.stat().st_size
    assert 10 == writer.count()


def test_a_long_run_leaves_few_files(writer: Writer) -> None:
    """A record a second: files grow with the logarithm of time, rewrites too."""
    for _ in range(120):
        writer.send()
        writer.run(1.0)
        writer.segments()
    assert writer.most <= 9 + 9 + 10  # the last ten: those of a merge that is under way
    writer.run(10.0)
    assert [(0, 99), (100, 119)] == writer.names()
    assert 120 == writer.count()
    assert writer.merges <= 12 + 1 + 1


def test_what_errors_cost_is_merged_within_seconds(writer: Writer) -> None:
    """When nothing comes for five seconds, a few small files become one."""
    for rows in (3, 1, 2, 1):
        writer.send(rows)
    writer.run(IDLE - 1)
    assert 4 == len(writer.names())
    writer.run(3)
    assert 1 == len(writer.names())
    assert float("inf") == writer.tidy().wait


def test_yesterday_is_closed(writer: Writer) -> None:
    """When records go into the next day's folder, what is left in the last becomes one file."""
    for rows in (200, 30, 4):
        writer.send(rows)
    writer.run(60)
    assert 3 == len(writer.names())
    writer.clock.advance(DAY)
    writer.send()
    writer.run(60)
    assert [(0, 233), (234, 234)] == writer.names()


def test_each_producer_for_itself(writer: Writer) -> None:
    """A file holds records of one producer, and none that would be out of order."""
    for _ in range(10):
        writer.send(producer=A)
        writer.send(producer=B)
    writer.next[A] += 5
    writer.send(producer=A)
    writer.run(IDLE + 10)
    assert [(0, 9), (15, 15)] == writer.names(A)
    assert [(0, 9)] == writer.names(B)


def test_files_of_others_are_left_alone(tmp_path: Path, writer: Writer) -> None:
    """What another transport published is not touched, though it would follow."""
    other = ParquetTransport(tmp_path, compact_share=1.0)
    for _ in range(5):
        writer.send()
    for number in range(5, 10):
        with_clock(other, writer.clock).send(make_batch(number, number, A))
    writer.next[A] = 10
    for _ in range(5):
        writer.send()
    writer.run(IDLE + 10)
    assert [(0, 4), *((n, n) for n in range(5, 10)), (10, 14)] == writer.names()


def test_what_is_sent_again_is_not_written_again(tmp_path: Path, writer: Writer) -> None:
    """Ranges whose files were merged away are known, by this transport and the next."""
    for _ in range(10):
        writer.send()
    writer.run(1.0)
    for transport in (writer.transport, ParquetTransport(tmp_path)):
        transport.send(make_batch(3, 7, A))
        assert [(0, 9)] == list(transport.published(A))
    assert [(0, 9)] == writer.names()


def test_nothing_is_merged_unless_asked(tmp_path: Path) -> None:
    """`compact=False` leaves each batch in its file, and so do other transports."""
    writer = Writer(tmp_path, compact=False)
    for _ in range(12):
        writer.send()
    writer.run(60)
    assert 12 == len(writer.names())
    assert float("inf") == writer.tidy().wait
    for url in (f"jsonl:{tmp_path}", "http://127.0.0.1:1/"):
        assert Tidied() == build(url).tidy()
    assert Tidied() == BaseTransport().tidy()


def test_no_file_becomes_too_large(tmp_path: Path) -> None:
    """`compact_bytes` is what a merged file has at the most."""
    writer = Writer(tmp_path, compact_share=1.0, compact_bytes=1 << 16)
    for _ in range(40):
        writer.send()
        writer.run(1.0)
    writer.run(60)
    sizes = [each.path.stat().st_size for each in writer.segments()]
    assert max(sizes) <= 1 << 16
    assert len(sizes) <= 10


def test_the_budget(tmp_path: Path) -> None:
    """After a step comes a pause in which nothing is done, however often it is asked for."""
    writer = Writer(tmp_path, compact_share=0.01)
    for _ in range(10):
        writer.send()
    used = time.thread_time()
    first = writer.tidy()
    used = time.thread_time() - used
    assert 0 < first.seconds <= used
    assert first.wait >= 99 * first.seconds
    before = writer.names()
    again = writer.tidy()
    assert 0 == again.seconds
    assert first.wait * 0.5 < again.wait <= first.wait + 1
    assert before == writer.names()


def test_a_step_is_short(tmp_path: Path) -> None:
    """Many files are not merged in one go."""
    writer = Writer(tmp_path, compact_share=1.0)
    for _ in range(40):
        writer.send()
    steps = 0
    while not writer.merges:
        steps += 1
        writer.clock.advance(writer.tidy().wait)
    assert steps > 3
    assert [(0, 39)] == writer.names()


def test_a_full_disk_is_told_and_tried_again(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure leaves all as it is; the next try comes in a minute."""
    for _ in range(10):
        writer.send()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(TemporaryError, match=r"cannot merge files in .*: No space left"):
            writer.run(1.0)
    writer.run(AFTER_TROUBLE / 2)
    assert 10 == len(writer.names())
    assert [] == list(writer.directory.rglob(".part-*"))
    writer.run(AFTER_TROUBLE)
    assert [(0, 9)] == writer.names()


def test_files_that_somebody_removed(writer: Writer) -> None:
    """Files that are gone are forgotten; those between them are merged as far as they follow."""
    for _ in range(15):
        writer.send()
    for each in writer.segments():
        if each.first == 4:
            each.path.unlink()
    writer.run(60)
    assert [(0, 3), (5, 14)] == writer.names()


def test_a_damaged_file_is_left(writer: Writer) -> None:
    """It costs no other file, and is not tried again."""
    for _ in range(15):
        writer.send()
    (broken,) = [each.path for each in writer.segments() if each.first == 4]
    broken.write_bytes(b"PAR1")
    writer.run(60)
    assert [(0, 3), (4, 4), (5, 14)] == writer.names()
    assert float("inf") == writer.tidy().wait


def test_close_ends_what_was_begun(tmp_path: Path) -> None:
    """A merge under way is given up, and nothing of it left; it may go on later."""
    writer = Writer(tmp_path, compact_share=1.0)
    for _ in range(40):
        writer.send()
    writer.tidy()
    writer.transport.close()
    assert 40 == len(writer.names())
    assert [] == list(tmp_path.rglob(".part-*"))
    writer.run(60)
    assert [(0, 39)] == writer.names()


def test_a_forked_child_forgets(tmp_path: Path) -> None:
    """The files are the parent's, and so is the merge under way."""
    writer = Writer(tmp_path, compact_share=1.0)
    for _ in range(40):
        writer.send()
    writer.tidy()
    writer.transport.after_fork()
    writer.run(60)
    assert 40 == len(writer.names())


def test_what_is_known_is_bounded(tmp_path: Path) -> None:
    """Of more producers than are remembered, those that wrote last are kept in mind."""
    writer = Writer(tmp_path, compact_share=1.0)
    writer.transport.remembered = 1
    for producer in (A, B):
        for _ in range(10):
            writer.send(producer=producer)
    writer.run(60)
    assert 10 == len(writer.names(A))
    assert [(0, 9)] == writer.names(B)
    assert isinstance(writer.transport._merger, Merger)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("compact", "perhaps", "true or false"),
        ("compact_share", 0, "a number from 0.01 to 1"),
        ("compact_share", "much", "a number from 0.01 to 1"),
        ("compact_bytes", 1, "a whole number of bytes from 65,536"),
        ("compact_bytes", True, "a whole number of bytes"),
    ],
)
def test_options_are_checked(tmp_path: Path, option: str, value: object, rule: str) -> None:
    """As in a URL, so in a dict."""
    with pytest.raises(ValueError, match=f"{option}=.*{rule}"):
        build({"type": "parquet", "path": tmp_path, option: value})
    with pytest.raises(ValueError, match=f"{option}=.*"):
        build(f"parquet:{tmp_path}?{option}={value}x")
