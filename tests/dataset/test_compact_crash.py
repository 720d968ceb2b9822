"""Compaction while others read and write, and killed at any instant."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from children import Child, Shared, child
from killing import is_killed_after
from make import DAY, A, B, P, Q, batch_of, event, lines, make_batch, with_identity, write_compacted
from which import found

from logbatch import Dataset
from logbatch.dataset.compaction.run import compact_folder
from logbatch.dataset.compaction.staging import Change, change_folder
from logbatch.dataset.compaction.task import CompactTask
from logbatch.dataset.listing import Vanished
from logbatch.dataset.verify import verify
from logbatch.errors import DatasetError, DatasetWarning, TemporaryError
from logbatch.identity import Ranges, SegmentName
from logbatch.storage.folders import changing
from logbatch.storage.maintenance import JOURNAL
from logbatch.transports import build

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def make_logs(logs: Path) -> None:
    """Write what a day may hold: Parquet, lines, a file that grows, a torn and a foreign one."""
    for kind in ("parquet", "jsonl"):
        writer: Any = build(f"{kind}:{logs}")
        writer.now = lambda: NOON
        for first in range(0, 12, 4):
            writer.send(make_batch(first, first + 3, A if kind == "parquet" else B))
        writer.close()
    data = with_identity(lines(0, 2), P, 0)
    (logs / DAY / f"{P}-0.jsonl").write_bytes(data)
    (logs / DAY / f"{P}-7-9.parquet").write_bytes(b"PAR1 torn")
    (logs / DAY / "mine.parquet.txt").write_text("mine")


EXPECTED = sorted([(who, n) for who in (A, B) for n in range(12)] + [(P, n) for n in range(3)])


def compact(logs: Path) -> None:
    """Compact all there is."""
    Dataset(logs).compact(older_than=0)


def is_killed(logs: Path, point: int, *, really: bool) -> bool:
    """Compact, killed before so many changes are made; return whether it came as far."""
    return is_killed_after(point, lambda: compact(logs), really=really)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A directory to copy."""
    make_logs(tmp_path / "template")
    return tmp_path / "template"


def copies(template: Path) -> Iterator[Path]:
    """Yield copies, one after another in one place."""
    logs = template.parent / "logs"
    while True:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(template, logs)
        yield logs


@pytest.mark.filterwarnings("ignore::logbatch.errors.DatasetWarning")
@pytest.mark.parametrize("in_place", [False, True])
def test_killed_at_every_change(template: Path, in_place: bool) -> None:
    """Wherever it is killed, each record is there once, and the next run ends what was begun.

    A folder with a folder in it cannot be exchanged; there files are replaced one by one.
    """
    if in_place:
        (template / DAY / "own").mkdir()
    places = copies(template)
    for point in itertools.count(10 if in_place else 0):  # up to there it is the same
        logs = next(places)
        killed = is_killed(logs, point, really=point % 4 == 0)
        assert EXPECTED == found(logs), point
        if not killed:
            break
        if point % 3 == 0:
            compact(logs)
            assert EXPECTED == found(logs), point
            assert ["maintenance.lock"] == os.listdir(logs / JOURNAL), point
            assert (logs / DAY / f".damaged-{P}-7-9").read_bytes() == b"PAR1 torn"
    assert point > 30


@pytest.mark.filterwarnings("ignore::logbatch.errors.DatasetWarning")
def test_killed_twice(template: Path) -> None:
    """Also where it is killed again while it cleans up and goes on."""
    chance = random.Random(6)
    places = copies(template)
    for _ in range(20):
        logs = next(places)
        points = chance.randrange(8, 36), chance.randrange(1, 44)
        for point in points:
            is_killed(logs, point, really=point % 4 == 0)
        assert EXPECTED == found(logs), points
        if points[0] % 3 == 0:
            compact(logs)
            assert EXPECTED == found(logs), points
            assert ["maintenance.lock"] == os.listdir(logs / JOURNAL), points


# ---------------------------------------------------------------------- beside others


def test_whoever_counts_meanwhile(tmp_path: Path) -> None:
    """Our readers and a glob over a closed date never see a wrong number."""
    logs = tmp_path / "logs"
    writer: Any = build(f"parquet:{logs}")
    writer.now = lambda: NOON
    for first in range(0, 200, 5):
        writer.send(make_batch(first, first + 4, A))
    counts, stop = Shared(), Shared()

    def count() -> None:
        with duckdb.connect() as connection:
            dataset = Dataset(logs)
            while not stop.value:
                assert 200 == dataset.to_table(columns=["sequence"]).num_rows
                with suppress(duckdb.IOException):  # a folder was exchanged while it was read
                    query = f"SELECT count(*) FROM '{logs}/date=*/*.parquet'"
                    assert [(200,)] == connection.sql(query).fetchall()
                counts.value += 1

    with child(count) as reader:
        for turn in range(12):
            counts.wait_for(turn)
            rule = "none" if turn % 2 else "auto"
            assert 1 == Dataset(logs).compact(older_than=0, promote=rule).changed
        counts.wait_for(12)
        stop.value = 1
        reader.wait()


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_who_writes_meanwhile(tmp_path: Path, kind: str) -> None:
    """Files that are published, grow and are rotated while a folder is exchanged are all there."""
    logs = tmp_path / "logs"
    writer: Any = build(
        {"type": kind, "path": logs}, **({"rotate_bytes": 900} if kind == "jsonl" else {})
    )
    writer.now = lambda: NOON
    writer.send(make_batch(0, 2, A))
    written, wanted = Shared(), Shared()

    def write() -> None:
        for first in range(3, 303, 3):
            wanted.wait_for(first)
            # As the batcher does.  With a wrong clock all temporary files look old.
            for _ in range(10):
                with contextlib.suppress(TemporaryError):
                    writer.send(make_batch(first, first + 2, A))
                    break
            written.value = first + 3
        writer.close()

    with child(write) as process:
        for turn in range(6):
            wanted.value += 50
            written.wait_for(wanted.value - 30)
            Dataset(logs).compact(older_than=0, to="parquet", cluster_by=f"key{turn}")
            there = found(logs)
            assert there == [(A, n) for n in range(len(there))]
        process.wait()
    assert [(A, n) for n in range(303)] == found(logs)
    assert verify(logs).ok


def plan(logs: Path, *dropped: str) -> tuple[Path, Path, Change]:
    """Make a compacted file of records 0 to 9, beside a folder that is not changed yet."""
    staged = logs / JOURNAL / "compact-x" / DAY
    made = write_compacted(staged, make_batch(0, 9, A))
    consumed = {}
    for name in dropped:
        segment = SegmentName.parse(name)
        assert segment is not None
        consumed[name] = ((segment.producer, ((segment.first, segment.last),)),)
    return logs / DAY, staged, Change([made], consumed, [], [], {A: Ranges([(0, 9)])})


def file_of(first: int, last: int) -> str:
    """Name a file."""
    return f"{A}-{first}-{last}.parquet"


def put(logs: Path, first: int, last: int) -> None:
    """Publish a file of that day."""
    writer: Any = build(f"parquet:{logs}")
    writer.now = lambda: NOON
    writer._write(make_batch(first, last, A))


def test_files_that_come_before_the_exchange(tmp_path: Path) -> None:
    """What is in the new files already goes; what is not, stays."""
    logs = tmp_path / "logs"
    put(logs, 0, 4)
    put(logs, 5, 9)
    folder, staged, change = plan(logs, file_of(0, 4), file_of(5, 9))
    put(logs, 2, 7)
    put(logs, 8, 12)
    (folder / f"{B}-0.jsonl").write_bytes(with_identity(lines(0, 1), B, 0))

    assert change_folder(folder, staged, change)
    assert {change.made[0].name, file_of(8, 12), f"{B}-0.jsonl"} == set(os.listdir(folder))
    assert [(A, n) for n in range(13)] + [(B, 0), (B, 1)] == found(logs)


def test_a_merge_meanwhile(tmp_path: Path) -> None:
    """A process merges its own files while they are compacted: nothing is twice or gone."""
    logs = tmp_path / "logs"
    put(logs, 0, 4)
    put(logs, 5, 9)
    folder, staged, change = plan(logs, file_of(0, 4), file_of(5, 9))
    put(logs, 0, 9)
    with changing(folder):
        (folder / file_of(0, 4)).unlink()
        (folder / file_of(5, 9)).unlink()

    assert change_folder(folder, staged, change)
    assert [change.made[0].name] == os.listdir(folder)
    assert [(A, n) for n in range(10)] == found(logs)


def test_a_file_that_vanished(tmp_path: Path) -> None:
    """It is not brought back: the folder stays as it is, and that is said."""
    logs = tmp_path / "logs"
    put(logs, 0, 4)
    put(logs, 5, 9)
    folder, staged, change = plan(logs, file_of(0, 4), file_of(5, 9))
    (folder / file_of(0, 4)).unlink()

    with pytest.raises(Vanished, match=file_of(0, 4)):
        change_folder(folder, staged, change)
    assert [file_of(5, 9)] == os.listdir(folder)


def test_where_folders_cannot_be_exchanged(tmp_path: Path) -> None:
    """The same comes of it, one step after the other."""
    logs = tmp_path / "logs"
    put(logs, 0, 4)
    put(logs, 5, 9)
    folder, staged, change = plan(logs, file_of(0, 4), file_of(5, 9))
    put(logs, 8, 12)

    assert not change_folder(folder, staged, change, lambda one, other: False)
    assert {change.made[0].name, file_of(8, 12)} == set(os.listdir(folder))
    assert [(A, n) for n in range(13)] == found(logs)


def another_file_system(path: Path) -> str:
    """Find a directory for temporary files that is not on the file system of a path."""
    for place in ("/dev/shm", "/tmp", "/var/tmp"):
        if os.access(place, os.W_OK) and os.stat(place).st_dev != os.stat(path).st_dev:
            return place
    pytest.skip("NOT TESTED: there is one file system alone for temporary files")


@pytest.mark.parametrize("is_far", [True, False])
def test_a_folder_that_is_a_link(tmp_path: Path, is_far: bool) -> None:
    """It stays one, and its files are exchanged where they are, also on another file system."""
    logs = tmp_path / "logs"
    put(logs, 0, 4)
    put(logs, 5, 9)
    with TemporaryDirectory(dir=another_file_system(tmp_path) if is_far else tmp_path) as elsewhere:
        shutil.copytree(logs / DAY, Path(elsewhere, "day"))
        shutil.rmtree(logs / DAY)
        (logs / DAY).symlink_to(Path(elsewhere, "day"))
        before = Dataset(logs).compact(older_than=0).before

        assert (2, True) == (before.files, (logs / DAY).is_symlink())
        assert 1 == len(os.listdir(logs / DAY))
        assert [(A, n) for n in range(10)] == found(logs)


# ---------------------------------------------------------------------- what fails


@pytest.mark.parametrize(("size", "limit"), [(30_000, 4096), (1_100_000, 500_000)])
def test_a_full_disk(template: Path, size: int, limit: int) -> None:
    """Nothing is changed, a word says why, and there is room again afterwards."""
    writer: Any = build(f"parquet:{template}")
    writer.now = lambda: NOON
    padding = random.Random(1).randbytes(size).hex()
    writer.send(batch_of(Q, 0, event(padding)))
    expected = [*EXPECTED, (Q, 0)]
    before = sorted(os.listdir(template / DAY))

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(DatasetError, match=f"{DAY}: .*"):
            compact(template)

    Child(work).wait()
    assert before == sorted(os.listdir(template / DAY))
    assert ["maintenance.lock"] == os.listdir(template / JOURNAL)
    with pytest.warns(DatasetWarning):
        assert sorted(expected) == found(template)


@pytest.mark.parametrize("where", [JOURNAL, DAY])
def test_no_permission(template: Path, where: str) -> None:
    """The same where something may not be written: it is named, and nothing is changed."""
    with TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        logs = shutil.copytree(template, Path(place, "logs"))
        (logs / JOURNAL).mkdir(exist_ok=True)
        for path in (logs, *logs.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (logs / where).chmod(0o555)
        before = sorted(logs.rglob("*"))
        compact(template)  # nobody may not even import what it needs

        def work() -> None:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            with pytest.raises((OSError, DatasetError), match="Permission denied") as caught:
                compact(logs)
            assert where in str(caught.value)

        Child(work).wait()
        (logs / where).chmod(0o777)
        assert before == [path for path in sorted(logs.rglob("*")) if path.suffix != ".lock"]


def test_a_worker_that_outlives_its_parent(template: Path) -> None:
    """A second compaction leaves its place alone, and both may end in any order."""
    place = template / JOURNAL / "compact-01"
    place.mkdir(parents=True)
    descriptor = os.open(place, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    compact(template)
    assert place.is_dir()
    os.close(descriptor)
    outcome = compact_folder(CompactTask(str(template / DAY), str(place), jsonl=True))
    assert (False, "") == (outcome.changed, outcome.failure)
    assert not place.exists()
