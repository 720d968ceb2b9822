"""`logbatch run -- command`: run any program, and store what it prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

import click

from logbatch.capture.recording import shell_status
from logbatch.capture.running import Job, cannot_start
from logbatch.errors import LogbatchError

_STANDARD = (0, 1, 2)
_PASSED_ON = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2")
_TYPED = ("SIGINT", "SIGQUIT")  # where the child has our terminal, it gets these by itself


def prepare_command(
    words: Sequence[str], to: str | None, options: Mapping[str, Any]
) -> Callable[[], int]:
    """Prepare to run a command.

    Args:
        words: The command.
        to: The transport's URL; None as for a handler.
        options: Those of a `Job`.

    Raises:
        UsageError: There is no command, or an option is wrong.
    """
    if sys.platform == "win32":
        raise click.UsageError("commands need Linux or macOS; Python programs run anywhere")
    if not words:
        raise click.UsageError("name a command behind --")
    _hold_standard_descriptors()
    try:
        job = Job(words, to, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return lambda: _run(job)


def _run(job: Job) -> int:
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # nobody could learn how it ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in _PASSED_ON:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _passing_on(job, is_typed=name in _TYPED))
    try:
        return job.run().status
    except KeyboardInterrupt:  # the command has ended; its output is in the spool
        code = job.child.wait() if job.child is not None else 0
        return 128 + signal.SIGINT if code == 0 else shell_status(code)
    except LogbatchError as error:
        click.echo(f"logbatch run: {error}", err=True)
        return 1
    except OSError as error:
        name = os.fsdecode(job.command[0])
        click.echo(f"logbatch run: cannot run {name}: {error.strerror}", err=True)
        return cannot_start(error)


def _hold_standard_descriptors() -> None:
    """Open those of the first three that are closed, so that no file of ours takes their place."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free


def _passing_on(job: Job, *, is_typed: bool) -> Callable[[int, FrameType | None], None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        child = job.child
        if is_typed and child is not None and child.has_terminal and child.returncode is None:
            return
        if not job.signal(number):
            raise KeyboardInterrupt  # it has ended, and somebody does not want to wait for the rest

    return pass_on
