"""What every kind of logging call costs, and what the whole road to a closed file costs.

    pip install python-json-logger orjson
    python benchmarks/calls.py [--rounds 30] [--records 2000] [--busy] [--road]

All contenders log in turn within one process, round after round: absolute times differ from machine
to machine and from minute to minute, so the figures are ratios to what the same call costs with a
`NullHandler` (with structlog: with a chain that ends in a processor that drops), each the median of
the ratios of all rounds.  A call is timed for itself, and a round's figure is the median of its
calls.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import decimal
import io
import logging
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import structlog
from pythonjsonlogger.orjson import OrjsonFormatter

import logbatch

Log = Any  # a logger of logging, or one of structlog
Call = Callable[[Log, int], object]
_clock = time.perf_counter_ns

MESSAGE = "%s %s took %.3f ms"
NESTED = {"method": "GET", "headers": {"host": "example.org", "accept": ["text/html", "*/*"]}}
MOMENT = datetime.datetime(2026, 11, 21, 10, 0, tzinfo=datetime.UTC)
PATH = pathlib.PurePosixPath("/srv/app/items.db")
PRICE = decimal.Decimal("19.99")


# ------------------------------------------------------------------ kinds of call


def _plain(log: Log, n: int) -> None:
    log.info("hello")


def _arguments(log: Log, n: int) -> None:
    extra = {"user_id": n, "request_id": "4f1c2a", "status": 200, "elapsed": 1.25}
    log.info(MESSAGE, "GET", "/items/17", 12.5, extra=extra)


def _nested(log: Log, n: int) -> None:
    log.info("request", extra={"request": NESTED, "ids": [n, n + 1], "user": {"id": n}})


def _objects(log: Log, n: int) -> None:
    log.info("%s costs %s", PATH, PRICE, extra={"at": MOMENT, "path": PATH, "price": PRICE})


def _exception(log: Log, n: int) -> None:
    try:
        _down(7)
    except ValueError:
        log.exception("it failed")


def _down(depth: int) -> None:  # two by turns: a function that calls itself is printed but thrice
    if depth == 0:
        raise ValueError("out of range")
    _further_down(depth - 1)


def _further_down(depth: int) -> None:
    if depth == 0:
        raise ValueError("out of range")
    _down(depth - 1)


def _structlog(log: Log, n: int) -> None:
    log.info(
        "request done", method="GET", path="/items/17", status=200, ms=12.5, user_id=n, cached=True
    )


@contextlib.contextmanager
def _bound() -> Iterator[None]:
    with structlog.contextvars.bound_contextvars(request_id="4f1c2a", user="ann"):
        yield


KINDS: dict[str, Call] = {
    "plain": _plain,
    "three arguments, four fields": _arguments,
    "nested fields": _nested,
    "datetime, Path, Decimal": _objects,
    "exception, 9 frames": _exception,
    "bound contextvars": _arguments,
    "in an asyncio task": _arguments,
    "structlog, six key-values": _structlog,
}


# ------------------------------------------------------------------ contenders


class Contender:
    """Something to log to, in a folder of its own.

    Args:
        folder: Where it writes.
        transport: A kind of ours; "null" for nothing, "file" for the usual way to JSON lines.
    """

    def __init__(self, folder: pathlib.Path, transport: str) -> None:
        self.name = transport
        self._folder = folder

    def open(self, kind: str) -> tuple[Log, Callable[[], object]]:
        """Return a logger, and what closes it with everything written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        opened = self._open_structlog() if kind.startswith("structlog") else self._open_logging()
        return opened

    def remove(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self) -> str:
        return f"{self.name}:{self._folder / 'logs.db' if self.name == 'sqlite' else self._folder}"

    def _open_logging(self) -> tuple[Log, Callable[[], object]]:
        logger = logging.Logger("bench", logging.INFO)
        handler: logging.Handler = logging.NullHandler()
        if self.name == "file":
            handler = logging.FileHandler(self._folder / "plain.jsonl")
            handler.setFormatter(
                OrjsonFormatter(
                    "{asctime}{levelname}{name}{message}{pathname}{lineno}{funcName}{process}"
                    "{thread}{threadName}",
                    style="{",
                )
            )
        elif self.name != "null":
            handler = logbatch.BatchHandler(self._url())
        logger.addHandler(handler)
        return logger, handler.close

    def _open_structlog(self) -> tuple[Log, Callable[[], object]]:
        chain: list[Any] = [
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
        ]
        if self.name == "file":
            file = open(self._folder / "plain.jsonl", "wb")  # noqa: SIM115  # closed below
            chain.append(structlog.processors.JSONRenderer(serializer=orjson.dumps))
            logger: Any = structlog.BytesLogger(file)
            close: Callable[[], object] = file.close
        elif self.name == "null":
            chain.append(_drop)
            logger, close = structlog.BytesLogger(io.BytesIO()), lambda: None
        else:
            last = logbatch.BatchProcessor(self._url(), final=True)
            chain.append(last)
            logger, close = structlog.BytesLogger(io.BytesIO()), last.close
        bound = structlog.make_filtering_bound_logger(logging.INFO)
        return structlog.wrap_logger(logger, chain, bound, cache_logger_on_first_use=True), close


def _drop(_logger: Any, _name: str, _event: Any) -> Any:
    raise structlog.DropEvent


# ------------------------------------------------------------------ measuring


def run_calls(kind: str, log: Log, records: int) -> float:
    """Log so many records of a kind; return the median time of a call."""
    call = KINDS[kind]
    if kind == "in an asyncio task":

        async def job() -> float:
            return _time_calls(call, log, records)

        return asyncio.run(job())
    with _bound() if kind == "bound contextvars" else contextlib.nullcontext():
        return _time_calls(call, log, records)


def _time_calls(call: Call, log: Log, records: int) -> float:
    times = []
    for n in range(records):
        started = _clock()
        call(log, n)
        times.append(_clock() - started)
    return statistics.median(times)


def run_busy(kind: str, log: Log, records: int) -> float:
    """Log from four threads that compute between their calls; return the 99th percentile."""
    call = KINDS[kind]
    all_times: list[list[int]] = [[] for _ in range(4)]

    def work(times: list[int]) -> None:
        for n in range(records // 4):
            started = _clock()
            call(log, n)
            times.append(_clock() - started)
            if n % 10 == 0:
                sum(range(2000))

    threads = [threading.Thread(target=work, args=(times,)) for times in all_times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(time for each in all_times for time in each)
    return times[len(times) * 99 // 100]


def compare_calls(
    kind: str, contenders: list[Contender], rounds: int, records: int, run: Callable[..., float]
) -> dict[str, float]:
    """Return the ratio of each contender's call to the first one's."""
    opened = [(each.name, *each.open(kind)) for each in contenders]
    ratios: dict[str, list[float]] = {name: [] for name, _, _ in opened}
    times: list[float] = []
    for _, log, _ in opened:
        run(kind, log, 500)  # the first record opens files and starts threads
    for turn in range(rounds):
        order = opened[turn % len(opened) :] + opened[: turn % len(opened)]
        found = {name: run(kind, log, records) for name, log, _ in order}
        floor = found[contenders[0].name]
        times.append(floor)
        for name, value in found.items():
            ratios[name].append(value / floor)
    for _, _, close in opened:
        close()
    for each in contenders:
        each.remove()
    return {"floor": statistics.median(times) / 1000} | {
        name: statistics.median(values) for name, values in ratios.items()
    }


def compare_roads(
    kind: str, contenders: list[Contender], rounds: int, records: int
) -> dict[str, float]:
    """Return the ratios of what a record costs until everything is in a closed file."""
    ratios: dict[str, list[float]] = {each.name: [] for each in contenders}
    times = []
    for _ in range(rounds):
        found = {}
        for each in contenders:
            log, close = each.open(kind)
            run_calls(kind, log, 10)
            started = _clock()
            call = KINDS[kind]
            for n in range(records):
                call(log, n)
            close()
            found[each.name] = (_clock() - started) / records
            each.remove()
        floor = found[contenders[0].name]
        times.append(floor)
        for name, value in found.items():
            ratios[name].append(value / floor)
    return {"floor": statistics.median(times) / 1000} | {
        name: statistics.median(values) for name, values in ratios.items()
    }


def _print(title: str, kind: str, found: dict[str, float]) -> None:
    cells = "".join(f"{name:>10} {value:5.2f}" for name, value in found.items() if name != "null")
    print(f"{title:<6}{kind:<30}{cells}", flush=True)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--kind", action="append", help="only kinds that contain this")
    parser.add_argument("--busy", action="store_true", help="also beside four busy threads")
    parser.add_argument("--road", action="store_true", help="also the whole road")
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}; floor in microseconds, the others as ratios to it")
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        names = ["null", "file", "jsonl", "parquet", "sqlite"]
        contenders = [Contender(place / name, name) for name in names]
        for kind in KINDS:
            if given.kind and not any(part in kind for part in given.kind):
                continue
            found = compare_calls(kind, contenders[:3], given.rounds, given.records, run_calls)
            _print("call", kind, found)
            if given.busy:
                found = compare_calls(kind, contenders[:3], given.rounds, given.records, run_busy)
                _print("p99", kind, found)
            if given.road:
                rounds, records = max(given.rounds // 4, 5), given.records * 10
                _print("road", kind, compare_roads(kind, contenders, rounds, records))


if __name__ == "__main__":
    main()
