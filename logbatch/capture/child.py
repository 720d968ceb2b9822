"""A child process whose output is read: its pipes or its terminal, its group, its end.

Where we have the terminal, as from a shell, the child stays in our process group: what is typed
(Ctrl-C, Ctrl-Z) reaches it as if it had been started alone.  Elsewhere it leads a group of its own,
and what it starts is reached with it.  With a terminal of its own it leads a session.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from logbatch.capture.terminal import copy_size

if sys.platform != "win32":
    import fcntl
    import termios

_PIPE = 1 << 20  # bytes that wait in a pipe, where the system allows it


class Child:
    """A command that was started.

    Args:
        command: The program and its arguments.
        pty: Whether its output goes to a terminal of its own, and so to one stream.
        env: Its environment; None for ours.
        cwd: Its directory; None for ours.

    Attributes:
        outputs: The descriptors to read its output from, and of which stream each is.
        terminal: That of its own terminal; None without one.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        pty: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.terminal: int | None = None
        self.outputs: dict[int, str] = {}
        start = self._start_on_terminal if pty else self._start_with_pipes
        try:
            self._process = start(command, env, cwd)
        except BaseException:
            self.close()
            raise
        self.pid = self._process.pid

    def _start_with_pipes(
        self, command: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None
    ) -> subprocess.Popen[bytes]:
        self._leads = not _has_terminal()
        written = []
        try:
            for stream in ("stdout", "stderr"):
                read, write = os.pipe()
                self.outputs[read] = stream
                written.append(write)
                _widen(read)
            return subprocess.Popen(
                command,
                stdout=written[0],
                stderr=written[1],
                env=env,
                cwd=cwd,
                process_group=0 if self._leads else None,
            )
        finally:
            for write in written:
                os.close(write)

    def _start_on_terminal(
        self, command: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None
    ) -> subprocess.Popen[bytes]:
        self._leads = True
        ours, theirs = os.openpty()
        self.outputs[ours] = "stdout"
        self.terminal = ours
        try:
            _keep_line_ends(theirs)
            with contextlib.suppress(OSError):  # we have no terminal
                copy_size(theirs)
            stdin = theirs if os.isatty(0) else None
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=theirs,
                stderr=theirs,
                env=env,
                cwd=cwd,
                start_new_session=True,
                # One system call: it takes no lock that another thread may hold.
                preexec_fn=_take_terminal,  # noqa: PLW1509
            )
        finally:
            os.close(theirs)

    @property
    def returncode(self) -> int | None:
        """How it ended, as `subprocess` tells; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return how.

        Raises:
            subprocess.TimeoutExpired: It has not.
        """
        return self._process.wait(timeout)

    @property
    def has_terminal(self) -> bool:
        """Whether what is typed reaches it by itself, as it has our terminal."""
        return not self._leads

    def signal(self, number: int) -> None:
        """Send a signal to it or, where it leads a group, to all of that."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self.pid, number)  # also what it has left behind
            elif self.returncode is None:
                os.kill(self.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its output; what still writes there is told by SIGPIPE."""
        for descriptor in list(self.outputs):
            self.close_output(descriptor)

    def close_output(self, descriptor: int) -> None:
        """Let go of one stream."""
        self.outputs.pop(descriptor, None)
        os.close(descriptor)


def _has_terminal() -> bool:
    """Return whether this process is in the foreground of a terminal that it reads from."""
    with contextlib.suppress(OSError, AttributeError):
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    return False


def _widen(pipe: int) -> None:
    """Let more wait in a pipe than the usual 64 KiB, so that neither side waits for the other."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # a user may have only so much of it
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def _take_terminal() -> None:
    """Make a terminal that of this session, whose leader this is."""
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)


def _keep_line_ends(terminal: int) -> None:
    """Have a terminal pass on what is written as it is; ours may add what is to be added."""
    mode = termios.tcgetattr(terminal)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
