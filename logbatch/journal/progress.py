"""How far a journal has come, in memory and in its state file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from logbatch.disk import make_directory
from logbatch.journal.names import state_path
from logbatch.journal.reports import Reports
from logbatch.journal.state import Position, Slot, StateFile


class Progress:
    """How far a journal is settled, and the file from which the next process knows it.

    Everything is written under the journal's lock, and read by anybody.  A signal handler may run
    in the middle of any of this and do it as well, so each change is a single store.

    Args:
        directory: Where the state file goes; None keeps everything in memory.
        producer: Whose journal it is.
        power: Whether the names of new directories must be on the disk.
        reports: Where trouble is noted.

    Attributes:
        settled: The first line that is not settled.  It only moves forward; written by the thread
            that delivers.
        sending: Behind the batch that is being sent; not behind `settled` means that none is.
            Written by the thread that delivers.
        following: Where the lines go on behind those that were dropped; before `settled` where
            none were.  It only moves forward; written by whoever drops.
    """

    def __init__(
        self, directory: Path | None, producer: str, reports: Reports, *, power: bool
    ) -> None:
        self.settled = self.sending = self.following = Position()
        self._directory = directory
        self._producer = producer
        self._power = power
        self._reports = reports
        self._file: StateFile | None = None
        self._closed = False

    def resume(self, file: StateFile) -> None:
        """Continue from the state file of a process that died."""
        self._file = file
        self.settled, self.sending = file.slot.settled, file.slot.sending
        self.following = file.slot.following

    def _slot(self, *, closed: bool = False) -> Slot:
        settled = self.settled
        return Slot(0, settled, max(self.sending, settled), self.following, closed)

    def ensure_file(self) -> None:
        """Create the state file, before the first segment and where somebody has removed it.

        Raises:
            OSError: It cannot be created.
        """
        if self._closed or self._directory is None:
            # Closed from within this, by a signal handler; or this goes on in a forked child.
            raise OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN))
        if self._file is not None and self._file.is_named():
            if not self._file.is_whole():
                self._file.own()
                self._file.write(self._slot())
            return
        make_directory(self._directory, sync=self._power)
        self._replace(None)
        created = StateFile.create(state_path(self._directory, self._producer), self._slot())
        self._replace(created)  # perhaps of one that was created from within this

    def _replace(self, file: StateFile | None) -> None:
        replaced, self._file = self._file, file
        if replaced is not None:
            replaced.close(remove=False)

    def save(self, *, closed: bool = False) -> None:
        """Write to the state file how far the journal has come; call it under the lock.

        Args:
            closed: Whether the journal is left to others though this process lives.
        """
        file = self._file
        while file is not None:
            slot = self._slot(closed=closed)
            try:
                file.write(slot)
            except OSError as error:
                self._note(error)
                return
            # Another may have been written from within this, which ours then has replaced.
            if slot == self._slot(closed=closed):
                return

    def sync(self) -> None:
        """Wait until what was saved is on the disk; call it without the lock, for it takes long."""
        file = self._file
        try:
            if file is not None:
                file.sync()
        except OSError as error:
            self._note(error)

    def is_gone(self) -> bool:
        """Return whether somebody has removed the state file, or cut it off."""
        file = self._file
        return file is not None and not (file.is_named() and file.is_whole())

    def owner(self) -> int | None:
        """Return the user that the journal's files belong to; None where there are none."""
        return None if self._file is None else self._file.owner()

    def _note(self, error: OSError) -> None:
        self._reports.note(
            f"cannot write the state of the journal in {self._directory} ({error.strerror}); no"
            " event is lost, but if this process dies, some may be delivered twice: free disk space"
            " or fix permissions"
        )

    def close(self, remove_rest: Callable[[], bool] | None = None) -> None:
        """Give up the state file.

        Args:
            remove_rest: Removes all other files and returns whether none is left, so that this
                one can be removed as well; None leaves them to others.
        """
        self._closed = True
        file, self._file = self._file, None
        if file is not None:
            file.close(remove=remove_rest is not None and remove_rest())
