"""What compaction costs, and what it is worth: rows a second, memory, bytes, and questions asked.

    python benchmarks/compaction.py [--records 1000000] [--files 3600] [--runs 3]
        [--random] [--growth 10000,100000,1000000,10000000] [--picture docs/compaction.svg]

The records are those of the call `_arguments` of `calls.py`, in which only the user's id changes;
with `--random`, a path, a time taken, a user and a status do, by chance: that is as far from what
can be compressed as a log gets.  They are written as two processes would have written them, in
small Parquet files, and as JSON Lines.  `logbatch compact` runs as a process of its own; its memory
is the most that the system ever gave it.  A question's time is the median over the runs, in turn.

`--growth` compacts ever more records, in files of the same number of records, and draws how long
that takes and how much memory.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from logbatch.identity import new_producer
from logbatch.storage.arrow import table_from_lines

FOLDER = "date=2026-11-20"
DAY = 80_000_000_000  # microseconds over which the records are spread
LINE = (
    '{"timestamp":"2026-11-20T%02d:%02d:%02d.%06dZ","level":"%s","levelno":%d,'
    '"logger":"shop.web","message":"GET /items/%d took %.3f ms",'
    '"template":"%%s %%s took %%.3f ms","pathname":"/srv/shop/web.py","lineno":117,'
    '"func_name":"answer","process":4711,"thread":140000000000000,"thread_name":"MainThread",'
    '"service":"shop","host":"web1","attributes":{"user_id":%d,"request_id":"4f1c2a",'
    '"status":%d,"elapsed":%.3f}}\n'
)

QUESTIONS = {
    "count by level": "SELECT level, count(*) FROM {} GROUP BY level",
    "text": "SELECT count(*) FROM {} WHERE message LIKE '%/items/17 took 12.5%'",
    "p95 of an attribute": "SELECT quantile_cont((attributes->>'elapsed')::DOUBLE, 0.95) FROM {}",
}


class Run(NamedTuple):
    """A compaction: its seconds, and the most megabytes of memory that it took."""

    seconds: float
    memory: float


def make_lines(records: int, by_chance: bool) -> Iterator[str]:
    """Make the lines of a day; the values in them are by chance, or always the same."""
    chance = random.Random(7)
    step = DAY / records
    for number in range(records):
        second, micros = divmod(int(number * step + chance.random() * step), 1_000_000)
        level = ("ERROR", 40) if chance.random() < 0.01 else ("INFO", 20)
        moment = (second // 3600, second // 60 % 60, second % 60, micros)
        item, taken, user, status = 17, 12.5, number, 200
        if by_chance:
            item, taken = chance.randrange(50), chance.lognormvariate(2, 1)
            user, status = chance.randrange(5000), chance.choice((200, 200, 200, 404))
        yield LINE % (*moment, *level, item, taken, user, status, taken)


def write_logs(records: int, files: int, place: Path, by_chance: bool = False) -> int:
    """Write small Parquet files and JSON Lines, as two processes; return the bytes of the lines."""
    folder = place / "logs" / FOLDER
    folder.mkdir(parents=True)
    producers, at = [new_producer(), new_producer()], [0, 0]
    lines, size = make_lines(records, by_chance), 0
    each, more = divmod(records, files)
    with (place / "logs.jsonl").open("w") as plain:
        for number in range(files):
            text = "".join(next(lines) for _ in range(each + (number < more)))
            who, first = producers[number % 2], at[number % 2]
            table = table_from_lines(text.encode(), who, first)
            last = first + len(table) - 1
            path = folder / f"{who}-{first}-{last}.parquet"
            pq.write_table(table, path, compression="zstd", store_schema=False)
            at[number % 2] = last + 1
            size += plain.write(text)
    return size


def measure_size(directory: Path) -> tuple[int, int]:
    """Return how many Parquet files there are, and their bytes."""
    found = [path.stat().st_size for path in directory.glob("date=*/*.parquet")]
    return len(found), sum(found)


def compact(directory: Path, *options: str) -> Run:
    """Compact a directory, in a process of its own."""
    command = [sys.executable, "-m", "logbatch", "compact", str(directory), "--older-than", "0"]
    began = time.perf_counter()
    child = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"logbatch compact failed: {os.waitstatus_to_exitcode(status)}")
    return Run(time.perf_counter() - began, used.ru_maxrss / 1024)


def ask(source: str, query: str) -> None:
    """Have DuckDB answer, as a user would who has just begun."""
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {os.cpu_count() or 1}")
        connection.sql(query.format(source)).fetchall()


def grep(path: Path) -> None:
    """Count lines that match."""
    subprocess.run(
        ["grep", "-c", "/items/17 took 12.5", path],
        stdout=subprocess.PIPE,  # to /dev/null it would end with the first line that matches
        check=True,
    )


def take_times(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Return the median seconds of each way, all measured in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def compare(records: int, files: int, runs: int, by_chance: bool) -> None:
    """Print what a compaction costs and what it is worth."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        size = write_logs(records, files, place, by_chance)
        shutil.copytree(place / "logs", place / "compacted")
        run = compact(place / "compacted")
        for name in ("logs", "compacted"):
            count, length = measure_size(place / name)
            print(
                f"{name:10} {count:6,} files  {length:12,} bytes  {length / records:6.1f} a record"
            )
        _, after = measure_size(place / "compacted")
        print(f"{'JSON Lines':10} {1:6,} files  {size:12,} bytes  {size / records:6.1f} a record")
        print(f"compacted: {size / after:.1f} times smaller than JSON Lines")
        print(f"{records / run.seconds:,.0f} rows a second, {run.memory:,.0f} MB at most\n")
        show_questions(place, runs)


def show_questions(place: Path, runs: int) -> None:
    """Print how long DuckDB takes for each question, and grep for one."""
    sources = {
        "small files": f"'{place}/logs/date=*/*.parquet'",
        "compacted": f"'{place}/compacted/date=*/*.parquet'",
        "JSON Lines": f"read_json('{place}/logs.jsonl', columns={{level: 'VARCHAR',"
        " message: 'VARCHAR', attributes: 'JSON'})",
    }
    print(f"{'seconds':22}", *(f"{name:>12}" for name in [*sources, "grep"]))
    for name, query in QUESTIONS.items():
        ways: dict[str, Callable[[], object]] = {
            source: partial(ask, text, query) for source, text in sources.items()
        }
        if name == "text":
            ways["grep"] = partial(grep, place / "logs.jsonl")
        times = take_times(ways, runs)
        print(f"{name:22}", *(f"{times[way]:12.3f}" if way in times else "" for way in times))


# ------------------------------------------------------------------ growth


def grow(sizes: list[int], each: int) -> dict[int, Run]:
    """Compact ever more records, in files of so many."""
    found = {}
    for records in sizes:
        with tempfile.TemporaryDirectory() as directory:
            write_logs(records, max(records // each, 1), Path(directory))
            found[records] = compact(Path(directory, "logs"))
        run = found[records]
        rate = records / run.seconds
        print(f"{records:12,} records: {run.seconds:8.2f} s, {rate:9,.0f}/s, {run.memory:6,.0f} MB")
    return found


def draw(found: dict[int, Run]) -> str:
    """Draw seconds and memory over the number of records, both axes in powers of ten."""
    width, height, left, low, high = 640, 360, 70, 320, 30
    powers = [len(str(records)) - 1 for records in found]
    span = max(powers) - min(powers) or 1

    def x(records: int) -> float:
        return left + (len(str(records)) - 1 - min(powers)) / span * (width - left - 110)

    def y(value: float) -> float:
        share = (_log(value) + 1) / 5  # from 0.1 to 10,000
        return low - share * (low - high)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18">logbatch compact: time and memory over records</text>',
    ]
    for power in range(-1, 5):
        at = y(10.0**power)
        parts.append(
            f'<path d="M{left} {at:.0f}H{width - 110}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{at + 4:.0f}" text-anchor="end">{10.0**power:g}</text>'
        )
    for records in found:
        parts.append(
            f'<text x="{x(records):.0f}" y="{low + 18}" text-anchor="middle">{records:,}</text>'
        )
    curves = {
        "seconds": ("#2563eb", [run.seconds for run in found.values()]),
        "MB": ("#dc2626", [run.memory for run in found.values()]),
    }
    for name, (color, values) in curves.items():
        points = [(x(records), y(value)) for records, value in zip(found, values, strict=True)]
        path = " ".join(f"{a:.0f},{b:.0f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for (a, b), value in zip(points, values, strict=True):
            parts.append(
                f'<circle cx="{a:.0f}" cy="{b:.0f}" r="3" fill="{color}"/>'
                f'<text x="{a + 6:.0f}" y="{b - 6:.0f}" fill="{color}">{value:.3g} {name}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


def _log(value: float) -> float:
    import math

    return math.log10(max(value, 0.1))


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=3600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--random", action="store_true", help="values by chance")
    parser.add_argument("--growth", default="", help="how many records, with commas between")
    parser.add_argument("--picture", type=Path, help="where the growth is drawn, as SVG")
    given = parser.parse_args()
    print(f"pyarrow {pa.__version__}, duckdb {duckdb.__version__}, {os.cpu_count()} cores\n")
    if given.records:
        compare(given.records, given.files, given.runs, given.random)
    if given.growth:
        sizes = [int(size) for size in given.growth.split(",")]
        found = grow(sizes, max(given.records, 1_000_000) // given.files)
        if given.picture is not None:
            given.picture.write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
