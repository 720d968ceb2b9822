"""What the receiver counts, and how soon it answers."""

from __future__ import annotations

import statistics
import time

import requests
from make import P
from prometheus_client.parser import text_string_to_metric_families
from receivers import Client, MakeEntries


def read(client: Client) -> dict[tuple[str, ...], float]:
    """Read the metrics, by name and the values of their labels."""
    answer = client.get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def test_counts(client: Client, lines: MakeEntries) -> None:
    """Requests, records, duplicates, rejects, bytes and latency are counted."""
    client.send(lines(0, 4), f"{P}/0-4")
    again = client.send(lines(3, 6), f"{P}/3-6").request
    client.send([{}, 1])
    client.send(b"x", None, "/otlp/v1/logs")
    found = read(client)
    expected = {
        ("requests_total", "/v1/logs", "200"): 2,
        ("requests_total", "/v1/logs", "422"): 1,
        ("requests_total", "/otlp/v1/logs", "400"): 1,
        ("records_total",): 7,
        ("duplicates_total",): 2,
        ("rejected_total",): 2,
        ("request_seconds_count", "/v1/logs"): 3,
    }
    assert expected == {key: found[f"logbatch_receiver_{key[0]}", *key[1:]] for key in expected}
    assert found["logbatch_receiver_received_bytes_total",] > len(again.body or "")
    assert 0 < found["logbatch_receiver_request_seconds_sum", "/v1/logs"] < 10


def test_labels_are_not_from_the_wire(client: Client) -> None:
    """Paths and methods that are not ours do not become labels."""
    for path in ("/a", "/b/c", "/v1/logs/x", "/healthz/", "/%2e%2e/x"):
        client.get(path)
    client.send(b"", None, "/v1/logs", "FOO")
    labels = {key[1] for key in read(client) if len(key) > 2 and "requests_total" in key[0]}
    assert {"other"} == labels


def test_answers_come_at_once(client: Client) -> None:
    """On a connection that is kept open no answer waits for the client's delayed acknowledgement.

    That was so while the listening socket did not name its protocol: 40 ms for each request.
    """
    kept, fresh = [], []
    with open_session() as session:
        for _ in range(40):
            kept.append(ask(session, client.url))
            with open_session() as other:
                fresh.append(ask(other, client.url))
    assert statistics.median(kept[20:]) < statistics.median(fresh[20:]) + 0.02


def open_session() -> requests.Session:
    """Make a session that heeds nothing of this machine's settings."""
    session = requests.Session()
    session.trust_env = False
    return session


def ask(session: requests.Session, url: str) -> float:
    """Ask how the server is; return the seconds that it took."""
    began = time.perf_counter()
    assert 200 == session.get(url + "/healthz").status_code
    return time.perf_counter() - began
