"""The levels that senders write, and what `logging` calls them."""

from __future__ import annotations

import logging

_NAMES = {
    "TRACE": ("TRACE", 5),
    "VERBOSE": ("TRACE", 5),
    "INFORMATION": ("INFO", logging.INFO),
    "INFORMATIONAL": ("INFO", logging.INFO),
    "NOTICE": ("NOTICE", 25),
    "WARN": ("WARNING", logging.WARNING),
    "ERR": ("ERROR", logging.ERROR),
    "FATAL": ("CRITICAL", logging.CRITICAL),
    "CRIT": ("CRITICAL", logging.CRITICAL),
    "ALERT": ("CRITICAL", logging.CRITICAL),
    "EMERG": ("CRITICAL", logging.CRITICAL),
    "EMERGENCY": ("CRITICAL", logging.CRITICAL),
    "PANIC": ("CRITICAL", logging.CRITICAL),
    **{
        name: (name, number)
        for name, number in logging.getLevelNamesMapping().items()
        if name not in ("WARN", "FATAL")
    },
}

# Where the severities of OpenTelemetry begin, and the level that each of them is at least.
_SEVERITIES = (
    (24, "CRITICAL", 60),
    (21, "CRITICAL", logging.CRITICAL),
    (20, "ERROR", 45),
    (17, "ERROR", logging.ERROR),
    (16, "WARNING", 35),
    (13, "WARNING", logging.WARNING),
    (12, "NOTICE", 25),
    (9, "INFO", logging.INFO),
    (8, "DEBUG", 15),
    (5, "DEBUG", logging.DEBUG),
    (1, "TRACE", 5),
)


def level_of_name(name: str) -> tuple[str, int] | None:
    """Return the level of a name in any case, as name and number; None where it is unknown."""
    return _NAMES.get(name.strip().upper())


def level_of_number(number: int) -> tuple[str, int]:
    """Return the level of a number of `logging`."""
    return logging.getLevelName(number), number


def level_of_severity(severity: int, text: str = "") -> tuple[str, int]:
    """Return the level of a severity of OpenTelemetry.

    Source: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber

    Args:
        severity: From 1 to 24; anything else is not specified.
        text: What the sender calls it; it is the name of the level where that is of its own making.
    """
    for least, name, number in _SEVERITIES:
        if 24 >= severity >= least:
            return (text if text and level_of_name(text) is None else name), number
    known = level_of_name(text)
    return known if known is not None else (text or "NOTSET", logging.NOTSET)
