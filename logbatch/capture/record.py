"""What one run is stored with, from before its beginning to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from logbatch.batching.batcher import Batcher
from logbatch.capture.child import Child
from logbatch.capture.convert import Converter
from logbatch.capture.description import Description
from logbatch.capture.notes import Ending
from logbatch.capture.places import spools_of
from logbatch.capture.pump import Pump
from logbatch.capture.recorder import Recorder
from logbatch.capture.recording import Recording
from logbatch.capture.spool import Spool, remove_spool, spool_directory
from logbatch.errors import LogbatchError
from logbatch.events.event import LineEncoder
from logbatch.storage.executions import Executions


class RunRecord:
    """What one run is stored with.

    Args:
        run: The run; its process is not known yet.
        make_converter: Returns what makes events of the output of a process.
        encoder: Encodes events.
        batcher: Takes them.
        on_progress: Called with each new text of progress.

    Raises:
        LogbatchError: What the command prints cannot be kept.
    """

    def __init__(
        self,
        run: Description,
        make_converter: Callable[[int], Converter],
        encoder: LineEncoder,
        batcher: Batcher,
        on_progress: Callable[[str], object] | None,
    ) -> None:
        self._run = run
        self._make_converter = make_converter
        self._encoder = encoder
        self._batcher = batcher
        self._on_progress = on_progress
        self._begun: tuple[Recording, Recorder] | None = None
        self._lost = 0
        directory = spool_directory(spools_of(batcher.transport), run.run_id)
        try:
            self._spool = Spool(directory, run.write)
        except OSError as error:
            raise LogbatchError(
                f"cannot keep what the command prints in {directory} ({error.strerror}); it was"
                " not started"
            ) from error

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many bytes were printed, by stream."""
        return self._begin(0)[0].sizes

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines that were printed."""
        return tuple(self._begin(0)[0].converter.last_lines)

    def _begin(self, pid: int) -> tuple[Recording, Recorder]:
        """Begin to take what is in the spool, unless that has begun.

        Args:
            pid: The process that prints it.
        """
        if self._begun is None:
            run = msgspec.structs.replace(self._run, pid=pid)
            with contextlib.suppress(OSError):  # the disk is full: without the number, then
                run.write(self._spool.directory)
            rows = None if run.rows is None else Path(run.rows)
            recording = Recording(
                self._spool.directory,
                run.execution(),
                self._make_converter(pid),
                self._encoder,
                self._batcher,
                None if rows is None else Executions(rows, inline_bytes=run.inline_bytes),
                keep_output=run.keep_output,
                report=self._batcher.report,
            )
            recorder = Recorder(
                recording,
                most=self._batcher.options.max_journal_bytes,
                on_progress=self._on_progress,
                report=self._batcher.report,
            )
            self._begun = recording, recorder
        return self._begun

    def take(self, child: Child, echo: Mapping[str, int], interrupted: Callable[[], bool]) -> None:
        """Take what a command prints, until it has ended.

        Args:
            child: The command.
            echo: Where what it prints goes, too: descriptors, by stream.
            interrupted: Returns whether somebody pressed Ctrl-C.

        Raises:
            KeyboardInterrupt: Somebody did; it may be called again.
        """
        _, recorder = self._begin(child.pid)
        pump = Pump(
            child,
            self._spool,
            echo=echo,
            wake=recorder.wake,
            wait_for_room=recorder.wait_for_room,
            interrupted=interrupted,
            report=self._batcher.report,
        )
        try:
            pump.run()
        finally:
            self._lost += pump.lost

    def end(self, ending: Ending) -> bool:
        """Say how the run ended; return whether everything is stored, or safe on its way.

        Raises:
            KeyboardInterrupt: Somebody does not want to wait for that; the rest stays.
        """
        recording, recorder = self._begin(0)
        stored = False
        try:
            finished = recorder.finish(ending._replace(lost=self._lost))
            stored = self._deliver(in_time=finished) and finished
        finally:
            if stored:
                remove_spool(self._spool.directory)
            else:
                self._batcher.report(
                    "left",
                    "not all that the command printed is stored yet; it is in"
                    f" {self._spool.directory}, and the next `logbatch run` to the same place, or"
                    " `logbatch recover`, stores it",
                )
        recording.close()
        self._spool.close()
        return stored

    def _deliver(self, *, in_time: bool) -> bool:
        """Deliver the events, as long as that goes on; return whether the rest is safe."""
        patience = None if in_time else 0.0
        pending = self._batcher.stats().pending
        while in_time and not self._batcher.flush():
            before, pending = pending, self._batcher.stats().pending
            if pending >= before:
                patience = 0.0
                break
        return self._batcher.close(patience) or self._batcher.directory is not None
