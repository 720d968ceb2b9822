"""`attach`: the life of a job in one `with`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from logbatch.handler import BatchHandler
from logbatch.transports.base import Transport


@contextmanager
def attach(
    transport: str | Mapping[str, Any] | Transport | BatchHandler | None = None,
    logger: logging.Logger | str | None = None,
    **fields: Any,
) -> Iterator[BatchHandler]:
    """Log everything inside a `with` to a transport, with fields bound to each record.

    At the end, also when the job raises, everything is delivered (within `close_timeout` seconds,
    5 by default), and the handler is closed and removed.

    Args:
        transport: As for `BatchHandler`; or a `BatchHandler`, for one with options.  One that the
            logger has already stays there, and is only flushed at the end.
        logger: The logger, or its name, that gets the handler; None means the root logger.
        **fields: Attributes of everything logged inside, by this thread or task and those that
            inherit its context (bound by `structlog.contextvars`).

    Yields:
        The handler.

    Raises:
        ValueError: The transport is unknown or wrong.
    """
    import structlog.contextvars  # it takes 25 ms, which only users of this pay

    target = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
    handler = transport if isinstance(transport, BatchHandler) else BatchHandler(transport)
    was_there = handler in target.handlers
    target.addHandler(handler)
    try:
        with structlog.contextvars.bound_contextvars(**fields):
            yield handler
    finally:
        if was_there:
            handler.flush()
        else:
            target.removeHandler(handler)
            handler.close()
