"""What docs/receiver.md shows of clients is taken by a receiver."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, find_blocks

PAGE = ROOT / "docs" / "receiver.md"
URL = "http://127.0.0.1:8321"
SYSLOG_NG = shutil.which("syslog-ng", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def text_of(holding: str) -> str:
    """Return the one block that holds a text."""
    (found,) = [block.text for block in find_blocks(PAGE) if holding in block.text]
    return found


def test_curl(client: Any) -> None:
    """The command for that stores a record."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = text_of("curl http://127.0.0.1:8321/v1/logs -H").replace(URL, client.url)
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
    assert 1 == json.loads(done.stdout)["logs_added"]
    assert [["hello", "INFO"]] == client.rows("message", "level")


def test_the_answer(client: Any, line: Callable[..., dict[str, Any]]) -> None:
    """It is what a receiver says to two good entries and one without a message."""
    bad = line("b")
    del bad["message"]
    shown = json.loads(text_of('"logs_added": 2'))
    assert shown == client.send([line("a"), bad, line("c")]).json()


@pytest.mark.parametrize("program", ["syslog-ng", "rsyslog"])
def test_the_fields_of_syslog_daemons(client: Any, program: str) -> None:
    """What their templates name is stored where it belongs."""
    text = text_of("destination d_logbatch" if program == "syslog-ng" else "omhttp")
    names = re.findall(r'(\w+)=\$[A-Z]|outname="(\w+)"', text)
    values = {
        "message": "it rains",
        "level": "warning",
        "timestamp": "2026-11-21T10:00:00+00:00",
        "host": "web1",
        "program": "shop",
    }
    entry = {name: values[name] for name in map("".join, names)}
    assert values.keys() == entry.keys()
    assert 1 == client.send([entry]).json()["logs_added"]
    (row,) = client.rows("message", "levelno", "host", "timestamp", "attributes")
    assert ["it rains", 30, "web1"] == row[:3]
    assert (values["timestamp"], {"program": "shop"}) == (row[3].isoformat(), json.loads(row[4]))


@pytest.mark.skipif(SYSLOG_NG is None, reason="syslog-ng is not installed")
def test_syslog_ng_understands_it(tmp_path: Path) -> None:
    """Its own check finds nothing wrong."""
    assert SYSLOG_NG is not None
    file = tmp_path / "syslog-ng.conf"
    head = '@version: current\n@include "scl.conf"\n'
    file.write_text(head + text_of("destination d_logbatch"), encoding="utf-8")
    own = [f"--{name}={tmp_path / name}" for name in ("persist-file", "pidfile", "control")]
    command = [SYSLOG_NG, "--syntax-only", "--no-caps", "-f", str(file), *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr


def test_the_variables_of_opentelemetry(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With them the SDK's exporter is answered with success by a receiver with a token."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    token = "a-token-of-a-test"
    receiver = start(tokens=(token,))
    text = text_of("OTEL_EXPORTER").replace(URL, receiver.url).replace("…", token)
    for name, value in re.findall(r'^(\w+)="?([^"\s]+)', text, re.MULTILINE):
        monkeypatch.setenv(name, value)
    exporter = OTLPLogExporter()
    assert "SUCCESS" == exporter.export([]).name
    exporter.shutdown()  # type: ignore[no-untyped-call]


def test_the_configurations_name_the_receivers_paths() -> None:
    """What the collector sends to and Prometheus reads is where the receiver listens."""
    yaml: Any = pytest.importorskip("yaml")
    (collector,) = yaml.safe_load_all(text_of("otlphttp:"))
    (prometheus,) = yaml.safe_load_all(text_of("scrape_configs:"))
    assert f"{URL}/otlp/v1/logs" == collector["exporters"]["otlphttp"]["logs_endpoint"]
    (job,) = prometheus["scrape_configs"]
    (fluent_bit,) = yaml.safe_load(text_of("pipeline:"))["pipeline"]["outputs"]
    (vector,) = yaml.safe_load(text_of("sinks:"))["sinks"].values()
    given = (fluent_bit["host"], fluent_bit["port"], fluent_bit["uri"], fluent_bit["format"])
    assert ("127.0.0.1", 8321, "/v1/logs", "json") == given
    assert (f"{URL}/v1/logs", {"codec": "json"}) == (vector["uri"], vector["encoding"])
    assert "/metrics" == job.get("metrics_path", "/metrics")
    assert f"http://{job['static_configs'][0]['targets'][0]}" == URL
