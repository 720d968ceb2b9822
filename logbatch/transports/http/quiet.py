"""Keep what urllib3 logs of our requests from all handlers where locks are those of greenlets.

Handlers have such locks.  One of eventlet's is lost if a second thread wants it while it is held,
as the hub of one thread cannot wake the other: a line at DEBUG that urllib3 logs on the thread that
delivers could stop the whole program.  One of gevent's makes a hub, which outlives the thread.
Requests of the application are logged as before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.connection
import urllib3.connectionpool
import urllib3.util.retry

from logbatch.native import threads_are_replaced

_asking: set[int] = set()  # the threads that are inside a request of ours


def _is_of_others(record: logging.LogRecord) -> bool:
    return threading.get_ident() not in _asking


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing on this thread, if it could wait for a greenlet."""
    if not threads_are_replaced():
        yield
        return
    for module in (urllib3.connection, urllib3.connectionpool, urllib3.util.retry):
        module.log.addFilter(_is_of_others)
    me = threading.get_ident()
    _asking.add(me)
    try:
        yield
    finally:
        _asking.discard(me)
