"""Run a command, and store what it prints: as events, and as the record of the run."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Unpack, cast

from logbatch.batching.batcher import Batcher
from logbatch.capture.child import Child
from logbatch.capture.convert import Converter
from logbatch.capture.description import Description, Making
from logbatch.capture.lost import finish_lost_runs
from logbatch.capture.notes import Ending
from logbatch.capture.places import record_of
from logbatch.capture.record import RunRecord
from logbatch.capture.recording import shell_status
from logbatch.events.context import host_name, service_is_named
from logbatch.events.event import LineEncoder
from logbatch.handler import make_batcher
from logbatch.identity import new_producer
from logbatch.keywords import Options
from logbatch.storage.executions import INLINE_BYTES
from logbatch.transports.base import Transport

_T = TypeVar("_T")

NOT_FOUND = 127  # as a shell says it
NOT_RUNNABLE = 126
_PATIENCE = 2.0  # seconds between SIGTERM and SIGKILL for a child whose caller has gone


class RunOptions(Options, total=False):
    """The keywords of `run` and `run_async`, with their types; `run` documents them."""

    pty: bool
    echo: bool
    progress: Sequence[str]
    on_progress: Callable[[str], object] | None
    env: Mapping[str, str] | None
    cwd: str | Path | None
    inline_bytes: int


class CompletedRun(NamedTuple):
    """How a command went.

    Attributes:
        args: The command.
        returncode: Its exit status; -n where signal n ended it.
        run_id: Its id, in the record of runs and in the attributes of its events.
        seconds: How long it took.
        sizes: How many bytes it printed, by stream.
        stored: Whether everything it printed is stored.  What is not waits on this machine, for
            the next run to the same place or `logbatch recover`.
        last_lines: The last 100 lines that it printed, of both streams, without colours.
    """

    args: tuple[str, ...]
    returncode: int
    run_id: str
    seconds: float
    sizes: Mapping[str, int]
    stored: bool
    last_lines: tuple[str, ...]

    @property
    def status(self) -> int:
        """How a shell reports its end: 128+n where signal n ended it."""
        return shell_status(self.returncode)


class Job:
    """A command, and where what it prints goes.

    Args:
        command: The program and its arguments.
        transport: As for `BatchHandler`.
        pty, echo, progress, on_progress, env, cwd, inline_bytes: As for `run`.
        run_id: Its id; None makes one.
        **options: Those of `BatchHandler`.

    Raises:
        ValueError: There is no command, or an option is unknown or out of range.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        transport: str | Mapping[str, Any] | Transport | None = None,
        *,
        pty: bool = False,
        echo: bool = True,
        progress: Sequence[str] = (),
        on_progress: Callable[[str], object] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        inline_bytes: int = INLINE_BYTES,
        run_id: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        if isinstance(command, str | bytes) or not command:
            raise ValueError("command must be a list: the program and its arguments")
        self.command = tuple(os.fspath(word) for word in command)
        self.run_id = run_id or new_producer()
        self.child: Child | None = None
        self._is_cancelled = False
        self._early: list[int] = []  # signals that came before it began
        self._text = in_words(self.command)
        if "service" not in options and not service_is_named():
            options["service"] = os.path.basename(os.fsdecode(self.command[0]))
        self._options = options
        self._transport = transport
        self._batcher, self._encoder = self._open({})
        self._pty = pty
        self._echo = echo
        self._progress = tuple(progress)
        self._make_converter(0)  # its patterns must be valid
        self._on_progress = on_progress
        self._env = env
        self._cwd = cwd
        self._inline_bytes = inline_bytes

    def run(self) -> CompletedRun:
        """Run it, and wait for its end.

        Raises:
            LogbatchError: What it prints could not be kept; it was not started.
            OSError: It cannot be started; that is recorded, too.
        """
        started_at, began = time.time(), time.monotonic()
        record = self._open_record(started_at)
        try:
            child = self.child = Child(self.command, pty=self._pty, env=self._env, cwd=self._cwd)
        except OSError as error:
            record.end(Ending(started_at, cannot_start(error), 0.0))
            raise
        echo = {"stdout": 1, "stderr": 2} if self._echo else {}
        with child:
            code: int | None = None
            try:
                self._pass_on_early(child)
                lost = self._finish_lost_runs()
                with noting_interrupts() as interrupted:
                    record.take(child, echo, interrupted)
                code = child.wait()
            except BaseException:
                code = _put_an_end_to(child)
                record.take(child, echo, lambda: False)  # what it had printed
                raise
            finally:
                seconds = time.monotonic() - began
                stored = record.end(Ending(time.time(), code, seconds))
            lost.join(_PATIENCE)
        return CompletedRun(
            self.command, code, self.run_id, seconds, record.sizes, stored, record.last_lines
        )

    def _pass_on_early(self, child: Child) -> None:
        if self._is_cancelled:
            _put_an_end_to(child)
        for number in self._early:
            child.signal(number)

    def signal(self, number: int) -> bool:
        """Pass a signal on to the command and, where it has a group of its own, to all of it.

        One that comes before it has begun is passed on as soon as it has.

        Returns:
            Whether the command has not ended.
        """
        child = self.child
        if child is None:
            self._early.append(number)
            return True
        if child.returncode is not None:
            return False
        child.signal(number)
        return True

    def cancel(self) -> None:
        """End the command, and with it `run`, from another thread."""
        self._is_cancelled = True
        child = self.child
        if child is not None and child.returncode is None:
            _put_an_end_to(child)

    # ------------------------------------------------------------------ what it is stored with

    def _open_record(self, started_at: float) -> RunRecord:
        batcher, encoder = self._batcher, self._encoder
        description = Description(
            run_id=self.run_id,
            command=self._text,
            started_at=started_at,
            host=host_name(),
            pid=0,
            producers=(batcher.producer,),
            rows=str(record_of(batcher.transport)),
            keep_output=not batcher.options.redacts,
            inline_bytes=self._inline_bytes,
            progress=self._progress,
            making=Making.of(batcher.options),
        )
        make = self._make_converter
        return RunRecord(description, make, encoder, batcher, self._on_progress)

    def _open(self, more: Mapping[str, Any]) -> tuple[Batcher, LineEncoder]:
        return make_batcher(self._transport, None, cast(Options, {**self._options, **more}))

    def _make_converter(self, pid: int) -> Converter:
        return Converter(self._encoder, self.run_id, self._text, pid, progress=self._progress)

    def _finish_lost_runs(self) -> threading.Thread:
        """Finish, meanwhile, the runs of processes that died."""
        thread = threading.Thread(
            target=finish_lost_runs,
            args=(self._batcher.transport, self._open, self._batcher.report),
            name="logbatch-lost-runs",
            daemon=True,
        )
        thread.start()
        return thread


def run(
    command: Sequence[str | os.PathLike[str]],
    transport: str | Mapping[str, Any] | Transport | None = None,
    **options: Unpack[RunOptions],
) -> CompletedRun:
    """Run a command, store what it prints, and wait for its end.

    Each line becomes an event, and the whole output is kept in the record of runs; both survive the
    end of this process, whatever that is.

    Args:
        command: The program and its arguments.
        transport: Where events go, as for `BatchHandler`.
        pty: Whether the command gets a terminal of its own; then all it prints is stdout.
        echo: Whether what it prints is also printed here, as it comes.
        progress: Regular expressions (RE2); a line in which one is found tells of progress.
        on_progress: Called with each new text of progress, on another thread.
        env: Its environment; None for that of this process.
        cwd: Its directory; None for that of this process.
        inline_bytes: How much of each stream stands in the row of the run; the rest is in chunks.
        **options: Those of `BatchHandler`.

    Returns:
        How it went.

    Raises:
        ValueError: There is no command, or an option is unknown or out of range.
        LogbatchError: What it prints could not be kept; it was not started.
        OSError: It cannot be started; that is recorded, too.
    """
    return Job(command, transport, **options).run()


async def run_async(
    command: Sequence[str | os.PathLike[str]],
    transport: str | Mapping[str, Any] | Transport | None = None,
    **given: Unpack[RunOptions],
) -> CompletedRun:
    """Run a command as `run` does, without holding up the event loop.

    Where the task is cancelled, the command is ended: SIGTERM, and SIGKILL two seconds later.

    Args:
        command: The program and its arguments.
        transport: As for `run`.
        **given: As for `run`.

    Raises:
        ValueError: As `run` does.
        OSError: As `run` does.
    """
    job = Job(command, transport, **given)
    done = _on_a_thread(job.run)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        _on_a_thread(job.cancel)
        await asyncio.wait([done])
        raise


def _on_a_thread(function: Callable[[], _T]) -> asyncio.Future[_T]:
    """Call a function on a thread of its own: asyncio's few may all be busy for long."""
    executor = ThreadPoolExecutor(1, "logbatch-job")
    try:
        return asyncio.get_running_loop().run_in_executor(executor, function)
    finally:
        executor.shutdown(wait=False)  # which it does when the function has returned


def in_words(command: Sequence[str]) -> str:
    """Return a command as one would type it in a shell; bytes of no character are escaped."""
    words = shlex.join(os.fsdecode(word) for word in command)
    return words.encode("utf-8", "backslashreplace").decode()


@contextmanager
def noting_interrupts() -> Iterator[Callable[[], bool]]:
    """Have Ctrl-C noted, not raised in the middle of something that was read and not yet kept.

    Yields:
        What returns whether it was pressed.
    """
    noted: list[int] = []
    is_ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield lambda: bool(noted)
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if noted:
        raise KeyboardInterrupt


def cannot_start(error: OSError) -> int:
    """Return the exit status of a command that cannot be started, as a shell gives it."""
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE


def _put_an_end_to(child: Child) -> int:
    """End a command that nobody waits for any more."""
    child.signal(signal.SIGTERM)
    try:
        return child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        child.signal(signal.SIGKILL)
        return child.wait()
