"""What docs/operations.md shows is taken by what it is shown for, and its tables are whole."""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from documents import ROOT, Block, find_blocks, find_rows, names_in
from servers import free_port, running

import logbatch
from logbatch.stats import Stats

PAGE = ROOT / "docs" / "operations.md"
assert logbatch.__file__ is not None
PACKAGE = Path(logbatch.__file__).parent
INSTRUCTIONS = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "CMD"}


def block(language: str, holding: str) -> Block:
    """Return the one block in a language that holds a text."""
    (found,) = [each for each in find_blocks(PAGE, language) if holding in each.text]
    return found


def documents_of(holding: str) -> list[dict[str, Any]]:
    """Read the documents of a block of YAML."""
    yaml: Any = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(block("yaml", holding).text))


# ------------------------------------------------------------------ Docker, Kubernetes


def test_the_dockerfile_has_known_instructions() -> None:
    """Each line is an instruction, and the directory of the log is a volume that belongs to app."""
    lines = block("dockerfile", "FROM").text.splitlines()
    assert {line.partition(" ")[0] for line in lines} <= INSTRUCTIONS
    (variable,) = [line for line in lines if line.startswith("ENV")]
    directory = variable.partition("parquet:")[2]
    assert f"VOLUME {directory}" in lines
    assert any(line.startswith("RUN") and f"-o app {directory}" in line for line in lines)


def test_the_compose_file_mounts_what_it_declares() -> None:
    """The volume is there, and mounted where the image logs to."""
    (compose,) = documents_of("services:")
    (mount,) = compose["services"]["app"]["volumes"]
    name, path = mount.split(":")
    assert [name] == list(compose["volumes"])
    assert f"ENV LOGBATCH_TRANSPORT=parquet:{path}\n" in block("dockerfile", "FROM").text


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the Pod of a workload, whose labels and volumes agree."""
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    assert (
        document["spec"]["selector"]["matchLabels"]
        == (document["spec"]["template"]["metadata"]["labels"])
    )
    (container,) = pod["containers"]
    declared = {each["name"] for each in pod.get("volumes", ())}
    declared |= {
        each["metadata"]["name"] for each in document["spec"].get("volumeClaimTemplates", ())
    }
    assert declared == {each["name"] for each in container["volumeMounts"]}
    return pod


def test_the_environment_of_the_deployment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables make a handler, whose journal is on the volume that is mounted."""
    (deployment,) = documents_of("kind: Deployment")
    pod = pod_of(deployment)
    (container,) = pod["containers"]
    values = {each["name"]: each.get("value", "secret") for each in container["env"]}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    handler = logbatch.BatchHandler()
    assert values["LOGBATCH_TRANSPORT"] in repr(handler)
    handler.close()
    assert values["XDG_STATE_HOME"] == container["volumeMounts"][0]["mountPath"]
    assert pod["terminationGracePeriodSeconds"] > 5.0  # close_timeout


def test_the_receiver_of_the_cluster_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments are taken, without a home; its probe is answered, also by another name."""
    stateful, service = documents_of("kind: StatefulSet")
    (container,) = pod_of(stateful)["containers"]
    monkeypatch.setenv("LOG_TOKEN", "secret")
    monkeypatch.setenv("HOME", "/dev/null/home")
    port = free_port()
    mounted = container["volumeMounts"][0]["mountPath"]
    program, *arguments = [each.replace(mounted, str(tmp_path)) for each in container["args"]]
    assert "logbatch" == program
    command = [sys.executable, "-m", "logbatch", *arguments, "--port", str(port)]
    probe = container["readinessProbe"]["httpGet"]
    with running(command, port, tmp_path):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{probe['path']}", headers={"Host": "10.1.2.3:8321"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert 200 == answer.status
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert 8321 == service["spec"]["ports"][0]["port"] == container["ports"][0]["containerPort"]


# ------------------------------------------------------------------ systemd, the shell


@pytest.mark.parametrize("name", ["shop", "logbatch"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to complain of."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    program = f"/opt/{name}/bin/"
    text = block("ini", program).text
    unit = tmp_path / f"{name}.service"
    unit.write_text(re.sub(rf"{program}\w+", sys.executable, text), encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert [] == complaints


def test_a_backup_has_what_is_published(tmp_path: Path) -> None:
    """The command for that copies files of records, and neither journals nor temporary ones."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    for name in ("date=2026-11-21/a.parquet", "date=2026-11-21/.part-1.tmp", ".journal/a.state"):
        (tmp_path / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / name).touch()
    subprocess.run(block("sh", "rsync").text, shell=True, cwd=tmp_path, check=True)
    copied = [path for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert ["a.parquet"] == [path.name for path in copied]


# ------------------------------------------------------------------ monitoring


def test_every_figure_of_stats_is_documented() -> None:
    """The table has each field, and nothing that is none."""
    documented = {name for row in find_rows(PAGE, "stats") for name in names_in(row[0])}
    assert {field.name for field in dataclasses.fields(Stats)} == documented


def test_the_alerts_ask_for_metrics_that_are_there() -> None:
    """Each rule names a metric that is exported, with labels that it has."""
    registry = prometheus_client.CollectorRegistry()
    handler = logbatch.BatchHandler("parquet:logs")
    handler.export_metrics(registry)
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
    }
    outcomes = re.findall(r'outcome="(\w+)"', prometheus_client.generate_latest(registry).decode())
    handler.close()
    (rules,) = documents_of("alert:")
    expressions = [rule["expr"] for rule in rules["groups"][0]["rules"]]
    assert 3 == len(expressions)
    for expression in expressions:
        (name,) = re.findall(r"logbatch_\w+", expression)
        assert name in names
        assert set(re.findall(r'outcome="(\w+)"', expression)) <= set(outcomes)


def find_kinds() -> set[str]:
    """List the kinds of trouble that the code reports: what its calls name, and what stands in."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and _reports(node.func):
                found |= {each.value for each in [node.args[0]] if isinstance(each, ast.Constant)}
    return {kind for kind in found if isinstance(kind, str)}


def _reports(function: ast.expr) -> bool:
    name = getattr(function, "attr", getattr(function, "id", ""))
    return name in ("say", "report", "on_trouble", "_on_trouble", "_on_failure", "_report")


def test_every_kind_of_message_is_explained() -> None:
    """The table says of each kind what happened and what to do."""
    rows = find_rows(PAGE, "What a message on stderr means")
    documented = {name for row in rows for name in names_in(row[0])}
    assert len(find_kinds()) > 8
    assert find_kinds() | {"send", "denied"} == documented


def test_sigterm_can_end_a_program_as_the_page_says(tmp_path: Path) -> None:
    """The line for that has the program end with 0, and publish what it logged before."""
    text = PAGE.read_text(encoding="utf-8")
    (line,) = re.findall(r"`(signal\.signal\(signal\.SIGTERM, .+?\))`", text)
    program = (
        f"import logging, os, signal, sys, time, logbatch\n{line}\n"
        "logging.getLogger().addHandler(logbatch.BatchHandler('parquet:logs', flush_interval=60))\n"
        "logging.getLogger().warning('it rains')\n"
        "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=60, check=False)
    assert 0 == done.returncode
    assert 1 == len(list((tmp_path / "logs").glob("date=*/*.parquet")))
