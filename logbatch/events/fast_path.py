"""The fast path: the line of an ordinary record, which is most of what a logging call costs.

A record is ordinary if it is a plain `logging.LogRecord` with a string as message, no exception,
and nothing very long in it.  All other records, and those for which anything fails here, take the
careful path, which makes the same line of an ordinary record.

What stays the same from call to call is encoded once, after its types were checked, and cached: by
place (logger, level, file, line, function) and thread (`origins`), and by the names of the extra
fields (`shapes`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Raw

from logbatch.events.context import bound_values, task_name
from logbatch.events.encoder import is_small
from logbatch.events.fields import NAME_BYTES
from logbatch.events.origins import Line, Origin, Origins, Unusual, encode, join, require
from logbatch.events.shapes import Shape, add_bound, make_attributes, passing_shape, shape_of
from logbatch.events.values import TEXTS, Describe

STANDARD = tuple(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)  # Pythons differ
FORMATTED = ("message", "asctime")  # what a formatter of another handler sets on a record

_LogRecord = logging.LogRecord
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
# Types whose text is short, or at least takes no longer than the value did.
_NOT_SIZED = frozenset((int, float, bool, type(None), *TEXTS))
_MAX_PLACES = 4096
_MAX_MISSES = 16


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
