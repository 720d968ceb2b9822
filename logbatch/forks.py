"""Notice that this process was forked, also where nobody tells Python.

uWSGI and other C code fork without `os.fork`, so that nothing which was registered with
`os.register_at_fork` is called.  Whoever uses what belongs to one process asks `mark` before it
does, and calls `notice` where that is 0.  The look costs some 15 ns, the pid a system call.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from logbatch.native import RLock, get_ident

_WIPE_ON_FORK = 18  # MADV_WIPEONFORK, Linux 4.14: the child finds zeros


class Mark(Protocol):
    """Something whose first item is true until the process is forked."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class _ByPid:
    """A mark for systems that cannot wipe memory when they fork."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int) -> int:
        return self._pid == os.getpid()

    def __setitem__(self, index: int, value: int) -> None:
        self._pid = os.getpid()


def _make_mark() -> Mark:
    if sys.platform == "win32":
        return bytearray(1)
    if sys.platform == "linux":
        page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            page.madvise(_WIPE_ON_FORK)
        except OSError:  # an older kernel, or one that is made up
            page.close()
        else:
            return page
    return _ByPid()


mark = _make_mark()
mark[0] = 1
pid = os.getpid()
"""The pid of this process, as of the last `notice`."""


door: Any = RLock()
"""Closed by a thread that is about to fork; others go through it into what a fork waits for."""

_inside: set[int] = set()  # the threads that went through

imports_hang = False
"""Whether this process was forked in the middle of an import, and nobody could wait for its end.

What was being imported can never be imported here: the lock of the module stays with a thread that
is not there.  So nothing may be delivered here; it is left to other processes.
"""


def may_start_threads() -> bool:
    """Return whether threads may be started: not where uWSGI forks behind their backs.

    A worker that is forked while a thread of uWSGI's master process has the interpreter's lock, or
    waits for it, hangs for ever.
    """
    if imports_hang:
        return False
    uwsgi: Any = sys.modules.get("uwsgi")
    if not hasattr(uwsgi, "worker_id") or uwsgi.worker_id():
        return True
    return uwsgi.masterpid() not in (0, os.getpid())


@contextmanager
def holding_off() -> Iterator[None]:
    """Have forks by other threads wait for the end of the block; several may be in one at once.

    A child would find what is being done here half done: a module that can never be imported, or
    a lock inside of Arrow's allocator that nobody releases.
    """
    me = get_ident()
    if me in _inside:
        yield
        return
    try:
        with door:
            _inside.add(me)
        yield
    finally:
        _inside.discard(me)


def are_held_off() -> bool:
    """Return whether a fork by this thread has to wait for another one."""
    return bool(_inside - {get_ident()})


def is_importing(thread: int) -> bool:
    """Return whether a thread is inside an import at this moment."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_in_child: list[Callable[[], object]] = []
_locks: dict[int, Any] = {}  # by pid
_noticing = 0  # the pid of the process that is starting afresh


def call_in_child(function: Callable[[], object]) -> None:
    """Have a function called in each forked child before anything else of ours is done there."""
    _in_child.append(function)


def notice() -> bool:
    """Start afresh if this is a forked child that has not; return whether it is."""
    if mark[0]:
        return False
    # A lock of the child's own: another thread of the parent may have held any that was there.
    with _locks.setdefault(os.getpid(), RLock()):
        if _is_unnoticed():
            _look_for_imports()
            _start_afresh()
    return True


def _is_unnoticed() -> bool:
    """Return whether nobody has begun to start afresh: another thread, or this one, below us."""
    return not mark[0] and _noticing != os.getpid()


def _look_for_imports() -> None:
    global imports_hang  # noqa: PLW0603
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    imports_hang = any(getattr(spec, "_initializing", False) is True for spec in specs)


def _start_afresh() -> None:
    global pid, door, _noticing  # noqa: PLW0603
    pid = _noticing = os.getpid()  # a signal handler may log in the middle of this, and come by
    door = RLock()
    _inside.clear()
    try:
        for function in _in_child:
            function()
    finally:
        mark[0] = 1
        _noticing = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
