"""A service that logs for a year: how many files and bytes there are, and what reading costs.

    python benchmarks/year.py DIRECTORY [--days 365] [--every 10] [--flush 60] [--picture FILE.svg]

One service logs a record every `--every` seconds and now and then an error, on a clock of its own
that begins so many days ago.  It is restarted every few hours and killed at any change of a file,
and its clock is set now and then.  It merges its files as any service does; each midnight the
directory is compacted, and what is older than 30 days retired.  Every week: files, bytes, the
newest 100 records (`tail`), and a count by level (`query`).  At the end `verify`.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing import killed_after  # kills as the tests do

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.identity import new_producer
from logbatch.transports.base import Batch
from logbatch.transports.parquet import ParquetTransport

DAY = 86_400.0
KEPT = 30  # days
ROUNDS = 5


class Week(NamedTuple):
    """What was measured at the end of a week."""

    day: int
    files: int
    bytes: int
    records: int
    tail: float  # seconds
    query: float


class Service:
    """One service, on a clock that is set by hand."""

    def __init__(self, directory: Path, now: float, chance: random.Random) -> None:
        self.directory = directory
        self.now = now
        self.chance = chance
        self.waited = 0.0  # by the clock of merging
        self.logged = 0
        self.start()

    def start(self) -> None:
        """Begin a process."""
        self.producer = new_producer()
        self.next = 0
        self.transport = self._open()
        self.transport.begin(self.producer)

    def _open(self) -> ParquetTransport:
        transport = ParquetTransport(self.directory)
        transport.now = lambda: self.now
        transport.clock = lambda: self.waited
        return transport

    def publish(self, records: int, level: str = "INFO") -> None:
        """Publish what came in; where that is killed, the next process does, from the journal."""
        batch = Batch(
            self.producer, self.next, self.next + records - 1, self._lines(records, level)
        )
        self.next += records
        self.logged += records
        if self.chance.random() > 1 / 5000:
            self.transport.send(batch)
            return
        with killed_after(self.chance.randrange(8)):
            self.transport.send(batch)
        self._open().send(batch)
        self.start()

    def _lines(self, records: int, level: str) -> bytes:
        number = {"INFO": 20, "ERROR": 40}[level]
        return b"".join(
            msgspec.json.encode(
                {
                    "timestamp": datetime.fromtimestamp(self.now + at / 1000, UTC).isoformat(),
                    "level": level,
                    "levelno": number,
                    "logger": "shop.web",
                    "message": f"GET /cart/{self.next + at} took {self.chance.random():.3f} ms",
                    "template": "GET /cart/%s took %.3f ms",
                    "process": 4711,
                    "service": "shop",
                    "host": "web1",
                    "attributes": {"user_id": self.chance.randrange(10_000), "status": 200},
                }
            )
            + b"\n"
            for at in range(records)
        )

    def rest(self) -> None:
        """Merge, as the flusher does when it has nothing to send."""
        work = self.chance.randrange(12) if self.chance.random() < 1 / 500 else None
        if work is not None:
            with killed_after(work):
                self._merge()
            self.start()
        self._merge()

    def _merge(self) -> None:
        while math.isfinite(wait := self.transport.tidy().wait):
            self.waited += wait


def live(service: Service, days: int, every: float, flush: float) -> Iterator[Week]:
    """Let the days go by."""
    per_flush = max(round(flush / every), 1)
    for day in range(1, days + 1):
        midnight = service.now + DAY
        while service.now < midnight:
            service.now += flush
            service.publish(per_flush)
            if service.chance.random() < flush / 600:  # an error every ten minutes or so
                service.publish(1, "ERROR")
            service.rest()
            if service.chance.random() < flush / (8 * 3600):
                service.transport.close()
                service.start()
        if service.chance.random() < 1 / 30:
            service.now += service.chance.choice([-2 * DAY, -3600, 3600])
        _look_after(service)
        if day % 7 == 0:
            yield _measure(service.directory, day)


def _look_after(service: Service) -> None:
    """Do what cron does each night, as seen from the service's clock."""
    ago = max(time.time() - service.now, 0)
    if service.chance.random() < 1 / 20:
        with killed_after(service.chance.randrange(20)):
            Dataset(service.directory).compact(older_than=ago + DAY)
    Dataset(service.directory).compact(older_than=ago + DAY)
    Dataset(service.directory).retain(max_age=KEPT * DAY)  # counted up to the newest record


def _measure(directory: Path, day: int) -> Week:
    found = [path for path in directory.rglob("*") if path.is_file()]
    # What a kill left unfinished is removed after an hour by the real clock, which is not over yet.
    files = [path for path in found if not path.name.startswith(".part-")]
    count = "SELECT level, count(*) AS n FROM logs GROUP BY level"
    tails, queries, records = [], [], 0
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        list(Dataset(directory).rows(limit=100, newest_first=True))
        tails.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        records = sum(row["n"] for row in Dataset(directory).sql(count).to_pylist())
        queries.append(time.perf_counter() - begun)
    size = sum(path.stat().st_size for path in files)
    middle = statistics.median
    return Week(day, len(files), size, records, middle(tails), middle(queries))


# ------------------------------------------------------------------ the picture

_WIDTH, _HEIGHT, _MARGIN = 640, 110, 60


def draw(weeks: list[Week], path: Path) -> None:
    """Draw files, bytes and times over the days as one picture."""
    rows = [
        ("files", [float(week.files) for week in weeks], "{:,.0f}"),
        ("MB", [week.bytes / 1e6 for week in weeks], "{:,.1f}"),
        ("tail, ms", [week.tail * 1000 for week in weeks], "{:,.0f}"),
        ("query, ms", [week.query * 1000 for week in weeks], "{:,.0f}"),
    ]
    height = len(rows) * _HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 2 * _MARGIN} {height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for at, (name, values, form) in enumerate(rows):
        parts += _draw_row(name, values, form, [week.day for week in weeks], at * _HEIGHT)
    bottom = len(rows) * _HEIGHT + 20
    parts.append(f'<text x="{_MARGIN}" y="{bottom}">day {weeks[0].day}</text>')
    end = f'<text x="{_MARGIN + _WIDTH}" y="{bottom}" text-anchor="end">day {weeks[-1].day}</text>'
    path.write_text("\n".join([*parts, end, "</svg>\n"]))


def _draw_row(
    name: str, values: list[float], form: str, days: list[int], top: int
) -> Iterator[str]:
    most, first, last = max(values) or 1.0, days[0], max(days[-1], days[0] + 1)
    points = " ".join(
        f"{_MARGIN + (day - first) / (last - first) * _WIDTH:.1f},"
        f"{top + _HEIGHT - value / most * (_HEIGHT - 30):.1f}"
        for day, value in zip(days, values, strict=True)
    )
    line = top + _HEIGHT
    yield f'<text x="{_MARGIN}" y="{top + 18}">{name}: at most {form.format(most)}</text>'
    yield f'<path d="M{_MARGIN} {line}h{_WIDTH}" stroke="#bbb"/>'
    yield f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path, help="an empty directory")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two records")
    parser.add_argument("--flush", type=float, default=60.0, help="seconds between two batches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    start = time.time() // DAY * DAY - given.days * DAY
    service = Service(given.directory, start, random.Random(given.seed))
    weeks = []
    print(f"{'day':>5}{'files':>8}{'MB':>8}{'records':>12}{'tail, ms':>10}{'query, ms':>11}")
    for week in live(service, given.days, given.every, given.flush):
        weeks.append(week)
        times = f"{week.tail * 1000:>10.0f}{week.query * 1000:>11.0f}"
        print(f"{week.day:>5}{week.files:>8,}{week.bytes / 1e6:>8.1f}{week.records:>12,}{times}")
        sys.stdout.flush()
    report = verify(given.directory)
    taken = time.monotonic() - begun
    print(
        f"{service.logged:,} records in {taken:,.0f} s; verify: {'ok' if report.ok else 'NOT OK'}"
    )
    if given.picture:
        draw(weeks, given.picture)


if __name__ == "__main__":
    main()
