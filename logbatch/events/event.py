"""How a LogRecord, a structlog event or a text becomes one line of JSON.

A line is made entirely within the logging call: when it returns, no record, exception, frame or
value is referenced any more.  Any input makes a line and never raises an `Exception`; what cannot
be read becomes marked text in the line.  A line is at most about three times `max_value_bytes` plus
450 KiB long.  An encoder may be used by any number of threads at once, and again from an object's
`__repr__` while that is being encoded.

An ordinary record takes `fast_path`; everything else is read by `reading` and written by `fields`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from logbatch.events.context import host_name, service_name
from logbatch.events.eventdict import now_utc
from logbatch.events.fast_event import FastEvents
from logbatch.events.fast_path import FastPath
from logbatch.events.fields import Event, EventWriter, short
from logbatch.events.logrecord import columns_of
from logbatch.events.origins import Origins
from logbatch.events.reading import Reader
from logbatch.events.values import name_alone, name_of


class LineEncoder:
    """Makes lines: `record` from a LogRecord, `event_dict` from a structlog event, `text`.

    Args:
        service: The `service` column; None means `OTEL_SERVICE_NAME`, else the script's name.
        host: The `host` column; None means the machine's name.
        max_value_bytes: A message or an attribute whose JSON is longer is cut; all attributes
            together may have twice as much.
        objects: What is stored of an attribute of a type that is not known: its `repr`, or the
            name of its `type`.
        complain: Called with a record whose arguments do not fit its message, while that exception
            is being handled.  None prints it to stderr, as the handlers of `logging` do if
            `logging.raiseExceptions` is set.
    """

    record: Callable[[logging.LogRecord], bytes]
    """Make the line of a record, which is not changed."""

    event_dict: Callable[[object, str, Mapping[str, Any]], tuple[int, bytes]]
    """Make level and line of a structlog event, which is not changed: of logger, method, event."""

    def __init__(
        self,
        *,
        service: str | None = None,
        host: str | None = None,
        max_value_bytes: int = 1 << 20,
        objects: Literal["repr", "type"] = "repr",
        complain: Callable[[logging.LogRecord], object] | None = None,
    ) -> None:
        service = short(service_name() if service is None else service)
        host = short(host_name() if host is None else host)
        reader = Reader(max_value_bytes, complain or _print_complaint)
        describe = name_alone if objects == "type" else repr
        write = EventWriter(service, host, max_value_bytes, describe).line

        def record_carefully(record: logging.LogRecord) -> bytes:
            return write(_read(reader.record, record))

        def event_carefully(
            logger: object, method_name: str, event_dict: Mapping[str, Any]
        ) -> tuple[int, bytes]:
            event = _read(reader.event_dict, logger, method_name, event_dict)
            return event.levelno, write(event)

        self.max_value_bytes = max_value_bytes
        self._write = write
        self._read_text = reader.text
        # The methods themselves: a call of one is all that an ordinary record or event costs.
        origins = Origins(service, host)
        limit = max_value_bytes
        self.record = FastPath(origins, limit, record_carefully, describe).record
        self.event_dict = FastEvents(origins, limit, event_carefully, describe).event_dict

    def text(
        self, text: str, *, level: int, logger: str, attributes: Mapping[str, Any] | None = None
    ) -> bytes:
        """Make the line of a text that did not come from a logging call.

        Args:
            text: The message.
            level: Number of the level.
            logger: Name of the logger.
            attributes: Other fields.
        """
        return self._write(_read(self._read_text, text, level, logger, attributes))

    def event(self, event: Event) -> bytes:
        """Make the line of an event whose columns are there already; its program is filled in.

        Args:
            event: Its columns and attributes may hold any value.
        """
        return self._write(event)


def _read(read: Callable[..., Event], *source: Any) -> Event:
    """Return the event that `read` returns; if it fails, one that says so."""
    try:
        return read(*source)
    except Exception as error:  # near the recursion limit anything can fail
        text = f"<{name_of(type(error))} while this event was read>"
    with contextlib.suppress(Exception):
        return Event(message=text, **columns_of(source[0]))
    return Event(now_utc(), "ERROR", logging.ERROR, "logbatch", text)


def _print_complaint(record: logging.LogRecord) -> None:
    """Print to stderr, as `logging` does, that arguments do not fit their message."""
    (logging.lastResort or logging.Handler()).handleError(record)
