"""What stands in the folders of a dataset, at this instant and without missing a file.

The ledger is in the names (see `segments`); only a growing file must be read to know what is in it.
"""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from logbatch.dataset.segments import Run, Segment, list_folders, parse_segment, scan_growing
from logbatch.errors import DatasetError
from logbatch.identity import Ranges

JOURNAL = ".journal"
EXTENSIONS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")

_RECORDS = re.compile(r"[^.].*\.(parquet|jsonl|jsonl\.zst|jsonl\.gz)", re.DOTALL)
_SEQUENCE = re.compile(rb'","sequence":([0-9]{1,18})\}\n')
_SETTLED = 2_000_000_000  # nanoseconds; the coarsest clock of a file system ticks every 2 s


class Vanished(Exception):
    """A file was renamed or removed since it was listed: the listing is out of date."""


class Grown(NamedTuple):
    """What a growing file held when it was looked at.

    Attributes:
        inode: Which file it was.
        stop: Bytes up to and with its last newline.
        ranges: The sequences in its whole lines.
        plain: Whether each of them stands there once, in order, and nothing else does.
    """

    inode: int = -1
    stop: int = 0
    ranges: Ranges = Ranges()
    plain: bool = True


def find_folders(directory: Path) -> list[Path]:
    """List the folders of all days, oldest first.

    Raises:
        DatasetError: The directory is not there, or is none, or may not be read.
    """
    try:
        os.scandir(directory).close()
    except FileNotFoundError:
        raise DatasetError(f"there is no directory {directory}") from None
    except NotADirectoryError:
        raise DatasetError(f"{directory} is not a directory") from None
    except OSError as error:
        raise DatasetError(f"{directory} cannot be read: {error.strerror}") from None
    return list_folders(directory)


def list_names(folder: Path) -> set[str]:
    """List the names in a folder; a file that is renamed meanwhile is not missed.

    A listing takes several system calls, and such a file may be met under neither name.  So a
    folder that has changed just now is read twice: the second time finds the new name.
    """
    began = time.time_ns()
    try:
        names = set(os.listdir(folder))
        if os.stat(folder).st_mtime_ns > began - _SETTLED:
            names.update(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return names


def find_segment(path: Path) -> Segment | None:
    """Tell what a file is by its name; None where it is no segment that can be read."""
    segment = parse_segment(path)
    return segment if segment is not None and segment.ext in EXTENSIONS else None


def find_moved(segment: Segment) -> Segment | None:
    """Find the name that a JSONL file was given since it was listed: rotated, or compressed."""
    for name in list_names(segment.path.parent):
        moved = find_segment(segment.path.with_name(name))
        if moved is not None and moved.ext != "parquet" and moved.last is not None:
            same = (moved.producer, moved.first) == (segment.producer, segment.first)
            if same and segment.last in (None, moved.last):
                return moved
    return None


def is_foreign(path: Path) -> bool:
    """Tell whether a name looks like a file of records, but is none of ours."""
    return _RECORDS.fullmatch(path.name) is not None and find_segment(path) is None


def look(path: Path, producer: str, known: Grown | None = None) -> Grown:
    """Find what a growing file holds; read only what came since an earlier look.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        size = os.fstat(file.fileno()).st_size
        before = known if known and known.inode == inode and known.stop <= size else Grown()
        file.seek(before.stop)
        data = file.read(size - before.stop)
    data = data[: data.rfind(b"\n") + 1]
    ranges, count = Ranges(before.ranges), 0
    for run in find_runs(data, producer):
        ranges.add(run.first, run.last)
        count += run.last - run.first + 1
    news = len(ranges) - len(before.ranges)
    plain = before.plain and count == news == data.count(b"\n")
    return Grown(inode, before.stop + len(data), ranges, plain)


def find_runs(data: bytes, producer: str) -> list[Run]:
    """Find the records in whole lines of a JSONL file, fast where they follow one another."""
    lines = data.count(b"\n")
    found = _SEQUENCE.findall(data)
    mark = _mark(producer)
    sound = b"\0" not in data and data[:1] == b"{" and data.count(b"\n{") == lines - 1
    if sound and len(found) == lines == data.count(mark):
        first = int(found[0])
        if list(map(int, found)) == list(range(first, first + lines)):
            return [Run(first, first + lines - 1, 0, len(data))]
    return scan_growing(io.BytesIO(data), producer)


def cut_identity(data: bytes, producer: str) -> bytes:
    """Take producer and sequence out of the lines of a JSONL file, as they stand in a journal."""
    return re.sub(re.escape(_mark(producer)) + rb"[0-9]+\}\n", b"}\n", data)


def _mark(producer: str) -> bytes:
    return b',"producer":"%b","sequence":' % producer.encode()
