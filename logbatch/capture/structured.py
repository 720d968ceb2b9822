"""Lines that are JSON objects or logfmt, taken apart into columns and attributes.

The keys are those that structlog, python-json-logger, bunyan, pino, winston, zap, logrus, zerolog,
slog, Serilog, .NET, ECS, Google Cloud, GELF, journald and MongoDB write.  A line is taken apart
only if it has a message and, beside it, a level or a time; else it is a text like any other.  What
is not a column becomes an attribute.

Source: https://getpino.io/#/docs/api (levels), https://github.com/serilog/serilog-formatting-compact,
https://www.elastic.co/docs/reference/ecs/ecs-log,
https://cloud.google.com/logging/docs/structured-logging and https://brandur.org/logfmt
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from logbatch.capture.times import time_of_field
from logbatch.events.rendered import from_text, is_printed
from logbatch.events.stacktrace import Failure
from logbatch.levels import from_name, from_priority, name_of

Level = tuple[str, int]

# Of several names the first one that fits counts; the others stay attributes.
_MESSAGES = ("message", "msg", "@m", "Message", "event", "short_message", "@mt", "MESSAGE", "M")
_LEVELS: tuple[str, ...] = (
    "level",
    "severity",
    "log.level",
    "levelname",
    "lvl",
    "@l",
    "LogLevel",
    "Level",
)
_LEVELS += ("loglevel", "log_level", "level_name", "severity_text", "L", "s", "PRIORITY")
_TIMES: tuple[str, ...] = (
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "@t",
    "Timestamp",
    "datetime",
    "date",
    "asctime",
)
_TIMES += ("eventTime", "T", "t")
_LOGGERS: tuple[str, ...] = (
    "logger",
    "log.logger",
    "logger_name",
    "loggerName",
    "name",
    "SourceContext",
)
_LOGGERS += ("Category", "N", "c")
_TRACES = ("trace_id", "traceId", "trace.id"), ("span_id", "spanId", "span.id")
_STACKS = ("exc_info", "exception", "error.stack_trace", "stack_trace", "stacktrace", "@x")

_SEVERITIES = {"d": "debug", "i": "info", "w": "warning", "e": "error", "f": "fatal"}  # MongoDB
_PINO = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARNING", 50: "ERROR", 60: "CRITICAL"}
_SHORT = {"inf": "info", "wrn": "warning", "dbg": "debug", "trc": "trace", "ftl": "fatal"}
_SHORT |= {"default": "info", "vrb": "verbose", "error!": "error", "severe": "error"}
_SHORT |= {"dpanic": "fatal", "trce": "trace", "dbug": "debug", "fail": "error"}

_LONGEST_NAME = 20
_KEY, _QUOTED = r"[^\s\"={}]{1,100}+", r'"(?:[^"\\]++|\\.)*+"'
_PAIR = re.compile(rf'({_KEY})=({_QUOTED}|[^\s"]*+)(?:\s++|\Z)')
_HEX = (re.compile(r"(?!0+\Z)[0-9a-f]{32}"), re.compile(r"(?!0+\Z)[0-9a-f]{16}"))

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Parts(NamedTuple):
    """What a line says.

    Attributes:
        message: The text.
        level: Name and number, if it says one.
        moment: When it was logged, if it says so.
        logger: Name of the logger, if it says one.
        failure: The exception.
        trace_id: 32 hexadecimal digits.
        span_id: 16 of them.
        fields: All else, in order.
    """

    message: str
    level: Level | None = None
    moment: datetime | None = None
    logger: str | None = None
    failure: Failure | None = None
    trace_id: str | None = None
    span_id: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()


@lru_cache(maxsize=256)
def level_of_name(name: str) -> Level | None:
    """Return name and number of a level by any usual name; None if it is none."""
    folded = name.strip().lower()
    if not 0 < len(folded) <= _LONGEST_NAME:
        return None
    return from_name(_SHORT.get(folded, folded))


def from_json(text: str, read: float, limit: int) -> Parts | None:
    """Take a JSON object apart; None if it is none, or says nothing that a log says.

    Args:
        text: A whole line, or several.
        read: When it was read.
        limit: Most bytes of a stack trace.
    """
    try:
        found = _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if type(found) is not dict or not found:
        return None
    spare: list[tuple[str, Any]] = []
    if _encode(found).count(b'"') != text.count('"'):
        try:
            found, spare = _pairs(text)
        except (ValueError, RecursionError):  # what one parser takes, the other may not
            return None
    return _take(found, spare, read, limit)


def _pairs(text: str) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Return an object of which a key may stand twice, and the values of all but the last."""
    spare: list[tuple[str, Any]] = []
    depth: list[dict[str, Any]] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        spare[:] = []
        if len(result) < len(pairs):
            last = {key: index for index, (key, _) in enumerate(pairs)}
            spare[:] = [pair for index, pair in enumerate(pairs) if last[pair[0]] != index]
        depth.append(result)
        return result

    json.loads(text, object_pairs_hook=build)
    return depth[-1], spare  # the outermost object is built last


def from_logfmt(text: str, read: float, limit: int) -> Parts | None:
    """Take a line of `key=value` apart; None if it is none, or says nothing that a log says."""
    found: dict[str, Any] = {}
    spare: list[tuple[str, Any]] = []
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        key, value = pair.groups()
        if key in found:
            spare.append((key, _unquote(value)))
        else:
            found[key] = _unquote(value)
        at = pair.end()
    return _take(found, spare, read, limit) if len(found) > 1 else None


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(_decode(text))
    except (msgspec.MsgspecError, ValueError):  # another way of escaping
        return text[1:-1]


def _take(
    found: dict[str, Any], spare: list[tuple[str, Any]], read: float, limit: int
) -> Parts | None:
    """Take what are columns out of the fields."""
    message_key = next((key for key in _MESSAGES if isinstance(found.get(key), str)), None)
    if message_key is None:
        return None
    nested = found.get("log") if isinstance(found.get("log"), dict) else None  # ECS
    level_key, level = _find_level(found)
    time_key, moment = _find_time(found, read)
    nested_level = None
    if level is None and nested and isinstance(nested.get("level"), str):
        nested_level = level = level_of_name(nested["level"])
    if level is None and moment is None:
        return None
    message = found.pop(message_key)
    for key in (level_key, time_key):
        if key is not None:
            del found[key]
    logger = _pop_logger(found)
    if nested and (nested_level or logger is None):
        logger = _pop_nested(found, nested, logger, nested_level is not None)
    if level is not None and found.get("levelno") == level[1]:
        del found["levelno"]
    trace_id, span_id = (
        _pop_id(found, names, form) for names, form in zip(_TRACES, _HEX, strict=True)
    )
    failure = _pop_failure(found, limit)
    fields = (*found.items(), *spare)
    return Parts(message, level, moment, logger, failure, trace_id, span_id, fields)


def _find_level(found: dict[str, Any]) -> tuple[str | None, Level | None]:
    for key in _present(_LEVELS, found):
        level = _level_of(key, found[key], found)
        if level is not None:
            return key, level
    return None, None


def _present(keys: Iterable[str], found: dict[str, Any]) -> Iterable[str]:
    return (key for key in keys if key in found)


def _level_of(key: str, value: Any, found: dict[str, Any]) -> Level | None:
    if isinstance(value, str):
        if value.isdecimal() and len(value) < 4:
            value = int(value)
        elif key == "s":
            return from_name(_SEVERITIES.get(value[:1].lower(), "")) if "c" in found else None
        else:
            return level_of_name(value)
    if type(value) is not int or not 0 <= value < 1000:
        return None
    if key == "PRIORITY" or "short_message" in found:  # journald, GELF
        return from_priority(value)
    if "hostname" in found or "v" in found or isinstance(found.get("time"), int):  # bunyan, pino
        name = _PINO.get(value)
        return from_name(name) if name else None
    return (name_of(value), value) if value >= 5 else None


def _find_time(found: dict[str, Any], read: float) -> tuple[str | None, datetime | None]:
    for key in _present(_TIMES, found):
        moment = time_of_field(found[key], read)
        if moment is not None:
            return key, moment
    return None, None


def _pop_logger(found: dict[str, Any]) -> str | None:
    for key in _present(_LOGGERS, found):
        if isinstance(found[key], str) and found[key]:
            return str(found.pop(key))
    return None


def _pop_nested(
    found: dict[str, Any], nested: dict[str, Any], logger: str | None, has_level: bool
) -> str | None:
    """Take level and logger out of the object `log`."""
    rest = dict(nested)
    if has_level:
        del rest["level"]
    if logger is None and isinstance(rest.get("logger"), str):
        logger = rest.pop("logger")
    if rest:
        found["log"] = rest
    else:
        del found["log"]
    return logger


def _pop_id(found: dict[str, Any], names: Iterable[str], form: re.Pattern[str]) -> str | None:
    for key in _present(names, found):
        if isinstance(found[key], str) and form.fullmatch(found[key]):
            return str(found.pop(key))
    return None


def _pop_failure(found: dict[str, Any], limit: int) -> Failure | None:
    """Take the exception, where it is text as a program prints it or an object as pino's."""
    for key in _present(_STACKS, found):
        value = found[key]
        if isinstance(value, str) and "\n" in value:
            del found[key]
            if is_printed(value):
                return from_text(value, limit)
            kind, message = _pop_texts(found, "error.type", "error.message")
            return Failure(kind, message, value)
    for key in _present(("err", "error"), found):
        error = found[key]
        stack = error.get("stack") if isinstance(error, dict) else None
        if isinstance(stack, str):
            rest = {name: item for name, item in error.items() if name != "stack"}
            kind, message = _pop_texts(rest, *(("type" if "type" in rest else "name"), "message"))
            del found[key]
            if rest:
                found[key] = rest
            return Failure(kind, message, stack)
    return None


def _pop_texts(found: dict[str, Any], *keys: str) -> list[str | None]:
    return [found.pop(key) if isinstance(found.get(key), str) else None for key in keys]
