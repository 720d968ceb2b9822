"""A program that hands a handler and a bound structlog logger to other processes, by pickling.

Usage: copied.py spawn|joblib URL.
"""

import logging
import multiprocessing
import sys
from importlib import import_module

import structlog

from logbatch import BatchHandler, BatchProcessor


def work(handler: BatchHandler, bound: structlog.typing.BindableLogger, n: int) -> None:
    """Log once with each, in another process."""
    log = logging.Logger("app")
    log.addHandler(handler)
    log.info("handler %d", n)
    assert handler.flush(30)
    getattr(bound, "info")("processor", n=n)  # noqa: B009 - no bindable logger promises it


if __name__ == "__main__":
    how, url = sys.argv[1:]
    handler = BatchHandler(url)
    structlog.configure(processors=[BatchProcessor(url, final=True)])
    bound = structlog.get_logger("app").bind(user="ada")
    if how == "spawn":
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=work, args=(handler, bound, n)) for n in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        sys.exit(max(process.exitcode or 0 for process in processes))
    joblib = import_module("joblib")
    joblib.Parallel(n_jobs=2)(joblib.delayed(work)(handler, bound, n) for n in range(2))
