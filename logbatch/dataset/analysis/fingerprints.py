"""What tells one error from another: the fingerprint of its exception, or of its template.

An exception has the fingerprint of its type and of the application's own frames, with those of the
exceptions that led to it.  No message is in it, no line number, and no source text; of a group
nobody's place or number counts.  Where no frame is the application's, those of installed packages
count, and where there are none, all.  The same code has the same fingerprint below another
directory, and under another Python: a file is named

- in an installed package, or in the standard library, by its path within;
- relative to the directory that modules are imported from, where the record or the stack trace
  shows it: a logger `shop.web` in `/srv/7/shop/web.py`, or a script that is `__main__`;
- else, where the frames are in several directories, relative to what these have in common;
- else by its name, with the directory if that can be a package: not `shop-1.2`, not `app`.

A stack trace that Python did not print has the fingerprint of its lines that are indented, or of
all, without numbers and texts in quotes.  An error without an exception has that of its logger and
template; of one that was formatted beforehand, without numbers and texts in quotes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from logbatch.dataset.analysis.tracebacks import Frame, Raised, read_traceback

_PACKAGES = re.compile(r"[\\/](?:(?:site|dist)-packages|[^\\/]*\.egg)[\\/]")
_STDLIB = re.compile(
    r"[\\/]lib(?:32|64)?[\\/](?:python|pypy)[0-9.]+[a-z]*[\\/]|[\\/]python[0-9]+\.zip[\\/]"
    r"|[\\/]Lib[\\/](?=([A-Za-z_0-9]+)(?:[\\/]|\.py))"  # on Windows, and of a build of CPython
)
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_MADE_UP = re.compile(r"[0-9a-f]{7,}|tmp\w{8}")  # a commit, a temporary directory
_ROOTS = frozenset(  # what directories are called that hold an application, and are no package
    (
        *("app", "apps", "bin", "build", "code", "current", "dist", "function", "home", "lib"),
        *("opt", "package", "project", "release", "repo", "root", "script", "scripts", "service"),
        *("site", "source", "src", "srv", "task", "tmp", "usr", "var", "work", "workspace", "www"),
    )
)

# Of a text that Python did not print.
_LINES, _WIDTH = 100, 500
_PATH = re.compile(r"[^\s():\"'<>|]*[\\/]([^\s():\"'<>|\\/]+[\\/][^\s():\"'<>|\\/]+)")
_VARIABLE = re.compile(
    r"\"[^\"\n]*\"|\B'[^'\n]*'\B|\b0[xX][0-9a-fA-F]+"
    r"|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]++(?:-[0-9a-fA-F]++)*+|[0-9]+"
)
VARIABLE = (
    r"\"[^\"\n]*\"|\B'[^'\n]*'\B|\b0[xX][0-9a-fA-F]+"
    r"|\b[a-fA-F]*[0-9][0-9a-fA-F]*(?:-[0-9a-fA-F]+)*|[0-9]+"
)
"""What differs from one message to the next, in RE2: numbers, and texts in quotes."""


class Owner(IntEnum):
    """Whose code a frame is of."""

    APPLICATION = 0
    PACKAGE = 1
    PYTHON = 2


class Fingerprint(NamedTuple):
    """What tells an error from others, and where it arose.

    Attributes:
        digest: The same for all errors of a kind; hexadecimal.
        type: The exception's, as stored, or else as the stack trace has it.
        frames: File and function of the application's own frames, the outermost first; those of
            packages, or all, where none is.  Of an exception with others before it, its own.
        culprit: Where it arose, as `shop/web.py in handle`; None where nothing tells.
    """

    digest: str
    type: str | None
    frames: tuple[Frame, ...]
    culprit: str | None


def of_exception(
    kind: str | None, trace: str, logger: str = "", pathname: str | None = None
) -> Fingerprint:
    """Return the fingerprint of an exception.

    Args:
        kind: Its type, as stored.
        trace: The stack trace, as stored, that was printed of it.
        logger: That of the record.
        pathname: The file that the record was logged in.
    """
    given, kind = kind, _plain(kind)
    raised = read_traceback(trace)
    if not raised:
        return Fingerprint(_digest("text", kind, remains(trace)), given, (), None)
    main = next((each for each in reversed(raised) if not each.is_member), raised[-1])
    main.type = kind or main.type
    owner = min(_owner(path) for each in raised for path, _ in each.frames)
    own = [[frame for frame in each.frames if _owner(frame[0]) == owner] for each in raised]
    names = _Names(
        (path for frames in own for path, _ in frames), _find_root(raised, logger, pathname)
    )
    chain, members = [], set()
    for each, frames in zip(raised, own, strict=True):
        told = _plain(each.type), tuple((names.of(path), function) for path, function in frames)
        if each.is_member:
            members.add(told)
        else:
            chain.append(told)
    digest = _digest("exception", chain, sorted(members, key=repr))
    shown = own[raised.index(main)] or next(filter(None, reversed(own)))
    path, function = shown[-1]
    return Fingerprint(digest, given or main.type, tuple(shown), _place(names.of(path), function))


def of_template(kind: str | None, logger: str, text: str) -> str:
    """Return the digest of an error without a stack trace.

    Args:
        kind: The exception's type, if there is one.
        logger: That of the record.
        text: The template, or a message without what is `VARIABLE`.
    """
    return _digest("template", _plain(kind), logger, text)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _plain(kind: str | None) -> str | None:
    """Return a type as it is called whether its module is run or imported."""
    return None if kind is None else kind.removeprefix("__main__.")


def _place(name: str, function: str) -> str:
    return f"{name} in {function}" if function else name


def remains(trace: str) -> list[str]:
    """Return what is left of a text that Python did not print: its frames, if there are any."""
    lines = list(islice((line[:_WIDTH] for line in trace.split("\n") if line.strip()), _LINES))
    indented = [line for line in lines if line[0] in " \t"]
    return [_VARIABLE.sub("#", _PATH.sub(r"#\1", line)).strip() for line in indented or lines]


# ------------------------------------------------------------------ files


def _owner(path: str) -> Owner:
    if _PACKAGES.search(path):
        return Owner.PACKAGE
    if path.startswith("<") or _find_stdlib(path) is not None:
        return Owner.PYTHON
    return Owner.APPLICATION


def _find_stdlib(path: str) -> int | None:
    """Return where the path within the standard library begins; None outside of it."""
    found = _STDLIB.search(path)
    if found is None or (found[1] and found[1] not in sys.stdlib_module_names):
        return None
    return found.end()


class _Names:
    """Names files the same way wherever they are deployed.

    Args:
        paths: Those of all frames that count.
        root: The directory that modules are imported from, if it is known.
    """

    def __init__(self, paths: Iterable[str], root: Sequence[str] | None) -> None:
        self._root = root
        directories = {tuple(_parts(path)[:-1]) for path in paths}
        self._common = (_common(directories) or None) if len(directories) > 1 else None

    def of(self, path: str) -> str:
        """Return the name of a file."""
        if found := list(_PACKAGES.finditer(path)):
            return path[found[-1].end() :].replace("\\", "/")
        if path.startswith("<"):
            return path
        if at := _find_stdlib(path):
            return path[at:].replace("\\", "/")
        parts = _parts(path)
        for start in (self._root, self._common):
            if start is not None and tuple(parts[: len(start)]) == tuple(start):
                return "/".join(parts[len(start) :])
        return "/".join(parts[-2:] if _is_package(parts[-2:-1]) else parts[-1:])


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _common(directories: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(directories), max(directories)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


def _is_package(directory: Sequence[str]) -> bool:
    return all(
        _IDENTIFIER.fullmatch(name) and name not in _ROOTS and not _MADE_UP.fullmatch(name)
        for name in directory
    )


def _find_root(raised: Sequence[Raised], logger: str, pathname: str | None) -> Sequence[str] | None:
    """Return the directory that modules are imported from, where something tells it."""
    for path, function in (next(iter(each.frames)) for each in raised if each.frames):
        if function == "<module>" and _owner(path) is Owner.APPLICATION:
            return _parts(path)[:-1]  # no other code ran it, not even what does so by its name
    parts = _parts(pathname or "")
    if not parts or _owner(pathname or "") is not Owner.APPLICATION:
        return None
    if logger == "__main__":
        return parts[:-1]
    module = [*parts[:-1], parts[-1].removesuffix(".py")]
    names = logger.split(".")
    for end in range(len(names), 0, -1):
        for tail in (names[:end], [*names[:end], "__init__"]):
            if module[-len(tail) :] == tail:
                return module[: -len(tail)]
    return None
