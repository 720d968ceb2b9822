"""Events: how a LogRecord, a structlog event or a text becomes one line of JSON.

A line is made wholly within the call that logs: when it returns, no record, exception, frame or
value is referenced any more.  Whatever comes in, a line comes out, and no `Exception`; what cannot
be read is marked text in that line.  No line is longer than about three times `max_value_bytes`
plus 450 KiB.  An encoder may be used by any number of threads at once, and again from within an
object's `__repr__` while that is being encoded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from logbatch.events.context import (
    awaiting_caller,
    bound_values,
    came_through_structlog,
    host_name,
    service_name,
    task_name,
    trace_ids,
    unmerged_values,
)
from logbatch.events.encoder import encode_fields, spare_room, text_of
from logbatch.events.eventdict import (
    format_message,
    now_utc,
    take_callsite,
    take_failure,
    take_level,
    take_logger,
    take_message,
    take_same,
    take_stack,
    take_time,
    template_of,
)
from logbatch.events.fast_path import FORMATTED, NAME_BYTES, TOLD_BY_STRUCTLOG, QuickEncoder
from logbatch.events.logrecord import columns_of, extra_of, get
from logbatch.events.stacktrace import Failure, from_exc_info, from_text, split_message
from logbatch.events.values import name_of as type_name
from logbatch.levels import name_of, number_of_method

_TEMPLATE_BYTES = 65_536
_TRACE_BYTES = 262_144
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


class LineEncoder(QuickEncoder):
    """Makes lines: `record` of a LogRecord, `event_dict` of a structlog event, `text` of a text.

    Args:
        service: The `service` column; None takes `OTEL_SERVICE_NAME`, else the script's name.
        host: The `host` column; None takes the machine's name.
        max_value_bytes: A message or an attribute whose JSON is longer is cut; all attributes
            together may have twice as much.
        complain: Called with a record whose arguments do not fit its message, while that exception
            is being handled.  None prints it to stderr, as every handler of `logging` does where
            `logging.raiseExceptions` is set.
    """

    def __init__(
        self,
        *,
        service: str | None = None,
        host: str | None = None,
        max_value_bytes: int = 1 << 20,
        complain: Callable[[logging.LogRecord], object] | None = None,
    ) -> None:
        self._service = _short(service_name() if service is None else service)
        self._host = _short(host_name() if host is None else host)
        super().__init__(self._service, self._host, max_value_bytes)
        self._trace_limit = min(max_value_bytes, _TRACE_BYTES)
        self._short_limit = min(max_value_bytes, NAME_BYTES)
        self._complain = complain or _print_complaint

    def record_carefully(self, record: logging.LogRecord) -> bytes:
        return self._line(self._read(self._read_record, record))

    def event_dict(
        self, logger: object, method_name: str, event_dict: Mapping[str, Any]
    ) -> tuple[int, bytes]:
        """Make the line of a structlog event, which is not changed.

        Args:
            logger: The logger that structlog wraps.
            method_name: The method that was called on it.
            event_dict: What the processors before have made of the event.

        Returns:
            The number of its level, and the line.
        """
        event = self._read(self._read_event_dict, logger, method_name, event_dict)
        return event.levelno, self._line(event)

    def text(
        self, text: str, *, level: int, logger: str, attributes: Mapping[str, Any] | None = None
    ) -> bytes:
        """Make the line of a text that comes from no logging call.

        Args:
            text: The message.
            level: Number of the level.
            logger: Name of the logger.
            attributes: Other fields.
        """
        return self._line(self._read(self._read_text, text, level, logger, attributes))

    def _read(self, read: Callable[..., Event], *source: Any) -> Event:
        """Make an event of what came in; if that fails, of the failure."""
        try:
            return read(*source)
        except Exception as error:  # near the recursion limit anything can fail
            text = f"<{type_name(type(error))} while this event was read>"
        with contextlib.suppress(Exception):
            return Event(message=text, **columns_of(source[0]))
        return Event(now_utc(), "ERROR", logging.ERROR, "logbatch", text)

    # ------------------------------------------------------------------ from an event to its line

    def _line(self, event: Event) -> bytes:
        """Encode an event whose columns may still hold anything; its attributes always do."""
        event.service = self._service
        event.host = self._host
        try:
            line = _encode_lines((event,)) if _is_plain(event) else b""
        except Exception:  # a lone surrogate
            line = b""
        # In a line that is short there is nothing too long.
        return line if 0 < len(line) <= self._short_limit else self._fitted_line(event)

    def _fitted_line(self, event: Event) -> bytes:
        limit = self._limit
        event.message = text_of(event.message, limit)
        event.template = _column(event.template, min(limit, _TEMPLATE_BYTES))
        event.exception_message = _column(event.exception_message, min(limit, _TEMPLATE_BYTES))
        event.stacktrace = _column(event.stacktrace, self._trace_limit)
        event.logger = text_of(event.logger, NAME_BYTES)
        event.level = text_of(event.level, NAME_BYTES)
        for name in _SHORT:
            setattr(event, name, _short(getattr(event, name)))
        event.attributes = encode_fields(event.attributes or {}, limit) or None
        return _encode_lines((event,))

    # ------------------------------------------------------------------ a record of logging

    def _read_record(self, record: logging.LogRecord) -> Event:
        event = Event(message="", **columns_of(record))
        extra = extra_of(record)
        message = get(record, "msg")
        if "_logger" in extra and "_name" in extra and issubclass(type(message), Mapping):
            del extra["_logger"], extra["_name"]  # structlog's wrap_for_formatter
            items = {**extra, **message}
            self._take(event, items)
            self._take_content(event, items)
            extra = items
        else:
            self._read_message(event, record, extra)
            if not TOLD_BY_STRUCTLOG.isdisjoint(extra) and came_through_structlog():
                self._take(event, extra)  # render_to_log_kwargs
                self._take_failure(event, extra)
        self._read_failure(event, record)
        context = copy_context()
        event.attributes = {**bound_values(context), **extra} if context else extra
        return event

    def _read_message(self, event: Event, record: logging.LogRecord, extra: dict[str, Any]) -> None:
        """Read message and template; arguments that do not fit become an extra field."""
        message, args = get(record, "msg"), get(record, "args")
        event.message = text_of(message, self._limit)
        event.template = template_of(message, event.message, self._limit)
        try:
            if type(record).getMessage is not logging.LogRecord.getMessage:
                event.message = record.getMessage()
            elif args:
                event.message = format_message(event.message, args, self._limit)
        except Exception:
            extra["args"] = args
            with contextlib.suppress(Exception):
                self._complain(record)
        formatted = get(record, "message")
        if args is None and isinstance(formatted, str) and formatted == event.message:
            self._read_prepared(event)

    def _read_prepared(self, event: Event) -> None:
        """Take apart what QueueHandler has put together; the template is lost."""
        event.template = None
        event.message, failure, stack = split_message(event.message)
        _add_failure(event, failure, stack)

    def _read_failure(self, event: Event, record: logging.LogRecord) -> None:
        if event.stacktrace is None:
            failure = from_exc_info(get(record, "exc_info"), self._trace_limit)
            rendered, stack = get(record, "exc_text"), get(record, "stack_info")
            if failure is None and isinstance(rendered, str) and rendered:
                failure = from_text(rendered, self._trace_limit)
            _add_failure(event, failure, stack if isinstance(stack, str) else None)

    # ------------------------------------------------------------------ an event of structlog

    def _read_event_dict(
        self, logger: object, method_name: str, event_dict: Mapping[str, Any]
    ) -> Event:
        items = dict(event_dict)
        is_structlogs = items.pop("_from_structlog", False)  # within ProcessorFormatter
        record = items.pop("_record", None)
        if isinstance(record, logging.LogRecord):
            # Not what else is on the record: it is for the chain to put it into the event, and a
            # processor may have taken a secret away again.
            event = Event(message="", **columns_of(record))
            left_behind = {name: get(record, name) for name in FORMATTED}  # for ExtraAdder to find
            take_same(items, left_behind)
            self._take(event, items)
            self._take_content(event, items)
            if not is_structlogs:
                template = text_of(get(record, "msg"), self._limit)
                event.template = template_of(get(record, "msg"), template, self._limit)
        else:
            event = self._read_call(items, logger, method_name)
        event.attributes = {**unmerged_values(), **items}
        return event

    def _read_call(self, items: dict[str, Any], logger: object, method_name: str) -> Event:
        """Read what there is to know about a call of structlog itself."""
        now = now_utc()
        if method_name == "exception" and "exception" not in items:
            items.setdefault("exc_info", True)  # as the method of that name does in `logging`
        level, levelno = take_level(items, method_name)
        name = take_logger(items, getattr(logger, "name", None))
        event = Event(take_time(items, now), level, levelno, name, "")
        self._take_content(event, items)
        frame, thread = awaiting_caller()
        event.pathname, event.lineno, event.func_name = take_callsite(items, frame)
        _add_caller(event, thread)
        take_same(items, _caller_of(event))
        return event

    def _take(self, event: Event, items: dict[str, Any]) -> None:
        """Take what structlog's processors say once more of what a record has said already."""
        level = items.get("level")
        if isinstance(level, str) and number_of_method(level) == event.levelno:
            del items["level"]
        place = {"pathname": event.pathname, "lineno": event.lineno, "func_name": event.func_name}
        same = {"logger": event.logger, "level_number": event.levelno}
        take_same(items, same | place | _caller_of(event))
        event.timestamp = take_time(items, event.timestamp)

    def _take_content(self, event: Event, items: dict[str, Any]) -> None:
        event.message, event.template = take_message(items, self._limit)
        self._take_failure(event, items)

    def _take_failure(self, event: Event, items: dict[str, Any]) -> None:
        failure = take_failure(items, self._trace_limit)
        _add_failure(event, failure, take_stack(items))

    # ------------------------------------------------------------------ a text

    def _read_text(
        self, text: str, level: int, logger: str, attributes: Mapping[str, Any] | None
    ) -> Event:
        event = Event(now_utc(), name_of(level), level, logger, text)
        _add_caller(event, None)
        event.attributes = dict(attributes or {})
        return event


def _print_complaint(record: logging.LogRecord) -> None:
    """Say on stderr, as `logging` does, that a message and its arguments do not fit."""
    (logging.lastResort or logging.Handler()).handleError(record)


# ------------------------------------------------------------------ columns


def _is_plain(event: Event) -> bool:
    """Tell whether an event can be encoded as it is."""
    if not event.attributes:
        event.attributes = None
    elif spare_room((event.attributes,), NAME_BYTES) < 0:
        return False
    texts = _texts_of(event)
    return _TEXT_OR_NONE.issuperset(map(type, texts)) and "" not in texts[_MAY_BE_EMPTY:]


def _column(value: object, limit: int) -> str | None:
    return None if value is None else text_of(value, limit) or None


def _short(value: object) -> str | None:
    return _column(value, NAME_BYTES)


def _add_failure(event: Event, failure: Failure | None, stack: str | None) -> None:
    if failure is not None:
        event.exception_type, event.exception_message, event.stacktrace = failure
    if stack:
        event.stacktrace = f"{event.stacktrace}\n{stack}" if event.stacktrace else stack


def _add_caller(event: Event, awaiting: tuple[int, str] | None) -> None:
    """Fill in process, thread and task of this very call."""
    event.process = os.getpid()
    if awaiting is None:
        awaiting = threading.get_ident(), threading.current_thread().name
    event.thread, event.thread_name = awaiting
    event.task = task_name()
    event.trace_id, event.span_id = trace_ids()


def _caller_of(event: Event) -> dict[str, object]:
    return {
        "process": event.process,
        "thread": event.thread,
        "thread_name": event.thread_name,
    }
