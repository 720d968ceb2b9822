"""The contract that every transport to files keeps, and the registry."""

from __future__ import annotations

import contextlib
import gzip
import logging.config
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from children import Child, Shared, child, own_mounts
from clocks import with_clock
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import files_of_at_most
from make import MIDNIGHT, P, batch_of, named_batch, named_line

from logbatch.errors import TemporaryError
from logbatch.identity import Ranges, new_producer
from logbatch.options import OPTION_NAMES
from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.adapted import given_object
from logbatch.transports.base import BaseTransport, Batch
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport
from logbatch.transports.sqlite import SqliteTransport

KINDS: dict[str, dict[str, Any]] = {
    "parquet": {"type": "parquet"},
    "parquet-columns": {"type": "parquet", "columns": {"number": "int64"}, "compression": "none"},
    "jsonl": {"type": "jsonl"},
    "jsonl-small": {"type": "jsonl", "rotate_bytes": 2000},
    "jsonl-zstd": {"type": "jsonl", "rotate_bytes": 2000, "compression": "zstd"},
    "jsonl-gzip": {"type": "jsonl", "rotate_bytes": 2000, "compression": "gzip"},
}
EVERY = {**KINDS, "sqlite": {"type": "sqlite"}}


def at(kind: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return the options of a transport to a directory, or to a file in it."""
    return {**kind, "path": directory / "events.db" if kind["type"] == "sqlite" else directory}


@pytest.fixture(params=EVERY)
def every(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of each kind of transport, be it to a directory or to one file."""
    return EVERY[request.param]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of each kind of transport to a directory."""
    return KINDS[request.param]


def read(directory: Path) -> list[tuple[str, int, str]]:
    """Read every published file as any program would, by its ending."""
    found = []
    for path in sorted(directory.glob("date=*/[!.]*")):
        if path.suffix == ".parquet":
            rows = pq.read_table(path, partitioning=None).to_pylist()
        else:
            rows = [msgspec.json.decode(line) for line in _open(path).splitlines()]
        found += [(row["producer"], row["sequence"], row["message"]) for row in rows]
    for path in directory.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found += connection.execute("SELECT producer, sequence, message FROM events")
    return sorted(found)


def _open(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    return data


def expect(producer: str, last: int) -> list[tuple[str, int, str]]:
    """Return what is read when all records up to the last are there, once."""
    return [(producer, number, f"{producer}/{number}") for number in range(last + 1)]


def temporaries(directory: Path) -> list[Path]:
    """List the files under temporary names."""
    return list(directory.rglob("*.tmp"))


class TestEachRecordOnce:
    @settings(max_examples=20)
    @given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=30), max_size=6))
    @pytest.mark.parametrize("name", EVERY)
    def test_any_lines_in_any_batches(self, name: str, batches: list[list[str]]) -> None:
        """Whatever messages come in whatever batches, they are read back, equal and in order."""
        producer = new_producer()
        with TemporaryDirectory() as directory:
            transport = build(at(EVERY[name], Path(directory)))
            first = 0
            for messages in batches:
                lines = [named_line(producer, 0) for _ in messages]
                for index, message in enumerate(messages):
                    event = {**msgspec.json.decode(lines[index]), "message": message}
                    lines[index] = msgspec.json.encode(event) + b"\n"
                last = first + len(messages) - 1
                transport.send(Batch(producer, first, last, b"".join(lines)))
                first = last + 1
            transport.close()
            found = read(Path(directory))

        messages = [message for each in batches for message in each]
        assert [(producer, *pair) for pair in enumerate(messages)] == found

    def test_sent_again(self, every: dict[str, Any], tmp_path: Path) -> None:
        """A batch that is sent again, by the same transport or another, is there once."""
        producer = new_producer()
        transport = build(at(every, tmp_path))
        transport.send(named_batch(producer, 0, 9))
        transport.send(named_batch(producer, 0, 9))
        other = build(at(every, tmp_path))
        other.send(named_batch(producer, 0, 9))

        assert expect(producer, 9) == read(tmp_path)

    def test_cut_otherwise(self, every: dict[str, Any], tmp_path: Path) -> None:
        """Records that come again in other batches are there once."""
        producer = new_producer()
        transport = build(at(every, tmp_path))
        for first, last in [(0, 4), (3, 9), (20, 25), (0, 22), (0, 30), (15, 16)]:
            transport.send(named_batch(producer, first, last))
        transport.close()
        transport.send(named_batch(producer, 0, 30))

        assert expect(producer, 30) == read(tmp_path)

    def test_over_midnight(self, kind: dict[str, Any], tmp_path: Path) -> None:
        """A batch that is sent again on the next day is where it was."""
        producer, clock = new_producer(), ManualClock(MIDNIGHT - 60)
        transport = with_clock(build({**kind, "path": tmp_path}), clock)
        transport.send(named_batch(producer, 0, 9))
        clock.now += 120
        transport.send(named_batch(producer, 0, 9))
        assert not (tmp_path / "date=2026-11-22").exists()

        transport.send(named_batch(producer, 0, 19))
        transport.close()

        assert expect(producer, 19) == read(tmp_path)
        assert {"date=2026-11-21", "date=2026-11-22"} == {each.name for each in tmp_path.iterdir()}

    def test_after_the_folder_could_not_be_synced(
        self, kind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A batch whose name perhaps did not reach the disk is not acknowledged, nor doubled."""
        producer, clock = new_producer(), ManualClock(MIDNIGHT - 60)
        transport = with_clock(build({**kind, "path": tmp_path}), clock)
        transport.send(named_batch(producer, 0, 4))
        transport.close()
        broken, fsync, tried = [True], os.fsync, []

        def fail_on_folders(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode) and broken:
                tried.append(descriptor)
                raise OSError(5, "Input/output error")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail_on_folders)
        for _ in range(2):
            with pytest.raises(TemporaryError, match="Input/output error"):
                transport.send(named_batch(producer, 5, 9))
        broken.clear()
        clock.now += 120
        transport.send(named_batch(producer, 5, 12))
        transport.close()

        assert len(tried) >= 2
        assert expect(producer, 12) == read(tmp_path)

    def test_after_a_file_could_not_be_synced(
        self, kind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a failed fsync the batch goes into a fresh file, and is there once."""
        producer = new_producer()
        large = {"rotate_bytes": 1 << 20} if kind["type"] == "jsonl" else {}
        transport = build({**kind, "path": tmp_path, **large})
        transport.send(named_batch(producer, 0, 4))
        failed: list[int] = []
        synced: list[int] = []
        keep: list[int] = []
        fsync = os.fsync

        def fail_once(descriptor: int) -> None:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                if not failed:
                    failed.append(status.st_ino)
                    keep.append(os.dup(descriptor))  # so that no other file gets its inode
                    raise OSError(5, "Input/output error")
                synced.append(status.st_ino)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail_once)
        with pytest.raises(TemporaryError, match="Input/output error"):
            transport.send(named_batch(producer, 5, 9))
        transport.send(named_batch(producer, 5, 12))
        transport.close()
        os.close(*keep)

        assert failed[0] not in synced
        assert expect(producer, 12) == read(tmp_path)
        assert [] == temporaries(tmp_path)

    @pytest.mark.parametrize("call", range(8))
    def test_interrupted(
        self,
        call: int,
        kind: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Ctrl-C at any system call passes through; the batch, cut otherwise, is there once."""
        producer, clock = new_producer(), ManualClock(MIDNIGHT - 60)
        transport = with_clock(build({**kind, "path": tmp_path}), clock)
        transport.send(named_batch(producer, 0, 4))
        left = [call]

        def interrupt(real: Any) -> Any:
            def wrapped(*args: Any) -> Any:
                left[0] -= 1
                if left[0] == -1:
                    raise KeyboardInterrupt
                done = real(*args)
                if left[0] == -2:  # the one after that is interrupted behind it
                    raise KeyboardInterrupt
                return done

            return wrapped

        with monkeypatch.context() as patch:
            for name in ("write", "writev", "fsync", "rename", "ftruncate"):
                patch.setattr(os, name, interrupt(getattr(os, name)))
            for _ in range(2):
                with contextlib.suppress(KeyboardInterrupt):
                    transport.send(named_batch(producer, 5, 9))
        clock.now += 120
        transport.send(named_batch(producer, 3, 12))
        transport.close()

        assert expect(producer, 12) == read(tmp_path)

    def test_published(self, every: dict[str, Any], tmp_path: Path) -> None:
        """Another process is told what is there: of all days, closed or not."""
        producer, clock = new_producer(), ManualClock(MIDNIGHT - 60)
        transport = with_clock(build(at(every, tmp_path)), clock)
        transport.send(named_batch(producer, 0, 9))
        clock.now += 120
        transport.send(named_batch(producer, 10, 19))
        transport.send(named_batch(producer, 30, 39))
        transport.send(named_batch(new_producer(), 0, 99))
        other = build(at(every, tmp_path))

        assert Ranges([(0, 19), (30, 39)]) == other.published(producer)
        assert Ranges() == other.published(new_producer())
        assert Ranges([(0, 19), (30, 39)]) == transport.published(producer)

    def test_published_by_another_kind(self, tmp_path: Path) -> None:
        """What was written as JSON Lines is not written again as Parquet."""
        producer = new_producer()
        jsonl = build(f"jsonl:{tmp_path}")
        jsonl.send(named_batch(producer, 0, 9))
        parquet = build(f"parquet:{tmp_path}")
        parquet.send(named_batch(producer, 0, 19))
        jsonl.close()

        assert Ranges([(0, 19)]) == parquet.published(producer)
        assert expect(producer, 19) == read(tmp_path)

    def test_answer_is_a_copy(self, every: dict[str, Any], tmp_path: Path) -> None:
        """What is done with the answer of published() does not change what is sent."""
        producer = new_producer()
        transport = build(at(every, tmp_path))
        transport.published(producer).add(0, 100)
        transport.send(named_batch(producer, 0, 9))

        assert expect(producer, 9) == read(tmp_path)

    def test_producers_in_turns(self, every: dict[str, Any], tmp_path: Path) -> None:
        """Batches of many producers, in turns, all arrive; few files are held open."""
        producers = [new_producer() for _ in range(40)]
        transport = build(at(every, tmp_path))
        before = len(os.listdir("/proc/self/fd"))
        for first in (0, 5, 10):
            for producer in producers:
                transport.send(named_batch(producer, first, first + 4))
        assert len(os.listdir("/proc/self/fd")) <= before + 9
        transport.close()

        assert sorted(row for each in producers for row in expect(each, 14)) == read(tmp_path)

    def test_wrong_number_of_lines(self, every: dict[str, Any], tmp_path: Path) -> None:
        """A batch that does not hold as many lines as it says is refused, and leaves nothing."""
        producer = new_producer()
        transport = build(at(every, tmp_path))
        transport.send(named_batch(producer, 0, 4))
        lines = named_batch(producer, 5, 9).lines
        for last in (8, 10):
            with pytest.raises(ValueError, match=f"{producer}/5-{last} holds 5 lines"):
                transport.send(Batch(producer, 5, last, lines))
        transport.send(Batch(producer, 5, 9, lines))
        transport.close()

        assert expect(producer, 9) == read(tmp_path)

    def test_closed_and_used_again(self, every: dict[str, Any], tmp_path: Path) -> None:
        """A closed transport can be used again, and closed again."""
        producer = new_producer()
        transport = build(at(every, tmp_path))
        transport.close()
        transport.send(named_batch(producer, 0, 4))
        transport.close()
        transport.close()
        transport.send(named_batch(producer, 5, 9))
        transport.close()

        assert expect(producer, 9) == read(tmp_path)
        assert all("-4." in path.name or "-9." in path.name for path in tmp_path.glob("date=*/*"))

    def test_forked(self, every: dict[str, Any], tmp_path: Path) -> None:
        """A forked child writes its own files, and does not disturb those of its parent."""
        parent, child = new_producer(), new_producer()
        transport = build(at(every, tmp_path))
        transport.send(named_batch(parent, 0, 4))

        def send() -> None:
            transport.after_fork()
            transport.send(named_batch(child, 0, 9))
            transport.close()

        Child(send).wait()
        transport.send(named_batch(parent, 5, 9))
        transport.close()

        assert sorted(expect(parent, 9) + expect(child, 9)) == read(tmp_path)


def kill_a_sender(
    options: dict[str, Any], producers: list[str], size: int, answers: int, microseconds: int
) -> None:
    """Have a process send in turns, and kill it some moment after so many acknowledged batches."""
    acknowledged = Shared()

    def send() -> None:
        transport = build(options)
        for first in range(0, 100 - size, size):
            for producer in producers:
                transport.send(named_batch(producer, first, first + size - 1))
                acknowledged.value += 1
        signal.pause()

    with child(send):
        acknowledged.wait_for(answers)
        until = time.perf_counter() + microseconds / 1e6
        while time.perf_counter() < until:
            pass


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment(every: dict[str, Any], tmp_path: Path, moment: int) -> None:
    """After SIGKILL, whatever is sent again, however it is cut, is there once; no file is torn."""
    producers = [new_producer(), new_producer()]
    options = at(every, tmp_path)
    kill_a_sender(options, producers, 7, 3 + moment, moment * 97)
    heir = build(options)
    known = {producer: heir.published(producer) for producer in producers}
    if every["type"] == "parquet":
        assert sum(map(Ranges.count, known.values())) == len(read(tmp_path))
    for producer in producers:
        for first in range(0, 100, 5):
            heir.send(named_batch(producer, first, first + 4))
    heir.close()

    assert sorted(row for each in producers for row in expect(each, 99)) == read(tmp_path)


def test_heir_killed_too(every: dict[str, Any], tmp_path: Path) -> None:
    """A process that takes over and is killed in turn, again and again, doubles nothing."""
    producers = [new_producer()]
    options = at(every, tmp_path)
    for size in (7, 5, 3, 11):
        kill_a_sender(options, producers, size, 4, 50 * size)
    heir = build(options)
    heir.send(named_batch(producers[0], 0, 99))
    heir.close()

    assert expect(producers[0], 99) == read(tmp_path)


class TestTrouble:
    def test_a_file_in_the_way(self, every: dict[str, Any], tmp_path: Path) -> None:
        """Where no directory can be made the batch is kept, and delivered when it can."""
        producer = new_producer()
        (tmp_path / "file").write_bytes(b"")
        transport = build(at(every, tmp_path / "file" / "logs"))
        with pytest.raises(TemporaryError) as caught:
            transport.send(named_batch(producer, 0, 9))
        text = str(caught.value)
        assert text.startswith(f"cannot write to {tmp_path}/file/logs")
        assert text.endswith(": Not a directory")

        (tmp_path / "file").unlink()
        transport.send(named_batch(producer, 0, 9))
        transport.close()

        assert expect(producer, 9) == read(tmp_path / "file" / "logs")

    def test_folder_removed(self, kind: dict[str, Any], tmp_path: Path) -> None:
        """When somebody removes the folder of the day, the next batch makes it again."""
        producer = new_producer()
        transport = build({**kind, "path": tmp_path})
        transport.send(named_batch(producer, 0, 4))
        (folder,) = tmp_path.iterdir()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        transport.send(named_batch(producer, 5, 9))
        transport.close()

        assert expect(producer, 9)[5:] == read(tmp_path)

    def test_file_size_limit(self, kind: dict[str, Any], tmp_path: Path) -> None:
        """A write that comes half way is taken back: nothing torn, nothing twice, nothing left."""

        def send() -> None:
            transport = build({**kind, "path": tmp_path})
            transport.send(named_batch(P, 0, 4))
            with files_of_at_most(1500):
                for _ in range(2):
                    with pytest.raises(TemporaryError, match="File too large"):
                        transport.send(named_batch(P, 5, 999))
                assert [] == temporaries(tmp_path)
            transport.send(named_batch(P, 5, 1009))
            transport.close()

        Child(send).wait()

        assert expect(P, 1009) == read(tmp_path)
        assert [] == temporaries(tmp_path)

    def test_no_permission(self, every: dict[str, Any], tmp_path: Path) -> None:
        """Without permission the batch is kept; when it is given the batch is delivered."""
        path = tmp_path / "logs"
        path.mkdir(0o500)

        def send() -> None:
            transport = build(at(every, path))
            transport.send(named_batch("x", 0, -1))
            root = os.geteuid() == 0
            if root:
                os.seteuid(65534)
            with pytest.raises(TemporaryError, match="Permission denied"):
                transport.send(named_batch(P, 0, 4))
            if root:
                os.seteuid(0)
            path.chmod(0o700)
            transport.send(named_batch(P, 0, 4))
            transport.close()

        Child(send).wait()

        assert expect(P, 4) == read(tmp_path / "logs")

    def test_full_disk(self, every: dict[str, Any], tmp_path: Path) -> None:
        """On a full disk the batch is kept, nothing is torn or left, and later it is delivered."""
        prepare = (
            f"mount -t tmpfs -o size=1m none {tmp_path} && "
            f"dd if=/dev/zero of={tmp_path}/filler bs=1024 count=920 2>/dev/null"
        )
        mounted = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", prepare],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            pytest.skip(f"NOT TESTED: no tmpfs can be mounted here: {mounted.stderr.strip()}")

        def send() -> None:
            own_mounts()
            subprocess.run(["sh", "-c", prepare], check=True)
            lines = [
                named_line(P, n).replace(b"INFO", os.urandom(400).hex().encode())
                for n in range(905)
            ]
            transport = build(at(every, tmp_path))
            transport.send(batch_of(P, 0, *lines[:5]))
            for _ in range(3):
                with pytest.raises(
                    TemporaryError, match=r"No space left on device|the disk is full"
                ):
                    transport.send(batch_of(P, 5, *lines[5:900]))
            assert [] == temporaries(tmp_path)
            (tmp_path / "filler").unlink()
            last = 200 if every["type"] == "sqlite" else 400  # it writes everything twice
            transport.send(batch_of(P, 5, *lines[5 : last + 1]))
            (tmp_path / "filler").write_bytes(b"")
            transport.close()
            assert expect(P, last) == read(tmp_path)

        Child(send).wait()


class TestFiles:
    def test_building_touches_nothing(self, every: dict[str, Any], tmp_path: Path) -> None:
        """The directory is made by the first batch, not before."""
        transport = build(at(every, tmp_path / "a" / "b"))
        transport.published(new_producer())
        transport.close()
        assert [] == list(tmp_path.iterdir())

        transport.send(named_batch(new_producer(), 0, 0))
        assert (tmp_path / "a" / "b").is_dir()

    def test_private(self, every: dict[str, Any], tmp_path: Path) -> None:
        """What is made can be read by its owner only."""
        transport = build(at(every, tmp_path / "logs"))
        transport.send(named_batch(new_producer(), 0, 9))
        transport.send(named_batch(new_producer(), 0, 9))
        transport.close()
        paths = [tmp_path / "logs", *(tmp_path / "logs").rglob("*")]

        assert {(True, 0o700), (False, 0o600)} == {
            (path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths
        }

    def test_relative_to_where_it_was_built(
        self, kind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A later change of the working directory does not move the files."""
        transport = build({**kind, "path": "logs"})
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        transport.send(named_batch(new_producer(), 0, 9))
        transport.close()

        assert 10 == len(read(tmp_path / "logs"))
        assert f"{kind['type']}:{tmp_path}/logs" == transport.destination
        assert tmp_path / "logs" / ".journal" == transport.journal_directory

    @pytest.mark.parametrize("years", [0, 1, -10])
    def test_stale_files_are_removed(
        self, kind: dict[str, Any], tmp_path: Path, years: int
    ) -> None:
        """What a crash left under a temporary name is removed, whatever the clock shows then."""
        clock = ManualClock(MIDNIGHT - 60)
        transport = with_clock(build({**kind, "path": tmp_path}), clock)
        transport.send(named_batch(new_producer(), 0, 9))
        (folder,) = tmp_path.iterdir()
        for name in (".part-0123456789abcdef.tmp", "mine.tmp"):
            (folder / name).write_bytes(b"x")
            os.utime(folder / name, (0, 0))
        clock.now += years * 365 * 86_400 + 120
        transport.send(named_batch(new_producer(), 0, 9))

        assert [folder / "mine.tmp"] == temporaries(tmp_path)


OF_PARQUET = "compact, compact_bytes, compact_share, compression, retain_age, retain_bytes"
OF_JSONL = "compression, retain_age, retain_bytes, rotate_bytes, rotate_seconds"
OF_SQLITE = "retain_age, retain_bytes"


class TestRegistry:
    @pytest.mark.parametrize(
        ("url", "kind", "path"),
        [
            ("parquet:logs", ParquetTransport, "{here}/logs"),
            ("parquet:a/../b", ParquetTransport, "{here}/b"),
            ("parquet:///var/log/app", ParquetTransport, "/var/log/app"),
            ("PARQUET:/var/log/app", ParquetTransport, "/var/log/app"),
            ("jsonl:/var/log/100%20/a#b", JsonlTransport, "/var/log/100%20/a#b"),
            ("jsonl:~/logs", JsonlTransport, "{home}/logs"),
            ("jsonl:.", JsonlTransport, "{here}"),
            ("sqlite:logs.db", SqliteTransport, "{here}/logs.db"),
            ("sqlite:///var/log/app.db", SqliteTransport, "/var/log/app.db"),
            ("sqlite:~/logs.db?retain_age=14d", SqliteTransport, "{home}/logs.db"),
        ],
    )
    def test_urls(self, url: str, kind: type[BaseTransport], path: str, tmp_path: Path) -> None:
        """A URL names a kind and a directory, or a file."""
        transport = build(url)

        assert type(transport) is kind
        assert Path(path.format(here=tmp_path, home=Path.home())) == transport.path  # type: ignore[attr-defined]

    def test_options_in_a_url(self, tmp_path: Path) -> None:
        """Options may follow a question mark; one that is given beside the URL wins."""
        transport = build("jsonl:logs?compression=gzip&rotate_bytes=1", compression="zstd")
        transport.send(named_batch(P, 0, 4))
        transport.send(named_batch(P, 5, 9))
        transport.close()

        assert [".zst", ".zst"] == [each.suffix for each in (tmp_path / "logs").rglob("*.jsonl.*")]

    def test_options_beside(self, tmp_path: Path) -> None:
        """Options beside the URL or in the dict reach the transport; None is as if not given."""
        build("parquet:a", columns={"number": "int64"}, compression=None).send(named_batch(P, 0, 1))
        build({"type": "parquet", "path": "b", "columns": {"number": "int64"}}).send(
            named_batch(P, 0, 1)
        )
        for name in "ab":
            (path,) = (tmp_path / name).rglob("*.parquet")
            assert [0, 1] == pq.read_table(path, partitioning=None)["number"].to_pylist()

    def test_dict_of_logging_config(self, tmp_path: Path) -> None:
        """The dict that logging.config makes resolves what refers to other places."""
        config: Any = logging.config.ConvertingDict(
            {"type": "parquet", "path": "cfg://where", "columns": {"number": "cfg://kind"}}
        )
        config.configurator = logging.config.BaseConfigurator(
            {"where": str(tmp_path / "x"), "kind": "int64"}
        )
        transport = build(config)
        transport.send(named_batch(P, 0, 1))

        (path,) = (tmp_path / "x").rglob("*.parquet")
        assert [0, 1] == pq.read_table(path, partitioning=None)["number"].to_pylist()

    def test_object(self) -> None:
        """A transport is taken as it is; any object that can send and close is adapted."""

        class Mine:
            def send(self, batch: Batch) -> None: ...

            def close(self) -> None: ...

        mine, whole = Mine(), BaseTransport()
        assert mine is given_object(build(mine))
        assert whole is build(whole)

    def test_default(self, home: Path) -> None:
        """Without any word it is Parquet in the user's log directory."""
        transport = build(None)

        assert isinstance(transport, ParquetTransport)
        assert transport.path.is_relative_to(home)
        assert "logbatch" in transport.path.parts

    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """LOGBATCH_TRANSPORT says where to, unless the program does."""
        monkeypatch.setenv("LOGBATCH_TRANSPORT", "jsonl:logs")

        assert f"jsonl:{tmp_path}/logs" == build().destination
        assert f"parquet:{tmp_path}/other" == build("parquet:other").destination

    @pytest.mark.parametrize(
        ("transport", "options", "message"),
        [
            ("parqet:logs", {}, "transport 'parqet' is unknown; did you mean 'parquet'?"),
            ("kafka:logs", {}, "'kafka' is unknown; Known are: .*jsonl, parquet.*entry point"),
            ("logs", {}, 'does not begin with a scheme; for a directory write "parquet:logs"'),
            ("", {}, "does not begin with a scheme"),
            ("parquet:", {}, "path='' must name a directory"),
            ("parquet://logs", {}, '"parquet:logs" or "parquet:/var/log/app"'),
            ("parquet:logs?compresion=none", {}, "'compresion'; did you mean 'compression'"),
            ("parquet:logs?now=1", {}, "unknown option 'now'; known are: compact, .*retain_bytes$"),
            ("jsonl:logs", {"now": 1}, "unknown option 'now'; known are: (?!.*remembered)"),
            ("jsonl:logs?rotate_bytes=0", {}, "rotate_bytes='0' must be a number of bytes"),
            ("jsonl:logs", {"rotate_seconds": "x"}, "rotate_seconds='x' must be a number of sec"),
            ("jsonl:logs", {"compression": "zst"}, "compression='zst' must be .* mean 'zstd'"),
            ("parquet:logs", {"compression": "zst"}, "compression='zst' .* mean 'zstd'"),
            ("parquet:logs", {"columns": {"a": "int"}}, "a='int' must be one of"),
            ("jsonl:logs", {"columns": {"a": "int64"}}, "unknown option 'columns'"),
            ("sqlite:", {}, "path='' must name a file"),
            ("sqlite:/", {}, "path='/' must name a file"),
            ("sqlite::memory:", {}, "path=':memory:' must name a file: what is in memory"),
            ("sqlite://logs.db", {}, '"sqlite:logs.db" or "sqlite:/var/log/app.db"'),
            ("sqlite:logs.db", {"columns": {"a": "int64"}}, "unknown option 'columns'"),
            ("sqlite:logs.db?retain_age=x", {}, "retain_age='x' must be a duration"),
            ("parquet:logs", {"flush_intervall": 1}, "did you mean 'flush_interval'"),
            ({"path": "logs"}, {}, 'this dict has no "type"'),
            ({"type": "parquet"}, {}, "'parquet' needs 'path'"),
            ({"type": "parquet", "pth": "x"}, {}, "unknown option 'pth'; did you mean 'path'"),
            ({"type": "parquett", "path": "x"}, {}, "'parquett' is unknown; did you mean"),
            ({"type": "parquet", "path": 5}, {}, "path=5 must name a directory"),
            (
                {"type": "parquet", "path": "x", "flush_interval": 1},
                {},
                "'flush_interval' belongs beside the transport's dict",
            ),
            (
                {"type": "parquet", "path": "x", "compression": "none"},
                {"compression": "zstd"},
                "'compression' is given twice",
            ),
            (5, {}, "must be a URL .*; got an object of type int"),
            (ParquetTransport, {}, "must be a URL .*; got the class ParquetTransport"),
            (Path("logs"), {}, "must be a URL .*; got an object of type P\\w+Path"),
            (
                BaseTransport(),
                {"compression": "zstd"},
                "'compression' must be given to the transport obj",
            ),
            (BaseTransport(), {"flush_intervall": 1}, "did you mean 'flush_interval'"),
        ],
    )
    def test_mistakes(self, transport: Any, options: dict[str, Any], message: str) -> None:
        """A mistake is a ValueError when it is built, which says what is right."""
        with pytest.raises(ValueError, match=message):
            build(transport, **options)

    @pytest.mark.parametrize(
        ("transport", "offered"),
        [
            ("parquet:logs", f"columns, {OF_PARQUET}"),
            ("jsonl:logs", OF_JSONL),
            ("sqlite:logs.db", OF_SQLITE),
            ({"type": "sqlite", "path": "logs.db"}, f"{OF_SQLITE}, path"),
            ({"type": "parquet", "path": "logs"}, f"columns, {OF_PARQUET}, path"),
            ({"type": "jsonl", "path": "logs"}, f"{OF_JSONL}, path"),
            (
                "https://example.org",
                "accept_html, account, batch_recheck, body, compression, fallback, fields, headers,"
                " insecure, proxies, single_method, single_url, timeout, token, verify",
            ),
        ],
    )
    def test_what_is_offered(self, transport: Any, offered: str) -> None:
        """An unknown option is answered with those that can be given there, and no others."""
        with pytest.raises(ValueError, match=r"^unknown option 'zzzz'; known are: ") as caught:
            build(transport, zzzz=1)

        known = set(str(caught.value).partition("known are: ")[2].split(", "))
        assert set(offered.split(", ")) == known - OPTION_NAMES
        if isinstance(transport, dict):
            with pytest.raises(ValueError, match=re.escape(str(caught.value))):
                build({**transport, "zzzz": 1})

    @pytest.mark.parametrize(("kind", "offered"), [
        ("parquet", OF_PARQUET),
        ("jsonl", OF_JSONL),
        ("sqlite", OF_SQLITE),
    ])  # fmt: skip
    def test_what_is_offered_in_a_url(self, kind: str, offered: str) -> None:
        """There, those that a text can hold."""
        with pytest.raises(ValueError) as caught:
            build(f"{kind}:logs?zzzz=1")
        assert f"unknown option 'zzzz'; known are: {offered}" == str(caught.value)

    @pytest.mark.parametrize("name", ["remembered", "open_files", "idle_seconds"])
    @pytest.mark.parametrize("transport", ["jsonl:logs", {"type": "jsonl", "path": "logs"}])
    def test_what_is_no_option(self, transport: Any, name: str) -> None:
        """What the receiver sets on a transport cannot be given to a handler."""
        with pytest.raises(ValueError, match=f"unknown option '{name}'"):
            build(transport, **{name: 5})
        with pytest.raises(ValueError, match=f"unknown option '{name}'"):
            build(f"jsonl:logs?{name}=5")

    @pytest.mark.parametrize(("url", "name"), [("jsonl:a", "path"), ("https://h", "url")])
    def test_what_the_url_says_is_not_given_beside_it(self, url: str, name: str) -> None:
        """Regression: this was a TypeError, of an argument that is given twice."""
        with pytest.raises(ValueError, match=f"unknown option '{name}'"):
            build(url, **{name: "b"})

    def test_mistake_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong LOGBATCH_TRANSPORT is told by its name."""
        monkeypatch.setenv("LOGBATCH_TRANSPORT", "parqet:logs")
        with pytest.raises(ValueError, match="environment variable LOGBATCH_TRANSPORT: transport"):
            build()

    @pytest.mark.parametrize(
        "url",
        [
            "htps://user:secret@example.com/in?token=secret",
            "//user:secret@example.com",
            "parquet://user:secret@host/logs",
            "parquet:logs?password=secret",
        ],
    )
    def test_secrets_are_not_repeated(self, url: str) -> None:
        """What stands in a wrong URL is not shown."""
        with pytest.raises(ValueError) as caught:
            build(url)
        assert "secret" not in str(caught.value)


class TestEntryPoints:
    @pytest.fixture(autouse=True)
    def _other_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A package that registers transports, as pip would install it."""
        (tmp_path / "queue_package.py").write_text(
            "class Queue:\n"
            "    def __init__(self, path, **options): self.path, self.options = path, options\n"
            "    @classmethod\n"
            "    def from_url(cls, url, **options): return cls(url, **options)\n"
            "    def send(self, batch): pass\n"
            "    def close(self): pass\n"
        )
        info = tmp_path / "queue_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: queue-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[logbatch.transports]\nqueue = queue_package:Queue\nbroken = no_such_package:X\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        yield
        sys.modules.pop("queue_package", None)

    def test_url(self) -> None:
        """Its transport gets the whole URL, and the options."""
        transport: Any = given_object(build("queue:a/b?c=d", size=5))

        assert ("Queue", "queue:a/b?c=d", {"size": 5}) == (
            type(transport).__name__,
            transport.path,
            transport.options,
        )

    def test_dict(self) -> None:
        """Or the dict without its type."""
        transport: Any = given_object(build({"type": "queue", "path": "x", "size": 5}))

        assert ("x", {"size": 5}) == (transport.path, transport.options)

    def test_known(self) -> None:
        """It is among the kinds that are known."""
        with pytest.raises(ValueError, match=re.escape("did you mean 'queue'? Known are: broken,")):
            build("quue:x")

    def test_broken(self) -> None:
        """One that cannot be imported is told, with the reason."""
        with pytest.raises(ValueError, match=r"'broken' .* cannot be loaded: No module named"):
            build("broken:x")
