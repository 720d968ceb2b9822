"""`BatchHandler`: what an application that uses `logging` installs."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from logbatch.batcher import Batcher
from logbatch.event import LineEncoder
from logbatch.oneway import taken_by_processor, way_of, ways
from logbatch.options import OPTION_NAMES, BatchOptions, parse_level
from logbatch.stats import Stats
from logbatch.transports import build
from logbatch.trouble import describe


class BatchHandler(logging.Handler):
    """Gathers records into batches and delivers them in the background.

    `emit` encodes the record on the caller's thread and copies it into a journal that survives the
    process; it neither raises nor waits.  A formatter, where one is set, does not change what is
    stored.

    Args:
        transport: Where to: a URL (`"parquet:logs"`, `"jsonl:/var/log/app"`), a dict with `type`,
            or an object with `send` and `close`.  None takes `LOGBATCH_TRANSPORT`, else Parquet
            files in the user's log directory.
        level: Records below it are not taken.
        columns: Attributes that also get a typed column, by name: `{"user_id": "int64"}`.
        **options: Those of `BatchOptions` and those of the transport.

    Raises:
        ValueError: An option or the transport is unknown or out of range.
    """

    def __init__(
        self,
        transport: Any = None,
        *,
        level: int | str = logging.NOTSET,
        columns: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        # First what may fail: `logging` keeps, and at exit flushes, what its __init__ has seen.
        level = parse_level(level)
        self._batcher, encoder = make_batcher(transport, columns, options, self.handleError)
        self._encode = encoder.record
        self._way = way_of(self._batcher.transport)
        super().__init__(level)
        # One that is dropped without close() takes its thread and its files with it.
        weakref.finalize(self, self._batcher.retire).atexit = False

    def handle(self, record: logging.LogRecord) -> Any:
        """Take a record if the filters let it pass.

        The handler's lock is not taken: nothing here needs it, and `logging` holds it while it
        flushes and closes.
        """
        if not self.filters:
            self.emit(record)
            return True
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Encode a record and put it into the journal."""
        batcher = self._batcher
        try:
            if record.thread == batcher.delivery.thread:
                batcher.refuse()
            elif not (ways and self._way in ways and taken_by_processor(self._way)):
                batcher.append(self._encode(record), record.levelno)
        except Exception as error:
            batcher.report("handler", f"a record could not be taken: {describe(error)}", error)

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait until everything logged before this call is delivered.

        Args:
            timeout: Seconds to wait at the most; None takes `close_timeout`.

        Returns:
            Whether it is.
        """
        return self._batcher.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Deliver what is there and release everything, within `close_timeout` seconds.

        What cannot be delivered stays in the journal.  A record logged afterwards is still taken.

        Returns:
            Whether everything was delivered.
        """
        try:
            return self._batcher.close(timeout)
        finally:
            super().close()

    def stats(self) -> Stats:
        """Return what became of everything accepted so far."""
        return self._batcher.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} {self._batcher.transport!r} ({level})>"


def make_batcher(
    transport: Any,
    columns: Mapping[str, str] | None,
    keywords: Mapping[str, Any],
    complain: Callable[[logging.LogRecord], object] | None = None,
) -> tuple[Batcher, LineEncoder]:
    """Build what a handler and a processor have in common; starts no thread, opens no file.

    Args:
        transport: As for `BatchHandler`.
        columns: As for `BatchHandler`.
        keywords: Options of the batcher and of the transport.
        complain: Told of a record whose arguments do not fit its message.
    """
    own = {name: value for name, value in keywords.items() if name in OPTION_NAMES}
    rest = {name: value for name, value in keywords.items() if name not in OPTION_NAMES}
    if columns is not None:
        rest["columns"] = columns
    built = build(transport, **rest)
    options = BatchOptions.build(own, defaults=getattr(built, "defaults", None))
    batcher = Batcher(built, options)
    if options.redacts and getattr(complain, "__func__", None) in _PRINTS_THE_RECORD:
        complain = partial(_complain_briefly, batcher)
    encoder = LineEncoder(
        service=options.service,
        host=options.host,
        max_value_bytes=options.max_value_bytes,
        complain=complain,
    )
    return batcher, encoder


_PRINTS_THE_RECORD = (None, logging.Handler.handleError)


def _complain_briefly(batcher: Batcher, record: logging.LogRecord) -> None:
    """Say where a message and its arguments do not fit, without either: they may hold a secret."""
    place = f"{record.pathname}:{record.lineno}"
    batcher.report("format", f"the arguments of a message do not fit it, at {place}")
