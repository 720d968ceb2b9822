"""What it costs to append a program's output to the record of runs, and whether that grows.

    python benchmarks/appending.py [--lines 10000,100000,1000000] [--batch 1000]
        [--picture docs/appending.svg]

A run prints so many lines of 100 bytes; they are stored as `logbatch run` stores them, a batch in
a transaction that is on the disk when it ends.  The time of each transaction is taken.  For
comparison, the same with the usual `UPDATE … SET stdout = stdout || ?`, which copies the row each
time; it is given up after half a minute.  The record of runs is read at the end: the last lines,
and a range in the middle.
"""

from __future__ import annotations

import argparse
import math
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from logbatch.capture.chunk import Chunk
from logbatch.capture.runs import Runs
from logbatch.storage.executions import Execution, Executions
from logbatch.storage.sqlite import writing

SIZE = 100  # bytes of a line
PATIENCE = 15.0
POINTS = 60  # in the picture of each run
WIDTH, HEIGHT, LEFT, RIGHT, LOW, HIGH = 640, 360, 70, 500, 320, 40

Append = Callable[[int, bytes], None]
"""Stores the next output: where it begins, and its bytes."""


class Cost(NamedTuple):
    """A transaction: how many lines there were behind it, and the microseconds for each of its."""

    lines: int
    micros: float


def in_chunks(path: Path) -> Append:
    """Store output as logbatch does."""
    executions = Executions(path)
    executions.begin(Execution("run", "yes", time.time(), "host", 1))

    def append(offset: int, data: bytes) -> None:
        chunk = Chunk("stdout", time.time(), offset, data, offset + len(data))
        executions.append("run", [chunk], None)

    return append


def in_the_row(path: Path) -> Append:
    """Store output in a row that grows."""
    with writing(path) as connection:
        connection.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, stdout TEXT)")
        connection.execute("INSERT INTO runs VALUES ('run', '')")

    def append(_offset: int, data: bytes) -> None:
        with writing(path) as connection:
            connection.execute("UPDATE runs SET stdout = stdout || ?", (data.decode(),))

    return append


def run(append: Append, lines: int, batch: int, patience: float) -> Iterator[Cost]:
    """Append so many lines, until patience is at its end; yield what each transaction costs."""
    data = (b"x" * (SIZE - 1) + b"\n") * batch
    end = time.perf_counter() + patience
    for done in range(0, lines, batch):
        began = time.perf_counter()
        append(done * SIZE, data)
        now = time.perf_counter()
        yield Cost(done + batch, (now - began) / batch * 1e6)
        if now > end:
            return


def measure(way: str, lines: int, batch: int) -> list[Cost]:
    """Append in one of the ways, and print what it costs at the beginning and at the end."""
    ways = {"chunks": in_chunks, "stdout || ?": in_the_row}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "runs.db"
        patience = math.inf if way == "chunks" else PATIENCE
        costs = list(run(ways[way](path), lines, batch, patience))
        part = max(len(costs) // 10, 1)
        early, late = (
            statistics.median(cost.micros for cost in each)
            for each in (costs[:part], costs[-part:])
        )
        print(
            f"{way:12} {costs[-1].lines:10,} lines: {early:7.1f} µs a line at the beginning,",
            end=" ",
        )
        print(f"{late:7.1f} at the end")
        if way == "chunks":
            read(path)
    return costs


def read(path: Path) -> None:
    """Print how long the end of the run, and reading of it, take."""
    runs = Runs(path)
    found = runs.find("run")
    seconds = {}
    began = time.perf_counter()
    Executions(path).finish("run", ended_at=time.time(), exit_code=0)
    seconds["end"] = time.perf_counter() - began
    began = time.perf_counter()
    list(runs.read("run", None, runs.tail(found, None, 100)))
    seconds["last 100 lines"] = time.perf_counter() - began
    began = time.perf_counter()
    list(runs.read("run", None, found.size // 2, found.size // 2 + 10_000))
    seconds["10 kB in the middle"] = time.perf_counter() - began
    print(" " * 12, ", ".join(f"{name} {1000 * each:.1f} ms" for name, each in seconds.items()))


# ------------------------------------------------------------------ picture


def draw(found: dict[str, list[list[Cost]]]) -> str:
    """Draw the cost of a line over how many are there, both axes in powers of ten."""
    powers = [math.log10(cost.lines) for runs in found.values() for run in runs for cost in run]
    first, last = math.floor(min(powers)), math.ceil(max(powers))
    most = math.ceil(math.log10(max(c.micros for runs in found.values() for r in runs for c in r)))

    def x(lines: float) -> float:
        return LEFT + (math.log10(lines) - first) / max(last - first, 1) * (RIGHT - LEFT)

    def y(micros: float) -> float:
        return LOW - min(max(math.log10(micros) / max(most, 1), 0), 1) * (LOW - HIGH)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18">µs to append a line, over the lines that are there</text>',
    ]
    for power in range(most + 1):
        at = y(10.0**power)
        parts.append(
            f'<path d="M{LEFT} {at:.0f}H{RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{at + 4:.0f}" text-anchor="end">{10**power:,}</text>'
        )
    for power in range(first, last + 1):
        parts.append(
            f'<text x="{x(10.0**power):.0f}" y="{LOW + 18}" text-anchor="middle">{10**power:,}'
            "</text>"
        )
    for (name, runs), color in zip(found.items(), ("#2563eb", "#dc2626"), strict=True):
        for costs in runs:
            points = [(x(lines), y(micros)) for lines, micros in thin_out(costs)]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            )
        parts.append(
            f'<text x="{points[-1][0] + 6:.0f}" y="{points[-1][1] + 4:.0f}" fill="{color}">{name}'
            "</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def thin_out(costs: list[Cost]) -> list[Cost]:
    """Take the medians of the costs that would be drawn at about one place."""
    places: dict[int, list[Cost]] = {}
    step = max(math.log10(costs[-1].lines / costs[0].lines), 1) / POINTS
    for cost in costs:
        places.setdefault(int(math.log10(cost.lines) / step), []).append(cost)
    return [
        Cost(each[-1].lines, statistics.median(cost.micros for cost in each))
        for each in places.values()
    ]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", default="10000,100000,1000000", help="with commas between")
    parser.add_argument("--batch", type=int, default=1000, help="lines of a transaction")
    parser.add_argument("--picture", type=Path, help="where it is drawn, as SVG")
    given = parser.parse_args()
    print(f"SQLite {sqlite3.sqlite_version}\n")
    sizes = [int(size) for size in given.lines.split(",")]
    found = {
        way: [measure(way, lines, given.batch) for lines in sizes]
        for way in ("chunks", "stdout || ?")
    }
    if given.picture is not None:
        given.picture.write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
