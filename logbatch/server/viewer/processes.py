"""What the page shows of processes: how their delivery goes, and what was run."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from logbatch.capture.chunk import STREAMS
from logbatch.capture.runs import Run, Runs
from logbatch.capture.stored import Part
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
    return {
        "run": _as_dict(run),
        "output": _as_text(runs.read(run.id, None, first)),
        "cut": first > 0,
    }


def _as_text(parts: Iterable[Part]) -> list[dict[str, str]]:
    """Return output as text, in its order; a character may begin in one part and end in another."""
    output: list[dict[str, str]] = []

    def add(stream: str, text: str) -> None:
        if output and output[-1]["stream"] == stream:
            output[-1]["text"] += text
        elif text:
            output.append({"stream": stream, "text": text})

    decoders = {stream: getincrementaldecoder("utf-8")("replace") for stream in STREAMS}
    for part in parts:
        add(part.stream, decoders[part.stream].decode(part.data))
    for stream, decoder in decoders.items():
        add(stream, decoder.decode(b"", final=True))
    return output


def _as_dict(run: Run) -> dict[str, Any]:
    found = run._asdict() | {"live": run.is_live, "outcome": run.outcome}
    for name in ("started_at", "ended_at", "last_output_at"):
        if found[name] is not None:
            found[name] = round(found[name] * SECOND)
    return found
