"""The journal's contract, the same for mapped files, for plain appends and for memory."""

from __future__ import annotations

import errno
import gc
import os
import random
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from make import padded_line as line
from waiting import wait_until

from logbatch.identity import new_producer
from logbatch.journal import Journal, JournalFull, JournalStopped, Lines

MANY = 1 << 40
FORMS = ["mapped", "appended", "memory"]

Make = Callable[..., Journal]


def messages(lines: Lines | None) -> list[str]:
    """The messages of lines, each of which must be whole."""
    if lines is None:
        return []
    assert lines.data.endswith(b"\n")
    found = [msgspec.json.decode(piece)["message"] for piece in lines.data.splitlines()]
    assert lines.last - lines.first + 1 == len(found)
    return [text.rstrip(".") for text in found]


def drain(journal: Journal, max_bytes: int = MANY) -> list[tuple[int, str]]:
    """Read and acknowledge all; return (sequence, message) of each."""
    found: list[tuple[int, str]] = []
    while (lines := journal.read(journal.settled, max_bytes)) is not None:
        found += enumerate(messages(lines), lines.first)
        journal.acknowledge(lines.last)
    return found


def fill(journal: Journal, texts: range, size: int = 0) -> list[tuple[int, str]]:
    """Append lines; return what they are to be read as in a journal that had none."""
    for number in texts:
        journal.append(line(str(number), size))
    return [(number, str(number)) for number in texts]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """The form of the journal's segments."""
    return str(request.param)


@pytest.fixture
def make(form: str, directory: Path) -> Iterator[Make]:
    """Make journals, which are closed when the test ends."""
    made: list[Journal] = []

    def make_one(**options: Any) -> Journal:
        place = None if form == "memory" else directory
        made.append(Journal(place, new_producer(), power=form == "appended", **options))
        return made[-1]

    yield make_one
    for journal in made:
        journal.close()


@pytest.fixture
def journal(make: Make) -> Journal:
    """A journal with nothing in it."""
    return make()


def files_in(directory: Path) -> list[str]:
    """The names of the files in a directory that need not be there."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


# ---------------------------------------------------------------------- in and out


def test_lines_come_back_in_order(journal: Journal) -> None:
    """Lines are read as they went in, numbered from 0."""
    expected = fill(journal, range(100))

    assert expected == drain(journal)


def test_an_empty_journal_has_nothing(journal: Journal, directory: Path) -> None:
    """Nothing is read from a journal without lines, and no file is made for it."""
    assert journal.read(0, MANY) is None
    assert (0, 0) == journal.count_and_pending()
    assert not journal.begun
    assert [] == files_in(directory)


def test_the_bytes_are_kept(journal: Journal) -> None:
    """What is read is byte for byte what was appended."""
    data = b"".join(line(str(number), 50 * number) for number in range(50))
    for piece in data.splitlines(keepends=True):
        journal.append(piece)

    assert Lines(0, 49, data) == journal.read(0, MANY)


@pytest.mark.parametrize(("max_bytes", "expected"), [(250, 2), (200, 2), (199, 1), (1, 1), (0, 1)])
def test_reading_stops_before_the_limit_of_bytes(
    journal: Journal, max_bytes: int, expected: int
) -> None:
    """As many lines are read as fit, but at least one."""
    fill(journal, range(5), size=100 + 20)
    lines = journal.read(0, max_bytes * 120 // 100)

    assert lines is not None
    assert expected == len(messages(lines))


def test_reading_stops_at_the_limit_of_lines(journal: Journal) -> None:
    """No more lines are read than were asked for."""
    fill(journal, range(300))

    assert ["0", "1", "2"] == messages(journal.read(0, MANY, 3))
    assert [str(n) for n in range(3, 200)] == messages(journal.read(3, MANY, 197))


def test_reading_changes_nothing(journal: Journal) -> None:
    """What is not acknowledged is read again."""
    fill(journal, range(10))

    assert journal.read(0, 500) == journal.read(0, 500)
    assert 10 == journal.pending()


def test_any_line_can_be_read_ahead(make: Make) -> None:
    """Reading may begin with any line that is not settled, in whatever segment it is."""
    journal = make(max_bytes=1 << 17)
    expected = fill(journal, range(100), size=1000)

    for number, text in random.Random(1).sample(expected, 100):
        lines = journal.read(number, 1)
        assert (number, [text]) == (lines and lines.first, messages(lines))
    assert journal.read(100, MANY) is None


def test_lines_are_seen_as_soon_as_they_are_in(journal: Journal) -> None:
    """A line can be read when `append` has returned."""
    for number in range(50):
        journal.append(line(str(number)))
        assert [str(number)] == messages(journal.read(number, MANY))


# ---------------------------------------------------------------------- settling


def test_a_batch_is_settled_in_parts(journal: Journal) -> None:
    """After a part was acknowledged, reading goes on behind it."""
    fill(journal, range(10))
    journal.read(0, MANY)
    journal.sending(9)
    journal.acknowledge(3)

    assert (4, 6) == (journal.settled, journal.pending())
    assert ["4", "5", "6", "7", "8", "9"] == messages(journal.read(4, MANY))


def test_acknowledging_twice_changes_nothing(journal: Journal) -> None:
    """An acknowledgement of what is settled already, or of nothing, is without effect."""
    fill(journal, range(10))
    for last in (4, 4, 2, -1):
        journal.acknowledge(last)

    assert (5, 5) == (journal.settled, journal.pending())
    assert [(number, str(number)) for number in range(5, 10)] == drain(journal)


def test_acknowledging_ahead_settles_what_is_there(make: Make) -> None:
    """An acknowledgement may pass several segments, and what never came in."""
    journal = make(max_bytes=1 << 17)
    fill(journal, range(100), size=1000)
    journal.acknowledge(70)

    assert (71, 29) == (journal.settled, journal.pending())
    journal.acknowledge(1000)
    assert (100, 0) == (journal.settled, journal.pending())
    journal.append(line("next"))
    assert [(100, "next")] == drain(journal)


def test_the_account_agrees(journal: Journal) -> None:
    """Counted are all lines; pending are those that are not acknowledged."""
    fill(journal, range(10), size=200)

    assert (10, 10) == journal.count_and_pending()
    assert 2000 == journal.pending_bytes()
    journal.acknowledge(5)
    assert (10, 4) == journal.count_and_pending()
    assert 800 == journal.pending_bytes()
    assert journal.begun


def test_a_noted_batch_is_read_as_it_was(journal: Journal) -> None:
    """What was being sent is cut at the same place again, whatever the limits are then."""
    fill(journal, range(10))
    journal.read(0, MANY, 6)
    journal.sending(5)

    assert ["0", "1", "2", "3", "4", "5"] == messages(journal.read(0, MANY))
    assert ["0", "1", "2", "3", "4", "5"] == messages(journal.read(0, 1, 1))
    journal.acknowledge(5)
    assert ["6", "7", "8", "9"] == messages(journal.read(6, MANY))


def test_a_batch_is_of_one_segment(make: Make) -> None:
    """A batch ends with its segment, and the next one begins with the next."""
    journal = make(max_bytes=1 << 17)
    expected = fill(journal, range(100), size=1000)
    firsts = []
    found: list[tuple[int, str]] = []
    while (lines := journal.read(journal.settled, MANY)) is not None:
        firsts.append(lines.first)
        found += enumerate(messages(lines), lines.first)
        journal.sending(lines.last)
        journal.acknowledge(lines.last)

    assert expected == found
    assert 4 == len(firsts)


# ---------------------------------------------------------------------- room


def test_a_full_journal_says_so(make: Make) -> None:
    """When `max_bytes` are in use, `append` raises, and what is in stays."""
    journal = make(max_bytes=1 << 18)
    count = 0
    with pytest.raises(JournalFull, match="journal full"):
        for count in range(1000):
            journal.append(line(str(count), 1000))

    assert 240 <= count <= 262
    assert [(number, str(number)) for number in range(count)] == drain(journal)


def test_room_comes_back(make: Make) -> None:
    """What was acknowledged makes room, over and over."""
    journal = make(max_bytes=1 << 16)
    found: list[tuple[int, str]] = []
    for number in range(200):
        try:
            journal.append(line(str(number), 2500))
        except JournalFull:
            lines = journal.read(journal.settled, MANY)
            assert lines is not None
            found += enumerate(messages(lines), lines.first)
            journal.acknowledge(lines.last)
            journal.append(line(str(number), 2500))
    found += drain(journal)

    assert [(number, str(number)) for number in range(200)] == found


@pytest.mark.parametrize("max_bytes", [1, 4096, 10_000])
def test_a_tiny_journal_goes_on(make: Make, max_bytes: int) -> None:
    """However small the limit is, there is room when all is settled."""
    journal = make(max_bytes=max_bytes)
    for number in range(30):
        journal.append(line(str(number), 3000))
        assert [(number, str(number))] == drain(journal)


def test_a_line_may_be_larger_than_a_segment(make: Make) -> None:
    """A segment is made as large as its first line needs."""
    journal = make(max_bytes=1 << 25)
    sizes = [100, 3_000_000, 100, 20_000_000, 100]
    for number, size in enumerate(sizes):
        journal.append(line(str(number), size))
        if number == 1:
            assert (0, 1) == (journal.settled, journal.count() - 1)

    assert [(number, str(number)) for number in range(5)] == drain(journal, 1000)


def test_a_new_segment_is_told(make: Make) -> None:
    """`on_segment` is called once for each segment that is begun."""
    calls: list[None] = []
    journal = make(max_bytes=1 << 18, on_segment=lambda: calls.append(None))
    fill(journal, range(100), size=1000)

    assert 2 == len(calls)


def test_the_position_follows_the_newest_line(journal: Journal) -> None:
    """`position` is the offset behind the newest line of the segment that is written to."""
    assert 0 == journal.writer.position()
    fill(journal, range(3), size=200)
    assert 600 == journal.writer.position()


# ---------------------------------------------------------------------- dropping


def test_nothing_is_dropped_of_one_segment(journal: Journal) -> None:
    """There is nothing to drop where nothing is, nor of the segment that is written to."""
    assert journal.drop_oldest() is None
    fill(journal, range(10))
    assert journal.drop_oldest() is None
    assert 10 == journal.pending()


def test_the_oldest_that_is_not_being_sent_is_dropped(make: Make) -> None:
    """The segment behind that of the first unsettled line goes, and its lines are accounted for."""
    journal = make(max_bytes=1 << 18)
    expected = fill(journal, range(250), size=1000)
    dropped = journal.drop_oldest()

    assert (65, 129) == dropped
    assert [(65, 129)] == list(journal.dropped)
    assert (250, 185) == journal.count_and_pending()
    assert (130, 194) == journal.drop_oldest()
    assert journal.drop_oldest() is None
    assert [(65, 194)] == list(journal.dropped)
    assert expected[:65] + expected[195:] == drain(journal)
    assert (250, 0) == journal.count_and_pending()


def test_dropping_makes_room(make: Make) -> None:
    """A full journal takes lines again when the oldest were dropped; none is read twice."""
    journal = make(max_bytes=1 << 16)
    lost = 0
    for number in range(200):
        while True:
            try:
                journal.append(line(str(number), 2500))
                break
            except JournalFull:
                span = journal.drop_oldest()
                assert span is not None
                lost += span[1] - span[0] + 1
    found = drain(journal)

    assert lost == journal.dropped.count()
    assert 200 == lost + len(found)
    assert all(str(number) == text for number, text in found)
    assert [] == [number for number, _ in found if number in journal.dropped]
    assert 199 == found[-1][0]


def test_what_is_being_read_is_not_dropped(make: Make) -> None:
    """Lines that were handed out stay, also those that were read ahead."""
    journal = make(max_bytes=1 << 18)
    fill(journal, range(250), size=1000)
    ahead = journal.read(65, MANY)
    assert ahead is not None

    assert (130, 194) == journal.drop_oldest()
    assert ahead == journal.read(65, MANY)


def test_reading_goes_on_behind_what_was_dropped(make: Make) -> None:
    """A number that was dropped is read as the next one that is there."""
    journal = make(max_bytes=1 << 18)
    fill(journal, range(250), size=1000)
    journal.drop_oldest()

    for first in (65, 100, 129, 130):
        lines = journal.read(first, 1)
        assert (130, ["130"]) == (lines and lines.first, messages(lines))


# ---------------------------------------------------------------------- ready ahead of need


def test_a_segment_is_ready_before_it_is_needed(make: Make, form: str, directory: Path) -> None:
    """From half of a segment on, the next one is ready, and lines go on in it."""
    journal = make()
    pauses: list[None] = []
    fill(journal, range(50), size=10_000)
    journal.prepare(lambda: pauses.append(None))
    assert [] == [name for name in files_in(directory) if name.endswith(".spare")]
    fill(journal, range(50, 60), size=10_000)
    journal.prepare(lambda: pauses.append(None))
    assert (form == "mapped") == any(name.endswith(".spare") for name in files_in(directory))
    fill(journal, range(60, 150), size=10_000)

    assert [] == [name for name in files_in(directory) if name.endswith(".spare")]
    assert [(number, str(number)) for number in range(150)] == drain(journal)
    indexes = [name.rpartition("-")[2] for name in files_in(directory) if "-" in name]
    assert ([] if form == "memory" else ["1.journal"]) == indexes


def test_a_segment_that_was_ready_goes_at_the_end(make: Make, directory: Path) -> None:
    """A segment that was made ready and not needed leaves no file."""
    journal = make()
    fill(journal, range(60), size=10_000)
    journal.prepare(lambda: None)
    drain(journal)
    journal.stop()
    journal.prepare(lambda: None)
    journal.close()

    assert [] == files_in(directory)


def test_a_line_too_large_for_the_segment_that_is_ready(make: Make) -> None:
    """Where the segment made ready is too small for the line, another is made."""
    journal = make()
    fill(journal, range(60), size=10_000)
    journal.prepare(lambda: None)
    journal.append(line("60", 5_000_000))
    journal.append(line("61"))

    assert [(number, str(number)) for number in range(62)] == drain(journal)


# ---------------------------------------------------------------------- on the disk


class Disk:
    """Notes what is synced, instead of syncing it; what is in `broken` cannot be."""

    def __init__(self) -> None:
        self.synced: list[int] = []
        self.broken: set[int] = set()

    def fsync(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if inode in self.broken:
            self.broken.remove(inode)  # the next try succeeds, though nothing was written
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced.append(inode)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk that the journal's files are on."""
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    return disk


def inodes(directory: Path) -> set[int]:
    """The segments of a journal, and the directory with their names."""
    return {path.stat().st_ino for path in (directory, *directory.glob("*.journal"))}


def test_syncing_brings_all_lines_and_names_to_the_disk(directory: Path, disk: Disk) -> None:
    """Regression: the name of the first segment was not synced."""
    journal = Journal(directory, new_producer(), max_bytes=1 << 18)
    journal.sync()
    assert [] == disk.synced
    fill(journal, range(100), size=1000)
    journal.sync()
    assert inodes(directory) == set(disk.synced)

    disk.synced.clear()
    journal.sync()
    assert [] == disk.synced
    journal.close()


def test_a_file_that_could_not_be_synced_is_left(directory: Path, disk: Disk) -> None:
    """After a failed fsync lines go to a fresh file: on the old one it would seem to succeed."""
    told: list[str] = []
    journal = Journal(directory, new_producer(), on_trouble=lambda kind, text: told.append(text))
    expected = fill(journal, range(10))
    (segment,) = directory.glob("*.journal")
    disk.broken = {segment.stat().st_ino}
    journal.sync()
    assert 1 == len(told)
    assert os.strerror(errno.EIO) in told[0]
    disk.synced.clear()
    expected += [(number, str(number)) for number in range(10, 20)]
    fill(journal, range(10, 20))
    journal.sync()

    assert inodes(directory) - {segment.stat().st_ino} == set(disk.synced)
    assert expected == drain(journal)
    assert 1 == len(told)
    assert journal.close()


def test_with_power_each_line_is_on_the_disk(directory: Path, disk: Disk) -> None:
    """For `power`, the name of the file is synced before a line, and each line before the next."""
    journal = Journal(directory, new_producer(), power=True)
    journal.append(line("0"))
    (segment,) = directory.glob("*.journal")
    assert {directory.stat().st_ino, segment.stat().st_ino} <= set(disk.synced)
    assert segment.stat().st_ino == disk.synced[-1]

    disk.synced.clear()
    fill(journal, range(1, 4))
    assert [segment.stat().st_ino] * 3 == disk.synced
    journal.close()


def test_with_power_a_file_whose_name_cannot_be_synced_is_not_used(
    directory: Path, disk: Disk
) -> None:
    """Lines wait in memory, and neither the file nor its descriptor is left behind."""
    told: list[str] = []
    directory.mkdir(parents=True)
    journal = Journal(
        directory, new_producer(), power=True, on_trouble=lambda kind, text: told.append(text)
    )
    before = set(os.listdir("/dev/fd"))
    disk.broken = {directory.stat().st_ino}
    expected = fill(journal, range(3))

    assert 1 == len(told)
    assert os.strerror(errno.EIO) in told[0]
    assert [] == list(directory.glob("*.journal"))
    assert 1 == len(set(os.listdir("/dev/fd")) - before)  # the state
    assert expected == drain(journal)
    assert journal.close()


# ---------------------------------------------------------------------- the end


def test_a_stopped_journal_takes_nothing(journal: Journal) -> None:
    """After `stop`, lines are refused, and those that are in are read."""
    expected = fill(journal, range(10))
    journal.stop()
    journal.stop()

    with pytest.raises(JournalStopped):
        journal.append(line("late"))
    assert expected == drain(journal)


def test_closing_removes_what_is_settled(make: Make, directory: Path) -> None:
    """Nothing is left of a journal that was wholly acknowledged; it may be closed again."""
    journal = make(max_bytes=1 << 18)
    fill(journal, range(200), size=1000)
    drain(journal)

    assert journal.close()
    assert [] == files_in(directory)
    assert journal.close()
    assert (200, 0) == journal.count_and_pending()
    with pytest.raises(JournalStopped):
        journal.append(line("late"))


def test_closing_leaves_what_is_not_settled(make: Make, form: str, directory: Path) -> None:
    """The files of a journal with pending lines stay, for the next process."""
    journal = make()
    fill(journal, range(10))
    journal.acknowledge(4)

    assert not journal.close()
    assert (0 if form == "memory" else 2) == len(files_in(directory))
    assert not journal.close()
    assert (10, 5) == journal.count_and_pending()


def test_settled_segments_go_at_once(make: Make, form: str, directory: Path) -> None:
    """A segment is removed as soon as all its lines are acknowledged and others follow."""
    journal = make(max_bytes=1 << 18)
    fill(journal, range(250), size=1000)
    before = len(files_in(directory))
    drain(journal)

    assert (0, 0) if form == "memory" else (5, 2) == (before, len(files_in(directory)))


def test_files_are_private(make: Make, directory: Path) -> None:
    """Only the user who logs can read the files and the directories that were made."""
    previous = os.umask(0)
    try:
        journal = make()
        fill(journal, range(10))
    finally:
        os.umask(previous)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*")}

    assert modes <= {0o600}
    if directory.exists():
        assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
        assert 0o700 == stat.S_IMODE(directory.parent.stat().st_mode)


def test_abandoning_touches_nothing(make: Make, form: str, directory: Path) -> None:
    """An abandoned journal takes no lines, and its files stay as they were."""
    journal = make()
    fill(journal, range(10))
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    journal.abandon()

    with pytest.raises(JournalStopped):
        journal.append(line("late"))
    assert before == {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert (0 if form == "memory" else 2) == len(before)


# ---------------------------------------------------------------------- all at once


def check_orders(found: list[tuple[int, str]], sources: int) -> dict[str, list[int]]:
    """Check the numbers, and each source's own order; return what came from each."""
    assert list(range(len(found))) == [number for number, _ in found]
    by_source: dict[str, list[int]] = {}
    for _, text in found:
        source, _, number = text.partition(" ")
        by_source.setdefault(source, []).append(int(number))
    assert sources == len(by_source)
    for numbers in by_source.values():
        assert numbers == sorted(set(numbers))
    return by_source


@pytest.mark.parametrize("max_bytes", [1 << 18, 1 << 24])
def test_threads_do_not_mix(make: Make, form: str, max_bytes: int) -> None:
    """Eight threads append while another drains: no line is lost, and each keeps its order."""
    journal = make(max_bytes=max_bytes)
    each = 100 if form == "appended" else 3000
    found: list[tuple[int, str]] = []

    def append_all(name: int) -> None:
        for number in range(each):
            while True:
                with suppress(JournalFull):
                    journal.append(line(f"{name} {number}", 150 + 10 * name))
                    break
                os.sched_yield()

    threads = [threading.Thread(target=append_all, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.prepare(lambda: None)
        found += drain(journal, 10_000)
        head, pending = journal.count_and_pending()
        assert pending <= head
    found += drain(journal)

    assert 8 * each == len(found)
    check_orders(found, 8)


@contextmanager
def storm(handler: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call a function in a signal handler again and again, at instants that nobody chose."""
    chance = random.Random(2)
    blows = True

    def on_signal(number: int, frame: object) -> None:
        try:
            if blows:
                handler()
        finally:
            signal.setitimer(signal.ITIMER_REAL, (seconds * chance.random() + 1e-6) * blows)

    previous = signal.signal(signal.SIGALRM, on_signal)
    timer = signal.setitimer(signal.ITIMER_REAL, 1e-6)
    try:
        yield
    finally:
        blows = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        list(map(abs, range(10)))  # what has come meanwhile is handled here
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_a_signal_handler_may_append(make: Make, form: str) -> None:
    """Lines of a signal handler stand between others, also while a segment is begun."""
    journal = make(max_bytes=1 << 16)
    each = 300 if form == "appended" else 4000
    ticks = iter(range(1 << 60))
    dropped = set()
    found: list[tuple[int, str]] = []

    def from_handler() -> None:
        number = next(ticks)
        try:
            journal.append(line(f"handler {number}", 1000))
        except JournalFull:
            dropped.add(number)

    with storm(from_handler, 3e-4):
        for number in range(each):
            while True:
                try:
                    journal.append(line(f"main {number}", 3000))
                    break
                except JournalFull:
                    found += drain(journal)
    found += drain(journal)

    by_source = check_orders(found, 2)
    assert list(range(each)) == by_source["main"]
    assert set(range(next(ticks))) == dropped.union(by_source["handler"])
    assert len(by_source["handler"]) > 10


def test_a_signal_handler_may_do_anything(make: Make, form: str) -> None:
    """Counting, reading and dropping in a signal handler disturb neither appending nor counting."""
    journal = make(max_bytes=1 << 16)
    taken = 0

    def from_handler() -> None:
        journal.count_and_pending()
        journal.pending_bytes()
        journal.drop_oldest()

    with storm(from_handler, 3e-4):
        for number in range(300 if form == "appended" else 1500):
            try:
                journal.append(line(f"main {number}", 700))
                taken += 1
            except JournalFull:
                journal.count()
                journal.drop_oldest()
    head, pending = journal.count_and_pending()
    found = drain(journal)

    assert taken == head
    assert pending == len(found)
    assert taken == pending + journal.dropped.count()
    assert [] == [number for number, _ in found if number in journal.dropped]


class _Cycle:
    """Garbage that appends a line when the collector comes by."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.me = self
        self._last_words = last_words

    def __del__(self) -> None:
        self._last_words()


def test_the_collector_may_append(make: Make, form: str) -> None:
    """Objects that log when they are collected may be collected inside any call of the journal."""
    journal = make(max_bytes=1 << 20)
    each = 150 if form == "appended" else 2000
    ticks = iter(range(1 << 60))
    said = [0]
    found: list[tuple[int, str]] = []

    def last_words() -> None:
        journal.append(line(f"collector {next(ticks)}", 500))
        journal.count()
        said[0] += 1

    threshold = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for number in range(each):
            _Cycle(last_words)
            journal.append(line(f"main {number}", 500))
            if number % 100 == 0:
                found += drain(journal)
    finally:
        gc.set_threshold(*threshold)
    # Where another thread collects at this moment, this one does nothing.
    wait_until(lambda: gc.collect() >= 0 and said[0] == each, "the last words of all")
    found += drain(journal)

    by_source = check_orders(found, 2)
    assert list(range(each)) == by_source["main"]
    assert list(range(each)) == by_source["collector"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library's own
def test_an_interrupt_leaves_the_journal_usable(
    make: Make, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt at any instant of `append` costs at most the line it interrupts."""
    # One that comes within a destructor is told as unraisable; that is no finding.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    journal = make(max_bytes=1 << 16)
    each = 300 if form == "appended" else 4000
    returned: set[int] = set()
    found: list[tuple[int, str]] = []
    inside = False

    def interrupt() -> None:
        if inside:
            raise KeyboardInterrupt

    with storm(interrupt, 2e-4):
        for number in range(each):
            try:
                inside = True
                journal.append(line(f"main {number}", 2000))
                inside = False
                returned.add(number)
            except JournalFull:
                inside = False
                found += drain(journal)
            except KeyboardInterrupt:
                inside = False
    journal.append(line("main 1000000"))
    found += drain(journal)

    numbers = check_orders(found, 1)["main"]
    assert set() == returned.difference(numbers)
    assert each > len(returned)
    assert journal.close()


def test_dropping_and_reading_by_many(make: Make, form: str) -> None:
    """Appending, dropping, counting and delivering in threads: the account always agrees."""
    journal = make(max_bytes=1 << 17)
    each = 100 if form == "appended" else 2000
    taken = [0] * 4
    done = threading.Event()
    errors: list[BaseException] = []
    found: list[tuple[int, str]] = []

    def guard(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def append_all(name: int) -> None:
        for number in range(each):
            with suppress(JournalFull):
                journal.append(line(f"{name} {number}", 900))
                taken[name] += 1
                continue
            journal.drop_oldest()

    def look() -> None:
        while not done.is_set():
            head, pending = journal.count_and_pending()
            assert 0 <= pending <= head
            assert journal.pending_bytes() >= 0

    def deliver() -> None:
        while not done.is_set():
            found.extend(drain(journal, 20_000))

    writers = [guard(lambda name=name: append_all(name)) for name in range(4)]  # type: ignore[misc]
    others = [guard(look), guard(deliver)]
    for thread in writers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    found += drain(journal)

    assert [] == errors
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert [] == [number for number in numbers if number in journal.dropped]
    assert sum(taken) == len(found) + journal.dropped.count() == journal.count()
