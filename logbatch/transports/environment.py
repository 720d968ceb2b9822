"""Options in environment variables, and variables that look like misspelt options.

An option of the handler is read from `LOGBATCH_<NAME>`, one of a transport from
`LOGBATCH_<KIND>_<NAME>`: what is set for one kind of transport is neither read nor checked where
another one is built.  A variable that is empty counts as not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterable, Mapping

from logbatch.options import ENVIRONMENT_PREFIX, OPTION_NAMES
from logbatch.transports.parameters import Parameters

_NOT_FROM_ENVIRONMENT = frozenset(("path", "url", "columns", "fields", "headers"))
"""These must be given in the program: where to, and mappings, which no variable holds well."""

_SAME = {"https": "http"}
_LIKE = 0.85  # from here on a variable is taken for a misspelt one
_LIKE_OWN = 0.6  # the same, where it begins with the name of the transport's kind


def variable_of(kind: str, name: str) -> str:
    """Return the variable of a transport's option."""
    return f"{ENVIRONMENT_PREFIX}{_prefix(kind)}{name}".upper()


def read_options(
    kind: str,
    parameters: Parameters,
    given: Container[str],
    list_kinds: Callable[[], Iterable[str]],
) -> dict[str, str]:
    """Read the options of a transport.

    Args:
        kind: The kind of transport.
        parameters: What it takes.
        given: Options that are not read, because the program gives them.
        list_kinds: Called for the names of all kinds.

    Raises:
        ValueError: A variable looks like a misspelt option, or like one that cannot be set here.
    """
    prefix = _prefix(kind)
    allowed = parameters.names - _NOT_FROM_ENVIRONMENT
    found = {}
    for rest, value in _variables().items():
        name = rest.removeprefix(prefix)
        if rest in OPTION_NAMES or name == rest:
            continue
        if name in allowed or (parameters.any and name not in _NOT_FROM_ENVIRONMENT):
            if name not in given:
                found[name] = value
        elif name in parameters.names:
            raise ValueError(f"{_named(rest)}: {name} cannot be set in the environment")
        elif close := _find_close(name, allowed, _LIKE_OWN):
            raise ValueError(_explain_misspelt(rest, prefix + close))
    meant = {name: prefix + name for name in allowed if name not in given}
    check_variables(meant | {whole: whole for whole in meant.values()}, list_kinds)
    return found


def check_variables(meant: Mapping[str, str], list_kinds: Callable[[], Iterable[str]]) -> None:
    """Raise for a variable that looks like a misspelt option.

    Args:
        meant: Names that a variable may be a misspelling of -> the option that is meant.
        list_kinds: Called for the names of all kinds.

    Raises:
        ValueError: There is one.  What another kind of transport may have is not looked at.
    """
    for rest in _variables():
        if rest in OPTION_NAMES or rest == "transport":
            continue
        close = _find_close(rest, meant, _LIKE)
        if close and not rest.startswith(tuple(map(_prefix, list_kinds()))):
            raise ValueError(_explain_misspelt(rest, meant[close]))


def _find_close(given: str, names: Iterable[str], likeness: float) -> str | None:
    import difflib  # late, as it takes time

    return next(iter(difflib.get_close_matches(given, sorted(names), 1, likeness)), None)


def _variables() -> dict[str, str]:
    """Return those with our prefix that are set: what follows it, in lower case, and the value."""
    return {
        variable.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for variable, value in os.environ.items()
        if variable.startswith(ENVIRONMENT_PREFIX) and value.strip()
    }


def _prefix(kind: str) -> str:
    return re.sub(r"\W", "_", _SAME.get(kind, kind).lower()) + "_"


def _named(rest: str) -> str:
    return f"environment variable {ENVIRONMENT_PREFIX}{rest.upper()}"


def _explain_misspelt(rest: str, meant: str) -> str:
    hint = f"did you mean {ENVIRONMENT_PREFIX}{meant.upper()}?"
    return f"{_named(rest)} is not an option of logbatch; {hint}"
