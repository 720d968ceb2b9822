"""Servers that know nothing of logbatch take its batches: each record once, in order."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from servers import free_port, running

from logbatch import BatchHandler
from logbatch.transports.base import Batch
from logbatch.transports.http.transport import HttpTransport

RECEIVER = Path(__file__).parents[3] / "examples" / "flask_receiver.py"
CLICKHOUSE = shutil.which("clickhouse-server", path="/usr/bin:/usr/sbin:/usr/local/bin")
ODD = 'quotes " and \\, a tab \t, two\nlines, \u2028, ümläut, 😀'


# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


def send(url: str, messages: list[str], **options: Any) -> dict[str, Any]:
    """Log the messages through a handler that sends there, and return its account."""
    logger = logging.Logger("app")
    handler = BatchHandler(url, max_batch_size=500, close_timeout=20, **options)
    logger.addHandler(handler)
    for number, message in enumerate(messages):
        logger.info(message, extra={"number": number, "nested": {"a": [1, None, {"b": ODD}]}})
    assert handler.close(), handler.stats()
    return handler.stats().as_dict()


# ---------------------------------------------------------------------- Flask


def flask(port: int) -> list[str]:
    """Return the command that starts the example."""
    return [sys.executable, "-m", "flask", "--app", str(RECEIVER), "run", "--port", str(port)]


def stored_by_flask(folder: Path) -> list[dict[str, Any]]:
    """Read what the example stored, in the order of its arrival."""
    with closing(sqlite3.connect(folder / "logs.db")) as database:
        rows = database.execute("SELECT sequence, event FROM logs ORDER BY rowid").fetchall()
    assert [sequence for sequence, _ in rows] == list(range(len(rows)))
    return [json.loads(event) for _, event in rows]


@pytest.mark.parametrize("compression", ["gzip", "auto", "none"])
def test_a_flask_application_takes_batches(tmp_path: Path, compression: str) -> None:
    """The example of the README stores each record once, in order, with all that was in it."""
    messages = [f"{number} {ODD}" for number in range(2200)]
    port = free_port()
    with running(flask(port), port, tmp_path):
        stats = send(f"http://127.0.0.1:{port}/logs", messages, compression=compression)
    events = stored_by_flask(tmp_path)
    assert messages == [event["message"] for event in events]
    assert {"number": 7, "nested": {"a": [1, None, {"b": ODD}]}} == events[7]["attributes"]
    assert (2200, 0) == (stats["published"], stats["retries"])
    assert 440 <= stats["records_per_batch"]


def test_a_flask_application_stores_nothing_twice(tmp_path: Path) -> None:
    """What comes again, also cut differently, is known by its identity."""
    lines = [b'{"level":"INFO","message":"%d"}\n' % number for number in range(10)]
    port = free_port()
    with running(flask(port), port, tmp_path):
        transport = HttpTransport(f"http://127.0.0.1:{port}/logs")
        for first, last in ((0, 4), (0, 4), (2, 7), (6, 9), (9, 9)):
            transport.send(Batch("p" * 26, first, last, b"".join(lines[first : last + 1])))
        transport.close()
    assert [str(n) for n in range(10)] == [event["message"] for event in stored_by_flask(tmp_path)]


def test_a_flask_application_may_be_killed(tmp_path: Path) -> None:
    """Logging goes on while the server is away; afterwards all is there, once."""
    logger = logging.Logger("app")
    port = free_port()
    handler = BatchHandler(f"http://127.0.0.1:{port}/logs", max_batch_size=100, close_timeout=30)
    logger.addHandler(handler)
    with running(flask(port), port, tmp_path, signal.SIGKILL):
        for number in range(450):
            logger.info("%d", number)
    for number in range(450, 900):
        logger.info("%d", number)
    with running(flask(port), port, tmp_path):
        assert handler.close(), handler.stats()
    assert [str(n) for n in range(900)] == [event["message"] for event in stored_by_flask(tmp_path)]


# ---------------------------------------------------------------------- ClickHouse

CONFIG = """<yandex>
    <logger><level>warning</level><console>1</console></logger>
    <listen_host>127.0.0.1</listen_host>
    <http_port>{http}</http_port>
    <tcp_port>{tcp}</tcp_port>
    <path>{folder}/data/</path>
    <tmp_path>{folder}/tmp/</tmp_path>
    <users_config>{folder}/users.xml</users_config>
    <mark_cache_size>5368709</mark_cache_size>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
</yandex>
"""
USERS = """<yandex>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <app>
            <password>pass/word</password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
        </app>
    </users>
</yandex>
"""
COLUMNS = (
    "timestamp DateTime, level String, logger String, message String, lineno Nullable(UInt32),"
    " exception_type Nullable(String)"
)
SETTINGS = {"input_format_skip_unknown_fields": 1, "date_time_input_format": "best_effort"}
# A whole line as it is, and columns made of it: for servers that take no object for a String.
WHOLE = (
    "line String,"
    " timestamp DateTime MATERIALIZED"
    " parseDateTimeBestEffort(visitParamExtractString(line, 'timestamp')),"
    " message String MATERIALIZED visitParamExtractString(line, 'message'),"
    " attributes String MATERIALIZED visitParamExtractRaw(line, 'attributes')"
)


class ClickHouse:
    """A running ClickHouse, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://app:pass%2Fword@127.0.0.1:{port}"

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Run a query and return its rows."""
        with requests.post(self.origin, data=f"{query} FORMAT JSONEachRow", timeout=30) as reply:
            assert reply.ok, reply.text
            return [json.loads(line) for line in reply.text.splitlines()]

    def make(self, columns: str) -> None:
        """Make the table `logs`."""
        query = f"CREATE TABLE logs ({columns}) ENGINE = MergeTree ORDER BY timestamp"
        with requests.post(self.origin, data=query, timeout=30) as reply:
            assert reply.ok, reply.text

    def url(self, form: str, **settings: Any) -> str:
        """Return the URL for batches: the query and the server's settings stand in the URL."""
        query = f"INSERT INTO logs FORMAT {form}"
        return f"{self.origin}/?{urlencode({'query': query, **settings})}"


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[ClickHouse]:
    """Run ClickHouse with all its files in the test's directory."""
    if CLICKHOUSE is None:
        pytest.skip("ClickHouse is not installed: apt-get install clickhouse-server")
    port = free_port()
    config = CONFIG.format(http=port, tcp=free_port(), folder=tmp_path)
    (tmp_path / "config.xml").write_text(config)
    (tmp_path / "users.xml").write_text(USERS)
    with running([CLICKHOUSE, f"--config-file={tmp_path}/config.xml"], port, tmp_path):
        yield ClickHouse(port)


def test_clickhouse_takes_batches(clickhouse: ClickHouse) -> None:
    """As NDJSON; columns that the table does not have, as the attributes, are skipped."""
    clickhouse.make(COLUMNS)
    messages = [f"{number} {ODD}" for number in range(2200)]
    url = clickhouse.url("JSONEachRow", **SETTINGS)
    began = int(time.time())
    stats = send(url, messages, body="ndjson")
    rows = clickhouse.ask(f"SELECT *, toUnixTimestamp(timestamp) >= {began} AS fresh FROM logs")
    assert messages == sorted((row["message"] for row in rows), key=_number)
    assert {("INFO", "app", 1)} == {(row["level"], row["logger"], row["fresh"]) for row in rows}
    assert (2200, 0) == (stats["published"], stats["retries"])


def test_clickhouse_keeps_a_batch_in_order(clickhouse: ClickHouse) -> None:
    """Each batch becomes one block of rows, in the order in which they were logged."""
    clickhouse.make(COLUMNS)
    url = clickhouse.url("JSONEachRow", **SETTINGS)
    send(url, [str(number) for number in range(2000)], body="ndjson", fields={"timestamp": None})
    blocks = clickhouse.ask(
        "SELECT _part, groupArray(toUInt32(message)) AS numbers"
        " FROM (SELECT _part, message FROM logs) GROUP BY _part ORDER BY numbers[1]"
    )
    assert list(range(2000)) == [number for block in blocks for number in block["numbers"]]


def test_clickhouse_takes_whole_lines(clickhouse: ClickHouse) -> None:
    """A line is one CSV field where nothing separates fields; the attributes stay JSON."""
    clickhouse.make(WHOLE)
    messages = [f"{number} {ODD}" for number in range(1100)]
    url = clickhouse.url("CSV", format_csv_delimiter="\x01")
    stats = send(url, messages, body="ndjson")
    rows = clickhouse.ask("SELECT message, line, attributes FROM logs")
    rows.sort(key=lambda row: _number(row["message"]))
    assert messages == [row["message"] for row in rows]
    assert messages == [json.loads(row["line"])["message"] for row in rows]
    expected = {"number": 7, "nested": {"a": [1, None, {"b": ODD}]}}
    assert expected == json.loads(rows[7]["attributes"])
    assert 1100 == stats["published"]


def test_clickhouse_refuses_a_row(clickhouse: ClickHouse, home: Path) -> None:
    """A record that does not fit its column becomes a dead letter; all others are stored."""
    clickhouse.make("timestamp DateTime, message DateTime")
    url = clickhouse.url("JSONEachRow", **SETTINGS)
    good = [f"2026-11-21 12:00:{second:02}" for second in range(50)]
    stats = send(url, [*good[:20], "tomorrow", *good[20:]], body="ndjson")
    assert [{"message": each} for each in good] == clickhouse.ask(
        "SELECT message FROM logs ORDER BY message"
    )
    assert (50, 1) == (stats["published"], stats["rejected"])
    (letters,) = home.rglob("rejected/*.jsonl")
    letter = json.loads(letters.read_text())
    assert (400, "tomorrow") == (letter["status"], letter["event"]["message"])
    assert "pass/word" not in letters.read_text()


def _number(message: str) -> int:
    return int(message.split(maxsplit=1)[0])
