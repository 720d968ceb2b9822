"""End what this process does to files at any instant, as a kill would, and go on afterwards.

From the chosen change on, every call that would change a name or open a file to write raises
`Killed`, so that nothing which cleans up can change anything either: the disk is as it was at that
instant.  What a real kill does besides is tested with real processes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

_CHANGES = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killed(BaseException):
    """The process is dead as far as files are concerned."""


class _Killer(threading.local):
    left: int | None = None  # changes until the kill; None where there is none
    count = 0


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
def killed_after(changes: int) -> Iterator[None]:
    """Let this thread make so many changes to files in the block; it ends with the next one."""
    global _hooked  # noqa: PLW0603
    if not _hooked:
        sys.addaudithook(_look)
        _hooked = True
    _killer.left, _killer.count = changes, 0
    try:
        with contextlib.suppress(Killed):
            yield
    finally:
        _killer.left = None
