"""What a logging call costs, and what the whole road to a closed file costs.

    python benchmarks/calls.py [--rounds 7] [--records 50000]

Each handler is measured in a process of its own, the handlers in turn, round after round; a figure
is the median over the rounds, and a ratio the median of the ratios to NullHandler's figure of the
same round: absolute times differ from machine to machine, and from minute to minute.
"""

from __future__ import annotations

import argparse
import json
import logging
import logging.handlers
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

HANDLERS = ["NullHandler", "FileHandler", "QueueHandler", "logbatch jsonl", "logbatch parquet"]
MESSAGE = "%s %s took %.3f ms"


class JsonFormatter(logging.Formatter):
    """The usual way to JSON lines in a file."""

    _encode = msgspec.json.Encoder().encode

    def format(self, record: logging.LogRecord) -> str:
        """Render the same fields that logbatch stores."""
        return self._encode(
            {
                "timestamp": record.created,
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
                "template": record.msg,
                "pathname": record.pathname,
                "lineno": record.lineno,
                "func_name": record.funcName,
                "process": record.process,
                "thread": record.thread,
                "thread_name": record.threadName,
                "attributes": {
                    name: record.__dict__[name]
                    for name in ("user_id", "request_id", "status", "elapsed")
                },
            }
        ).decode()


def open_handler(name: str, folder: Path) -> tuple[logging.Handler, Callable[[], object]]:
    """Build a handler, and the function that ends it with everything written."""
    if name == "NullHandler":
        return logging.NullHandler(), lambda: None
    if name.startswith("logbatch"):
        import logbatch

        handler = logbatch.BatchHandler(f"{name.split()[1]}:{folder}")
        return handler, handler.close
    target = logging.FileHandler(folder / "plain.jsonl")
    target.setFormatter(JsonFormatter())
    if name == "FileHandler":
        return target, target.close
    line: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(line, target)
    listener.start()

    def close() -> None:
        listener.stop()
        target.close()

    return logging.handlers.QueueHandler(line), close


def log_some(logger: logging.Logger, records: int, times: list[int] | None = None) -> None:
    """Log records with four extra fields, taking the time of each call if asked to."""
    clock = time.perf_counter_ns
    for n in range(records):
        extra = {"user_id": n, "request_id": "4f1c2a", "status": 200, "elapsed": 1.25}
        started = clock()
        logger.info(MESSAGE, "GET", "/items/17", 12.5, extra=extra)
        if times is not None:
            times.append(clock() - started)


def measure(name: str, what: str, records: int) -> dict[str, float]:
    """Measure one handler in this process."""
    with tempfile.TemporaryDirectory() as folder:
        handler, close = open_handler(name, Path(folder))
        logger = logging.Logger("bench", logging.INFO)
        logger.addHandler(handler)
        log_some(logger, 2000)  # the first record opens files and starts threads
        handler.flush()
        result = {"call": _call, "busy": _busy, "road": _road}[what](logger, records, close)
        if what != "road":
            close()
    return result


def _quantiles(times: list[int]) -> dict[str, float]:
    times.sort()
    return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def _call(logger: logging.Logger, records: int, close: Callable[[], object]) -> dict[str, float]:
    times: list[int] = []
    log_some(logger, records, times)
    return _quantiles(times)


def _busy(logger: logging.Logger, records: int, close: Callable[[], object]) -> dict[str, float]:
    """Four threads that compute between their calls."""
    all_times: list[list[int]] = [[] for _ in range(4)]

    def work(times: list[int]) -> None:
        for _ in range(records // 40):
            log_some(logger, 10, times)
            sum(range(2000))

    threads = [threading.Thread(target=work, args=(times,)) for times in all_times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _quantiles([time for times in all_times for time in times])


def _road(logger: logging.Logger, records: int, close: Callable[[], object]) -> dict[str, float]:
    """From the first call until everything is in a closed file."""
    started = time.perf_counter_ns()
    log_some(logger, records)
    close()
    return {"road": (time.perf_counter_ns() - started) / records}


def measure_apart(name: str, what: str, records: int) -> dict[str, float]:
    """Measure one handler in a new process."""
    command = [sys.executable, __file__, "--one", name, what, "--records", str(records)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(rounds: int, records: int) -> dict[str, dict[str, list[float]]]:
    """Measure all handlers in turn, round after round: figure -> handler -> a value a round."""
    table: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        for what in ("call", "busy", "road"):
            for name in HANDLERS[turn % 2 :] + HANDLERS[: turn % 2]:
                for figure, value in measure_apart(name, what, records).items():
                    label = f"{what} {figure}"
                    table.setdefault(label, {}).setdefault(name, []).append(value)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return table


def print_table(table: dict[str, dict[str, list[float]]]) -> None:
    """Print medians in microseconds, and in brackets the ratio to NullHandler."""
    titles = {
        "call p50": "call p50",
        "call p99": "call p99",
        "busy p99": "p99, 4 busy threads",
        "road road": "to the closed file",
    }
    print(f"{'microseconds (x NullHandler)':<30}" + "".join(f"{t:>23}" for t in titles.values()))
    for name in HANDLERS:
        cells = ""
        for label in titles:
            mine, null = table[label][name], table[label]["NullHandler"]
            ratio = statistics.median(a / b for a, b in zip(mine, null, strict=True))
            cells += f"{statistics.median(mine) / 1000:>14.1f} ({ratio:5.2f})"
        print(f"{name:<30}{cells}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one, other = arguments.one
        print(json.dumps(measure(one, other, arguments.records)))
    else:
        print_table(compare(arguments.rounds, arguments.records))


if __name__ == "__main__":
    main()
