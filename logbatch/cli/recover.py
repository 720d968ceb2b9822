"""`logbatch recover`: publish what dead processes left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from logbatch.batching.recovery import PATIENCE, Recovered, Recovery
from logbatch.capture.lost import recover_runs
from logbatch.cli.destination import build_transport, sending_options
from logbatch.cli.directory import find_directory, parse_directory
from logbatch.cli.progress import Progress, on_screen
from logbatch.cli.sizes import counted
from logbatch.dataset.listing import JOURNAL, list_directory
from logbatch.storage.columns import COLUMNS
from logbatch.storage.segments import Segment, list_segments
from logbatch.transports import VARIABLE, build
from logbatch.transports.base import BaseTransport

_TYPES = {
    "int64": "int64",
    "double": "float64",
    "bool": "bool",
    "string": "string",
    "timestamp[us, tz=UTC]": "timestamp",
}
_HTTP = ("http://", "https://")


@click.command("recover")
@click.argument("place", required=False, metavar="[DIR|URL]")
@click.option(
    "--to",
    metavar="KIND|URL",
    help="Of a DIR: files to write, parquet or jsonl.  [default: as DIR says, else as the newest "
    "ones there, else parquet]  Of a URL: another place to send to.",
)
@sending_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help=f"Go on for so long, also while nothing is accepted.  [default: for a URL until nothing "
    f"was accepted for {PATIENCE:.0f} seconds; for a DIR until it cannot be written]",
)
def command(
    place: str | None,
    to: str | None,
    token: str | None,
    headers: tuple[str, ...],
    timeout: float | None,
) -> None:
    """Publish what processes that died left behind.

    Any process that logs to the same place does this by itself within seconds; this command is for
    when there is none any more.  The journals of living processes are not touched, and a record is
    published once, however often and by however many processes this is run: each waits until all is
    published.

    For a sqlite: URL, what processes left that logged to this file is written to it.

    For an https: URL, it sends what this user's processes that sent there left on this machine, and
    tries again where the network fails.

    \b
    Examples:
      logbatch recover logs
      logbatch recover logs --to jsonl
      logbatch recover sqlite:logs.db
      logbatch recover https://logs.example.org/ --token env:APP_TOKEN
      logbatch recover https://old.example.org/ --to https://new.example.org/
    """
    url = place if place is not None else os.environ.get(VARIABLE, "")
    if _is_url(url):
        transport = build_transport(to or url, token, headers)
        meant_for = transport if to is None else _meant_for(url)
        recovery = Recovery(transport, meant_for=meant_for, patience=PATIENCE, timeout=timeout)
    elif token is not None or headers:
        raise click.UsageError("--token and --header need a URL")
    else:
        kind = parse_directory(place)[0] if place else None
        directory = find_directory(Path(place) if place else None)
        _check_journals(directory)
        recovery = Recovery(_transport(directory, to or kind), timeout=timeout)
    runs = recover_runs(recovery.transport, _complain)
    if runs:
        click.echo(f"finished {counted(runs, 'run')} of dead processes")
    _tell(_run(recovery), quietly=runs > 0)


def _complain(_kind: str, text: str) -> None:
    click.echo(f"logbatch: {text}", err=True)


def _run(recovery: Recovery) -> Recovered:
    """Take the steps, and show how far they are."""
    total = recovery.count_left() if on_screen() else 0

    def tell() -> str:
        return f"published {recovery.published:,} of {counted(total, 'record')}"

    try:
        with Progress(tell):
            while (wait := recovery.step()) is not None:
                time.sleep(wait)
    finally:
        done = recovery.end()
    return done


def _tell(done: Recovered, *, quietly: bool) -> None:
    if done.producers:
        published = counted(done.events, "record")
        journals = counted(done.producers, "journal")
        click.echo(f"published {published} from {journals} of dead processes")
    elif done.by_others and not done.left:
        click.echo("nothing left to recover: another process has published it")
    elif not done.left and not quietly:
        click.echo("nothing to recover: no dead process left anything")
    if done.left > done.elsewhere:
        raise click.ClickException(
            f"{counted(done.left, 'record')} could not be published; they stay in the journal"
        )
    if done.left:
        raise click.ClickException(
            f"{counted(done.left, 'record')} are with another process, which has taken them over"
            " and goes on; look again later"
        )


def _is_url(place: str) -> bool:
    return place.lower().startswith((*_HTTP, "sqlite:"))


def _meant_for(url: str) -> BaseTransport:
    """Return a transport for the URL that records were meant for; nothing is sent there."""
    try:
        return build(url, insecure=True) if url.lower().startswith(_HTTP) else build(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _transport(directory: Path, kind: str | None) -> BaseTransport:
    """Make a transport that writes files like those that exist."""
    if kind not in (None, "parquet", "jsonl"):
        raise click.UsageError(f"--to {kind}: the files of a directory are parquet or jsonl")
    newest = max(list_segments(directory), key=_age, default=None)
    if kind is None:
        kind = "parquet" if newest is None else newest.ext.partition(".")[0]
    columns = _promoted(newest.path) if newest and newest.ext == kind == "parquet" else None
    return build({"type": kind, "path": directory}, columns=columns)


def _check_journals(directory: Path) -> None:
    """Refuse a directory where nothing can be seen of what processes left.

    Raises:
        DatasetError: Its journals may not be read.
    """
    if JOURNAL in list_directory(directory):
        list_directory(directory / JOURNAL)


def _age(segment: Segment) -> tuple[str, str, int]:
    return segment.path.parent.name, segment.producer, segment.first


def _promoted(path: Path) -> dict[str, str] | None:
    """Read which attributes the newest file has as columns, so that the next one has them too."""
    import pyarrow.parquet

    fields = pyarrow.parquet.read_schema(path)
    found = {field.name: _TYPES.get(str(field.type)) for field in fields}
    return {name: kind for name, kind in found.items() if kind and name not in COLUMNS} or None
