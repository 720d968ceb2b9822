"""What stands in the folders of a dataset, at this instant and without missing a file.

The ledger is in the names (see `logbatch.storage.segments`); only a growing file must be read to
know what is in it.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import IO, NamedTuple

from logbatch.errors import DatasetError
from logbatch.identity import Ranges
from logbatch.storage.segments import (
    Run,
    Segment,
    list_files,
    list_folders,
    parse_segment,
    scan_growing,
)

JOURNAL = ".journal"
EXTENSIONS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")

_RECORDS = re.compile(r"[^.].*\.(parquet|jsonl|jsonl\.zst|jsonl\.gz)", re.DOTALL)
_BLOCK = 1 << 23  # bytes of a growing file that are looked at in one go


class Vanished(Exception):
    """A file was renamed or removed since it was listed: the listing is out of date."""


NOWHERE = "it is a link to a file that is not there"


def leads_nowhere(path: Path) -> bool:
    """Return whether a name is a link to nothing: it stays, so waiting for it is in vain."""
    return path.is_symlink() and not os.path.exists(path)


class Damaged(Exception):
    """A file cannot be read; it counts as not there.

    Args:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = " ".join(reason.split())
        super().__init__(f"{path}: {self.reason}")


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
    list_directory(directory)
    return list_folders(directory)


def list_directory(directory: Path, hint: str = "") -> list[str]:
    """List the names in a dataset's directory.

    Args:
        directory: The directory.
        hint: Added to the message where there is no directory.

    Raises:
        DatasetError: The directory is not there, or is none, or may not be read.
    """
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        raise DatasetError(f"there is no directory {directory}{hint}") from None
    except NotADirectoryError:
        raise DatasetError(f"{directory} is a file, not a directory") from None
    except OSError as error:
        raise DatasetError(f"cannot read {directory}: {error.strerror}") from None


def find_segment(path: Path) -> Segment | None:
    """Return what a file is by its name; None where it is no segment that can be read."""
    segment = parse_segment(path)
    return segment if segment is not None and segment.ext in EXTENSIONS else None


def find_moved(segment: Segment) -> Segment | None:
    """Find the name that a JSONL file was given since it was listed: rotated, or compressed."""
    for name in list_files(segment.path.parent):
        moved = find_segment(segment.path.with_name(name))
        if moved is not None and moved.ext != "parquet" and moved.last is not None:
            same = (moved.producer, moved.first) == (segment.producer, segment.first)
            if same and segment.last in (None, moved.last):
                return moved
    return None


def is_foreign(path: Path) -> bool:
    """Return whether a name looks like a file of records, but is none of ours."""
    return _RECORDS.fullmatch(path.name) is not None and find_segment(path) is None


def look(path: Path, producer: str, known: Grown | None = None) -> Grown:
    """Find what a growing file holds; read only what came since an earlier look.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        same = known and known.inode == status.st_ino and known.stop <= status.st_size
        found = known if known and same else Grown(status.st_ino)
        file.seek(found.stop)
        while block := _read_lines(file, status.st_size - found.stop):
            spans = _spans_of_block(block, producer)
            before, ranges = found.ranges.count(), Ranges([*found.ranges, *spans])
            count = sum(last - first + 1 for first, last in spans)
            plain = count == ranges.count() - before == block.count(b"\n")
            stop = found.stop + len(block)
            found = Grown(status.st_ino, stop, ranges, found.plain and plain)
        return found


def _read_lines(file: IO[bytes], most: int) -> bytes:
    """Read whole lines, some megabytes of them if there are as many."""
    data = file.read(min(most, _BLOCK))
    while data and (stop := data.rfind(b"\n") + 1) == 0:
        more = file.read(min(most - len(data), _BLOCK))
        if not more:
            return b""
        data += more
    if data:
        file.seek(stop - len(data), os.SEEK_CUR)
        return data[:stop]
    return b""


def _spans_of_block(block: bytes, producer: str) -> list[tuple[int, int]]:
    """Find the sequences in whole lines; where all are there, as nearly always, by the edges."""
    lines = block.count(b"\n")
    first = scan_growing([block[: block.find(b"\n") + 1]], producer)
    last = scan_growing([block[block.rfind(b"\n", 0, -1) + 1 :]], producer)
    if first and last and last[0].last - first[0].first == lines - 1 and b"\0" not in block:
        return [(first[0].first, last[0].last)]
    return [(run.first, run.last) for run in scan_growing(io.BytesIO(block), producer)]


def find_runs(data: bytes, producer: str) -> list[Run]:
    """Find the records in whole lines of a JSONL file, fast where they follow one another."""
    lines = data.split(b"\n")[:-1]
    mark = re.escape(_mark(producer))
    found = re.findall(mark + rb"([0-9]{1,18})\}\n", data)
    if len(found) == len(lines) and b"\0" not in data and {line[:1] for line in lines} == {b"{"}:
        first = int(found[0])
        if list(map(int, found)) == list(range(first, first + len(lines))):
            return [Run(first, first + len(lines) - 1, 0, len(data))]
    return scan_growing(io.BytesIO(data), producer)


def cut_identity(data: bytes, producer: str) -> bytes:
    """Take producer and sequence out of the lines of a JSONL file, as they stand in a journal."""
    return re.sub(re.escape(_mark(producer)) + rb"[0-9]+\}\n", b"}\n", data)


def _mark(producer: str) -> bytes:
    return b',"producer":"%b","sequence":' % producer.encode()
