"""What the viewer costs, measured at the browser, beside plain DuckDB on the same files.

    python benchmarks/viewing.py DIR [--records 5000000] [--files 1000] [--rounds 5] [--seconds 10]

DIR keeps the data of `records.py`: a day of one service in a few large files, and the same in many
small ones.  `logbatch view` is a process of its own, started anew for each first look; the browser
is headless Chromium (`pip install playwright`, `apt-get install chromium`).  A time begins with the
navigation, or when the page sends what it wants, and ends when the frame that shows the answer is
painted.  The figures are medians.  DuckDB has a new connection for each question.
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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from records import make

DAY = 86_400_000_000  # microseconds
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic")
WATCH = Path(__file__).with_name("watch.js")
SMALL_FACTOR = 3  # how much longer small files may take
RARE, ABSENT = "items/4242", "zzz"  # one message in 5,000; none

COLUMNS = "timestamp, level, levelno, logger, message, producer, sequence"
NEWEST = f"SELECT {COLUMNS} FROM {{logs}} WHERE %s ORDER BY timestamp DESC LIMIT 200"
STATISTICS = (  # without the attributes' facets
    "SELECT epoch_us(timestamp) // 900_000_000, level, count(*) FROM {logs} GROUP BY ALL",
    *(f"SELECT {name}, count(*) FROM {{logs}} GROUP BY 1" for name in ("logger", "process")),
    "SELECT service, count(*) FROM {logs} GROUP BY 1",
)
APPLICATION = """
import logging, sys, time
from logbatch import BatchHandler
logging.getLogger().addHandler(BatchHandler("parquet:" + sys.argv[1]))
log = logging.getLogger("shop.web")
log.setLevel(logging.INFO)
rate, seconds = float(sys.argv[2]), float(sys.argv[3])
due = time.monotonic()
for number in range(int(rate * seconds)):
    log.info("GET /items/%d", number, extra={"user_id": number % 1000, "ms": number % 77 / 10})
    due += 1 / rate
    if due > time.monotonic():
        time.sleep(due - time.monotonic())
"""


def main() -> None:
    """Make the data if it is not there, look at it, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of events that come in")
    parser.add_argument("--rate", type=float, default=1_000.0, help="of them a second")
    options = parser.parse_args()
    base = options.directory / f"a-day-of-{options.records}-in-{options.files}"
    if not (base / "compacted").exists():
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        step = DAY // options.records
        make(base, options.records, options.files, midnight - timedelta(days=1), step)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for kind, factor in (("compacted", 1), ("small", SMALL_FACTOR)):
            look(browser, base / kind, factor, options.rounds)
        watch(browser, base / "compacted", options.rate, options.seconds)
        browser.close()


# ------------------------------------------------------------------ the two contenders


class Server:
    """A `logbatch view` of a directory."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-m", "logbatch", "view", str(directory), "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = next(line for line in self._process.stdout if "http://" in line)
        self.url = line[line.index("http://") :].split()[0]
        self.base = self.url.partition("?")[0]

    def megabytes(self) -> float:
        """Return the most memory that it ever held."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1.024 / 1000

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate()


@contextmanager
def serving(browser: Browser, directory: Path) -> Iterator[tuple[Server, BrowserContext]]:
    """Run a server, and a window of the browser that may look at it."""
    server = Server(directory)
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(120_000)
    # The token becomes a cookie here, and the scripts are in the browser's cache: not the socket.
    page = context.new_page()
    page.route("**/api/**", lambda route: route.abort())
    page.route_web_socket("**", lambda socket: socket.close())
    page.goto(server.url)
    page.close()
    context.add_init_script(path=WATCH)
    try:
        yield server, context
    finally:
        context.close()
        server.end()


def ask_duckdb(directory: Path, *queries: str) -> float:
    """Ask DuckDB; return the milliseconds that it took."""
    began = time.perf_counter()
    with duckdb.connect() as connection:
        for query in queries:
            logs = f"read_parquet('{directory}/**/*.parquet', hive_partitioning=false)"
            connection.sql(query.format(logs=logs)).to_arrow_table()
    return (time.perf_counter() - began) * 1e3


# ------------------------------------------------------------------ looking


def look(browser: Browser, directory: Path, factor: int, rounds: int) -> None:
    """Print what it takes to see something of one directory."""
    times: dict[str, list[float]] = {}
    memory = 0.0
    for _ in range(rounds):
        with serving(browser, directory) as (server, context):
            _look_once(server, context, times)
            memory = max(memory, server.megabytes())
    total = _count(directory)
    limits = {
        "first rows": [NEWEST % "true"],
        "statistics": STATISTICS,
        "a page anywhere": [f"{NEWEST % 'true'} OFFSET {total // 2}"],
        "text search": [NEWEST % f"message ILIKE '%{RARE}%'"],
        "text that is nowhere": [NEWEST % f"message ILIKE '%{ABSENT}%'"],
    }
    files = len(list(directory.glob("*/*.parquet")))
    print(f"\n{directory.name}: {total:,} events, {files:,} files")
    print(f"{'':34}{'page':>10}{'DuckDB':>10}{'at most':>10}")
    most = {"first rows": 100, "statistics": 1000, "a page anywhere": 100, "text search": 300}
    for name, taken in times.items():
        ask = limits.get(name)
        theirs = min(ask_duckdb(directory, *ask) for _ in range(rounds)) if ask else None
        limit = f"{most[name] * factor:7} ms" if name in most else ""
        shown = f"{theirs:7.0f} ms" if theirs is not None else ""
        print(f"{name:34}{statistics.median(taken):7.0f} ms{shown:>10}{limit:>10}")
    print(f"{'memory of the server, at most':34}{memory:7.0f} MB{'':10}{500:7} MB")


def _look_once(server: Server, context: BrowserContext, times: dict[str, list[float]]) -> None:
    def note(name: str, took: float) -> None:
        times.setdefault(name, []).append(took)

    page = context.new_page()
    page.goto(server.base)
    rows = _wait(page, "note => note.rows && note.shown")
    note("first rows", rows)
    known = _wait(page, "note => note.hasStatistics")
    note("statistics", known)
    note("first rows, if sent with them", known)  # one message for both must wait for both
    page.close()
    page = context.new_page()
    page.goto(server.base)
    note("both, when known before", _wait(page, "note => note.rows && note.hasStatistics"))
    for share in random.sample(range(5, 95), 5):
        note("a page anywhere", _jump(page, share / 100))
    note("text search", _search(page, RARE))
    note("text that is nowhere", _search(page, ABSENT))
    page.close()


def _wait(page: Page, what: str) -> float:
    """Wait until a message with something in it is on screen; return when that was."""
    handle = page.wait_for_function(
        f"() => seen.received.find(note => note.painted && ({what})(note))"
    )
    painted: float = handle.evaluate("note => note.painted")
    return painted


def _jump(page: Page, share: float) -> float:
    """Scroll to a share of all rows; return the milliseconds until they are shown."""
    began: float = page.evaluate(
        """(share) => {
            seen.received.length = 0;
            const rows = document.querySelector("#rows");
            rows.scrollTop = share * (rows.scrollHeight - rows.clientHeight);
            return performance.now();
        }""",
        share,
    )
    return _wait(page, "note => note.type === 'page' && note.isWhole") - began


def _search(page: Page, text: str) -> float:
    """Search for a text; return the milliseconds until its first rows are shown."""
    page.evaluate("() => { seen.received.length = 0; seen.sent.length = 0; }")
    page.fill("#filter", text)
    page.press("#filter", "Enter")
    page.wait_for_function("() => seen.sent.some(note => note.type === 'view')")
    sent: dict[str, Any] = page.evaluate("() => seen.sent.findLast(note => note.type === 'view')")
    generation = sent["generation"]
    is_answer = f"note => note.type === 'rows' && note.generation === {generation}"
    took: float = _wait(page, is_answer) - sent["at"]
    return took


def _count(directory: Path) -> int:
    with duckdb.connect() as connection:
        files = f"'{directory}/**/*.parquet'"
        (found,) = connection.sql(f"SELECT count(*) FROM {files}").fetchall()
        return int(found[0])


# ------------------------------------------------------------------ watching


def watch(browser: Browser, directory: Path, rate: float, seconds: float) -> None:
    """Print how the page keeps up with an application that logs."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as place:
        copy = Path(place) / "live"
        shutil.copytree(directory, copy, copy_function=os.link)
        with serving(browser, copy) as (server, context):
            page = context.new_page()
            page.goto(server.base)
            _wait(page, "note => note.hasStatistics")
            page.evaluate("() => { seen.received.length = 0; seen.delays.length = 0; }")
            page.evaluate("() => { seen.counting = true; }")
            command = [sys.executable, "-c", APPLICATION, str(copy), str(rate), str(seconds)]
            subprocess.run(command, check=True)
            page.evaluate("() => { seen.counting = false; }")
            logged = int(rate * seconds)
            _wait(page, f"note => note.last === 'GET /items/{logged - 1}'")
            found: dict[str, Any] = page.evaluate("() => seen")
            memory = server.megabytes()
    appends = [note for note in found["received"] if note["type"] == "append"]
    frames, delays = sorted(found["frames"]), sorted(found["delays"])
    print(f"\n{rate:,.0f} events a second for {seconds:g} s, beside {directory.name}")
    print(f"{'frames a second':34}{1e3 / statistics.mean(frames):7.1f}{'':13}{60:7}")
    print(f"{'frames longer than 20 ms':34}{_share(frames, 20):7.1%}")
    print(f"{'call to screen, p50':34}{_quantile(delays, 0.5):7.0f} ms")
    print(f"{'call to screen, p95':34}{_quantile(delays, 0.95):7.0f} ms{'':10}{500:7} ms")
    anew = sum(note["type"] == "rows" for note in found["received"])
    print(f"{'views asked anew':34}{anew:7}")
    print(f"{'messages a second':34}{len(appends) / seconds:7.1f}{'':13}{10:7}")
    print(f"{'events that came at once':34}{len(delays) / logged:7.1%}")
    print(f"{'memory of the server, at most':34}{memory:7.0f} MB{'':10}{500:7} MB")


def _quantile(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]


def _share(values: list[float], above: float) -> float:
    return sum(value > above for value in values) / len(values)


if __name__ == "__main__":
    main()
