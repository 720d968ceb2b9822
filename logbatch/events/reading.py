"""Read what was logged into an event: a record of logging, a structlog event, or a text."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any

from logbatch.events.context import (
    awaiting_caller,
    bound_values,
    came_through_structlog,
    unmerged_values,
)
from logbatch.events.encoder import text_of
from logbatch.events.eventdict import (
    drop_same,
    format_message,
    now_utc,
    pop_callsite,
    pop_failure,
    pop_level,
    pop_logger,
    pop_message,
    pop_stack,
    pop_time,
    template_of,
)
from logbatch.events.fast_path import FORMATTED, TOLD_BY_STRUCTLOG
from logbatch.events.fields import TRACE_BYTES, Event, add_caller, add_failure, caller_of
from logbatch.events.logrecord import columns_of, extra_of, get
from logbatch.events.rendered import from_text, split_message
from logbatch.events.stacktrace import from_exc_info
from logbatch.levels import name_of, number_of_method


class Reader:
    """Reads events; their columns and attributes may still hold any value.

    Args:
        limit: Most bytes of JSON of a message or an attribute.
        complain: Called with a record whose arguments do not fit its message, while that exception
            is being handled.
    """

    def __init__(self, limit: int, complain: Callable[[logging.LogRecord], object]) -> None:
        self._limit = limit
        self._trace_limit = min(limit, TRACE_BYTES)
        self._complain = complain

    # ------------------------------------------------------------------ a record of logging

    def record(self, record: logging.LogRecord) -> Event:
        """Read a record, which is not changed."""
        event = Event(message="", **columns_of(record))
        extra = extra_of(record)
        _drop_coloured(event, extra)
        message = get(record, "msg")
        if "_logger" in extra and "_name" in extra and issubclass(type(message), Mapping):
            del extra["_logger"], extra["_name"]  # structlog's wrap_for_formatter
            items = {**extra, **message}
            self._drop_repeated(event, items)
            self._move_content(event, items)
            extra = items
        else:
            self._read_message(event, record, extra)
            if not TOLD_BY_STRUCTLOG.isdisjoint(extra) and came_through_structlog():
                self._drop_repeated(event, extra)  # render_to_log_kwargs
                self._move_failure(event, extra)
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
        except Exception:  # they do not fit, or have a method of their own that fails
            extra["args"] = args
            with contextlib.suppress(Exception):
                self._complain(record)
        formatted = get(record, "message")
        if args is None and isinstance(formatted, str) and formatted == event.message:
            self._read_prepared(event)

    def _read_prepared(self, event: Event) -> None:
        """Split what QueueHandler has joined; the template is lost."""
        event.template = None
        event.message, failure, stack = split_message(event.message)
        add_failure(event, failure, stack)

    def _read_failure(self, event: Event, record: logging.LogRecord) -> None:
        if event.stacktrace is None:
            failure = from_exc_info(get(record, "exc_info"), self._trace_limit)
            rendered, stack = get(record, "exc_text"), get(record, "stack_info")
            if failure is None and isinstance(rendered, str) and rendered:
                failure = from_text(rendered, self._trace_limit)
            add_failure(event, failure, stack if isinstance(stack, str) else None)

    # ------------------------------------------------------------------ an event of structlog

    def event_dict(self, logger: object, method_name: str, event_dict: Mapping[str, Any]) -> Event:
        """Read an event of structlog, which is not changed."""
        items = dict(event_dict)
        is_structlogs = items.pop("_from_structlog", False)  # within ProcessorFormatter
        record = items.pop("_record", None)
        if isinstance(record, logging.LogRecord):
            # Nothing else from the record: the chain decides what gets into the event, and a
            # processor may have removed a secret.
            event = Event(message="", **columns_of(record))
            left_behind = {name: get(record, name) for name in FORMATTED}  # for ExtraAdder to find
            drop_same(items, left_behind)
            _drop_coloured(event, items)
            self._drop_repeated(event, items)
            self._move_content(event, items)
            if not is_structlogs:
                template = text_of(get(record, "msg"), self._limit)
                event.template = template_of(get(record, "msg"), template, self._limit)
        else:
            event = self._read_call(items, logger, method_name)
        event.attributes = {**unmerged_values(), **items}
        return event

    def _read_call(self, items: dict[str, Any], logger: object, method_name: str) -> Event:
        """Read a call of structlog itself."""
        now = now_utc()
        if method_name == "exception" and "exception" not in items:
            items.setdefault("exc_info", True)  # as the method of that name does in `logging`
        level, levelno = pop_level(items, method_name)
        name = pop_logger(items, getattr(logger, "name", None))
        event = Event(pop_time(items, now), level, levelno, name, "")
        self._move_content(event, items)
        frame, thread = awaiting_caller()
        event.pathname, event.lineno, event.func_name = pop_callsite(items, frame)
        add_caller(event, thread)
        drop_same(items, caller_of(event))
        return event

    def _drop_repeated(self, event: Event, items: dict[str, Any]) -> None:
        """Remove the items that structlog's processors have copied from the record."""
        level = items.get("level")
        if isinstance(level, str) and number_of_method(level) == event.levelno:
            del items["level"]
        place = {"pathname": event.pathname, "lineno": event.lineno, "func_name": event.func_name}
        same = {"logger": event.logger, "level_number": event.levelno}
        drop_same(items, same | place | caller_of(event))
        event.timestamp = pop_time(items, event.timestamp)

    def _move_content(self, event: Event, items: dict[str, Any]) -> None:
        """Move message, template and exception from the items to the event."""
        event.message, event.template = pop_message(items, self._limit)
        self._move_failure(event, items)

    def _move_failure(self, event: Event, items: dict[str, Any]) -> None:
        """Move the exception from the items to the event."""
        failure = pop_failure(items, self._trace_limit)
        add_failure(event, failure, pop_stack(items))

    # ------------------------------------------------------------------ a text

    def text(
        self, text: str, level: int, logger: str, attributes: Mapping[str, Any] | None
    ) -> Event:
        """Read a text that comes from no logging call."""
        event = Event(now_utc(), name_of(level), level, logger, text)
        add_caller(event, None)
        event.attributes = dict(attributes or {})
        return event


def _drop_coloured(event: Event, items: dict[str, Any]) -> None:
    """Remove what uvicorn hands to its own formatter: the message again, with colours."""
    if "color_message" in items and str(event.logger).partition(".")[0] == "uvicorn":
        del items["color_message"]
