"""`logbatch compact`: few files of about one size, in one order."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import click

from logbatch.cli.directory import directory_argument, find_directory
from logbatch.cli.escape import escape
from logbatch.cli.progress import Progress
from logbatch.cli.sizes import counted, readable
from logbatch.cli.terminal import Terminal, color_option, new_table
from logbatch.dataset.compact import Done, Options, Report, compact, make_options
from logbatch.dataset.compaction.task import Count
from logbatch.storage.maintenance import MaintenanceBusy

_BAR = 12
_HOW = "--to parquet makes Parquet of them"
_PAUSE = 60.0  # seconds between two runs of --watch


@click.command("compact")
@directory_argument
@click.option(
    "--older-than",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="Dates that ended so long ago: 1d, 12h; 0 takes all, today's too.",
)
@click.option(
    "--cluster-by",
    metavar="NAMES",
    default="",
    help="Columns or attributes, as session_id,user_id: their records lie together, in the order"
    " of time.  [default: by time alone]",
)
@click.option(
    "--target-size", default="128MB", show_default=True, metavar="SIZE", help="About, of a file."
)
@click.option(
    "--promote",
    default="auto",
    show_default=True,
    metavar="auto|none|NAMES",
    help="Attributes that become typed columns as well.",
)
@click.option(
    "--to",
    type=click.Choice(["parquet"]),
    help="Make Parquet of JSON Lines; where there is Parquet already, that is done anyway.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--watch", is_flag=True, help="Do it again every minute until Ctrl-C or SIGTERM.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Processes; each compacts one date at a time.  [default: one for each core, as far as"
    " --memory-limit has 500 MB for each]",
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    help="Of all workers together; what needs more is done on the disk.  [default: 1GB, or 500MB"
    " for each worker if that is more]",
)
@color_option
def command(
    directory: Path | None,
    older_than: str,
    cluster_by: str,
    target_size: str,
    promote: str,
    to: str | None,
    dry_run: bool,
    watch: bool,
    workers: int | None,
    memory_limit: str | None,
    color: str,
) -> None:
    """Merge the files of each closed date into few, sorted by time.

    Readers see each record once while it runs, also if it is killed, and processes that log may go
    on: a date's folder is exchanged as a whole.  A file that is torn is put aside under another
    name, and one that is not of logbatch stays.  What is done already is left alone.

    --promote auto: an attribute becomes a typed column if at least 20 % of a date's records have
    it, all its values are of one type (integers of 64 bits, numbers up to 2**53, true and false, or
    texts), and its name can be a column's; at most 16.  Names of --cluster-by become columns even
    if fewer records have them.  All files of a date get the same columns; attributes stay whole.

    Exit code 1 means that a date could not be compacted, and is as it was.

    \b
    Examples:
      logbatch compact logs
      logbatch compact logs --older-than 0 --dry-run
      logbatch compact logs --cluster-by session_id --workers 4
      logbatch compact logs --to parquet --watch
    """
    options = _make_options(
        older_than=older_than,
        cluster_by=_split(cluster_by),
        target_size=target_size,
        promote=promote if promote in ("auto", "none") else _split(promote),
        to=to,
        memory_limit=memory_limit,
        workers=workers,
        dry_run=dry_run,
    )
    path = find_directory(directory).absolute()
    terminal = Terminal(color=color)
    if not watch:
        _show(_run(path, options), terminal)
        return
    while True:
        try:
            report = _run(path, options)
            if report.changed or report.failures:
                click.echo(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")
                _tell(report, terminal)
        except MaintenanceBusy as error:
            click.echo(f"{escape(str(error))}; waiting for its end", err=True)
        time.sleep(_PAUSE)


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")] if text.strip() else []


def _make_options(**given: Any) -> Options:
    try:
        return make_options(**given)
    except ValueError as error:
        option = re.sub(r"^[a-z_]+", lambda name: f"--{name[0].replace('_', '-')}", str(error))
        raise click.UsageError(escape(option)) from None


def _run(directory: Path, options: Options) -> Report:
    began = time.monotonic()
    done = [Done(Count(), Count(), 0)]

    def tell() -> str:
        return describe(done[0], time.monotonic() - began)

    def note(latest: Done) -> None:
        done[0] = latest

    with Progress(tell):
        return compact(directory, options, tell=note)


def describe(done: Done, seconds: float) -> str:
    """Say how far it is: a bar, the time left, files, bytes, rows, and rows a second.

    A row that was read and not yet written counts half.  A narrow terminal cuts off the end.
    """
    total, read = done.total, done.read
    share = _share(done)
    bar = ("=" * int(share * _BAR)).ljust(_BAR)
    rows = (read.rows + done.written) // 2
    rate = rows / seconds if seconds else 0.0
    left = f"{seconds / share - seconds:.0f} s left, " if share > 0.02 else ""
    return (
        f"[{bar}] {left}{min(read.files, total.files):,}/{total.files:,} files,"
        f" {readable(min(read.bytes, total.bytes))}, {rows:,} rows, {rate:,.0f}/s"
    )


def _share(done: Done) -> float:
    """Return how much is done: reading and writing take about as long as one another."""
    total, read = done.total, done.read
    bytes_read = read.bytes / total.bytes if total.bytes else 0.0
    rows = max(total.rows, read.rows)
    written = done.written / rows if rows else bytes_read
    return min((bytes_read + written) / 2, 1.0)


def _show(report: Report, terminal: Terminal) -> None:
    _tell(report, terminal)
    if report.failures:
        raise click.exceptions.Exit(1)


def _tell(report: Report, terminal: Terminal) -> None:
    for problem in report.problems:
        click.echo(f"Warning: {escape(problem)}", err=True)
    for failure in report.failures:
        click.echo(f"Error: {escape(failure)}", err=True)
    if report.changed:
        terminal.print(_table(report))
    click.echo(_conclude(report))


def _table(report: Report) -> Any:
    table = new_table("", "files", "bytes", "rows", numbers=("files", "bytes", "rows"))
    before, after = report.before, report.after
    table.add_row("before", f"{before.files:,}", readable(before.bytes), f"{before.rows:,}")
    name, most = ("would be", "at most about ") if report.dry_run else ("after", "")
    table.add_row(name, f"{after.files:,}", f"{most}{readable(after.bytes)}", f"{after.rows:,}")
    return table


def _conclude(report: Report) -> str:
    dates = len(report.outcomes)
    lines = sum(each.lines for each in report.outcomes)
    failed = f"; {len(report.failures):,} could not be" if report.failures else ""
    if report.changed or failed:
        done = "would be compacted" if report.dry_run else "compacted"
        text = f"{report.changed:,} of {counted(dates, 'date')} {done}{failed}"
    elif dates:
        text = f"nothing to do in {counted(dates, 'date')}"
    else:
        text = "nothing to do: there is no date that is old enough"
    hint = f"; {counted(lines, 'file')} of JSON Lines stay: {_HOW}" if lines else ""
    return text + hint
