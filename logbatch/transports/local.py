"""Where something is on this machine, as a user writes it: in a URL, or as a path."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

from logbatch.options import check_known
from logbatch.places import expand_user
from logbatch.transports.base import BaseTransport

_NO_OPTIONS = {"path", "columns"}  # of a URL


class LocalTransport(BaseTransport):
    """Base of the transports to a path of this machine.

    Attributes:
        kind: The scheme of its URL.
        names: What its path names: a "directory" or a "file".
        path: That, absolute.
    """

    kind: ClassVar[str]
    names: ClassVar[str]
    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = resolve(path, self.names)
        self.destination = f"{self.kind}:{self.path}"

    def __reduce__(self) -> tuple[Any, ...]:
        make, (kind, args, keywords) = super().__reduce__()
        if args:
            return make, (kind, (self.path, *args[1:]), keywords)
        return make, (kind, args, {**keywords, "path": self.path})

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Make one of a URL: `kind:path`, `kind:///path`, `kind:path?option=value`.

        The path stands there as it is, without `%20` and the like.  One that holds a question mark
        needs the form of a dict.

        Raises:
            ValueError: The URL names no path of this machine, or an option is unknown.
        """
        location, given = split_url(cls.kind, url, cls.names)
        check_known(given, inspect.signature(cls).parameters.keys() - _NO_OPTIONS)
        return cls(location, **{**given, **options})


def split_url(kind: str, url: str, what: str) -> tuple[str, dict[str, str]]:
    """Split a URL: `kind:path`, `kind:///path`, `kind:path?option=value`.

    The path stands there as it is, without `%20` and the like.

    Args:
        kind: The scheme.
        url: The URL.
        what: What it names, a "directory" or a "file".

    Returns:
        The path and the options.

    Raises:
        ValueError: It names another machine.
    """
    location, _, query = url.partition(":")[2].partition("?")
    if location.startswith("//"):
        location = location.removeprefix("//")
        if not location.startswith("/"):
            example = "logs" if what == "directory" else "logs.db"
            raise ValueError(
                f"{kind}: two slashes are followed by a host, but only a {what} of this "
                f'machine can be meant: "{kind}:{example}" or "{kind}:/var/log/app'
                f'{"" if what == "directory" else ".db"}"'
            )
    return location, dict(parse_qsl(query, keep_blank_values=True))


def resolve(path: Any, what: str) -> Path:
    """Make a path absolute; `~` is the home directory.

    Args:
        path: What the user wrote.
        what: What it names, a "directory" or a "file".

    Raises:
        ValueError: It is no path, or there is no directory that it could be relative to.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"path={path!r} must name a {what}")
    try:
        return Path(os.path.abspath(expand_user(text)))
    except FileNotFoundError:
        reason = "the current directory was removed; write the path in full"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"path={path!r}: {reason}")
