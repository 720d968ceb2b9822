"""Every level: its name, its number, and what others call it.

A level is what `logging` says it is.  A program can add levels of its own at any time, so `logging`
is asked anew for each name.  Names are compared without regard to case.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

TRACE = 5
NOTICE = 25
_UNNAMED = {TRACE: "TRACE", NOTICE: "NOTICE"}  # levels that `logging` has no name for

# What syslog, journald and other libraries call levels that `logging` calls otherwise.
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

# The methods of structlog's loggers, those of `logging` among them.
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

# Where the severities of OpenTelemetry begin, and the level that each of them is at least.
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
"""The severities of OpenTelemetry by the names that they have in its protocol."""


def known() -> dict[str, int]:
    """Return the levels that `logging` knows now, by their names in lower case."""
    return {name.casefold(): number for name, number in logging.getLevelNamesMapping().items()}


def name_of(number: int) -> str:
    """Return what `logging` calls a level; `"Level 17"` where it has no name."""
    return str(logging.getLevelName(number))


def number_of(name: str) -> int | None:
    """Return the number of a level of `logging`, or of one that others call so; None if unknown."""
    name = name.strip().casefold()
    number = known().get(name)
    return _ALIASES.get(name) if number is None else number


def number_of_method(name: str) -> int | None:
    """Return the level of a method of structlog's, or of a level's name; None if it is neither."""
    number = _METHODS.get(name.lower())
    return known().get(name.casefold()) if number is None else number


def from_name(name: str) -> tuple[str, int] | None:
    """Return a level by its name or by what others call it, as name and number; None if unknown."""
    name = name.strip().casefold()
    number = known().get(name)
    if number is not None:
        return name_of(number), number
    number = _ALIASES.get(name)
    return None if number is None else (_UNNAMED.get(number) or name_of(number), number)


def from_severity(severity: int, text: str = "") -> tuple[str, int]:
    """Return the level of a severity of OpenTelemetry, as name and number.

    Source: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber

    Args:
        severity: From 1 to 24; anything else is not specified.
        text: What the sender calls it; it is the name of the level where that is of its own making.
    """
    for least, name, number in _SEVERITIES:
        if 24 >= severity >= least:
            return (text if text and from_name(text) is None else name), number
    return from_name(text) or (text or "NOTSET", logging.NOTSET)
