"""Events of one stream as lines of JSON.

What is the same in all of them is encoded once, by the encoder itself: an event of it is encoded
and taken apart.  What differs in a plain line is its time, level, message and number, so thousands
of them are put together at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from logbatch.capture.structured import Level
from logbatch.events.event import LineEncoder
from logbatch.events.fields import Event, add_failure
from logbatch.events.stacktrace import Failure

LOGGER = "run"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_HEADS = 1024

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_join = b"".join


class Assembler:
    """Makes the events of one stream.

    Args:
        encoder: Makes any event; a plain line is encoded here as it would do it.
        own: The attributes of each event, beside the number of its line.
        pid: The process.

    Attributes:
        longest: Most characters of a plain line.
    """

    def __init__(self, encoder: LineEncoder, own: Mapping[str, Any], pid: int) -> None:
        self._encoder = encoder
        self._own = dict(own)
        self._pid = pid
        self._heads: dict[tuple[Level, str], bytes] = {}
        self._tail = b""
        self.longest = encoder.max_value_bytes // 6 if self._learn(("INFO", 20), LOGGER) else -1

    def _learn(self, level: Level, logger: str) -> bytes:
        """Learn what stands around time, message and number; return what is before the message."""
        event = Event(_EPOCH, *level, logger, "m", process=self._pid)
        event.attributes = {**self._own, "line": 1}
        made = self._encoder.event(event)
        time = b'{"timestamp":"1970-01-01T00:00:00Z"'
        before, message, behind = made.partition(b'"message":"m"')
        if not (made.startswith(time) and message and behind.endswith(b'"line":1}}\n')):
            return b""  # something was cut
        head = before[len(time) :] + b'"message":'
        self._tail = behind[: -len(b"1}}\n")]
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[level, logger] = head
        return head

    def plain(
        self, texts: list[str], first: int, level: Level, moment: datetime, logger: str = LOGGER
    ) -> list[bytes]:
        """Make the events of lines that have consecutive numbers, and the same in all else.

        Args:
            texts: The messages, of at most `longest` characters.
            first: Number of the first one.
            level: Name and number of the level.
            moment: The time.
            logger: The logger.
        """
        head = self._heads.get((level, logger)) or self._learn(level, logger)
        before = b'{"timestamp":' + _encode(moment) + head
        numbers = _encode_lines(list(range(first, first + len(texts)))).split(b"\n")
        messages = _encode_lines(texts).split(b"\n")
        tail = self._tail
        return [
            _join((before, message, tail, number, b"}}\n"))
            for message, number in zip(messages[:-1], numbers, strict=False)
        ]

    def one(
        self, text: str, number: int, level: Level, moment: datetime, logger: str = LOGGER
    ) -> bytes:
        """Make the event of one line that is nothing but text."""
        if len(text) > self.longest:
            return self.any(text, number, 1, level, moment, logger)
        head = self._heads.get((level, logger)) or self._learn(level, logger)
        return b'{"timestamp":%b%b%b%b%d}}\n' % (
            _encode(moment),
            head,
            _encode(text),
            self._tail,
            number,
        )

    def any(
        self,
        message: str,
        first: int,
        count: int,
        level: Level,
        moment: datetime,
        logger: str = LOGGER,
        failure: Failure | None = None,
        fields: Iterable[tuple[str, Any]] = (),
        trace: tuple[str | None, str | None] = (None, None),
    ) -> bytes:
        """Make one event of any lines.

        Args:
            message: The message.
            first: Number of the first line.
            count: How many lines there are.
            level: Name and number of the level.
            moment: The time.
            logger: The logger.
            failure: The exception.
            fields: Attributes that the line has; where a name is taken, it gets " (2)" and so on.
            trace: Trace and span.
        """
        event = Event(moment, *level, logger, message, process=self._pid)
        event.trace_id, event.span_id = trace
        add_failure(event, failure, None)
        attributes = {**self._own, "line": first}
        if count > 1:
            attributes["lines"] = count
        taken = {*attributes, "lines"}
        for key, value in fields:
            attributes[_free(key, taken)] = value
        event.attributes = attributes
        return self._encoder.event(event)


def _free(key: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    name, number = key, 1
    while name in taken:
        number += 1
        name = f"{key} ({number})"
    taken.add(name)
    return name


def moment_of(time: float) -> datetime:
    """Return the time of a number of seconds since 1970."""
    try:
        return datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):  # no time at all
        return _EPOCH
