"""Which files are to blame where DuckDB could not answer: one is gone, or damaged, or another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.snapshot import Part
from logbatch.dataset.source import Source
from logbatch.descriptors import Identity, identify


def blame(source: Source, error: Exception, parts: Sequence[Part]) -> None:
    """Find the files because of which a query failed; nothing, where it was none of them.

    Raises:
        Vanished, Damaged: There are such.
    """
    text = str(error)
    named = [part for part in parts if str(part.path) in text]
    for part in named or parts:
        if not os.path.exists(part.path):
            raise Vanished(str(part.path)) from error
    if not _is_of_files(error):
        return
    _note_damaged(source, named or parts)
    if named:  # it is there again, or has other columns than those that were looked at
        source.unlike = True
        raise Vanished(str(named[0].path)) from error


def _is_of_files(error: Exception) -> bool:
    """Return whether a file may be what cannot be read, and not the query what is too much."""
    import duckdb

    return not isinstance(error, duckdb.InterruptException) and not is_too_much(error)


def is_too_much(error: Exception) -> bool:
    """Return whether a query needs more memory than it may take."""
    import duckdb

    return isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error)


def _note_damaged(source: Source, parts: Sequence[Part]) -> None:
    """Try files one by one, first their ends, and take note of all that are damaged."""
    for look in (source.footer, _read_through):
        damaged: Damaged | None = None
        for part in parts:
            try:
                look(part)
            except Damaged as error:
                source.note(error, 1)
                damaged = error
        if damaged is not None:
            raise damaged


def _read_through(part: Part) -> None:
    """Read a whole file.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    import duckdb

    before = _identity(part.path)
    with duckdb.connect(":memory:") as connection:
        try:
            connection.sql(
                f"SELECT max(hash(COLUMNS(*))) FROM read_parquet([{quoted_text(str(part.path))}])"
            ).fetchall()
        except (duckdb.Error, OSError) as error:
            if before is None or before != _identity(part.path):  # perhaps it is there again
                raise Vanished(str(part.path)) from error
            raise Damaged(part.path, str(error).partition("\n")[0]) from error


def _identity(path: Path) -> Identity | None:
    """Return what tells a file from another that has its name later; None if it is not there."""
    try:
        return identify(os.stat(path))
    except FileNotFoundError:
        return None
