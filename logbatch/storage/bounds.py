"""From when to when the records of a file are: read from its footer, or from its lines.

Reading a JSON Lines file takes a while, so it is done in steps: these functions are generators,
which yield now and then and return what they found.  `finish` runs one to its end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from logbatch import forks
from logbatch.disk import open_file
from logbatch.epoch import FIRST, LAST, to_microseconds
from logbatch.storage.line import parse_time


class _Timed(msgspec.Struct):
    timestamp: str


_decode = msgspec.json.Decoder(_Timed).decode
_T = TypeVar("_T")
Steps = Generator[None, None, _T]

_BLOCK = 1 << 18  # bytes of lines that are looked at in one step
_EDGE = 1 << 16  # bytes at the ends of a file in which a line is looked for
_SECONDS = re.compile(
    rb'^\{"timestamp":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:\.[0-9]+)?(?:Z|\+00:00)"',
    re.MULTILINE,
)
_CODECS: dict[str, Literal["zstd", "gzip"]] = {"jsonl.zst": "zstd", "jsonl.gz": "gzip"}


class Bounds(NamedTuple):
    """The times of the oldest and the newest record of a file, in microseconds since 1970.

    Attributes:
        low: Of the oldest.
        high: Of the newest.
        exact: Whether all records were looked at, and not only those at the ends of the file.
        complete: Whether each of these told its time; of a damaged line, or one that another
            program wrote, it may not be known.
    """

    low: int
    high: int
    exact: bool = True
    complete: bool = True


class Unreadable(ValueError):
    """A file does not tell from when its records are: it is damaged, or not of logbatch."""


def finish(steps: Steps[_T]) -> _T:
    """Run steps to their end, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


def estimate(path: Path, ext: str) -> Steps[Bounds]:
    """Find the bounds of a file; those of plain lines from the ends of the file only.

    Raises:
        Unreadable: It holds none.
        OSError: It cannot be read.
    """
    if ext == "parquet":
        return _of_footer(path)
    if ext in _CODECS:
        return (yield from measure(path, ext))
    with open(open_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        times = _Times()
        times.add_end(file.read(_EDGE))
        if size > _EDGE:
            file.seek(max(size - _EDGE, _EDGE))
            times.add_end(file.read().partition(b"\n")[2])
    return times.bounds()._replace(exact=size <= _EDGE)


def measure(path: Path, ext: str) -> Steps[Bounds]:
    """Find the bounds of a file by all that is in it.

    Raises:
        Unreadable: It holds none.
        OSError: It cannot be read.
    """
    if ext == "parquet":
        return _of_footer(path)
    times, rest = _Times(), b""
    for block in _read(path, ext):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        times.add(whole + newline)
        yield
    times.add_end(rest)
    return times.bounds()


def _read(path: Path, ext: str) -> Iterator[bytes]:
    with open(open_file(path), "rb") as file:
        if ext not in _CODECS:
            while block := file.read(_BLOCK):
                yield block
            return
        with forks.holding_off():
            import pyarrow as pa

        try:
            with pa.input_stream(file, compression=_CODECS[ext]) as stream:
                while block := stream.read(_BLOCK):
                    yield block
        except (pa.ArrowException, OSError) as error:
            raise Unreadable(str(error)) from error


class _Times:
    """The times of lines, as far as they tell them."""

    def __init__(self) -> None:
        self._edges: set[int] = set()
        self._complete = True

    def add(self, lines: bytes) -> None:
        """Add whole lines; those of ours begin with their time, others are decoded."""
        seconds = _SECONDS.findall(lines)
        if seconds:
            self._note(_parse(min(seconds).decode()))
            self._note(_parse(max(seconds).decode()), 999_999)
        if len(seconds) < lines.count(b"\n"):
            for line in lines.split(b"\n"):
                if line and not _SECONDS.match(line):
                    self._note(_time_of(line))

    def add_end(self, lines: bytes) -> None:
        """Add lines of which the last may be cut off; it counts where it tells its time."""
        whole, newline, rest = lines.rpartition(b"\n")
        self.add(whole + newline)
        if _SECONDS.match(rest):
            self.add(rest)

    def _note(self, at: int | None, more: int = 0) -> None:
        if at is None:
            self._complete = False
        else:
            self._edges = {min([at, *self._edges]), max([at + more, *self._edges])}

    def bounds(self) -> Bounds:
        """Return what is known.

        Raises:
            Unreadable: That is nothing.
        """
        if not self._edges:
            raise Unreadable("it holds no time")
        return Bounds(min(self._edges), max(self._edges), complete=self._complete)


def _time_of(line: bytes) -> int | None:
    """Return the time of a line that is not as we write it; None where it does not tell it."""
    try:
        text = _decode(line).timestamp
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return _parse(parse_time(text) or "")


def _parse(text: str) -> int | None:
    try:
        return to_microseconds(datetime.fromisoformat(text))
    except ValueError:
        return None


def _of_footer(path: Path) -> Bounds:
    with forks.holding_off():
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        with open(open_file(path), "rb") as file:
            metadata = pq.read_metadata(file)
    except pa.ArrowException as error:
        raise Unreadable(str(error)) from error
    names = metadata.schema.names
    if names[:1] != ["timestamp"] or not {"producer", "sequence"} <= set(names):
        raise Unreadable("it was not written by logbatch")
    if not metadata.num_rows:
        return Bounds(FIRST, FIRST)  # what was in it has been taken out
    times: list[int] = []
    exact = '"microseconds"' in metadata.schema.column(0).logical_type.to_json()
    for group in range(metadata.num_row_groups):
        statistics: Any = metadata.row_group(group).column(0).statistics
        if not exact or statistics is None or not statistics.has_min_max:
            return Bounds(FIRST, LAST)  # nothing is known, so it counts as new
        times += (statistics.min_raw, statistics.max_raw)
    return Bounds(min(times), max(times))
