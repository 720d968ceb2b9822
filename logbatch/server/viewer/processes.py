"""What the page shows of processes: how their delivery goes, and what was run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from logbatch.capture.runs import Run, Runs
from logbatch.dataset.reports import ProcessReport
from logbatch.epoch import SECOND, to_microseconds

_T = TypeVar("_T")

_SAMPLES = 300  # of one process
_OUTPUT = 64 << 10  # bytes at the end of what a run printed


def describe_processes(reports: Sequence[ProcessReport]) -> list[dict[str, Any]]:
    """Return what processes reported of their delivery."""
    return [_describe(report) for report in reports]


def _describe(report: ProcessReport) -> dict[str, Any]:
    samples = _thinned(report.samples, _SAMPLES)
    names = ("producer", "process", "service", "version", "host", "transport", "alive", "closed")
    return {name: getattr(report, name) for name in names} | {
        "started": to_microseconds(report.started),
        "stats": report.samples[-1][1],
        "samples": [[to_microseconds(at), stats] for at, stats in samples],
    }


def _thinned(found: Sequence[_T], most: int) -> Sequence[_T]:
    """Return so many at the most, at even distances, with the last one."""
    if len(found) <= most:
        return found
    last = len(found) - 1
    return [found[at * last // (most - 1)] for at in range(most)]


def list_runs(path: Path, limit: int) -> list[dict[str, Any]]:
    """Return the newest runs.

    Raises:
        DatasetError: The record of runs cannot be read.
    """
    return [_as_dict(run) for run in Runs(path).newest(limit)]


def show_run(path: Path, run_id: str) -> dict[str, Any] | None:
    """Return a run and the end of what it printed; None where there is none such.

    Raises:
        DatasetError: The record of runs cannot be read.
    """
    runs = Runs(path)
    run = runs.get(run_id)
    if run is None:
        return None
    first = max(run.size - _OUTPUT, 0)
    output: list[dict[str, Any]] = []
    for part in runs.read(run.id, None, first):
        if output and output[-1]["stream"] == part.stream:
            output[-1]["text"] += part.data
        else:
            output.append({"stream": part.stream, "text": part.data})
    for each in output:
        each["text"] = each["text"].decode("utf-8", "replace")
    return {"run": _as_dict(run), "output": output, "cut": first > 0}


def _as_dict(run: Run) -> dict[str, Any]:
    found = run._asdict() | {"live": run.is_live, "outcome": run.outcome}
    for name in ("started_at", "ended_at", "last_output_at"):
        if found[name] is not None:
            found[name] = round(found[name] * SECOND)
    return found
