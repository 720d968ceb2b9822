"""Reading the record of runs, also while they are written.

Each question opens the file for itself and reads in one short transaction.  So a reader keeps
nobody from writing, however long it follows a run, and sees the file that is there now.
"""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from logbatch.capture.stored import Output, Part
from logbatch.errors import DatasetError, TemporaryError
from logbatch.journal.owner import Owner
from logbatch.storage.executions import from_moment, to_moment
from logbatch.storage.sqlite import DamagedError, connect, explaining

RUNNING, ENDED, KILLED, LOST, ELSEWHERE = "running", "ended", "killed", "lost", "elsewhere"
"""What a run can be: `elsewhere` is one of another machine, of which nothing is known."""

_T = TypeVar("_T")

PATIENCE = 10.0  # seconds to wait for a file that another program has locked

_COLUMNS = (
    *("id", "command", "started_at", "ended_at", "exit_code", "stdout_size", "stderr_size"),
    *("output_truncated", "progress", "last_output_at", "host", "pid", "owner"),
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM executions"
_PAGE = 500  # runs that are read at once
_EVERY = 0.2  # seconds between two looks at a run that is followed


class Run(NamedTuple):
    """A run, without its output.

    Attributes:
        id: Its id.
        command: What was run.
        status: `running`, `ended`, `killed` (by a signal), `lost` (whoever wrote it died) or
            `elsewhere` (on another machine, and not known to have ended).
        started_at: When it began, in seconds since 1970.
        ended_at: When it ended; None where it has not, or nobody saw it.
        exit_code: Its exit status, -n where signal n ended it.
        stdout_size: The bytes of what it printed.
        stderr_size: The same for the other stream.
        output_truncated: Whether there is more output than stands in its row.
        progress: The newest text of progress.
        last_output_at: When it printed last.
        host: The machine.
        pid: Its process.
    """

    id: str
    command: str
    status: str
    started_at: float
    ended_at: float | None
    exit_code: int | None
    stdout_size: int
    stderr_size: int
    output_truncated: bool
    progress: str | None
    last_output_at: float | None
    host: str
    pid: int

    @property
    def size(self) -> int:
        """The bytes of all that it printed."""
        return self.stdout_size + self.stderr_size

    @property
    def is_live(self) -> bool:
        """Whether more may come of it."""
        return self.status in (RUNNING, ELSEWHERE)

    @property
    def outcome(self) -> str:
        """What became of it, in a word or two: `running`, `exit 0`, `SIGKILL`, `lost`."""
        return self.signal or (f"exit {self.exit_code}" if self.status == ENDED else self.status)

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it."""
        if self.exit_code is None or self.exit_code >= 0:
            return None
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"


class Runs:
    """The runs in a file, which need not be there yet.

    Each method raises:

        DatasetError: The file cannot be read: it is damaged, or locked for too long.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._here = Owner.this_process()

    def newest(self, limit: int | None = None) -> Iterator[Run]:
        """Yield runs, the newest first.

        Args:
            limit: How many at the most.
        """
        last: tuple[str, str] | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self._page(last, size)
            yield from page
            if len(page) < size:
                return
            last = to_moment(page[-1].started_at), page[-1].id
            left = None if left is None else left - size

    def _page(self, last: tuple[str, str] | None, size: int) -> list[Run]:
        where, values = ("", ()) if last is None else (" WHERE (started_at, id) < (?, ?)", last)
        order = " ORDER BY started_at DESC, id DESC LIMIT ?"
        return self._runs(f"{_SELECT}{where}{order}", *values, size)

    def live(self, limit: int) -> list[Run]:
        """List runs that still go on, the newest first."""
        order = " WHERE ended_at IS NULL ORDER BY started_at DESC LIMIT ?"
        found = self._runs(f"{_SELECT}{order}", max(limit, _PAGE))  # the lost are among them
        return [run for run in found if run.is_live][:limit]

    def count(self, most: int) -> int:
        """Count the runs, up to a number: to count them all takes the longer the more there are."""
        query = "SELECT count(*) FROM (SELECT 1 FROM executions LIMIT ?)"
        return self._ask(lambda it: int(it.execute(query, (most,)).fetchone()[0])) or 0

    def find(self, name: str) -> Run:
        """Return a run.

        Args:
            name: Its id, the beginning of it, or `last`.

        Raises:
            DatasetError: There is none, or more than one.
        """
        if name == "last":
            found = self._page(None, 1)
            if not found:
                raise DatasetError(f"{self._path} holds no runs")
            return found[0]
        found = self._beginning_with(name, 2)
        if not found:
            raise DatasetError(f"{self._path} holds no run {name}")
        if len(found) > 1 and found[0].id != name:
            first, second = found[0].id, found[1].id
            raise DatasetError(f"{name} is the beginning of several runs: {first}, {second}, …")
        return found[0]

    def get(self, run_id: str) -> Run | None:
        """Return a run by its whole id; None where it is not there."""
        found = self._runs(f"{_SELECT} WHERE id = ?", run_id)
        return found[0] if found else None

    def _beginning_with(self, prefix: str, limit: int) -> list[Run]:
        query = f"{_SELECT} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        return self._runs(query, prefix, f"{prefix}\U0010ffff", limit)

    def shorten(self, run_ids: Sequence[str], least: int) -> list[str]:
        """Return of each id the shortest beginning that no other run has.

        Args:
            run_ids: The ids.
            least: How many characters it has at least.
        """
        found = self._ask(lambda it: [_shorten(it, run_id, least) for run_id in run_ids])
        return list(run_ids) if found is None else found

    # -------------------------------------------------------------- output

    def read(
        self, run_id: str, stream: str | None = None, first: int = 0, last: int | None = None
    ) -> Iterator[Part]:
        """Yield the output of a run, in the order in which it came, bit by bit.

        Args:
            run_id: The run.
            stream: `stdout` or `stderr`; None means both.
            first: The place of the first byte.  That of the very first is 0.
            last: The place behind the last byte; None means all that is there.
        """
        while True:
            parts = self._parts(run_id, stream, first, last)
            if not parts:
                return
            yield from parts
            first = parts[-1].end

    def _parts(self, run_id: str, stream: str | None, first: int, last: int | None) -> list[Part]:
        return self._ask(lambda it: Output(it, run_id, stream).read(first, last)) or []

    def follow(
        self,
        run_id: str,
        stream: str | None = None,
        first: int = 0,
        last: int | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> Iterator[Part]:
        """Yield output as `read` does, and what comes until the run ends.

        Args:
            run_id: The run.
            stream: `stdout` or `stderr`; None means both.
            first: The place of the first byte.
            last: The place behind the last byte.
            wait: Waits so many seconds.

        Raises:
            DatasetError: The run is not there any more.
        """
        while True:
            run = self.get(run_id)  # before the rest is read, so that nothing comes behind it
            if run is None:
                raise DatasetError(f"run {run_id} is not in {self._path} any more")
            for part in self.read(run_id, stream, first, last):
                yield part
                first = part.end
            if not run.is_live or (last is not None and first >= last):
                return
            wait(_EVERY)

    def tail(self, run: Run, stream: str | None, lines: int) -> int:
        """Return the place at which the last lines of the output begin."""
        place = {"stdout": run.stdout_size, "stderr": run.stderr_size, None: run.size}[stream]
        left = lines
        is_last = True  # a newline at the very end ends the last line, and begins none
        while part := self._part_before(run.id, stream, place):
            end = len(part.data) - (is_last and part.data.endswith(b"\n"))
            is_last = False
            while left and (at := part.data.rfind(b"\n", 0, end)) >= 0:
                left, end = left - 1, at
            if not left:
                return part.place + end + 1
            place = part.place
        return 0

    def _part_before(self, run_id: str, stream: str | None, place: int) -> Part | None:
        return self._ask(lambda it: Output(it, run_id, stream).read_before(place))

    # -------------------------------------------------------------- asking

    def _runs(self, query: str, *values: Any) -> list[Run]:
        rows = self._ask(lambda it: it.execute(query, values).fetchall())
        return [self._run(row) for row in rows or ()]

    def _run(self, row: tuple[Any, ...]) -> Run:
        found = dict(zip(_COLUMNS, row, strict=True))
        owner = found.pop("owner")
        status = self._status(found["ended_at"], found["exit_code"], owner)
        for name in ("started_at", "ended_at", "last_output_at"):
            found[name] = None if found[name] is None else from_moment(found[name])
        found["output_truncated"] = bool(found["output_truncated"])
        return Run(status=status, **found)

    def _status(self, ended_at: str | None, exit_code: int | None, owner: str | None) -> str:
        if exit_code is not None:
            return KILLED if exit_code < 0 else ENDED
        writer = None if owner is None else Owner.parse(owner.encode())
        if ended_at is not None or writer is None:
            return LOST
        there = self._here.host, self._here.boot, self._here.namespace
        if writer.host != there[0] or (writer.boot == there[1] and writer.namespace != there[2]):
            return ELSEWHERE
        return LOST if writer.gone() else RUNNING

    def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Ask in one transaction; None where there is no file, or no run in it yet."""
        if not self._path.exists():
            return None
        try:
            with (
                explaining(self._path, "read"),
                contextlib.closing(connect(self._path, read_only=True, patience=PATIENCE)) as it,
            ):
                it.execute("BEGIN")
                table = "SELECT 1 FROM sqlite_master WHERE name = 'executions'"
                return question(it) if it.execute(table).fetchone() else None
        except DamagedError as error:
            hint = "the next run sets it aside and begins a new one"
            raise DatasetError(f"{error}; {hint}") from error
        except TemporaryError as error:
            raise DatasetError(str(error)) from error


def _shorten(connection: sqlite3.Connection, run_id: str, least: int) -> str:
    before = "SELECT max(id) FROM executions WHERE id < ?"
    behind = "SELECT min(id) FROM executions WHERE id > ?"
    beside = [connection.execute(each, (run_id,)).fetchone()[0] for each in (before, behind)]
    common = [_common(run_id, other) + 1 for other in beside if other is not None]
    return run_id[: max([least, *common])]


def _common(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
