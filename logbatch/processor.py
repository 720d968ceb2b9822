"""`BatchProcessor`: what an application that uses structlog puts into its chain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, MutableMapping
from functools import wraps
from typing import Any, Self, Unpack

from logbatch import dedupe
from logbatch.batching.delivery import delivering
from logbatch.forks import mark, notice
from logbatch.frontend import Frontend
from logbatch.handler import make_batcher
from logbatch.keywords import Options
from logbatch.metrics import MetricsPlace
from logbatch.transports.base import BaseTransport, Transport
from logbatch.trouble import describe


class BatchProcessor(Frontend):
    """A structlog processor that stores each event and passes it on unchanged.

    The name in `structlog.get_logger("my.mod")` is the name of the logger, also where structlog
    itself prints: its loggers that print or write keep their name once there is a processor.

    Put it before whatever renders the event to a text.  Where the chain ends in a standard library
    logger that has a `BatchHandler` for the same destination, an event is stored once, by this.

    Args:
        transport: Where to: a URL (`"parquet:logs"`, `"jsonl:/var/log/app"`, `"https://…"`), a
            dict with `type`, or an object with `send` and `close`.  None reads
            `LOGBATCH_TRANSPORT`; where that is not set, it means Parquet files in the user's log
            directory.
        final: End the chain here (`structlog.DropEvent`): nothing is rendered or printed.
        columns: Attributes that also get a typed column in Parquet files, by name:
            `{"user_id": "int64"}`.  Types: int64, float64, bool, string, timestamp.
        export_metrics: A registry or a meter to call `export_metrics` with; True calls it without.
        **options: Those of `BatchHandler`, which documents them, with their units and defaults:
            seconds: flush_interval (1.0, or "adaptive"), block_timeout (1.0), close_timeout (5.0);
            events: max_batch_size (100,000; over HTTP 5,000; for an object 10,000);
            bytes: max_batch_bytes (16 MiB; over HTTP 2 MiB; for an object 4 MiB),
            max_journal_bytes (1 GiB), max_value_bytes (1 MiB);
            words: flush_level ("ERROR"), durability ("process"), when_full ("drop_newest"),
            objects ("repr");
            service, host, redact, redact_patterns, collapse_repeats (False), report (True),
            on_error;
            files: compression (Parquet "zstd", JSON Lines "none"), rotate_bytes (128 MiB),
            rotate_seconds (86,400), compact (True), compact_share (0.1), compact_bytes (32 MiB),
            retain_age, retain_bytes;
            HTTP: body ("logs"), fields, compression ("auto"), headers, token, account, single_url,
            single_method ("POST"), batch_recheck (600 seconds), fallback ("missing"), timeout (10
            seconds), proxies, verify (True), insecure (False), accept_html (False).

    Raises:
        ValueError: The transport or an option is unknown or out of range, or there is nothing to
            export metrics to.
    """

    _kind = "processor"

    def __init__(
        self,
        transport: str | Mapping[str, Any] | Transport | None = None,
        *,
        final: bool = False,
        columns: Mapping[str, str] | None = None,
        export_metrics: bool | MetricsPlace | None = None,
        **options: Unpack[Options],
    ) -> None:
        before = set(vars(self))
        batcher, encoder = make_batcher(transport, columns, options)
        self._encode = encoder.event_dict
        import structlog  # whoever makes a processor has it loaded, or will

        keep_names(structlog.PrintLoggerFactory, structlog.WriteLoggerFactory)
        self._end = structlog.DropEvent if final else None
        self.way = dedupe.way_of(batcher.transport)
        self._open(batcher, export_metrics)
        dedupe.ways.add(self.way)
        self._remember(options, before)

    def _make_anew(self, transport: BaseTransport, options: dict[str, Any]) -> None:
        BatchProcessor.__init__(self, transport, **options)

    def _parts(self) -> tuple[type[Self], BaseTransport, dict[str, Any], dict[str, Any]]:
        kind, transport, options, others = super()._parts()
        return kind, transport, options | {"final": self._end is not None}, others

    def __call__(
        self, logger: Any, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Store an event and return it.

        Raises:
            structlog.DropEvent: `final` is set.
        """
        batcher = self._batcher
        try:
            if not mark[0]:
                notice()
            if delivering and threading.get_ident() in delivering:
                batcher.suppress()
            else:
                level, line = self._encode(logger, method_name, event_dict)
                batcher.append(line, level)
        except Exception as error:
            text = f"cannot store an event, it may be lost: {describe(error)}; report a bug"
            batcher.report("processor", text, error)
        if self._end is not None:
            raise self._end
        return event_dict

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._batcher.transport!r}>"


def keep_names(*factories: Any) -> None:
    """Have what structlog's factories make keep the name that it is asked for by.

    A logger that prints or writes has no use for it, and is all that a processor sees; that of
    `structlog.BytesLogger` is kept by structlog itself, from 26.1 on.
    """
    for factory in factories:
        make = factory.__call__
        if getattr(make, "__wrapped__", None) is None:
            factory.__call__ = _naming(make)


def _naming(make: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(make)
    def make_named(factory: object, *args: Any) -> Any:
        logger = make(factory, *args)
        if args and isinstance(args[0], str) and not hasattr(logger, "name"):
            logger.name = args[0]
        return logger

    return make_named
