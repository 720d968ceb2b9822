"""What `faulthandler` writes when a process crashes, and how it becomes events.

    <producer>.crash    of a living process: locked, one line that says whose it is
                        of one that crashed: what it was doing, behind that line

It lies beside the journals.  Whoever takes over the journals of dead processes makes one of it,
with the producer of its name.  If that is done twice, because the first one died in the middle, the
same records are published under the same numbers, so they are there once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from logbatch.descriptors import OwnFile
from logbatch.disk import (
    create_file,
    is_left_over,
    make_directory,
    open_file,
    publish,
    sync_directory,
    write_all,
)
from logbatch.events.fields import Event, EventWriter
from logbatch.identity import is_producer, new_producer
from logbatch.journal.names import segment_path, state_path
from logbatch.locks import lock_file

if sys.platform != "win32":
    import fcntl

_ENDING = ".crash"
_MOST = 1 << 18  # bytes of one file that are read
_LIMIT = 1 << 20  # bytes of an event
_HIGH = 500  # from here on descriptors are hardly ever given to what a program opens
_CRITICAL = 50
_FIRST_LINE = re.compile(r"(?m)^(?=(?:Fatal Python error|Windows fatal exception): )")
# What `logbatch run` is below the program that it runs.
_OUR_FRAMES = re.compile(
    r'(?m)^  File "[^"\n]*[/\\]capture[/\\]program\.py", line \d+ in \w+\n(?:  File .*\n)*'
)


class CrashFile:
    """The file that a crash of this process would be told in.

    Args:
        directory: Where journals are.
        about: What is to be said of the process: `service`, `host`, `run_id`.

    Attributes:
        number: Its descriptor.  It is a high one: a program that closes what it does not know, as a
            daemon does, gets low ones again, and a crash must not be told in a file of its own.

    Raises:
        OSError: It cannot be created.
    """

    def __init__(self, directory: Path, about: dict[str, str | None]) -> None:
        make_directory(directory)
        self._path = directory / f"{new_producer()}{_ENDING}"
        temporary = self._path.with_name(f".{self._path.name}.new")
        number = create_file(temporary, append=True)
        try:
            if not lock_file(number):
                raise OSError("files cannot be locked there")
            write_all(number, json.dumps({"pid": os.getpid(), **about}).encode() + b"\n")
            os.rename(temporary, self._path)
            self.number = _lift(number)
        except BaseException:
            os.close(number)
            temporary.unlink(missing_ok=True)
            raise
        self._file = OwnFile(self.number)

    def let_go(self) -> None:
        """Close it in a forked child; it is the parent's."""
        self._file.close()

    def remove(self) -> None:
        """Remove it: this process ends without a crash."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def _lift(number: int) -> int:
    """Exchange a descriptor for one with a high number, if there may be so many."""
    try:
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:
        return number
    os.close(number)
    return high


def find_crashes(directory: Path) -> list[Path]:
    """Find the files that are there, those of living processes too."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(directory) if name.endswith(_ENDING)]
        return [directory / name for name in names if is_producer(name.removesuffix(_ENDING))]
    return []


def collect_crashes(directory: Path) -> None:
    """Make journals of what processes that crashed have left, and remove what others left.

    Raises:
        OSError: One of them cannot be made; the file stays.
    """
    for path in find_crashes(directory):
        with _locked(path) as text:
            if text is None:
                continue
            producer = path.name.removesuffix(_ENDING)
            lines = list(_read_events(text, os.stat(path).st_mtime))
            journal = segment_path(directory, producer, 0)
            taken_over = journal.exists() or state_path(directory, producer).exists()
            if lines and not taken_over:
                publish(journal, lines)
                sync_directory(directory)
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for path in directory.glob(f".*{_ENDING}.new"):
            if is_left_over(path):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[str | None]:
    """Lock the file of a dead process and read it; None where its process lives, or others did."""
    try:
        number = open_file(path)
    except OSError:
        yield None
        return
    try:
        if lock_file(number) and OwnFile(number).is_named(path):
            yield os.pread(number, _MOST, 0).decode(errors="backslashreplace")
        else:
            yield None
    finally:
        os.close(number)


def _read_events(text: str, time: float) -> Iterator[bytes]:
    """Make a line of each crash that a file tells of: of a process, and of others by its name."""
    header, _, told = text.partition("\n")
    about = _read_header(header)
    write = EventWriter(about.get("service"), about.get("host"), _LIMIT).line
    for dump in _FIRST_LINE.split(_OUR_FRAMES.sub("", told)):
        if dump.strip():
            run_id = about.get("run_id")
            yield write(
                Event(
                    timestamp=datetime.fromtimestamp(time, UTC),
                    level="CRITICAL",
                    levelno=_CRITICAL,
                    logger="run",
                    message=dump.strip().partition("\n")[0],
                    stacktrace=dump.strip(),
                    process=about.get("pid"),
                    attributes={"run_id": run_id} if run_id else None,
                )
            )


def _read_header(line: str) -> dict[str, Any]:
    try:
        about = json.loads(line)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
