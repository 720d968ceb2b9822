"""Levels: their names and numbers, and what other systems call them.

`logging` defines the levels.  A program can add its own at any time, so `logging` is asked each
time.  Names are compared in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

TRACE = 5
NOTICE = 25
_UNNAMED = {TRACE: "TRACE", NOTICE: "NOTICE"}  # levels without a name in `logging`

# Names of levels in syslog, journald and other libraries that are not those of `logging`.
_ALIASES = {
    "trace": TRACE,
    "verbose": TRACE,
    "information": logging.INFO,
    "informational": logging.INFO,
    "notice": NOTICE,
    "warn": logging.WARNING,
    "err": logging.ERROR,
    "fatal": logging.CRITICAL,
    "crit": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "emerg": logging.CRITICAL,
    "emergency": logging.CRITICAL,
    "panic": logging.CRITICAL,
}

# The priorities of syslog and journald, from 0 on.  Source: RFC 5424, 6.2.1
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

# The methods of structlog's loggers, which include those of `logging`.
_METHODS = {
    "notset": logging.NOTSET,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "msg": logging.INFO,
    "log": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "err": logging.ERROR,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "failure": logging.ERROR,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}

# The lowest severity of OpenTelemetry for each level.
_SEVERITIES = (
    (24, "CRITICAL", 60),
    (21, "CRITICAL", logging.CRITICAL),
    (20, "ERROR", 45),
    (17, "ERROR", logging.ERROR),
    (16, "WARNING", 35),
    (13, "WARNING", logging.WARNING),
    (12, "NOTICE", NOTICE),
    (9, "INFO", logging.INFO),
    (8, "DEBUG", 15),
    (5, "DEBUG", logging.DEBUG),
    (1, "TRACE", TRACE),
)

SEVERITY_NUMBERS: Mapping[str, int] = {
    f"SEVERITY_NUMBER_{name}{step or ''}": 1 + 4 * index + max(step - 1, 0)
    for index, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
    for step in (0, 2, 3, 4)
}
"""The severities of OpenTelemetry by their names in its protocol."""


def known() -> dict[str, int]:
    """Return the levels that `logging` knows now, by their folded names."""
    return {name.casefold(): number for name, number in logging.getLevelNamesMapping().items()}


name_of: Callable[[int], str] = logging.getLevelName
"""Returns the name of a level in `logging`; `"Level 17"` if it has none."""


def number_of(name: str) -> int | None:
    """Return the number of a level by its name in `logging` or elsewhere; None if unknown."""
    name = name.strip().casefold()
    number = known().get(name)
    return _ALIASES.get(name) if number is None else number


def number_of_method(name: str) -> int | None:
    """Return the number of a level by a method of structlog or by its name; None if unknown."""
    number = _METHODS.get(name)
    if number is None:
        name = name.casefold()
        number = _METHODS.get(name, known().get(name))
    return number


def from_name(name: str) -> tuple[str, int] | None:
    """Return name and number of a level by its name in `logging` or elsewhere; None if unknown."""
    name = name.strip().casefold()
    number = known().get(name)
    if number is not None:
        return name_of(number), number
    number = _ALIASES.get(name)
    return None if number is None else (_UNNAMED.get(number) or name_of(number), number)


def from_priority(priority: int) -> tuple[str, int] | None:
    """Return name and number of the level for a priority of syslog; None if there is none such."""
    if not 0 <= priority < len(_PRIORITIES):
        return None
    return from_name(_PRIORITIES[priority])


def from_severity(severity: int, text: str = "") -> tuple[str, int]:
    """Return name and number of the level for a severity of OpenTelemetry.

    Source: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber

    Args:
        severity: From 1 to 24; anything else is not specified.
        text: What the sender calls it; this is the name of the level if it is not a known one.
    """
    for least, name, number in _SEVERITIES:
        if 24 >= severity >= least:
            return (text if text and from_name(text) is None else name), number
    return from_name(text) or (text or "NOTSET", logging.NOTSET)
