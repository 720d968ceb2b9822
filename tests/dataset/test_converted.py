"""Copies in Parquet: the same records, each once, whatever happens to what was copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from make import (
    DAY,
    A,
    B,
    P,
    Q,
    Waiting,
    line,
    lines,
    make_batch,
    publish,
    with_identity,
    write_compacted,
)
from mixed import make_mixed

from logbatch.dataset.converted import Converted
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.merge import ordered_rows
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.errors import DatasetWarning


def rows(source: Source, snapshot: Snapshot) -> list[tuple[object, ...]]:
    """Read all records."""
    found = ordered_rows(source, snapshot, Filter())
    return [(row["producer"], row["sequence"], row["message"]) for row in found]


def kinds(snapshot: Snapshot) -> set[str]:
    """Return the kinds of files in a snapshot."""
    return {part.segment.ext for part in snapshot.parts} | {"tail" for _ in snapshot.tails}


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    """The file of a process that appends to it."""
    path = tmp_path / DAY / f"{B}-0.jsonl"
    path.parent.mkdir()
    return path


def test_all_is_parquet_and_the_same(tmp_path: Path) -> None:
    """Overlaps, a journal and odd records, and any kind of compression."""
    mixed = make_mixed(tmp_path)
    publish(tmp_path, make_batch(200, 250), kind="jsonl", compression="zstd")
    source = mixed._source
    snapshot = source.snapshot()
    with Converted(source) as converted:
        copied = converted.convert(snapshot)
        assert {"parquet", "tail"} == kinds(copied)
        assert {"parquet", "jsonl", "jsonl.zst", "tail"} == kinds(snapshot)
        assert rows(source, snapshot) == rows(source, copied)
        assert copied == converted.convert(snapshot)  # it is not copied again
        assert snapshot.covered == copied.covered
        folder = copied.parts[-1].path.parent
        assert folder.exists()
    assert not folder.exists()


def test_full_journals_are_copied(tmp_path: Path) -> None:
    """Those of several processes make one file."""
    publish(tmp_path, make_batch(0, 9, Q))
    waiting = [Waiting(Q, 5, lines(5, 2000)), Waiting(P, 0, lines(0, 100))]
    source = Source(tmp_path, lambda _: waiting)
    with Converted(source) as converted:
        snapshot = source.snapshot()
        copied = converted.convert(snapshot)
        assert ({"parquet"}, 2) == (kinds(copied), len(copied.parts))
        assert rows(source, snapshot) == rows(source, copied)
        waiting[1] = Waiting(P, 0, lines(0, 101))
        assert len(rows(source, copied)) + 1 == len(
            rows(source, converted.convert(source.snapshot()))
        )


def test_a_growing_file_is_copied_as_it_grows(growing: Path) -> None:
    """What was copied is not copied again, and an older snapshot stays as it is."""
    source = Source(growing.parent.parent)
    write_compacted(growing.parent, make_batch(5, 9, B))  # of these others are taken
    long = "x" * 300_000
    with Converted(source) as converted, open(growing, "ab", buffering=0) as file:
        snapshots = []
        for n in range(0, 20, 4):
            new = b"".join(line(m, message=f"{m} {long}") for m in range(n, n + 4))
            file.write(with_identity(new, B, n))
            before = source.snapshot()
            after = converted.convert(before)
            assert {"parquet"} == kinds(after)
            assert rows(source, before) == rows(source, after)
            snapshots.append((before, after))
        paths = [{part.path for part in after.parts} for _, after in snapshots]
        assert 5 == len(paths[-1] & paths[-2])
        for before, after in snapshots:
            assert rows(source, before) == rows(source, after)
            assert rows(source, before) == rows(source, converted.convert(before))


def test_lines_that_are_repeated_or_damaged(growing: Path) -> None:
    """A record counts once, and what is none is told as ever."""
    growing.write_bytes(with_identity(lines(0, 4), B, 0) + with_identity(lines(0, 9), B, 0))
    closed = growing.with_name(f"{A}-0-4.jsonl")
    closed.write_bytes(with_identity(lines(0, 3), A, 0) + b"no line\n")
    source = Source(growing.parent.parent)
    with Converted(source) as converted:
        with pytest.warns(DatasetWarning, match="1 damaged lines were left out"):
            copied = converted.convert(source.snapshot())
        expected = [(A, n) for n in range(4)] + [(B, n) for n in range(10)]
        assert sorted(expected) == sorted(row[:2] for row in rows(source, copied))


def test_only_some_of_its_records(tmp_path: Path) -> None:
    """Where others are taken of another file; and of a snapshot that was narrowed."""
    write_compacted(tmp_path / DAY, make_batch(20, 44, B))
    publish(tmp_path, make_batch(0, 70, B), kind="jsonl")
    source = Source(tmp_path, lambda _: [Waiting(Q, 5, lines(5, 30))])
    snapshot = source.snapshot()
    some = {
        B: snapshot.covered[B].__class__([(10, 30)]),
        Q: snapshot.covered[Q].__class__([(7, 9)]),
    }
    with Converted(source) as converted:
        copied = converted.convert(snapshot)
        assert rows(source, snapshot) == rows(source, copied)
        assert rows(source, snapshot.within(some)) == rows(source, copied.within(some))
        assert rows(source, snapshot.within(some)) == rows(
            source, converted.convert(snapshot.within(some))
        )


def test_the_room_is_limited(tmp_path: Path) -> None:
    """What finds none stays as it is; of what is not used any more the oldest goes."""
    source = Source(tmp_path, lambda _: [Waiting(Q, 5, lines(5, 30))])
    for producer in (A, B, P):
        publish(tmp_path, make_batch(0, 200, producer), kind="jsonl")
    snapshot = source.snapshot()
    with Converted(source, most=15_000) as converted:
        copied = converted.convert(snapshot)
        assert {"parquet", "jsonl", "tail"} == kinds(copied)
        assert rows(source, snapshot) == rows(source, copied)
        (first,) = [part for part in copied.parts if part.segment.ext == "parquet"][:1]
        for path in tmp_path.glob(f"*/{A}-*"):
            path.unlink()
        rest = source.snapshot()
        again = converted.convert(rest)
        assert rows(source, rest) == rows(source, again)
        converted.convert(rest)
        assert 2 >= len(list(first.path.parent.iterdir()))
