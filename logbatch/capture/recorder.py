"""The thread that takes the output of a run from its spool, while the run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from logbatch.capture.notes import Ending
from logbatch.capture.recording import Recording
from logbatch.trouble import describe

_SHORT = 0.05  # seconds until the next look, while something waits for its time
_LONG = 1.0


class Recorder:
    """Takes the steps of a recording on a thread of its own.

    Args:
        recording: What to take.
        most: How many bytes of the spool may wait.
        on_progress: Called with each new text of progress, on that thread.
        report: Called (kind, text) where something goes wrong.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        most: int,
        on_progress: Callable[[str], object] | None,
        report: Callable[[str, str], object],
    ) -> None:
        self._recording = recording
        self._most = most
        self._on_progress = on_progress
        self._report = report
        self._more = threading.Event()
        self._took = threading.Event()
        self._ending: Ending | None = None
        self._told: str | None = None
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="logbatch-run", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is more in the spool."""
        if not self._more.is_set():
            self._more.set()

    def wait_for_room(self, position: int) -> None:
        """Wait until there is room in the spool for what comes next.

        Args:
            position: Where it will be.
        """
        while position - self._recording.taken > self._most and self._thread.is_alive():
            self._took.clear()
            self._took.wait(_SHORT)

    def finish(self, ending: Ending) -> bool:
        """Say how the run ended, wait for the rest to be taken, and return whether it all was."""
        self._ending = ending
        self._more.set()
        self._thread.join()
        return self._finished

    def _run(self) -> None:
        try:
            while self._ending is None:
                took = self._recording.step(time.time())
                self._took.set()
                self._tell_progress()
                if not took:
                    self._more.wait(_SHORT if self._recording.waits() else _LONG)
                    self._more.clear()
            self._finished = self._recording.finish(self._ending)
            self._tell_progress()
        except Exception as error:  # the child goes on, and its output is shown and in the spool
            self._report("runs", f"cannot store what the command prints: {describe(error)}")

    def _tell_progress(self) -> None:
        progress = self._recording.converter.progress
        if self._on_progress is None or progress is None or progress == self._told:
            return
        self._told = progress
        try:
            self._on_progress(progress)
        except Exception as error:
            self._report("runs", f"on_progress raised {describe(error)}")
