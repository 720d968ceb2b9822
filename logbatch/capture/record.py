"""All that one run is stored with: its spool, and what takes its output from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from logbatch.batching.batcher import Batcher
from logbatch.capture.chunk import STREAMS
from logbatch.capture.convert import Converter
from logbatch.capture.lost import Description
from logbatch.capture.recorder import Recorder
from logbatch.capture.recording import Ending, Recording
from logbatch.capture.spool import Spool, remove_spool
from logbatch.events.event import LineEncoder
from logbatch.storage.executions import Executions


class Record:
    """What one run is stored with, from its beginning to its end.

    Args:
        directory: Where its spool is to be.
        run: The run.
        converter: Makes events.
        encoder: Makes the last one.
        batcher: Takes events.
        inline_bytes: How much of each stream stands in the row of the run.
        on_progress: Called with each new text of progress.

    Attributes:
        spool: Where output is appended.
        recorder: Takes it from there.
        sizes: How many bytes were printed, by stream.

    Raises:
        OSError: There is no place for the spool.
    """

    def __init__(
        self,
        directory: Path,
        run: Description,
        converter: Converter,
        encoder: LineEncoder,
        batcher: Batcher,
        inline_bytes: int,
        on_progress: Callable[[str], object] | None,
    ) -> None:
        self._batcher = batcher
        self.spool = Spool(directory, run.write)
        rows = None if run.rows is None else Path(run.rows)
        self._recording = Recording(
            self.spool.directory,
            run.execution(),
            converter,
            encoder,
            batcher,
            None if rows is None else Executions(rows, inline_bytes=inline_bytes),
            keep_output=run.keep_output,
            report=batcher.report,
        )
        self.sizes = self._recording.sizes
        self.recorder = Recorder(
            self._recording,
            most=batcher.options.max_journal_bytes,
            on_progress=on_progress,
            report=batcher.report,
        )

    def end(self, ending: Ending) -> bool:
        """Say how the run ended; return whether everything is stored, or safe on its way.

        Raises:
            KeyboardInterrupt: Somebody does not want to wait for that; the rest stays.
        """
        stored = False
        try:
            stored = self.recorder.finish(ending) and self._deliver()
        finally:
            if stored:
                remove_spool(self.spool.directory)
            else:
                self._batcher.report(
                    "spool",
                    "not all that the command printed is stored yet; it is in"
                    f" {self.spool.directory}, and the next `logbatch run` to the same place, or"
                    " `logbatch recover`, stores it",
                )
        self._recording.close()
        self.spool.close()
        return stored

    def _deliver(self) -> bool:
        """Deliver the events, as long as that goes on; return whether the rest is safe."""
        pending = self._batcher.stats().pending
        while not self._batcher.flush():
            before, pending = pending, self._batcher.stats().pending
            if pending >= before:
                break
        return self._batcher.close() or self._batcher.directory is not None


class NoRecord:
    """What stands in for a record where there is no place for a spool: the command runs.

    Args:
        directory: Where the spool was to be.
        error: What is in the way.
        batcher: Which has nothing to take.

    Attributes:
        spool: Takes nothing.
        recorder: Has nothing to do.
        sizes: How many bytes were printed, by stream.
    """

    def __init__(self, directory: Path, error: OSError, batcher: Batcher) -> None:
        self._batcher = batcher
        self.spool = _NoSpool(directory, error)
        self.recorder = _NoRecorder()
        self.sizes = self.spool.sizes
        batcher.report(
            "spool",
            f"cannot record the run in {directory} ({error.strerror}); what the command prints is"
            " shown, but not stored; free disk space or fix permissions",
        )

    def end(self, _ending: Ending) -> bool:
        """Let go of everything; nothing is stored."""
        self._batcher.close()
        return False


class _NoSpool:
    def __init__(self, directory: Path, error: OSError) -> None:
        self.directory = directory
        self.end = 0
        self.sizes = dict.fromkeys(STREAMS, 0)
        self._error = error

    def write(self, stream: str, data: bytes, _now: float) -> None:
        self.sizes[stream] += len(data)
        raise self._error


class _NoRecorder:
    def wake(self) -> None:
        """Do nothing."""

    def wait_for_room(self, _position: int) -> None:
        """Wait for nothing."""
