"""The fast path: the line of an ordinary record, which is most of what a logging call costs.

A record is ordinary if it is a plain `logging.LogRecord` with a string as message, no exception,
and nothing very long in it.  All other records, and those for which anything fails here, take the
careful path, which makes the same line of an ordinary record.

What stays the same from call to call is encoded once, after its types were checked, and cached: by
place (logger, level, file, line, function), by thread, and by the names of the extra fields.  A
full cache is emptied.  No lock is needed: two threads that fill an entry at the same time store the
same value, in one step.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from logbatch.events.context import bound_values, task_name, trace_ids
from logbatch.events.encoder import encode_value, is_small
from logbatch.events.fields import NAME_BYTES
from logbatch.events.values import MAX_DEPTH, TEXTS, Describe

STANDARD = tuple(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)  # Pythons differ
FORMATTED = ("message", "asctime")  # what a formatter of another handler sets on a record

_LogRecord = logging.LogRecord
encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_moment_of = datetime.fromtimestamp
_modules = sys.modules

_COUNT = len(STANDARD)
_HAS_TASK = "taskName" in STANDARD
_PLACE = ("name", "levelname", "levelno", "pathname", "lineno", "funcName")
_CALLER = ("process", "thread", "threadName")
_REST = ("msg", "args", "exc_info", "exc_text", "stack_info", "created")
_TASK = "taskName" if _HAS_TASK else "exc_text"  # which is None on the fast path
# All standard fields are read, also the five that no column needs: if none is missing, the extra
# fields are those that follow, and none of them has a standard name.
_UNUSED = [name for name in STANDARD if name not in {*_PLACE, *_CALLER, *_REST, _TASK}]
_read_origin = itemgetter(*_PLACE, *_CALLER)
_read_place = itemgetter(*_PLACE)
_read_caller = itemgetter(*_CALLER)
_read_rest = itemgetter(*_REST, _TASK, *_UNUSED)
# Names that need not be extra fields: structlog passes them on, or a newer Python sets them.
TOLD_BY_STRUCTLOG = frozenset(("level", "logger", "timestamp", "exception", "stack"))
_DOUBTFUL = TOLD_BY_STRUCTLOG | {*STANDARD, "taskName", "_logger", "_name", "color_message"}

LONG = 10_000  # characters of a template
_SMALL = 4096  # characters of a container that goes into the line as it is
_PLAIN = frozenset((str, int, bool, type(None)))
# Types whose text is short, or at least takes no longer than the value did.
_NOT_SIZED = frozenset((int, float, bool, type(None), *TEXTS))
_MAX_PLACES = 4096
_MAX_ORIGINS = 4096
_MAX_CALLERS = 1024
MAX_NAMES = 64
_MAX_MISSES = 16


class Unusual(Exception):
    """The record is not ordinary."""


class Line(msgspec.Struct, gc=False, omit_defaults=True):
    """A line in parts: some fields hold their value and the keys that follow it."""

    timestamp: datetime
    level: Raw  # with what else stands before the message
    message: str
    template: str
    pathname: Raw  # with what else stands behind the message
    attributes: Any = None


class Origin(NamedTuple):
    """Where records come from: a place and a thread.

    Attributes:
        before: What stands in their lines before the message.
        behind: What stands behind it.
        beginning: The same without what the program adds.
        place: Where they are logged.
    """

    before: Raw
    behind: Raw
    beginning: bytes
    place: Any


class Origins:
    """What is known of where records come from: how it stands in their lines.

    Args:
        service: The `service` column.
        host: The `host` column.
    """

    def __init__(self, service: str | None, host: str | None) -> None:
        self.known: dict[tuple[Any, ...], Origin] = {}
        self._program = join((("service", service), ("host", host)))
        self._callers: dict[tuple[Any, ...], bytes] = {}
        self._tasks: dict[str, bytes] = {}

    def learn(
        self, key: tuple[Any, ...], before: Raw, after: bytes, caller: tuple[Any, ...], place: Any
    ) -> Origin:
        """Keep in mind what is known of records from one place and thread.

        Args:
            key: Finds it in `known`.
            before: What stands before the message.
            after: The columns behind it that tell the place.
            caller: Process, thread and its name.
            place: Where they are logged.
        """
        beginning = after + (self._callers.get(caller) or self._learn_caller(caller))
        origin = Origin(before, Raw(beginning + self._program), beginning, place)
        if len(self.known) >= _MAX_ORIGINS:
            self.known.clear()
        self.known[key] = origin
        return origin

    def _learn_caller(self, caller: tuple[Any, ...]) -> bytes:
        process, thread, name = caller
        for number in (process, thread):
            require(number is None or (type(number) is int and 0 <= number < 1 << 63))
        require(name is None or (type(name) is str and len(name) < NAME_BYTES // 6))
        told = join((("process", process), ("thread", thread), ("thread_name", name or None)))
        if len(self._callers) >= _MAX_CALLERS:
            self._callers.clear()
        self._callers[caller] = told
        return told

    def with_task(self, origin: Origin, task: str | None) -> Raw:
        """Return what stands behind the message in a task or a trace."""
        trace_id, span_id = trace_ids()
        told = (self._tasks.get(task) or self._learn_task(task)) if task else b""
        if trace_id is not None:
            told += join((("trace_id", trace_id), ("span_id", span_id)))
        return Raw(origin.beginning + told + self._program) if told else origin.behind

    def _learn_task(self, task: str) -> bytes:
        require(type(task) is str and len(task) < NAME_BYTES // 6)
        if len(self._tasks) >= _MAX_CALLERS:
            self._tasks.clear()
        told = self._tasks[task] = join((("task", task),))
        return told


class FastPath:
    """Makes the lines of ordinary records, and passes all others to the careful path.

    Args:
        origins: What is known of places and threads.
        limit: Most bytes of a value, and of a line; in a longer one a value may have to be cut.
        record_carefully: Makes the line of any record.
        describe: What makes the text of an attribute of a type that is not known.
    """

    def __init__(
        self,
        origins: Origins,
        limit: int,
        record_carefully: Callable[[logging.LogRecord], bytes],
        describe: Describe = repr,
    ) -> None:
        self._limit = limit
        self._describe = describe
        self._record_carefully = record_carefully
        self._origins = origins
        self._known = origins.known
        self._places: dict[tuple[Any, ...], _Place] = {}

    def record(self, record: logging.LogRecord) -> bytes:
        """Make the line of a record, which is not changed."""
        try:
            fields = record.__dict__
            origin = self._known.get(_read_origin(fields)) or self._learn(fields)
            before, behind, _, place = origin
            # fmt: off
            message, args, exc_info, exc_text, stack_info, created, task, _, _, _, _, _ = (
                _read_rest(fields)
            )
            # fmt: on
            if (
                type(message) is not str
                or type(args) is not tuple
                or (exc_info or exc_text or stack_info or not message)
                or type(record) is not _LogRecord
                or len(message) > LONG
            ):
                raise Unusual
            limit = self._limit
            shape = attributes = None
            if len(fields) != _COUNT:
                shape = place.shapes.get(len(fields)) or place.learn_shape(fields)
                try:
                    values = shape.read(fields)
                except KeyError:  # the names differ from the last time
                    shape = place.learn_shape(fields)
                    values = shape.read(fields)
                attributes = make_attributes(shape, values, limit, self._describe)
            for value in args:
                kind = type(value)
                if kind is str:
                    if len(value) > limit:
                        raise Unusual
                elif kind not in _NOT_SIZED and not is_small(value, limit // 4):
                    raise Unusual
            text = message % args if args else message
            if not _HAS_TASK and "asyncio" in _modules:
                task = task_name()
            context = copy_context()
            if context and (bound := bound_values(context)):
                attributes = add_bound(bound, shape, attributes, limit, self._describe)
            if task or "opentelemetry.trace" in _modules:
                behind = self._origins.with_task(origin, task)
            moment = _moment_of(created, UTC)
            line = _encode_lines([Line(moment, before, text, message, behind, attributes)])
            if len(line) <= limit:
                return line
        except Exception:  # whatever it is, it is not ordinary
            pass
        return self._record_carefully(record)

    def _learn(self, fields: dict[str, Any]) -> Origin:
        place = self._places.get(_read_place(fields)) or self._learn_place(fields)
        return self._origins.learn(
            _read_origin(fields), place.before, place.after, _read_caller(fields), place
        )

    def _learn_place(self, fields: dict[str, Any]) -> _Place:
        key = logger, level, levelno, path, lineno, function = _read_place(fields)
        require(type(logger) is type(level) is type(path) is str and level and path)
        require(type(levelno) is type(lineno) is int and type(function) in (str, type(None)))
        require(min(levelno, lineno) >= -(1 << 31) and max(levelno, lineno) < 1 << 31)
        require(max(map(len, (logger, level, path, function or ""))) < NAME_BYTES // 6)
        before = join((("levelno", levelno), ("logger", logger)))
        after = join((("lineno", lineno), ("func_name", function or None)))
        place = _Place(Raw(encode(level) + before), encode(path) + after)
        if len(self._places) >= _MAX_PLACES:
            self._places = {}
        self._places[key] = place
        return place


def require(condition: object) -> None:
    """Leave what does not fulfil a condition to the careful way."""
    if not condition:
        raise Unusual


def join(pairs: Iterable[tuple[str, object]]) -> bytes:
    """Encode pairs as the continuation of a JSON object."""
    return b"".join(
        b',"%b":%b' % (key.encode(), encode(value)) for key, value in pairs if value is not None
    )


# ------------------------------------------------------------------ extra fields


class _Place:
    """What is cached for the place of a logging call."""

    __slots__ = ("_misses", "_newest", "after", "before", "shapes")

    def __init__(self, before: Raw, after: bytes) -> None:
        self.before = before
        self.after = after  # of the message
        self.shapes: dict[int, Shape] = {}  # by the number of fields
        self._newest: tuple[str, ...] | None = None  # names that came once, and may not come again
        self._misses = 0

    def learn_shape(self, fields: dict[str, Any]) -> Shape:
        """Cache the names of the extra fields; a place where they keep changing caches none."""
        names = tuple(islice(fields, _COUNT, None))
        require(_DOUBTFUL.isdisjoint(names))
        kept = tuple(name for name in names if name not in FORMATTED)
        if names != self._newest:
            self._newest = names
            return passing_shape(names, kept)
        shape = shape_of(names, kept)
        self._misses += 1
        self.shapes = {**self.shapes, len(fields): shape} if self._misses < _MAX_MISSES else {}
        return shape


class Shape(NamedTuple):
    """The names of some fields: how to read the values, and how to make attributes of them."""

    names: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    make: Callable[..., Any]


def passing_shape(names: tuple[str, ...], kept: tuple[str, ...]) -> Shape:
    """Make a shape in a moment, for a single record.

    Args:
        names: The fields.
        kept: Those of them that are attributes.
    """
    require(len(names) <= MAX_NAMES)
    require(all(type(name) is str and len(name) < NAME_BYTES // 24 for name in names))
    read = _reader(kept, names)
    return Shape(kept, read, lambda *values: dict(zip(kept, values, strict=True)) or None)


@lru_cache(maxsize=512)
def shape_of(names: tuple[str, ...], kept: tuple[str, ...]) -> Shape:
    """Make a shape that serves best, which takes as long as some records do."""
    _, read, make = passing_shape(names, kept)
    if kept:
        keys = {f"field{index}": name for index, name in enumerate(kept)}
        make = msgspec.defstruct("Attributes", list(keys), rename=keys, gc=False)
    return Shape(kept, read, make)


def make_attributes(shape: Shape, values: tuple[Any, ...], limit: int, describe: Describe) -> Any:
    """Make attributes of their values; those that are not plain are replaced by their JSON."""
    for value in values:
        kind = type(value)
        if kind is str:
            if len(value) > limit:
                raise Unusual
        elif kind is not int:
            if kind is float:
                if value - value == 0.0:  # neither NaN nor an infinity
                    continue
            elif kind is bool or value is None:
                continue
            return shape.make(*[tame_value(each, limit, describe) for each in values])
    return shape.make(*values)


def _reader(
    kept: tuple[str, ...], names: tuple[str, ...]
) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function that reads what is kept, and raises KeyError if any field is missing."""
    if kept == names and len(names) > 1:
        return itemgetter(*names)
    order = (*kept, *(name for name in names if name not in kept))

    def read(fields: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple([fields[name] for name in order])[: len(kept)]

    return read


def tame_value(value: Any, limit: int, describe: Describe) -> Any:
    """Return what the encoder makes the right JSON of."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict or kind is list or kind is tuple:
        if _spare_room(value, _SMALL, MAX_DEPTH) >= 0:
            return value
        return Raw(encode_value(value, limit, describe))
    if (convert := TEXTS.get(kind)) is not None:
        return convert(value, limit)
    return Raw(encode_value(value, limit, describe))


def _spare_room(container: Any, room: int, depth: int) -> int:
    """Return how much of some room a container of plain JSON data leaves; below 0 if it is not.

    It takes about its length in characters, estimated from below.
    """
    room -= len(container)
    if room < 0 or depth < 0:
        return -1
    values = container
    if type(container) is dict:
        for key in container:
            if type(key) is not str:
                return -1
            room -= len(key)
        values = container.values()
    for value in values:
        kind = type(value)
        if kind is str:
            room -= len(value)
        elif kind is dict or kind is list or kind is tuple:
            room = _spare_room(value, room, depth - 1)
        elif kind is float:
            if value - value != 0.0:  # NaN or an infinity
                return -1
        elif kind is not int and kind is not bool and value is not None:
            return -1
        if room < 0:
            return -1
    return room


def add_bound(
    bound: dict[str, Any], shape: Shape | None, attributes: Any, limit: int, describe: Describe
) -> Any:
    """Put bound values before the other attributes, which win over a bound value."""
    merged = bound
    if _spare_room(bound, _SMALL, MAX_DEPTH) < 0:
        merged = {key: tame_value(value, limit, describe) for key, value in bound.items()}
    if shape is not None and attributes is not None:
        values = attributes.values() if type(attributes) is dict else astuple(attributes)
        merged.update(zip(shape.names, values, strict=True))
    return merged
