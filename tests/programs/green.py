"""A program of greenlets that logs to several places, and says what became of it in JSON.

Usage: green.py gevent|eventlet AUTHORITY URL…; the first record comes from the library's own pool
of threads.  While the handlers are flushed, a greenlet counts, and another holds a lock of
`logging` again and again, with urllib3 logging at DEBUG.
"""

# ruff: noqa: E402 - such a program replaces the standard library before it imports anything

import json
import sys
import warnings
from importlib import import_module
from itertools import count

library, authority, *urls = sys.argv[1:]
if library == "gevent":
    import_module("gevent.monkey").patch_all()
    gevent = import_module("gevent")
    spawn, use_pool = gevent.spawn, gevent.get_hub().threadpool.apply
else:
    with warnings.catch_warnings(action="ignore"):
        eventlet = import_module("eventlet")
        eventlet.monkey_patch()
    spawn, use_pool = eventlet.spawn, import_module("eventlet.tpool").execute

import gc
import io
import logging
import os
import time

from logbatch import BatchHandler

ticks = [0]


class Slow(io.StringIO):
    """Lets other greenlets run while it writes, as what writes to a socket does."""

    def write(self, text: str) -> int:
        time.sleep(0.001)
        return len(text)


def tick() -> None:
    """Run whenever nobody else does."""
    for ticks[0] in count():
        debug.debug("tick")
        time.sleep(0.001)


def log_all() -> None:
    """Log some records."""
    for n in range(20):
        log.info("record %d", n)


def count_descriptors() -> int:
    """Return how many this process has open; of eventlet's hubs, garbage keeps one."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


debug = logging.getLogger()
debug.setLevel(logging.DEBUG)
debug.addHandler(logging.StreamHandler(Slow()))
log = logging.getLogger("app")
log.propagate = False
handlers = [
    BatchHandler(url, verify=authority) if url.startswith("https:") else BatchHandler(url)
    for url in urls
]
for handler in handlers:
    log.addHandler(handler)
use_pool(log_all)
spawn(tick)
spawn(log_all)
ticks[0] = 0
flushed = [handler.flush(30) for handler in handlers]
while_flushing = ticks[0]
before = count_descriptors()
for _ in range(3):
    for handler in handlers:
        handler.close(30)
    log_all()
    flushed += [handler.flush(30) for handler in handlers]
patience = time.monotonic() + 20
while (more := count_descriptors() - before) > 0 and time.monotonic() < patience:
    time.sleep(0.05)  # a thread that was told to end has not yet
print(
    json.dumps(
        {
            "flushed": all(flushed),
            "ticks": while_flushing,
            "more_descriptors": more,
            "published": [handler.stats().published for handler in handlers],
            "errors": [handler.stats().last_error for handler in handlers],
        }
    )
)
