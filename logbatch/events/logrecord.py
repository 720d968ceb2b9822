"""The columns of a LogRecord, whoever made it.

A record may come from another process, from a subclass with properties, or from a filter that has
stored anything anywhere.  Each column is read on its own, and is None if its value is unusable.
"""

from __future__ import annotations

import logging
from typing import Any

from logbatch.events.context import task_name, trace_ids
from logbatch.events.eventdict import now_utc, read_time
from logbatch.events.fast_path import FORMATTED, STANDARD
from logbatch.levels import name_of, number_of_method

_NOT_EXTRA = frozenset((*STANDARD, *FORMATTED, "taskName"))


def get(record: logging.LogRecord, name: str) -> Any:
    """Return an attribute of a record, or None."""
    try:
        return getattr(record, name, None)
    except Exception:  # a property of a subclass
        return None


def columns_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the columns of a record except its content; texts may still be of any type."""
    now = now_utc()
    level, levelno = _level_of(record)
    logger, path, task = get(record, "name"), get(record, "pathname"), get(record, "taskName")
    if task is None and "taskName" not in STANDARD:
        task = task_name()
    trace_id, span_id = trace_ids()
    return {
        "timestamp": read_time(get(record, "created"), now) or now,
        "level": level,
        "levelno": levelno,
        "logger": "" if logger is None else logger,
        "pathname": path,
        "lineno": _number(get(record, "lineno"), 32) if isinstance(path, str) and path else None,
        "func_name": get(record, "funcName"),
        "process": _number(get(record, "process"), 64),
        "thread": _number(get(record, "thread"), 64),
        "thread_name": get(record, "threadName"),
        "task": task,
        "trace_id": trace_id,
        "span_id": span_id,
    }


def _level_of(record: logging.LogRecord) -> tuple[str, int]:
    name, number = get(record, "levelname"), get(record, "levelno")
    if not isinstance(name, str):
        name = ""
    if isinstance(number, int):
        number = max(-(1 << 31), min(int.__int__(number), (1 << 31) - 1))
        return name or name_of(number), number
    number = number_of_method(name)
    return ("NOTSET", logging.NOTSET) if number is None else (name, number)


def _number(value: Any, bits: int) -> int | None:
    """Return an integer that fits a column of so many bits."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)  # the record was JSON once
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    value = int.__int__(value)
    return value if -(1 << bits - 1) <= value < 1 << bits - 1 else None


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that neither the standard library nor a formatter has set."""
    fields = dict(record.__dict__)  # another thread may be adding to it
    return {name: value for name, value in fields.items() if name not in _NOT_EXTRA}
