"""`logbatch export`: records as a file for others."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from logbatch.cli.directory import A_PATH, directory_argument, find_directory
from logbatch.cli.escape import escape
from logbatch.cli.filters import Hint, filter_options
from logbatch.cli.progress import Progress, files
from logbatch.cli.sizes import counted
from logbatch.dataset.export import Target, Tell, export, export_to
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.formats import FORMATS
from logbatch.dataset.reader import Dataset
from logbatch.dataset.source import Source
from logbatch.errors import DatasetError

_STDOUT = Path("-")


@click.command("export")
@directory_argument
@click.option(
    "--to",
    required=True,
    type=A_PATH,
    metavar="FILE|DIR|-",
    help="A file that ends in .parquet, .csv or .jsonl; a directory, which gets a file for each"
    " date; or - for standard output.",
)
@filter_options
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What to write into a directory, or to standard output.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option(
    "--exact", is_flag=True, help="In CSV, leave texts that look like formulas as they are."
)
def command(
    directory: Path | None, to: Path, where: Filter, form: str | None, force: bool, exact: bool
) -> None:
    """Write records to a file, in the order of time.

    A file appears whole or not at all.  Parquet has the fixed columns, JSON Lines the form of
    logbatch's own files.  In CSV a null is an empty field and an empty text is "", and a text that
    a spreadsheet would run as a formula (=, +, -, @ at its beginning) gets a ' in front.

    \b
    Examples:
      logbatch export logs --to errors.csv --level ERROR --since 7d
      logbatch export logs --to archive --format parquet --until 2026-11-01
      logbatch export logs --to - --format jsonl --where user_id=42 | jq .message
    """
    source = Source(find_directory(directory).absolute())
    hint = Hint(Dataset(source.directory), where)
    written = [0]

    def tell() -> str:
        reading = files(len(source.looked_at), source.files)
        return f"exporting{reading}, {counted(written[0], 'record')}"

    def note(count: int) -> None:
        hint.found()
        written[0] = count

    with Progress(tell):
        if to == _STDOUT:
            _to_stdout(source, form, where, exact, note)
            done = ""
        else:
            found = export(source, _find_target(to, form, force, exact), where, note)
            where_to = f"{to}" if len(found.files) == 1 else f"{counted(len(found.files), 'file')}"
            done = f"{counted(found.records, 'record')} in {where_to}"
    if done:
        click.echo(escape(done))
    hint.tell()


def _find_target(to: Path, form: str | None, force: bool, exact: bool) -> Target:
    try:
        return Target.build(to, form, force=force, exact=exact)
    except DatasetError as error:
        raise click.UsageError(str(error).replace("a format", "--format")) from None


def _to_stdout(source: Source, form: str | None, where: Filter, exact: bool, note: Tell) -> None:
    if form is None:
        raise click.UsageError("standard output needs --format.")
    if form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: name a file, or use a pipe.")
    sys.stdout.flush()
    export_to(source, sys.stdout.buffer, form, where, exact=exact, tell=note)
    sys.stdout.buffer.flush()
