"""What Fluent Bit, Vector and journald send when nobody tells them otherwise.

The bodies are those of their documentation and of their sources: `flb_pack_msgpack_to_json_format`
and `plugins/out_http/http.c` of Fluent Bit, `src/sinks/http/encoder.rs` of Vector, `journalctl -o
json` of systemd.  Neither of the first two is in Debian, nor on PyPI.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from receivers import Client, StartProcess

AT = "2026-11-21T10:00:00.123456+00:00"
FLUENT_BIT = {"User_Agent": "Fluent-Bit"}

TAIL = rb"""[{"date":1795255200.123456,"log":"GET /caf\u00e9 200"},\
{"date":1795255200.5,"log":"GET / 404"}]""".replace(b"\\\n", b"")
KUBERNETES = {
    "date": 1795255201.5,
    "time": "2026-11-21T10:00:00.123456400Z",
    "stream": "stderr",
    "_p": "F",
    "log": "it rains",
    "kubernetes": {"pod_name": "shop-0", "labels": {"app": "shop"}},
}
SYSTEMD = {
    "date": 1795255200.123456,
    "PRIORITY": "3",
    "_HOSTNAME": "web1",
    "_PID": "12",
    "MESSAGE": "Failed to start shop.",
}
JOURNALCTL = {
    "__REALTIME_TIMESTAMP": "1795255200123456",
    "__CURSOR": "s=1",
    "PRIORITY": "5",
    "MESSAGE": "it rains",
}
VECTOR = {
    "file": "/var/log/shop.log",
    "host": "web1",
    "message": "it rains",
    "source_type": "file",
    "timestamp": "2026-11-21T10:00:00.123456400Z",
}
VECTOR_SYSLOG = {
    "appname": "shop",
    "facility": "user",
    "host": "web1",
    "message": "it rains",
    "procid": 12,
    "severity": "err",
    "source_type": "syslog",
    "timestamp": "2026-11-21T10:00:00.123456Z",
}


def stored(client: Client) -> list[Any]:
    """Return what is stored, with its time in text and its attributes as a dict."""
    rows = client.rows("message", "level", "timestamp", "attributes")
    return [[*row[:2], row[2].isoformat(), json.loads(row[3])] for row in rows]


def test_lines_of_a_file(client: Client) -> None:
    """Fluent Bit's `tail` has `date` and `log`; all of it was refused, with 200."""
    answer = client.send(TAIL, **FLUENT_BIT)
    assert (200, 2) == (answer.status_code, answer.json()["logs_added"])
    later = "2026-11-21T10:00:00.500000+00:00"
    assert [["GET /café 200", "INFO", AT, {}], ["GET / 404", "INFO", later, {}]] == stored(client)


@pytest.mark.parametrize(
    "date",
    ["1795255200.123456", '"2026-11-21T10:00:00.123456Z"', '"2026-11-21 10:00:00.123456"'],
    ids=["double", "iso8601", "java_sql_timestamp"],
)
def test_dates_of_fluent_bit(client: Client, date: str) -> None:
    """Each `json_date_format` with fractions is understood, also in `format json_lines`."""
    body = f'{{"date":{date},"log":"a"}}\n'.encode()
    assert 200 == client.send(body, Content_Type="application/x-ndjson").status_code
    assert [["a", "INFO", AT, {}]] == stored(client)


@pytest.mark.parametrize(("date", "fraction"), [(1795255200, ""), (1795255200123, ".123000")])
def test_whole_dates_of_fluent_bit(client: Client, date: int, fraction: str) -> None:
    """So are `epoch` and `epoch_ms`."""
    client.send([{"date": date, "log": "a"}])
    assert f"2026-11-21T10:00:00{fraction}+00:00" == stored(client)[0][2]


def test_kubernetes_and_systemd(client: Client) -> None:
    """What its parsers and filters add is kept; the time of the record counts, if it is there."""
    client.send([KUBERNETES, SYSTEMD], **FLUENT_BIT)
    rest = {name: KUBERNETES[name] for name in ("date", "stream", "_p", "kubernetes")}
    assert [
        ["it rains", "INFO", AT, rest],
        ["Failed to start shop.", "ERROR", AT, {"_HOSTNAME": "web1", "_PID": "12"}],
    ] == stored(client)


def test_journalctl(client: Client) -> None:
    """`journalctl -o json` through curl keeps its time and its priority."""
    body = json.dumps(JOURNALCTL).encode()
    assert 200 == client.send(body, Content_Type="application/x-ndjson").status_code
    assert [["it rains", "NOTICE", AT, {"__CURSOR": "s=1"}]] == stored(client)


def test_vector(client: Client) -> None:
    """Its events have no level, unless their source has one."""
    answer = client.send(json.dumps([VECTOR, VECTOR_SYSLOG]).encode())
    assert (200, 2) == (answer.status_code, answer.json()["logs_added"])
    of_file = {name: VECTOR[name] for name in ("file", "source_type")}
    of_syslog = {name: VECTOR_SYSLOG[name]
                 for name in ("appname", "facility", "procid", "source_type")}  # fmt: skip
    assert [["it rains", "INFO", AT, of_file], ["it rains", "ERROR", AT, of_syslog]] == (
        stored(client)
    )
    assert ["web1", "web1"] == client.rows("host")


def test_a_default_level(process: StartProcess) -> None:
    """What has no level gets the one that the receiver was told."""
    client = process("--default-level", "warn").client
    client.send(TAIL)
    assert [30, 30] == client.rows("levelno")


def test_metrics_have_no_message(client: Client) -> None:
    """Figures are no records; the sender is told so by the status, as it reads nothing else."""
    refused = client.send([{"date": 1795255200.1, "cpu_p": 2.5}], **FLUENT_BIT)
    assert 422 == refused.status_code
    assert "it has no message" in refused.text
