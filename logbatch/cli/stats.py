"""`logbatch stats`: a picture of a log in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from logbatch.cli.chart import draw, legend, time_axis
from logbatch.cli.directory import directory_argument, find_directory
from logbatch.cli.filters import Hint, filter_options
from logbatch.cli.progress import Progress, files
from logbatch.cli.sizes import counted, readable
from logbatch.cli.stored import EXAMPLE, Size, Upkeep, by_kind, by_size, list_files, plan_upkeep
from logbatch.cli.summary import COLUMNS, Process, Summary, Top, summarise
from logbatch.cli.terminal import Terminal, color_option, new_table, plain_text
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.reader import Dataset
from logbatch.epoch import to_datetime

_HEIGHT = 9
_LABEL = 8
_BAR = 16


@click.command("stats")
@directory_argument
@filter_options
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="Lines of each list."
)
@color_option
def command(directory: Path | None, where: Filter, top: int, color: str) -> None:
    """Draw how much was logged when, and by whom.

    The bars are stacked by level, errors lowest, so that even one of them is seen.

    \b
    Examples:
      logbatch stats logs
      logbatch stats logs --since 1h --level WARNING
      logbatch stats logs --color always | less -R
    """
    terminal = Terminal(color=color)
    path = find_directory(directory)
    dataset = Dataset(path)
    with Progress(lambda: f"reading{files(*dataset.progress)}"):
        table = dataset.to_table(where, list(COLUMNS))
        summary = summarise(table, width=max(terminal.width - _LABEL - 2, 10), top=top)
        found = list_files(path)
        stored = Stored(by_kind(found), by_size(found), plan_upkeep(path.absolute()))
    hint = Hint(dataset, where)
    if table.num_rows:
        hint.found()
    for part in show(summary, stored, terminal):
        terminal.print(part)
    hint.tell()


class Stored(NamedTuple):
    """What there is in files, by kind and by size, and what upkeep would make of it."""

    kinds: Sequence[Size]
    sizes: Sequence[Size]
    upkeep: Upkeep | None


def show(summary: Summary, stored: Stored, terminal: Terminal) -> Iterator[RenderableType]:
    """Yield the picture part by part."""
    yield _title(summary)
    if summary.axis is None:
        return
    yield Text()
    yield from _chart(summary, terminal)
    yield Text()
    yield _tops("logger", summary.loggers, summary.records, terminal)
    yield Text()
    yield _tops("template", summary.templates, summary.records, terminal)
    yield Text()
    yield _processes(summary.processes, summary.process_count)
    yield Text()
    yield _sizes("files", stored.kinds)
    yield Text()
    yield _sizes("each", stored.sizes)
    yield from map(Text, _describe(stored.upkeep))


def _title(summary: Summary) -> Text:
    if summary.axis is None:
        return Text("no records", style="bold")
    first, last = _period(summary.first, summary.last)
    period = f"{first} to {last} UTC"
    bar = f"; a bar is {summary.axis.span}"
    return Text.assemble((counted(summary.records, "record"), "bold"), f", {period}", (bar, "dim"))


def _chart(summary: Summary, terminal: Terminal) -> Iterator[Text]:
    shades = not terminal.options.ascii_only
    assert summary.axis is not None
    lines = draw(summary.spans, _HEIGHT, coloured=terminal.coloured, shades=shades)
    labels = [f"{max(map(sum, summary.spans)):,}", *[""] * (_HEIGHT - 2), "0"]
    edge = "│" if shades else "|"
    for label, line in zip(labels, lines, strict=True):
        yield Text.assemble((f"{label:>{_LABEL}}{edge}", "dim"), line)
    yield Text(" " * (_LABEL + 1) + time_axis(summary.axis), style="dim")
    key = legend(summary.totals, coloured=terminal.coloured, shades=shades)
    yield Text.assemble(" " * (_LABEL + 1), key)


def _tops(name: str, tops: Sequence[Top], records: int, terminal: Terminal) -> Table:
    table = new_table(name, "records", "errors", "", numbers=("records", "errors"))
    table.columns[0].ratio, table.columns[0].no_wrap = 1, True
    table.columns[0].overflow = "ellipsis"
    table.expand = True
    for top in tops:
        table.add_row(
            plain_text(top.name or "(none)"),
            f"{top.records:,}",
            Text(f"{top.errors:,}", style="red" if top.errors else "dim"),
            Text() if terminal.options.ascii_only else _bar(top.records, records),
        )
    return table


def _bar(part: int, whole: int) -> Bar:
    return Bar(whole, 0, part, width=_BAR, color="cyan")


def _processes(processes: Sequence[Process], count: int) -> Table:
    table = new_table("process", "service", "host", "records", "from", "to", numbers=("records",))
    for process in processes:
        table.add_row(
            str(process.pid if process.pid is not None else "?"),
            plain_text(process.service),
            plain_text(process.host),
            f"{process.records:,}",
            *_period(process.first, process.last),
        )
    if count > len(processes):
        table.add_row(Text(f"and {count - len(processes):,} more", style="dim"))
    return table


def _sizes(name: str, sizes: Sequence[Size]) -> Table:
    numbers = ("number", "size", "a record")
    table = new_table(name, *numbers, "oldest", numbers=numbers)
    for size in sizes:
        each = f"{size.bytes / size.records:.1f} B" if size.records else ""
        oldest = f"{to_datetime(size.oldest):%Y-%m-%d}"
        table.add_row(size.name, f"{size.files:,}", readable(size.bytes), each, oldest)
    return table


def _describe(upkeep: Upkeep | None) -> Iterator[str]:
    """Yield what the commands for that would do with the files."""
    if upkeep is None or not (upkeep.files or upkeep.removed):
        return
    yield ""
    if upkeep.files:
        old = counted(upkeep.files, "file")
        yield f"logbatch compact would make about {upkeep.merged:,} of {old}"
    if upkeep.removed:
        yield (
            f"logbatch retain --max-age {EXAMPLE} would remove {counted(upkeep.removed, 'file')}"
            f" with {counted(upkeep.records, 'record')}"
        )


def _period(first: int, last: int) -> tuple[str, str]:
    """Format when something began and ended; one day is written once."""
    begin, end = (f"{to_datetime(at):%Y-%m-%d %H:%M:%S}" for at in (first, last))
    return begin, end[11:] if begin[:10] == end[:10] else end
