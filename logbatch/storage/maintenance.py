"""One at a time: who compacts a dataset, or removes what is old, has its maintenance lock.

    <root>/.journal/maintenance.lock        says who has it; the file stays, the lock does not

It is a lock of the system, so it ends with the process, however that ends.  Processes that log
never take it.  Where a file system has no locks, nobody is kept out: then it is up to the user that
only one of these runs at a time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from logbatch.disk import make_directory, open_file, write_all
from logbatch.epoch import to_text
from logbatch.errors import DatasetError
from logbatch.events.context import host_name
from logbatch.locks import lock, unlock

JOURNAL = ".journal"
LOCK = "maintenance.lock"

_SAID = 4096  # bytes that are read of who has the lock


class MaintenanceBusy(DatasetError):
    """Another process compacts the dataset, or removes what is old."""


class _Holder(msgspec.Struct):
    what: str
    pid: int
    host: str
    since: str


@contextlib.contextmanager
def maintaining(root: Path, what: str) -> Iterator[None]:
    """Have the maintenance lock of a dataset.

    Args:
        root: The dataset's directory.
        what: What is being done, for others who would like to do something: `logbatch compact`.

    Raises:
        MaintenanceBusy: Another process has it; nothing is waited for.
        OSError: The lock's file cannot be made.
    """
    journal = root / JOURNAL
    make_directory(journal)
    descriptor = open_file(journal / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        if lock(descriptor) is False:
            raise MaintenanceBusy(f"{root} is busy: {_describe(descriptor)}")
        with contextlib.suppress(OSError):  # it is only what others would be told
            _say(descriptor, what)
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        unlock(descriptor)
        os.close(descriptor)


def _say(descriptor: int, what: str) -> None:
    now = to_text(time.time_ns() // 1000)
    holder = _Holder(what, os.getpid(), host_name(), now)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, msgspec.json.encode(holder) + b"\n")


def _describe(descriptor: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, _SAID, 0), type=_Holder)
    except (OSError, msgspec.MsgspecError, ValueError):  # it is about to say it
        return "another process has its maintenance lock"
    return (
        f"{holder.what} is running there, process {holder.pid} on {holder.host},"
        f" since {holder.since}"
    )
