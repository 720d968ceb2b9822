"""Merging of files on the disk: what is in the result, and what is left when it cannot be done."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from make import A, B, batch_of, event, make_batch, publish

from logbatch.identity import Ranges, SegmentName
from logbatch.storage.arrow import schema
from logbatch.storage.coverage import read_coverage
from logbatch.storage.folders import changing
from logbatch.storage.merge import Format, Merge, NoLocks, Unfit, remove_merged
from logbatch.storage.tiers import File
from logbatch.transports.base import Batch
from logbatch.transports.parquet import ParquetTransport

OPTIONS = {"compression": "zstd", "use_dictionary": ["level"], "store_schema": False}


def form(columns: dict[str, str] | None = None) -> Format:
    """How merged files are written."""
    return Format(schema(columns), OPTIONS)


def write(directory: Path, *spans: tuple[int, int], producer: str = A, **options: Any) -> Path:
    """Publish a file for each range; return their folder."""
    publish(directory, *(make_batch(*span, producer) for span in spans), **options)
    (folder,) = directory.glob("date=*")
    return folder


def files_in(folder: Path, producer: str = A) -> list[File]:
    """List the files of a producer."""
    found = []
    for path in folder.iterdir():
        name = SegmentName.parse(path.name)
        if name is not None and name.producer == producer:
            found.append(File(name.first, name.last, path.stat().st_size))
    return sorted(found)


def finish(merge: Merge) -> int:
    """Do all steps; return how many there were."""
    steps = 1
    while merge.step():
        steps += 1
    return steps


def sequences(folder: Path) -> list[Any]:
    """List what is in the files, in the order of names and rows."""
    paths = [folder / str(SegmentName(A, f.first, f.last, "parquet")) for f in files_in(folder)]
    columns = [pq.ParquetFile(path).read(["sequence"])["sequence"].to_pylist() for path in paths]
    return [number for column in columns for number in column]


def test_a_file_is_made_of_several(tmp_path: Path) -> None:
    """It has their rows in the order of sequences, their columns, and the time of the newest."""
    folder = write(tmp_path, (0, 4), (5, 5), (6, 40))
    before = [pq.read_table(path, partitioning=None) for path in folder.iterdir()]
    for age, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (10**9 - age, 10**9 - age))
    write(tmp_path, (0, 3), producer=B)
    merge = Merge(folder, A, files_in(folder), form())
    finish(merge)

    assert merge.merged is not None
    assert [merge.merged] == files_in(folder)
    assert (0, 40) == merge.merged[:2]
    assert [File(0, 3, files_in(folder, B)[0].size)] == files_in(folder, B)
    path = merge.path(merge.merged)
    table = pq.read_table(path, partitioning=None)
    assert list(range(41)) == table["sequence"].to_pylist()
    assert all(each.schema == table.schema for each in before)
    rows = sorted((row for each in before for row in each.to_pylist()), key=lambda r: r["sequence"])
    assert rows == table.to_pylist()
    assert ((0, 4), (5, 5), (6, 40)) == read_coverage(path).merged
    assert {A: Ranges([(0, 40)])} == read_coverage(path).ranges
    assert 10**9 == path.stat().st_mtime
    assert 0o600 == path.stat().st_mode & 0o777
    assert [] == list(folder.glob(".*"))


def test_row_groups_are_not_small(tmp_path: Path) -> None:
    """Many small files make few row groups, each of at most 65,536 rows."""
    spans = [(0, 69_999), *((n, n + 99) for n in range(70_000, 80_000, 100))]
    transport = ParquetTransport(tmp_path, compact=False)
    line = make_batch(0, 0).lines
    for first, last in spans:
        transport.send(Batch(A, first, last, line * (last - first + 1)))
    (folder,) = tmp_path.glob("date=*")
    merge = Merge(folder, A, files_in(folder), form())
    finish(merge)

    assert merge.merged is not None
    metadata = pq.read_metadata(merge.path(merge.merged))
    assert [65_536, 14_464] == [metadata.row_group(n).num_rows for n in range(2)]
    assert 2 == metadata.num_row_groups


def test_row_groups_are_not_large(tmp_path: Path) -> None:
    """Nor do they hold more than they should in bytes, if no file did."""
    transport = ParquetTransport(tmp_path, compact=False)
    for number in range(6):
        transport.send(batch_of(A, 3 * number, *[event("x" * 10_000)] * 3))
    (folder,) = tmp_path.glob("date=*")
    merge = Merge(folder, A, files_in(folder), form()._replace(group_bytes=70_000))
    finish(merge)
    assert merge.merged is not None
    metadata = pq.read_metadata(merge.path(merge.merged))
    assert [6, 6, 6] == [metadata.row_group(n).num_rows for n in range(3)]


def test_nothing_is_seen_of_a_merge_that_is_given_up(tmp_path: Path) -> None:
    """Whenever that is, the files stay as they are, and nothing is left beside them."""
    folder = write(tmp_path, (0, 4), (5, 9))
    before = sorted(folder.iterdir())
    steps = finish(Merge(folder, A, files_in(folder), form()))
    for path in folder.iterdir():
        path.unlink()
    write(tmp_path, (0, 4), (5, 9))
    for stop in range(steps):
        merge = Merge(folder, A, files_in(folder), form())
        for _ in range(stop):
            assert merge.step()
        merge.give_up()
        assert before == sorted(folder.iterdir())


def test_files_with_other_columns_are_not_merged(tmp_path: Path) -> None:
    """What was written with other promoted columns stays, and is named."""
    write(tmp_path, (0, 4))
    folder = write(tmp_path, (5, 9), columns={"user_id": "int64"})
    merge = Merge(folder, A, files_in(folder), form())
    with pytest.raises(Unfit) as refused:
        finish(merge)
    assert (5, 9) == refused.value.file[:2]
    assert list(range(10)) == sequences(folder)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100])
def test_damaged_files_are_not_merged(tmp_path: Path, content: bytes) -> None:
    """A torn file stays for somebody to look at, and costs no other."""
    folder = write(tmp_path, (0, 4), (5, 9), (10, 12))
    broken = next(folder.glob("*-5-9.parquet"))
    broken.write_bytes(content)
    with pytest.raises(Unfit) as refused:
        finish(Merge(folder, A, files_in(folder), form()))
    assert (5, 9) == refused.value.file[:2]
    assert 3 == len(list(folder.iterdir()))


def test_a_file_with_too_few_rows_is_not_merged(tmp_path: Path) -> None:
    """What its name says is compared with what is in it."""
    folder = write(tmp_path, (0, 4), (5, 9))
    next(folder.glob("*-5-9.parquet")).rename(folder / f"{A}-5-10.parquet")
    with pytest.raises(Unfit):
        finish(Merge(folder, A, files_in(folder), form()))


def test_a_file_that_somebody_takes_away(tmp_path: Path) -> None:
    """If one is gone at the end, its records are elsewhere or removed: nothing comes of it."""
    folder = write(tmp_path, (0, 4), (5, 9))
    steps = finish(Merge(folder, A, files_in(folder), form()))
    for stop in range(steps):
        for path in folder.iterdir():
            path.unlink()
        write(tmp_path, (0, 4), (5, 9))
        merge = Merge(folder, A, files_in(folder), form())
        for _ in range(stop):
            assert merge.step()
        next(folder.glob("*-5-9.parquet")).unlink()
        with pytest.raises(FileNotFoundError):
            finish(merge)
        assert [f"{A}-0-4.parquet"] == os.listdir(folder)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is removed, and no half file stays."""
    folder = write(tmp_path, (0, 4), (5, 9))
    before = sorted(folder.iterdir())

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        finish(Merge(folder, A, files_in(folder), form()))
    assert before == sorted(folder.iterdir())


def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody merges: another may be exchanging the folder."""
    import fcntl

    folder = write(tmp_path, (0, 4), (5, 9))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(NoLocks):
        finish(Merge(folder, A, files_in(folder), form()))


def test_a_large_file_is_written_in_pieces(tmp_path: Path) -> None:
    """So that no step takes long; what another program does to the temporary file is noticed."""
    transport = ParquetTransport(tmp_path, compact=False, compression="none")
    for number in range(2):
        noise = [event(os.urandom(30_000).hex()) for _ in range(60)]
        transport.send(batch_of(A, 60 * number, *noise))
    (folder,) = tmp_path.glob("date=*")
    plain = Format(schema(), {**OPTIONS, "compression": "none"})
    merge = Merge(folder, A, files_in(folder), plain)
    while merge.step():
        if temporary := list(folder.glob(".part-*")):
            break
    assert 4 << 20 == temporary[0].stat().st_size
    finish(merge)
    assert list(range(120)) == sequences(folder)


# ---------------------------------------------------------------------- what crashes leave


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Have files stay that a merge removes, as if it were killed before."""
    saved = {path: path.read_bytes() for path in folder.iterdir()}
    yield
    for path, content in saved.items():
        path.write_bytes(content)


def test_what_was_merged_is_removed_later(tmp_path: Path) -> None:
    """Files whose records are in a longer one go; all others stay."""
    folder = write(tmp_path, (0, 4), (5, 9), (10, 14))
    write(tmp_path, (0, 4), producer=B)
    with kept(folder):
        finish(Merge(folder, A, files_in(folder)[:2], form()))
    assert 4 == len(files_in(folder))
    remove_merged(folder)
    assert [(0, 9), (10, 14)] == [file[:2] for file in files_in(folder)]
    assert 1 == len(files_in(folder, B))


@pytest.mark.parametrize("damage", ["torn", "short", "written twice"])
def test_files_stay_if_the_longer_one_is_not_what_it_should_be(tmp_path: Path, damage: str) -> None:
    """They are removed only after a look into it, and only if it was made of others."""
    folder = write(tmp_path, (0, 4), (5, 9))
    merge = Merge(folder, A, files_in(folder), form())
    longer = merge.path(File(0, 9, 0))
    with kept(folder):
        finish(merge)
    if damage == "torn":
        longer.write_bytes(longer.read_bytes()[:-1])
    elif damage == "short":
        longer.rename(folder / f"{A}-0-10.parquet")
    else:
        longer.unlink()
        (path,) = write(tmp_path / "other", (0, 9)).iterdir()
        path.rename(longer)
    remove_merged(folder)
    assert {(0, 4), (5, 9)} < {file[:2] for file in files_in(folder)}


def test_the_next_process_finishes_what_was_left(tmp_path: Path) -> None:
    """Whoever writes first to a day's folder removes it, and looks at the folder before, too."""
    old = tmp_path / "date=2026-11-20"
    folder = write(tmp_path, (0, 4), (5, 9))
    with kept(folder):
        finish(Merge(folder, A, files_in(folder), form()))
    folder.rename(old)
    publish(tmp_path, make_batch(0, 0, B))
    assert [(0, 9)] == [file[:2] for file in files_in(old)]


def test_nothing_is_removed_while_the_folder_is_exchanged(tmp_path: Path) -> None:
    """It waits for who holds the folder alone."""
    folder = write(tmp_path, (0, 4), (5, 9))
    merge = Merge(folder, A, files_in(folder), form())
    with changing(folder) as locked:
        assert locked
        finish(merge)  # others that hold it shared do not disturb
    assert [(0, 9)] == [file[:2] for file in files_in(folder)]
