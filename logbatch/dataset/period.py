"""A range of time, for DuckDB and for Arrow."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from logbatch import epoch
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_time
from logbatch.storage.arrays import make_scalar

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together


class Range(NamedTuple):
    """A range of time: microseconds since 1970, from `start` on and before `stop`."""

    start: float = -math.inf
    stop: float = math.inf

    @classmethod
    def build(cls, start: int | None, end: int | None) -> Range:
        """Make one of which either end may be missing."""
        return cls(-math.inf if start is None else start, math.inf if end is None else end)

    @classmethod
    def of_filter(cls, where: Filter) -> Range:
        """Return that outside of which nothing matches."""
        first, last = where.period
        return cls.build(first, None if last is None else last + 1)

    @property
    def is_limited(self) -> bool:
        """Whether there are times that are not in it."""
        return self != Range()

    @property
    def is_finite(self) -> bool:
        """Whether it has both ends."""
        return math.isfinite(self.start) and math.isfinite(self.stop)

    def within(self, other: Range) -> Range:
        """Return what is in both."""
        return Range(max(self.start, other.start), min(self.stop, other.stop))

    def condition(self) -> str:
        """Return in SQL that a row is in it."""
        tests = []
        if self.start > epoch.FIRST:
            late = self.start > epoch.LAST
            tests.append("FALSE" if late else f"timestamp >= {quoted_time(int(self.start))}")
        if self.stop <= epoch.LAST:
            early = self.stop <= epoch.FIRST
            tests.append("FALSE" if early else f"timestamp < {quoted_time(int(self.stop))}")
        return " AND ".join(tests) or "TRUE"

    def apply(self, table: pa.Table) -> pa.Table:
        """Keep the rows of a table that are in it."""
        times = table.column("timestamp").cast(pa.int64())
        if self.start > epoch.FIRST:
            first = make_scalar(int(min(self.start, epoch.LAST + 1)), "int64")
            table = table.filter(pc.greater_equal(times, first))
            times = table.column("timestamp").cast(pa.int64())
        if self.stop <= epoch.LAST:
            stop = make_scalar(int(max(self.stop, epoch.FIRST)), "int64")
            table = table.filter(pc.less(times, stop))
        return table
