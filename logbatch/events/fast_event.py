"""The fast path of structlog: the line of an ordinary event, as `fast_path` makes that of a record.

An event is ordinary if it comes straight from a logger of structlog, with a text for its event, and
nothing in it that a column tells as well, but for the level, the logger and the time.  Its line is
the very one that the careful way comes to.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from datetime import UTC, datetime
from threading import current_thread, get_ident
from types import CodeType, FrameType
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from logbatch import forks
from logbatch.events.context import task_name, unmerged_values
from logbatch.events.eventdict import pop_level
from logbatch.events.fast_path import LONG
from logbatch.events.fields import NAME_BYTES
from logbatch.events.origins import Line, Origin, Origins, Unusual, encode, join, require
from logbatch.events.shapes import Shape, add_bound, make_attributes, passing_shape, shape_of
from logbatch.events.values import Describe

# What a column tells, or what asks for something.
_DOUBTFUL = frozenset(
    (
        *("_record", "_from_structlog", "_logger", "_name", "positional_args", "stacklevel"),
        *("exc_info", "exception", "stack", "stack_info", "level_number"),
        *("pathname", "lineno", "func_name", "process", "thread", "thread_name"),
    )
)
_TOLD = frozenset(("event", "level", "logger", "timestamp"))  # by columns as well, and ordinary
_ABSENT = object()
_ISO_LENGTH = len("2026-11-21T10:15:20.810123Z")
_MAX_PLACES = 4096
_MAX_SHAPES = 512
_MAX_LEVELS = 1024

# The dict behind getLevelName, which takes several times as long.
_level_names: dict[int, str] | None = getattr(logging, "_levelToName", None)
_name_of_level: Callable[[int], str | None] = (
    logging.getLevelName if _level_names is None else _level_names.get
)
_encode_lines = msgspec.json.Encoder().encode_lines
_getframe = sys._getframe
_modules = sys.modules


class _Level(NamedTuple):
    number: int
    named: str | None  # by `logging`, at that time
    before: Raw  # of the message: level, number and logger


class _Place(NamedTuple):
    level: _Level
    code: CodeType  # kept, so that no other gets its id


class FastEvents:
    """Makes the lines of ordinary events, and leaves all others to the careful way.

    Args:
        origins: What is known of places and threads.
        limit: Bytes of the longest value, and of the longest line; a longer one may have to be cut.
        event_carefully: Makes level and line of an event that may hold anything.
        describe: What makes the text of an attribute of a type that is not known.
    """

    def __init__(
        self,
        origins: Origins,
        limit: int,
        event_carefully: Callable[[object, str, Mapping[str, Any]], tuple[int, bytes]],
        describe: Describe = repr,
    ) -> None:
        self._limit = limit
        self._describe = describe
        self._event_carefully = event_carefully
        self._origins = origins
        self._known = origins.known
        self._levels: dict[tuple[Any, ...], _Level] = {}
        self._places: dict[tuple[int, int], tuple[CodeType, bytes]] = {}
        self._shapes: dict[tuple[str, ...], Shape] = {}  # by the names in an event
        self._newest: set[tuple[str, ...]] = set()  # names that came once, and may not come again

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
        try:
            names = tuple(event_dict)
            shape = self._shapes.get(names) or self._learn_shape(names)
            message = event_dict["event"]
            if (
                type(message) is not str
                or not message
                or len(message) > LONG
                or method_name == "exception"
            ):
                raise Unusual
            name = getattr(logger, "name", None)
            if "logger" in event_dict:
                name = _name_of(name, event_dict["logger"])
            told = event_dict.get("timestamp", _ABSENT)
            if type(told) is str and len(told) == _ISO_LENGTH and told[-1] == "Z":
                moment = datetime.fromisoformat(told)
            else:
                moment = _moment_of(told)
            if not moment.microsecond:  # whole seconds have a meaning of their own
                raise Unusual
            values = shape.read(event_dict)
            attributes = make_attributes(shape, values, self._limit, self._describe)
            context = copy_context()
            if context:
                _check_not_awaited(context)
                if bound := unmerged_values():
                    attributes = add_bound(bound, shape, attributes, self._limit, self._describe)
            frame = _find_caller(_getframe(2))  # behind the processor's own
            # fmt: off
            key = (
                method_name, event_dict.get("level", _ABSENT), name or "",
                forks.pid, get_ident(), current_thread().name,
                id(frame.f_code), frame.f_lasti,
            )
            # fmt: on
            origin = self._known.get(key) or self._learn(key, frame)
            before, behind, _, (level, _) = origin
            if level.named != _name_of_level(level.number):  # it was given another name since
                self._forget_levels()
                raise Unusual
            task = task_name() if "asyncio" in _modules else None
            if task or "opentelemetry.trace" in _modules:
                behind = self._origins.with_task(origin, task)
            line = _encode_lines([Line(moment, before, message, message, behind, attributes)])
            if len(line) <= self._limit:
                return level.number, line
        except Exception:  # whatever it is, it is nothing for the fast path
            pass
        return self._event_carefully(logger, method_name, event_dict)

    def _learn(self, key: tuple[Any, ...], frame: FrameType) -> Origin:
        named, caller = key[:3], key[3:6]
        level = self._levels.get(named) or self._learn_level(named)
        code = frame.f_code
        _, after = self._places.get((id(code), frame.f_lasti)) or self._learn_place(frame)
        return self._origins.learn(key, level.before, after, caller, _Place(level, code))

    def _forget_levels(self) -> None:
        self._levels.clear()
        self._known.clear()

    def _learn_level(self, key: tuple[Any, ...]) -> _Level:
        method_name, told, logger = key
        require(type(logger) is str and len(logger) < NAME_BYTES // 6)
        require(type(method_name) is str and (told is _ABSENT or type(told) is str))
        items = {} if told is _ABSENT else {"level": told}
        name, number = pop_level(items, method_name)
        require(not items and 0 < len(name) < NAME_BYTES // 6)
        before = Raw(encode(name) + join((("levelno", number), ("logger", logger))))
        if len(self._levels) >= _MAX_LEVELS:
            self._levels.clear()
        level = self._levels[key] = _Level(number, _name_of_level(number), before)
        return level

    def _learn_place(self, frame: FrameType) -> tuple[CodeType, bytes]:
        code = frame.f_code
        path, function = code.co_filename, code.co_name
        require(path and function and max(len(path), len(function)) < NAME_BYTES // 6)
        after = encode(path) + join((("lineno", frame.f_lineno), ("func_name", function)))
        if len(self._places) >= _MAX_PLACES:
            self._places.clear()
        place = self._places[id(code), frame.f_lasti] = code, after
        return place

    def _learn_shape(self, names: tuple[str, ...]) -> Shape:
        """Return the shape of the attributes among some names, and keep it if they come again."""
        require(_DOUBTFUL.isdisjoint(names))
        kept = tuple(name for name in names if name not in _TOLD)
        if len(self._shapes) >= _MAX_SHAPES:
            return passing_shape(kept, kept)
        if names not in self._newest:
            if len(self._newest) >= _MAX_SHAPES:
                self._newest.clear()
            self._newest.add(names)
            return passing_shape(kept, kept)
        shape = self._shapes[names] = shape_of(kept, kept)
        return shape


def _name_of(name: object, told: object) -> object:
    """Return the name of a logger: the one in the event, which is structlog's where it has one."""
    require(type(told) is str and (told == name or type(name) is not str))
    return told


def _moment_of(told: object) -> datetime:
    """Read the time of an event, in seconds as structlog's TimeStamper has it by itself."""
    if told is _ABSENT:
        return datetime.fromtimestamp(time.time(), UTC)
    require(type(told) is float)
    return datetime.fromtimestamp(told, UTC)  # type: ignore[arg-type]


def _check_not_awaited(context: Context) -> None:
    """Leave `ainfo` and the like, which log in another thread, to the careful way."""
    require(all(not variable.name.startswith("_ASYNC_CALLING") for variable in context))


# By module name: whether a frame of it is structlog's, and whether it stands between structlog and
# the call: two plain dicts, which is the fastest there is.
_is_structlogs: dict[str, bool] = {}
_is_between: dict[str, bool] = {}


def _learn_module(name: str) -> None:
    if len(_is_between) >= _MAX_PLACES:
        _is_structlogs.clear()
        _is_between.clear()
    package = name.partition(".")[0]
    _is_between[name] = package in ("structlog", "logging")
    _is_structlogs[name] = package == "structlog"


def _find_caller(start: FrameType) -> FrameType:
    """Find the frame that called structlog, behind ours and those of other processors."""
    frame: FrameType | None = start
    try:
        while not _is_structlogs[frame.f_globals["__name__"]]:  # type: ignore[union-attr]
            frame = frame.f_back  # type: ignore[union-attr]
        frame = frame.f_back  # type: ignore[union-attr]
        while _is_between[frame.f_globals["__name__"]]:  # type: ignore[union-attr]
            frame = frame.f_back  # type: ignore[union-attr]
    except KeyError as error:
        (name,) = error.args
        if name in _is_between:  # a module without a name
            raise Unusual from None
        _learn_module(name)
        return _find_caller(start)
    assert frame is not None
    return frame
