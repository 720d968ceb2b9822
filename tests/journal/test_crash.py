"""Journals and real processes: killed at any instant, forked, adopted by many at once."""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from children import Child, Shared, child
from make import padded_line as line

from logbatch.identity import Ranges, new_producer
from logbatch.journal import Journal, JournalStopped, adopt, read_pending

MANY = 1 << 40

linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: RUN THIS AS ROOT ONCE")


def messages(data: bytes) -> list[str]:
    """The messages of lines, each of which must be whole."""
    assert data.endswith(b"\n")
    return [msgspec.json.decode(piece)["message"].rstrip(".") for piece in data.splitlines()]


def drain(journal: Journal, max_bytes: int = MANY) -> list[tuple[int, str]]:
    """Send all: read, note and acknowledge; return (sequence, message) of each."""
    found: list[tuple[int, str]] = []
    while (lines := journal.read(journal.settled, max_bytes)) is not None:
        journal.sending(lines.last)
        found += enumerate(messages(lines.data), lines.first)
        journal.acknowledge(lines.last)
    return found


def take_all(directory: Path) -> list[tuple[int, str]]:
    """Adopt whatever there is and send it."""
    found = []
    for journal in adopt(directory):
        found += drain(journal)
        assert journal.close()
    return found


def numbered(count: int) -> list[tuple[int, str]]:
    """What so many lines, with their numbers as messages, are read as."""
    return [(number, str(number)) for number in range(count)]


def names_in(directory: Path) -> list[str]:
    """The names in a directory."""
    return sorted(path.name for path in directory.iterdir())


def leave_orphan(directory: Path, count: int = 10, **options: Any) -> str:
    """Have a process die that appended so many lines; return its producer."""
    producer = new_producer()

    def write() -> None:
        journal = Journal(directory, producer, **options)
        for number in range(count):
            journal.append(line(str(number)))
        os.kill(os.getpid(), signal.SIGKILL)

    process = Child(write)
    os.waitpid(process.pid, 0)
    return producer


# ---------------------------------------------------------------------- killed


@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_a_killed_process_loses_nothing(directory: Path, power: bool) -> None:
    """Whenever a process is killed, each line whose `append` had returned is there, and whole."""
    chance = random.Random(3)
    for _ in range(8 if power else 25):
        returned = Shared()

        def write(returned: Shared = returned) -> None:
            journal = Journal(directory, new_producer(), power=power, max_bytes=1 << 24)
            for number in range(1 << 60):
                journal.append(line(str(number), 100 + number % 700))
                returned.value = number + 1

        with child(write) as writer:
            returned.wait_for(chance.randrange(1, 40 if power else 12_000))
            writer.kill()
        found = take_all(directory)

        assert numbered(len(found)) == found
        assert returned.value <= len(found) <= returned.value + 1
        assert [] == names_in(directory)


@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_a_process_killed_while_it_delivers(directory: Path, power: bool) -> None:
    """What was acknowledged is not there again, and the batch that was being sent is cut alike."""
    chance = random.Random(4)
    for _ in range(6 if power else 20):
        acknowledged, sending = Shared(), Shared()

        def work(acknowledged: Shared = acknowledged, sending: Shared = sending) -> None:
            journal = Journal(directory, new_producer(), power=power, max_bytes=1 << 17)
            for number in range(1 << 60):
                journal.append(line(str(number), 100 + number % 700))
                if number % 20 == 19:
                    lines = journal.read(journal.settled, 20_000)
                    assert lines is not None
                    journal.sending(lines.last)
                    sending.value = lines.last + 1
                    journal.acknowledge(lines.last)
                    acknowledged.value = lines.last + 1

        with child(work) as worker:
            sending.wait_for(chance.randrange(1, 60 if power else 2000))
            worker.kill()
        journals = list(adopt(directory))
        assert 1 == len(journals)
        first = journals[0].settled
        lines = journals[0].read(first, MANY)
        found = drain(journals[0])
        journals[0].close()

        assert acknowledged.value <= first <= sending.value
        assert [(number, str(number)) for number in range(first, first + len(found))] == found
        if first < sending.value:  # it was killed between sending and acknowledging
            assert lines is not None
            assert lines.last + 1 == sending.value


def test_the_adopter_may_be_killed_again_and_again(directory: Path) -> None:
    """However often those that take a journal over die, all is sent, and little of it twice."""
    leave_orphan(directory, 3000, max_bytes=1 << 19)
    sent = mmap.mmap(-1, 1 << 20)  # one byte a line: how often it was sent
    chance = random.Random(5)
    deaths = 0
    while directory.is_dir() and names_in(directory):
        acknowledged = Shared()

        def adopt_slowly(acknowledged: Shared = acknowledged) -> None:
            for journal in adopt(directory):
                while (lines := journal.read(journal.settled, 4000)) is not None:
                    journal.sending(lines.last)
                    for number, text in enumerate(messages(lines.data), lines.first):
                        assert str(number) == text
                        sent[number] += 1
                    journal.acknowledge(lines.last)
                    acknowledged.value += 1
                journal.close()
            acknowledged.value = 1 << 60

        with child(adopt_slowly) as adopter:
            acknowledged.wait_for(chance.randrange(0, 12))
            adopter.kill()
        deaths += 1

    times = list(sent[:3000])
    assert min(times) == 1
    assert sum(times) - 3000 <= 40 * deaths
    assert deaths > 2


def test_many_adopt_at_once(directory: Path) -> None:
    """However many look for orphans at the same time, each journal is taken by one of them."""
    producers = sorted(leave_orphan(directory, 50) for _ in range(20))
    go, reports = Shared(), directory.parent / "reports"
    reports.mkdir()

    def adopt_all(name: int) -> None:
        found = []
        go.wait_for(1)
        for journal in adopt(directory):
            found.append((journal.producer, drain(journal)))
            journal.close()
        (reports / str(name)).write_text(json.dumps(found))

    adopters = [Child(lambda name=name: adopt_all(name)) for name in range(6)]  # type: ignore[misc]
    go.value = 1
    for adopter in adopters:
        adopter.wait()
    found = [tuple(one) for path in reports.iterdir() for one in json.loads(path.read_text())]
    held = {producer: [tuple(pair) for pair in lines] for producer, lines in found if lines}

    assert producers == sorted(producer for producer, lines in found if lines)
    assert all(numbered(50) == lines for lines in held.values())
    assert [] == names_in(directory)


# ---------------------------------------------------------------------- the living


def test_a_live_journal_is_left_alone(directory: Path) -> None:
    """While its owner lives, a journal is adopted by nobody, in its own process nor in another."""
    journal = Journal(directory, new_producer())
    journal.append(line("0"))
    before = names_in(directory)

    assert [] == take_all(directory)
    Child(lambda: os._exit(len(take_all(directory)))).wait()
    assert before == names_in(directory)
    assert numbered(1) == drain(journal)
    assert journal.close()


@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_standard_streams_that_are_closed(directory: Path, power: bool) -> None:
    """What a program prints that has closed its standard streams does not go into the journal."""

    def live() -> None:
        os.closerange(0, 3)
        journal = Journal(directory, new_producer(), power=power)
        journal.append(line("0"))
        for number in range(3):
            with pytest.raises(OSError):
                os.write(number, b"printed")
        assert numbered(1) == drain(journal)
        assert journal.close()

    Child(live).wait()


def close_everything() -> None:
    """Close all descriptors, as a program does that turns itself into a daemon."""
    os.closerange(3, 4096)


@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_descriptors_that_were_closed_and_reused(directory: Path, power: bool) -> None:
    """An application that closes all descriptors loses no line, its journal, or a file to us."""
    foreign = directory.parent / "foreign"
    go, ready = Shared(), Shared()
    foreign.mkdir(parents=True)

    def live() -> None:
        journal = Journal(directory, new_producer(), power=power, max_bytes=1 << 17)
        for number in range(100):
            journal.append(line(str(number), 1000))
        close_everything()
        files = [
            os.open(foreign / str(number), os.O_RDWR | os.O_CREAT, 0o600) for number in range(100)
        ]
        ready.value = 1
        go.wait_for(1)
        found = drain(journal, 5000)
        for number in range(100, 200):
            journal.append(line(str(number), 1000))
            found += drain(journal, 5000)
        journal.append(line("200"))
        assert numbered(200) == found
        ready.value = 2
        go.wait_for(2)
        found += drain(journal)
        journal.sync()
        assert journal.close()
        assert numbered(201) == found
        for number, descriptor in enumerate(files):
            assert os.fstat(descriptor).st_ino == (foreign / str(number)).stat().st_ino
            assert 0 == os.fstat(descriptor).st_size

    with child(live) as owner:
        ready.wait_for(1)
        assert [] == take_all(directory)
        go.value = 1
        ready.wait_for(2)
        assert [] == take_all(directory)
        go.value = 2
        owner.wait()
    assert [] == names_in(directory)


def test_descriptors_that_were_closed_and_a_journal_let_go(directory: Path) -> None:
    """Also when the collector takes a journal that nobody closed, foreign files stay open."""

    def live() -> None:
        import gc

        journal: Journal | None = Journal(directory, new_producer())
        assert journal is not None
        journal.append(line("0"))
        close_everything()
        files = [os.open("/dev/null", os.O_RDWR) for _ in range(20)]
        del journal
        gc.collect()
        for descriptor in files:
            os.fstat(descriptor)

    Child(live).wait()
    assert numbered(1) == take_all(directory)


def test_reading_our_own_state_under_a_reused_number(directory: Path) -> None:
    """A reader's descriptor that has got the number of the writer's is not taken for it."""

    def live() -> None:
        journal = Journal(directory, new_producer())
        journal.append(line("0"))
        close_everything()
        state = next(directory.glob("*.state"))
        readers = [os.open(state, os.O_RDONLY) for _ in range(20)]
        assert numbered(1) == drain(journal)
        assert journal.close()
        for descriptor in readers:
            os.fstat(descriptor)

    Child(live).wait()


# ---------------------------------------------------------------------- forks


@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_a_child_does_not_disturb_its_parent(directory: Path, power: bool) -> None:
    """A forked child lets go of its parent's journal, which goes on and stays its own."""
    journal = Journal(directory, new_producer(), power=power, max_bytes=1 << 18)
    for number in range(100):
        journal.append(line(str(number), 1000))
    journal.prepare(lambda: None)

    def run() -> None:
        journal.abandon()
        with suppress(JournalStopped):
            journal.append(line("from the child"))
        assert [] == take_all(directory)
        own = Journal(directory, new_producer(), power=power)
        own.append(line("0"))
        assert numbered(1) == drain(own)
        assert own.close()

    for number in range(100, 110):
        Child(run).wait()
        journal.append(line(str(number), 1000))
    assert [] == take_all(directory)
    assert numbered(110) == drain(journal)
    assert journal.close()
    assert [] == names_in(directory)


def test_a_child_that_let_go_does_not_keep_the_journal(directory: Path) -> None:
    """A journal whose owner died is adopted while a child of it, which abandoned it, lives on."""
    ready, go = Shared(), Shared()

    def parent() -> None:
        journal = Journal(directory, new_producer())
        journal.append(line("0"))
        if os.fork() == 0:
            journal.abandon()
            ready.value = 1
            go.wait_for(1)
            os._exit(0)
        ready.wait_for(1)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(Child(parent).pid, 0)
    found = take_all(directory)
    go.value = 1

    assert numbered(1) == found


def test_a_child_that_keeps_the_lock(directory: Path) -> None:
    """A journal is adopted when a child that knows nothing of us lets the inherited lock go."""
    ready, go, gone = Shared(), Shared(), Shared()
    end, other_end = os.pipe()

    def parent() -> None:
        journal = Journal(directory, new_producer())
        journal.append(line("0"))
        if os.fork() == 0:
            os.close(end)
            ready.value = 1
            go.wait_for(1)
            gone.value = 1
            os._exit(0)
        ready.wait_for(1)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(Child(parent).pid, 0)
    os.close(other_end)
    early = take_all(directory)
    go.value = 1
    os.read(end, 1)  # returns when the grandchild is gone
    os.close(end)

    assert [] == early
    assert numbered(1) == take_all(directory)


# ---------------------------------------------------------------------- who the owner is


def change_owner(directory: Path, **fields: object) -> None:
    """Write other things about the owner into the only state file."""
    (path,) = directory.glob("*.state")
    owner = json.loads(path.read_bytes()[:1024])
    content = json.dumps(owner | fields).encode().ljust(1023) + b"\n"
    with path.open("r+b") as file:
        file.write(content)


@linux_only
def test_a_recycled_pid(directory: Path) -> None:
    """A process that has got the pid of the dead owner is not taken for it."""
    leave_orphan(directory, 5)
    change_owner(directory, pid=os.getpid())

    assert numbered(5) == take_all(directory)


@linux_only
@pytest.mark.parametrize(
    "other", [{"boot": "another"}, {"host": "another"}, {"namespace": "pid:[1]"}]
)
def test_another_boot_or_machine(directory: Path, other: dict[str, str]) -> None:
    """Where the owner's pid says nothing, it is the lock that tells."""
    leave_orphan(directory, 5)
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    change_owner(directory, pid=os.getpid(), started=started)
    assert [] == take_all(directory)
    change_owner(directory, **other)
    (path,) = directory.glob("*.state")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [] == take_all(directory)

    assert numbered(5) == take_all(directory)


@linux_only
def test_another_program_in_the_same_process(directory: Path) -> None:
    """An owner that executed another program is gone, though pid and start time are the same."""
    leave_orphan(directory, 5)
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    change_owner(directory, pid=os.getpid(), started=started)
    assert [] == take_all(directory)
    change_owner(directory, image="")  # as written by an earlier version
    assert [] == take_all(directory)
    change_owner(directory, image="0badc0de")

    assert numbered(5) == take_all(directory)


@linux_only
def test_a_zombie_is_gone(directory: Path) -> None:
    """An owner that died and was not buried by its parent does not keep its journal."""

    def write() -> None:
        journal = Journal(directory, new_producer())
        journal.append(line("0"))
        os.kill(os.getpid(), signal.SIGKILL)

    process = Child(write)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    found = take_all(directory)
    os.waitpid(process.pid, 0)

    assert numbered(1) == found


def test_what_a_living_process_gave_up(directory: Path) -> None:
    """A journal that was closed with pending lines is adopted though its process lives."""
    journal = Journal(directory, new_producer())
    for number in range(10):
        journal.append(line(str(number)))
    journal.acknowledge(3)
    journal.close()
    Child(lambda: os._exit(0 if len(take_all(directory)) == 6 else 1)).wait()

    assert [] == names_in(directory)


def test_what_was_taken_over_has_a_new_owner(directory: Path) -> None:
    """A journal that was adopted is its adopter's, also without the lock, until given up again."""
    leave_orphan(directory, 10)
    ready, go = Shared(), Shared()

    def adopt_and_close_descriptors() -> None:
        (journal,) = adopt(directory)
        journal.acknowledge(1)
        close_everything()
        ready.value = 1
        go.wait_for(1)
        journal.acknowledge(2)
        journal.close()

    with child(adopt_and_close_descriptors) as adopter:
        ready.wait_for(1)
        assert [] == take_all(directory)
        go.value = 1
        adopter.wait()

    assert [(number, str(number)) for number in range(3, 10)] == take_all(directory)


def test_an_adopter_that_cannot_go_on_leaves_the_journal(directory: Path) -> None:
    """When the destination cannot say what it holds, the journal stays for the next try."""
    leave_orphan(directory, 10)

    def fail(producer: str) -> Ranges:
        raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        list(adopt(directory, published=fail))

    assert numbered(10) == take_all(directory)


def test_a_state_file_deleted_under_its_owner(directory: Path) -> None:
    """A live owner's segments are left alone also when its state file was deleted."""
    journal = Journal(directory, new_producer(), max_bytes=1 << 17)
    journal.append(line("0", 1000))
    (directory / f"{journal.producer}.state").unlink()
    for number in range(1, 100):
        assert [] == take_all(directory)
        journal.append(line(str(number), 1000))

    assert numbered(100) == drain(journal)
    assert journal.close()
    assert [] == names_in(directory)


def test_a_directory_deleted_under_its_owner(directory: Path) -> None:
    """A process whose journals are deleted delivers what it holds, and makes new files."""
    told: list[str] = []
    producer = new_producer()
    returned = Shared()

    def write() -> None:
        journal = Journal(
            directory, producer, max_bytes=1 << 17, on_trouble=lambda kind, text: told.append(text)
        )
        for number in range(50):
            journal.append(line(str(number), 1000))
        shutil.rmtree(directory)
        found = drain(journal)
        for number in range(50, 110):
            journal.append(line(str(number), 1000))
        assert numbered(50) == found
        returned.value = 110
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(Child(write).pid, 0)
    assert 110 == returned.value
    found = take_all(directory)

    # What was in the segment that was begun before is gone with the directory.
    assert 109 == int(found[-1][1])
    assert len(found) > 20
    assert [] == names_in(directory)


# ---------------------------------------------------------------------- no room


@root_only
def test_a_full_disk(tmp_path: Path) -> None:
    """While the disk is full, lines wait in memory, with one message and without SIGBUS."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], check=True)

    def write() -> None:
        told: list[str] = []
        journal = Journal(
            mount / ".journal", new_producer(), on_trouble=lambda kind, text: told.append(text)
        )
        for number in range(8000):
            journal.append(line(str(number), 1000))
        assert 1 == len(told), told
        assert os.strerror(errno.ENOSPC) in told[0]
        found = drain(journal)
        for number in range(8000, 9500):
            journal.append(line(str(number), 1000))
        assert any(name.endswith(".journal") for name in names_in(mount / ".journal"))
        found += drain(journal)
        assert numbered(9500) == found
        assert journal.close()
        assert [] == names_in(mount / ".journal")

    try:
        Child(write).wait()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@root_only
def test_a_disk_that_fills_up_under_appends(tmp_path: Path) -> None:
    """Half a line at the end of a full disk is no line; the whole one follows elsewhere."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], check=True)

    def write() -> None:
        told: list[str] = []
        journal = Journal(
            mount / ".journal",
            new_producer(),
            power=True,
            on_trouble=lambda kind, text: told.append(text),
        )
        for number in range(1000):
            journal.append(line(str(number), 1001))
        assert len(told) <= 1, told
        assert numbered(1000) == drain(journal)
        assert journal.close()

    try:
        Child(write).wait()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_no_descriptors_left(directory: Path) -> None:
    """A process that has used up its descriptors logs on, in memory, with one message."""

    def write() -> None:
        told: list[str] = []
        journal = Journal(
            directory,
            new_producer(),
            max_bytes=1 << 22,
            on_trouble=lambda kind, text: told.append(text),
        )
        journal.append(line("0", 1000))
        limit = max(map(int, os.listdir("/proc/self/fd"))) + 20
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        held = []
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for number in range(1, 3000):
            journal.append(line(str(number), 1000))
        assert 1 == len(told), told
        assert os.strerror(errno.EMFILE) in told[0]
        assert [] == take_all(directory)
        assert [] == read_pending(directory)
        found = drain(journal)
        for descriptor in held:
            os.close(descriptor)
        for number in range(3000, 6000):
            journal.append(line(str(number), 1000))
        assert any(name.endswith(".journal") for name in names_in(directory))
        found += drain(journal)
        assert numbered(6000) == found
        assert journal.close()
        assert [] == names_in(directory)

    Child(write).wait()


def test_lines_in_memory_are_written_at_the_end(directory: Path) -> None:
    """What had to wait in memory is put into files when the journal is closed and there is room."""
    told: list[str] = []
    directory.parent.mkdir()
    directory.write_text("in the way")
    journal = Journal(directory, new_producer(), on_trouble=lambda kind, text: told.append(text))
    for number in range(10):
        journal.append(line(str(number)))
    journal.acknowledge(3)
    directory.unlink()

    assert not journal.close()
    assert 1 == len(told)
    assert [(number, str(number)) for number in range(4, 10)] == take_all(directory)
    assert [] == names_in(directory)


@root_only
def test_a_directory_without_permission(tmp_path: Path) -> None:
    """Where no file may be made, lines wait in memory, with one message."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(0o755)

    def write() -> None:
        os.setgid(65534)
        os.setuid(65534)
        told: list[str] = []
        journal = Journal(
            closed / ".journal", new_producer(), on_trouble=lambda kind, text: told.append(text)
        )
        for number in range(3000):
            journal.append(line(str(number), 1000))
        assert 1 == len(told), told
        assert os.strerror(errno.EACCES) in told[0]
        assert numbered(3000) == drain(journal)
        assert journal.close()

    Child(write).wait()
    assert [] == names_in(closed)


def test_a_file_system_without_room_for_segments(directory: Path) -> None:
    """Where files cannot be made as large as a segment, lines are appended, with one message."""

    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        told: list[str] = []
        journal = Journal(
            directory, new_producer(), on_trouble=lambda kind, text: told.append(text)
        )
        for number in range(1000):
            journal.append(line(str(number), 1001))
        reason = os.strerror(errno.EFBIG)
        expected = f"cannot map journal files in {directory} ({reason}); appending"
        assert [expected] == [text[: len(expected)] for text in told]
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(Child(write).pid, 0)
    assert numbered(1000) == take_all(directory)


# ---------------------------------------------------------------------- others' files in the way


@pytest.fixture
def victim(directory: Path) -> Path:
    """A file of somebody else's, beside a directory for journals that is there."""
    directory.mkdir(parents=True)
    path = directory.parent / "victim"
    path.write_text("mine")
    return path


def test_a_link_in_the_place_of_a_segment(directory: Path, victim: Path) -> None:
    """A link that was planted where a segment goes is not followed, and stays; lines go on."""
    producer = new_producer()
    (directory / f"{producer}-0.journal").symlink_to(victim)
    (directory / f"{producer}-1.journal").write_text("mine")
    journal = Journal(directory, producer)
    journal.append(line("0"))

    assert "mine" == victim.read_text()
    assert "mine" == (directory / f"{producer}-1.journal").read_text()
    assert (directory / f"{producer}-2.journal").is_file()
    assert numbered(1) == drain(journal)


def test_a_link_in_the_place_of_the_state(directory: Path, victim: Path) -> None:
    """A link that was planted where the state goes is not followed."""
    producer = new_producer()
    (directory / f"{producer}.state").symlink_to(victim)
    journal = Journal(directory, producer)
    journal.append(line("0"))

    assert "mine" == victim.read_text()
    assert numbered(1) == drain(journal)
    journal.close()


def test_odd_things_in_the_directory(directory: Path, victim: Path) -> None:
    """Links, pipes and folders under the names of journals hinder neither adopting nor reading."""
    for producer, index in ((new_producer(), 0), (leave_orphan(directory, 5), 1)):
        (directory / f"{producer}-{index}.journal").symlink_to(victim)
        os.mkfifo(directory / f"{producer}-{index + 1}.journal")
        (directory / f"{producer}-{index + 2}.journal").mkdir()
    os.mkfifo(directory / f"{new_producer()}.state")
    (directory / f"{new_producer()}.state").symlink_to(victim)
    (directory / "notes.txt").write_text("mine")

    assert 5 == sum(len(messages(pending.lines)) for pending in read_pending(directory))
    assert numbered(5) == take_all(directory)
    assert "mine" == victim.read_text()
    assert (directory / "notes.txt").exists()


# ---------------------------------------------------------------------- readers


def check_pending(directory: Path, producer: str) -> int:
    """Look once; return behind which line the view ends, 0 where nothing is seen."""
    for pending in read_pending(directory):
        assert producer == pending.producer
        expected = range(pending.first, pending.first + pending.lines.count(b"\n"))
        assert [str(number) for number in expected] == messages(pending.lines)
        return expected.stop
    return 0


@pytest.mark.parametrize("drops", [False, True], ids=["keeping", "dropping"])
@pytest.mark.parametrize("power", [False, True], ids=["mapped", "appended"])
def test_readers_see_whole_lines(directory: Path, power: bool, drops: bool) -> None:
    """Readers of a busy process see whole lines with their right numbers, up to the newest."""
    appended, acknowledged, stop = Shared(), Shared(), Shared()
    producer = new_producer()

    def work() -> None:
        journal = Journal(directory, producer, power=power, max_bytes=1 << 19)
        number = 0
        while not stop.value:
            for _ in range(10 if power else 100):
                journal.append(line(str(number), 100 + number % 700))
                number += 1
                appended.value = number
            if drops and journal.pending_bytes() > 300_000:
                journal.drop_oldest()
            while journal.pending_bytes() > 200_000:
                lines = journal.read(journal.settled, 20_000)
                assert lines is not None
                journal.sending(lines.last)
                journal.acknowledge(lines.last)
                acknowledged.value = lines.last + 1
            journal.prepare(lambda: None)
        drain(journal)
        journal.close()

    with child(work) as worker:
        appended.wait_for(10)
        for _ in range(500):
            before = appended.value
            end_of_view = check_pending(directory, producer)
            # What stands behind dropped lines is seen when those before them are delivered.
            assert drops or max(end_of_view, acknowledged.value) >= before
        stop.value = 1
        worker.wait()

    assert 0 == check_pending(directory, producer)


def test_readers_of_a_journal_that_is_adopted(directory: Path) -> None:
    """While the journal of a dead process is taken over and sent, readers see its lines rightly."""
    for _ in range(10):
        producer = leave_orphan(directory, 2000, max_bytes=1 << 18)
        assert 2000 == check_pending(directory, producer)
        alive = [pending.alive for pending in read_pending(directory)]
        assert [False] == alive

        def adopt_all() -> None:
            for journal in adopt(directory):
                drain(journal, 3000)
                journal.close()

        with child(adopt_all) as adopter:
            while names_in(directory):
                check_pending(directory, producer)
            adopter.wait()


def test_a_reader_knows_whose_lines_they_are(directory: Path) -> None:
    """What is pending is told with the producer, the owner's pid and whether it lives."""
    dead = leave_orphan(directory, 3)
    journal = Journal(directory, new_producer())
    journal.append(line("0"))
    journal.append(line("1"))
    journal.acknowledge(0)
    found = {pending.producer: pending for pending in read_pending(directory)}

    assert {dead, journal.producer} == set(found)
    assert (1, line("1")) == found[journal.producer][1:3]
    assert (os.getpid(), True) == found[journal.producer][3:]
    assert (0, 3) == (found[dead].first, len(messages(found[dead].lines)))
    assert not found[dead].alive
    assert [] == read_pending(directory / "missing")
    journal.acknowledge(1)
    journal.close()


def test_a_reader_stops_before_lines_in_memory(directory: Path) -> None:
    """Lines behind others that are in the owner's memory are not shown under wrong numbers."""
    journal = Journal(directory, new_producer(), max_bytes=1 << 18)
    for number in range(65):
        journal.append(line(str(number), 1000))
    hidden = directory.with_name("hidden")
    directory.rename(hidden)
    directory.write_text("in the way")
    for number in range(65, 130):
        journal.append(line(str(number), 1000))
    directory.unlink()
    hidden.rename(directory)
    for number in range(130, 195):
        journal.append(line(str(number), 1000))

    assert 65 == check_pending(directory, journal.producer)
    journal.read(0, MANY)
    journal.acknowledge(70)
    assert 0 == check_pending(directory, journal.producer)
    journal.acknowledge(135)
    assert 195 == check_pending(directory, journal.producer)
    assert 195 - 136 == len(drain(journal))
    assert journal.close()


def test_a_signal_handler_may_log_while_the_state_is_made(directory: Path) -> None:
    """What is logged from within the first `append` is in a file like any other (it was not)."""
    told: list[str] = []
    for delay in range(1, 60):  # in steps of ten microseconds through all of the making
        journal = Journal(
            directory, new_producer(), on_trouble=lambda kind, text: told.append(text)
        )
        inner: list[int] = []

        def log(*_: object, journal: Journal = journal, inner: list[int] = inner) -> None:
            inner.append(1)
            journal.append(line("from within"))

        previous = signal.signal(signal.SIGALRM, log)
        signal.setitimer(signal.ITIMER_REAL, delay / 100_000)
        try:
            journal.append(line("0"))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert [] == told
        assert 1 + len(inner) == len(drain(journal))
        journal.close()


@pytest.mark.parametrize(
    ("age", "locked", "stays"),
    [(3660, False, False), (-3660, False, False), (3660, True, True), (60, False, True)],
)
def test_a_state_file_that_never_got_its_name(
    tmp_path: Path, age: float, locked: bool, stays: bool
) -> None:
    """It goes once its maker is gone, also where the clock was set back; no other one does."""
    path = tmp_path / f".{new_producer()}.0.new"
    with path.open("wb") as file:
        if locked:
            fcntl.flock(file, fcntl.LOCK_EX)
        at = time.time() - age
        os.utime(path, (at, at))

        assert [] == list(adopt(tmp_path))
        assert stays == path.exists()
