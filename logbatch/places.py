"""Where this user's files go if nobody says where, also where there is no home to put them in.

A container may run as a user without a name and without a home directory, or with one that cannot
be written.  Then they go to a private directory among the temporary files, the same one for all
programs of this user.  What is there may be gone when the machine or the container starts again,
so it is said, once in each process.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

_EFFECTIVE = os.access in os.supports_effective_ids

_told: list[str] = []  # what was said in it


def state_path(name: str) -> Path | None:
    """Return where programs keep what they must remember; None where nothing can be written."""
    import platformdirs

    home = _find(lambda: platformdirs.user_state_path("logbatch"))
    if home is not None:
        return home / name
    stand_in = _make_stand_in()
    return None if stand_in is None else stand_in / "state" / name


def log_path(program: str) -> Path:
    """Return where a program writes its logs."""
    import platformdirs

    home = _find(lambda: platformdirs.user_log_path(program, appauthor=False))
    if home is not None:
        return home
    _make_stand_in()
    return _stand_in() / "log" / program


def expand_user(path: str) -> str:
    """Replace `~` and `~name` at the beginning of a path.

    Raises:
        ValueError: There is no such home directory.
    """
    expanded = os.path.expanduser(path)
    if path.startswith("~") and expanded == path:
        beginning = path.partition("/")[0]
        raise ValueError(f"there is no home directory {beginning}; write the directory in full")
    return expanded


def explain(directory: Path | None) -> str | None:
    """Explain a directory that is not where one would look; None where it is, or was explained.

    Args:
        directory: Where a journal is; None where none could be found, and it is in memory.
    """
    stand_in = _stand_in()
    if _told or not (directory is None or directory.is_relative_to(stand_in)):
        return None
    if directory is None or _make_stand_in() is None:
        text = (
            "there is neither a home directory nor one for temporary files that can be written;"
            " events wait in memory, and what is not delivered is lost if this process dies;"
            " set XDG_STATE_HOME to a directory that can be written"
        )
    else:
        text = (
            f"there is no home directory that can be written; files go to {stand_in}, which may be"
            " emptied when this machine or container restarts; set XDG_STATE_HOME, or name a"
            " directory"
        )
    _told.append(text)
    return text


def _find(ask: Callable[[], Path]) -> Path | None:
    """Return a directory of the user's that can be used; None where there is no home."""
    with contextlib.suppress(RuntimeError):  # HOME is not set, and this uid has no name
        path = ask()
        if path.is_absolute() and _can_be_made(path):
            return path
    return None


def _can_be_made(path: Path) -> bool:
    """Return whether a directory can be written, or created."""
    with contextlib.suppress(OSError):
        while not path.exists() and path != path.parent:
            path = path.parent
        return os.access(path, os.W_OK | os.X_OK, effective_ids=_EFFECTIVE)
    return False


def _stand_in() -> Path:
    """Return the directory among the temporary files that stands in for a home."""
    import tempfile  # with all that copies and compresses files, which few need

    user = os.geteuid() if hasattr(os, "geteuid") else os.environ.get("USERNAME", "user")
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:  # none can be written
        temporary = "/tmp"  # nothing is created there without a look at whose it is
    return Path(temporary) / f"logbatch-{user}"


def _make_stand_in() -> Path | None:
    """Create it, unless it is there; None where it cannot be, or is not this user's alone."""
    path = _stand_in()
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        status = os.lstat(path)
        mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if mine and stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077:
            return path
    return None
