"""Which fields of a filter no record has: most likely they are misspelt.

The newest files are looked at first, until each field was met once, or the time is up.  Whether a
field is among the attributes of a record is asked only where its name is found in their text.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.filter.comparisons import as_object
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.masks import may_hold
from logbatch.dataset.filter.tree import terms_of
from logbatch.dataset.footers import FIXED, Piece
from logbatch.dataset.pieces import guess_pieces, read, read_tail, written_at
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_SAMPLE = 100  # records of a piece of a file whose fields are counted
_NAMES = 2_000  # fields that are remembered, of which one may have been meant
_DEPTH = 20  # objects inside one another that are looked into
_ATTRIBUTES = pa.schema([FIXED.field("attributes")])


class UnknownField(NamedTuple):
    """A field that no record has, as far as was looked; as text it is a sentence that says so.

    Attributes:
        name: The field, as it is written in the filter.
        close: The field that may have been meant; None if none is like it.
        records: How many records were looked at.
        all: Whether these are all there are.
    """

    name: str
    close: str | None
    records: int
    all: bool

    def __str__(self) -> str:
        who = "no record" if self.all else f"none of the {self.records:,} records looked at"
        hint = f"; did you mean {self.close!r}?" if self.close else ""
        return f"{who} has a field {self.name!r}{hint}"


def unknown_fields(source: Source, where: Filter, timeout: float = 1.0) -> list[UnknownField]:
    """Return the fields of a filter that no record has; see `Dataset.unknown_fields`."""
    wanted = {term.path: term.name for term in terms_of(where.root) if term.path is not None}
    if not wanted:
        return []
    deadline = time.monotonic() + timeout
    return source.retry(lambda snapshot: _look(source, snapshot, wanted, deadline))


def _look(
    source: Source, snapshot: Snapshot, wanted: Mapping[str, str], deadline: float
) -> list[UnknownField]:
    missing = list(wanted)
    known: Counter[str] = Counter()
    records, whole = 0, True
    for column in _newest_first(source, snapshot):
        records += len(column)
        missing = [path for path in missing if not _is_in(path, column)]
        if not missing:
            return []
        if len(known) < _NAMES:
            texts = column[:_SAMPLE].to_pylist()
            known.update(chain.from_iterable(map(_paths, map(as_object, texts))))
        if time.monotonic() > deadline:
            whole = False
            break
    if not records:
        return []
    return [UnknownField(wanted[path], _close(path, known), records, whole) for path in missing]


def _newest_first(source: Source, snapshot: Snapshot) -> Iterator[Any]:
    """Yield the attributes of all records, file by file.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    for tail in snapshot.tails:
        yield read_tail(tail, _ATTRIBUTES).column(0)
    written = [(written_at(part), part) for part in snapshot.parts]
    for at, part in sorted(written, key=lambda each: each[0], reverse=True):
        for piece in reversed(_pieces(source, part, at)):
            yield read(part, piece, _ATTRIBUTES)[0].column(0)


def _pieces(source: Source, part: Part, written: int) -> tuple[Piece, ...]:
    if part.segment.ext == "parquet":
        return source.footer(part).pieces
    return guess_pieces(part, written)


def _is_in(path: str, column: Any) -> bool:
    for chunk in column.filter(may_hold(column, path)).chunks:
        if any(path in _paths(as_object(text)) for text in chunk.to_pylist()):
            return True
    return False


def _paths(attributes: Mapping[str, Any], depth: int = _DEPTH) -> Iterator[str]:
    """Yield the names by which a filter knows what is in the attributes."""
    for key, value in attributes.items():
        yield key
        if isinstance(value, dict) and depth:
            for path in _paths(value, depth - 1):
                yield f"{key}.{path}"


def _close(name: str, known: Counter[str]) -> str | None:
    """Return the field of which a name is the last part, or else the one most like it."""
    names = [*COLUMNS, *(path for path, _ in known.most_common(_NAMES))]
    inside = [path for path in names if path.endswith(f".{name}")]
    if inside:
        return inside[0]
    spelt = {path.lower(): path for path in reversed(names)}
    found = get_close_matches(name.lower(), spelt, 1)
    return spelt[found[0]] if found else None
