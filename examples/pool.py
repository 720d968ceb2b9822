"""A pool of processes that all log to one directory, started by any method.

LOGBATCH_TRANSPORT=parquet:logs python examples/pool.py spawn
"""

import logging
import multiprocessing
import sys
from logging.config import dictConfig

log = logging.getLogger("pool")


def configure() -> None:
    """Configure logging, in each process that does not inherit it."""
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"batch": {"class": "logbatch.BatchHandler"}},
            "root": {"handlers": ["batch"], "level": "INFO"},
        }
    )


def square(number: int) -> int:
    """Work."""
    log.info("squaring %d", number, extra={"number": number})
    return number * number


def main(method: str = "spawn") -> None:
    """Square some numbers, four at a time."""
    configure()
    with multiprocessing.get_context(method).Pool(4, initializer=configure) as pool:
        log.info("sum %d", sum(pool.imap_unordered(square, range(1000), chunksize=10)))
    # Leaving the block terminates the workers; what they logged is there all the same.


if __name__ == "__main__":
    main(*sys.argv[1:])
