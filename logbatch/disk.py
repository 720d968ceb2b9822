"""Files on the disk: private, locked, synced and atomic.

What is created here is readable by this user only, and no link is followed to it.  `publish` makes
a file appear at once and whole.  What becomes of its descriptor: `logbatch.descriptors`.
No descriptor is inherited by a program that is run: `os.open` sees to that (PEP 446).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from logbatch.descriptors import above_streams
from logbatch.locks import lock_file

if sys.platform != "win32":
    pass

STALE = 3600.0  # seconds after which nobody is still about to lock a file

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # else opening a pipe waits for its other end
_BLOCK = 1 << 20
_ZEROS = bytes(1 << 18)
# A directory that cannot be synced: on Windows, on some network file systems, or because it may be
# written but not read.  PostgreSQL ignores the same (`fsync_fname_ext`).
_CANNOT_OPEN = (errno.EACCES, errno.EISDIR)
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


class SyncError(OSError):
    """The fsync of a file failed: what was written since the last one may be lost.

    It must not be tried again on the same file: the kernel has dropped the pages or marked them
    as written, so that the second try succeeds though nothing was.  Write to a fresh file.
    """


# ------------------------------------------------------------------ opening


def create_file(path: Path, *, append: bool = False) -> int:
    """Create a private file and return its descriptor, open to read and write.

    Args:
        path: The file.
        append: Whether each write goes to the end.  `os.pwrite` does not heed its offset then.

    Raises:
        FileExistsError: There is something of this name already, be it a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | (os.O_APPEND if append else 0)
    with above_streams():
        descriptor = os.open(path, flags | _NO_LINK, 0o600)
    _give_away(descriptor, path.parent)
    return descriptor


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file and return its descriptor; with `O_CREAT`, a new one is private.

    Raises:
        OSError: It cannot be opened, or it is a link, a pipe, a directory or the like.
    """
    with above_streams():
        descriptor = os.open(path, flags | _NO_LINK | _NO_WAIT, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "not a regular file")
    return descriptor


def _give_away(descriptor: int, parent: Path) -> None:
    """Give what root has just created to the user whose directory it is in.

    A daemon begins as root and goes on as another user, and root looks after what others wrote:
    that user must be able to write, read and remove what is in the user's own directory.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        status = os.stat(parent)
        if status.st_uid != 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)


# ------------------------------------------------------------------ locks


def is_locked(path: Path) -> bool:
    """Return whether somebody has the lock of a file."""
    try:
        descriptor = open_file(path)
    except OSError:
        return False
    try:
        return not lock_file(descriptor)
    finally:
        os.close(descriptor)


def is_left_over(path: Path) -> bool:
    """Return whether a temporary file was left by a process that died.

    Whoever makes one locks it.  One that is made at this moment may not be locked yet, so it must
    also be old; a time that lies ahead is as good, as the clock may have been set back.
    """
    try:
        descriptor = open_file(path)
    except OSError:
        return False
    try:
        age = abs(time.time() - os.fstat(descriptor).st_mtime)
        return age > STALE and lock_file(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------ reading and writing


def read_blocks(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Read the bytes of a file from `start` to `end`, in blocks.

    Raises:
        OSError: It cannot be read.
    """
    with open(open_file(path), "rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(_BLOCK, end - start))):
            yield block
            start += len(block)


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of it; a full disk may take a part before it says that it is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def allocate(descriptor: int, size: int) -> None:
    """Reserve the blocks of an empty file.

    To touch a mapping of blocks that the disk has no room for is SIGBUS, which kills the process.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for start in range(0, size, len(_ZEROS)):
        write_all(descriptor, _ZEROS[: size - start])


def enlarge(descriptor: int, size: int) -> None:
    """Reserve more blocks for a file, behind what is in it.

    Raises:
        OSError: There is no room, or the system cannot do it.
    """
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    os.posix_fallocate(descriptor, 0, size)


def sync_file(descriptor: int) -> None:
    """Wait until the content of a file is on the disk.

    Raises:
        SyncError: It is not; never call this again for the same file.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncError(error.errno, error.strerror) from error


def append_lines(path: Path, lines: bytes) -> None:
    """Append to a private file, which is created if need be: all of it or, on failure, nothing.

    When this returns, the lines and the name of the file are on the disk.

    Raises:
        OSError: They could not be written.
    """
    try:
        descriptor = create_file(path, append=True)
    except FileExistsError:
        descriptor = open_file(path, os.O_RDWR | os.O_APPEND)
    try:
        end = os.fstat(descriptor).st_size
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            lines = b"\n" + lines  # a line that a crash cut off must not spoil the next one
        try:
            write_all(descriptor, lines)
            sync_file(descriptor)
            sync_directory(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------ publishing


@contextlib.contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[int]:
    """Have a file written that appears at once and whole, in the place of one of this name.

    `sync_directory` is left to the caller.

    Args:
        path: The file.
        sync: Whether it must be on the disk before it gets its name; a power failure may leave an
            empty one otherwise.

    Yields:
        The descriptor of a private temporary file, which is renamed at the end of the block.

    Raises:
        OSError: It could not be written.  Nothing is left behind, as far as that is possible.
    """
    temporary = path.with_name(temporary_name())
    descriptor = create_file(temporary)
    try:
        try:
            lock_file(descriptor)  # so that it is not taken for that of a dead process
            yield descriptor
            if sync:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def publish(path: Path, blocks: Iterable[bytes | memoryview]) -> None:
    """Write a file that appears at once and whole; `sync_directory` is left to the caller.

    Raises:
        OSError: It could not be written.  Nothing is left behind, as far as that is possible.
    """
    with replacing(path) as descriptor:
        for block in blocks:
            write_all(descriptor, block)


def temporary_name() -> str:
    """Make the name of a file that has not got its own yet.

    It begins with a dot and does not end like a file of records, so that no engine's glob finds it.
    """
    return f".part-{os.urandom(8).hex()}.tmp"


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a file which has not got its own yet."""
    return name.startswith(".part-") and name.endswith(".tmp")


# ------------------------------------------------------------------ directories


def make_directory(directory: Path, *, sync: bool = False) -> None:
    """Create a private directory, and those above it.

    Args:
        directory: The directory; if it is there, it stays as it is.
        sync: Whether to wait until the names of those that were created are on the disk.

    Raises:
        OSError: It cannot be created, or something else has its name.
    """
    try:
        _make_one(directory)
    except FileNotFoundError:
        make_directory(directory.parent, sync=sync)
        with contextlib.suppress(FileExistsError):
            _make_one(directory)
    except OSError:  # of one that is there, some systems say EISDIR or EROFS
        if not directory.is_dir():
            raise
        return
    if sync:
        sync_directory(directory.parent)


def _make_one(directory: Path) -> None:
    os.mkdir(directory, 0o700)
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK)
        try:
            # The user may have put another in its place meanwhile; an empty one is no loss.
            if not os.listdir(descriptor) and os.fstat(descriptor).st_uid == 0:
                _give_away(descriptor, directory.parent)
        finally:
            os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk; ignore one that cannot be synced.

    It may be tried again after it failed, unlike `sync_file`: the file system keeps names in a
    journal of its own, and does not forget that it could not write them.

    Raises:
        OSError: They are not.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        if error.errno in _CANNOT_OPEN:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
