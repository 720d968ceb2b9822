"""Files that are private, locked, synced, atomic, and never taken for another."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logbatch import disk
from logbatch.descriptors import OwnFile
from logbatch.disk import SyncError
from logbatch.locks import lock, lock_file, unlock

EIO = OSError(errno.EIO, os.strerror(errno.EIO))


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """A descriptor that is closed at the end of the block."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture
def fail_fsync(monkeypatch: pytest.MonkeyPatch) -> Callable[[OSError], None]:
    """Have the next fsync of a file, or of a directory, fail; later ones do nothing."""

    def fail(error: OSError) -> None:
        failures = [error]

        def fsync(descriptor: int) -> None:
            if failures:
                raise failures.pop()

        monkeypatch.setattr(os, "fsync", fsync)

    return fail


@pytest.fixture
def anybody() -> Iterator[None]:
    """A process whose files are open to anybody unless they are made private."""
    previous = os.umask(0)
    yield
    os.umask(previous)


# Things that are no regular file, made at a path.
ODD = {
    "link": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "link to a file": lambda path: (
        path.with_name("target").write_bytes(b"mine"),
        path.symlink_to(path.with_name("target")),
    ),
    "pipe": os.mkfifo,
    "directory": os.mkdir,
}
odd_things = pytest.mark.parametrize("make", ODD.values(), ids=ODD)


class TestOpening:
    @pytest.mark.usefixtures("anybody")
    def test_created_files_are_private(self, tmp_path: Path) -> None:
        """Nobody else may read a file that was created, in whatever way."""
        os.close(disk.create_file(tmp_path / "created"))
        os.close(disk.open_file(tmp_path / "opened", os.O_RDWR | os.O_CREAT))
        disk.append_lines(tmp_path / "appended", b"a\n")
        disk.publish(tmp_path / "published", [b"a"])

        assert [0o600] * 4 == [mode(path) for path in tmp_path.iterdir()]

    @odd_things
    def test_nothing_is_created_in_the_place_of_another(
        self, make: Callable[[Path], object], tmp_path: Path
    ) -> None:
        """A file is created only where there is nothing, not even a link that leads nowhere."""
        make(tmp_path / "x")

        with pytest.raises(FileExistsError):
            disk.create_file(tmp_path / "x")
        assert not (tmp_path / "elsewhere").exists()

    @odd_things
    @pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
    def test_only_regular_files_are_opened(
        self, make: Callable[[Path], object], flags: int, tmp_path: Path
    ) -> None:
        """A link, a pipe or a directory is an error, at once and without a descriptor left open."""
        make(tmp_path / "x")
        free = os.dup(0)
        os.close(free)

        with pytest.raises(OSError, match=r"."):
            disk.open_file(tmp_path / "x", flags)
        with opened(os.dup(0)) as number:
            assert free == number
        assert not (tmp_path / "elsewhere").exists()

    def test_created_or_opened(self, tmp_path: Path) -> None:
        """With `O_CREAT`, a file that is there is opened as it is."""
        flags = os.O_RDWR | os.O_CREAT
        with opened(disk.open_file(tmp_path / "x", flags)) as number:
            os.write(number, b"first")
        with opened(disk.open_file(tmp_path / "x", flags)) as number:
            assert b"first" == os.read(number, 10)

    def test_missing(self, tmp_path: Path) -> None:
        """To open a file that is not there is an error, and creates none."""
        with pytest.raises(FileNotFoundError):
            disk.open_file(tmp_path / "x", os.O_RDWR)
        assert [] == list(tmp_path.iterdir())

    def test_appending(self, tmp_path: Path) -> None:
        """What is written to a file that is created to append goes behind what is left of it."""
        with opened(disk.create_file(tmp_path / "x", append=True)) as number:
            os.write(number, b"one two")
            os.ftruncate(number, 4)
            os.write(number, b"three")

        assert b"one three" == (tmp_path / "x").read_bytes()

    def test_not_inherited(self, tmp_path: Path) -> None:
        """A program that is run does not get our descriptors."""
        with opened(disk.create_file(tmp_path / "x")) as number:
            assert not os.get_inheritable(number)
        with opened(disk.open_file(tmp_path / "x")) as number:
            assert not os.get_inheritable(number)


class TestOwnFile:
    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[OwnFile]:
        """A file of ours."""
        file = OwnFile(disk.create_file(tmp_path / "own"))
        yield file
        file.close()

    def test_open_until_closed(self, own: OwnFile) -> None:
        """A file is ours until it is closed, and may be closed again."""
        number = own.number
        assert own.is_open()
        assert number == own.check()

        own.close()
        own.close()

        assert not own.is_open()
        assert not own.is_open_as(number)
        with pytest.raises(OSError, match="Bad file descriptor"):
            own.check()

    @pytest.mark.parametrize("foreign", ["another", "the same, to be read"])
    def test_a_number_that_was_reused(self, own: OwnFile, foreign: str, tmp_path: Path) -> None:
        """A number that the application closed and got for a file of its own is left alone."""
        os.close(own.number)
        path = tmp_path / ("own" if foreign != "another" else "another")
        flags = os.O_RDONLY if foreign != "another" else os.O_RDWR | os.O_CREAT
        with opened(os.open(path, flags)) as number:
            assert own.number == number
            assert not own.is_open()
            own.close()
            os.fstat(number)

    def test_another_number_of_the_same_file(self, own: OwnFile, tmp_path: Path) -> None:
        """A file is known under another number if it was opened alike."""
        with opened(os.open(tmp_path / "own", os.O_RDWR)) as writes:
            assert own.is_open_as(writes)
        with opened(os.open(tmp_path / "own", os.O_RDONLY)) as reads:
            assert not own.is_open_as(reads)
        assert not own.is_open_as(-1)

    def test_its_name(self, own: OwnFile, tmp_path: Path) -> None:
        """A file has a name until that is removed, or given to another file."""
        path = tmp_path / "own"
        assert own.is_named(path)

        path.rename(tmp_path / "renamed")
        assert own.is_named(tmp_path / "renamed")
        assert not own.is_named(path)
        path.write_bytes(b"")
        assert not own.is_named(path)

    def test_a_link_to_it_is_not_its_name(self, own: OwnFile, tmp_path: Path) -> None:
        """A link to a file may lead elsewhere at any time."""
        (tmp_path / "link").symlink_to("own")

        assert not own.is_named(tmp_path / "link")


class TestLocks:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        """Whoever opens a file can lock it if nobody else has."""
        with opened(disk.create_file(tmp_path / "x")) as first:
            assert not disk.is_locked(tmp_path / "x")
            assert lock_file(first)
            assert disk.is_locked(tmp_path / "x")
            with opened(disk.open_file(tmp_path / "x")) as second:
                assert not lock_file(second)

        assert not disk.is_locked(tmp_path / "x")

    def test_a_shared_lock(self, tmp_path: Path) -> None:
        """Several have it together, and nobody has it alone meanwhile; a folder has one too."""
        folder = [os.open(tmp_path, os.O_RDONLY) for _ in range(3)]
        try:
            assert lock(folder[0], shared=True) is lock(folder[1], shared=True) is True
            assert lock(folder[2]) is False
            unlock(folder[0])
            assert lock(folder[2]) is False
            unlock(folder[1])
            assert lock(folder[2]) is True
            assert lock(folder[0], shared=True) is False
        finally:
            for descriptor in folder:
                os.close(descriptor)

    def test_where_there_are_no_locks(self, tmp_path: Path) -> None:
        """It is told apart from a lock that somebody else has; so is a descriptor that is none."""
        descriptor = os.open(tmp_path, os.O_RDONLY)
        os.close(descriptor)

        assert lock(descriptor) is None
        assert not lock_file(descriptor)

    def test_nothing_to_lock(self, tmp_path: Path) -> None:
        """What is not there, or is no file, nobody has locked."""
        os.mkfifo(tmp_path / "pipe")

        assert not disk.is_locked(tmp_path / "x")
        assert not disk.is_locked(tmp_path / "pipe")


class TestReadingAndWriting:
    def test_a_part(self, tmp_path: Path) -> None:
        """A part of a file is read in blocks, up to its end if it is shorter than was asked for."""
        content = os.urandom(3 << 20)
        (tmp_path / "x").write_bytes(content)

        blocks = list(disk.read_blocks(tmp_path / "x", 1000, 5 << 20))
        assert content[1000:] == b"".join(blocks)
        assert len(blocks) > 2
        assert [content[1:3]] == list(disk.read_blocks(tmp_path / "x", 1, 3))

    def test_all_is_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the system takes in parts is written as a whole."""
        data, seen = os.urandom(1 << 16), bytearray()

        def write_a_part(_descriptor: int, part: memoryview) -> int:
            seen.extend(part[:4000])
            return min(len(part), 4000)

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write_a_part)
            disk.write_all(-1, data)

        assert data == seen

    def test_allocated(self, tmp_path: Path) -> None:
        """A file has its size and its blocks before anything is written to it."""
        with opened(disk.create_file(tmp_path / "x")) as number:
            disk.allocate(number, 1 << 20)
            status = os.fstat(number)

        assert 1 << 20 == status.st_size
        assert status.st_blocks * 512 >= 1 << 20

    def test_a_failed_sync_is_told_apart(
        self, tmp_path: Path, fail_fsync: Callable[[OSError], None]
    ) -> None:
        """Who writes to a file learns that it must not be tried again on this one."""
        fail_fsync(EIO)
        with (
            opened(disk.create_file(tmp_path / "x")) as number,
            pytest.raises(SyncError, match="I"),
        ):
            disk.sync_file(number)


class TestAppending:
    def test_behind_what_is_there(self, tmp_path: Path) -> None:
        """Lines go to the end of a file, which is created with the first."""
        for line in (b"a\n", b"b\nc\n"):
            disk.append_lines(tmp_path / "x", line)

        assert b"a\nb\nc\n" == (tmp_path / "x").read_bytes()

    def test_a_torn_line_does_not_take_the_next_one_with_it(self, tmp_path: Path) -> None:
        """Behind a line that a crash cut off, the next one begins on its own."""
        (tmp_path / "x").write_bytes(b"a\nb")
        disk.append_lines(tmp_path / "x", b"c\n")

        assert b"a\nb\nc\n" == (tmp_path / "x").read_bytes()

    def test_failure_leaves_nothing(
        self, tmp_path: Path, fail_fsync: Callable[[OSError], None]
    ) -> None:
        """What could not be brought to the disk is taken back, so that it can be written again."""
        (tmp_path / "x").write_bytes(b"a\n")
        fail_fsync(EIO)
        with pytest.raises(SyncError):
            disk.append_lines(tmp_path / "x", b"b\n")
        assert b"a\n" == (tmp_path / "x").read_bytes()

        disk.append_lines(tmp_path / "x", b"b\n")
        assert b"a\nb\n" == (tmp_path / "x").read_bytes()

    def test_the_name_is_synced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Regression: the lines were synced, but not the name of the file that was created."""
        synced = []
        monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
        disk.append_lines(tmp_path / "x", b"a\n")

        assert [(tmp_path / "x").stat().st_ino, tmp_path.stat().st_ino] == synced

    @odd_things
    def test_only_to_files(self, make: Callable[[Path], object], tmp_path: Path) -> None:
        """No link is followed, and no pipe waited for."""
        make(tmp_path / "x")

        with pytest.raises(OSError, match=r"."):
            disk.append_lines(tmp_path / "x", b"a\n")
        assert not (tmp_path / "elsewhere").exists()


class TestPublishing:
    def test_content(self, tmp_path: Path) -> None:
        """A file has all of its content, and nothing else is left."""
        disk.publish(tmp_path / "x.parquet", [b"a", memoryview(b"bc"), b""])

        assert b"abc" == (tmp_path / "x.parquet").read_bytes()
        assert [tmp_path / "x.parquet"] == list(tmp_path.iterdir())

    def test_replaced(self, tmp_path: Path) -> None:
        """A file of the same name is replaced; a link is, too, and not followed."""
        (tmp_path / "target").write_bytes(b"mine")
        (tmp_path / "x").symlink_to("target")
        for content in (b"one", b"two"):
            disk.publish(tmp_path / "x", [content])
            assert content == (tmp_path / "x").read_bytes()

        assert b"mine" == (tmp_path / "target").read_bytes()

    def test_failure_leaves_nothing(self, tmp_path: Path) -> None:
        """If the content fails half way, there is no file, neither a whole one nor a part."""

        def blocks() -> Iterator[bytes]:
            yield b"a"
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            disk.publish(tmp_path / "x.parquet", blocks())
        assert [] == list(tmp_path.iterdir())

    def test_not_there_until_whole(self, tmp_path: Path) -> None:
        """While it is written, it has a name that begins with a dot and ends in .tmp."""
        seen: list[str] = []

        def blocks() -> Iterator[bytes]:
            yield b"a"
            seen.extend(os.listdir(tmp_path))
            yield b"b"

        disk.publish(tmp_path / "x.parquet", blocks())

        assert 1 == len(seen)
        assert seen[0].startswith(".part-")
        assert seen[0].endswith(".tmp")
        assert disk.is_temporary(seen[0])
        assert not disk.is_temporary("x.parquet")

    def test_failed_sync_is_not_tried_again(
        self, tmp_path: Path, fail_fsync: Callable[[OSError], None]
    ) -> None:
        """After a failed fsync nothing is kept, and the next try writes a fresh file."""
        fail_fsync(EIO)
        with pytest.raises(SyncError, match="Input/output"):
            disk.publish(tmp_path / "x.parquet", [b"a"])
        assert [] == list(tmp_path.iterdir())
        disk.publish(tmp_path / "x.parquet", [b"b"])

        assert b"b" == (tmp_path / "x.parquet").read_bytes()


class TestDirectories:
    @pytest.mark.usefixtures("anybody")
    @pytest.mark.parametrize("sync", [False, True])
    def test_created_private(self, tmp_path: Path, sync: bool) -> None:
        """All directories that are created are private; those that were there stay as they are."""
        tmp_path.chmod(0o755)
        disk.make_directory(tmp_path / "a" / "b" / "c", sync=sync)

        assert [0o700] * 3 == [mode(tmp_path / part) for part in ("a", "a/b", "a/b/c")]
        assert 0o755 == mode(tmp_path)

    def test_there_already(self, tmp_path: Path) -> None:
        """To create a directory again is no mistake; it may be behind a link."""
        (tmp_path / "a").mkdir(0o750)
        (tmp_path / "b").symlink_to("a")
        for name in ("a", "b", "b/."):
            disk.make_directory(tmp_path / name)

        assert 0o750 == mode(tmp_path / "a")

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        """A file of that name, or above, is an error."""
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(FileExistsError):
            disk.make_directory(tmp_path / "file")
        with pytest.raises(NotADirectoryError):
            disk.make_directory(tmp_path / "file" / "below")

    def test_created_names_are_synced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With `sync`, each directory in which one was created is synced, and no other."""
        synced = []
        monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
        disk.make_directory(tmp_path / "a" / "b", sync=True)
        disk.make_directory(tmp_path / "a" / "b", sync=True)
        disk.make_directory(tmp_path / "c")

        assert [tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino] == synced

    @pytest.mark.parametrize(
        ("number", "fails"),
        [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EBADF, False), (errno.EIO, True)],
    )
    def test_sync(
        self, number: int, fails: bool, tmp_path: Path, fail_fsync: Callable[[OSError], None]
    ) -> None:
        """A file system that cannot sync directories is none that failed to."""
        fail_fsync(OSError(number, os.strerror(number)))
        with pytest.raises(OSError, match=r".") if fails else contextlib.nullcontext():
            disk.sync_directory(tmp_path)

    def test_sync_of_what_is_not_there(self, tmp_path: Path) -> None:
        """The names in a directory that was removed are not on the disk."""
        with pytest.raises(FileNotFoundError):
            disk.sync_directory(tmp_path / "x")

    @pytest.mark.usefixtures("anybody")
    def test_sync_of_what_may_not_be_read(self, tmp_path: Path) -> None:
        """A directory that may be written but not read is let be, for it cannot be opened."""
        (tmp_path / "x").mkdir(0o333)
        pid = os.fork()
        if pid == 0:
            try:
                os.chdir(tmp_path / "x")
                with contextlib.suppress(PermissionError):  # only root can become somebody else
                    os.setuid(65534)
                disk.make_directory(Path("y"), sync=True)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)

        assert 0 == status
        assert (tmp_path / "x" / "y").is_dir()
