"""Which records a file really holds, read from the file and not from what it says of itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.footers import FIXED, footer
from logbatch.dataset.listing import find_runs
from logbatch.dataset.pieces import blocks, read
from logbatch.dataset.snapshot import Part
from logbatch.storage.arrays import find_true, make_array, make_scalar

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

Runs = list[tuple[int, int]]
"""Sequences `(first, last)`; one that is there twice is in two runs."""

_IDENTITY = pa.schema([FIXED.field("producer"), FIXED.field("sequence")])
_ORDER: Any = [("producer", "ascending"), ("sequence", "ascending")]


def read_runs(part: Part) -> dict[str, Runs]:
    """Find which records are in a file, by producer.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    if part.segment.ext != "parquet":
        producer = part.segment.producer
        runs = [run for block in blocks(part) for run in find_runs(block, producer)]
        return {producer: _join([(run.first, run.last) for run in runs])}
    found: dict[str, Runs] = {}
    for piece in footer(part.path).pieces:
        table, _ = read(part, piece, _IDENTITY)
        for producer, first, last in _runs_of_table(table):
            found.setdefault(producer, []).append((first, last))
    return {producer: _join(runs) for producer, runs in found.items()}


def _runs_of_table(table: pa.Table) -> list[tuple[str, int, int]]:
    """Find the runs in rows of any order, by columns and not row by row."""
    table = table.filter(pc.is_valid(table["sequence"])).filter(pc.is_valid(table["producer"]))
    ordered = table.sort_by(_ORDER).combine_chunks()
    rows = len(ordered)
    if not rows:
        return []
    names, numbers = ordered["producer"], ordered["sequence"]
    follows = pc.and_(
        pc.equal(names.slice(1), names.slice(0, rows - 1)),
        pc.equal(numbers.slice(1), pc.add(numbers.slice(0, rows - 1), make_scalar(1, "int64"))),
    )
    breaks = find_true(pc.invert(follows)).to_pylist()
    starts = make_array([0, *(at + 1 for at in breaks)], "int64")
    ends = make_array([*breaks, rows - 1], "int64")
    whose: list[Any] = names.take(starts).to_pylist()
    firsts: list[Any] = numbers.take(starts).to_pylist()
    lasts: list[Any] = numbers.take(ends).to_pylist()
    return list(zip(whose, firsts, lasts, strict=True))


def _join(runs: Runs) -> Runs:
    """Put runs in order, and join those that follow one another."""
    joined: Runs = []
    for first, last in sorted(runs):
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
