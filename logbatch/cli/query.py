"""`logbatch query`: SQL over a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from logbatch.cli.directory import find_directory
from logbatch.cli.output import FORMATS, show_table, write_parquet, write_text
from logbatch.cli.progress import Progress
from logbatch.cli.streams import use_utf8
from logbatch.cli.terminal import Terminal, color_option
from logbatch.disk import replacing

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_ROWS = 1_000


def _check_size(_ctx: click.Context, _option: click.Parameter, value: str) -> str:
    from logbatch.dataset.query import parse_size

    try:
        parse_size(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a size such as 500MB or 2GB") from None
    return value


@click.command("query")
@click.argument("words", nargs=-1, required=True, metavar="[DIR] SQL")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    metavar="FORMAT",
    help="table, json, jsonl, csv or parquet.  [default: as --output is named, else table]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, readable=False),
    help="Write to this file, whole or not at all.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=0),
    default=_MAX_ROWS,
    show_default=True,
    help="Rows a table shows; 0 for all.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the query may take.",
)
@click.option(
    "--memory-limit",
    callback=_check_size,
    default="1GB",
    show_default=True,
    metavar="SIZE",
    help="How much memory it may use: 500MB, 2GB.",
)
@color_option
def command(
    words: tuple[str, ...],
    form: str | None,
    output: Path | None,
    max_rows: int,
    timeout: float,
    memory_limit: str,
    color: str,
) -> None:
    """Run one SELECT, in DuckDB's SQL, on the view `logs`.

    SQL may be - to read it from standard input.  The columns are those of the files: timestamp,
    level, levelno, logger, message, template, attributes, exception_type, stacktrace and so on;
    DESCRIBE logs lists them.  Attributes are JSON: attributes->>'user_id' is one of them, as text.
    The query reads the log and nothing else, and changes nothing.

    A table shows control characters escaped; the other formats are exact.  In CSV a null is an
    empty field, and an empty text is "".

    \b
    Examples:
      logbatch query logs "SELECT level, count(*) FROM logs GROUP BY ALL"
      logbatch query logs "SELECT attributes->>'path' AS path,
                                  avg((attributes->>'ms')::DOUBLE) AS ms
                           FROM logs GROUP BY path ORDER BY ms DESC LIMIT 5"
      logbatch query logs "FROM logs WHERE levelno >= 40" -o errors.parquet
      logbatch query logs - --format csv < report.sql > report.csv
    """
    from logbatch.dataset.export import check_outside
    from logbatch.dataset.reader import Dataset

    directory, sql = _split(words)
    form = form or _form_of(output)
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal: use --output FILE, or a pipe.")
    path = find_directory(directory)
    if output is not None:
        check_outside(path, output)
    with Progress(lambda: "the query runs"):
        table = Dataset(path).sql(sql, timeout=timeout, memory_limit=memory_limit)
    if output is None:
        _write_to_stdout(table, form, max_rows or None, color)
    else:
        with _replacing(output) as file:
            _write(table, form, file)


def _split(words: tuple[str, ...]) -> tuple[Path | None, str]:
    *before, sql = words
    if len(before) > 1:
        raise click.UsageError(
            f"expected [DIR] SQL, got {len(words)} arguments: put the SQL in quotes."
        )
    if not before and os.path.isdir(sql):
        raise click.UsageError(f"the SQL is missing: what to ask about {sql}?")
    directory = Path(before[0]) if before else None
    return directory, sys.stdin.read() if sql == "-" else sql


def _form_of(output: Path | None) -> str:
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    return {"ndjson": "jsonl"}.get(suffix, suffix if suffix in FORMATS else "table")


def _write_to_stdout(table: pa.Table, form: str, max_rows: int | None, color: str) -> None:
    if form == "table":
        show_table(table, Terminal(color=color), max_rows)
        if max_rows is not None and len(table) > max_rows:
            left = f"showing {max_rows:,} of {len(table):,} rows; --max-rows 0 shows all"
            click.echo(left, err=True)
    elif form == "parquet":
        write_parquet(table, sys.stdout.buffer)
    else:
        use_utf8()
        write_text(table, form, sys.stdout, safe=sys.stdout.isatty())


def _write(table: pa.Table, form: str, file: IO[bytes]) -> None:
    if form == "parquet":
        write_parquet(table, file)
        return
    with open(file.fileno(), "w", encoding="utf-8", newline="", closefd=False) as text:
        if form == "table":
            show_table(table, Terminal(text, color="never"))
        else:
            write_text(table, form, text)


@contextmanager
def _replacing(output: Path) -> Iterator[IO[bytes]]:
    """Open a file that replaces another only when it is complete."""
    from logbatch.dataset.export import naming

    if not output.parent.is_dir():
        raise click.ClickException(f"there is no directory {output.parent}")
    if output.exists() and not output.is_file():  # a device, a named pipe
        with naming(output), open(output, "wb") as file:
            yield file
        return
    with (
        naming(output),
        replacing(output) as descriptor,
        open(descriptor, "wb", closefd=False) as file,
    ):
        yield file
