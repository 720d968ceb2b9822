"""`logbatch run`: run a program, and store what it logs.

The program is run by what `prepare` returns, when nothing of ours catches anything any more: what
it does not catch must reach the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from logbatch.capture.children import Joined, split_command
from logbatch.capture.program import Program
from logbatch.capture.python import PythonRun
from logbatch.cli.run_plain import read_pairs
from logbatch.identity import new_producer
from logbatch.storage.policy import parse_bytes

_BEHIND_DASHES = "\0"  # no word of a command line can hold it


class _Command(click.Command):
    """A command whose options end at the program, and that knows `--` from none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--") + 1
            args = [*args[:at], _BEHIND_DASHES, *args[at:]]
        rest = super().parse_args(ctx, args)
        words = list(ctx.params["words"])
        ctx.params["is_command"] = words[:1] == [_BEHIND_DASHES]
        if _BEHIND_DASHES in words:
            words.remove(_BEHIND_DASHES)
        ctx.params["words"] = words
        return rest


@click.command("run", cls=_Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--to",
    metavar="URL",
    help="Where to: parquet:DIR, jsonl:DIR or https://…  [default: LOGBATCH_TRANSPORT, else "
    "Parquet files in this user's log directory]",
)
@click.option("--level", metavar="LEVEL", help="Store only records of this level and above.")
@click.option(
    "--service", metavar="NAME", help="What the program is called.  [default: its own name]"
)
@click.option(
    "-o",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other option of a handler or of its transport; may be repeated.",
)
@click.option(
    "--no-children",
    is_flag=True,
    help="Leave alone the Python programs that this one starts.",
)
@click.option("--capture-output", is_flag=True, help="Store also what a Python program prints.")
@click.option("--pty", is_flag=True, help="Give the command a terminal: colours, progress bars.")
@click.option("--quiet", is_flag=True, help="Do not show here what is printed.")
@click.option(
    "--progress",
    multiple=True,
    metavar="REGEX",
    help="A line in which this is found tells of progress, besides 42%, 3/10 and the like; may be "
    "repeated.",
)
@click.option(
    "--inline-bytes",
    metavar="SIZE",
    default="1MB",
    show_default=True,
    help="How much of each stream stands in the row of the run; the rest is in chunks.",
)
@click.option("-m", "is_module", is_flag=True, help="The program is a module, as for python -m.")
@click.option("-c", "is_code", is_flag=True, help="The program is code, as for python -c.")
@click.argument(
    "words", nargs=-1, metavar="[PROGRAM [ARGS]... | -- COMMAND [ARGS]...]", type=click.UNPROCESSED
)
def _command(**_: Any) -> None:
    """Run a program, unchanged, and store what it logs or prints.

    PROGRAM is a script, a directory or a zip file, as for python; everything behind it is its own.
    It runs as if it had been started alone: it prints the same and ends the same.  Whatever it logs
    by the logging module is stored, however it configures that; so is what it does not catch, in
    any thread, and what Python warns of.  Python programs that it starts are run like this, too.

    COMMAND, behind --, is any program.  What it prints is shown as it comes, and becomes events,
    line by line; `logbatch runs` shows how it went, and all of its output.

    \b
    Examples:
      logbatch run app.py --port 8000
      logbatch run --to parquet:logs -m uvicorn app:app --workers 2
      logbatch run --to parquet:logs -- make -j4 all
      logbatch run --to https://logs.example.org/ -o token=env:TOKEN app.py
    """


command: click.Command = _command


class _Asked(NamedTuple):
    to: str | None
    level: str | None
    service: str | None
    pairs: tuple[str, ...]
    no_children: bool
    is_module: bool
    is_code: bool
    words: list[str]
    is_command: bool
    pty: bool
    quiet: bool
    capture_output: bool
    progress: tuple[str, ...]
    inline_bytes: str


def prepare(arguments: Sequence[str]) -> Callable[[], int] | int:
    """Read the command line of `logbatch run`.

    Args:
        arguments: What follows `run`.

    Returns:
        What runs the program and returns the exit code; or that code, if there is nothing to run.
    """
    try:
        with command.make_context("logbatch run", list(arguments)) as context:
            asked = _Asked(**context.params)
            if asked.is_command or asked.capture_output:
                return _prepare_command(asked)
            return _prepare_python(asked)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code


def _prepare_command(asked: _Asked) -> Callable[[], int]:
    from logbatch.cli.run_command import prepare_command

    options = _read_options(asked)
    if (level := options.pop("level", None)) is not None and asked.is_command:
        raise click.UsageError(f"--level {level} is for what Python programs log")
    try:
        inline_bytes = parse_bytes("--inline-bytes", asked.inline_bytes)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    given = {
        "pty": asked.pty,
        "echo": not asked.quiet,
        "progress": asked.progress,
        "inline_bytes": inline_bytes,
    }
    if asked.is_command:
        return prepare_command(asked.words, asked.to, options | given)
    words, joined = _capture_python(asked, options if level is None else options | {"level": level})
    environment = {**os.environ, **joined.variables()}
    given |= {"env": environment, "run_id": joined.run_id}
    return prepare_command(words, asked.to, options | given)


def _capture_python(asked: _Asked, options: dict[str, Any]) -> tuple[list[str], Joined]:
    """Return the command line of a Python program that is run in a child, and what it must know."""
    if asked.no_children:
        raise click.UsageError("--no-children does not go with --capture-output")
    _read_program(asked)  # it must be one
    kind = ["-m"] if asked.is_module else ["-c"] if asked.is_code else []
    split = split_command(sys.orig_argv[1:])
    flags = split[0] if split else []
    words = [sys.executable, *flags, "-m", "logbatch", "run", "--joined", *kind, *asked.words]
    return words, Joined(new_producer(), asked.to, options)


def _prepare_python(asked: _Asked) -> Callable[[], int]:
    program = _read_program(asked)
    try:
        run = PythonRun(program, asked.to, _read_options(asked), children=not asked.no_children)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return run.run


def _read_program(asked: _Asked) -> Program:
    if asked.is_module and asked.is_code:
        raise click.UsageError("-m and -c: which of them?")
    kind = ["-m"] if asked.is_module else ["-c"] if asked.is_code else []
    program = Program.parse([*kind, *asked.words])
    if program is None:
        raise click.UsageError("name a program: a script, -m MODULE or -c CODE")
    return program


def _read_options(asked: _Asked) -> dict[str, Any]:
    try:
        options = read_pairs(asked.pairs)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for name in ("level", "service"):
        if (value := getattr(asked, name)) is not None:
            options[name] = value
    return options
