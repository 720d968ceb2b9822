"""End what this process does to files at any instant, as a kill would, and go on afterwards.

From the chosen change on, every call that would change a name or open a file to write raises
`Killed`, so that nothing which cleans up can change anything either: the disk is as it was at that
instant.  What a real kill does besides is tested with real processes, which `die_after` kills at
the same instants.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from children import Child

_CHANGES = {
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil.rmtree",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killed(BaseException):
    """The process is dead as far as files are concerned."""


class _Killer:
    left: int | None = None  # changes until the kill; None where there is none
    count = 0


class Kill:
    """Whether it came to it."""

    happened = False


_killer = _Killer()
_hooked = False


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _killer.left is None or not _is_change(event, arguments):
        return
    _killer.count += 1
    if _killer.count > _killer.left:
        raise Killed


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool((arguments[2] or 0) & _WRITES)
    if event == "ctypes.dlsym":  # an exchange of two folders is about to come
        return bool(arguments[1] == "renameat2")
    return event in _CHANGES


@contextlib.contextmanager
def killed_after(changes: int) -> Iterator[Kill]:
    """Let this process make so many changes to files in the block; it ends with the next one.

    Whichever thread makes it: a compaction works on one of its own.
    """
    global _hooked  # noqa: PLW0603
    if not _hooked:
        sys.addaudithook(_look)
        _hooked = True
    _killer.left, _killer.count = changes, 0
    kill = Kill()
    try:
        yield kill
    except Killed:
        pass
    finally:
        kill.happened = _killer.count > changes
        _killer.left = None


def die_after(changes: int) -> None:
    """Let this process make so many changes to files; the next one kills it."""
    left = itertools.repeat(None, changes)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if _is_change(event, arguments) and next(left, _killer) is not None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def is_killed_after(changes: int, work: Callable[[], object], *, really: bool) -> bool:
    """Do something up to a change; return whether it came as far.

    Args:
        changes: How many it may make.
        work: What is done.
        really: Whether it is done by a process that is killed; that takes longer.
    """
    if not really:
        with killed_after(changes) as kill:
            work()
        return kill.happened

    def body() -> None:
        die_after(changes)
        work()

    status = os.waitpid(Child(body).pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return status != 0
