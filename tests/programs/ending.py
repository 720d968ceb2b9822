"""A program that logs 5,000 records and then ends in one of many ways.

Usage: ending.py URL WAY [START_METHOD]
"""

import ctypes
import logging
import logging.config
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# Arrow imports NumPy where that is installed, which takes each process longer than all else.
sys.modules.setdefault("numpy", None)  # type: ignore[arg-type]

RECORDS = 5000
WORKERS = 2  # of a pool
log = logging.getLogger("ending")


def configure(url: str) -> None:
    """Configure logging as an application does."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"batch": {"class": "logbatch.BatchHandler", "transport": url}},
            "root": {"handlers": ["batch"], "level": "INFO"},
        }
    )


def work(start: int = 0, stop: int = RECORDS) -> None:
    """Log some records; when this returns, none of them may be lost."""
    for n in range(start, stop):
        log.info("record %d", n, extra={"n": n})


def work_in_child(url: str, start: int = 0, stop: int = RECORDS) -> None:
    """Log in a child, which a start method other than fork leaves unconfigured."""
    if not logging.getLogger().handlers:
        configure(url)
    work(start, stop)


def work_a_thousandth(url: str, part: int) -> int:
    """Log a part of the records in a pool's worker."""
    work_in_child(url, part * 100, part * 100 + 100)
    return part


def end(way: str) -> None:
    """End this process without further ado."""
    if way == "os._exit":
        os._exit(3)
    if way == "abort":
        os.abort()
    if way == "segfault":
        ctypes.string_at(0)
    if way == "exception":
        raise RuntimeError("unhandled")
    if way == "sys.exit":
        sys.exit(3)
    if way in ("SIGTERM", "SIGKILL", "SIGINT"):
        os.kill(os.getpid(), getattr(signal, way))
        time.sleep(30)  # until it arrives


def main(url: str, way: str, method: str = "fork") -> None:
    """Log, and end."""
    context: Any = multiprocessing.get_context(method)
    if way == "process":
        configure(url)
        child = context.Process(target=work_in_child, args=(url,))
        child.start()
        child.join()
    elif way == "process that dies":
        configure(url)
        child = context.Process(target=_work_and_die, args=(url,))
        child.start()
        child.join()
    elif way == "pool":
        configure(url)
        with context.Pool(WORKERS) as pool:
            assert list(range(50)) == pool.starmap(work_a_thousandth, [(url, n) for n in range(50)])
    elif way == "executor":
        configure(url)
        with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
            list(pool.map(work_a_thousandth, [url] * 50, range(50)))
    elif way == "os.fork":
        configure(url)
        work(0, 1000)
        for part in range(1, 5):
            if os.fork() == 0:
                work(part * 1000, part * 1000 + 1000)
                os._exit(0)
        for _ in range(4):
            os.wait()
    elif way == "C fork":
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from children import fork_unnoticed

        configure(url)
        work(0, 1000)
        for part in range(1, 5):
            if fork_unnoticed() == 0:
                work(part * 1000, part * 1000 + 1000)
                if part < 3:
                    os._exit(0)
                return
        for _ in range(4):
            os.wait()
    elif way == "thread":
        configure(url)
        thread = threading.Thread(target=work)
        thread.start()
    elif way == "daemon thread":
        configure(url)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
    elif way == "atexit":
        import atexit

        atexit.register(work, 2500)
        configure(url)
        work(0, 2500)
    else:
        configure(url)
        work()
        end(way)


def _work_and_die(url: str) -> None:
    work_in_child(url)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
