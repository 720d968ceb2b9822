"""What a question to a directory costs, beside DuckDB's own `read_parquet` on the same files.

    python benchmarks/reading.py DIR [--records 3000000] [--files 1824] [--rounds 5]

DIR keeps the data of `records.py`: the same in many small files and in a few large ones.  Both
contenders answer in turn, round after round, each with a new connection and a new `Dataset`, within
one process; the figures are the medians.  `tail` is a process of its own.  Memory is the most that
a process that asks only this question ever held, Python, Arrow and DuckDB included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from records import make

import logbatch


class Question(NamedTuple):
    """Something to ask: of logbatch by SQL or by a filter, and of DuckDB by SQL."""

    name: str
    ours: str
    theirs: str
    is_sql: bool
    most: tuple[float, float]  # times what DuckDB takes; small files, compacted


NEWEST = "SELECT * FROM {logs} WHERE %s ORDER BY timestamp DESC LIMIT 100"
QUESTIONS = [
    Question(name, sql, sql.replace("logs", "{logs}"), is_sql=True, most=(1.3, 1.3))
    for name, sql in {
        "count": "SELECT count(*) FROM logs",
        "group by level": "SELECT level, count(*) FROM logs GROUP BY level",
        "p95 of an attribute": "SELECT quantile_cont((attributes->>'ms')::DOUBLE, 0.95) FROM logs",
    }.items()
] + [
    Question(name, where, NEWEST % sql, is_sql=False, most=(1.5, 1.0))
    for name, where, sql in (
        ("text", "zzz", "message ILIKE '%zzz%'"),
        ("attribute", "user_id=42", "attributes->>'user_id' = '42'"),
        (
            "logger and level",
            "logger=shop.web.api level>=ERROR",
            "(logger = 'shop.web.api' OR logger LIKE 'shop.web.api.%') AND levelno >= 40",
        ),
    )
]


def main() -> None:
    """Make the data if it is not there, ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--records", type=int, default=3_000_000)
    parser.add_argument("--files", type=int, default=1_824)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ask", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        _tell_memory(*json.loads(options.ask))
        return
    base = options.directory / f"{options.records}-in-{options.files}"
    if not (base / "compacted").exists():
        make(base, options.records, options.files)
    for number, kind in enumerate(("small", "compacted")):
        report(base / kind, number, options.rounds)


# ------------------------------------------------------------------ asking


def ask(directory: Path, question: Question) -> None:
    """Ask logbatch."""
    dataset = logbatch.Dataset(directory)
    if question.is_sql:
        dataset.sql(question.ours, timeout=None)
    else:
        list(dataset.rows(question.ours, limit=100, newest_first=True))


def ask_duckdb(directory: Path, question: Question) -> None:
    """Ask DuckDB the same, of the same files."""
    with duckdb.connect() as connection:
        query = question.theirs.format(logs=f"read_parquet('{directory}/**/*.parquet')")
        connection.sql(query).to_arrow_table()


def ask_newest(directory: Path) -> None:
    """Ask for the newest records of all."""
    list(logbatch.Dataset(directory).rows(limit=100, newest_first=True))


def tail(directory: Path) -> None:
    """Run the command."""
    command = [sys.executable, "-m", "logbatch", "tail", "-n", "100", str(directory)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def report(directory: Path, number: int, rounds: int) -> None:
    """Print the figures of one directory."""
    files = len(list(directory.glob("*/*.parquet")))
    print(f"\n{directory.name}: {files:,} files")
    print(f"{'':22}{'logbatch':>10}{'DuckDB':>10}{'ratio':>8}{'at most':>9}{'memory':>9}")
    for question in QUESTIONS:
        asked = (directory, question)
        ours, theirs = _medians(rounds, partial(ask, *asked), partial(ask_duckdb, *asked))
        most = question.most[number]
        shown = f"{ours * 1e3:7.0f} ms{theirs * 1e3:7.0f} ms{ours / theirs:8.2f}{most:9.1f}"
        print(f"{question.name:22}{shown}{_memory(directory, question.name):6.0f} MB")
    per_file = 0.05e-3 * files if number == 0 else 0.0
    for name, act, most in (
        ("newest 100", lambda: ask_newest(directory), (0.05, 0.03)[number] + per_file),
        ("tail -n 100", lambda: tail(directory), (0.6, 0.5)[number] + per_file),
    ):
        (took,) = _medians(rounds, act)
        limit = f"{most * 1e3:6.0f} ms"
        print(f"{name:22}{took * 1e3:7.0f} ms{'':18}{limit:>9}{_memory(directory, name):6.0f} MB")


def _medians(rounds: int, *contenders: Callable[[], None]) -> list[float]:
    """Time contenders in turn; return the median of each."""
    times: list[list[float]] = [[] for _ in contenders]
    for turn in range(rounds + 1):
        for each, contender in zip(times, contenders, strict=True):
            began = time.perf_counter()
            contender()
            if turn:  # the first brings the files into the cache
                each.append(time.perf_counter() - began)
    return [statistics.median(each) for each in times]


def _memory(directory: Path, name: str) -> float:
    """Return the megabytes that a process needs to answer one question."""
    asked = json.dumps([str(directory), name])
    command = [sys.executable, __file__, str(directory), "--ask", asked]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _tell_memory(directory: str, name: str) -> None:
    found: Iterator[Question] = (each for each in QUESTIONS if each.name == name)
    question: Any = next(found, None)
    if question is None:
        ask_newest(Path(directory))
    else:
        ask(Path(directory), question)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1.024 / 1000)


if __name__ == "__main__":
    main()
