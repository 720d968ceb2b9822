"""`logbatch run` for a Python program, without `click` where the command line is plain.

To load `click` takes a tenth of the time that a program is held up by.  What is not plain, or is
wrong, is left to `cli/run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from logbatch.capture.program import Program
from logbatch.capture.python import PythonRun

_WITH_VALUE = ("--to", "--level", "--service", "-o")


def prepare_plain(words: Sequence[str]) -> Callable[[], int] | None:
    """Prepare to run a Python program; None where the command line is not plain, or is wrong.

    Args:
        words: What follows `logbatch run`.
    """
    given: dict[str, str] = {}
    pairs: list[str] = []
    rest = list(words)
    while rest[:1] and rest[0] in _WITH_VALUE and len(rest) > 1:
        name, value, *rest = rest
        if name == "-o":
            pairs.append(value)
        else:
            given[name.lstrip("-")] = value
    kind, target = (rest[:1], rest[1:]) if rest[:1] in (["-m"], ["-c"]) else ([], rest)
    if not target or target[0].startswith("-"):
        return None
    program, to = Program.parse([*kind, *target]), given.pop("to", None)
    if program is None:
        return None
    try:
        return PythonRun(program, to, {**read_pairs(pairs), **given}).run
    except ValueError:
        return None


def read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Read options that are given as NAME=VALUE.

    Raises:
        ValueError: One is of another form.
    """
    return dict(map(_read_pair, pairs))


def _read_pair(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"-o {text}: it must be of the form NAME=VALUE")
    name = name.strip().replace("-", "_")
    if not value.startswith("{"):  # a mapping, such as `columns`
        return name, value
    import json

    try:
        return name, json.loads(value)
    except ValueError as error:
        raise ValueError(f"-o {name}: this is no JSON: {error}") from None
