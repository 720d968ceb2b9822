"""Forked processes: they begin at once, may be killed at any moment, and count in shared memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from waiting import PATIENCE


class Shared:
    """A number that a killed process leaves behind."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int(struct.unpack_from("q", self._map)[0])

    @value.setter
    def value(self, value: int) -> None:
        self._map[:8] = struct.pack("q", value)  # pack_into writes zeros first

    def wait_for(self, value: int) -> None:
        """Wait until it is as large."""
        deadline = time.monotonic() + PATIENCE
        while self.value < value:
            assert time.monotonic() < deadline, "the other process does not go on"
            os.sched_yield()


class Child:
    """A forked process that runs a function and ends without any cleaning up."""

    def __init__(self, body: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            self._run(body)

    @staticmethod
    def _run(body: Callable[[], object]) -> NoReturn:
        status = 1
        try:
            signal.alarm(int(PATIENCE))
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def kill(self) -> None:
        """Kill it, and bury it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def wait(self) -> None:
        """Wait for its end, which must be a good one."""
        _, status = os.waitpid(self.pid, 0)
        assert 0 == status


@contextmanager
def child(body: Callable[[], object]) -> Iterator[Child]:
    """A child that is killed at the end of the block, if it still runs."""
    process = Child(body)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            process.kill()


def own_mounts() -> None:
    """Let this process mount what others do not see; `os.unshare` is there since Python 3.12."""
    new_namespaces = 0x20000 | 0x10000000  # CLONE_NEWNS | CLONE_NEWUSER
    maps = {"uid_map": f"0 {os.getuid()} 1", "setgroups": "deny", "gid_map": f"0 {os.getgid()} 1"}
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_namespaces) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in maps.items():
        Path(f"/proc/self/{name}").write_text(text)
