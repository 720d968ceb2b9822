"""A file of many producers is read like any other: each record once, whatever overlaps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import DAY, A, B, make_batch, publish, write_compacted
from which import all_of

from logbatch import Dataset
from logbatch.dataset.verify import verify
from logbatch.errors import DatasetWarning
from logbatch.identity import Ranges
from logbatch.storage.coverage import Coverage
from logbatch.transports import build

Which = list[tuple[str, int]]


def found(rows: Iterable[dict[str, Any]]) -> Which:
    """Return which records are among rows, in order."""
    return sorted((row["producer"], row["sequence"]) for row in rows)


def read_in_every_way(directory: Path) -> Which:
    """Return what is in a directory; every way to read it must give the same."""
    dataset = Dataset(directory)
    rows = found(dataset.rows())
    assert rows == found(dataset.to_table(columns=["producer", "sequence"]).to_pylist())
    assert rows == found(dataset.sql("SELECT producer, sequence FROM logs").to_pylist())
    newest = dataset.rows(limit=len(rows) + 1, newest_first=True)
    assert rows == found(newest)
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a day."""
    (tmp_path / "logs" / DAY).mkdir(parents=True)
    return tmp_path / "logs" / DAY


def test_its_records_are_read_and_verified(folder: Path) -> None:
    """With those of other files beside it."""
    write_compacted(folder, make_batch(0, 9, A), make_batch(0, 4, B), group=4)
    publish(folder.parent, make_batch(10, 12, A))
    assert all_of((A, 0, 12), (B, 0, 4)) == read_in_every_way(folder.parent)
    report = verify(folder.parent)
    assert report.ok, report.problems
    assert {A: ((0, 12),), B: ((0, 4),)} == {
        each.producer: each.present for each in report.producers
    }


@settings(max_examples=30, deadline=None)
@given(
    compacted=st.lists(
        st.lists(
            st.tuples(st.sampled_from([A, B]), st.integers(0, 20), st.integers(0, 9)), min_size=1
        ),
        max_size=3,
    ),
    single=st.lists(
        st.tuples(st.sampled_from([A, B]), st.integers(0, 20), st.integers(0, 9)), max_size=3
    ),
)
def test_any_overlaps_are_read_once(
    tmp_path_factory: pytest.TempPathFactory, compacted: Any, single: Any
) -> None:
    """As they are while files are merged, compacted once more, or after a crash there."""
    folder = tmp_path_factory.mktemp("logs") / DAY
    folder.mkdir()
    expected = set()
    for ranges in compacted:
        batches, there = [], {A: Ranges(), B: Ranges()}
        for who, first, more in ranges:
            for span in there[who].missing(first, first + more):
                batches.append(make_batch(*span, who))
                there[who].add(*span)
        write_compacted(folder, *batches, group=5)
        expected |= set(all_of(*((who, *span) for who, spans in there.items() for span in spans)))
    for who, first, more in single:
        path = folder / f"{who}-{first}-{first + more}.parquet"
        if not path.exists():
            other = folder.parent / "other"
            publish(other, make_batch(first, first + more, who))
            next(other.glob("date=*/*.parquet")).rename(path)
            expected |= set(all_of((who, first, first + more)))
    assert sorted(expected) == read_in_every_way(folder.parent)


def test_what_was_retired_is_not_missing(folder: Path) -> None:
    """A file says how many of its records were taken out of it."""
    says = Coverage({A: Ranges([(0, 9)])}, retired=5)
    write_compacted(folder, make_batch(0, 2, A), make_batch(5, 6, A), says=says)
    assert () == verify(folder.parent).problems
    assert all_of((A, 0, 2), (A, 5, 6)) == read_in_every_way(folder.parent)


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ({A: Ranges([(0, 9)])}, "it holds 0-8, not what its footer says"),
        ({A: Ranges([(0, 7)])}, "it holds 0-8, not what its footer says"),
        ({A: Ranges([(0, 8)]), B: Ranges([(0, 0)])}, "it holds 0-8, not what its footer says"),
    ],
)
def test_a_footer_that_is_not_true_is_told(
    folder: Path, says: dict[str, Ranges], problem: str
) -> None:
    """The contents count."""
    path = write_compacted(folder, make_batch(0, 8, A), says=Coverage(says))
    assert (f"{path}: {problem}",) == verify(folder.parent).problems


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", b"other"])
def test_a_damaged_one_stops_nothing(folder: Path, content: bytes) -> None:
    """It is told, and counts as not there, also for who writes."""
    publish(folder.parent, make_batch(0, 3, A))
    path = folder / f"compacted-{B}.parquet"
    path.write_bytes(content)
    if content == b"other":
        whole = write_compacted(folder, make_batch(0, 3, A))
        pq.write_table(pq.read_table(whole).replace_schema_metadata({}), path)
    with pytest.warns(DatasetWarning, match=path.name):
        assert all_of((A, 0, 3)) == found(Dataset(folder.parent).rows())
    with pytest.warns(DatasetWarning, match=path.name):
        assert any(path.name in problem for problem in verify(folder.parent).problems)
    writer = build(f"parquet:{folder.parent}")
    assert [(0, 3)] == list(writer.published(A))
    assert [] == list(writer.published(B))


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_who_writes_knows_what_is_in_it(folder: Path, kind: str) -> None:
    """A batch that comes again is not written again, by this process or the next."""
    write_compacted(folder, make_batch(0, 9, A), make_batch(0, 4, B))
    for last in (9, 11):
        writer = build(f"{kind}:{folder.parent}")
        assert [(0, last)] == list(writer.published(A))
        writer.send(make_batch(5, 11, A))
        writer.send(make_batch(0, 4, B))
        writer.close()
        assert all_of((A, 0, 11), (B, 0, 4)) == read_in_every_way(folder.parent)
        assert verify(folder.parent).ok


def test_what_is_followed_comes_once(folder: Path) -> None:
    """Compaction in between shows nothing twice, and nothing is missed."""
    publish(folder.parent, make_batch(0, 3, A))
    before = list((folder).iterdir())

    class Steps:
        def __init__(self) -> None:
            self.left = [self.compact, self.more]

        def compact(self) -> None:
            write_compacted(folder, make_batch(0, 3, A), make_batch(0, 1, B))
            for path in before:
                path.unlink()

        def more(self) -> None:
            write_compacted(folder, make_batch(0, 3, A), make_batch(0, 2, B))

        def wait(self, timeout: float) -> bool:
            if not self.left:
                return True
            self.left.pop(0)()
            return False

        def is_set(self) -> bool:
            return False

    rows = list(Dataset(folder.parent).follow(last=None, stop=Steps()))
    assert all_of((A, 0, 3), (B, 0, 2)) == found(rows)
    assert 7 == len(rows)
