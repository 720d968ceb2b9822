"""Forked processes: they begin at once, may be killed at any moment, and count in shared memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest
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


_fork: Callable[[], int] = ctypes.PyDLL(None).fork


MAY_CRASH = (
    "CPython 3.13 may crash where a child that C code forked starts a thread"
    if sys.version_info >= (3, 13)
    else ""
)


def fork_unnoticed() -> int:
    """Fork as C libraries and uWSGI do, which call none of Python's hooks.

    CPython itself goes on in such a child only if no other thread was waiting for its lock.  That
    of 3.13 crashes now and then all the same, when the child starts a thread: a test is skipped.
    """
    if MAY_CRASH:
        pytest.skip(MAY_CRASH)
    calm = 0
    while calm < 5:
        before = _switches()
        time.sleep(0.001)  # whoever waits for the lock gets it now
        calm = calm + 1 if _switches() == before else 0
    return _fork()


def _switches() -> list[str]:
    """Return how often each other thread of this process was put to sleep."""
    me = str(threading.get_native_id())
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            if task.name != me:
                found.append((task / "status").read_text().partition("State:")[2])
    return found


class Child:
    """A forked process that runs a function and ends without any cleaning up.

    Args:
        body: The function.
        fork: How it is forked.
    """

    def __init__(self, body: Callable[[], object], fork: Callable[[], int] = os.fork) -> None:
        self.pid = fork()
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
        assert 0 == status, os.waitstatus_to_exitcode(status)


@contextmanager
def child(body: Callable[[], object], fork: Callable[[], int] = os.fork) -> Iterator[Child]:
    """A child that is killed at the end of the block, if it still runs."""
    process = Child(body, fork)
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
