"""Runs whose recording process died: what was left in their spools becomes events and rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from logbatch.batching.batcher import Batcher
from logbatch.capture.convert import Converter
from logbatch.capture.places import spools_of
from logbatch.capture.recording import Ending, Recording
from logbatch.capture.spool import (
    find_spools,
    read_marks,
    read_owner,
    remove_spool,
    taking_over,
)
from logbatch.disk import publish
from logbatch.errors import LogbatchError
from logbatch.events.event import LineEncoder
from logbatch.handler import make_batcher
from logbatch.identity import is_producer
from logbatch.storage.executions import Execution, Executions
from logbatch.transports.base import BaseTransport
from logbatch.transports.directory import DirectoryTransport

_FILE = "run.json"

Open = Callable[[], tuple[Batcher, LineEncoder]]
Report = Callable[[str, str], object]


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a run to go on with it: `run.json` in its spool.

    Attributes:
        run_id: The run.
        command: What is run, as one would type it in a shell.
        started_at: When it began, in seconds since the epoch.
        host: The machine.
        pid: The process that was started.
        producers: Under which its events go out, the newest last.
        rows: The file of the record of runs; None where there is none.
        keep_output: Whether that has the output, too.
        progress: Regular expressions that find progress.
    """

    run_id: str
    command: str
    started_at: float
    host: str
    pid: int
    producers: tuple[str, ...] = ()
    rows: str | None = None
    keep_output: bool = True
    progress: tuple[str, ...] = ()

    def write(self, spool: Path) -> None:
        """Write it into a spool.

        Raises:
            OSError: The disk does not take it.
        """
        publish(spool / _FILE, [msgspec.json.encode(self)])

    @classmethod
    def read(cls, spool: Path) -> Description:
        """Read it from a spool.

        Raises:
            ValueError: It is damaged.
            OSError: It cannot be read.
        """
        return msgspec.json.decode((spool / _FILE).read_bytes(), type=cls)

    def execution(self) -> Execution:
        """Return the run as the record of runs has it."""
        return Execution(self.run_id, self.command, self.started_at, self.host, self.pid)


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
        open_batcher: Returns what takes events, and what encodes them.
        report: Called (kind, text) where something goes wrong.

    Returns:
        How many were finished.
    """
    spools = find_spools(spools_of(transport)).values()
    return sum(_finish(spool, transport, open_batcher, report) for spool in spools)


def recover_runs(transport: BaseTransport, report: Report) -> int:
    """Finish the runs of dead processes that went to a destination; return how many.

    Args:
        transport: The destination.
        report: Called (kind, text) where something goes wrong.
    """
    return finish_lost_runs(transport, lambda: make_batcher(transport, None, {}), report)


def _finish(spool: Path, transport: BaseTransport, open_batcher: Open, report: Report) -> bool:
    with taking_over(spool) as ours:
        if not ours:
            return False
        try:
            run = Description.read(spool)
            if not is_producer(run.run_id):
                raise ValueError("it names no run")
        except FileNotFoundError:  # nothing was read yet
            remove_spool(spool)
            return False
        except (ValueError, OSError) as error:
            report("spool", f"cannot finish the run in {spool}: {error}")
            return False
        batcher, encoder = open_batcher()
        try:
            known = find_known(transport, run)
            run = msgspec.structs.replace(run, producers=(*run.producers, batcher.producer))
            run.write(spool)
            finished = _go_on(spool, run, known, batcher, encoder, report)
        except (LogbatchError, OSError) as error:
            report("spool", f"cannot finish the run in {spool}: {error}")
            return False
        finally:
            closed = batcher.close()
        if finished and (closed or batcher.directory is not None):
            remove_spool(spool)
        return finished


def _go_on(
    spool: Path,
    run: Description,
    known: Known,
    batcher: Batcher,
    encoder: LineEncoder,
    report: Report,
) -> bool:
    converter = Converter(
        encoder,
        run.run_id,
        run.command,
        run.pid,
        progress=run.progress,
        starts=read_marks(spool),
        after=known.lines,
    )
    recording = Recording(
        spool,
        run.execution(),
        converter,
        encoder,
        batcher,
        Executions(Path(run.rows)) if run.rows is not None else None,
        owner=read_owner(spool),
        keep_output=run.keep_output,
        report=report,
        is_finished=True,
    )
    try:
        return recording.finish(Ending(time.time(), known.code), is_told=known.ended)
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
