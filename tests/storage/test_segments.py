"""Names and folders of files, and how one is published."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import DAY, P, Q

from logbatch.disk import publish
from logbatch.identity import Ranges, new_producer
from logbatch.storage import segments
from logbatch.storage.segments import Run, Segment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a day."""
    path = tmp_path / DAY
    path.mkdir()
    return path


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).write_bytes(b"")


def lines(first: int, count: int, producer: str = P) -> bytes:
    """What a growing file holds."""
    return b"".join(
        b'{"message":"m","producer":"%b","sequence":%d}\n' % (producer.encode(), number)
        for number in range(first, first + count)
    )


class TestNames:
    def test_published(self, tmp_path: Path) -> None:
        """The name of a published file tells its records."""
        path = tmp_path / f"{P}-3-8.jsonl.zst"

        assert Segment(path, P, 3, 8, "jsonl.zst") == segments.parse_segment(path)

    def test_growing(self, tmp_path: Path) -> None:
        """That of a growing file has no last record."""
        path = tmp_path / f"{P}-3.jsonl"
        segment = segments.parse_segment(path)

        assert Segment(path, P, 3, None, "jsonl") == segment
        assert segment.growing

    @pytest.mark.parametrize(
        "name",
        [
            "x.jsonl",
            f"{P}.jsonl",
            f"{P}-1.parquet",
            f"{P}-1.jsonl.gz",
            f"{P}-01.jsonl",
            f"{P}-.jsonl",
        ],
    )
    def test_others(self, name: str) -> None:
        """Other files are no segments."""
        assert segments.parse_segment(Path(name)) is None

    @pytest.mark.parametrize(
        ("now", "expected"),
        [(0, "date=1970-01-01"), (1795305599.999, DAY), (1795305600, "date=2026-11-22")],
    )
    def test_day(self, now: float, expected: str) -> None:
        """A day begins and ends at midnight, UTC."""
        assert expected == segments.day_name(now)

    def test_birth(self) -> None:
        """The id of a producer tells, to the millisecond, when it was made."""
        before = time.time()
        born = segments.born(new_producer())

        assert before - 0.001 <= born <= time.time()

    def test_birth_of_nobody(self) -> None:
        """Something else than an id was made in 1970."""
        assert 0.0 == segments.born("nobody")


class TestListing:
    def test_no_directory(self, tmp_path: Path) -> None:
        """Where nothing was written, there is nothing."""
        assert [] == segments.list_folders(tmp_path / "none")
        assert [] == segments.list_segments(tmp_path / "none")

    def test_only_days(self, tmp_path: Path) -> None:
        """Other folders beside those of the days are left alone."""
        for name in ("date=2026-11-22", DAY, ".journal", "date=x", "date=2026-11-21.old"):
            (tmp_path / name).mkdir()

        assert [tmp_path / DAY, tmp_path / "date=2026-11-22"] == segments.list_folders(tmp_path)

    def test_order(self, tmp_path: Path, folder: Path) -> None:
        """Segments come by producer and sequence, not by name."""
        touch(folder, f"{Q}-0-1.parquet", f"{P}-10-19.parquet", f"{P}-9-9.parquet", "README.md")
        found = segments.list_segments(tmp_path)

        assert [(P, 9), (P, 10), (Q, 0)] == [(each.producer, each.first) for each in found]

    def test_of_one_producer(self, tmp_path: Path, folder: Path) -> None:
        """The listing can be narrowed."""
        later = tmp_path / "date=2026-11-22"
        later.mkdir()
        touch(folder, f"{P}-0-1.parquet", f"{Q}-0-1.parquet")
        touch(later, f"{P}-2-3.parquet")

        assert [0, 2] == [each.first for each in segments.list_segments(tmp_path, P)]

    def test_both_forms_count_once(self, tmp_path: Path, folder: Path) -> None:
        """A crash between compressing a file and removing it leaves one segment, not two."""
        touch(folder, f"{P}-0-9.jsonl", f"{P}-0-9.jsonl.zst", f"{P}-10-19.jsonl", f"{P}-20.jsonl")
        found = [each.path.name for each in segments.list_segments(tmp_path)]

        assert [f"{P}-0-9.jsonl.zst", f"{P}-10-19.jsonl", f"{P}-20.jsonl"] == found

    def test_growing_and_rotated_count_once(self, tmp_path: Path, folder: Path) -> None:
        """A listing that met a file under its old and its new name has one segment."""
        touch(folder, f"{P}-0.jsonl", f"{P}-0-9.jsonl")

        assert [f"{P}-0-9.jsonl"] == [each.path.name for each in segments.list_segments(tmp_path)]

    def test_overlaps_are_shown(self, tmp_path: Path, folder: Path) -> None:
        """Two files that hold the same records in different cuts are both listed."""
        touch(folder, f"{P}-0-9.parquet", f"{P}-0-4.parquet", f"{P}-0-7.jsonl", f"{P}-0-6.jsonl")

        assert 4 == len(segments.list_segments(tmp_path))

    def test_no_file_is_missed_while_it_is_renamed(self, tmp_path: Path, folder: Path) -> None:
        """A file that is rotated during a listing is found under one of its names."""
        producers = [new_producer() for _ in range(300)]
        touch(folder, *(f"{Q}-{number}-{number}.parquet" for number in range(3000)))
        touch(folder, *(f"{producer}-0.jsonl" for producer in producers))
        code = (
            "import os, sys\n"
            "for name in sorted(os.listdir('.')):\n"
            "    if name.endswith('-0.jsonl'): os.rename(name, name[:-6] + '-7.jsonl')\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code], cwd=folder)
        missed = set()
        while child.poll() is None:
            found = {each.producer for each in segments.list_segments(tmp_path)}
            missed |= set(producers) - found

        assert 0 == child.returncode
        assert set() == missed

    @pytest.mark.parametrize("days", [-1, 1])
    def test_renamed_when_a_file_server_has_another_time(
        self, folder: Path, days: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that is rotated during a listing is found, though the folder seems old."""
        touch(folder, f"{P}-0.jsonl")
        at = time.time() + days * 86_400
        os.utime(folder, (at, at))
        listdir = os.listdir

        def overtaken(path: Path) -> list[str]:
            names = listdir(path)
            if (folder / f"{P}-0.jsonl").exists():
                names.remove(f"{P}-0.jsonl")
                (folder / f"{P}-0.jsonl").rename(folder / f"{P}-0-9.jsonl")
                os.utime(folder, (at + 1, at + 1))
            return names

        monkeypatch.setattr(os, "listdir", overtaken)
        assert {f"{P}-0-9.jsonl"} == segments.list_names(folder)


class TestGrowing:
    @given(st.integers(0, 5000), st.integers(1, 12), st.data())
    def test_cut_anywhere(self, first: int, count: int, data: st.DataObject) -> None:
        """Of a file that was torn, exactly the whole lines count."""
        whole = lines(first, count)
        cut = data.draw(st.integers(0, len(whole)))
        torn = whole[:cut]
        there = torn.count(b"\n")
        expected = [Run(first, first + there - 1, 0, torn.rfind(b"\n") + 1)] if there else []

        assert expected == segments.scan_growing(io.BytesIO(torn), P)

    @pytest.mark.parametrize(
        "bad",
        [
            b"\n",
            b'{"message":"torn\n',
            b'{"message":"m","producer":"' + Q.encode() + b'","sequence":1}\n',
            b'{"message":"m","producer":"' + P.encode() + b'","sequence":-1}\n',
            b'{"message":"m","producer":"' + P.encode() + b'","sequence":1}}\n',
            b'\0\0\0"m","producer":"' + P.encode() + b'","sequence":1}\n',
            b'{"\0\0\0":"m","producer":"' + P.encode() + b'","sequence":1}\n',
        ],
    )
    def test_damage_in_the_middle(self, bad: bytes) -> None:
        """A damaged line costs itself; what stands before and behind it counts."""
        found = segments.scan_growing(io.BytesIO(lines(0, 1) + bad + lines(2, 3)), P)

        assert [(0, 0), (2, 4)] == [(run.first, run.last) for run in found]

    def test_a_line_that_quotes_another(self) -> None:
        """The sequence is the last one in the line, not one that stands in a message."""
        line = lines(7, 1).replace(b'"m"', b'"{\\"producer\\":\\"x\\",\\"sequence\\":1}"')

        assert [(7, 7)] == [run[:2] for run in segments.scan_growing([line], P)]

    def test_published_by_names_and_lines(self, tmp_path: Path, folder: Path) -> None:
        """What is published stands in the names, and in the lines of files that grow."""
        touch(folder, f"{P}-0-9.parquet", f"{P}-20-29.jsonl.gz", f"{Q}-0-99.parquet")
        (folder / f"{P}-30.jsonl").write_bytes(lines(30, 5) + b'{"message":"torn')

        found = segments.list_segments(tmp_path, P)

        assert Ranges([(0, 9), (20, 34)]) == segments.read_ranges(found, P)


class TestCleaning:
    def test_cleaning(self, folder: Path) -> None:
        """Old temporary files, and files that are compressed already, are removed; no others."""
        kept = [f"{P}-0-9.jsonl.gz", f"{P}-10-19.jsonl", f"{P}-20.jsonl", "x.tmp", ".part-x"]
        gone = [f"{P}-0-9.jsonl", ".part-0123.tmp"]
        touch(folder, *kept, *gone)
        for name in (*kept, *gone):
            set_age(folder / name, 3660)
        segments.clean_folder(folder)

        assert sorted(kept) == sorted(os.listdir(folder))

    @pytest.mark.parametrize("years", [1, -1])
    def test_what_is_being_written_is_kept(self, folder: Path, years: int) -> None:
        """A temporary file of a living process is kept, to whatever time the clock is set."""

        def blocks() -> Iterator[bytes]:
            (path,) = folder.iterdir()
            yield b"a"
            set_age(path, years * 365 * 86_400)
            segments.clean_folder(folder)
            yield b"b"

        publish(folder / "x.parquet", blocks())

        assert b"ab" == (folder / "x.parquet").read_bytes()

    def test_what_is_made_at_this_moment_is_kept(self, folder: Path) -> None:
        """A temporary file of late may be that of a process which is about to lock it."""
        touch(folder, ".part-0123.tmp")
        set_age(folder / ".part-0123.tmp", 3540)
        segments.clean_folder(folder)

        assert [".part-0123.tmp"] == os.listdir(folder)

    def test_left_before_the_clock_was_set_back(self, folder: Path) -> None:
        """A temporary file whose time is still to come is old."""
        touch(folder, ".part-0123.tmp")
        set_age(folder / ".part-0123.tmp", -86_400)
        segments.clean_folder(folder)

        assert [] == os.listdir(folder)


def set_age(path: Path, seconds: float) -> None:
    """Have a file changed last so long ago."""
    at = time.time() - seconds
    os.utime(path, (at, at))
