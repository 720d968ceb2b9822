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
            time.sleep(0.00002)  # a kill may come at any instant all the same


_libc = ctypes.PyDLL(None)  # what is called by this way keeps the interpreter's lock
_runtime = ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")
_AROUND = 4 << 20  # bytes; the lock of the interpreter is in `_PyRuntime`, which is smaller
_GO = b"\n"

MAY_CRASH = (
    "CPython 3.13 may crash where a child that C code forked starts a thread"
    if sys.version_info >= (3, 13)
    else ""
)


def fork_unnoticed() -> int:
    """Fork as C libraries and uWSGI do, which call none of Python's hooks.

    CPython itself goes on in such a child only if no other thread ran, or waited for its lock: the
    child has that lock as it was.  So all threads are looked at before and after, while this one
    keeps the lock; and where they were not at rest the child is killed, before it did anything.
    That of 3.13 crashes now and then all the same, when the child starts a thread: a test is
    skipped.
    """
    if MAY_CRASH:
        import pytest  # only here: programs use this module as well

        pytest.skip(MAY_CRASH)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.001)  # whoever waits for the lock gets it now
        ours, other = os.pipe()
        tasks = set(os.listdir("/proc/self/task"))
        looks = [f"/proc/self/task/{task}/syscall".encode() for task in tasks - {_own_task()}]
        child = _fork_at_rest(looks, ours, other)
        if child == 0:
            os.close(ours)
            return 0
        good = child > 0 and _are_at_rest(looks) and tasks == set(os.listdir("/proc/self/task"))
        if good:
            os.write(other, _GO)
        elif child > 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(ours)
        os.close(other)
        if good:
            return child
    raise AssertionError("the other threads of this process are never at rest")


def _own_task() -> str:
    return str(threading.get_native_id())


def _fork_at_rest(looks: list[bytes], ours: int, other: int) -> int:
    """Fork if all other threads are at rest; -1 if not.

    The child waits for a word of the parent at the pipe's one end, and closes the other.

    The lock of the interpreter is never released in here.
    """
    if not _are_at_rest(looks):
        return -1
    child = int(_libc.fork())
    if child == 0:
        _libc.close(other)
        if _libc.read(ours, ctypes.create_string_buffer(1), 1) != 1:  # the parent was killed
            _libc._exit(1)
    return child


def _are_at_rest(looks: list[bytes]) -> bool:
    """Return whether each of these threads waits in the kernel, and not for the interpreter."""
    return all(map(_is_at_rest, looks))


def _is_at_rest(look: bytes) -> bool:
    file = _libc.open(look, os.O_RDONLY)
    if file < 0:  # it has ended
        return True
    content = ctypes.create_string_buffer(256)
    _libc.read(file, content, 255)
    _libc.close(file)
    words = content.value.split()  # the number of the call, its arguments, two addresses
    if len(words) < 9:
        return False  # it is running
    distance = int(words[1], 16) - ctypes.addressof(_runtime)
    return not -_AROUND < distance < _AROUND


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
