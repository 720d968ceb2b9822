"""Where records come from: what stays the same of a place and a thread is encoded once.

A full cache is emptied.  No lock is needed: two threads that fill an entry at the same time store
the same value, in one step.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from logbatch.events.context import trace_ids
from logbatch.events.fields import NAME_BYTES

encode = msgspec.json.Encoder().encode
_MAX_ORIGINS = 4096
_MAX_CALLERS = 1024


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


def require(condition: object) -> None:
    """Leave what does not fulfil a condition to the careful way."""
    if not condition:
        raise Unusual


def join(pairs: Iterable[tuple[str, object]]) -> bytes:
    """Encode pairs as the continuation of a JSON object."""
    return b"".join(
        b',"%b":%b' % (key.encode(), encode(value)) for key, value in pairs if value is not None
    )
