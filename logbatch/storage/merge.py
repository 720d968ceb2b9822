"""Merge Parquet files of one producer into one, and finish what a crash interrupted.

    <producer>-0-9.parquet  <producer>-10-19.parquet   ->   <producer>-0-19.parquet

The merged file is written and synced under a temporary name, and gets its own while the folder is
locked; when that name is on the disk, the files it was made of are removed.  So a record is always
in a file that is whole, for a moment in two, and whoever dies in between leaves either a temporary
file or files whose records are in a longer one: `remove_merged` removes those.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from logbatch import forks
from logbatch.disk import (
    create_file,
    open_file,
    sync_directory,
    sync_file,
    temporary_name,
    write_all,
)
from logbatch.identity import Ranges, SegmentName
from logbatch.locks import lock_file
from logbatch.storage.coverage import KEY, Coverage, NoCoverage, encode_coverage, read_coverage
from logbatch.storage.folders import changing
from logbatch.storage.segments import Segment, list_files, segments_of
from logbatch.storage.tiers import File

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 1 << 16  # in a row group
_READ = 1 << 14  # rows that are read at a time
_WRITE = 4 << 20  # bytes that are written and synced at a time


class Unfit(Exception):
    """A file is damaged, or has other columns, and cannot be merged with others.

    Args:
        file: Which one.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        super().__init__(f"{file.first}-{file.last}")


class NoLocks(Exception):
    """The file system has no locks, so that nobody can know who else changes a folder."""


class Format(NamedTuple):
    """How a Parquet file is written.

    Attributes:
        schema: Its columns.
        options: What a `ParquetWriter` is told.
        group_bytes: How much a row group holds before it is encoded, if not a single row is more.
    """

    schema: pa.Schema
    options: Mapping[str, Any]
    group_bytes: int = 16 << 20


class Merge:
    """A merge under way, done step by step.

    Nothing is open between two steps: an application may close all descriptors, and a forked child
    may drop this without touching a file.

    Args:
        folder: Where the files are.
        producer: Whose records they hold.
        files: The files, which follow one another.
        form: How the merged one is written.

    Attributes:
        merged: The file that was made, as soon as it has its name.
    """

    def __init__(self, folder: Path, producer: str, files: Sequence[File], form: Format) -> None:
        self.folder = folder
        self.producer = producer
        self.files = files
        self.merged: File | None = None
        self._form = form
        self._temporary: Path | None = None
        self._steps = self._run()

    def step(self) -> bool:
        """Do some milliseconds of work; return whether there is more to do.

        Raises:
            Unfit: One of the files cannot be merged.
            NoLocks: Nothing can be merged here.
            OSError: The merged file cannot be written, or a file is gone.
        """
        try:
            with forks.holding_off():
                next(self._steps)
        except StopIteration:
            return False
        except BaseException:
            self.give_up()
            raise
        return self.merged is None

    def give_up(self) -> None:
        """Leave the files as they are."""
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)
            self._temporary = None

    def path(self, file: File) -> Path:
        """Return where a file of the producer is."""
        name = SegmentName(self.producer, file.first, file.last, "parquet")
        return self.folder / str(name)

    def _run(self) -> Iterator[None]:
        import pyarrow as pa

        with changing(self.folder) as locked:
            if not locked:
                raise NoLocks
        sink = pa.BufferOutputStream()
        yield from self._encode(sink)
        yield from self._store(memoryview(sink.getvalue()))

    # ------------------------------------------------------------------ in memory

    def _encode(self, sink: pa.BufferOutputStream) -> Iterator[None]:
        import pyarrow.parquet as pq

        group: list[pa.RecordBatch] = []
        rows = size = 0
        with pq.ParquetWriter(sink, self._form.schema, **self._form.options) as writer:
            for batch in self._read():
                full = rows + batch.num_rows > _ROWS or size + batch.nbytes > self._form.group_bytes
                if group and full:
                    self._write_group(writer, group)
                    group, rows, size = [], 0, 0
                    yield
                group.append(batch)
                rows, size = rows + batch.num_rows, size + batch.nbytes
                yield
            self._write_group(writer, group)
            said = encode_coverage(self._coverage()).decode()
            writer.add_key_value_metadata({KEY.decode(): said})
        yield

    def _coverage(self) -> Coverage:
        """Return what the merged file says of itself."""
        spans = tuple((file.first, file.last) for file in self.files)
        return Coverage({self.producer: Ranges(spans)}, merged=spans)

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for file in self.files:
            with open(open_file(self.path(file)), "rb") as opened:
                content = opened.read()
            try:
                with pq.ParquetFile(pa.BufferReader(content)) as found:
                    if found.metadata.num_rows != file.rows:
                        raise Unfit(file)
                    if not found.schema_arrow.equals(self._form.schema):
                        raise Unfit(file)
                    yield from found.iter_batches(_READ, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise Unfit(file) from error

    def _write_group(self, writer: pq.ParquetWriter, group: Sequence[pa.RecordBatch]) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(group, self._form.schema)
        writer.write_table(table, row_group_size=max(len(table), 1))

    # ------------------------------------------------------------------ on the disk

    def _store(self, content: memoryview) -> Iterator[None]:
        self._temporary = temporary = self.folder / temporary_name()
        os.close(create_file(temporary))
        for start in range(0, len(content), _WRITE):
            stop = start + _WRITE
            descriptor = open_file(temporary, os.O_RDWR | os.O_APPEND)
            try:
                lock_file(descriptor)  # so that it is not taken for that of a dead process
                if os.fstat(descriptor).st_size != start:
                    raise OSError(errno.EIO, "another program has written to it")
                write_all(descriptor, content[start:stop])
                if stop >= len(content):
                    self._date(descriptor)
                sync_file(descriptor)
                if stop >= len(content):
                    self._publish(temporary, len(content))
            finally:
                os.close(descriptor)
            if stop < len(content):
                yield

    def _date(self, descriptor: int) -> None:
        """Give the merged file the time of the newest it is made of.

        Readers guess from it how new its records can be.
        """
        newest = max(os.stat(self.path(file)).st_mtime_ns for file in self.files)
        os.utime(descriptor, ns=(newest, newest))

    def _publish(self, temporary: Path, size: int) -> None:
        """Give the merged file its name, and remove those that it was made of."""
        paths = [self.path(file) for file in self.files]
        merged = File(self.files[0].first, self.files[-1].last, size)
        with changing(self.folder) as locked:
            if not locked:
                raise NoLocks
            for path in paths:  # somebody may have moved its records into yet another file
                os.stat(path)
            os.rename(temporary, self.path(merged))
            self._temporary, self.merged = None, merged
            sync_directory(self.folder)
            _remove(paths)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


# ------------------------------------------------------------------ after a crash


def remove_merged(folder: Path) -> None:
    """Remove files that were merged into a longer one, as a crash leaves them beside it."""
    with contextlib.suppress(OSError):
        for longer, others in _find_merged(folder):
            if not (_was_merged(longer) and _is_whole(longer)):
                continue
            with changing(folder) as locked:
                if locked and longer.path.exists():
                    sync_directory(folder)  # its name may not be on the disk yet
                    _remove(other.path for other in others)


def _find_merged(folder: Path) -> list[tuple[Segment, list[Segment]]]:
    """List files, each with those whose records it holds as well."""
    found: list[tuple[Segment, list[Segment]]] = []
    segments = [s for s in segments_of(folder, list_files(folder)) if _is_merged(s)]
    for segment in sorted(segments, key=lambda s: (s.producer, s.first, -_last(s))):
        if found and _holds(found[-1][0], segment):
            found[-1][1].append(segment)
        else:
            found.append((segment, []))
    return [(longer, others) for longer, others in found if others]


def _is_merged(segment: Segment) -> bool:
    return segment.ext == "parquet" and segment.last is not None


def _last(segment: Segment) -> int:
    return -1 if segment.last is None else segment.last


def _holds(longer: Segment, other: Segment) -> bool:
    return longer.producer == other.producer and _last(other) <= _last(longer)


def _is_whole(segment: Segment) -> bool:
    with forks.holding_off():  # it may be the first thing that a flusher needs of Arrow
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        rows = pq.read_metadata(segment.path).num_rows
    except (pa.ArrowException, OSError):
        return False
    return rows == _last(segment) - segment.first + 1


def _was_merged(segment: Segment) -> bool:
    try:
        return bool(read_coverage(segment.path).merged)
    except (NoCoverage, OSError):
        return False
