"""The spool: what was read stays, in order, whoever dies when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.capture.chunk import STREAMS, Chunk
from logbatch.capture.notes import Ending, Mark, Notes, NotesFile, create_notes, read_notes
from logbatch.capture.spool import (
    Spool,
    SpoolReader,
    find_spools,
    remove_spool,
    spool_directory,
    taking_over,
)


def begin(directory: Path) -> Spool:
    """A new spool, of a run of which nothing is known."""
    return Spool(directory, lambda _: None)


def read_all(directory: Path, *, is_finished: bool = False, limit: int = 100) -> list[Chunk]:
    """Return all pieces of a spool."""
    reader = SpoolReader(directory, is_finished=is_finished)
    found: list[Chunk] = []
    while chunks := reader.read(found[-1].end if found else 0, limit):
        found += chunks
    reader.close()
    return found


@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=300))),
    st.integers(1, 500),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, bytes]], limit: int
) -> None:
    """In order, each once, with its place in its stream, however little is read at a time."""
    spool = begin(tmp_path_factory.mktemp("spool") / "run")
    for number, (stream, data) in enumerate(pieces):
        spool.write(stream, data, float(number))
    found = read_all(spool.directory, limit=limit)
    spool.close()

    assert pieces == [(chunk.stream, chunk.data) for chunk in found]
    assert list(range(len(pieces))) == [chunk.time for chunk in found]
    for stream in STREAMS:
        reached = 0
        for chunk in found:
            if chunk.stream == stream:
                assert reached == chunk.offset
                reached += len(chunk.data)


def test_segments_are_removed_when_they_are_taken(tmp_path: Path) -> None:
    """What a long run has printed does not stay; positions go on."""
    spool = begin(tmp_path / "run")
    reader = SpoolReader(spool.directory)
    piece, position = bytes(1 << 20), 0
    for number in range(60):
        spool.write("stdout", piece, float(number))
        (chunk,) = reader.read(position, 1)
        position = chunk.end
        reader.remove_before(position)
        size = sum(path.stat().st_size for path in spool.directory.iterdir())
        assert size < 20 << 20
    assert [] == reader.read(position, 1)
    assert position == spool.end > 60 << 20
    spool.close()
    reader.close()
    remove_spool(spool.directory)
    assert [] == list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_half_piece(tmp_path: Path) -> None:
    """What comes later is read as if the piece had never been."""
    code = f"""
import resource, signal
from pathlib import Path
from logbatch.capture.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path({str(tmp_path)!r}) / "run", lambda _: None)
spool.write("stdout", b"first", 1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    spool.write("stdout", bytes(20_000), 2.0)
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.write("stderr", b"later", 3.0)
spool.write("stdout", b"second", 4.0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    found = read_all(tmp_path / "run")

    assert "File too large\n" == done.stdout
    assert [b"first", b"later", b"second"] == [chunk.data for chunk in found]
    assert 5 == found[-1].offset


@pytest.mark.parametrize("kept", range(21 + 10))
def test_a_piece_that_was_cut_off(tmp_path: Path, kept: int) -> None:
    """It waits while its process lives, and counts as far as it goes afterwards."""
    spool = begin(tmp_path / "run")
    spool.write("stdout", b"whole", 1.0)
    (first,) = read_all(spool.directory)
    spool.write("stderr", b"0123456789", 2.0)
    spool.close()
    (segment,) = [path for path in spool.directory.iterdir() if path.name.isdecimal()]
    os.truncate(segment, first.end + kept)

    assert [b"whole"] == [chunk.data for chunk in read_all(spool.directory)]
    rest = b"".join(chunk.data for chunk in read_all(spool.directory, is_finished=True)[1:])
    assert b"0123456789"[: max(kept - 21, 0)] == rest


def test_notes(tmp_path: Path) -> None:
    """The newest that are whole count."""
    create_notes(tmp_path)
    assert Notes() == read_notes(tmp_path)
    one = Notes({"stdout": Mark(10, 2), "stderr": Mark(0, 1)}, seen=17.5, turn=1)
    marks, after = {"stdout": Mark(90, 7), "stderr": Mark(30, 3)}, {"stdout": 9, "stderr": 4}
    two = Notes(marks, after, 18.5, True, Ending(18.5, -9, 3.25, 17), turn=2)
    for notes in (one, two):
        with NotesFile(tmp_path) as file:
            file.write(notes)
        assert notes == read_notes(tmp_path)
    content = bytearray((tmp_path / "notes").read_bytes())
    content[9] ^= 1  # the second turn is in the first slot
    (tmp_path / "notes").write_bytes(content)
    assert one == read_notes(tmp_path)
    (tmp_path / "notes").write_bytes(b"")
    assert Notes() == read_notes(tmp_path)


FILLS = """
import sys, time
from pathlib import Path
from logbatch.capture.spool import Spool
spool = Spool(Path(sys.argv[1]), lambda _: None)
spool.write("stdout", b"printed", 1.0)
print("ready", flush=True)
time.sleep(60)
"""


def test_the_spool_of_a_dead_process_is_taken_over_by_one(tmp_path: Path) -> None:
    """Not while it lives, and not by two."""
    directory = spool_directory(tmp_path, "01J")
    process = subprocess.Popen(
        [sys.executable, "-c", FILLS, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert "ready\n" == process.stdout.readline()
        assert {"01J": directory} == find_spools(tmp_path)
        with taking_over(directory) as ours:
            assert not ours
        process.send_signal(signal.SIGKILL)
        process.wait()
    with taking_over(directory) as ours, taking_over(directory) as others:
        assert ours and not others
        assert [b"printed"] == [each.data for each in read_all(directory, is_finished=True)]
    remove_spool(directory)
    assert {} == find_spools(tmp_path)


def test_one_that_was_never_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that died while it made one leaves nothing for ever."""
    unfinished = tmp_path / "runs" / ".new-01J"
    unfinished.mkdir(parents=True)
    (unfinished / "owner").touch()
    assert {} == find_spools(tmp_path) and unfinished.exists()
    os.utime(unfinished / "owner", (0, 0))
    assert {} == find_spools(tmp_path) and not unfinished.exists()
