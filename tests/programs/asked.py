"""A program that logs what it is asked to: a line of JSON on its input for each record, or more.

Usage: asked.py URL [NAME=OPTION …]; each line has `message`, and may have `logger`, `level`,
`extra`, `raises` (the text of an exception that is logged with it), `times` (`%d` of the message is
the number, from 1), `every` (seconds between two), `thread` (the name of the one that logs).  Each
line is answered when its calls have returned.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any

from logbatch import BatchHandler

url, *options = sys.argv[1:]
handler = BatchHandler(url, **dict(each.split("=", 1) for each in options))  # type: ignore[arg-type]
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(1)


class OrderError(Exception):
    """What goes wrong in this program."""


def fail(text: str) -> None:
    """Go wrong, in a frame of the application."""
    raise OrderError(text)


def log(asked: dict[str, Any]) -> None:
    """Do what one line says."""
    logger = logging.getLogger(asked.get("logger", "shop.web"))
    level = logging.getLevelName(asked.get("level", "INFO"))
    times = asked.get("times")
    due = time.monotonic()
    for number in range(1, (times or 1) + 1):
        arguments = (number,) if times else ()
        try:
            if "raises" in asked:
                fail(asked["raises"])
            logger.log(level, asked["message"], *arguments, extra=asked.get("extra"))
        except OrderError:
            logger.exception(asked["message"], *arguments, extra=asked.get("extra"))
        due += asked.get("every", 0)
        time.sleep(max(0, due - time.monotonic()))


for line in sys.stdin:
    request = json.loads(line)
    thread = threading.Thread(target=log, args=(request,), name=request.get("thread", "MainThread"))
    thread.start()
    thread.join()
    print("done", flush=True)
