"""Take each record that a program logs, once, whatever it does to its handlers.

A handler on the root logger would change the program: `basicConfig()` does nothing where there is
one, `logging.lastResort` falls silent, and `dictConfig` removes it.  So what is replaced is one
method, `logging.Logger.callHandlers`, to which every logger gives each record that it lets pass.
It calls the original, and then stores the record.  How often a record is passed up, and to whom,
makes no difference.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from types import FunctionType
from typing import Any

from logbatch import forks
from logbatch.batching.delivery import delivering
from logbatch.events.event import LineEncoder
from logbatch.handler import BatchHandler
from logbatch.trouble import describe

_NAMES = ("name", "msg", "args", "levelname", "levelno")
_read_fields = itemgetter(*_NAMES)  # those that formatters change: for colours, mostly


class RunHandler(BatchHandler):
    """A handler that adds the run's id to the attributes of each record.

    Args:
        transport: As for `BatchHandler`.
        run_id: The run.
        **options: As for `BatchHandler`.
    """

    def __init__(self, transport: str | None, run_id: str, **options: Any) -> None:
        super().__init__(transport, **options)
        encode, mark = self._encode, marker(run_id)
        self._encode = lambda record: mark(encode(record))
        self._mark = mark
        given = self._batcher.options
        self._encode_event = LineEncoder(
            service=given.service,
            host=given.host,
            max_value_bytes=given.max_value_bytes,
            objects=given.objects,
        ).event_dict

    @property
    def directory(self) -> Path | None:
        """Where its journal is; None for memory."""
        return self._batcher.directory

    @property
    def destination(self) -> str | None:
        """The name of its destination, if that is files of this machine."""
        transport = self._batcher.transport
        return transport.destination if transport.writes_files else None

    @property
    def service(self) -> str | None:
        """What it was told that the program is called."""
        return self._batcher.options.service

    @property
    def way(self) -> object:
        """What tells its destination from others."""
        return self._way

    def take_event(self, logger: object, method_name: str, event_dict: dict[str, Any]) -> None:
        """Store an event of structlog."""
        batcher = self._batcher
        try:
            if delivering and threading.get_ident() in delivering:
                return
            level, line = self._encode_event(logger, method_name, event_dict)
            if level >= self.level:
                batcher.append(self._mark(line), level)
        except Exception as error:
            text = f"cannot store an event, it may be lost: {describe(error)}"
            batcher.report("processor", text, error)

    def is_same_place(self, other: BatchHandler) -> bool:
        """Return whether another handler delivers to the same destination."""
        return other._way == self._way

    def handleError(self, record: logging.LogRecord) -> None:
        """Print nothing: the program's own handlers have printed that arguments do not fit."""


def marker(run_id: str) -> Callable[[bytes], bytes]:
    """Return what adds a run's id to the attributes of a line, unless it has one already."""
    key = b'"run_id":'
    member = key + f'"{run_id}"'.encode()
    further, first = b",%b}}\n" % member, b',"attributes":{%b}}\n' % member

    def mark(line: bytes) -> bytes:
        if key in line:
            return line
        return line[:-3] + further if line.endswith(b"}}\n") else line[:-2] + first

    return mark


class Records:
    """Stores what loggers let pass.

    Args:
        handler: Where it is stored.

    Attributes:
        watched: Exceptions, by `id`, of which somebody wants to know whether they are logged; one
            that is, is taken out.
    """

    def __init__(self, handler: RunHandler) -> None:
        self.watched: set[int] = set()
        self._handler = handler
        self._emit = handler.emit
        self._level = handler.level

    def install(self) -> None:
        """Replace `logging.Logger.callHandlers`."""
        original = logging.Logger.callHandlers
        store = self._store

        def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:
            """Pass a record to all relevant handlers."""
            if delivering and record.thread in delivering:
                return  # by us: it would be printed where the program alone prints nothing
            try:
                before = _read_fields(record.__dict__)
            except KeyError:
                before = None
            try:
                original(self, record)
            finally:
                store(self, record, before)

        # What `logging` prints of a handler that fails ends at the first frame which is not its.
        code = callHandlers.__code__.replace(co_filename=original.__code__.co_filename)
        assert isinstance(callHandlers, FunctionType)
        callHandlers.__code__ = code
        logging.Logger.callHandlers = callHandlers  # type: ignore[method-assign]

    def _store(
        self, logger: logging.Logger, record: logging.LogRecord, before: tuple[Any, ...] | None
    ) -> None:
        if self._level and record.levelno < self._level:
            return
        if self.watched and record.exc_info:
            self.watched.discard(id(record.exc_info[1]))
        if record.process != forks.pid and _was_taken_there(record.process):
            return
        above: logging.Logger | None = logger
        while above is not None:
            for each in above.handlers:
                if isinstance(each, BatchHandler) and self._is_stored_by(each, record):
                    return
            above = above.parent if above.propagate else None
        if before is not None and _differs(before, record.__dict__):
            record = copy.copy(record)
            vars(record).update(zip(_NAMES, before, strict=True))
        self._emit(record)

    def _is_stored_by(self, other: BatchHandler, record: logging.LogRecord) -> bool:
        """Return whether the program itself stores this record in the same place."""
        return record.levelno >= other.level and self._handler.is_same_place(other)


def _differs(before: tuple[Any, ...], fields: dict[str, Any]) -> bool:
    name, message, args, level, number = before
    return not (
        fields.get("msg") is message
        and fields.get("args") is args
        and fields.get("levelname") is level
        and fields.get("levelno") is number
        and fields.get("name") is name
    )


@lru_cache(4096)
def _was_taken_there(pid: object) -> bool:
    """Return whether a record of another process was stored there: it is run by us as well.

    Programs send records from their processes to one, which logs them again.
    """
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    at = command.index(b"run") if b"run" in command else 0
    return at > 0 and b"logbatch" in os.path.basename(command[at - 1])
