"""`logbatch retain`: remove what is too old, or too much."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from logbatch.cli.directory import directory_argument, find_directory
from logbatch.cli.escape import escape, escape_lines, to_json
from logbatch.cli.progress import Progress
from logbatch.cli.sizes import counted, readable
from logbatch.dataset.fields import unknown_fields
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.retain import Retained, Wanted, retain
from logbatch.dataset.source import Source
from logbatch.errors import DatasetWarning, FilterError
from logbatch.storage.policy import Policy


@click.command("retain")
@directory_argument
@click.option(
    "--max-age", metavar="AGE", help="Files whose newest record is older than this go: 14d, 36h."
)
@click.option(
    "--max-bytes", metavar="SIZE", help="The oldest files go until all take at most this: 5GB."
)
@click.option(
    "--keep", metavar="FILTER", help='Of files older than --max-age, keep this: "level>=ERROR".'
)
@click.option("--keep-age", metavar="AGE", help="And no longer than this.  [default: for ever]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option(
    "--trust-clock",
    is_flag=True,
    help="Count age up to what the clock says, also where nothing else bears it out.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(
    directory: Path | None,
    max_age: str | None,
    max_bytes: str | None,
    keep: str | None,
    keep_age: str | None,
    dry_run: bool,
    trust_clock: bool,
    as_json: bool,
) -> None:
    """Remove what is too old, or too much.

    The oldest files go first, as a whole.  With --keep, files beyond --max-age, and then those that
    --max-bytes has no room for, are rewritten with the records that match; the others go.
    --max-bytes counts what is published, as `du` does; if that is still too much, the oldest files
    go with all that is in them.  Processes that log may go on meanwhile; `logbatch verify` tells
    what was removed here from what was lost.

    What is old is told by the records' own times, and by the clock.  When the clock has jumped
    ahead of all records, they stay until logging, or daily runs of this command, have gone on for
    half a day; --trust-clock does not wait.

    Exit code 1 means that something could not be removed or looked through.

    \b
    Examples:
      logbatch retain logs --max-age 14d --dry-run
      logbatch retain logs --max-age 14d --max-bytes 5GB
      logbatch retain logs --max-age 14d --keep "level>=ERROR" --keep-age 90d
    """
    try:
        wanted = Wanted(Policy.build(max_age, max_bytes, keep_age), keep, dry_run, trust_clock)
        wanted.check()
    except FilterError as error:
        text = "\n".join(escape_lines(str(error)))
        raise click.BadParameter(text, param_hint="--keep") from None
    except ValueError as error:
        raise click.UsageError(_name_options(str(error))) from None
    source = Source(find_directory(directory).absolute())
    for field in unknown_fields(source, Filter.build(keep)) if keep else ():
        click.echo(escape(f"Warning: --keep: {field}"), err=True)
    doing: list[str] = []
    with warnings.catch_warnings(), Progress(lambda: doing[-1] if doing else ""):
        warnings.simplefilter("ignore", DatasetWarning)  # all of it is among the problems
        done = retain(source, wanted, tell=doing.append)
    if as_json:
        click.echo(to_json(asdict(done) | {"until": done.until.isoformat()}))
    else:
        for line in describe(done):
            click.echo(escape(line))
    for problem in done.problems:
        click.echo(escape(f"Warning: {problem}"), err=True)
    if done.problems:
        raise click.exceptions.Exit(1)


def describe(done: Retained) -> Iterator[str]:
    """Yield what was done, or would be, line by line."""
    if done.removed:
        verb = "would remove" if done.dry_run else "removed"
        records = counted(done.removed_records, "record")
        yield f"{verb} {counted(done.removed, 'file')} with {records}"
    if done.rewritten:
        verb = "would rewrite" if done.dry_run else "rewrote"
        files = f"{counted(done.rewritten, 'file')} into {done.rewritten_into:,}"
        kept = f"{counted(done.kept_records, 'record')} kept, {done.retired_records:,} removed"
        yield f"{verb} {files}: {kept}"
    if not (done.removed or done.rewritten):
        yield "nothing is too old or too much" if not done.held_back else "nothing was removed"
    if done.held_back:
        yield (
            f"{counted(done.held_back, 'file')} would be too old by the clock, but nothing since"
            f" {done.until:%Y-%m-%d %H:%M} UTC bears it out yet, so"
            f" {'it stays' if done.held_back == 1 else 'they stay'}: run this again in a day, or"
            " with --trust-clock"
        )
    about = "about " if done.dry_run and done.rewritten else ""
    yield (
        f"{counted(done.files_after, 'file')}, {about}{readable(done.bytes_after)}"
        f" on the disk; before {readable(done.bytes_before)}"
    )


def _name_options(text: str) -> str:
    """Write the names of options as they are given to the command."""
    names = r"\b(max_age|max_bytes|keep_age)\b|\bkeep\b(?=[ =,:])"
    return re.sub(names, lambda found: "--" + found[0].replace("_", "-"), text)
