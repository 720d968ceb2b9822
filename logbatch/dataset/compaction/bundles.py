"""Many small files, and what DuckDB cannot read as it is, become a few temporary Parquet files.

So DuckDB never has more than some hundred files open, and the memory that a compaction takes does
not depend on how many files there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.compaction.inputs import Input
from logbatch.dataset.compaction.sorter import Sorter
from logbatch.dataset.footers import FIXED, reading
from logbatch.dataset.listing import cut_identity, find_runs
from logbatch.dataset.pieces import blocks, conform
from logbatch.dataset.snapshot import Part, Spans
from logbatch.identity import Ranges
from logbatch.storage.arrays import make_scalar
from logbatch.storage.arrow import table_from_lines

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

SMALL = 1 << 20  # bytes from which on a file is read where it is
_MANY = 300  # small files that are joined at a time
_MANY_BYTES = 64 << 20  # of them, together
_ROWS = 100_000  # of a row group of a temporary file

Tell = Callable[[int, int, int], object]
"""Is told how many files, bytes and rows were read."""


class Bundles:
    """Makes temporary files of what is to be compacted.

    Args:
        sorter: Joins small files.
        directory: Where temporary files are made.
        tell: Is told what was read.
    """

    def __init__(self, sorter: Sorter, directory: Path, tell: Tell) -> None:
        self._sorter = sorter
        self._directory = directory
        self._tell = tell
        self._made = 0

    def prepare(self, inputs: Sequence[Input]) -> list[Path]:
        """Return files that hold what is taken of all inputs, and nothing else.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        used = [each for each in inputs if each.part.taken]
        odd = [each for each in used if not _is_plain(each)]
        small = [each for each in used if _is_plain(each) and each.size < SMALL]
        files = []
        for each in used:
            if _is_plain(each) and each.size >= SMALL:
                files.append(each.path)
                self._tell(1, each.size, each.rows)
        files += [self._join(group) for group in _group(small)]
        if odd:
            files.append(self._convert(odd))
        return files

    def _next(self) -> Path:
        """Name a temporary file; no engine's pattern matches it."""
        self._made += 1
        return self._directory / f"bundle-{self._made}.tmp"

    def _join(self, group: Sequence[Input]) -> Path:
        target = self._next()
        self._sorter.join([each.path for each in group], target)
        size, rows = sum(each.size for each in group), sum(each.rows for each in group)
        self._tell(len(group), size, rows)
        return target

    def _convert(self, odd: Sequence[Input]) -> Path:
        target = self._next()
        with pq.ParquetWriter(target, FIXED, compression="zstd", store_schema=False) as writer:
            waiting: list[pa.Table] = []
            for each in odd:
                for table in _tables(each.part):
                    waiting.append(table)
                    if sum(map(len, waiting)) >= _ROWS:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting.clear()
                self._tell(1, each.size, each.rows)
            writer.write_table(pa.concat_tables([FIXED.empty_table(), *waiting]))
        return target


def _is_plain(each: Input) -> bool:
    return each.part.whole and each.part.segment.ext == "parquet"


def _group(small: Sequence[Input]) -> Iterator[list[Input]]:
    group: list[Input] = []
    size = 0
    for each in small:
        if group and (len(group) >= _MANY or size + each.size > _MANY_BYTES):
            yield group
            group, size = [], 0
        group.append(each)
        size += each.size
    if group:
        yield group


def _tables(part: Part) -> Iterator[pa.Table]:
    """Yield what is taken of a file that is not taken whole, or is none of Parquet."""
    if part.segment.ext != "parquet":
        yield from _tables_of_lines(part)
        return
    with reading(part.path), pq.ParquetFile(part.path) as file:
        for group in range(file.num_row_groups):
            table = conform(file.read_row_group(group, columns=FIXED.names), FIXED)
            masks = [_is_among(table, producer, spans) for producer, spans in part.taken]
            yield table.filter(functools.reduce(pc.or_, masks))


def _tables_of_lines(part: Part) -> Iterator[pa.Table]:
    producer = part.segment.producer
    left = Ranges(part.spans)
    for block in blocks(part):
        for run in find_runs(block, producer):
            lines = cut_identity(block[run.start : run.end], producer)
            table = conform(table_from_lines(lines, producer, run.first), FIXED)
            wanted = _common(left, run.first, run.last)
            yield table.filter(_is_among(table, producer, wanted))


def _common(ranges: Ranges, first: int, last: int) -> Spans:
    return tuple(
        (max(low, first), min(high, last)) for low, high in ranges if low <= last and high >= first
    )


def _is_among(table: pa.Table, producer: str, spans: Spans) -> Any:
    sequences = table.column("sequence")
    found: Any = pa.chunked_array([pa.repeat(make_scalar(False, "bool"), table.num_rows)])
    for first, last in spans:
        low = pc.greater_equal(sequences, make_scalar(first, "int64"))
        found = pc.or_(found, pc.and_(low, pc.less_equal(sequences, make_scalar(last, "int64"))))
    return pc.and_(found, pc.equal(table.column("producer"), make_scalar(producer, "string")))
