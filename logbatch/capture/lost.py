"""Runs whose recording process died: what was left in their spools becomes events and rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from logbatch.batching.batcher import Batcher
from logbatch.capture.convert import Converter
from logbatch.capture.description import Description
from logbatch.capture.notes import Ending, read_notes
from logbatch.capture.places import spools_of
from logbatch.capture.recording import Recording
from logbatch.capture.spool import (
    find_spools,
    read_owner,
    remove_spool,
    taking_over,
)
from logbatch.errors import LogbatchError
from logbatch.events.event import LineEncoder
from logbatch.handler import make_batcher
from logbatch.identity import is_producer
from logbatch.keywords import Options
from logbatch.storage.executions import Executions
from logbatch.transports.base import BaseTransport
from logbatch.transports.directory import DirectoryTransport

Open = Callable[[Mapping[str, Any]], tuple[Batcher, LineEncoder]]
"""Makes what takes events, and what encodes them, with options of a handler."""

Report = Callable[[str, str], object]


class Known(msgspec.Struct):
    """What is known of the events of a run.

    Attributes:
        lines: The last line of each stream that is in one.
        code: How it ended, where its last event says so.
        ended: Whether there is that event.
    """

    lines: dict[str, int] = msgspec.field(default_factory=dict)
    code: int | None = None
    ended: bool = False


def finish_lost_runs(transport: BaseTransport, open_batcher: Open, report: Report) -> int:
    """Finish the runs of processes that died.

    Args:
        transport: The destination of their events.
        open_batcher: Makes what takes them.
        report: Called (kind, text) where something goes wrong.

    Returns:
        How many were finished.
    """
    finisher = _Finisher(transport, open_batcher, report)
    return sum(map(finisher.finish, find_spools(spools_of(transport)).values()))


def recover_runs(transport: BaseTransport, report: Report) -> int:
    """Finish the runs of dead processes that went to a destination; return how many.

    Args:
        transport: The destination.
        report: Called (kind, text) where something goes wrong.
    """

    def open_batcher(options: Mapping[str, Any]) -> tuple[Batcher, LineEncoder]:
        return make_batcher(transport, None, cast(Options, options))

    return finish_lost_runs(transport, open_batcher, report)


class _Finisher:
    """Finishes runs, one after the other."""

    def __init__(self, transport: BaseTransport, open_batcher: Open, report: Report) -> None:
        self._transport = transport
        self._open_batcher = open_batcher
        self._report = report
        self._is_away = False

    def finish(self, spool: Path) -> bool:
        """Finish a run, if its process died; return whether it was."""
        with taking_over(spool) as ours:
            if not ours:
                return False
            try:
                run = Description.read(spool)
                if not is_producer(run.run_id):
                    raise ValueError("it names no run")
                batcher, encoder = self._open_batcher(run.making.options())
            except FileNotFoundError:  # nothing was read yet
                remove_spool(spool)
                return False
            except (ValueError, OSError) as error:
                self._report("spool", f"cannot finish the run in {spool}: {error}")
                return False
            try:
                finished = self._go_on(spool, run, batcher, encoder)
            except (LogbatchError, OSError) as error:
                self._report("spool", f"cannot finish the run in {spool}: {error}")
                finished = False
            finally:
                closed = self._close(batcher)
            finished = finished and (closed or batcher.directory is not None)
            if finished:
                remove_spool(spool)
            return finished

    def _close(self, batcher: Batcher) -> bool:
        """Deliver the events; what is away is waited for once, and not for each run."""
        closed = batcher.close(0.0 if self._is_away else None)
        if not closed and batcher.directory is not None:
            self._is_away = True
            batcher.leave_to_others()
        return closed

    def _go_on(self, spool: Path, run: Description, batcher: Batcher, encoder: LineEncoder) -> bool:
        known, notes = find_known(self._transport, run), read_notes(spool)
        run = msgspec.structs.replace(run, producers=(*run.producers, batcher.producer))
        run.write(spool)
        converter = Converter(
            encoder,
            run.run_id,
            run.command,
            run.pid,
            progress=run.progress,
            starts=notes.marks,
            after={name: max(line, known.lines.get(name, 0)) for name, line in notes.after.items()},
        )
        rows = None
        if run.rows is not None:
            rows = Executions(Path(run.rows), inline_bytes=run.inline_bytes)
        recording = Recording(
            spool,
            run.execution(),
            converter,
            encoder,
            batcher,
            rows,
            owner=read_owner(spool),
            keep_output=run.keep_output,
            report=self._report,
            is_finished=True,
            is_told=known.ended,
        )
        try:
            return recording.finish(notes.ending or Ending(code=known.code))
        finally:
            recording.close()


def find_known(transport: BaseTransport, run: Description) -> Known:
    """Return what is known of the events of a run, from wherever they are by now.

    Nothing is where they went to a place that cannot be read.  What the spool has noted counts
    then, and what was sent in the last instant may be sent twice.

    Args:
        transport: The destination.
        run: The run.

    Raises:
        LogbatchError: That cannot be read.
    """
    known = Known()
    producers = [f"'{producer}'" for producer in run.producers if is_producer(producer)]
    if not isinstance(transport, DirectoryTransport) or not producers:
        return known
    from logbatch.dataset.reader import Dataset  # only here, and it is heavy

    found = Dataset(transport.path).sql(
        f"""
        SELECT attributes->>'stream' AS stream,
            max(CAST(attributes->>'line' AS BIGINT)
                + coalesce(CAST(attributes->>'lines' AS BIGINT), 1) - 1) AS line,
            max(CAST(attributes->>'status' AS BIGINT)) AS status,
            max(CAST(attributes->>'signal' AS BIGINT)) AS signal
        FROM logs
        WHERE producer IN ({", ".join(producers)}) AND attributes->>'run_id' = '{run.run_id}'
        GROUP BY ALL
        """,
        timeout=None,
    )
    for row in found.to_pylist():
        if row["stream"] is not None:
            known.lines[row["stream"]] = row["line"]
        elif row["line"] is None:
            known.ended = True
            known.code = row["status"] if row["signal"] is None else -row["signal"]
    return known
