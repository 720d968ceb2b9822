"""The state file of a journal: who owns it, how far it is settled, and what is being sent.

`<producer>.state` holds one line about its owner and two slots that are written in turn, each
with a checksum, so that one of them is whole at every instant.  A slot holds where the first
unsettled line is and, while a batch is being sent, where that batch ends: a process that takes
over the journal sends exactly the same batch again.

The owner keeps the file locked.  An owner is gone only when the lock is free *and* no process of
that pid, start time and boot is there: an application may have closed our descriptor (and with it
the lock), and a forked child may still hold it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from logbatch.descriptors import OwnFile
from logbatch.disk import create_file, open_file, sync_file
from logbatch.journal.names import new_state_path
from logbatch.journal.owner import Owner
from logbatch.locks import lock_file

SUPPORTED = sys.platform != "win32"  # elsewhere journals are kept in memory

_OWNER_BYTES = 1024
_SLOT_BYTES = 256
_STATE_BYTES = _OWNER_BYTES + 2 * _SLOT_BYTES


class Position(NamedTuple):
    """A place in a journal: the segment, the offset in it, the sequence of the line there."""

    segment: int = 0
    offset: int = 0
    sequence: int = 0


class Slot(NamedTuple):
    """How far a journal is settled.

    Attributes:
        turn: Counts the writes; of two slots, the higher is valid.  Below 0: both were lost.
        settled: Where the first unsettled line is.
        sending: Where the batch that is being sent ends; equal to `settled` when none is.
        following: The segment that comes next where the one after `settled` was dropped, and the
            sequence of its first line.
        closed: Whether the owner has given the journal up though it still lives.
    """

    turn: int = 0
    settled: Position = Position()
    sending: Position = Position()
    following: Position = Position()
    closed: bool = False


class StateFile:
    """The state file of a journal that this process owns or has taken over.

    Attributes:
        path: Where it is.
        slot: What was written last.
        nameless: Whether nobody knows who its owner was.
    """

    def __init__(self, path: Path, descriptor: int, slot: Slot, *, nameless: bool = False) -> None:
        self.path = path
        self.slot = slot
        self.nameless = nameless
        self._file = OwnFile(descriptor)

    @classmethod
    def create(cls, path: Path, slot: Slot) -> StateFile:
        """Create the file, which is whole and locked before it gets its name."""
        temporary = new_state_path(path)
        descriptor = create_file(temporary)
        try:
            lock_file(descriptor)
            state = cls(path, descriptor, slot)
            state.own()
            state.write(slot)
            os.rename(temporary, path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        return state

    @classmethod
    def take_over(cls, path: Path) -> StateFile | None:
        """Lock the state file of a journal whose owner is gone; return None if it is not."""
        try:
            descriptor = open_file(path, os.O_RDWR)
        except OSError:
            return None
        state = None
        try:
            if lock_file(descriptor) and OwnFile(descriptor).is_named(path):
                state = cls._of_orphan(path, descriptor)
        except OSError:
            pass  # it was removed, or cannot be read: somebody else has it
        finally:
            if state is None:
                os.close(descriptor)
        return state

    @classmethod
    def _of_orphan(cls, path: Path, descriptor: int) -> StateFile | None:
        content = os.pread(descriptor, _STATE_BYTES, 0)
        owner, slot = Owner.parse(content[:_OWNER_BYTES]), _parse_slot(content)
        if owner is None or (slot is not None and slot.closed) or owner.gone():
            return cls(path, descriptor, slot or Slot(turn=-1), nameless=owner is None)
        return None

    def write(self, slot: Slot) -> None:
        """Write a slot over the older of the two.

        Raises:
            OSError: It cannot be written, or the file was removed.
        """
        slot = slot._replace(turn=max(self.slot.turn, 0) + 1)
        start = _OWNER_BYTES + slot.turn % 2 * _SLOT_BYTES
        os.pwrite(self._descriptor(), _render_slot(slot), start)
        self.slot = slot

    def own(self) -> None:
        """Write that this process is the owner."""
        os.pwrite(self._descriptor(), Owner.this_process().render(_OWNER_BYTES), 0)

    def sync(self) -> None:
        """Wait until what was written is on the disk.

        After a SyncError it may be called again: `write` has written the whole page anew by then.
        """
        sync_file(self._descriptor())

    def is_named(self) -> bool:
        """Return whether the file still is in its place: it may have been removed."""
        return self._file.is_named(self.path)

    def is_whole(self) -> bool:
        """Return whether nobody has cut it off, as far as one can see."""
        if not self._file.is_open():
            return True
        return os.pread(self._file.number, 1, 0) == b"{"  # where the owner stands

    def owner(self) -> int | None:
        """Return the user whose file it is; None where that is not known."""
        return self._file.owner()

    def _descriptor(self) -> int:
        if not self._file.is_open():  # the application has closed it, and with it the lock
            self._reopen()
        return self._file.number

    def _reopen(self) -> None:
        number = open_file(self.path, os.O_RDWR)
        if not self._file.is_open_as(number):
            os.close(number)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._file.number = number
        lock_file(number)

    def close(self, *, remove: bool) -> None:
        """Release the lock; with `remove`, remove the file before."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._file.close()


def read_state(path: Path) -> tuple[Owner | None, Slot | None]:
    """Read a state file without locking it; (None, None) if it cannot be read."""
    try:
        with open(open_file(path), "rb", buffering=0) as file:
            content = os.pread(file.fileno(), _STATE_BYTES, 0)
    except OSError:
        return None, None
    return Owner.parse(content[:_OWNER_BYTES]), _parse_slot(content)


def _render_slot(slot: Slot) -> bytes:
    numbers = (slot.turn, *slot.settled, *slot.sending, *slot.following, int(slot.closed))
    text = " ".join(map(str, numbers)).encode()
    return (b"%s %08x" % (text, zlib.crc32(text))).ljust(_SLOT_BYTES - 1) + b"\n"


def _parse_slot(content: bytes) -> Slot | None:
    starts = (_OWNER_BYTES, _OWNER_BYTES + _SLOT_BYTES)
    slots = (_parse_one(content[start : start + _SLOT_BYTES]) for start in starts)
    return max((slot for slot in slots if slot is not None), default=None)


def _parse_one(line: bytes) -> Slot | None:
    text, _, checksum = line.rstrip().rpartition(b" ")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        turn, *places, closed = map(int, text.split())
        settled, sending, following = (Position(*places[at : at + 3]) for at in range(0, 9, 3))
    except (ValueError, TypeError):
        return None
    return Slot(turn, settled, sending, following, bool(closed))
