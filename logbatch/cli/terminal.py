"""Writing to the terminal, or to whatever stands in its place.

What comes from a log goes to rich as `Text` only, never as markup.  Without colour (a pipe,
`NO_COLOR`, `--color never`) nothing but plain text and newlines is written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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


def new_table(*headings: str, numbers: Sequence[str] = ()) -> Table:
    """Make a table in the one style of all commands; columns in `numbers` stand to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading in numbers
        table.add_column(plain_text(heading), justify="right" if right else "left", no_wrap=right)
    return table
