"""The plan of what is merged: files stay few, and no record is rewritten often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.storage.tiers import FAN, File, Limits, may_grow, plan, tier

LIMITS = Limits(rows=100_000, size=1 << 40)


class Disk:
    """Files of one producer, merged as planned, and how often each record was rewritten."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.files: list[File] = []
        self.written = 0
        self.rewritten: dict[File, int] = {}  # how often that record of a file that was so most
        self.most = 0

    def publish(self, rows: int, *, gap: int = 0) -> None:
        """Add a file behind the others."""
        first = self.files[-1].last + 1 + gap if self.files else 0
        file = File(first, first + rows - 1, 20 * rows)
        self.files.append(file)
        self.rewritten[file] = 0
        self.written += rows

    def merge(self, *, closed: bool = False, idle: bool = False) -> None:
        """Do all that is planned."""
        while chosen := plan(self.files, self.limits, closed=closed, idle=idle):
            assert len(chosen) > 1
            for one, other in pairwise(chosen):
                assert one.last + 1 == other.first
            assert not any(map(self.limits.is_full, chosen))
            at = self.files.index(chosen[0])
            assert self.files[at : at + len(chosen)] == chosen
            merged = File(chosen[0].first, chosen[-1].last, sum(file.size for file in chosen))
            assert merged.rows <= self.limits.rows
            assert merged.size <= self.limits.size
            self.files[at : at + len(chosen)] = [merged]
            self.rewritten[merged] = 1 + max(self.rewritten.pop(file) for file in chosen)
        self.most = max(self.most, len(self.files))

    @property
    def amplification(self) -> int:
        """How often the record was rewritten that was so most often."""
        return max(self.rewritten.values())


def run(sizes: Iterable[int], limits: Limits = LIMITS, *, idle: bool = False) -> Disk:
    """Publish files of so many rows, and merge after each."""
    disk = Disk(limits)
    for rows in sizes:
        disk.publish(rows)
        disk.merge(idle=idle)
    return disk


def bound(disk: Disk) -> int:
    """How many files there may be: so many of each tier, those that are stuck, and full ones."""
    tiers = tier(min(disk.written, disk.limits.rows)) + 1
    return FAN * tiers + 2 * FAN + 4 * disk.written // disk.limits.rows


sizes = st.lists(
    st.integers(0, 4).flatmap(lambda power: st.integers(1, 10**power)), min_size=1, max_size=200
)


@given(sizes)
def test_files_are_few_whatever_comes(rows: Sequence[int]) -> None:
    """Their number grows with the logarithm of the records, and so do rewrites."""
    disk = run(rows)
    assert disk.most <= bound(disk)
    assert disk.amplification <= 2 * (tier(disk.written) + 1)


@given(sizes)
def test_idle_merges_are_bounded_too(rows: Sequence[int]) -> None:
    """Also where there is a pause after each file, a record is not rewritten again and again."""
    disk = run(rows, idle=True)
    assert disk.most <= bound(disk)
    assert disk.amplification <= 2 * (tier(disk.written) + 1) + math.log2(FAN**3)


@given(sizes)
def test_in_the_end_there_is_one(rows: Sequence[int]) -> None:
    """When no more will come, what follows one another becomes one file, as far as one may hold."""
    disk = run(rows)
    disk.merge(closed=True)
    assert len(disk.files) <= 1 + 2 * len([f for f in disk.files if LIMITS.is_full(f)])
    assert sum(file.rows for file in disk.files) == sum(rows)


@given(st.lists(st.tuples(st.integers(1, 500), st.sampled_from([0, 0, 0, 5])), min_size=1))
def test_nothing_is_merged_over_a_gap(given: Sequence[tuple[int, int]]) -> None:
    """A name tells a range, so what is missing in between stays missing."""
    disk = Disk()
    for rows, gap in given:
        disk.publish(rows, gap=gap)
        disk.merge()
    disk.merge(closed=True)
    assert sum(file.rows for file in disk.files) == disk.written
    for one, other in pairwise(disk.files):
        assert one.last + 1 < other.first or LIMITS.is_full(one) or LIMITS.is_full(other)


def test_one_record_at_a_time() -> None:
    """Files become as few as a number has digits, and a record is rewritten once for each."""
    disk = run([1] * 8_640, Limits())
    assert disk.most <= 9 * 4
    assert len(disk.files) == 8 + 6 + 4
    assert disk.amplification == 3


def test_an_error_after_each_batch() -> None:
    """Files of one record between larger ones do not pile up."""
    disk = run([400, 1] * 2_000, Limits())
    assert disk.most <= 40
    assert disk.amplification <= 5


def test_a_burst_of_errors_is_merged_when_it_is_over() -> None:
    """As soon as nothing comes any more, small files become few."""
    disk = run([37, 2, 1, 5, 4, 1, 1, 1])
    assert [37, 12, 1, 1, 1] == [file.rows for file in disk.files]
    disk.merge(idle=True)
    assert [37, 12, 3] == [file.rows for file in disk.files]


def test_large_ones_are_left_alone() -> None:
    """A file with half of what one may hold is not rewritten, by rows and by bytes."""
    limits = Limits(rows=100, size=1000)
    for file in (File(0, 49, 10), File(0, 9, 500)):
        other = File(file.last + 1, file.last + 1, 1)
        assert plan([file, other], limits, closed=True, idle=True) == []
        assert may_grow([file, other], limits) == [other]
        assert may_grow([other._replace(first=-1, last=-1), file], limits) == []


@given(sizes)
def test_what_cannot_grow_is_done_with(rows: Sequence[int]) -> None:
    """What comes before a full file, or a gap, is merged at once and need not be kept in mind."""
    disk = run(rows)
    kept = may_grow(disk.files, disk.limits)
    before = disk.files[: len(disk.files) - len(kept)]
    assert disk.files[len(before) :] == kept
    assert plan(before, disk.limits, closed=True) == []


@pytest.mark.parametrize(("rows", "expected"), [(1, 0), (9, 0), (10, 1), (99, 1), (10**6, 6)])
def test_tiers(rows: int, expected: int) -> None:
    """A tier is the number of digits but one."""
    assert expected == tier(rows)


def test_the_worst_order() -> None:
    """Where each file is much larger than all before it, and small ones come in between."""
    ruler = [4 ** ((n & -n).bit_length() - 1) for n in range(1, 512)]
    disk = run(ruler)
    assert disk.most <= bound(disk)
    assert disk.amplification <= 2 * (tier(disk.written) + 1)
