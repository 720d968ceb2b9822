"""How many records a second the receiver takes, each batch acknowledged once it is on the disk.

    python benchmarks/receiver.py [--rounds 3] [--batches 200] [--size 1000] [--clients 2]

The receiver is `logbatch serve` as a process of its own; each client is a process that sends its
batches one after another over one connection that is kept open.  Bodies are made before the clock
starts.  Each way of sending has a receiver and a directory of its own, in turn, round after round;
a figure is the median over the rounds.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from logbatch.dataset.verify import verify
from logbatch.identity import new_producer

WAYS = {
    "jsonl, plain": ("jsonl", "keyed", ""),
    "jsonl, gzip": ("jsonl", "keyed", "gzip"),
    "parquet, plain": ("parquet", "keyed", ""),
    "jsonl, foreign entries": ("jsonl", "foreign", ""),
}


def make_entry(number: int, kind: str) -> dict[str, object]:
    """Make an entry as our own clients send them, or as another program does."""
    moment = f"2026-11-21T10:{number // 60_000 % 60:02}:{number // 1000 % 60:02}"
    message = f"GET /cart/{number} took {number % 977}.125 ms"
    if kind == "foreign":
        return {"timestamp": f"{moment}Z", "level": "info", "message": message, "program": "shop"}
    return {
        "timestamp": f"{moment}.{number % 1000:03}123Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "shop.web",
        "message": message,
        "template": "GET /cart/%s took %.3f ms",
        "pathname": "/srv/shop/web.py",
        "lineno": 117,
        "func_name": "answer",
        "process": 4711,
        "thread": 140_000_000_000_000,
        "thread_name": "MainThread",
        "service": "shop",
        "host": "web1",
        "attributes": {"user_id": number, "status": 200},
    }


def make_batches(count: int, size: int, kind: str, encoding: str) -> list[bytes]:
    """Make the bodies of a client."""
    bodies = []
    for at in range(count):
        entries = [make_entry(at * size + number, kind) for number in range(size)]
        body = json.dumps({"logs": entries}, separators=(",", ":")).encode()
        bodies.append(gzip.compress(body, 1) if encoding else body)
    return bodies


def run_client(url: str, count: int, size: int, kind: str, encoding: str) -> None:
    """Send, as a process of its own; wait for a line on stdin before."""
    bodies = make_batches(count, size, kind, encoding)
    producer = new_producer()
    connection = http.client.HTTPConnection(url.rpartition("/")[2])
    print("ready", flush=True)
    sys.stdin.readline()
    for at, body in enumerate(bodies):
        headers = {"Content-Type": "application/json"}
        if encoding:
            headers["Content-Encoding"] = encoding
        if kind == "keyed":
            headers["Idempotency-Key"] = f"{producer}/{at * size}-{at * size + size - 1}"
        connection.request("POST", "/v1/logs", body, headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if (answer.status, said.get("logs_added")) != (200, size):
            raise SystemExit(f"{answer.status}: {said}")
    connection.close()


def measure(way: str, given: argparse.Namespace, place: Path) -> float:
    """Return the records a second of one run."""
    kind, entries, encoding = WAYS[way]
    command = [sys.executable, "-m", "logbatch", "serve", str(place), "--port", "0"]
    receiver = subprocess.Popen([*command, "--format", kind], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    url = receiver.stdout.readline().split()[-1]
    arguments = [url, str(given.batches), str(given.size), entries, encoding]
    clients = [
        subprocess.Popen(
            [sys.executable, __file__, "--client", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(given.clients)
    ]
    for client in clients:
        assert client.stdout is not None
        client.stdout.readline()
    began = time.perf_counter()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()
    codes = [client.wait() for client in clients]
    seconds = time.perf_counter() - began
    receiver.terminate()
    if any(codes) or receiver.wait():
        raise SystemExit(f"{way}: it failed")
    report = verify(place)
    sent: int = given.clients * given.batches * given.size
    stored = sum(last - first + 1 for each in report.producers for first, last in each.present)
    if (stored, report.repeated) != (sent, 0):
        raise SystemExit(f"{way}: {stored} of {sent} are there, {report.repeated} twice")
    return sent / seconds


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure the receiver.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=200, help="of each client")
    parser.add_argument("--size", type=int, default=1000, help="records in a batch")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--client", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        url, count, size, kind, encoding = given.client
        run_client(url, int(count), int(size), kind, encoding)
        return
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way, rates in found.items():
            with tempfile.TemporaryDirectory() as place:
                rates.append(measure(way, given, Path(place)))
    print(f"{given.clients} clients, batches of {given.size}: records a second")
    for way, rates in found.items():
        print(f"  {way:24}{statistics.median(rates):>12,.0f}")


if __name__ == "__main__":
    main()
