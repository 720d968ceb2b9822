"""A Python program, run in this process with all that it logs taken: the parts put together."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from logbatch.capture.children import RUN_ID, Children, Joined, split_command
from logbatch.capture.failures import Failures
from logbatch.capture.logs import Records, RunHandler
from logbatch.capture.program import Program, run
from logbatch.capture.structlog_events import Events
from logbatch.events.context import host_name, service_is_named
from logbatch.forks import call_in_child
from logbatch.identity import new_producer
from logbatch.journal.crashes import CrashFile, collect_crashes


class PythonRun:
    """A program that is about to be run.

    Args:
        program: What to run.
        to: The transport's URL; None as for a handler.
        options: Options of the handler and of the transport.
        children: Whether the Python programs that it starts are run like this as well.
        run_id: The run that it belongs to; None begins one.

    Raises:
        ValueError: The transport or an option is wrong.
    """

    def __init__(
        self,
        program: Program,
        to: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        children: bool = True,
        run_id: str | None = None,
    ) -> None:
        self._program = program
        self._options = {**_naming(program), **(options or {})}
        self._run_id = run_id or new_producer()
        self._handler = RunHandler(to, self._run_id, **self._options)
        self._place = _place_for_children(to, self._handler.destination)
        self._with_children = children

    @classmethod
    def join(cls, words: Sequence[str]) -> PythonRun | None:
        """Prepare a child of a run; None if the environment does not tell which.

        Args:
            words: The program, as it stands on the command line.

        Raises:
            ValueError: The transport or an option is wrong.
        """
        program, joined = Program.parse(words), Joined.read()
        if program is None or joined is None:
            return None
        return cls(program, joined.to, joined.options, run_id=joined.run_id)

    def run(self) -> int:
        """Run the program to its end, and return the exit code of one that comes to its end.

        Raises:
            BaseException: What the program did not catch.
        """
        records = Records(self._handler)
        failures = Failures(self._handler, records)
        os.environ[RUN_ID] = self._run_id
        if self._with_children:
            Children(Joined(self._run_id, self._place, self._options)).install()
        self._await_crashes()
        records.install()
        Events(self._handler.take_event, self._handler.way).install()
        failures.install()
        split = split_command(sys.orig_argv[1:])
        run(self._program, split[0] if split else (), failures.end_of_program)
        return 0

    def _await_crashes(self) -> None:
        directory = self._handler.directory
        if directory is not None and sys.platform != "win32":
            about = {"service": self._handler.service, "host": host_name(), "run_id": self._run_id}
            _Crashes(directory, about).install()


def _naming(program: Program) -> dict[str, str]:
    """Name the service after the program, unless the environment names it."""
    return {} if service_is_named() else {"service": program.name()}


def _place_for_children(to: str | None, destination: str | None) -> str | None:
    """Return the URL for children, whose current directory may be another one.

    One over the network that stands in the environment stays there: it may hold a secret.
    """
    if destination is None:
        return to
    _, mark, query = (to or os.environ.get("LOGBATCH_TRANSPORT", "")).partition("?")
    return f"{destination}{mark}{query}"


class _Crashes:
    """Has a crash of this process, or of a forked one, told in a file beside the journal.

    Args:
        directory: Where journals are.
        about: What is to be said of the process.
    """

    def __init__(self, directory: Path, about: dict[str, str | None]) -> None:
        self._directory = directory
        self._about = about
        self._file: CrashFile | None = None
        self._enable = faulthandler.enable

    def install(self) -> None:
        """Collect what others have left, and begin."""
        self._collect()
        if faulthandler.is_enabled():
            return  # to stderr, because the user wants it there
        self._begin()
        faulthandler.enable = self._give_way
        atexit.register(self._end)
        call_in_child(self._begin_in_child)

    def _begin(self) -> None:
        with contextlib.suppress(OSError):
            self._file = CrashFile(self._directory, self._about)
            self._enable(file=self._file.number)

    def _give_way(self, *args: Any, **options: Any) -> None:
        """Stop as soon as the program itself wants crashes told somewhere."""
        self._enable(*args, **options)
        file, self._file = self._file, None
        if file is not None:
            file.remove()

    def _begin_in_child(self) -> None:
        before, self._file = self._file, None
        if before is not None:
            self._begin()
            before.let_go()

    def _end(self) -> None:
        if self._file is not None:
            faulthandler.disable()
            self._file.remove()
            self._file = None
            self._collect()

    def _collect(self) -> None:
        with contextlib.suppress(OSError):
            collect_crashes(self._directory)
