"""What merging small files in the background costs a logging call, and how many files it leaves.

    python benchmarks/merging.py [--seconds 20] [--rounds 3] [--rate 8000] [--errors 0.01]

A service logs at a steady rate, some of it errors, each of which makes a file.  It does so with
merging and without in turn, within one process, as times differ from minute to minute.  A call is
timed for itself; pauses between calls are slept.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import pathlib
import statistics
import sys
import tempfile
import time

import logbatch

_clock = time.perf_counter_ns


def log_for(logger: logging.Logger, seconds: float, rate: int, errors: float) -> list[int]:
    """Log at a rate for so many seconds; return what each call took, in nanoseconds."""
    times: list[int] = []
    error_every = round(1 / errors) if errors else sys.maxsize
    started = time.perf_counter()
    for n in itertools.count(1):
        ahead = n / rate - (time.perf_counter() - started)
        if ahead > 0.002:
            time.sleep(ahead)
        level = logging.ERROR if n % error_every == 0 else logging.INFO
        extra = {"user_id": n % 1000, "request_id": f"{n:032x}", "status": 200, "elapsed": 1.25}
        before = _clock()
        logger.log(level, "%s %s took %.3f ms", "GET", "/items/17", n / 1000, extra=extra)
        times.append(_clock() - before)
        if n >= seconds * rate:
            return times
    raise AssertionError


def run(folder: pathlib.Path, compact: bool, given: argparse.Namespace) -> dict[str, float]:
    """Log once, with merging or without; return what it cost and left."""
    handler = logbatch.BatchHandler(f"parquet:{folder}", compact=compact)
    logger = logging.Logger("bench", logging.INFO)
    logger.addHandler(handler)
    log_for(logger, 0.5, given.rate, given.errors)  # imports, and the first files
    used = time.process_time()
    times = sorted(log_for(logger, given.seconds, given.rate, given.errors))
    used = time.process_time() - used
    handler.close()
    stats = handler.stats()
    return {
        "p50": times[len(times) // 2] / 1000,
        "p99": times[len(times) * 99 // 100] / 1000,
        "p99.9": times[len(times) * 999 // 1000] / 1000,
        "max": times[-1] / 1000,
        "cpu": used / given.seconds,
        "batches": stats.batches,
        "files": len(list(folder.glob("date=*/*.parquet"))),
        "merges": stats.merges,
        "seconds": stats.merge_seconds,
        "MB": sum(path.stat().st_size for path in folder.glob("date=*/*.parquet")) / 1e6,
        "MB rewritten": stats.merged_bytes / 1e6,
    }


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--errors", type=float, default=0.01)
    given = parser.parse_args()
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as place:
        for turn in range(2 * given.rounds):
            compact = turn % 2 == 0
            found[compact].append(run(pathlib.Path(place) / str(turn), compact, given))
    print(f"Python {sys.version.split()[0]}; medians of {given.rounds} rounds; calls in µs")
    for compact, rounds in found.items():
        cells = "".join(
            f"{name:>9} {statistics.median(each[name] for each in rounds):,.1f}"
            for name in rounds[0]
        )
        print(f"{'merging' if compact else 'without':<8}{cells}", flush=True)


if __name__ == "__main__":
    main()
