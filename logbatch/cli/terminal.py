"""Writing to the terminal, or to whatever stands in its place.

What comes from a log goes to rich as `Text` only, never as markup.  Without colour (a pipe,
`NO_COLOR`, `--color never`) nothing but plain text and newlines is written.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from io import RawIOBase, TextIOWrapper
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logbatch.cli.escape import escape
from logbatch.cli.record import Piece

_F = TypeVar("_F", bound=Callable[..., Any])


class Terminal(Console):
    """A rich console that takes no markup from text and reports a closed pipe as an error."""

    def __init__(self, file: TextIO | None = None, color: str = "auto", **options: Any) -> None:
        super().__init__(
            file=file or sys.stdout,
            markup=False,
            emoji=False,
            highlight=False,
            force_terminal={"auto": None, "always": True, "never": False}[color],
            no_color={"auto": None, "always": False, "never": True}[color],
            **options,
        )

    @property
    def coloured(self) -> bool:
        """Whether colours are written."""
        return self.color_system is not None and not self.no_color

    @property
    def is_screen(self) -> bool:
        """Whether it is a screen, whose width counts; with colours or not."""
        return self.file.isatty()

    def on_broken_pipe(self) -> None:
        """Let `logbatch.cli.commands.run` end the command quietly."""
        raise BrokenPipeError

    def print_pieces(self, pieces: Sequence[Piece]) -> None:
        """Write styled pieces and a newline; long lines are left to the terminal to wrap."""
        if self.coloured:
            self.print(Text.assemble(*pieces), soft_wrap=True)
        else:
            self.print_raw("".join(text for text, _ in pieces))

    def print_raw(self, text: str) -> None:
        """Write text exactly as it is, and a newline."""
        self.file.write(f"{text}\n")


class _Dead(RawIOBase):
    """What stands for a stream that was closed before we began: it takes nothing."""

    def writable(self) -> bool:
        return True

    def write(self, _data: Any) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def revive_streams() -> None:
    """Stand in for the standard streams that are closed, as by `>&-` in a shell.

    No file of ours gets the number of one.  Writing to standard output is an error, to standard
    error it is not: there is nobody to tell.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)  # the lowest free
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = TextIOWrapper(_Dead(), write_through=True)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def use_safe_streams() -> None:
    """Keep a character that the terminal's encoding lacks from raising: it is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def use_utf8() -> None:
    """Write UTF-8 to standard output whatever the locale says: what programs read is in it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Send what a stream did not take nowhere, so that nobody complains.

    Python would try once more as it ends, and make the exit code 120.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def finish_streams() -> None:
    """Write what is buffered; where a stream takes nothing, that was told before if it can be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


def color_option(command: _F) -> _F:
    """Add the option `--color` to a command."""
    option = click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Colours; auto means on a terminal, unless NO_COLOR is set.",
    )
    return option(command)


def plain_text(value: str) -> Text:
    """Wrap text that came from a log for rich, escaped."""
    return Text(escape(value))


def counted(number: int, noun: str) -> str:
    """Write a number with what it counts: `1 record`, `1,200 records`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def new_table(*headings: str, numbers: Sequence[str] = ()) -> Table:
    """Make a table in the one style of all commands; columns in `numbers` stand to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading in numbers
        table.add_column(plain_text(heading), justify="right" if right else "left", no_wrap=right)
    return table
