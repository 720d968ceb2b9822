"""`BatchHandler`: what an application that uses `logging` installs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from logbatch.batching.batcher import Batcher
from logbatch.batching.delivery import delivering
from logbatch.dedupe import taken_by_processor, way_of, ways
from logbatch.events.event import LineEncoder
from logbatch.frontend import Frontend
from logbatch.options import OPTION_NAMES, BatchOptions, parse_level
from logbatch.transports import build, check_handler_variables
from logbatch.trouble import describe


class BatchHandler(Frontend, logging.Handler):  # type: ignore[misc]  # flush and close tell more
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
        export_metrics: Call `export_metrics` at once: with what is given here, or, for True, with
            nothing.
        **options: Those of `BatchOptions` and those of the transport.

    Raises:
        ValueError: An option or the transport is unknown or out of range, or there is nothing to
            export metrics to.
    """

    _kind = "handler"

    def __init__(
        self,
        transport: Any = None,
        *,
        level: int | str = logging.NOTSET,
        columns: Mapping[str, str] | None = None,
        export_metrics: Any = None,
        **options: Any,
    ) -> None:
        # First what may fail: `logging` keeps, and at exit flushes, what its __init__ has seen.
        level = parse_level(level)
        batcher, encoder = make_batcher(transport, columns, options, self.handleError)
        self._encode = encoder.record
        self._way = way_of(batcher.transport)
        self._open(batcher, export_metrics)
        logging.Handler.__init__(self, level)

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
            if delivering and record.thread in delivering:
                batcher.suppress()
            elif not (ways and self._way in ways and taken_by_processor(self._way)):
                batcher.append(self._encode(record), record.levelno)
        except Exception as error:
            batcher.report("handler", f"a record could not be taken: {describe(error)}", error)

    def close(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Deliver what is there and release everything, within `close_timeout` seconds.

        What cannot be delivered stays in the journal.  A record logged afterwards is still taken.

        Returns:
            Whether everything was delivered.
        """
        try:
            return super().close(timeout)
        finally:
            logging.Handler.close(self)

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
    check_handler_variables()
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
