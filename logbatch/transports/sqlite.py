"""A SQLite file: each record a row of the table `events`, each batch a transaction.

    <path>                       the file, in WAL mode
    <path>-wal, <path>-shm       beside it while somebody has it open, or died meanwhile
    .<name>.journal/             beside it: the journals of those that log to it
    <path>.damaged-<time>        a damaged file that was set aside

`send` returns when the transaction is on the disk.  Any number of processes write to one file, in
turns, and others read meanwhile.  A file that is locked, and a disk that is full, read-only or
away, is a `TemporaryError`; the batch stays in the journal.  A damaged file is set aside, with all
that is in it, and a new one is begun.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from logbatch.gil import Yielder
from logbatch.identity import Ranges
from logbatch.storage.events import find_ranges, insert, prepare
from logbatch.storage.sqlite import PATIENCE, writing
from logbatch.transports.base import HIDDEN, Batch
from logbatch.transports.local import LocalTransport
from logbatch.transports.retaining import read_policy
from logbatch.transports.trimming import Trimming


class SqliteTransport(LocalTransport):
    """Writes each batch as rows of a table.

    Args:
        path: The file; `~` is the home directory, a relative one is resolved now.  It is made by
            the first batch.
        retain_age: How old records may become, `"14d"`; older ones are removed.  None keeps them.
        retain_bytes: What the file may take of the disk, `"5GB"`; the oldest records are removed.

    Attributes:
        path: The file, absolute.

    Raises:
        ValueError: An option is out of range.
    """

    kind = "sqlite"
    names = "file"
    writes_files = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "flush_interval": 1.0,
        "max_batch_size": 20_000,
        "max_batch_bytes": 8 << 20,
    }

    def __init__(
        self,
        path: str | os.PathLike[str],
        retain_age: str | float | None = None,
        retain_bytes: str | int | None = None,
    ) -> None:
        if path == ":memory:":
            raise ValueError(
                "path=':memory:' must name a file: what is in memory ends with a batch"
            )
        super().__init__(path)
        if not self.path.name:
            raise ValueError(f"path={path!r} must name a file")
        self.journal_directory = self.path.with_name(f".{self.path.name}{HIDDEN}")
        policy = read_policy(retain_age, retain_bytes)
        self._trimming = Trimming(self.path, policy) if policy.max_age or policy.max_bytes else None

    def send(self, batch: Batch) -> None:
        """Insert the records of the batch that are not there yet, in one transaction."""
        lines = batch.lines.split(b"\n")
        lines.pop()  # what is behind the last newline
        if len(lines) != len(batch):
            raise ValueError(f"batch {batch.key} holds {len(lines)} lines")
        if not lines:
            return
        with writing(self.path, patience=self._wait()) as connection:
            prepare(connection)
            pause = Yielder().let_others_run
            insert(connection, lines, batch.producer, batch.first, pause)

    def published(self, producer: str) -> Ranges:
        """Return which of a producer's records are in the table.

        Raises:
            TemporaryError: The file cannot be read now.
        """
        if not os.path.lexists(self.path):
            return Ranges()
        # One that only reads cannot take up what a process that was killed left beside the file.
        with writing(self.path, patience=self._wait()) as connection:
            prepare(connection)
            return find_ranges(connection, producer)

    def retain(self) -> float:
        return float("inf") if self._trimming is None else self._trimming.step()

    def after_fork(self) -> None:
        if self._trimming is not None:
            self._trimming.forget()

    def _wait(self) -> float:
        """Return how long others may be waited for."""
        return PATIENCE if self.patience is None else min(PATIENCE, self.patience)
