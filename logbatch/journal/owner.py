"""The process that a journal belongs to, and whether it is still there."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple


class Owner(NamedTuple):
    """A process, and what distinguishes it from another with the same pid later or elsewhere.

    Attributes:
        pid: Its number.
        started: When it began, in ticks since the machine did; empty where that cannot be known.
        boot: The machine's boot.
        namespace: What gave the number.
        host: The machine.
        image: What `exec` changes, though it leaves all of these; empty where nobody knows it.
    """

    pid: int
    started: str
    boot: str
    namespace: str
    host: str
    image: str = ""

    @classmethod
    def this_process(cls) -> Owner:
        """Describe the calling process."""
        pid = os.getpid()
        return cls(pid, _start_time(pid), _boot_id(), _namespace(), _host(), _image(pid))

    def gone(self) -> bool:
        """Return whether the process has certainly ended.

        One of another machine or another pid namespace cannot be seen from here.  There the lock
        alone decides, so this returns True.
        """
        if self.host != _host() or self.boot != _boot_id():
            return True
        if self.namespace != _namespace():
            return True
        if not self.started:
            return not _exists(self.pid)
        return _start_time(self.pid) != self.started or self._runs_another_program()

    def _runs_another_program(self) -> bool:
        """Return whether the process has executed another program, or the same one again."""
        image = _image(self.pid)
        return bool(image and self.image) and image != self.image

    def render(self, size: int) -> bytes:
        """Return it as a line of `size` bytes."""
        line = json.dumps({"format": 1, **self._asdict()}).encode()
        return line[: size - 1].ljust(size - 1) + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Owner | None:
        """Read such a line; None if it is damaged."""
        try:
            fields: dict[str, Any] = json.loads(line)
            owner = cls(**{name: fields[name] for name in cls._fields if name != "image"})
            owner = owner._replace(image=fields.get("image", ""))
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        kinds = (int, str, str, str, str, str)
        sound = all(type(value) is kind for value, kind in zip(owner, kinds, strict=True))
        return owner if sound and 0 < owner.pid < 1 << 31 else None


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _start_time(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    # Behind the name stand the state (Z, X: dead already) and, 19 fields on, the start time.
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _image(pid: int) -> str:
    """Return a digest of where the kernel put the parts of a program: elsewhere each time."""
    try:
        places = Path(f"/proc/{pid}/auxv").read_bytes()
    except OSError:  # no such process, another user's, or not Linux
        return ""
    return f"{zlib.crc32(places):08x}" if places else ""


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
