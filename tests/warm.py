"""Programs that begin at once: forked from a Python that has imported what they need.

To start Python and to import logbatch, Arrow and DuckDB takes longer than what most tests have
programs do.  `Popen` and `run` are those of `subprocess`, for command lines of this Python; the
process is a child of the caller, with streams, environment and directory of its own, and it begins
and ends on the main thread of an interpreter that has done nothing but import.  (By then Arrow's
allocator has a thread; it knows of forks.)

Not for tests of how Python or logbatch start: what is read at the start (options of Python,
variables of Arrow) has been read.  Nor for tests of the very end: an interpreter that has waited
for its threads, called what `atexit` has and written what it has to is not taken to pieces, which
takes it 40 ms.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import io
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_ROOM = 1 << 20  # bytes that a command line and its environment may take
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
# But for those that Python ignores itself, and does not pass on.
_CATCHABLE = signal.valid_signals() - {
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ)
}


class Job(NamedTuple):
    """What is to be run.

    Attributes:
        words: What follows the path of Python.
        directory: Where.
        environment: All variables.
        ignored: Signals that are ignored, as a program inherits it.
    """

    words: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    ignored: frozenset[int]


class Popen(subprocess.Popen[Any]):
    """A process of this Python that begins at once."""

    def _execute_child(self, args: Any, *given: Any) -> None:
        # In their order: executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
        # creationflags, shell, and then both ends of each stream.
        cwd, env, ends = given[4], given[5], given[9:15]
        assert args[0] == sys.executable and (args[1] in ("-c", "-m") or args[1][0] != "-"), args
        assert not given[1] and not given[3], "neither preexec_fn nor pass_fds"
        job = Job(
            tuple(map(str, args[1:])),
            str(Path(cwd or ".").absolute()),
            dict(os.environ if env is None else env),
            frozenset(filter(_is_ignored, _CATCHABLE)),
        )
        its = (ends[0], ends[3], ends[5])
        streams = [own if end == -1 else end for own, end in enumerate(its)]
        try:
            self.pid = _forge().start(job, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]


def run(
    words: Sequence[str | Path], *, check: bool = False, timeout: float = 60, **given: Any
) -> subprocess.CompletedProcess[Any]:
    """Run something to its end, as `subprocess.run` does."""
    if given.pop("capture_output", False):
        given["stdout"] = given["stderr"] = subprocess.PIPE
    if (typed := given.pop("input", None)) is not None:
        given["stdin"] = subprocess.PIPE
    with Popen([str(word) for word in words], **given) as process:
        try:
            out, err = process.communicate(typed, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


class _Forge:
    """The process that forks, seen from those that want programs to be run."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # It has the directory that tests have when nothing else is said, and their environment.
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        its.close()
        atexit.register(self._close)

    def start(self, job: Job, streams: Sequence[int]) -> int:
        """Have a program begin; return its process id.  It is a child of this process."""
        control = ctypes.CDLL(None).prctl
        control(_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(self._socket, [pickle.dumps(job)], list(streams))
            answer = self._socket.recv(64)
        finally:
            control(_SUBREAPER, 0, 0, 0, 0)
        assert answer, "the process that forks has ended"
        return int(answer)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def _forge() -> _Forge:
    return _Forge()


# ---------------------------------------------------------------------- in the process that forks


def import_all() -> None:
    """Import what programs need, but for NumPy, which no command does."""
    sys.modules["numpy"] = None  # type: ignore[assignment]
    import duckdb
    import pyarrow.parquet
    import requests
    import structlog

    import logbatch.cli.commands
    import logbatch.server.run
    import logbatch.transports.http.transport
    import logbatch.transports.parquet
    import logbatch.transports.sqlite

    for name in logbatch.cli.commands._COMMANDS:
        logbatch.cli.commands._load(name)
    del sys.modules["numpy"]
    del duckdb, pyarrow, requests, structlog
    gc.collect()
    gc.freeze()


def serve(requests: socket.socket) -> tuple[Job, list[int]]:
    """Fork for each request; return, in the forked process, what it is to do."""
    while True:
        data, streams, _, _ = socket.recv_fds(requests, _ROOM, 3)
        if not data:
            os._exit(0)
        told, tell = os.pipe()
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if child := os.fork():
                os.write(tell, b"%d" % child)
                os._exit(0)
            while os.getppid() == between:
                os.sched_yield()
            for each in (told, tell):
                os.close(each)
            requests.close()
            return pickle.loads(data), streams
        os.waitpid(between, 0)  # from here on the program is a child of who wants it
        requests.send(os.read(told, 64))
        for each in (told, tell, *streams):
            os.close(each)


def become(job: Job, streams: list[int]) -> None:
    """Take on what a program is given."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    for number in _CATCHABLE:
        if _is_ignored(number) != (number in job.ignored):
            signal.signal(number, signal.SIG_IGN if number in job.ignored else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.directory)
    sys.orig_argv = [sys.executable, *job.words]
    encoding, _, errors = job.environment.get("PYTHONIOENCODING", "").partition(":")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw: Any = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115
        stream_errors = "backslashreplace" if number == 2 else errors or "strict"
        text = io.TextIOWrapper(
            raw,
            encoding or None,
            stream_errors,
            line_buffering=number == 2 or os.isatty(number),
            write_through="PYTHONUNBUFFERED" in job.environment,
        )
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def execute(words: tuple[str, ...]) -> None:
    """Run a program as Python does."""
    what, *rest = words
    if what == "-m":
        sys.path[0] = os.getcwd()
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    sys.argv[:] = [what, *rest[what == "-c" :]]
    if what != "-c":
        sys.path[0] = str(Path(what).absolute().parent)
        runpy.run_path(what, run_name="__main__")
        return
    sys.path[0] = ""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    exec(compile(rest[0], "<string>", "exec"), main.__dict__)


def end(code: object) -> NoReturn:
    """End as Python does, up to where it takes everything to pieces.

    Raises:
        SystemExit: Python itself has to say what is wrong.
    """
    if not isinstance(code, int | None):
        sys.exit(code)  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit((code or 0) & 0xFF)


def main(descriptor: int) -> None:
    """Fork, and be what was forked."""
    import_all()
    job, streams = serve(socket.socket(fileno=descriptor))
    become(job, streams)
    code: object = None
    try:
        execute(job.words)
    except SystemExit as error:
        code = error.code
    end(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
