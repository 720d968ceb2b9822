"""JSON Lines files: one growing file for each producer and day, rotated by size and age.

    <path>/date=2026-11-21/<producer>-<first>.jsonl                   growing
    <path>/date=2026-11-21/<producer>-<first>-<last>.jsonl[.zst|.gz]  rotated: by size, by age, at
                                                                      the end of the day, by close()

A line is the event's own with `producer` and `sequence` at its end.  `send` returns when its lines
are on the disk.  A write that fails, however far it came, is taken back, so that no torn line is
left for the next one to be glued to.

One process writes a file, and holds a lock on it.  What a process that died left growing is cut
behind its last whole line and gets its final name as soon as somebody takes over its journal.  Of a
file that is damaged in its middle, as after a power cut, the whole lines are copied, and it is put
aside as `.damaged-<producer>-<first>`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from logbatch.disk import SyncError, open_file, publish, read_blocks, sync_directory, sync_file
from logbatch.identity import SegmentName
from logbatch.locks import lock_file
from logbatch.options import choice
from logbatch.storage.folders import changing
from logbatch.storage.segments import (
    Run,
    Segment,
    day_name,
    list_segments,
    scan_growing,
)
from logbatch.transports.base import Batch
from logbatch.transports.compress import COMPRESSIONS, LIBRARIES, compress_file
from logbatch.transports.directory import DirectoryTransport
from logbatch.transports.growing import GrowingFile, measure

_COMPRESSION = choice(*COMPRESSIONS, "none")


class JsonlTransport(DirectoryTransport):
    """Appends batches to JSON Lines files.

    Args:
        path: The directory; `~` is the home directory, a relative one is resolved now.  It is made
            by the first batch.
        rotate_bytes: Size that a file does not exceed, unless by a single batch.
        rotate_seconds: Age from which on the next batch goes into another file.
        compression: `"zstd"` or `"gzip"` compresses files when they are rotated; `"none"` does not.
        retain_age: How old records may become, `"14d"`; older files are removed.  None keeps them.
        retain_bytes: What all files may take of the disk, `"5GB"`; the oldest are removed.

    Attributes:
        clock: Seconds that only go forward, for the age of files.
        open_files: Files that are open at one time; of more producers the one that sent longest
            ago is rotated.
        idle_seconds: Seconds after which the file of a producer that sends no more is rotated.

    Raises:
        ValueError: An option is out of range.
    """

    kind = "jsonl"
    defaults: ClassVar[Mapping[str, Any]] = {
        "flush_interval": 1.0,
        "max_batch_size": 100_000,
        "max_batch_bytes": 16 << 20,
    }

    def __init__(
        self,
        path: str | os.PathLike[str],
        rotate_bytes: int = 128 << 20,
        rotate_seconds: float = 86_400,
        compression: str = "none",
        retain_age: str | float | None = None,
        retain_bytes: str | int | None = None,
    ) -> None:
        super().__init__(path, retain_age, retain_bytes)
        self.clock: Callable[[], float] = time.monotonic
        self.open_files = 8
        self.idle_seconds = 60.0
        self._rotate_bytes = _check_number("rotate_bytes", rotate_bytes, "bytes")
        self._rotate_seconds = _check_number("rotate_seconds", rotate_seconds, "seconds")
        self._compression = _COMPRESSION("compression", compression or "none")
        self._files: dict[str, GrowingFile] = {}  # by producer, the one used last at the end

    def import_libraries(self) -> None:
        if self._compression in LIBRARIES:
            import_module(LIBRARIES[self._compression])

    def send(self, batch: Batch) -> None:
        file = self._files.get(batch.producer)
        if file is not None and not file.is_open():
            self._forget(file)
        super().send(batch)

    def rotate_idle(self) -> None:
        """Rotate the files of producers that send no more, without waiting for another's batch.

        Raises:
            TemporaryError: One could not be rotated.
        """
        with self._told_as_temporary("write to"):
            self._retire(self.open_files)
            self._sync_folders()

    def finish_left_over(self) -> None:
        """Rename each file that a process which died left growing to its final name.

        Raises:
            TemporaryError: The directory cannot be read or written now.
        """
        with self._told_as_temporary("write to"):
            for segment in list_segments(self.path):
                if segment.growing and segment.producer not in self._files:
                    self._finish_left_over(segment)
            self._sync_folders()

    def close(self) -> None:
        """Rotate all files."""
        for file in list(self._files.values()):
            with contextlib.suppress(OSError):  # else it keeps its name; nothing is lost
                self._finish(file)
            self._files.pop(file.producer, None)
            file.close()
        with contextlib.suppress(OSError):
            self._sync_folders()

    def after_fork(self) -> None:
        super().after_fork()
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, batch: Batch) -> int:
        file = self._prepare(batch)
        try:
            file.append(batch, self.clock())
            file.changed = self.now()
        except SyncError:
            self._give_up(file)
            raise
        except BaseException:
            if not file.sound:
                self._forget(file)
            raise
        return measure(batch)

    def _find(self, producer: str) -> list[Segment]:
        found = super()._find(producer)
        growing = [each for each in found if each.growing]
        if not growing or producer in self._files:
            return found
        for each in growing:
            self._finish_left_over(each)
        self._sync_folders()
        return super()._find(producer)

    # ------------------------------------------------------------------ files of this process

    def _prepare(self, batch: Batch) -> GrowingFile:
        """Return the file to append to, after rotating those whose time has come."""
        file = self._files.pop(batch.producer, None)
        if file is not None:
            self._files[batch.producer] = file
        self._retire(self.open_files - (file is None), but=file)
        if file is not None and not self._is_due(file, batch):
            return file
        if file is not None:
            self._finish(file)
        with self._changing_folder() as folder:
            path = folder / f"{batch.producer}-{batch.first}.jsonl"
            file = GrowingFile(path, batch.producer, batch.first, self.clock())
        self._files[batch.producer] = file
        return file

    def _retire(self, most: int, *, but: GrowingFile | None = None) -> None:
        """Rotate the files that are idle or too many; the one used last stands at the end."""
        now = self.clock()
        for file in list(self._files.values()):
            idle = now - file.used > self.idle_seconds
            if file is but or (len(self._files) <= most and not idle):
                break
            self._finish(file)

    def _is_due(self, file: GrowingFile, batch: Batch) -> bool:
        now = self.now()
        return (
            file.next != batch.first
            or file.path.parent.name != day_name(now)
            or now < file.changed  # set back: a reader looks for old records in old files
            or self.clock() - file.opened >= self._rotate_seconds
            or (file.size > 0 and file.size + measure(batch) > self._rotate_bytes)
            or not file.is_named()
        )

    def _finish(self, file: GrowingFile) -> None:
        """Rename a file to its final name."""
        if file.is_named():  # else somebody removed it, with all that was in it
            with changing(file.path.parent):
                if file.next == file.first:
                    os.unlink(file.path)
                else:
                    self._rename(file.path, file.producer, file.first, file.next - 1)
        del self._files[file.producer]
        file.close()

    def _rename(self, path: Path, producer: str, first: int, last: int) -> None:
        final = path.with_name(_name(producer, first, last))
        os.rename(path, final)
        self._unsynced.add(final.parent)
        if self._compression != "none":
            with contextlib.suppress(OSError):  # it may as well stay as it is
                compress_file(final, self._compression)

    def _give_up(self, file: GrowingFile) -> None:
        """Copy what is safe into a fresh file: the pages of one whose fsync failed are not."""
        with contextlib.suppress(OSError), changing(file.path.parent):
            file.take_back()
            if file.size:
                safe = file.path.with_name(_name(file.producer, file.first, file.next - 1))
                publish(safe, read_blocks(file.path, 0, file.size))
                self._unsynced.add(file.path.parent)
            os.unlink(file.path)
        self._forget(file)

    def _forget(self, file: GrowingFile) -> None:
        """Let go of a file; the next batch looks at what is on the disk."""
        del self._files[file.producer]
        self._known.pop(file.producer, None)
        file.close()

    # ------------------------------------------------------------------ files left by others

    def _finish_left_over(self, segment: Segment) -> None:
        """Rename a file whose process died to its final name."""
        with contextlib.suppress(FileNotFoundError), changing(segment.path.parent):
            descriptor = open_file(segment.path, os.O_RDWR)
            with open(descriptor, "rb+") as file:
                if not lock_file(descriptor):
                    return  # a child of that process still has it, or there are no locks
                self._repair(segment, scan_growing(file, segment.producer), descriptor)

    def _repair(self, segment: Segment, runs: list[Run], descriptor: int) -> None:
        """Cut a torn line off; where more is wrong, copy what is whole and put the rest aside."""
        path, end = segment.path, runs[-1].end if runs else 0
        torn = b"".join(read_blocks(path, end, os.fstat(descriptor).st_size))
        if b"\n" in torn or len(runs) > 1 or not all(_begins(run, segment) for run in runs):
            self._put_aside(segment, runs)
        elif runs:
            os.ftruncate(descriptor, end)
            sync_file(descriptor)
            self._rename(path, segment.producer, segment.first, runs[0].last)
        else:
            os.unlink(path)
        self._unsynced.add(path.parent)

    def _put_aside(self, segment: Segment, runs: list[Run]) -> None:
        path = segment.path
        # The one that begins like the file comes last: from then on the file does not count.
        for run in reversed(runs):
            whole = path.with_name(_name(segment.producer, run.first, run.last))
            publish(whole, read_blocks(path, run.start, run.end))
        sync_directory(path.parent)
        os.rename(path, path.with_name(f".damaged-{path.stem}"))


def _begins(run: Run, segment: Segment) -> bool:
    return (run.first, run.start) == (segment.first, 0)


def _name(producer: str, first: int, last: int) -> str:
    return str(SegmentName(producer, first, last, "jsonl"))


def _check_number(name: str, value: Any, unit: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 1 <= number < 1 << 53:
        raise ValueError(f"{name}={value!r} must be a number of {unit} from 1 on")
    return number
