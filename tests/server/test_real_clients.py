"""Clients that we did not write: syslog-ng, and what OpenTelemetry's JavaScript SDK sends."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from servers import free_port, running
from waiting import wait_until

from logbatch.dataset.verify import verify

SYSLOG_NG = shutil.which("syslog-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
CONFIGURATION = """
@version: current
@include "scl.conf"
options { stats-freq(0); keep-hostname(yes); frac-digits(6); };
source s { syslog(ip("127.0.0.1") port(%(port)d) transport("tcp")); };
destination d {
  http(
    url("%(url)s/v1/logs")
    method("POST")
    headers("Content-Type: application/json", "Authorization: Bearer %(token)s")
    body-prefix("{\\"logs\\": [") delimiter(",") body-suffix("]}")
    body("$(format-json --scope none message=$MESSAGE level=$LEVEL timestamp=$ISODATE
                        host=$HOST program=$PROGRAM)")
    batch-lines(500) batch-timeout(200) workers(2) timeout(10) time-reopen(1)
  );
};
log { source(s); destination(d); flags(flow-control); };
"""
RECORDS = 5000


@pytest.mark.skipif(SYSLOG_NG is None, reason="syslog-ng is not installed: apt-get install"
                    " syslog-ng-core syslog-ng-mod-http")  # fmt: skip
def test_syslog_ng(process, tmp_path: Path) -> None:
    """Its http() destination delivers all, though the receiver is away for a while."""
    receiver = process("--token", "hidden-one")
    port = free_port()
    configuration = tmp_path / "syslog-ng.conf"
    values = {"port": port, "url": receiver.url, "token": "hidden-one"}
    configuration.write_text(CONFIGURATION % values)
    own = [f"--{n}={tmp_path / f'sng.{n}'}" for n in ("persist-file", "pidfile", "control")]
    command = [SYSLOG_NG, "-F", "--no-caps", "-f", str(configuration), *own]
    with (
        running(command, port, tmp_path),
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        send(connection, 0, RECORDS // 2)
        wait_until(lambda: len(receiver.client.rows("message")) > 0, "the first records")
        receiver.end()
        send(connection, RECORDS // 2, RECORDS)
        process("--token", "hidden-one", "--port", receiver.url.rpartition(":")[2])
        wait_until(lambda: len(set(receiver.client.rows("message"))) == RECORDS, "all records")
    rows = receiver.client.rows("message", "levelno", "host", "timestamp", "attributes")
    assert {f'line {n} "quoted" é' for n in range(RECORDS)} == {row[0] for row in rows}
    assert (25, "web1", {"program": "shop"}) == (rows[0][1], rows[0][2], json.loads(rows[0][4]))
    assert "2026-11-21T10:00:00.123456+00:00" == rows[0][3].isoformat()
    assert 0 == verify(receiver.directory).repeated


def send(connection: socket.socket, first: int, stop: int) -> None:
    """Send lines as RFC 5424 has them, each with its length before it."""
    for number in range(first, stop):
        text = f'<13>1 2026-11-21T10:00:00.123456Z web1 shop 12 - - line {number} "quoted" é'
        connection.sendall(b"%d %b" % (len(text.encode()), text.encode()))


def test_the_sdk_of_javascript(client, answer) -> None:
    """Its bodies come in chunks of gzip without Content-Length, and with integers as numbers."""
    records = [
        {"timeUnixNano": "1795246121123456789", "observedTimeUnixNano": "1795246121124000000",
         "severityNumber": 9, "severityText": "INFO", "body": {"stringValue": f"n {n}"},
         "attributes": [{"key": "n", "value": {"intValue": n}}], "droppedAttributesCount": 0,
         "flags": 1, "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
        for n in range(512)
    ]  # fmt: skip
    scope = {"scope": {"name": "js", "version": ""}, "logRecords": records}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]}
    body = {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}
    data = gzip.compress(json.dumps(body).encode())
    for _ in range(2):
        with client.connect() as connection:
            connection.sendall(
                b"POST /otlp/v1/logs HTTP/1.1\r\nContent-Type: application/json\r\n"
                b"User-Agent: OTel-OTLP-Exporter-JavaScript/0.203.0\r\nContent-Encoding: gzip\r\n"
                b"Host: 127.0.0.1:%d\r\nConnection: keep-alive\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" % client.address[1]
            )
            for at in range(0, len(data), 1000):
                piece = data[at : at + 1000]
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
            assert (200, b"{}") == answer(connection)
    rows = client.rows("message", "service", "trace_id", "attributes")
    expected = [[f"n {n}", "web", "5b8efff798038103d269b633813fc60c", {"n": n}] for n in range(512)]
    assert expected * 2 == [[*row[:3], json.loads(row[3])] for row in rows]
