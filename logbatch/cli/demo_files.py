"""What `logbatch demo` leaves on the disk, and how that is removed.

A demo marks a directory that was empty before it, and locks the mark while it runs.  Only what is
marked is removed: a directory of other logs, given by mistake, has no mark.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from logbatch.disk import create_file, is_locked, make_directory
from logbatch.errors import DatasetError
from logbatch.locks import lock_file
from logbatch.places import log_path

_PROGRAM = "logbatch-demo"
_MARK = f".{_PROGRAM}"


def new_directory() -> Path:
    """Name a directory among this user's logs that is not there yet."""
    path = _of_all_demos() / f"{datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.partition('.')[0]}.{number}")
    return path


def _of_all_demos() -> Path:
    return log_path(_PROGRAM)


@contextmanager
def in_use(directory: Path) -> Iterator[bool]:
    """Make a directory, and mark it if there is nothing else in it.

    Yields:
        Whether it is marked, so that `clean` will remove it.
    """
    make_directory(directory)
    mark = directory / _MARK
    if not os.listdir(directory):
        os.close(create_file(mark))
    if not mark.exists():
        yield False
        return
    with open(mark, "rb") as file:
        lock_file(file.fileno())
        yield True


def clean(directory: Path | None) -> list[Path]:
    """Remove what demos have left that are not running.

    Args:
        directory: Where one of them has put it; None means all those among this user's logs.

    Returns:
        What was removed.

    Raises:
        DatasetError: This directory is not a demo's.
    """
    if directory is not None:
        if not (directory / _MARK).exists():
            raise DatasetError(f"{directory} was not made by a demo; nothing is removed")
        if is_locked(directory / _MARK):
            raise DatasetError(f"a demo is writing to {directory}; nothing is removed")
        shutil.rmtree(directory)
        return [directory]
    parent = _of_all_demos()
    marks = sorted(parent.glob(f"*/{_MARK}"))
    removed = [mark.parent for mark in marks if not is_locked(mark)]
    for path in removed:
        shutil.rmtree(path)
    with suppress(OSError):  # others are in there, or there is none
        parent.rmdir()
        if parent.parent.name == _PROGRAM:
            parent.parent.rmdir()
    return removed
