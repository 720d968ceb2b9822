"""`logbatch recover`: publish what dead processes left."""

from __future__ import annotations

from pathlib import Path

import click

from logbatch.cli.place import find
from logbatch.cli.terminal import counted
from logbatch.dataset.schema import COLUMNS
from logbatch.dataset.segments import Segment, list_segments
from logbatch.recovery import recover
from logbatch.transports import build
from logbatch.transports.base import Transport

_TYPES = {
    "int64": "int64",
    "double": "float64",
    "bool": "bool",
    "string": "string",
    "timestamp[us, tz=UTC]": "timestamp",
}


@click.command("recover")
@click.argument("place", required=False, metavar="[DIR|URL]")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["parquet", "jsonl"]),
    help="Files to write.  [default: as the newest ones there, else parquet]",
)
def command(place: str | None, kind: str | None) -> None:
    """Publish what processes that died left behind.

    Any process that logs to the same place does this by itself within seconds; this is for when
    there is none any more.  The journals of living processes are not touched, and a record is
    published once however often and by however many this is done.

    For an https: URL, it is what processes of this user that sent there left on this machine; a
    token is taken from LOGBATCH_TOKEN.

    \b
    Examples:
      logbatch recover logs
      logbatch recover logs --to jsonl
      LOGBATCH_TOKEN=env:APP_TOKEN logbatch recover https://logs.example.org/
    """
    if place is not None and _is_url(place):
        done = recover(_transport_of_url(place, kind))
    else:
        done = recover(_transport(find(Path(place) if place else None), kind))
    if done.producers:
        told = f"published {counted(done.events, 'record')} of {counted(done.producers, 'process')}"
        click.echo(f"{told} that had died")
    elif not done.left:
        click.echo("nothing to recover: no dead process left anything")
    if done.left:
        raise click.ClickException(f"{counted(done.left, 'record')} could not be published")


def _is_url(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


def _transport_of_url(url: str, kind: str | None) -> Transport:
    if kind is not None:
        raise click.UsageError("--to is for a directory; a URL says where to send already")
    try:
        return build(url)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _transport(directory: Path, kind: str | None) -> Transport:
    """Make the transport that writes files like those which are there."""
    newest = max(list_segments(directory), key=_age, default=None)
    if kind is None:
        kind = "parquet" if newest is None else newest.ext.partition(".")[0]
    columns = _promoted(newest.path) if newest and newest.ext == kind == "parquet" else None
    return build({"type": kind, "path": directory}, columns=columns)


def _age(segment: Segment) -> tuple[str, str, int]:
    return segment.path.parent.name, segment.producer, segment.first


def _promoted(path: Path) -> dict[str, str] | None:
    """Read which attributes the newest file has as columns, so that the next one has them too."""
    import pyarrow.parquet

    fields = pyarrow.parquet.read_schema(path)
    found = {field.name: _TYPES.get(str(field.type)) for field in fields}
    return {name: kind for name, kind in found.items() if kind and name not in COLUMNS} or None
