"""The group of commands, and what each way of ending one means to the caller."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from logbatch.cli.escape import escape, escape_lines
from logbatch.cli.progress import clear_shown
from logbatch.cli.streams import finish_streams, revive_streams, use_safe_streams
from logbatch.errors import LogbatchError
from logbatch.version import VERSION

_COMMANDS = (
    *("run", "runs", "demo", "view", "tail", "query", "stats", "export"),
    *("verify", "compact", "retain", "recover", "replay", "serve"),
)
_CLOSED_PIPE = 141  # 128 + SIGPIPE, as the shell reports it for other tools
_INTERRUPTED = 130  # 128 + SIGINT
_BUG = 3


class _Commands(click.Group):
    """Each command is a module of its own, imported when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return _load(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise click.exceptions.Exit(_CLOSED_PIPE) from None
        return result


def _load(name: str) -> click.Command:
    """Import a command, by a statement: who packs programs into one file sees no other way."""
    match name:
        case "run":
            from logbatch.cli.run import command
        case "demo":
            from logbatch.cli.demo import command
        case "view":
            from logbatch.cli.view import command
        case "tail":
            from logbatch.cli.tail import command
        case "query":
            from logbatch.cli.query import command
        case "stats":
            from logbatch.cli.stats import command
        case "export":
            from logbatch.cli.export import command
        case "runs":
            from logbatch.cli.runs import command
        case "verify":
            from logbatch.cli.verify import command
        case "compact":
            from logbatch.cli.compact import command
        case "retain":
            from logbatch.cli.retain import command
        case "recover":
            from logbatch.cli.recover import command
        case "replay":
            from logbatch.cli.replay import command
        case "serve":
            from logbatch.cli.serve import command
        case _:
            raise LookupError(name)
    return command


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"logbatch {VERSION}")
        ctx.exit()


@click.group(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def group() -> None:
    """Read what logbatch wrote, receive it from elsewhere, and send it again.

    Where a command takes [DIR], it may be left out: then it is the directory that
    LOGBATCH_TRANSPORT names, or else the one that the library writes to by default.

    \b
    Begin with:
      logbatch demo                 see it work, on this machine, in some seconds
      logbatch tail -f DIR          follow a log as it is written
      logbatch query DIR "SELECT level, count(*) FROM logs GROUP BY level"
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command; whatever happens becomes an exit code and at most a few lines on stderr."""
    revive_streams()
    use_safe_streams()
    warnings.showwarning = _show_warning
    try:
        return _run(arguments)
    finally:
        finish_streams()


def _run(arguments: Sequence[str]) -> int:
    try:
        result = group.main(arguments, prog_name="logbatch", standalone_mode=False)
    except click.exceptions.Abort:
        return _INTERRUPTED
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    except ModuleNotFoundError:
        raise
    except LogbatchError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except Exception as error:
        return _report_bug(error)
    return result if isinstance(result, int) else 0


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    """Print a warning, such as of a file that was left out, without its source line."""
    clear_shown()
    _say(f"Warning: {message}")


def _fail(message: str) -> int:
    _say(f"Error: {message}")
    return 1


def _say(text: str) -> None:
    """Print to stderr, safely; where it takes nothing, the exit code has to be enough."""
    with contextlib.suppress(OSError):
        click.echo("\n".join(escape_lines(text)), err=True)


def _report_bug(error: Exception) -> int:
    text = "".join(traceback.format_exception(error))
    _say(f"Error: this is a bug in logbatch: {escape(repr(error))}")
    try:
        handle, path = tempfile.mkstemp(prefix="logbatch-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"logbatch {VERSION}, Python {sys.version}\n{text}")
    except OSError:
        _say(text)
    else:
        _say(f"Please report it, with what is in {path}")
    return _BUG
