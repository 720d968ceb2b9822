"""Which directory a command works on."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from logbatch.cli.escape import escape
from logbatch.errors import DatasetError
from logbatch.places import expand_user, log_path
from logbatch.transports import VARIABLE

_F = TypeVar("_F", bound=Callable[..., Any])

_OURS = (".journal", ".receiver", "date=", "runs.db")  # how names begin in a directory of ours
_SQLITE = b"SQLite format 3\0"  # what such a file begins with
_LOOK = 0.1  # seconds between two looks for a directory

A_PATH = click.Path(path_type=Path, readable=False)
"""What is wrong with a path is told where it is used: in a sentence, as of any other one."""


def directory_argument(command: _F) -> _F:
    """Add the argument `[DIR]`, for `find_directory`."""
    argument = click.argument("directory", required=False, metavar="[DIR]", type=A_PATH)
    return argument(command)


def await_directory(given: Path | None) -> bool:
    """Wait until the directory of a command exists; say so, and return whether that was needed.

    Args:
        given: As for `find_directory`.
    """
    path = _path_of_argument(given)
    if path.exists():
        return False
    click.echo(f"{escape(str(path))} is not there yet; waiting for it, Ctrl-C ends that", err=True)
    while not path.exists():
        time.sleep(_LOOK)
    return True


def find_directory(given: Path | None) -> Path:
    """Return the directory of a command, which exists.

    Args:
        given: What the user wrote; None means the directory the library writes to by default.

    Raises:
        DatasetError: There is no such directory, or it holds no log.
    """
    from logbatch.dataset.listing import list_directory

    path = _path_of_argument(given)
    refuse_sqlite(path)
    hint = "" if given else "; name a DIR, or set LOGBATCH_TRANSPORT"
    names = list_directory(path, hint)
    ours = [name for name in names if name.startswith(_OURS)]
    if not ours and any(not name.startswith(".") for name in names):
        raise DatasetError(f"{path} holds no logs of logbatch{hint}")
    return path


def find_runs(given: Path | None) -> Path:
    """Return the file with the record of runs; it need not be there.

    Args:
        given: The directory that the user wrote, or the file itself; None means the directory that
            `logbatch run` writes to by default.

    Raises:
        DatasetError: There is no such directory.
    """
    from logbatch.dataset.listing import list_directory
    from logbatch.storage.executions import FILE

    path = parse_directory(str(given))[1] if given else _path_of(None) or log_path("logbatch")
    if path.is_file():
        return path
    list_directory(path, "" if given else "; name a DIR, or set LOGBATCH_TRANSPORT")
    return path / FILE


def _path_of_argument(given: Path | None) -> Path:
    return _default() if given is None else parse_directory(str(given))[1]


def parse_directory(text: str) -> tuple[str | None, Path]:
    """Read a directory, which may be written as a transport is: `parquet:logs`.

    Returns:
        The kind of files that it names, None for a mere path; and the path.

    Raises:
        DatasetError: It is a URL of something else, or a wrong one.
    """
    kind = text.partition(":")[0].lower() if ":" in text else None
    if kind == "sqlite":
        raise DatasetError(_explain_sqlite(_file_of(text)))
    if kind in ("http", "https"):
        raise DatasetError(f"{kind}:… is not a directory; what was sent there is at the server")
    if kind not in ("parquet", "jsonl"):
        try:
            return None, Path(expand_user(text))
        except ValueError as error:
            raise DatasetError(f"{text}: {error}") from None
    path = _path_of(text)
    assert path is not None
    return kind, path


def refuse_sqlite(path: Path) -> None:
    """Say how to ask a file of SQLite's, where a path is that of one.

    Raises:
        DatasetError: It is.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            raise DatasetError(_explain_sqlite(path))


def _explain_sqlite(path: Path) -> str:
    return (
        f"{path} is a SQLite file, not a directory; ask it in SQL: sqlite3 {for_shell(path)} "
        '"SELECT timestamp, level, logger, message FROM events ORDER BY timestamp DESC LIMIT 20"'
    )


def _file_of(url: str) -> Path:
    from logbatch.transports import build
    from logbatch.transports.sqlite import SqliteTransport

    try:
        transport = build(url)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    assert isinstance(transport, SqliteTransport)
    return transport.path


def _default() -> Path:
    url = os.environ.get(VARIABLE, "")
    if url.lower().startswith("sqlite:"):
        raise DatasetError(f"{VARIABLE}: {_explain_sqlite(_file_of(url))}")
    path = _path_of(None)
    if path is None:
        raise DatasetError("LOGBATCH_TRANSPORT names no directory of this machine; name a DIR")
    return path


def _path_of(url: str | None) -> Path | None:
    """Return the directory that a URL, or by default the environment, names; None for others."""
    from logbatch.transports import build
    from logbatch.transports.directory import DirectoryTransport

    try:
        transport = build(url)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    return transport.path if isinstance(transport, DirectoryTransport) else None


def for_shell(path: Path) -> str:
    """Write a path as one would type it in a shell: with `~`, and quoted where need be."""
    home = Path(os.path.expanduser("~"))
    if home.is_absolute() and path.is_relative_to(home) and shlex.quote(str(path)) == str(path):
        return f"~/{path.relative_to(home)}"
    return shlex.quote(str(path))
