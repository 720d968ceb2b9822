"""The state file of a journal: who owns it, how far it is settled, and what is being sent.

`<producer>.state` holds one line about its owner and two slots that are written in turn, each
with a checksum, so that one of them is whole at every instant.  A slot says where the first
unsettled line is and, while a batch is being sent, where that batch ends: a process that takes
the journal over sends exactly the same batch again.

The owner keeps the file locked.  An owner is gone only when the lock is free *and* no process of
that pid, start time and boot is there: an application may have closed our descriptor (and with it
the lock), and a forked child may still hold it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from logbatch.journal.segment import create_file, same_file

if sys.platform != "win32":
    import fcntl

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
        turn: Counts the writes; the higher of two slots holds.
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


class Owner(NamedTuple):
    """A process, told apart from another that has the same pid later or elsewhere."""

    pid: int
    started: str
    boot: str
    namespace: str
    host: str

    @classmethod
    def this_process(cls) -> Owner:
        """Describe the calling process."""
        pid = os.getpid()
        return cls(pid, _start_time(pid), _boot_id(), _namespace(), socket.gethostname())

    def gone(self) -> bool:
        """Tell whether the process is certainly not there any more.

        One of another machine or of another pid namespace cannot be seen from here: there the
        lock alone tells, so the answer is yes.
        """
        if self.host != socket.gethostname() or self.boot != _boot_id():
            return True
        if self.namespace != _namespace():
            return True
        if self.started:
            return _start_time(self.pid) != self.started
        return not _exists(self.pid)


def _start_time(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    # Behind the name stand the state (Z, X: dead already) and, 19 fields on, the start time.
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class StateFile:
    """The state file of a journal that this process owns or has taken over."""

    def __init__(self, path: Path, descriptor: int, slot: Slot) -> None:
        self.path = path
        self.slot = slot
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)

    @classmethod
    def create(cls, path: Path) -> StateFile:
        """Make the file: whole and locked before it can be seen under its name."""
        temporary = path.with_name(f".{path.stem}.new")
        descriptor = create_file(temporary)
        try:
            _lock(descriptor)
            state = cls(path, descriptor, Slot())
            os.pwrite(descriptor, _render_owner(Owner.this_process()), 0)
            state.write(Slot())
            os.rename(temporary, path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        return state

    @classmethod
    def take_over(cls, path: Path) -> StateFile | None:
        """Lock the state file of a journal whose owner is gone; None where it is not."""
        try:
            flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
            descriptor = os.open(path, flags)
        except OSError:
            return None
        try:
            if _lock(descriptor) and _still_named(path, descriptor):
                content = os.pread(descriptor, _STATE_BYTES, 0)
                if _is_orphan(content):
                    return cls(path, descriptor, _parse_slot(content) or Slot(turn=-1))
        except OSError:
            pass  # it vanished or cannot be read: somebody else has it
        os.close(descriptor)
        return None

    def write(self, slot: Slot) -> None:
        """Write a slot over the older of the two."""
        slot = slot._replace(turn=max(self.slot.turn, 0) + 1)
        descriptor = self._trusted_descriptor()
        os.pwrite(descriptor, _render_slot(slot), _OWNER_BYTES + slot.turn % 2 * _SLOT_BYTES)
        self.slot = slot

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        descriptor = self._trusted_descriptor()
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def _trusted_descriptor(self) -> int:
        if not same_file(self._descriptor, self._identity):  # the application closed it
            self._descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            _lock(self._descriptor)
        return self._descriptor

    def own(self) -> None:
        """Name this process as the owner, once it has taken the journal over."""
        os.pwrite(self._trusted_descriptor(), _render_owner(Owner.this_process()), 0)

    def close(self, *, remove: bool) -> None:
        """Give up the lock; with `remove`, the file goes first."""
        if remove:
            self.path.unlink(missing_ok=True)
        if same_file(self._descriptor, self._identity):
            os.close(self._descriptor)


def read_state(path: Path) -> tuple[Owner | None, Slot | None]:
    """Read a state file without locking it; (None, None) where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_STATE_BYTES)
    except OSError:
        return None, None
    return _parse_owner(content), _parse_slot(content)


def _still_named(path: Path, descriptor: int) -> bool:
    here, there = os.fstat(descriptor), path.stat()
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _is_orphan(content: bytes) -> bool:
    owner, slot = _parse_owner(content), _parse_slot(content)
    return owner is None or (slot is not None and slot.closed) or owner.gone()


def _render_owner(owner: Owner) -> bytes:
    line = json.dumps({"format": 1, **owner._asdict()}).encode()
    return line[: _OWNER_BYTES - 1].ljust(_OWNER_BYTES - 1) + b"\n"


def _parse_owner(content: bytes) -> Owner | None:
    try:
        fields: dict[str, Any] = json.loads(content[:_OWNER_BYTES])
        return Owner(**{name: fields[name] for name in Owner._fields})
    except (ValueError, KeyError, TypeError):
        return None


def _render_slot(slot: Slot) -> bytes:
    numbers = (slot.turn, *slot.settled, *slot.sending, *slot.following, int(slot.closed))
    text = " ".join(map(str, numbers)).encode()
    return (b"%s %08x" % (text, zlib.crc32(text))).ljust(_SLOT_BYTES - 1) + b"\n"


def _parse_slot(content: bytes) -> Slot | None:
    found = []
    for start in (_OWNER_BYTES, _OWNER_BYTES + _SLOT_BYTES):
        text, _, checksum = content[start : start + _SLOT_BYTES].rstrip().rpartition(b" ")
        if checksum == b"%08x" % zlib.crc32(text):
            turn, *places, closed = map(int, text.split())
            positions = [Position(*places[at : at + 3]) for at in (0, 3, 6)]
            found.append(Slot(turn, *positions, bool(closed)))
    return max(found, default=None)
