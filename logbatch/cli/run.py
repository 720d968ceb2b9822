"""`logbatch run`: run a program, and store what it logs.

The program is run by what `prepare` returns, when nothing of ours catches anything any more: what
it does not catch must reach the interpreter.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from logbatch.capture.program import Program
from logbatch.capture.python import PythonRun

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
@click.option("-m", "is_module", is_flag=True, help="The program is a module, as for python -m.")
@click.option("-c", "is_code", is_flag=True, help="The program is code, as for python -c.")
@click.argument("words", nargs=-1, metavar="PROGRAM [ARGS]...", type=click.UNPROCESSED)
def _command(**_: Any) -> None:
    """Run a Python program, unchanged, and store what it logs.

    PROGRAM is a script, a directory or a zip file, as for python; everything behind it is its own.
    It runs as if it had been started alone: it prints the same and ends the same.  Whatever it logs
    by the logging module is stored, however it configures that; so is what it does not catch, in
    any thread, and what Python warns of.  Python programs that it starts are run like this, too.

    \b
    Examples:
      logbatch run app.py --port 8000
      logbatch run --to parquet:logs -m uvicorn app:app --workers 2
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
            if asked.is_command:
                raise click.UsageError("only Python programs can be run so far, without --")
            return _prepare_python(asked)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code


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
    options = dict(map(_read_pair, asked.pairs))
    for name in ("level", "service"):
        if (value := getattr(asked, name)) is not None:
            options[name] = value
    return options


def _read_pair(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark:
        raise click.UsageError(f"-o {text}: it must be of the form NAME=VALUE")
    name = name.strip().replace("-", "_")
    if not value.startswith("{"):  # a mapping, such as `columns`
        return name, value
    try:
        return name, json.loads(value)
    except ValueError as error:
        raise click.UsageError(f"-o {name}: this is no JSON: {error}") from None
