"""Which records a compacted file holds: a file of many producers says so in itself.

The name of such a file, `compacted-<ulid>.parquet`, tells nothing of what is in it.  Its footer
does, under the key `logbatch`, so that nothing beside the file can disagree with it:

    {"coverage": {"<producer>": [[first, last], …], …}, "retired": 0,
     "cluster_by": ["session_id"], "promote": "auto"}

Each record of these ranges is in the file or, where `retired` is more than 0, was taken out of it
on purpose: so many were.  The rest says how the file was made, so that who would make it again like
that sees that there is nothing to do.  A file never changes, and its name is never given again.

A file of one producer that was merged of others has such an entry as well, with the ranges of those
under `merged`: what still stands beside it of these is left over, and was not written twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from logbatch import forks
from logbatch.descriptors import Identity, identify
from logbatch.identity import LAST_SEQUENCE, Ranges, is_producer, new_producer

KEY = b"logbatch"
"""The key of a footer's metadata under which the coverage stands."""

_REMEMBERED = 256  # files whose coverage is kept in memory


class _Written(msgspec.Struct):
    coverage: dict[str, list[tuple[int, int]]]
    retired: int = 0
    merged: list[tuple[int, int]] = []
    cluster_by: tuple[str, ...] = ()
    promote: str = ""


class Coverage(NamedTuple):
    """What a compacted file accounts for.

    Attributes:
        ranges: Producer -> its records.
        retired: How many of them are not in the file any more, on purpose.
        merged: The ranges of the files that it was merged of, where all are of one producer.
        cluster_by: What its records are ordered by, before their time.
        promote: By which rule it was given typed columns.
    """

    ranges: Mapping[str, Ranges]
    retired: int = 0
    merged: tuple[tuple[int, int], ...] = ()
    cluster_by: tuple[str, ...] = ()
    promote: str = ""


class NoCoverage(ValueError):
    """A file with the name of a compacted one says nothing of what it holds."""


def compacted_name() -> str:
    """Make the name of a new compacted file."""
    return f"compacted-{new_producer()}.parquet"


def encode_coverage(coverage: Coverage) -> bytes:
    """Return what stands in the footer of a file, under `KEY`."""
    ranges = {producer: list(found) for producer, found in sorted(coverage.ranges.items())}
    retired, merged, cluster_by, promote = coverage[1:]
    return msgspec.json.encode(_Written(ranges, retired, list(merged), cluster_by, promote))


def decode_coverage(metadata: Mapping[bytes, bytes] | None) -> Coverage:
    """Read what stands in the metadata of a footer.

    Raises:
        NoCoverage: Nothing of ours does.
    """
    try:
        written = msgspec.json.decode((metadata or {})[KEY], type=_Written)
    except (KeyError, msgspec.MsgspecError, ValueError) as error:
        raise NoCoverage("it does not say which records it holds") from error
    for producer, spans in written.coverage.items():
        if not (is_producer(producer) and all(map(_is_possible, spans))):
            raise NoCoverage("it lists records that no process can have logged")
    ranges = {producer: Ranges(spans) for producer, spans in written.coverage.items()}
    _, retired, merged, cluster_by, promote = msgspec.structs.astuple(written)
    return Coverage(ranges, retired, tuple(merged), cluster_by, promote)


def _is_possible(span: tuple[int, int]) -> bool:
    return 0 <= span[0] <= span[1] <= LAST_SEQUENCE


def read_coverage(path: Path) -> Coverage:
    """Return what the footer of a compacted or merged file says.

    Raises:
        NoCoverage: The file is damaged, or does not say it.
        OSError: It cannot be read.
    """
    return _read(path, identify(os.stat(path)))


def covered_by(path: Path) -> Mapping[str, Ranges]:
    """Return the records of each producer in a compacted file; a damaged one holds none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return read_coverage(path).ranges
    except NoCoverage:
        return {}


@lru_cache(maxsize=_REMEMBERED)
def _read(path: Path, _identity: Identity) -> Coverage:
    with forks.holding_off():  # it may be the first thing that a flusher needs of Arrow
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        metadata: Any = pq.read_metadata(path).metadata
    except pa.ArrowException as error:
        raise NoCoverage(str(error)) from error
    return decode_coverage(metadata)
