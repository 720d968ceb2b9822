"""Write records into a file for others: Parquet, CSV or JSON Lines, in the order of time.

A file appears whole or not at all, and none is replaced unless that is asked for.  Memory holds
what overlaps in time, not the records.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.formats import FORMATS, Writer, make_writer
from logbatch.dataset.merge import ordered_tables
from logbatch.dataset.source import Source
from logbatch.disk import (
    create_file,
    is_temporary,
    make_directory,
    sync_directory,
    sync_file,
)
from logbatch.epoch import to_datetime
from logbatch.errors import DatasetError
from logbatch.locks import lock_file

_ENDINGS = {"parquet": "parquet", "csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl"}
_DAY = 86_400_000_000  # microseconds

Tell = Callable[[int], object]


class Exported(NamedTuple):
    """What was written.

    Attributes:
        records: How many records.
        files: Which files.
    """

    records: int
    files: tuple[Path, ...]


class Target(NamedTuple):
    """Where to, and how.

    Attributes:
        path: A file, or a directory that gets a file for each date.
        form: One of `FORMATS`.
        daily: Whether it is a directory.
        force: Whether to replace files that are there.
        exact: Whether texts that look like formulas are left as they are in CSV.
    """

    path: Path
    form: str
    daily: bool
    force: bool = False
    exact: bool = False

    @classmethod
    def build(cls, path: Path, form: str | None, *, force: bool, exact: bool) -> Target:
        """Find out from a path, and a format if one is given, what is meant.

        Raises:
            DatasetError: It cannot be told, or they contradict each other.
        """
        named = _ENDINGS.get(path.suffix.removeprefix(".").lower())
        daily = named is None or path.is_dir()
        if form is not None and form not in FORMATS:
            raise DatasetError(f"format={form!r} must be one of {', '.join(FORMATS)}")
        if daily and form is None:
            raise DatasetError(
                f"{path} ends neither in .parquet nor in .csv or .jsonl: a file needs such an"
                " ending, and a directory needs a format"
            )
        if not daily and form not in (None, named):
            raise DatasetError(f"{path} ends like a file of {named}, and the format is {form}")
        return cls(path, form or named or "", daily, force, exact)


def export(
    source: Source, target: Target, where: Filter, tell: Tell = lambda count: None
) -> Exported:
    """Write records into a file, or into one for each date; see `Dataset.export`.

    Args:
        source: What to read.
        target: Where to.
        where: Which records.
        tell: Told how many records were written so far.

    Raises:
        DatasetError: The directory cannot be read, or a file is there already.
        OSError: It cannot be written.
    """
    check_outside(source.directory, target.path)
    if not target.daily and target.path.exists() and not target.path.is_file():  # a device, a pipe
        with naming(target.path), open(target.path, "wb") as file:
            count = export_to(source, file, target.form, where, exact=target.exact, tell=tell)
        return Exported(count, (target.path,))
    if not target.daily:
        _check_free(target, target.path)
    count, files = 0, _Files(target)
    with files:
        if target.daily:
            files.make_directory()
        for day, table in _by_day(ordered_tables(source, source.snapshot(), where), target.daily):
            files.write(day, table)
            count += len(table)
            tell(count)
        files.publish()
    return Exported(count, tuple(files.published))


def export_to(
    source: Source,
    file: IO[bytes],
    form: str,
    where: Filter,
    *,
    exact: bool = False,
    tell: Tell = lambda count: None,
) -> int:
    """Write records into an open file, such as a pipe; return how many.

    Raises:
        DatasetError: The directory cannot be read.
        OSError: It cannot be written.
    """
    count = 0
    writer = make_writer(file, form, exact=exact)
    for table in ordered_tables(source, source.snapshot(), where):
        writer.write(table)
        count += len(table)
        tell(count)
    writer.close()
    return count


def _by_day(tables: Iterator[pa.Table], daily: bool) -> Iterator[tuple[str, pa.Table]]:
    """Divide tables by the date of their records, if that is wanted."""
    for table in tables:
        if not daily:
            yield "", table
            continue
        at = 0
        for day, rows in groupby(_days(table)):
            length = sum(1 for _ in rows)
            yield f"{to_datetime(day * _DAY):%Y-%m-%d}", table.slice(at, length)
            at += length


def _days(table: pa.Table) -> list[int]:
    times: list[Any] = table.column("timestamp").cast(pa.int64()).to_pylist()
    return [at // _DAY for at in times]


# ------------------------------------------------------------------ files


class _Files:
    """The files that are being written: under temporary names until all of them are whole."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._written: dict[Path, Path] = {}  # the final name -> the temporary one
        self._open: tuple[str, Writer, IO[bytes]] | None = None
        self._made: Path | None = None  # the directory, to be removed where nothing is in it
        self.published: list[Path] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        if self._open is not None:
            with contextlib.suppress(OSError):  # the disk may be full, and what is left is removed
                self._open[2].close()
        for temporary in self._written.values():
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if self._made is not None and not self.published:
            with contextlib.suppress(OSError):
                os.rmdir(self._made)

    def make_directory(self) -> None:
        """Make the directory of daily files, if it is not there."""
        if not self._target.path.exists():
            self._made = self._target.path
        make_directory(self._target.path)

    def write(self, day: str, table: pa.Table) -> None:
        """Write records of a date, which comes after those before it.

        Raises:
            OSError: They cannot be written; it names the file.
        """
        with naming(self._path(day)):
            self._writer(day).write(table)

    def _path(self, day: str) -> Path:
        return self._target.path / f"{day}.{self._target.form}" if day else self._target.path

    def _writer(self, day: str) -> Writer:
        if self._open is None or self._open[0] != day:
            self._finish()
            path = self._path(day)
            _check_free(self._target, path)
            temporary = path.with_name(f".part-{os.urandom(8).hex()}.tmp")
            descriptor = create_file(temporary)
            self._written[path] = temporary
            lock_file(descriptor)
            file = os.fdopen(descriptor, "wb")
            writer = make_writer(file, self._target.form, exact=self._target.exact)
            self._open = day, writer, file
        return self._open[1]

    def _finish(self) -> None:
        if self._open is not None:
            day, writer, file = self._open
            with naming(self._path(day)):
                writer.close()
                file.flush()
                sync_file(file.fileno())
                file.close()
            self._open = None

    def publish(self) -> None:
        """Give all files their names; a single one is there also if there are no records.

        Raises:
            OSError: They could not be written; it names the file.
        """
        if not self._target.daily:
            self._writer("")
        self._finish()
        for path, temporary in list(self._written.items()):
            if self._target.force:
                os.replace(temporary, path)
            else:
                _name(temporary, path)
            del self._written[path]
            self.published.append(path)
        if self.published:
            sync_directory(self.published[0].parent)


def check_outside(directory: Path, path: Path) -> None:
    """Refuse to write among the files that are read: what is written would count as one of them.

    Raises:
        DatasetError: The path is in the directory, or is it.
    """
    root, place = directory.resolve(), path.parent.resolve() / path.name
    if path.is_dir():
        place = path.resolve()
    if root in (place, *place.parents):
        raise DatasetError(
            f"{path} is in {directory}, whose records are read: name a place outside of it, or what"
            " is written there becomes part of the log"
        )


def _check_free(target: Target, path: Path) -> None:
    if not target.force and os.path.lexists(path):
        raise DatasetError(f"{path} is there already; it is replaced only by force (--force)")
    if not path.parent.is_dir():
        raise DatasetError(f"there is no directory {path.parent}")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error say which file it is that cannot be written."""
    try:
        yield
    except OSError as error:
        named = error.filename and not is_temporary(os.path.basename(error.filename))
        if error.errno is None or named:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise DatasetError(f"{path} has come into being meanwhile; it is left as it is") from None
    except OSError:  # there are file systems without hard links
        os.rename(temporary, path)
        return
    os.unlink(temporary)
