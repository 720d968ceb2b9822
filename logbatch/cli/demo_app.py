"""A small shop, the application of `logbatch demo`; written as any application is.

Some modules of it log by `logging`, some by structlog, from several threads, and a job of it fails
now and then.  It knows of logbatch only in `configure`.
"""

from __future__ import annotations

import logging.config
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from logbatch.processor import BatchProcessor

web = logging.getLogger("shop.web")
stock = logging.getLogger("shop.stock")
pay = structlog.stdlib.get_logger("shop.pay")

PATHS = ("/", "/items", "/items/7", "/cart", "/search", "/health")
JOB_SECONDS = 1.3


def configure(directory: Path) -> None:
    """Send what is logged by `logging` and structlog to one directory: this is all the setup."""
    transport = f"parquet:{directory}"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"files": {"class": "logbatch.BatchHandler", "transport": transport}},
            "root": {"level": "DEBUG", "handlers": ["files"]},
        }
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            BatchProcessor(transport, final=True),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def finish() -> dict[str, str]:
    """Write what is still pending, as the end of the process would; return a summary by API."""
    fronts = {
        "logging": logging.getLogger().handlers[-1],
        "structlog": structlog.get_config()["processors"][-1],
    }
    for front in fronts.values():
        front.flush()
    return {name: front.stats().summary() for name, front in fronts.items()}


class Shop:
    """Threads that do what a shop does, until it is closed.

    Args:
        rate: Records a second, all threads together.
    """

    def __init__(self, rate: float) -> None:
        self._closing = threading.Event()
        web_rate, pay_rate = rate * 0.4, rate * 0.2
        self._threads = [
            threading.Thread(target=self._serve, args=(web_rate,), name="web-1"),
            threading.Thread(target=self._serve, args=(web_rate,), name="web-2"),
            threading.Thread(target=self._charge, args=(pay_rate,), name="pay"),
            threading.Thread(target=self._count_stock, name="stock"),
        ]

    def open(self) -> None:
        """Start to work."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, once what is being done is done."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _pace(self, rate: float) -> Iterator[random.Random]:
        """Yield so many times a second, each time a source of random numbers."""
        chance = random.Random()
        due = time.monotonic()
        while not self._closing.wait(max(due - time.monotonic(), 0)):
            yield chance
            due += chance.uniform(0.2, 1.8) / rate

    def _serve(self, rate: float) -> None:
        for chance in self._pace(rate):
            path, user = chance.choice(PATHS), chance.randrange(100)
            took = round(chance.lognormvariate(1.5, 0.8) * (6 if path == "/search" else 1), 1)
            status = chance.choices((200, 304, 404, 500), (90, 6, 3, 1))[0]
            level = logging.ERROR if status == 500 else logging.INFO
            if path == "/health":
                level = logging.DEBUG
            fields = {"path": path, "status": status, "ms": took, "user_id": user}
            web.log(level, "GET %s %d", path, status, extra=fields)
            if took > 80:
                web.warning("slow answer: %s took %.0f ms", path, took, extra=fields)

    def _charge(self, rate: float) -> None:
        for chance in self._pace(rate):
            with structlog.contextvars.bound_contextvars(user_id=chance.randrange(100)):
                amount = round(chance.uniform(1, 300), 2)
                pay.info("card charged", amount=amount, currency="EUR")
                if chance.random() < 0.02:
                    pay.warning("card declined", amount=amount, code="do_not_honor")

    def _count_stock(self) -> None:
        for number, _ in enumerate(self._pace(1 / JOB_SECONDS)):
            shelves = {"tea": 40, "coffee": 12, "sugar": 0}
            stock.info("counting %d shelves", len(shelves), extra={"job": number})
            try:
                _days_left(shelves)
            except ZeroDivisionError:
                stock.exception("the count failed", extra={"job": number})


def _days_left(shelves: dict[str, int]) -> dict[str, float]:
    return {name: 10 / left for name, left in shelves.items()}
