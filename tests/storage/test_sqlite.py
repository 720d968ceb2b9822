"""SQLite files: private, shared, never used across a fork, and set aside where they are damaged."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from children import Child, Shared, child, fork_unnoticed
from waiting import PATIENCE, wait_until

from logbatch import forks
from logbatch.errors import TemporaryError
from logbatch.storage.sqlite import (
    DamagedError,
    LockedError,
    connect,
    explaining,
    set_aside,
    writing,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a name that means something in URLs, with a table of one row."""
    path = tmp_path / "100%20 #1?.db"
    with writing(path) as connection:
        connection.execute("CREATE TABLE t (n)")
        connection.execute("INSERT INTO t VALUES (0)")
    return path


def numbers(path: Path) -> list[int]:
    """Read the table as any program does."""
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def add(path: Path, number: int, patience: float = 2.0) -> None:
    """Add a row."""
    with writing(path, patience=patience) as connection:
        connection.execute("INSERT INTO t VALUES (?)", (number,))


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Have the file locked by another program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


class TestOpening:
    def test_it_and_what_is_beside_it_is_private(self, path: Path) -> None:
        """Also while it is written; and the folder that is made for it."""
        with writing(path) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600} == found
        connect(path.parent / "a" / "b.db").close()
        assert 0o700 == stat.S_IMODE((path.parent / "a").stat().st_mode)

    def test_nothing_is_left_beside_it(self, path: Path) -> None:
        """Nobody has it open between two transactions."""
        add(path, 1)
        assert [path] == list(path.parent.iterdir())

    def test_others_read_meanwhile(self, path: Path) -> None:
        """They see what was there before."""
        with writing(path) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            assert [0] == numbers(path)
        assert [0, 1] == numbers(path)

    @pytest.mark.parametrize("before", [False, True])
    def test_without_shared_memory(self, tmp_path: Path, before: bool) -> None:
        """Where WAL mode cannot be, it works all the same, also if the file was in that mode."""
        path = tmp_path / "logs.db"
        with writing(path) as connection:
            connection.execute("CREATE TABLE t (n)")
        if not before:
            path.unlink()
        Path(f"{path}-shm").symlink_to(tmp_path / "nowhere" / "at all")  # SQLite follows none
        with writing(path) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (n)")
            assert ("delete",) == connection.execute("PRAGMA journal_mode").fetchone()
        add(path, 1)
        add(path, 2)
        assert [1, 2] == numbers(path)
        with closing(connect(path, read_only=True)) as connection:
            assert (2,) == connection.execute("SELECT count(*) FROM t").fetchone()

    def test_reading_changes_nothing(self, path: Path) -> None:
        """Nor does it make a file that is not there."""
        with closing(connect(path, read_only=True)) as connection:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute("INSERT INTO t VALUES (1)")
            assert (1,) == connection.execute("SELECT count(*) FROM t").fetchone()
        no = path.with_name("no.db")
        said = pytest.raises(TemporaryError, match=r"cannot read .*no.db: No such file")
        with said, explaining(no, "read"):
            connect(no, read_only=True)
        assert not no.exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: RUN THIS AS ROOT ONCE")
    def test_reading_where_nothing_may_be_written(self, path: Path) -> None:
        """A file in WAL mode, in a folder of another user."""
        for each in (path.parent, *path.parent.parents[:3]):
            each.chmod(0o755)
        path.chmod(0o644)

        def read() -> None:
            os.setuid(65534)
            with closing(connect(path, read_only=True)) as connection:
                assert [(0,)] == connection.execute("SELECT n FROM t").fetchall()

        Child(read).wait()

    def test_what_is_no_file(self, path: Path) -> None:
        """A link is not followed, a folder and a pipe are not opened."""
        link, folder, pipe = (path.with_name(name) for name in ("link", "folder", "pipe"))
        link.symlink_to(path)
        folder.mkdir()
        os.mkfifo(pipe)
        for each, said in ((link, "it is a link"), (folder, "no regular"), (pipe, "no regular")):
            with pytest.raises(TemporaryError, match=f"cannot write to {each}: .*{said}"):
                add(each, 1)
        assert [0] == numbers(path)


class TestLocked:
    def test_it_is_waited_for_and_then_said(self, path: Path) -> None:
        """Nothing is written, and nothing stays open."""
        with locked(path):
            began = time.monotonic()
            with pytest.raises(LockedError, match="another program has locked it"):
                add(path, 1, patience=0.2)
            assert time.monotonic() - began >= 0.2
        add(path, 2)
        assert [0, 2] == numbers(path)

    def test_forks_do_not_wait_as_long(self, path: Path) -> None:
        """Others may fork while a lock is waited for."""
        with locked(path):
            waiting = threading.Thread(target=add, args=(path, 1, PATIENCE))
            waiting.start()
            wait_until(forks.are_held_off)
            wait_until(lambda: not forks.are_held_off())
            assert waiting.is_alive()
        waiting.join()
        assert [0, 1] == numbers(path)

    def test_two_processes_in_turns(self, path: Path) -> None:
        """Each of both waits for the other."""

        def work(first: int) -> None:
            for number in range(first, first + 20):
                add(path, number, patience=30)

        both = [Child(lambda: work(100)), Child(lambda: work(200))]
        for each in both:
            each.wait()
        assert [0, *range(100, 120), *range(200, 220)] == numbers(path)


class TestForks:
    def test_a_child_opens_its_own(self, path: Path) -> None:
        """Regression of a prototype: what a child wrote was gone, as its parent closed the file.

        A connection that was inherited made it believe in locks that it did not have.
        """
        add(path, 1)
        written, closed = Shared(), Shared()

        def work() -> None:
            with closing(connect(path)) as connection:
                connection.execute("INSERT INTO t VALUES (2)")
                written.value = 1
                closed.wait_for(1)
                connection.execute("INSERT INTO t VALUES (3)")

        with child(work) as process:
            written.wait_for(1)
            add(path, 4)
            closed.value = 1
            process.wait()
        assert [0, 1, 2, 3, 4] == numbers(path)

    @pytest.mark.parametrize("fork", [os.fork, fork_unnoticed])
    def test_one_that_was_open_at_the_fork_is_not_used(
        self, path: Path, fork: Callable[[], int]
    ) -> None:
        """Another file is."""
        with closing(connect(path)) as connection:
            connection.execute("INSERT INTO t VALUES (1)")

            def work() -> None:
                with pytest.raises(TemporaryError, match="when this process was forked"):
                    add(path, 2)
                with writing(path.with_name("other.db")) as other:
                    other.execute("CREATE TABLE t (n)")

            Child(work, fork).wait()
            connection.execute("INSERT INTO t VALUES (3)")
        add(path, 4)
        assert [0, 1, 3, 4] == numbers(path)
        assert [] == numbers(path.with_name("other.db"))

    def test_forks_wait_for_the_end_of_a_transaction(self, path: Path) -> None:
        """A child of another thread inherits no connection."""
        inside, go_on = threading.Event(), threading.Event()

        def write() -> None:
            with writing(path) as connection:
                connection.execute("INSERT INTO t VALUES (1)")
                inside.set()
                go_on.wait(30)

        thread = threading.Thread(target=write)
        thread.start()
        assert inside.wait(30)
        assert forks.are_held_off()
        threading.Timer(0.05, go_on.set).start()
        Child(lambda: add(path, 2)).wait()
        thread.join()
        assert [0, 1, 2] == numbers(path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda path: path.write_bytes(b"something else " * 500),
    "cut off": lambda path: os.truncate(path, 4096 + 100),
    "overwritten": lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * 8092),
}


class TestDamaged:
    @pytest.mark.parametrize("kind", DAMAGES)
    def test_it_is_set_aside_and_a_new_one_begun(self, path: Path, kind: str) -> None:
        """What it held is still there, under a name that says so."""
        DAMAGES[kind](path)
        content = path.read_bytes()
        with pytest.raises(DamagedError) as caught, writing(path) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (n)")
            connection.execute("SELECT * FROM t").fetchall()
        (aside,) = path.parent.glob("*.damaged-*")
        assert f"it is set aside as {aside.name}, and a new one is begun" in str(caught.value)
        assert content == aside.read_bytes()
        with writing(path) as connection:
            connection.execute("CREATE TABLE t (n)")
        add(path, 1)
        assert [1] == numbers(path)
        assert {path, aside} == set(path.parent.iterdir())

    def test_with_what_is_beside_it(self, path: Path) -> None:
        """What a process that was killed left beside it does not become a part of the new one."""

        def work() -> None:
            connect(path).execute("INSERT INTO t VALUES (1)")
            os._exit(0)

        Child(work).wait()
        status = os.lstat(path)
        aside = set_aside(path, (status.st_dev, status.st_ino))
        assert aside is not None
        names = {f"{aside.name}{end}" for end in ("", "-wal", "-shm")}
        assert names == {each.name for each in path.parent.iterdir()}
        assert [0, 1] == numbers(aside)

    def test_of_two_that_find_it_only_one_sets_it_aside(self, path: Path) -> None:
        """The other leaves the new one alone."""
        damaged = os.lstat(path).st_dev, os.lstat(path).st_ino
        first = set_aside(path, damaged)
        assert first is not None
        connect(path).close()
        assert set_aside(path, damaged) is None
        assert {path, first} == set(path.parent.iterdir())

    def test_often(self, path: Path) -> None:
        """Each gets a name of its own, also within a second."""
        for _ in range(3):
            path.write_bytes(b"something else")
            with pytest.raises(DamagedError):
                add(path, 1)
        assert 3 == len(list(path.parent.glob("*.damaged-*")))

    def test_not_while_another_writes(self, path: Path) -> None:
        """Nobody's records go into the file that is about to get another name."""
        with writing(path) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            status = os.lstat(path)
            done: list[Path | None] = []
            other = threading.Thread(
                target=lambda: done.append(set_aside(path, (status.st_dev, status.st_ino)))
            )
            other.start()
            other.join(0.1)
            assert [] == done
        other.join()
        (aside,) = done
        assert aside is not None
        assert [0, 1] == numbers(aside)


def test_a_mistake_in_the_program_is_not_hidden(path: Path) -> None:
    """What the Python module itself refuses is no trouble with the file."""
    with pytest.raises(sqlite3.ProgrammingError), writing(path) as connection:
        connection.execute("INSERT INTO t VALUES (?)", (1, 2))
    assert [0] == numbers(path)
