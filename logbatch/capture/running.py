"""Run a command, and store what it prints: as events, and as the record of the run."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from logbatch.batching.batcher import Batcher
from logbatch.capture.chunk import STREAMS
from logbatch.capture.child import Child
from logbatch.capture.convert import Converter
from logbatch.capture.lost import Description, finish_lost_runs
from logbatch.capture.pump import Pump
from logbatch.capture.recorder import Recorder
from logbatch.capture.recording import Ending, Recording, shell_status
from logbatch.capture.spool import Spool, remove_spool, spool_directory
from logbatch.events.context import host_name
from logbatch.handler import make_batcher
from logbatch.identity import new_producer
from logbatch.keywords import Options
from logbatch.places import log_path
from logbatch.storage.executions import FILE, Executions
from logbatch.transports.base import BaseTransport, Transport, state_directory

_PATIENCE = 2.0  # seconds between SIGTERM and SIGKILL for a child whose caller has gone


class CompletedRun(NamedTuple):
    """How a command went.

    Attributes:
        args: The command.
        returncode: Its exit status; -n where signal n ended it.
        run_id: Its id, in `runs.db` and in the attributes of its events.
        seconds: How long it took.
        sizes: How many bytes it printed, by stream.
        stored: Whether everything it printed is stored.  What is not waits in the spool, for the
            next run to the same place or `logbatch recover`.
    """

    args: tuple[str, ...]
    returncode: int
    run_id: str
    seconds: float
    sizes: Mapping[str, int]
    stored: bool

    @property
    def status(self) -> int:
        """How a shell reports its end: 128+n where signal n ended it."""
        return shell_status(self.returncode)


class Job:
    """A command, and where what it prints goes.

    Args:
        command: The program and its arguments.
        transport: As for `BatchHandler`.
        pty: Whether it gets a terminal of its own.
        echo: Whether what it prints is also printed here, as it comes.
        progress: Regular expressions (RE2); a line that one matches is progress.
        on_progress: Called with each new text of progress, on another thread.
        env: Its environment; None for this process's.
        cwd: Its directory; None for this process's.
        **options: Those of `BatchHandler`.

    Raises:
        ValueError: There is no command, or an option is unknown or out of range.
    """

    def __init__(
        self,
        command: Sequence[str],
        transport: str | Mapping[str, Any] | Transport | None = None,
        *,
        pty: bool = False,
        echo: bool = True,
        progress: Sequence[str] = (),
        on_progress: Callable[[str], object] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(command, str | bytes) or not command:
            raise ValueError("command must be a list: the program and its arguments")
        self.command = tuple(os.fspath(word) for word in command)
        self.run_id = new_producer()
        self._batcher, self._encoder = make_batcher(transport, None, options)
        self._text = shlex.join(self.command)
        self._options = options
        self._transport = transport
        self._pty = pty
        self._echo = echo
        self._progress = tuple(progress)
        self._converter(0)  # its patterns must be valid
        self._on_progress = on_progress
        self._env = env
        self._cwd = cwd
        self.child: Child | None = None

    def run(self) -> CompletedRun:
        """Run it, and wait for its end.

        Raises:
            OSError: It cannot be started; that is recorded, too.
        """
        began = time.monotonic()
        started_at = time.time()
        journals = self._journals()
        try:
            child = Child(self.command, pty=self._pty, env=self._env, cwd=self._cwd)
        except OSError as error:
            self._record(journals, started_at, 0).end(Ending(started_at, cannot_start(error), 0.0))
            raise
        self.child = child
        lost = self._finish_lost(journals)
        record = self._record(journals, started_at, child.pid)
        try:
            pump = Pump(
                child,
                record.spool,
                echo={"stdout": 1, "stderr": 2} if self._echo else {},
                wake=record.recorder.wake,
                wait_for_room=record.recorder.wait_for_room,
                report=self._batcher.report,
            )
            pump.run()
            code = child.wait()
        except BaseException:
            code = _put_an_end_to(child)
            raise
        finally:
            child.close()
            seconds = time.monotonic() - began
            stored = record.end(Ending(time.time(), code, seconds, pump.lost))
            lost.join(_PATIENCE)
        return CompletedRun(self.command, code, self.run_id, seconds, record.sizes, stored)

    def signal(self, number: int) -> None:
        """Pass a signal on to the command and, where it has a group of its own, to all of it."""
        if self.child is not None:
            self.child.signal(number)
