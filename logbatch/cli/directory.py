"""Which directory a command works on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from logbatch.errors import DatasetError
from logbatch.places import expand_user

_F = TypeVar("_F", bound=Callable[..., Any])


def directory_argument(command: _F) -> _F:
    """Add the argument `[DIR]`, for `find_directory`."""
    argument = click.argument(
        "directory", required=False, metavar="[DIR]", type=click.Path(path_type=Path)
    )
    return argument(command)


def find_directory(given: Path | None) -> Path:
    """Return the directory of a command, which exists.

    Args:
        given: What the user wrote; None means the directory the library writes to by default.

    Raises:
        DatasetError: There is no such directory, or it holds no log.
    """
    from logbatch.dataset.listing import list_directory

    path = _default() if given is None else parse_directory(str(given))[1]
    hint = "" if given else "; name a DIR, or set LOGBATCH_TRANSPORT"
    names = list_directory(path, hint)
    if names and not any(
        name in (".journal", ".receiver") or name.startswith("date=") for name in names
    ):
        raise DatasetError(f"{path} holds no logs of logbatch{hint}")
    return path


def parse_directory(text: str) -> tuple[str | None, Path]:
    """Read a directory, which may be written as a transport is: `parquet:logs`.

    Returns:
        The kind of files that it names, None for a mere path; and the path.

    Raises:
        DatasetError: It is a URL of something else, or a wrong one.
    """
    kind = text.partition(":")[0].lower() if ":" in text else None
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


def _default() -> Path:
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
