"""What it costs to bring records to an HTTP server: logbatch and others, in turn.

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http \
        python-logstash-async logtail-python
    python benchmarks/http_peers.py [--rounds 5] [--records 50000]

Each contender runs in a process of its own, all in turn, round after round, and sends to a sink in
another process, which reads what comes and answers 200.  The time runs from the first logging call
until everything is acknowledged; CPU time is that of the sending process, all threads, user and
system.  A figure is the median over the rounds; behind it stands how many times better logbatch
is, the median of the ratios within a round.  "call" is the mean time of a logging call while all
are made without a pause.  What the sink received is decoded and counted afterwards.

The others are set up to lose nothing: queues that take all records, or that wait, and a flush at
the end.  Batch sizes and compression are everybody's own defaults.
"""

from __future__ import annotations

import argparse
import gzip
import http.server
import importlib.metadata
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

MESSAGE = "%s %s took %.3f ms"
WARM_UP = 2000  # records that open connections and start threads, before the time runs
HEAD = ("", "records/s", "", "CPU µs/record", "", "call µs", "", "received", "requests")

Flush = Callable[[], object]


# ---------------------------------------------------------------------- the contenders


def open_logbatch(url: str, records: int) -> tuple[logging.Handler, Flush]:
    import logbatch

    handler = logbatch.BatchHandler(url)
    return handler, lambda: handler.flush(600)


def open_opentelemetry(url: str, records: int) -> tuple[logging.Handler, Flush]:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    exporter = OTLPLogExporter(endpoint=url)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=2 * records))
    return LoggingHandler(logger_provider=provider), provider.force_flush


def open_logstash(url: str, records: int) -> tuple[logging.Handler, Flush]:
    from logstash_async.handler import AsynchronousLogstashHandler

    host, port = url.removeprefix("http://").rstrip("/").split(":")
    handler = AsynchronousLogstashHandler(
        host,
        int(port),
        database_path=None,  # in memory: the quicker of its two queues
        transport="logstash_async.transport.HttpTransport",
    )
    return handler, handler.close  # its flush() does not wait; what is logged later is still taken


def open_logtail(url: str, records: int) -> tuple[logging.Handler, Flush]:
    from logtail import LogtailHandler

    handler = LogtailHandler("token", host=url, drop_extra_events=False, flush_timeout=600)
    return handler, handler.flush


CONTENDERS: dict[str, Callable[[str, int], tuple[logging.Handler, Flush]]] = {
    "logbatch": open_logbatch,
    "opentelemetry-sdk": open_opentelemetry,
    "python-logstash-async": open_logstash,
    "logtail-python": open_logtail,
}


def measure(name: str, url: str, records: int) -> dict[str, float]:
    """Measure one contender in this process."""
    warnings.simplefilter("ignore")  # OpenTelemetry's handler is deprecated, its successor is young
    handler, flush = CONTENDERS[name](url, records)
    logger = logging.Logger("bench", logging.INFO)
    logger.addHandler(handler)
    log_some(logger, WARM_UP)
    flush()
    busy, started = cpu_seconds(), time.perf_counter()
    log_some(logger, records)
    logged = time.perf_counter()
    flush()
    ended = time.perf_counter()
    return {
        "rate": records / (ended - started),
        "cpu": (cpu_seconds() - busy) / records * 1e6,
        "call": (logged - started) / records * 1e6,
    }


def log_some(logger: logging.Logger, records: int) -> None:
    """Log records with four extra fields."""
    for n in range(records):
        extra = {"user_id": n, "request_id": "4f1c2a", "status": 200, "elapsed": 1.25}
        logger.info(MESSAGE, "GET", "/items/17", 12.5, extra=extra)


def cpu_seconds() -> float:
    """Return the time that this process has computed so far, with all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# ---------------------------------------------------------------------- the sink


class Sink(http.server.ThreadingHTTPServer):
    """Reads requests, answers 200, and keeps the bodies to be counted later."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def count(self) -> int:
        """Count the records that came."""
        return sum(count_records(kind, body) for kind, body in self.bodies)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Sink

    def do_POST(self) -> None:  # http.server's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        encoding = self.headers.get("Content-Encoding", "")
        self.server.bodies.append((f"{self.headers['Content-Type']} {encoding}".strip(), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def count_records(kind: str, body: bytes) -> int:
    """Count the records of one body, in any of the contenders' forms."""
    if kind.endswith(" gzip"):
        kind, body = kind.removesuffix(" gzip"), gzip.decompress(body)
    return _COUNTERS[kind](body)


def _count_json(body: bytes) -> int:
    found = json.loads(body)
    return len(found["logs"] if isinstance(found, dict) else found)


def _count_otlp(body: bytes) -> int:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest.FromString(body)
    return sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs)


def _count_msgpack(body: bytes) -> int:
    import msgpack

    return len(msgpack.unpackb(body))


_COUNTERS: dict[str, Callable[[bytes], int]] = {
    "application/json": _count_json,
    "application/x-protobuf": _count_otlp,
    "application/msgpack": _count_msgpack,
}


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Run a sink in a thread of this process, which does nothing else meanwhile."""
    with Sink() as sink:
        thread = threading.Thread(target=sink.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()


# ---------------------------------------------------------------------- the comparison


def measure_apart(name: str, records: int) -> dict[str, float]:
    """Measure one contender in a new process, and count what came."""
    with running_sink() as sink, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{sink.server_port}/"
        command = [sys.executable, __file__, "--one", name, url, "--records", str(records)]
        environment = os.environ | {"XDG_STATE_HOME": folder}  # where the journals are
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
        found: dict[str, float] = json.loads(done.stdout)
        return found | {
            "received": sink.count() / (records + WARM_UP),
            "requests": len(sink.bodies),
        }


def compare(names: list[str], rounds: int, records: int) -> dict[str, list[dict[str, float]]]:
    """Measure all contenders in turn, round after round: contender -> figures of each round."""
    table: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 else names[::-1]:
            table[name].append(measure_apart(name, records))
        print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    return table


class Row:
    """The figures of one contender, and how many times better logbatch's are."""

    ways: ClassVar[dict[str, str]] = {"rate": "{:,.0f}", "cpu": "{:.1f}", "call": "{:.1f}"}

    def __init__(self, mine: list[dict[str, float]], ours: list[dict[str, float]]) -> None:
        self._mine, self._ours = mine, ours

    def cells(self) -> list[str]:
        found = []
        for figure, way in self.ways.items():
            found += [way.format(self._median(figure)), f"x {self._ratio(figure):.2f}"]
        return [*found, f"{self._median('received'):.2%}", f"{self._median('requests'):,.0f}"]

    def _median(self, figure: str) -> float:
        return statistics.median(each[figure] for each in self._mine)

    def _ratio(self, figure: str) -> float:
        pairs = zip(self._mine, self._ours, strict=True)
        ratio = statistics.median(mine[figure] / ours[figure] for mine, ours in pairs)
        return 1 / ratio if figure == "rate" else ratio


def print_table(table: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, and behind each how many times better logbatch is."""
    rows: list[tuple[str, ...]] = [HEAD]
    for name, mine in table.items():
        version = importlib.metadata.version(name)
        rows.append((f"{name} {version}", *Row(mine, table["logbatch"]).cells()))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print(first.ljust(widths[0]), *cells, sep="  ")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--without", nargs="*", default=[], choices=[*CONTENDERS][1:])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one, other = arguments.one
        print(json.dumps(measure(one, other, arguments.records)))
        return
    names = [name for name in CONTENDERS if name not in arguments.without]
    table = compare(names, arguments.rounds, arguments.records)
    print(
        f"CPython {platform.python_version()}, {os.cpu_count()} CPUs, "
        f"{arguments.records:,} records, {arguments.rounds} rounds"
    )
    print_table(table)


if __name__ == "__main__":
    main()
