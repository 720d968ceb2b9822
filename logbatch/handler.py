"""`BatchHandler`: what an application that uses `logging` installs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, Unpack

from logbatch.batching.batcher import Batcher
from logbatch.batching.delivery import delivering
from logbatch.dedupe import taken_by_processor, way_of, ways
from logbatch.events.event import LineEncoder
from logbatch.forks import mark, notice
from logbatch.frontend import Frontend
from logbatch.keywords import Options
from logbatch.metrics import MetricsPlace
from logbatch.options import OPTION_NAMES, BatchOptions, parse_level
from logbatch.transports import build, check_handler_variables
from logbatch.transports.base import BaseTransport, Transport
from logbatch.trouble import describe


class BatchHandler(Frontend, logging.Handler):  # type: ignore[misc]  # flush and close tell more
    """Collects records into batches and delivers them in the background.

    `emit` encodes the record on the caller's thread and copies it into a journal that survives the
    process; it neither raises nor waits.  A formatter does not change what is stored.

    Args:
        transport: Where to: a URL (`"parquet:logs"`, `"jsonl:/var/log/app"`, `"https://…"`), a
            dict with `type`, or an object with `send` and `close`.  None reads
            `LOGBATCH_TRANSPORT`; where that is not set, it means Parquet files in the user's log
            directory.
        level: Records below it are ignored.
        columns: Attributes that also get a typed column in Parquet files, by name:
            `{"user_id": "int64"}`.  Types: int64, float64, bool, string, timestamp.
        export_metrics: A registry or a meter to call `export_metrics` with; True calls it without.
        **options: See below.

    Options of every transport, in the environment `LOGBATCH_<NAME>`:
        flush_interval: Seconds the oldest event may wait before its batch is sent, or
            `"adaptive"`: 0.5 while events flow, 2.0 while they trickle.  Default 1.0.
        max_batch_size: Events that make a batch due, and the most in one.  Default 100,000; over
            HTTP 5,000; to SQLite 20,000; for an object 10,000.
        max_batch_bytes: The same in bytes of JSON.  Default 16 MiB; over HTTP 2 MiB; to SQLite
            8 MiB; for an object 4 MiB.
        flush_level: Events of this level and above are sent at once, with all before them: a name,
            a number, or `"never"`.  Default `"ERROR"`.
        durability: `"process"`: no accepted event is lost however the process ends.  `"power"`:
            nor when the machine loses power; each call waits for the disk.  `"memory"`: no journal
            file; what was not sent is lost with the process.  Default `"process"`.
        max_journal_bytes: The most bytes that may wait in the journal.  Default 1 GiB.
        when_full: What to do when the journal is full: `"drop_newest"`, `"drop_oldest"`, or
            `"block"`: wait for room, then drop the newest.  Default `"drop_newest"`.
        block_timeout: Seconds a call may wait with `"block"`.  Default 1.0.
        close_timeout: Seconds `close` and `flush` may take; what is left stays in the journal.
            Default 5.0.
        max_value_bytes: A longer message or value is cut, and its full length noted.  Cut before
            that is what is nested deeper than 30 levels, and, of a value that is not plain JSON,
            what comes after 10,000 items.  Default 1 MiB.
        objects: What is stored of an attribute of a type that is not known: its `"repr"`, or,
            without calling any of its methods, the name of its `"type"`.  Default `"repr"`.
        service: The `service` column.  Default: `OTEL_SERVICE_NAME`, else the program's name.
        host: The `host` column.  Default: the machine's name.
        redact: Names of attributes whose values become "[redacted]", at any depth and in either
            case, before anything is written; one text may hold several, with commas.  Default
            none.
        redact_patterns: Regular expressions; what matches becomes "[redacted]" in messages,
            exceptions and texts among the attributes; one text is a JSON array of them, or one.
            Default none.
        collapse_repeats: Store a run of identical events as the first one and a count.  A process
            that is killed loses the count since it was last stored.  Default False.
        report: Write `stats()` beside the journal once a second when it has changed, for whoever
            looks at the directory.  Default True.
        on_error: A function of (kind, text, exception or None), called when something goes wrong,
            on the thread where it does.  What it raises is ignored.  Default None.

    Options of files, in the environment `LOGBATCH_PARQUET_<NAME>` (`…_JSONL_…`, `…_SQLITE_…`):
        compression: Of Parquet files: `"zstd"`, `"snappy"`, `"gzip"`, `"lz4"`, `"brotli"`,
            `"none"`; default `"zstd"`.  Of JSON Lines files that are rotated: `"zstd"`, `"gzip"`,
            `"none"`; default `"none"`.
        compact: Whether a process merges small Parquet files of its own into larger ones while
            nothing is to be sent.  Default True.
        compact_share: How much of one core that may take, from 0.01 to 1.  Default 0.1.
        compact_bytes: The most bytes in a file that is made so.  Default 32 MiB.
        retain_age: How old records may become, `"14d"` or seconds: files whose newest record is
            older are removed, of SQLite single records.  Default none.
        retain_bytes: What all files of the directory, or a SQLite file, may take of the disk,
            `"5GB"` or bytes: the oldest are removed.  Default none.
        rotate_bytes: The most bytes in a JSON Lines file.  Default 128 MiB.
        rotate_seconds: Seconds after which a JSON Lines file is rotated.  Default 86,400.

    Options of HTTP, in the environment `LOGBATCH_HTTP_<NAME>` (not `fields` and `headers`):
        body: The form of a batch: `"logs"` (`{"logs": […]}`), `"array"` or `"ndjson"`.  Default
            `"logs"`.
        fields: New names for keys of an event; None leaves one out.  Default none.
        compression: `"gzip"`, `"zstd"`, `"none"`, or `"auto"`: gzip from 1 kB on.  Default
            `"auto"`.
        headers: More headers.  Default none.
        token: Sent as `Authorization: Bearer`: the text, `"env:NAME"`, or a function that returns
            it.  Default none.
        account: A name for whose logs these are, if several programs of this user send to one URL
            with different tokens.  Default none.
        single_url: Where single events go if there is no batch endpoint.  Default: the URL.
        single_method: `"POST"`, `"PATCH"` or `"PUT"` for those.  Default `"POST"`.
        batch_recheck: Seconds until a missing batch endpoint is tried again.  Default 600.
        fallback: `"any"`: send singly also after a network error or a 5xx.  `"missing"`: only
            where there is no batch endpoint.  Default `"missing"`.
        timeout: Seconds a whole request may take.  Default 10.
        proxies: A proxy's URL, or a mapping of schemes to them.  Default none.
        verify: Verify the server's certificate, or the path of those to trust.  Default True.
        insecure: Allow a secret over plain `http:`, or `verify=False`.  Default False.
        accept_html: Take a web page with a status of 2xx for an acknowledgement.  Default False.

    Raises:
        ValueError: The transport or an option is unknown or out of range, or there is nothing to
            export metrics to.
    """

    _kind = "handler"

    def __init__(
        self,
        transport: str | Mapping[str, Any] | Transport | None = None,
        *,
        level: int | str = logging.NOTSET,
        columns: Mapping[str, str] | None = None,
        export_metrics: bool | MetricsPlace | None = None,
        **options: Unpack[Options],
    ) -> None:
        before = set(vars(self))
        # First what may fail: `logging` keeps, and at exit flushes, what its __init__ has seen.
        level = parse_level(level)
        batcher, encoder = make_batcher(transport, columns, options, self.handleError)
        self._encode = encoder.record
        self._way = way_of(batcher.transport)
        self._open(batcher, export_metrics)
        logging.Handler.__init__(self, level)
        self._remember(options, before)

    def _make_anew(self, transport: BaseTransport, options: dict[str, Any]) -> None:
        BatchHandler.__init__(self, transport, **options)

    def _parts(self) -> tuple[type[Self], BaseTransport, dict[str, Any], dict[str, Any]]:
        kind, transport, options, others = super()._parts()
        given = {"filters": self.filters.copy(), "formatter": self.formatter}
        return kind, transport, options | {"level": self.level}, others | given

    def handle(self, record: logging.LogRecord) -> Any:
        """Store a record if the filters let it pass.

        This does not acquire the handler's lock: nothing here needs it, and `logging` holds it
        while it flushes and closes.
        """
        if not self.filters:
            self.emit(record)
            return True
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Encode a record and append it to the journal."""
        batcher = self._batcher
        try:
            if not mark[0]:
                notice()
            if delivering and record.thread in delivering:
                batcher.suppress()
            elif not (ways and self._way in ways and taken_by_processor(self._way)):
                batcher.append(self._encode(record), record.levelno)
        except Exception as error:
            text = f"cannot store a record, it may be lost: {describe(error)}; report a bug"
            batcher.report("handler", text, error)

    def close(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Deliver what is pending and release everything.

        What cannot be delivered in time stays in the journal.  The handler can be used again.

        Args:
            timeout: Seconds this may take; None means `close_timeout`.

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
    transport: str | Mapping[str, Any] | Transport | None,
    columns: Mapping[str, str] | None,
    keywords: Options,
    complain: Callable[[logging.LogRecord], object] | None = None,
) -> tuple[Batcher, LineEncoder]:
    """Build what a handler and a processor have in common; this starts no thread, opens no file.

    Args:
        transport: As for `BatchHandler`.
        columns: As for `BatchHandler`.
        keywords: Options of the batcher and of the transport.
        complain: Called with a record whose arguments do not fit its message.
    """
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in keywords.items():
        (own if name in OPTION_NAMES else rest)[name] = value
    if columns is not None:
        rest["columns"] = columns
    check_handler_variables()
    built = build(transport, **rest)
    options = BatchOptions.build(own, defaults=built.defaults)
    batcher = Batcher(built, options)
    if options.redacts and getattr(complain, "__func__", None) in _PRINTS_THE_RECORD:
        complain = partial(_complain_briefly, batcher)
    encoder = LineEncoder(
        service=options.service,
        host=options.host,
        max_value_bytes=options.max_value_bytes,
        objects=options.objects,
        complain=complain,
    )
    return batcher, encoder


_PRINTS_THE_RECORD = (None, logging.Handler.handleError)


def _complain_briefly(batcher: Batcher, record: logging.LogRecord) -> None:
    """Report where a message does not fit its arguments, but neither: they may hold a secret."""
    place = f"{record.pathname}:{record.lineno}"
    told = f"the arguments of a message do not fit it, at {place}; both are stored, unformatted"
    batcher.report("format", told)
