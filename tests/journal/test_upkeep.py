"""What other programs do to the files of a living process's journal is noticed and got over."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench import Bench
from children import Child, child
from make import padded_line as line
from waiting import wait_until

from logbatch import BatchHandler, Dataset
from logbatch.batching.session import CUT_OFF, Session, Tally
from logbatch.identity import new_producer
from logbatch.journal import Journal, adopt, read_pending
from logbatch.testing import CapturingTransport

MANY = 1 << 40
both = pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])


class Told:
    """What a journal reports."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, kind: str, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def told() -> Told:
    """What is reported."""
    return Told()


def make(directory: Path, told: Told, count: int, *, power: bool = False) -> Session:
    """Make a journal with so many lines, of 1,000 bytes, in segments of 64 kB."""
    session = Session(
        Journal(directory, new_producer(), max_bytes=1 << 20, power=power, on_trouble=told)
    )
    append(session, 0, count)
    return session


def append(session: Session, first: int, stop: int) -> None:
    """Append more, after which the account is right."""
    for number in range(first, stop):
        session.journal.append(line(str(number), 1000))
    session.tally()


def drain(session: Session) -> list[tuple[int, int]]:
    """Send everything; return (sequence, number) of each."""
    found: list[tuple[int, int]] = []
    journal = session.journal
    while (lines := journal.read(journal.settled, MANY)) is not None:
        journal.sending(lines.last)
        found += numbers(lines.first, lines.data)
        session.settle(lines.last)
    return found


def numbers(first: int, data: bytes) -> list[tuple[int, int]]:
    """Return (sequence, number) of lines, which are whole."""
    texts = [piece.split(b'"message":"')[1].split(b".")[0] for piece in data.splitlines()]
    return [(sequence, int(text)) for sequence, text in enumerate(texts, first)]


def take_all(directory: Path) -> list[tuple[int, int]]:
    """Take over what a process left, and send it."""
    found = []
    for journal in adopt(directory):
        session = Session(journal)
        found += drain(session)
        session.end()
    return found


def same(*spans: tuple[int, int]) -> list[tuple[int, int]]:
    """What was logged as number n has sequence n."""
    return [(number, number) for first, stop in spans for number in range(first, stop)]


def segments(directory: Path) -> list[Path]:
    """The files of segments, in their order."""
    return sorted(directory.glob("*.journal"), key=lambda path: int(path.stem.split("-")[1]))


# ---------------------------------------------------------------------- removed


def replace_by_a_copy(directory: Path) -> None:
    """As one does who restores a backup."""
    shutil.copytree(directory, directory.with_name("copy"))
    shutil.rmtree(directory)
    directory.with_name("copy").rename(directory)


REMOVALS: dict[str, Callable[[Path], object]] = {
    "journal": shutil.rmtree,
    "all": lambda directory: shutil.rmtree(directory.parent),
    "moved": lambda directory: directory.parent.rename(directory.parent.with_name("old")),
    "files": lambda directory: list(map(os.unlink, directory.iterdir())),
    "segments": lambda directory: list(map(os.unlink, segments(directory))),
    "newest segment": lambda directory: segments(directory)[-1].unlink(),
    "state": lambda directory: next(directory.glob("*.state")).unlink(),
    "replaced": replace_by_a_copy,
}


@both
@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_what_is_removed_is_written_anew(
    directory: Path, told: Told, remove: Callable[[Path], object], power: bool
) -> None:
    """Regression: of a process killed after that, all that waited was lost."""

    def work() -> None:
        session = make(directory, told, 300, power=power)
        session.settle(9)
        remove(directory)
        append(session, 300, 310)
        session.look()
        append(session, 310, 400)
        assert Tally(400, 10, 390, 0) == session.tally()
        assert 1 == len(told.texts) and "removed or moved" in told.texts[0], told.texts
        session.look()
        assert 1 == len(told.texts), told.texts
        os.kill(os.getpid(), signal.SIGKILL)

    _, status = os.waitpid(Child(work).pid, 0)
    assert signal.SIGKILL == status
    assert same((10, 400)) == take_all(directory)


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_the_process_itself_delivers_what_was_removed(
    directory: Path, told: Told, remove: Callable[[Path], object]
) -> None:
    """And leaves nothing behind when it ends."""
    session = make(directory, told, 300)
    remove(directory)
    session.look()
    append(session, 300, 310)
    assert same((0, 310)) == drain(session)
    session.end()
    assert not directory.exists() or [] == list(directory.glob("*.*"))


def test_where_nothing_waits_nothing_is_made(directory: Path, told: Told) -> None:
    """Only when the next record comes."""
    session = make(directory, told, 10)
    drain(session)
    shutil.rmtree(directory.parent)
    session.look()
    assert 1 == len(told.texts)
    assert not directory.parent.exists()
    append(session, 10, 20)
    session.look()  # as who delivers does when a segment was begun
    assert same((10, 20)) == [
        pair for each in read_pending(directory) for pair in numbers(each.first, each.lines)
    ]
    assert same((10, 20)) == drain(session)
    session.end()


def test_what_cannot_be_made_again_is_said(directory: Path, told: Told) -> None:
    """Once; the lines are still delivered if the process lives."""
    session = make(directory, told, 100)
    shutil.rmtree(directory)
    directory.touch()
    for number in range(100, 110):
        session.look()
        append(session, number, number + 1)
    assert 2 == len(told.texts), told.texts
    assert "events that wait are lost if this process dies" in told.texts[0]
    assert 110 == session.journal.left().in_memory
    directory.unlink()
    session.look()
    assert "written to new ones" in told.texts[-1]
    assert same((0, 110)) == drain(session)
    session.end()


# ---------------------------------------------------------------------- cut off


def cut(path: Path, size: int) -> int:
    """Cut a file off, as `truncate` does; return how many whole lines are left."""
    os.truncate(path, size)
    return path.read_bytes().count(b"\n")


@both
@pytest.mark.parametrize("size", [0, 1, 20_500, 50_000])
def test_lines_behind_a_cut_are_lost_and_counted(
    directory: Path, told: Told, size: int, power: bool
) -> None:
    """The others keep their numbers; new ones go into another file."""
    session = make(directory, told, 60, power=power)
    session.settle(4)
    left = cut(segments(directory)[0], size)
    session.look()
    assert "files of the journal" in told.texts[0]
    kept = max(left, 5)
    lost = 60 - kept
    assert Tally(60, 5, kept - 5, 0, session.tally().dropped) == session.tally()
    assert {CUT_OFF: lost} == session.tally().dropped
    append(session, 60, 80)
    session.look()
    assert 1 == len(told.texts)
    assert same((5, kept), (60, 80)) == drain(session)
    assert Tally(80, 80 - lost, 0, 0, session.tally().dropped) == session.tally()
    loss = session.pop_loss()
    assert loss is not None
    assert (lost, kept, 59) == (loss.events, loss.first, loss.last)
    session.end()
    assert [] == list(directory.iterdir())


@both
def test_several_files_that_are_cut_off(directory: Path, told: Told, power: bool) -> None:
    """As `truncate -s 20k *` does: each keeps what stands before that."""
    session = make(directory, told, 300, power=power)
    kept = [cut(path, 20_500) for path in segments(directory)]
    for path in directory.glob("*.state"):
        os.truncate(path, 0)
    session.look()
    append(session, 300, 310)

    found = drain(session)
    assert sum(kept) + 10 == len(found)
    assert all(sequence == number for sequence, number in found)
    assert same((300, 310)) == found[-10:]
    assert {CUT_OFF: 300 - sum(kept)} == session.tally().dropped
    session.end()
    assert [] == list(directory.iterdir())


def test_a_cut_behind_the_lines_loses_nothing(directory: Path, told: Told) -> None:
    """Mapped files are larger than what is in them."""
    session = make(directory, told, 10)
    os.truncate(segments(directory)[0], 20_000)
    session.look()
    assert "no event that was counted is lost" in told.texts[0]
    append(session, 10, 100)
    assert same((0, 100)) == drain(session)
    session.end()


def test_what_is_settled_is_not_lost(directory: Path, told: Told) -> None:
    """An idle process whose empty-looking file is cut off goes on with the next number."""
    session = make(directory, told, 10)
    drain(session)
    os.truncate(segments(directory)[0], 0)
    session.look()
    append(session, 10, 20)
    assert same((10, 20)) == drain(session)
    assert not session.tally().dropped
    session.end()


def test_a_segment_made_ready_that_is_cut_off_is_not_used(directory: Path, told: Told) -> None:
    """To write into it would be SIGBUS."""
    session = make(directory, told, 150)
    session.journal.prepare(lambda: None)
    (spare,) = directory.glob("*.spare")
    os.truncate(spare, 0)
    append(session, 150, 400)
    assert same((0, 400)) == drain(session)
    session.end()


def test_what_is_read_before_the_look_kills_nobody(directory: Path, told: Told) -> None:
    """Lines are read by calls, not from the mapping, where the file has become too short."""
    session = make(directory, told, 300)
    for path in segments(directory):
        os.truncate(path, 0)
    session.journal.read(0, MANY)
    session.journal.count()
    session.look()
    append(session, 300, 310)
    assert same((300, 310)) == drain(session)[-10:]
    session.end()


@both
def test_a_process_that_is_killed_after_a_cut(directory: Path, told: Told, power: bool) -> None:
    """The next one delivers what is left, with the numbers that it would have had."""

    def work() -> None:
        session = make(directory, told, 60, power=power)
        cut(segments(directory)[0], 20_500)
        session.look()
        append(session, 60, 80)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(Child(work).pid, 0)
    found = take_all(directory)
    assert same((0, len(found) - 20), (60, 80)) == found


# ---------------------------------------------------------------------- no new file


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that any user may enter; pytest's own become private whenever one starts."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name) / "journals"


def test_the_newest_file_grows_where_no_other_can_be_made(reachable: Path, told: Told) -> None:
    """Up to 16 MiB; readers and the next process see one file."""
    directory = reachable

    def work() -> None:
        journal = Journal(directory, new_producer(), on_trouble=told)
        journal.append(line("0", 1000))
        directory.chmod(0o500)
        if os.geteuid() == 0:
            os.setuid(54321)

        def write(first: int) -> None:
            for number in range(first, 3000, 3):
                journal.append(line(str(number), 1000))

        threads = [threading.Thread(target=write, args=(first,)) for first in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not told.texts, told.texts
        assert not journal.left().in_memory
        os.kill(os.getpid(), signal.SIGKILL)

    _, status = os.waitpid(Child(work).pid, 0)
    assert signal.SIGKILL == status
    directory.chmod(0o700)
    (path,) = segments(directory)
    assert 4 << 20 == path.stat().st_size
    (pending,) = read_pending(directory)
    found = numbers(0, pending.lines)
    assert list(range(3000)) == sorted(number for _, number in found)
    assert found == take_all(directory)


# ---------------------------------------------------------------------- in time


def test_an_idle_process_looks_every_second(tmp_path: Path) -> None:
    """Also with nothing to send, and during an outage."""
    bench = Bench(CapturingTransport(), tmp_path, flush_interval=60)
    bench.put("a")
    assert bench.step() <= 1.0
    bench.run(60.0)
    assert ["a"] == bench.transport.messages
    assert bench.step() <= 1.0
    bench.session.end()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_running_program(tmp_path: Path, kind: str) -> None:
    """Regression: it was killed by SIGBUS, or logged into files that nobody could find."""
    logs, noticed, go_on = tmp_path / "logs", tmp_path / "noticed", tmp_path / "go on"

    def work() -> None:
        def note(kind: str, text: str, error: object) -> None:
            with noticed.open("a") as file:
                file.write(f"{text}\n")

        handler = BatchHandler(f"{kind}:{logs}", flush_interval=3600, on_error=note)
        logger = logging.Logger("running")
        logger.addHandler(handler)
        logger.info("lost")
        wait_until(lambda: "cut off" in (noticed.read_text() if noticed.exists() else ""))
        logger.info("kept")
        wait_until(lambda: "removed" in noticed.read_text())
        logger.info("kept, too")
        go_on.touch()
        signal.pause()

    with child(work) as process:
        wait_until(lambda: segments(logs / ".journal"))
        wait_until(lambda: [each for each in read_pending(logs / ".journal") if each.lines])
        os.truncate(segments(logs / ".journal")[0], 0)
        wait_until(lambda: any(b"kept" in each.lines for each in read_pending(logs / ".journal")))
        shutil.rmtree(logs)
        wait_until(go_on.exists)
        process.kill()
    messages = [row["message"] for row in Dataset(logs).rows()]
    assert ["kept", "kept, too"] == [text for text in messages if text.startswith("kept")]
