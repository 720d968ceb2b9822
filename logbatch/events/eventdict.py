"""The columns of a structlog event: each `pop_*` removes a column from the event and returns it.

What is left in the end are the attributes.  A key is removed only if it has the meaning that
structlog's own processors give it; a field of the application with the same name stays an
attribute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from logbatch.events.context import find_caller
from logbatch.events.encoder import encode_value, is_small, text_of
from logbatch.events.fields import TEMPLATE_BYTES
from logbatch.events.rendered import from_dicts, from_text, is_printed
from logbatch.events.stacktrace import (
    STACK_HEADER,
    Failure,
    from_exc_info,
    render_stack,
)
from logbatch.events.values import fit_text
from logbatch.levels import name_of, number_of_method

_CALLSITE = ("pathname", "lineno", "func_name")
_TIME_BYTES = 16  # len("2026-11-21T03:56"): a shorter text is not a time


def pop_level(items: dict[str, Any], method_name: str) -> tuple[str, int]:
    """Pop name and number of the level.  A method that is not a level counts as INFO."""
    level = items.get("level")
    number = number_of_method(level) if isinstance(level, str) else None
    if number is not None:
        del items["level"]
    else:
        number = number_of_method(method_name)
    if number is None:
        number = logging.INFO
        name = method_name.upper() or "INFO"
        if isinstance(level, str) and level == method_name:
            del items["level"]
    else:
        name = name_of(number)
    drop_same(items, {"level_number": number})
    return name, number


def pop_logger(items: dict[str, Any], name: object) -> str:
    """Pop the name of the logger, which is its own name or that from `add_logger_name`."""
    told = items.get("logger")
    if isinstance(told, str) and (told == name or not isinstance(name, str)):
        del items["logger"]
        return told
    return name if isinstance(name, str) else ""


def pop_time(items: dict[str, Any], now: datetime) -> datetime:
    """Pop the time of the event; one that cannot be read stays, and `now` is returned."""
    if "timestamp" not in items:
        return now
    moment = read_time(items["timestamp"], now)
    if moment is None:
        return now
    del items["timestamp"]
    # Whole seconds, structlog's default, would lose the order of events within a second.
    is_this_second = moment.microsecond == 0 and timedelta() <= now - moment < timedelta(seconds=1)
    return now if is_this_second else moment


def read_time(value: object, now: datetime) -> datetime | None:
    """Read a time in any of structlog's forms: seconds since 1970, or ISO 8601.

    A text without an offset is local time, as `TimeStamper(utc=False)` writes it, unless it is the
    current time in UTC, as a `TimeStamper` with its own format writes it.
    """
    try:
        if isinstance(value, float | int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            value = datetime.fromisoformat(value) if len(value) >= _TIME_BYTES else None
        if not isinstance(value, datetime):
            return None
        if value.tzinfo is None and abs(value.replace(tzinfo=UTC) - now) < timedelta(minutes=1):
            value = value.replace(tzinfo=UTC)
        value = value.astimezone(UTC)
        return datetime.combine(value.date(), value.time(), UTC)  # not of a subclass
    except Exception:  # out of range, or a subclass that is not a time, such as pandas' NaT
        return None


def pop_message(items: dict[str, Any], limit: int) -> tuple[str, str]:
    """Pop message and template.

    Arguments that do not fit the message stay in the attributes, as `args`.
    """
    key = next((key for key in ("event", "message", "msg") if key in items), "event")
    event = items.pop(key, None)
    message = "" if event is None else text_of(event, limit)
    template = template_of(event, message, limit)
    args = items.pop("positional_args", None)
    try:
        if args:
            return format_message(message, _unwrap(args), limit), template
    except Exception:  # they do not fit, or have a method of their own that fails
        items["positional_args" if "args" in items else "args"] = args
    return message, template


def template_of(value: object, text: str, limit: int) -> str:
    """Return the template of a message: at most its first 64 KiB.

    Args:
        value: The message as it was logged.
        text: Its text, cut to `limit`.
        limit: Most bytes of a message.
    """
    limit = min(limit, TEMPLATE_BYTES)
    if len(text) <= limit // 6:
        return text
    return fit_text(value if isinstance(value, str) else text, limit)


def _unwrap(args: Any) -> Any:
    """Return a single mapping instead of the tuple, as for `logger.info("%(a)s", {"a": 1})`."""
    is_mapping = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
    return args[0] if is_mapping else args


def format_message(template: str, args: Any, limit: int) -> str:
    """Format a message as `logging` does; arguments that are too long are cut first."""
    if type(args) is tuple:
        args = tuple(_tame(value, limit) for value in args)
    elif type(args) is dict and not is_small(args, limit // 4):
        if "%(" in template:
            args = {key: _tame(value, limit) for key, value in args.items()}
        else:  # a lone dict that `logging` has unwrapped
            args = (_tame(args, limit),)
    return fit_text(template % args, limit)


def _tame(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else fit_text(value, limit // 2)
    return value if is_small(value, limit // 4) else encode_value(value, limit // 2).decode()


def pop_failure(items: dict[str, Any], limit: int) -> Failure | None:
    """Pop the exception, whether it is rendered already or not."""
    failure = from_exc_info(items.pop("exc_info", None), limit)
    rendered = items.get("exception")
    if failure is not None:
        return failure
    if isinstance(rendered, str) and is_printed(rendered):
        return from_text(items.pop("exception"), limit)
    if not isinstance(rendered, list) or not _is_stacks(rendered):
        return None
    if not any("locals" in frame for stack in rendered for frame in stack["frames"]):
        del items["exception"]  # the columns hold all of it
    return from_dicts(rendered, limit)


def _is_stacks(rendered: list[Any]) -> bool:
    return bool(rendered) and all(
        isinstance(stack, dict) and "exc_type" in stack and isinstance(stack.get("frames"), list)
        for stack in rendered
    )


def pop_stack(items: dict[str, Any]) -> str | None:
    """Pop the stack that `StackInfoRenderer` has rendered, or that `stack_info=True` requests."""
    for key in ("stack", "stack_info"):
        text = items.get(key)
        if isinstance(text, str) and text.startswith(STACK_HEADER):
            del items[key]
            return text
    asked = items.get("stack_info")
    if isinstance(asked, bool | None):
        items.pop("stack_info", None)
    return render_stack(find_caller({})[0]) if asked is True else None


def pop_callsite(
    items: dict[str, Any], start: FrameType | None
) -> tuple[str | None, int | None, str | None]:
    """Pop path, line and function of the call; they are read from the stack.

    Args:
        items: The event.
        start: The frame of the call, if it is known.
    """
    callsite = {key: items[key] for key in _CALLSITE if type(items.get(key)) in (str, int)}
    skip = items.pop("stacklevel") - 1 if type(items.get("stacklevel")) is int else 0
    frame, is_told = find_caller(callsite, skip, start)
    if is_told:
        for key in callsite:
            del items[key]
    if frame is None:
        return None, None, None
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


def drop_same(items: dict[str, Any], columns: Mapping[str, object]) -> None:
    """Remove the items that repeat a column."""
    for key, value in columns.items():
        if key in items and type(items[key]) is type(value) and items[key] == value:
            del items[key]


def now_utc() -> datetime:
    """Return the current time."""
    return datetime.fromtimestamp(time.time(), UTC)
