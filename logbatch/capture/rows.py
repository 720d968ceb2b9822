"""The raw output of one run on its way from the spool into the record of runs.

Rows are written after a second, 100 lines or 10 kB, whichever comes first, and at once where there
is progress.  Where the record cannot be written, what it was to have waits in the spool, and is
tried again; events do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logbatch.capture.chunk import Chunk
from logbatch.errors import TemporaryError
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Execution, Executions
from logbatch.storage.sqlite import PATIENCE, DamagedError, LockedError

_EVERY = 1.0  # seconds that output waits for its row
_BYTES = 10_000  # bytes that do not wait
_LINES = 100  # lines that do not
_PROGRESS_EVERY = 0.1  # seconds
_RETRY = 0.25  # seconds until a row is tried again
_HASTE = 0.1  # seconds that events wait for others who write to the record


class Rows:
    """The rows of one run.  It belongs to one thread.

    Args:
        executions: Where they go.
        run: The run.
        owner: The process that runs it; None for this one.
        read: Reads pieces of the spool from a position on; None where rows have no output.
        report: Called (kind, text) where something goes wrong.

    Attributes:
        at: The position in the spool up to which output is stored.
    """

    def __init__(
        self,
        executions: Executions,
        run: Execution,
        owner: Owner | None,
        read: Callable[[int], Sequence[Chunk]] | None,
        report: Callable[[str, str], object],
    ) -> None:
        self.at = 0
        self._executions = executions
        self._run = run
        self._owner = owner
        self._read = read
        self._report = report
        self._has_begun = False
        self._progress: str | None = None  # that is stored
        self._lines = 0  # that were there when rows were written last
        self._tried = 0.0  # when that was, in seconds since the epoch
        self._fails: float | None = None  # since when
        self._is_new = False  # whether the record was set aside at the last try, and begins anew

    def waits(self, end: int, progress: str | None) -> bool:
        """Return whether there is something to write.

        Args:
            end: The position in the spool up to which there is output.
            progress: The newest text of progress.
        """
        news = not self._has_begun or self._progress != progress
        return news or (self._read is not None and self.at < end)

    def are_due(self, now: float, end: int, progress: str | None, lines: int) -> bool:
        """Return whether it is time to write.

        Args:
            now: Seconds since the epoch.
            end: As for `waits`.
            progress: As for `waits`.
            lines: How many there are.
        """
        waited = now - self._tried
        if self._fails is not None and 0 <= waited < _RETRY:
            return False
        news = not self._has_begun or self._progress != progress
        if news and not 0 <= waited < _PROGRESS_EVERY:
            return True
        waiting = end - self.at if self._read is not None else 0
        return waiting > 0 and (
            waiting >= _BYTES or lines - self._lines >= _LINES or not 0 <= waited < _EVERY
        )

    def take(self, now: float, progress: str | None, lines: int, patience: float = _HASTE) -> bool:
        """Store a piece of the spool; return whether there was one, and it is stored."""
        chunks = self._read(self.at) if self._read is not None else []
        self._tried = now
        self._executions.patience = patience
        try:
            if not self._has_begun:
                self._executions.begin(self._run, self._owner)
                self._has_begun = True
            if chunks or progress != self._progress:
                self._executions.append(self._run.id, chunks, progress)
        except TemporaryError as error:
            self._note_failure(error, now, patience)
            return False
        self._fails = None
        self._progress = progress
        self._lines = lines
        if chunks:
            self.at = chunks[-1].end
        return bool(chunks)

    def _note_failure(self, error: TemporaryError, now: float, patience: float) -> None:
        """Say it, unless others have only written for a moment."""
        self._is_new = isinstance(error, DamagedError)
        if self._fails is None:
            self._fails = now
        takes_long = patience >= PATIENCE or not 0 <= now - self._fails < PATIENCE
        if takes_long or not isinstance(error, LockedError):
            self._report("runs", f"{error}; it is tried again")

    def finish(self, end: float, exit_code: int | None, progress: str | None, lines: int) -> bool:
        """Store what is left, and how the run ended; return whether that went through.

        Args:
            end: When it ended.
            exit_code: Its exit status; None where nobody knows.
            progress: The newest text of progress.
            lines: How many there are.
        """
        self._is_new = False
        done = self._finish(end, exit_code, progress, lines)
        if not done and self._is_new:
            done = self._finish(end, exit_code, progress, lines)
        return done

    def _finish(self, end: float, exit_code: int | None, progress: str | None, lines: int) -> bool:
        while self.take(end, progress, lines, PATIENCE):
            pass
        if self._fails is not None:
            return False
        try:
            self._executions.finish(self._run.id, ended_at=end, exit_code=exit_code)
        except TemporaryError as error:
            self._is_new = isinstance(error, DamagedError)
            self._report("runs", str(error))
            return False
        return True
