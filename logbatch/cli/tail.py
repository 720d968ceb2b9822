"""`logbatch tail`: the end of a log, or the log as it is written."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from logbatch.cli.directory import await_directory, directory_argument, find_directory
from logbatch.cli.filters import Hint, filter_options
from logbatch.cli.progress import Progress, files
from logbatch.cli.record import as_json, raw, shown
from logbatch.cli.streams import use_utf8
from logbatch.cli.terminal import Terminal, color_option
from logbatch.dataset.filter.language import Filter

if TYPE_CHECKING:
    from logbatch.dataset.reader import Dataset

_LINES = 10


def _parse_lines(
    _ctx: click.Context, _option: click.Parameter, value: str | None
) -> int | str | None:
    if value is None or value == "all":
        return value
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither a number nor all")
    return int(value)


@click.command("tail")
@directory_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as records are logged; Ctrl-C ends it.")
@click.option(
    "-n",
    "--lines",
    callback=_parse_lines,
    metavar="N",
    help="The newest N records, or all.  [default: 10; all with --since]",
)
@filter_options
@click.option("--json", "form", flag_value="json", help="One JSON object a line, all columns.")
@click.option("--raw", "form", flag_value="raw", help="Text as logged: trust it first.")
@color_option
def command(
    directory: Path | None,
    follow: bool,
    lines: int | str | None,
    where: Filter,
    form: str,
    color: str,
) -> None:
    """Show the newest records of all processes, in the order of time.

    Times are UTC, as all commands and filters take them.  Control and invisible characters are
    shown escaped, such as \\x1b or \\u202e; a line that begins with a time begins a record.
    With -f, DIR need not be there yet.

    \b
    Examples:
      logbatch tail -f logs
      logbatch tail logs --level WARNING --since 2h
      logbatch tail logs -n all --where "status>=500 -path~health"
      logbatch tail -f logs --json | jq .message
    """
    from logbatch.dataset.reader import Dataset

    limit = _limit(lines, where)
    if follow and await_directory(directory):
        limit = None  # whatever is there has come since
    dataset = Dataset(find_directory(directory))
    terminal = Terminal(color=color)
    write = _writer(form, terminal)
    hint = Hint(dataset, where)
    with Progress(lambda: f"reading{files(*dataset.progress)}") as progress:
        if follow:
            rows = dataset.follow(where, last=limit, stop=_Never(progress, hint))
        else:
            rows = _newest(dataset, where, limit)
        for row in rows:
            hint.found()
            progress.clear()
            write(row)
            if follow:
                terminal.file.flush()
    hint.tell()


class _Never:
    """What `follow` waits on: from the first time on, it has read what was there."""

    def __init__(self, progress: Progress, hint: Hint) -> None:
        self._progress = progress
        self._hint = hint

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float) -> bool:
        self._progress.end()
        self._hint.tell()
        time.sleep(timeout)
        return False


def _limit(lines: int | str | None, where: Filter) -> int | None:
    """Return how many records are wanted at most; None means all."""
    if lines is None:
        begins = where.period[0] is not None
        return None if begins else _LINES
    return None if isinstance(lines, str) else lines


def _newest(dataset: Dataset, where: Filter, limit: int | None) -> Iterator[dict[str, Any]]:
    if limit is None:
        return dataset.rows(where)
    found = list(itertools.islice(dataset.rows(where, limit=limit, newest_first=True), limit))
    return reversed(found)


def _writer(form: str | None, terminal: Terminal) -> Callable[[dict[str, Any]], None]:
    if form == "json":
        use_utf8()
        return lambda row: terminal.print_raw(as_json(row))
    if form == "raw":
        return lambda row: terminal.print_raw(raw(row))
    return lambda row: terminal.print_pieces(shown(row))
