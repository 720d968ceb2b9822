"""Records as batches again, with the identities that they were logged under.

They come from a directory of log files, or from dead letters.  What a line held comes back whole;
its bytes may be others, as a Parquet file keeps values and not lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from logbatch.dataset.footers import FIXED
from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.snapshot import Snapshot, without
from logbatch.dataset.source import TRIES, Source
from logbatch.dataset.tables import read_rest
from logbatch.epoch import to_text
from logbatch.identity import is_producer
from logbatch.storage.columns import FIELDS
from logbatch.storage.line import Line
from logbatch.transports.base import Batch

MOST_BYTES = 1 << 20  # of the lines of a batch; a single longer one goes alone

_COLUMNS = (*FIELDS, "producer", "sequence")


class _Letter(msgspec.Struct):
    producer: str
    sequence: int
    event: msgspec.Raw


_decode_letter = msgspec.json.Decoder(_Letter).decode


def batches_of_directory(directory: Path, size: int) -> Iterator[Batch]:
    """Read all records of a directory, file after file, journals last.

    Args:
        directory: Where they are.
        size: The most events that one batch holds; it also ends at `MOST_BYTES`.

    Raises:
        DatasetError: The directory cannot be read.
    """
    for table in _tables(Source(directory.absolute())):
        yield from _join(lines_of_table(table), size)


def _tables(source: Source) -> Iterator[pa.Table]:
    """Read what is there now, in tables that fit into memory, each record once."""
    schema = pa.schema([FIXED.field(name) for name in _COLUMNS])
    left, snapshot = TRIES, source.snapshot()
    wanted = snapshot.covered
    while True:
        try:
            for each in _singly(snapshot.within(wanted)):
                yield from read_rest(source, each, schema)
                wanted = without(wanted, each)
            return
        except (Vanished, Damaged) as error:
            left = source.note(error, left)
            snapshot = source.snapshot()


def _singly(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Divide a snapshot into its files and journals."""
    for part in snapshot.parts:
        yield snapshot._replace(parts=[part], tails=[])
    for tail in snapshot.tails:
        yield snapshot._replace(parts=[], tails=[tail])


def lines_of_table(table: pa.Table) -> Iterator[tuple[str, int, bytes]]:
    """Yield the producer, the sequence and the line of each row."""
    columns = [_values(table, name) for name in FIELDS]
    identities = zip(_values(table, "producer"), _values(table, "sequence"), strict=True)
    for (producer, sequence), values in zip(identities, zip(*columns, strict=True), strict=True):
        yield producer, sequence, msgspec.json.encode(Line(*values)) + b"\n"


def _values(table: pa.Table, name: str) -> list[Any]:
    column: Any = table.column(name)
    if name == "timestamp":
        return list(map(to_text, column.cast("int64").to_pylist()))
    values: list[Any] = column.to_pylist()
    return [msgspec.Raw(text.encode()) for text in values] if name == "attributes" else values


def batches_of_letters(
    path: Path, size: int, on_bad: Callable[[str], object] = lambda text: None
) -> Iterator[Batch]:
    """Read the events of a file of dead letters.

    Args:
        path: The file.
        size: The most events that one batch holds; it also ends at `MOST_BYTES`.
        on_bad: Told of a line that is no dead letter, such as one that a crash cut off.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        yield from _join(_lines_of_letters(path, file, on_bad), size)


def _lines_of_letters(
    path: Path, lines: Iterable[bytes], on_bad: Callable[[str], object]
) -> Iterator[tuple[str, int, bytes]]:
    for number, line in enumerate(lines, 1):
        letter = _read_letter(line)
        if letter is not None:
            yield letter.producer, letter.sequence, bytes(letter.event) + b"\n"
        elif line.strip():
            on_bad(f"{path}, line {number}: this is not a dead letter")


def _read_letter(line: bytes) -> _Letter | None:
    try:
        letter = _decode_letter(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return letter if is_producer(letter.producer) and letter.sequence >= 0 else None


def _join(events: Iterable[tuple[str, int, bytes]], size: int) -> Iterator[Batch]:
    """Gather events that follow one another into batches, of a megabyte at the most."""
    lines: list[bytes] = []
    producer, first, room = "", 0, 0
    for whose, sequence, line in events:
        follows = (whose, sequence) == (producer, first + len(lines))
        if lines and not (follows and len(lines) < size and len(line) <= room):
            yield Batch(producer, first, first + len(lines) - 1, b"".join(lines))
            lines = []
        if not lines:
            producer, first, room = whose, sequence, MOST_BYTES
        lines.append(line)
        room -= len(line)
    if lines:
        yield Batch(producer, first, first + len(lines) - 1, b"".join(lines))
