"""JSON Lines files: growth, rotation, compression, and what a crash leaves."""

from __future__ import annotations

import fcntl
import gzip
import os
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from clocks import with_clock
from duck import ask
from hypothesis import given, settings
from hypothesis import strategies as st
from make import DAY, MIDNIGHT, P, Q, line, lines, make_batch, with_identity

from logbatch.errors import TemporaryError
from logbatch.identity import Ranges, new_producer
from logbatch.testing import ManualClock
from logbatch.transports.base import Batch
from logbatch.transports.jsonl import JsonlTransport

pytestmark = pytest.mark.usefixtures("tmp_path")  # they write to the current directory

NEXT = "date=2026-11-22"


@pytest.fixture
def clock() -> ManualClock:
    """A clock that shows two hours before midnight."""
    return ManualClock(MIDNIGHT - 7200)


def stored(first: int, last: int, producer: str = P) -> bytes:
    """The lines of a batch as they stand in a file."""
    return with_identity(lines(first, last), producer, first)


def files(directory: Path) -> dict[str, bytes]:
    """Day and name -> content, of all files but temporary ones."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.glob("date=*/*")
        if path.suffix != ".tmp"
    }


class TestGrowing:
    def test_grows(self, tmp_path: Path, clock: ManualClock) -> None:
        """Batches of one producer are appended to one file, which is there after each."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        assert {f"{DAY}/{P}-0.jsonl": stored(0, 4)} == files(tmp_path)

        transport.send(make_batch(5, 9))
        assert {f"{DAY}/{P}-0.jsonl": stored(0, 9)} == files(tmp_path)

        transport.close()
        assert {f"{DAY}/{P}-0-9.jsonl": stored(0, 9)} == files(tmp_path)

    @pytest.mark.parametrize("first", [0, 5, 995, 998_999, 10**15])
    def test_numbers(self, first: int, tmp_path: Path) -> None:
        """Each line gets its number, however many digits that has."""
        transport = JsonlTransport(tmp_path)
        transport.send(make_batch(first, first + 2050))

        assert [stored(first, first + 2050)] == list(files(tmp_path).values())

    def test_large_batch(self, tmp_path: Path) -> None:
        """A batch that is written in several blocks is whole."""
        transport = JsonlTransport(tmp_path)
        transport.send(make_batch(0, 30_000))

        assert [stored(0, 30_000)] == list(files(tmp_path).values())

    @settings(max_examples=30)
    @given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")), max_size=5))
    def test_damaged_lines(self, lines: list[bytes]) -> None:
        """Every line in a file is one record of its own, also where the event was damaged."""
        producer = new_producer()
        damaged = [line for line in lines if not line.endswith(b"}")]
        data = line(0) + b"".join(line + b"\n" for line in damaged) + line(1)
        path = Path("x")
        JsonlTransport(path).send(Batch(producer, 0, len(damaged) + 1, data))
        (found,) = (each.read_bytes() for each in path.rglob(f"{producer}*"))
        rows = [msgspec.json.decode(line) for line in found.splitlines()]

        assert list(range(len(damaged) + 2)) == [row["sequence"] for row in rows]
        assert ["message 0", "message 1"] == [rows[0]["message"], rows[-1]["message"]]
        assert all(producer == row["producer"] for row in rows)
        assert all("ERROR" == row["level"] for row in rows[1:-1])


class TestRotation:
    def test_by_size(self, tmp_path: Path, clock: ManualClock) -> None:
        """A file does not get larger than allowed; a batch is not split."""
        transport = with_clock(
            JsonlTransport(tmp_path, rotate_bytes=len(stored(0, 14)) + 100), clock
        )
        for first in range(0, 40, 5):
            transport.send(make_batch(first, first + 4))
        transport.send(make_batch(40, 99))
        transport.send(make_batch(100, 100))
        found = {name: len(data) for name, data in files(tmp_path).items()}

        assert [
            f"{DAY}/{P}-0-9.jsonl",
            f"{DAY}/{P}-10-19.jsonl",
            f"{DAY}/{P}-100.jsonl",
            f"{DAY}/{P}-20-29.jsonl",
            f"{DAY}/{P}-30-39.jsonl",
            f"{DAY}/{P}-40-99.jsonl",
        ] == sorted(found)
        assert [stored(0, 9), stored(10, 19), stored(100, 100), stored(20, 29)] == [
            files(tmp_path)[name] for name in sorted(found)[:4]
        ]

    def test_by_age(self, tmp_path: Path, clock: ManualClock) -> None:
        """A file that is old enough is not appended to any more."""
        transport = with_clock(JsonlTransport(tmp_path, rotate_seconds=60), clock)
        transport.send(make_batch(0, 4))
        clock.now += 59
        transport.send(make_batch(5, 9))
        clock.now += 1
        transport.send(make_batch(10, 14))

        assert {
            f"{DAY}/{P}-0-9.jsonl": stored(0, 9),
            f"{DAY}/{P}-10.jsonl": stored(10, 14),
        } == files(tmp_path)

    def test_by_day(self, tmp_path: Path, clock: ManualClock) -> None:
        """A file ends with its day."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        clock.now = MIDNIGHT
        transport.send(make_batch(5, 9))

        assert {
            f"{DAY}/{P}-0-4.jsonl": stored(0, 4),
            f"{NEXT}/{P}-5.jsonl": stored(5, 9),
        } == files(tmp_path)

    def test_clock_set_back(self, tmp_path: Path, clock: ManualClock) -> None:
        """A clock that goes back closes the file, and nothing else."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        clock.now -= 1000
        transport.send(make_batch(5, 9))
        transport.close()

        assert {f"{DAY}/{P}-0-4.jsonl", f"{DAY}/{P}-5-9.jsonl"} == set(files(tmp_path))

    def test_gap(self, tmp_path: Path, clock: ManualClock) -> None:
        """A file holds records without a gap: its name says which."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        transport.send(make_batch(7, 9))
        transport.close()

        assert {f"{DAY}/{P}-0-4.jsonl", f"{DAY}/{P}-7-9.jsonl"} == set(files(tmp_path))

    def test_idle_producer(self, tmp_path: Path, clock: ManualClock) -> None:
        """The file of a producer that sends no more gets its final name after a minute."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        clock.now += 61
        transport.send(make_batch(0, 4, Q))

        assert {f"{DAY}/{P}-0-4.jsonl", f"{DAY}/{Q}-0.jsonl"} == set(files(tmp_path))

    @pytest.mark.parametrize(("compression", "end"), [("zstd", ".zst"), ("gzip", ".gz")])
    def test_compressed(
        self, compression: str, end: str, tmp_path: Path, clock: ManualClock
    ) -> None:
        """When it is rotated a file is compressed, and the plain one goes away."""
        transport = with_clock(JsonlTransport(tmp_path, compression=compression), clock)
        transport.send(make_batch(0, 30_000))
        assert {f"{DAY}/{P}-0.jsonl"} == set(files(tmp_path))

        transport.close()
        ((name, data),) = files(tmp_path).items()

        assert f"{DAY}/{P}-0-30000.jsonl{end}" == name
        assert stored(0, 30_000) == decompress(data, end)
        assert Ranges([(0, 30_000)]) == transport.published(P)

    def test_compressing_fails(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that cannot be compressed stays as it is; nothing is held up by that."""
        transport = with_clock(JsonlTransport(tmp_path, compression="gzip", rotate_bytes=1), clock)
        transport.send(make_batch(0, 4))
        rename = os.rename

        def fail(source: Any, target: Any) -> None:
            if str(source).endswith(".tmp"):
                raise OSError(28, "No space left on device")
            rename(source, target)

        monkeypatch.setattr(os, "rename", fail)
        transport.send(make_batch(5, 9))

        assert {
            f"{DAY}/{P}-0-4.jsonl": stored(0, 4),
            f"{DAY}/{P}-5.jsonl": stored(5, 9),
        } == files(tmp_path)
        assert [] == list(tmp_path.rglob("*.tmp"))

    def test_crash_while_compressing(self, tmp_path: Path, clock: ManualClock) -> None:
        """Where a crash left both forms, records count once, and the plain form goes away."""
        transport = with_clock(JsonlTransport(tmp_path, compression="gzip"), clock)
        transport.send(make_batch(0, 9))
        transport.close()
        (tmp_path / DAY / f"{P}-0-9.jsonl").write_bytes(stored(0, 9))
        heir = with_clock(JsonlTransport(tmp_path), clock)

        assert Ranges([(0, 9)]) == heir.published(P)
        heir.send(make_batch(0, 9))
        heir.send(make_batch(10, 14))
        assert {f"{DAY}/{P}-0-9.jsonl.gz", f"{DAY}/{P}-10.jsonl"} == set(files(tmp_path))


def decompress(data: bytes, end: str) -> bytes:
    """Decompress by the ending of a file's name."""
    if end == ".gz":
        return gzip.decompress(data)
    return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())


class TestAfterACrash:
    @settings(max_examples=40)
    @given(st.integers(0, 10), st.data())
    def test_torn_anywhere(self, sent: int, data: st.DataObject) -> None:
        """Wherever the end of a file was torn off, sending it all again gives each record once."""
        producer = new_producer()
        path = Path("torn")
        clock = ManualClock(MIDNIGHT - 7200)
        folder = path / DAY
        folder.mkdir(parents=True, exist_ok=True)
        whole = stored(0, sent, producer)
        cut = data.draw(st.integers(0, len(whole)))
        (folder / f"{producer}-0.jsonl").write_bytes(whole[:cut])
        heir = with_clock(JsonlTransport(path), clock)
        there = whole[:cut].count(b"\n")

        assert there == heir.published(producer).count()
        heir.send(make_batch(0, sent + 3, producer))
        heir.close()
        found = sorted(folder.glob(f"{producer}*"), key=lambda each: int(each.name.split("-")[1]))
        assert stored(0, sent + 3, producer) == b"".join(each.read_bytes() for each in found)
        assert all(each.name.count("-") == 2 for each in found)

    def test_nothing_left_to_send(self, tmp_path: Path, clock: ManualClock) -> None:
        """A file that lacks nothing gets its final name as soon as its journal is taken over."""
        dead = with_clock(JsonlTransport(tmp_path), clock)
        dead.send(make_batch(0, 4))
        dead.after_fork()  # lets go of the file, as a death does

        assert Ranges([(0, 4)]) == JsonlTransport(tmp_path, compression="gzip").published(P)
        assert {f"{DAY}/{P}-0-4.jsonl.gz"} == set(files(tmp_path))

    def test_a_living_owner_is_left_alone(self, tmp_path: Path, clock: ManualClock) -> None:
        """The file of a process that lives is read, but neither cut nor renamed."""
        owner = with_clock(JsonlTransport(tmp_path), clock)
        owner.send(make_batch(0, 4))

        assert Ranges([(0, 4)]) == with_clock(JsonlTransport(tmp_path), clock).published(P)
        owner.send(make_batch(5, 9))
        assert {f"{DAY}/{P}-0.jsonl": stored(0, 9)} == files(tmp_path)

    def test_a_child_still_has_the_file(self, tmp_path: Path, clock: ManualClock) -> None:
        """If a child of the dead process holds its file, what is new goes into another."""
        dead = with_clock(JsonlTransport(tmp_path), clock)
        dead.send(make_batch(0, 4))
        path = tmp_path / DAY / f"{P}-0.jsonl"
        dead.after_fork()
        with path.open("ab") as child:
            fcntl.flock(child, fcntl.LOCK_EX)
            child.write(b'{"message":"torn')
            child.flush()
            heir = with_clock(JsonlTransport(tmp_path), clock)
            heir.send(make_batch(0, 9))
            heir.close()

            assert {
                f"{DAY}/{P}-0.jsonl": stored(0, 4) + b'{"message":"torn',
                f"{DAY}/{P}-5-9.jsonl": stored(5, 9),
            } == files(tmp_path)

    @pytest.mark.parametrize("bad", [b"\0" * 50 + b"\n", b'{"message":"m\n', b"\n"])
    @pytest.mark.parametrize("at", [0, 2, 4])
    def test_damaged_in_the_middle(
        self, bad: bytes, at: int, tmp_path: Path, clock: ManualClock
    ) -> None:
        """After a power cut whole lines are kept, lost ones sent again, and the file put aside."""
        folder = tmp_path / DAY
        folder.mkdir()
        damaged = (stored(0, at - 1) if at else b"") + bad + stored(at + 1, 6) + b'{"torn'
        (folder / f"{P}-0.jsonl").write_bytes(damaged)
        heir = with_clock(JsonlTransport(tmp_path), clock)

        assert [(at, at)] == heir.published(P).missing(0, 6)
        heir.send(make_batch(0, 9))
        heir.close()
        found = files(tmp_path)

        assert damaged == found.pop(f"{DAY}/.damaged-{P}-0")
        assert stored(0, 9) == b"".join(found[name] for name in sorted(found))
        assert Ranges([(0, 9)]) == JsonlTransport(tmp_path).published(P)

    def test_crash_while_putting_aside(self, tmp_path: Path, clock: ManualClock) -> None:
        """If that is interrupted by a crash, it is done again."""
        folder = tmp_path / DAY
        folder.mkdir()
        (folder / f"{P}-0.jsonl").write_bytes(stored(0, 1) + b"\0\n" + stored(3, 4))
        (folder / f"{P}-3-4.jsonl").write_bytes(stored(3, 4))
        heir = with_clock(JsonlTransport(tmp_path), clock)
        heir.send(make_batch(0, 4))
        heir.close()

        assert {
            f"{DAY}/{P}-0-1.jsonl",
            f"{DAY}/{P}-2-2.jsonl",
            f"{DAY}/{P}-3-4.jsonl",
            f"{DAY}/.damaged-{P}-0",
        } == set(files(tmp_path))

    def test_links_are_not_followed(self, tmp_path: Path, clock: ManualClock) -> None:
        """A link in the place of a growing file is not followed, nor written through."""
        folder = tmp_path / DAY
        folder.mkdir()
        (tmp_path / "precious").write_bytes(b"keep\n")
        (folder / f"{P}-0.jsonl").symlink_to(tmp_path / "precious")
        with pytest.raises(TemporaryError, match="symbolic links"):
            with_clock(JsonlTransport(tmp_path), clock).send(make_batch(0, 4))

        assert b"keep\n" == (tmp_path / "precious").read_bytes()


def is_open_at(number: int, path: Path) -> bool:
    """Return whether a descriptor is that of a file."""
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except OSError:
        return False


class TestInterference:
    def test_descriptor_closed_by_the_application(self, tmp_path: Path, clock: ManualClock) -> None:
        """If the application closes our descriptor and reuses its number, nothing is mixed up."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        path = tmp_path / DAY / f"{P}-0.jsonl"
        (ours,) = (
            number for number in map(int, os.listdir("/proc/self/fd")) if is_open_at(number, path)
        )
        os.close(ours)
        other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
        if other != ours:
            os.dup2(other, ours)
            os.close(other)
        transport.send(make_batch(0, 9))
        transport.close()
        assert is_open_at(ours, tmp_path / "other")
        os.close(ours)

        assert b"" == (tmp_path / "other").read_bytes()
        assert {
            f"{DAY}/{P}-0-4.jsonl": stored(0, 4),
            f"{DAY}/{P}-5-9.jsonl": stored(5, 9),
        } == files(tmp_path)

    def test_file_removed(self, tmp_path: Path, clock: ManualClock) -> None:
        """If somebody removes the growing file, later batches do not vanish with it."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        (tmp_path / DAY / f"{P}-0.jsonl").unlink()
        transport.send(make_batch(5, 9))
        transport.close()

        assert {f"{DAY}/{P}-5-9.jsonl": stored(5, 9)} == files(tmp_path)

    def test_write_cannot_be_taken_back(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If a torn write cannot even be cut off, it is before anything else is written."""
        transport = with_clock(JsonlTransport(tmp_path), clock)
        transport.send(make_batch(0, 4))
        write = os.write

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        def write_half(descriptor: int, blocks: list[bytes]) -> int:
            return write(descriptor, blocks[0][: len(blocks[0]) // 2])

        with monkeypatch.context() as full:
            full.setattr(os, "writev", write_half)
            full.setattr(os, "write", fail)
            full.setattr(os, "ftruncate", fail)
            with pytest.raises(TemporaryError, match="No space left on device"):
                transport.send(make_batch(5, 14))
        transport.send(make_batch(5, 19))
        transport.close()
        found = files(tmp_path)

        assert stored(0, 19) == b"".join(
            found[name] for name in sorted(found, key=lambda name: int(name.split("-")[3]))
        )

    def test_short_write(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the system takes a part only, the rest follows."""
        write = os.write
        monkeypatch.setattr(os, "writev", lambda fd, blocks: write(fd, blocks[0][:100]))
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
        with_clock(JsonlTransport(tmp_path), clock).send(make_batch(0, 9999))

        assert {f"{DAY}/{P}-0.jsonl": stored(0, 9999)} == files(tmp_path)

    def test_rotation_fails(
        self, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If a file cannot get its final name, the batch waits; at the end the file stays."""
        transport = with_clock(JsonlTransport(tmp_path, rotate_bytes=1), clock)
        transport.send(make_batch(0, 4))
        rename = os.rename

        def fail(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(os, "rename", fail)
        with pytest.raises(TemporaryError, match="Read-only file system"):
            transport.send(make_batch(5, 9))
        transport.close()
        assert {f"{DAY}/{P}-0.jsonl": stored(0, 4)} == files(tmp_path)

        monkeypatch.setattr(os, "rename", rename)
        transport.send(make_batch(5, 9))
        transport.close()
        assert Ranges([(0, 9)]) == JsonlTransport(tmp_path).published(P)


class TestEngines:
    @pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
    def test_duckdb(self, compression: str, tmp_path: Path) -> None:
        """DuckDB reads rotated files by their ending, compressed or not."""
        transport = JsonlTransport(tmp_path, compression=compression)
        transport.send(make_batch(0, 999))
        transport.close()
        query = "SELECT count(*), min(sequence), max(sequence), min(producer) FROM '{}'"
        (path,) = tmp_path.glob("date=*/*")

        assert [(1000, 0, 999, P)] == ask(query.format(path))

    def test_polars_and_arrow(self, tmp_path: Path) -> None:
        """Polars and Arrow read them as well."""
        import polars
        import pyarrow.dataset

        ds: Any = pyarrow.dataset  # its stubs do not know this format

        transport = JsonlTransport(tmp_path)
        transport.send(make_batch(0, 999))
        transport.close()
        found = polars.scan_ndjson(f"{tmp_path}/*/*.jsonl").collect()

        assert list(range(1000)) == found["sequence"].to_list()
        assert list(range(1000)) == (
            ds.dataset(tmp_path, format="json").to_table()["sequence"].to_pylist()
        )
