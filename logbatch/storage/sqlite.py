"""SQLite files: private, shared with other processes, and never used across a fork.

SQLite keeps in memory which locks a process has on a file.  A forked child inherits that memory but
not the locks: a connection that was open at the fork makes every later one of the child believe in
locks that are not there, and its records may go into a file that another process removes.  So a
connection is opened for one piece of work and closed behind it, and forks wait for its end:
`writing` does that, in one transaction.  Where a fork comes all the same (it waits some seconds
only, and C code asks nobody), the child does not touch the file: its records stay in its journal.

The file is in WAL mode, so that others read while one writes; where the file system cannot do that
(it needs memory shared between processes), it has a rollback journal, and readers wait.

Whoever writes holds the lock of the folder, shared (`storage.folders`); whoever sets a damaged file
aside holds it alone, so that nobody of us is at work on the file while it gets another name.

Source: https://sqlite.org/howtocorrupt.html, 2.2 to 2.6
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from logbatch.disk import create_file, make_directory, sync_directory, temporary_name
from logbatch.errors import TemporaryError
from logbatch.forks import call_in_child, holding_off, notice
from logbatch.native import sleep
from logbatch.storage.folders import changing

PATIENCE = 2.0  # seconds to wait for others who write
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite puts beside a file, by the ends of the names

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_SHARED_MEMORY = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}
_NO_WRITING = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR}
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_SHRINK = "PRAGMA auto_vacuum=INCREMENTAL"  # heeded in a file that holds nothing yet
_LOOK = "SELECT 1 FROM sqlite_master"  # something that reads
_SLICE = 0.05  # seconds of waiting in which forks by other threads have to wait, too
_PAUSE = 0.005  # seconds between two slices
_REASONS = {
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR_SHMSIZE: "the disk is full",
}

File = tuple[int, int]
"""What tells a file from another one that has its name: its device and its inode."""


class LockedError(TemporaryError):
    """Another program has locked the file; it will be free again."""


class DamagedError(TemporaryError):
    """The file is damaged, or is none of SQLite.

    Args:
        message: What is wrong.
        file: Which file it was; None where it is not there any more.
    """

    def __init__(self, message: str, file: File | None = None) -> None:
        super().__init__(message)
        self.file = file


class _Connection(sqlite3.Connection):
    """A connection of which a forked child finds that it was open.

    Attributes:
        path: Of the file.
    """

    path: str | None = None

    def close(self) -> None:
        _open_now.discard(self)
        super().close()


_open_now: weakref.WeakSet[_Connection] = weakref.WeakSet()
_inherited: dict[str, _Connection] = {}  # never closed: that may remove what others write to


def _note_inherited() -> None:
    _inherited.update({str(each.path): each for each in _open_now})
    _open_now.clear()


call_in_child(_note_inherited)


# ------------------------------------------------------------------ opening


def connect(
    path: Path, *, read_only: bool = False, patience: float = PATIENCE
) -> sqlite3.Connection:
    """Open a SQLite file; to write, it is created if need be, as is the folder it is in.

    The connection is in autocommit mode.  It must be closed before this process forks: see
    `writing`, and `forks.holding_off`.

    Args:
        path: The file.
        read_only: Whether it is only read; then it must be there.
        patience: Seconds that each statement waits for others.

    Raises:
        TemporaryError: It was open when this process was forked, and must not be used here.
        sqlite3.Error: It cannot be opened; `explaining` makes plain words of it.
        OSError: It is a link, a directory or the like, or cannot be created.
    """
    notice()  # if this is a forked child, and nobody has told Python
    path = Path(os.path.abspath(path))
    if str(path) in _inherited:
        raise TemporaryError(f"{path} was being written when this process was forked from another")
    if not read_only:
        _create(path)
    _check(path)
    if read_only:
        return _open_to_read(path, patience)
    try:
        return _open_to_write(path, patience, _share)
    except sqlite3.OperationalError as error:
        if _code(error) not in _NO_SHARED_MEMORY:
            raise
    return _open_to_write(path, patience, _do_not_share)


def _open_to_write(
    path: Path, patience: float, prepare: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    connection = _open(path, "mode=rw", patience)
    try:
        prepare(connection)
        connection.execute("PRAGMA synchronous=FULL")  # a transaction is on the disk when it ends
        return connection
    except BaseException:
        connection.close()
        raise


def _open(path: Path, mode: str, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?{mode}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,  # the thread that delivers may be another one next time
        factory=_Connection,
    )
    connection.path = str(path)
    _open_now.add(connection)
    return connection


def _open_to_read(path: Path, patience: float) -> sqlite3.Connection:
    connection = _open(path, "mode=ro", patience)
    try:
        connection.execute(_LOOK).fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        # In WAL mode a reader, too, writes beside the file.  Where it may not, nobody else can.
        if _code(error) not in _NO_WRITING or os.path.lexists(f"{path}-wal"):
            raise
        return _open(path, "immutable=1", patience)
    except BaseException:
        connection.close()
        raise


def _share(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode, which needs memory that is shared between processes."""
    connection.execute(_SHRINK)
    connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute(_LOOK).fetchone()


def _do_not_share(connection: sqlite3.Connection) -> None:
    """Switch to a journal that needs no such memory, also if the file was in WAL mode before."""
    connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchone()
    connection.execute(_SHRINK)
    connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    connection.execute("PRAGMA locking_mode=NORMAL").fetchone()
    connection.execute(_LOOK).fetchone()  # only this lets go of it


def _create(path: Path) -> None:
    """Create an empty file, private; what SQLite puts beside it is as private as the file is.

    It gets its name when it is closed: to close a file ends all locks that this process has on it,
    also those of another connection.
    """
    if os.path.lexists(path):
        return
    make_directory(path.parent, sync=True)
    temporary = path.with_name(temporary_name())
    os.close(create_file(temporary))
    try:
        os.link(temporary, path)
    except FileExistsError:
        return  # another process was faster
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileExistsError):
            os.close(create_file(path))
    finally:
        os.unlink(temporary)
    sync_directory(path.parent)


def _check(path: Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISREG(mode):
        what = "a link" if stat.S_ISLNK(mode) else "no regular file"
        raise OSError(errno.ELOOP, f"it is {what}; name the file itself")


# ------------------------------------------------------------------ writing


@contextlib.contextmanager
def writing(path: Path, *, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
    """Have a connection for one transaction, which is on the disk when the block ends.

    Forks by other threads wait for the end of the block, so it should take a second at the most.

    Args:
        path: The file; it is created if need be.
        patience: Seconds to wait for others.

    Raises:
        LockedError: Another program has locked the file.  Nothing was written.
        DamagedError: The file was damaged.  It has been set aside, and a new one will be begun.
        TemporaryError: It could not be written: the disk is full, read-only or away.
    """
    try:
        with (
            explaining(path, "write to"),
            _in_its_folder(path, patience),
            contextlib.ExitStack() as stack,
        ):
            connection = _begin(path, patience, stack)
            yield connection
            connection.execute("COMMIT")
    except DamagedError as error:
        aside = set_aside(path, error.file)
        fate = f"it is set aside as {aside.name}" if aside else "another process has set it aside"
        raise DamagedError(f"{error}; {fate}, and a new one is begun") from error


def _begin(path: Path, patience: float, stack: contextlib.ExitStack) -> sqlite3.Connection:
    """Begin a transaction; forks are held off, but not all the time while it is waited for."""
    deadline = time.monotonic() + patience
    while True:
        try:
            stack.enter_context(holding_off())
            wait = min(patience, _SLICE)
            connection = stack.enter_context(contextlib.closing(connect(path, patience=wait)))
            connection.execute("BEGIN IMMEDIATE")
            return connection
        except sqlite3.OperationalError as error:
            stack.close()
            if _code(error) not in _LOCKED or time.monotonic() >= deadline:
                raise
        sleep(_PAUSE)


@contextlib.contextmanager
def _in_its_folder(path: Path, patience: float) -> Iterator[None]:
    make_directory(path.parent, sync=True)
    with changing(path.parent, patience=patience):
        yield


@contextlib.contextmanager
def explaining(path: Path, what: str) -> Iterator[None]:
    """Have what goes wrong with a file said in plain words.

    Args:
        path: The file.
        what: What is done with it: "write to", "read".

    Raises:
        LockedError: Another program has locked it.
        DamagedError: It is damaged.
        TemporaryError: Something else of the system's is in the way.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = _code(error)
        if code is None:  # a mistake in the program
            raise
        exactly = getattr(error, "sqlite_errorcode", code)
        reason = _REASONS.get(exactly) or _REASONS.get(code) or error
        text = f"cannot {what} {path}: {reason}"
        if code in _DAMAGED:
            raise DamagedError(f"{path} is damaged ({error})", _identify(path)) from error
        raise (LockedError if code in _LOCKED else TemporaryError)(text) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TemporaryError(f"cannot {what} {path}: {reason}") from error


def _code(error: sqlite3.Error) -> int | None:
    """Return SQLite's number of an error; None where it comes of the Python module."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF  # the rest of it tells where


# ------------------------------------------------------------------ damaged files


def set_aside(path: Path, file: File | None) -> Path | None:
    """Give a damaged file another name, `<name>.damaged-<time>`, with what is beside it.

    Args:
        path: The file.
        file: Which one it was when it was found damaged.

    Returns:
        Its new path; None where it is another file by now, as another process was faster.

    Raises:
        TemporaryError: It cannot be renamed now.
    """
    with explaining(path, "set aside"), changing(path.parent, alone=True):
        if file is None or _identify(path) != file:
            return None
        aside = _free_name(path)
        # The file comes last: what is left beside a new one would be taken for a part of it.
        for end in (*BESIDE, ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{end}", f"{aside}{end}")
        sync_directory(path.parent)
        return aside


def _free_name(path: Path) -> Path:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, number = f"{path.name}.damaged-{moment}", 1
    while os.path.lexists(path.with_name(name)):
        number += 1
        name = f"{path.name}.damaged-{moment}-{number}"
    return path.with_name(name)


def _identify(path: Path) -> File | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
