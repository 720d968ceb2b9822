"""An event: the fields of one log occurrence, and how they are written as a line."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from logbatch.events.context import task_name, trace_ids
from logbatch.events.encoder import encode_fields, spare_room, text_of
from logbatch.events.stacktrace import Failure
from logbatch.events.values import Describe

NAME_BYTES = 4096  # of a short column, such as the name of a thread
TEMPLATE_BYTES = 65_536
TRACE_BYTES = 262_144
_TEXT_OR_NONE = frozenset((str, type(None)))
_MAY_BE_EMPTY = 2  # the first two of these
_texts_of = attrgetter(
    *("logger", "message", "level", "template", "exception_type", "exception_message"),
    *("stacktrace", "pathname", "func_name", "thread_name", "task"),
)
_SHORT = ("exception_type", "pathname", "func_name", "thread_name", "task")

_encode_lines = msgspec.json.Encoder().encode_lines


class Event(msgspec.Struct, gc=False, omit_defaults=True):
    """One log occurrence; in a line, a field that is None is left out.

    Attributes:
        timestamp: When it was logged, in UTC.
        level: Name of the level, as `logging` has it.
        levelno: Number of the level.
        logger: Name of the logger.
        message: The text, with its arguments.
        template: The text before its arguments.
        exception_type: Qualified name of the exception's class.
        exception_message: The exception's own text.
        stacktrace: The exception as the standard library prints it, then `stack_info`.
        pathname: Source file of the logging call.
        lineno: Line of the logging call.
        func_name: Function that holds the logging call.
        process: Process id.
        thread: Thread identifier.
        thread_name: Name of the thread.
        task: Name of the asyncio task.
        trace_id: OpenTelemetry trace, 32 hexadecimal digits.
        span_id: OpenTelemetry span, 16 hexadecimal digits.
        service: Name of the program.
        host: Name of the machine.
        attributes: All other fields.
    """

    timestamp: datetime
    level: str
    levelno: int
    logger: str
    message: str
    template: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    stacktrace: str | None = None
    pathname: str | None = None
    lineno: int | None = None
    func_name: str | None = None
    process: int | None = None
    thread: int | None = None
    thread_name: str | None = None
    task: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    service: str | None = None
    host: str | None = None
    attributes: dict[str, Any] | None = None


class EventWriter:
    """Makes the lines of events.

    Args:
        service: The `service` column.
        host: The `host` column.
        limit: Most bytes of JSON of a message or an attribute.
        describe: What makes the text of an attribute of a type that is not known.
    """

    def __init__(
        self, service: str | None, host: str | None, limit: int, describe: Describe = repr
    ) -> None:
        self._service = service
        self._host = host
        self._limit = limit
        self._describe = describe
        self._short_limit = min(limit, NAME_BYTES)

    def line(self, event: Event) -> bytes:
        """Encode an event; its columns and attributes may hold any value."""
        event.service = self._service
        event.host = self._host
        try:
            line = _encode_lines([event]) if _is_plain(event) else b""
        except Exception:  # a lone surrogate
            line = b""
        # In a short line nothing is too long.
        return line if 0 < len(line) <= self._short_limit else self._fitted_line(event)

    def _fitted_line(self, event: Event) -> bytes:
        limit = self._limit
        event.message = text_of(event.message, limit)
        event.template = _column(event.template, min(limit, TEMPLATE_BYTES))
        event.exception_message = _column(event.exception_message, min(limit, TEMPLATE_BYTES))
        event.stacktrace = _column(event.stacktrace, min(limit, TRACE_BYTES))
        event.logger = text_of(event.logger, NAME_BYTES)
        event.level = text_of(event.level, NAME_BYTES)
        for name in _SHORT:
            setattr(event, name, short(getattr(event, name)))
        event.attributes = encode_fields(event.attributes or {}, limit, self._describe) or None
        return _encode_lines([event])


def _is_plain(event: Event) -> bool:
    """Return whether an event can be encoded as it is."""
    if not event.attributes:
        event.attributes = None
    elif spare_room((event.attributes,), NAME_BYTES) < 0:
        return False
    texts = _texts_of(event)
    return _TEXT_OR_NONE.issuperset(map(type, texts)) and "" not in texts[_MAY_BE_EMPTY:]


def _column(value: object, limit: int) -> str | None:
    return None if value is None else text_of(value, limit) or None


def short(value: object) -> str | None:
    """Return any value as the text of a short column; None if that is empty."""
    return _column(value, NAME_BYTES)


# ------------------------------------------------------------------ filling in several fields


def add_failure(event: Event, failure: Failure | None, stack: str | None) -> None:
    """Fill in the exception, with `stack_info` after it."""
    if failure is not None:
        event.exception_type, event.exception_message, event.stacktrace = failure
    if stack:
        event.stacktrace = f"{event.stacktrace}\n{stack}" if event.stacktrace else stack


def add_caller(event: Event, awaiting: tuple[int, str] | None) -> None:
    """Fill in process, thread and task of the current call.

    Args:
        event: The event.
        awaiting: Id and name of the thread that awaits this call, if that is another one.
    """
    event.process = os.getpid()
    if awaiting is None:
        awaiting = threading.get_ident(), threading.current_thread().name
    event.thread, event.thread_name = awaiting
    event.task = task_name()
    event.trace_id, event.span_id = trace_ids()


def caller_of(event: Event) -> dict[str, object]:
    """Return the columns of process and thread."""
    return {
        "process": event.process,
        "thread": event.thread,
        "thread_name": event.thread_name,
    }
