"""`logbatch verify`: prove that nothing is missing and nothing is stored twice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from logbatch.cli.directory import directory_argument, find_directory
from logbatch.cli.escape import escape, to_json
from logbatch.cli.progress import Progress, files
from logbatch.cli.sizes import counted
from logbatch.cli.terminal import Terminal, color_option, new_table, plain_text
from logbatch.dataset.snapshot import Spans
from logbatch.dataset.source import Source
from logbatch.dataset.verify import RETIRED, Loss, ProducerReport, Report, check, count

_MOST_SPANS = 3


@click.command("verify")
@directory_argument
@click.option("--json", "as_json", is_flag=True, help="The whole report as one JSON object.")
@color_option
def command(directory: Path | None, as_json: bool, color: str) -> None:
    """Check that every record exists, and exists once.

    Each handler or processor, until it is closed, is a producer and numbers its records 0, 1, 2
    and so on.  The table shows for each which numbers are in files (present), still in its journal
    (pending), nowhere (missing), or stored more than once (twice).  What was dropped or rejected,
    and reported as such, is listed below it.

    Exit code 1, and "ok": false, mean that records are missing or stored twice, or that a file
    cannot be read.

    \b
    Examples:
      logbatch verify logs
      logbatch verify logs --json | jq .gaps
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all of it is in the report
        source = Source(find_directory(directory).absolute())
        with Progress(lambda: f"checking{files(len(source.looked_at), source.files)}"):
            report = check(source)
    if as_json:
        click.echo(to_json(report.to_dict()))
    else:
        _show(report, Terminal(color=color))
    if not report.ok:
        raise click.exceptions.Exit(1)


def _show(report: Report, terminal: Terminal) -> None:
    if report.producers:
        terminal.print(_table(report))
        terminal.print()
    for line in _remarks(report):
        terminal.print(line, soft_wrap=True)
    terminal.print(_conclusion(report), soft_wrap=True)


def _table(report: Report) -> Table:
    table = new_table("producer", "present", "pending", "missing", "twice")
    table.columns[0].no_wrap = True
    for one in report.producers:
        table.add_row(
            plain_text(one.producer),
            _spans(one.present),
            _spans(one.pending),
            _spans(one.missing, "bold red"),
            _spans(one.twice, "bold red"),
        )
    return table


def _spans(spans: Spans, style: str = "") -> Text:
    if not spans:
        return Text("-", style="dim")
    shown = [f"{first}-{last}" for first, last in spans]
    more = [f"and {len(spans) - _MOST_SPANS:,} more"] if len(spans) > _MOST_SPANS else []
    return Text("\n".join(shown[:_MOST_SPANS] + more), style=style)


def _remarks(report: Report) -> Iterator[Text]:
    for one in report.producers:
        retired = sum(loss.last - loss.first + 1 for loss in _retired(one))
        if retired:
            yield Text(f"{one.producer}: {counted(retired, 'record')} {RETIRED}", style="dim")
        for loss in one.accounted:
            if loss.kind == "retired":
                continue
            what = f"{one.producer} {loss.first}-{loss.last} {loss.kind}: {loss.reason}"
            yield Text(escape(what), style="yellow")
    for reason, number in report.unnumbered.items():
        yield Text(escape(f"{number:,} dropped before they had a number: {reason}"), style="yellow")
    if report.leftovers:
        what = f"{counted(len(report.leftovers), 'file')} left of a merge, which count as not there"
        yield Text(f"{what}: the next process or logbatch compact removes them", style="dim")
    for problem in report.problems:
        yield Text(escape(problem), style="red")


def _retired(one: ProducerReport) -> list[Loss]:
    return [loss for loss in one.accounted if loss.kind == "retired"]


def _conclusion(report: Report) -> Text:
    present, pending = (_total(report, name) for name in ("present", "pending"))
    style = "green" if report.ok else "bold red"
    return Text.assemble(
        (counted(present + pending, "record"), "bold"),
        f" of {counted(report.processes, 'process')}: ",
        (f"{report.gaps:,} missing, {report.repeated:,} twice", style),
        f", {pending:,} pending",
    )


def _total(report: Report, name: str) -> int:
    return sum(count(getattr(one, name)) for one in report.producers)
