"""`logbatch replay`: send records again, with the identities that they have."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import click

from logbatch.batching.backoff import Backoff
from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.cli.destination import build_transport, sending_options
from logbatch.cli.directory import A_PATH, refuse_sqlite
from logbatch.cli.progress import Progress
from logbatch.cli.sizes import counted
from logbatch.dataset.batches import batches_of_directory, batches_of_letters
from logbatch.dataset.listing import list_directory
from logbatch.errors import DatasetError, TemporaryError
from logbatch.identity import Ranges
from logbatch.storage.segments import list_folders
from logbatch.transports import VARIABLE
from logbatch.transports.base import BaseTransport, Batch
from logbatch.trouble import Trouble

_SIZE = 5_000  # records of a batch
_BACKOFF = Backoff()


@click.command("replay")
@click.argument("path", type=A_PATH)
@click.option(
    "--to",
    "url",
    metavar="URL",
    help=f"Where to send: https://…, or parquet:DIR and the like.  [default: {VARIABLE}]",
)
@sending_options
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to retry while nothing is accepted.",
)
def command(
    path: Path, url: str | None, token: str | None, headers: tuple[str, ...], patience: float
) -> None:
    """Send dead letters, or a whole directory of log files, again.

    PATH is a file of dead letters (*.jsonl in the directory `rejected`), a directory of such
    files, or a directory of log files.  Records keep their identities, so a destination that knows
    them, as `logbatch serve` and a directory do, stores each once, however often this is run.
    What is sent is not removed here.

    \b
    Examples:
      logbatch replay rejected --to https://logs.example.org/v1/logs
      logbatch replay logs --to https://logs.example.org/ --token env:TOKEN
      logbatch replay rejected --to parquet:rescued
    """
    bad: list[str] = []
    batches = _read(path, bad)
    if url is None and not os.environ.get(VARIABLE):
        raise click.UsageError(f"where to send? Use --to URL, or set {VARIABLE}")
    replay = Replay(build_transport(url, token, headers), patience)
    try:
        with Progress(lambda: f"sending: {replay.summary()}"):
            for batch in batches:
                replay.send(batch)
    finally:
        replay.transport.close()
    click.echo(replay.summary())
    _tell_failures(replay.rejected, bad)


def _tell_failures(rejected: int, bad: list[str]) -> None:
    told = []
    if rejected:
        told.append(f"{counted(rejected, 'record')} rejected again; see the reason above")
    if bad:
        told.append(f"{counted(len(bad), 'line')} left out, the first is {bad[0]}")
    if told:
        raise click.ClickException("; ".join(told))


def _read(path: Path, bad: list[str]) -> Iterator[Batch]:
    """Find out what is there, and read it; lines that cannot be read are listed in `bad`."""
    if not path.is_dir():
        refuse_sqlite(path)
        return batches_of_letters(path, _SIZE, bad.append)
    list_directory(path)  # says what is wrong with it, where something is
    if list_folders(path):
        return batches_of_directory(path, _SIZE)
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise DatasetError(f"{path} holds neither log files nor dead letters")
    return (batch for file in files for batch in batches_of_letters(file, _SIZE, bad.append))


class Replay:
    """Sends batches one after the other, and retries where that fails.

    Args:
        transport: Where to.
        patience: Seconds after which to give up while nothing is accepted.
    """

    def __init__(self, transport: BaseTransport, patience: float) -> None:
        self.transport = transport
        self.rejected = 0
        self._patience = patience
        self._counters = Counters()
        self._delivery = Delivery(
            transport, None, Trouble(), self._counters, unkept="kept where it was read from"
        )

    def send(self, batch: Batch) -> None:
        """Send a batch to its end.

        Raises:
            ClickException: The destination accepts nothing.
        """
        done = Ranges()
        failures = 0
        since = time.monotonic()

        def settle(last: int, rejected: int) -> None:
            nonlocal failures, since
            done.add(batch.first, last)
            self.rejected += rejected
            failures, since = 0, time.monotonic()

        while True:
            try:
                return self._delivery.deliver(batch, done, settle)
            except TemporaryError as error:
                failures += 1
                wait = _BACKOFF.delay(failures, random.random(), error.retry_after)
                if time.monotonic() + wait - since > self._patience:
                    raise click.ClickException(
                        f"{error}; {self.summary()}.  Run it again later: a destination that keeps"
                        " identities knows what it has"
                    ) from None
                time.sleep(wait)

    def summary(self) -> str:
        """Return what was done so far."""
        sent = counted(self._counters.events, "record")
        return f"{sent} accepted in {counted(self._counters.batches, 'batch')}"
