"""A WSGI application that logs while it is loaded, and three numbers for each request."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

import structlog

import logbatch

handler = logbatch.BatchHandler("jsonl:logs")
log = logging.getLogger("app")
log.addHandler(handler)
log.setLevel(logging.INFO)
processor = logbatch.BatchProcessor("jsonl:logs", final=True)
events: Any = structlog.wrap_logger(None, processors=[processor])

log.info("loaded", extra={"n": -1})
events.error("ready", n=-2)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Log thrice the number that is asked with, and answer with the pid."""
    first = 3 * int(environ["PATH_INFO"][1:])
    log.info("asked", extra={"n": first})
    events.info("asked", n=first + 1)
    log.info("answered", extra={"n": first + 2})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
