"""Journals that were damaged: what is hit is lost and kept aside, all else is delivered."""

from __future__ import annotations

import os
import random
import signal
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make import padded_line

from logbatch.identity import Ranges, new_producer
from logbatch.journal import Journal, adopt, read_pending

MANY = 1 << 40
SIZE = 200  # bytes of a line
OWNER, SLOT = 1024, 256  # bytes in the state file


def line(number: int, size: int = SIZE) -> bytes:
    """A line whose message is its number, of an exact size."""
    return padded_line(number, size)


def number_of(piece: bytes) -> int:
    """The number of a line, which must be whole; -1 where its text was altered."""
    text = msgspec.json.decode(piece).get("message", "").rstrip(".")
    return int(text) if text.isdecimal() else -1


def drain(journal: Journal) -> list[tuple[int, int]]:
    """Send all: read, note and acknowledge; return (sequence, number) of each."""
    found: list[tuple[int, int]] = []
    while (lines := journal.read(journal.settled, MANY)) is not None:
        journal.sending(lines.last)
        pieces = lines.data.splitlines()
        assert lines.last - lines.first + 1 == len(pieces)
        found += enumerate(map(number_of, pieces), lines.first)
        journal.acknowledge(lines.last)
    return found


class Orphan:
    """The journal of a process that is gone, to be damaged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.producer = new_producer()
        self.told: list[tuple[str, str]] = []

    def leave(
        self,
        count: int,
        *,
        work: Callable[[Journal], object] = lambda journal: None,
        size: int = SIZE,
        max_bytes: int = 1 << 30,
        power: bool = False,
    ) -> Orphan:
        """Have a process append lines, do some work with its journal, and die."""
        pid = os.fork()
        if pid == 0:
            journal = Journal(self.directory, self.producer, max_bytes=max_bytes, power=power)
            for number in range(count):
                journal.append(line(number, size))
            work(journal)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        return self

    def segment(self, index: int = 0) -> Path:
        return self.directory / f"{self.producer}-{index}.journal"

    @property
    def state(self) -> Path:
        return self.directory / f"{self.producer}.state"

    def overwrite(self, offset: int, data: bytes, path: Path | None = None) -> None:
        with (path or self.segment()).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def take_over(self, known: Ranges | None = None) -> list[tuple[int, int]]:
        """Adopt and send it; return (sequence, number) of each line, and check what is left."""
        found = []
        for journal in adopt(
            self.directory,
            published=lambda producer: known or Ranges(),
            on_trouble=lambda kind, text: self.told.append((kind, text)),
        ):
            found += drain(journal)
            assert journal.close()
        left = [path.name for path in self.directory.iterdir() if path.name != "damaged"]
        assert [] == left
        return found

    def aside(self) -> bytes:
        """All bytes that were kept for inspection."""
        folder = self.directory / "damaged"
        return b"".join(path.read_bytes() for path in sorted(folder.glob("*")))


@pytest.fixture
def orphan(tmp_path: Path) -> Orphan:
    """A journal that nobody has written yet."""
    return Orphan(tmp_path / ".journal")


def numbers(found: list[tuple[int, int]]) -> list[int]:
    """The numbers of the lines; their sequences must have no gap."""
    assert list(range(len(found))) == [sequence for sequence, _ in found]
    return [number for _, number in found]


def without(count: int, *missing: int) -> list[int]:
    """The numbers below `count` but for some."""
    return [number for number in range(count) if number not in missing]


# ---------------------------------------------------------------------- segments


def test_a_byte_in_the_structure(orphan: Orphan) -> None:
    """A flipped byte costs the line that it is in; the line is kept aside, and that is told."""
    orphan.leave(100)
    orphan.overwrite(30 * SIZE, b"[")

    assert without(100, 30) == numbers(orphan.take_over())
    assert b"[" + line(30)[1:] == orphan.aside()
    assert ["damaged"] == [kind for kind, _ in orphan.told]
    assert "damaged" in orphan.told[0][1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"timestamp":"2026-11', b'"timestamp":"2026-31'),
        (b'"levelno":20', b'"levelno":.0'),
        (b'"levelno":20', b'"levelno":""'),
        (b'"logger":"app"', b'"logger":"a\xffp"'),
        (b'"logger":"app"', b'"logger":1e100'),
        (b'"logger":"app"', b'"attribs":"\xfe"'),
        (b"}\n", b"]\n"),
        (b"}\n", b" \n"),
        (b"\n", b"\0"),
        (b"\n", b"\r"),
        (b"\n", b"}"),
        (b"\n", b"{"),
        (b'"app",', b'"app"\n'),
        (b'"message', b'\n"messag'),
    ],
)
@pytest.mark.parametrize("where", [0, 50, 99])
def test_a_line_that_no_transport_could_read(
    orphan: Orphan, old: bytes, new: bytes, where: int
) -> None:
    """A line whose text, types or end are damaged is none; its neighbours stay whole."""
    orphan.leave(100)
    damaged = line(where).replace(old, new, 1)
    orphan.overwrite(where * SIZE, damaged)

    assert without(100, where) == numbers(orphan.take_over())
    for piece in damaged.split(b"\n"):
        assert piece.rstrip(b"\0") in orphan.aside()


@pytest.mark.parametrize("new", [b'"logger":"a\x00p"', b'"attribs":1\x002'])
@pytest.mark.parametrize("where", [0, 50, 98])
def test_a_line_with_a_hole(orphan: Orphan, new: bytes, where: int) -> None:
    """A line with a NUL in it is none, and was damaged if others were written behind it."""
    orphan.leave(100)
    damaged = line(where).replace(b'"logger":"app"', new)
    orphan.overwrite(where * SIZE, damaged)

    assert without(100, where) == numbers(orphan.take_over())
    assert damaged in orphan.aside()


def test_zeroed_pages(orphan: Orphan) -> None:
    """A page that was never written costs the lines that touch it."""
    orphan.leave(100)
    orphan.overwrite(4096, bytes(4096))

    assert without(100, *range(20, 41)) == numbers(orphan.take_over())
    assert line(20)[:96] in orphan.aside()
    assert line(40)[-8:] in orphan.aside()


def test_a_large_damaged_region(orphan: Orphan) -> None:
    """Megabytes of nothing in the midst of a segment are stepped over in no time."""
    orphan.leave(60_000, max_bytes=1 << 26)
    size = orphan.segment(3).stat().st_size
    orphan.overwrite(1000, bytes(3 << 20), orphan.segment(2))
    found = orphan.take_over()

    assert 8 << 20 == size
    assert 43_000 < len(found) < 46_000
    assert [sequence for sequence, _ in found] == list(range(len(found)))
    assert 59_999 == found[-1][1]


def test_the_first_page_zeroed(orphan: Orphan) -> None:
    """Damage at the very beginning costs nothing behind it."""
    orphan.leave(100)
    orphan.overwrite(0, bytes(4096))

    assert list(range(21, 100)) == numbers(orphan.take_over())


def test_random_bytes_instead_of_a_segment(orphan: Orphan) -> None:
    """A segment that is all noise is put aside, and the others are delivered."""
    orphan.leave(1000, max_bytes=1 << 18)
    noise = random.Random(6).randbytes(65536)
    orphan.segment(1).write_bytes(noise)
    found = numbers(orphan.take_over())

    each = 65536 // SIZE
    assert without(1000, *range(each, 2 * each)) == found
    assert noise[: noise.rfind(b"\n")].split(b"\n")[0] in orphan.aside()


def test_a_segment_that_was_cut_off(orphan: Orphan) -> None:
    """Of a truncated segment, the lines before the cut are there."""
    orphan.leave(1000, max_bytes=1 << 18)
    os.truncate(orphan.segment(1), 10 * SIZE + 77)
    each = 65536 // SIZE

    assert without(1000, *range(each + 10, 2 * each)) == numbers(orphan.take_over())


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_segment_that_is_missing(orphan: Orphan, lost: int) -> None:
    """Where a segment has vanished, the others are delivered."""
    orphan.leave(1200, max_bytes=1 << 18)
    orphan.segment(lost).unlink()
    each = 65536 // SIZE
    gone = range(lost * each, (lost + 1) * each)

    assert without(1200, *gone) == numbers(orphan.take_over())


def test_an_empty_segment(orphan: Orphan) -> None:
    """A segment without content is no obstacle."""
    orphan.leave(10)
    os.truncate(orphan.segment(), 0)

    assert [] == orphan.take_over()


def test_half_a_line_is_not_damage(orphan: Orphan) -> None:
    """What was being copied in when the process died is dropped without a word."""
    orphan.leave(10)
    orphan.overwrite(10 * SIZE, line(10)[:50])
    assert list(range(10)) == numbers(orphan.take_over())
    orphan.leave(10)
    orphan.overwrite(10 * SIZE, bytes(60) + line(10)[60:90])

    assert list(range(10)) == numbers(orphan.take_over())
    assert [] == orphan.told
    assert not (orphan.directory / "damaged").exists()


@pytest.mark.parametrize(
    "holes", [[(0, 2)], [(0, 150)], [(64, 65)], [(128, 199)], [(0, 13), (77, 150)]]
)
def test_half_a_line_whose_end_was_copied_first(
    orphan: Orphan, holes: list[tuple[int, int]]
) -> None:
    """Regression: a line that was copied from both ends when the process died passed for damage."""
    orphan.leave(10)
    orphan.overwrite(10 * SIZE, line(10))
    for start, stop in holes:
        orphan.overwrite(10 * SIZE + start, bytes(stop - start))

    assert list(range(10)) == numbers(orphan.take_over())
    assert [] == orphan.told
    assert not (orphan.directory / "damaged").exists()


def test_a_lost_page_at_the_end_is_damage(orphan: Orphan) -> None:
    """A hole in the last line that lines before it have vanished into is told."""
    orphan.leave(60)
    orphan.overwrite(4096, bytes(4096))
    os.truncate(orphan.segment(), 41 * SIZE)

    assert list(range(20)) == numbers(orphan.take_over())
    assert ["damaged"] == [kind for kind, _ in orphan.told]
    assert line(40)[-8:] in orphan.aside()


def test_appended_segments_are_repaired_too(orphan: Orphan) -> None:
    """Damage in a journal of plain appends is handled in the same way."""
    orphan.leave(50, power=True)
    orphan.overwrite(7 * SIZE + 5, bytes(3 * SIZE))

    assert without(50, 7, 8, 9, 10) == numbers(orphan.take_over())


def test_damage_that_was_settled_is_over(orphan: Orphan) -> None:
    """Damage in lines that are delivered already changes no number."""
    orphan.leave(100, work=lambda journal: journal.acknowledge(49))
    orphan.overwrite(10 * SIZE, bytes(20 * SIZE))

    assert [(number, number) for number in range(50, 100)] == orphan.take_over()


def test_damage_over_the_settled_place(orphan: Orphan) -> None:
    """Damage may cover the place from which reading goes on."""
    orphan.leave(100, work=lambda journal: journal.acknowledge(49))
    orphan.overwrite(45 * SIZE + 3, b"\xff" * (10 * SIZE))
    found = orphan.take_over()

    assert list(range(56, 100)) == [number for _, number in found]
    assert 50 == found[0][0]


def test_readers_leave_damage_out(orphan: Orphan) -> None:
    """Readers see the sound lines of a damaged journal, before and without its repair."""
    orphan.leave(1000, max_bytes=1 << 18)
    orphan.overwrite(4096, bytes(4096))
    orphan.overwrite(3 * SIZE + 40, b"\n", orphan.segment(1))
    before = orphan.segment().read_bytes()
    (pending,) = read_pending(orphan.directory)
    expected = without(1000, *range(20, 41), 65536 // SIZE + 3)

    assert b"".join(map(line, expected)) == pending.lines
    assert before == orphan.segment().read_bytes()
    assert expected == numbers(orphan.take_over())


def test_repairing_is_done_once(orphan: Orphan) -> None:
    """What an adopter that died has repaired is found sound by the next, with the same lines."""
    orphan.leave(100)
    orphan.overwrite(4096, bytes(4096))
    (journal,) = adopt(orphan.directory)
    aside = orphan.aside()
    assert not journal.close()

    assert without(100, *range(20, 41)) == numbers(orphan.take_over())
    assert aside == orphan.aside()
    assert [] == orphan.told


def test_repairing_that_was_interrupted(orphan: Orphan) -> None:
    """A repair may stop between any two writes; the next one finishes it."""
    orphan.leave(100)
    orphan.overwrite(30 * SIZE, b"[")
    orphan.overwrite(60 * SIZE, b"[")
    orphan.overwrite(30 * SIZE, b"\n" * 100)  # half of the first place, as a repair does it
    folder = orphan.directory / "damaged"
    folder.mkdir()
    (folder / f"{orphan.segment().name}-{30 * SIZE + 100}").write_bytes(b"")

    assert without(100, 30, 60) == numbers(orphan.take_over())
    assert b"[" + line(60)[1:-1] in orphan.aside()


def test_a_large_journal_needs_little_memory(orphan: Orphan) -> None:
    """Taking over and sending 64 MiB never needs more than a small part of that."""
    orphan.leave(66_000, size=1000, max_bytes=1 << 27)
    orphan.overwrite(5 << 20, bytes(4096), orphan.segment(4))
    tracemalloc.start()
    try:
        (journal,) = adopt(orphan.directory)
        count = 0
        while (lines := journal.read(journal.settled, 1 << 20)) is not None:
            journal.sending(lines.last)
            journal.acknowledge(lines.last)
            count += lines.last - lines.first + 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert journal.close()
    assert 66_000 - 6 <= count < 66_000
    assert peak < 12 << 20


# ---------------------------------------------------------------------- the state file


def send_some(journal: Journal) -> None:
    """Deliver lines 0..29, and begin to deliver 30..59."""
    journal.read(0, MANY, 30)
    journal.sending(29)
    journal.acknowledge(29)
    journal.read(30, MANY, 30)
    journal.sending(59)


def test_the_state_is_missing(orphan: Orphan) -> None:
    """Without the state all is read again, under the same numbers; what is published is known."""
    orphan.leave(100, work=send_some)
    orphan.state.unlink()

    assert [(number, number) for number in range(100)] == orphan.take_over(Ranges([(0, 29)]))


@pytest.mark.parametrize("content", [b"", b"\0" * 1536, b"garbage\n" * 400, b"{}", b"[" * 1536])
def test_the_state_is_garbage(orphan: Orphan, content: bytes) -> None:
    """A state file without any sense is the same as none."""
    orphan.leave(100, work=send_some)
    orphan.state.write_bytes(content)

    assert [(number, number) for number in range(100)] == orphan.take_over()


def test_both_slots_are_torn(orphan: Orphan) -> None:
    """Where only the owner is known, all is read again."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(OWNER + 3, b"\xff", orphan.state)
    orphan.overwrite(OWNER + SLOT + 3, b"\xff", orphan.state)

    assert [(number, number) for number in range(100)] == orphan.take_over()


@pytest.mark.parametrize("slot", [0, 1])
def test_one_slot_is_torn(orphan: Orphan, slot: int) -> None:
    """The other slot is at the most one step behind."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(OWNER + slot * SLOT + 3, b"\xff", orphan.state)

    assert [(number, number) for number in range(30, 100)] == orphan.take_over()


def test_a_torn_owner(orphan: Orphan) -> None:
    """Where only the owner is not known, the locks tell that it is gone."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(0, bytes(512), orphan.state)

    assert [(number, number) for number in range(30, 100)] == orphan.take_over()


@pytest.mark.parametrize("slot", [b"00000000", b" 00000000", b"1 2 3 00000000", b"-1"])
def test_a_slot_that_only_looks_like_one(orphan: Orphan, slot: bytes) -> None:
    """A slot needs a checksum and all its numbers."""
    orphan.leave(10)
    orphan.state.write_bytes(orphan.state.read_bytes()[:OWNER] + slot)

    assert [(number, number) for number in range(10)] == orphan.take_over()


def test_the_state_and_the_first_segment_are_lost(orphan: Orphan) -> None:
    """Where nobody knows how many lines came before, no number is used a second time."""

    def send_first_segment(journal: Journal) -> None:
        while (lines := journal.read(journal.settled, MANY)) is not None and lines.first < 400:
            journal.acknowledge(lines.last)

    each = 65536 // SIZE
    published = Ranges([(0, 2 * each - 1)])
    orphan.leave(1000, max_bytes=1 << 18, work=send_first_segment)
    orphan.state.unlink()
    found = orphan.take_over(published)
    assert [(number, number) for number in range(2 * each, 1000)] == found

    orphan.leave(1000, max_bytes=1 << 18, work=send_first_segment)
    orphan.state.unlink()
    found = orphan.take_over()
    assert list(range(2 * each, 1000)) == [number for _, number in found]
    assert found[0][0] > 1_000_000


# ---------------------------------------------------------------------- the batch that was sent


def sequences(found: list[tuple[int, int]]) -> list[int]:
    """Only the sequences."""
    return [sequence for sequence, _ in found]


@pytest.mark.parametrize("where", [30, 31, 45, 58, 59])
def test_damage_in_a_batch_that_was_published(orphan: Orphan, where: int) -> None:
    """A batch that had been published is not sent again though a line of it is lost now."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(where * SIZE + 10, b"\0")

    assert [(n, n) for n in range(60, 100)] == orphan.take_over(Ranges([(0, 59)]))


@pytest.mark.parametrize("where", [30, 31, 45, 58, 59])
def test_damage_in_a_batch_that_was_not_published(orphan: Orphan, where: int) -> None:
    """What is left of the batch is sent; the numbers behind it stay as they were."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(where * SIZE + 10, b"\0")
    found = orphan.take_over()

    assert [n for n in range(30, 100) if n != where] == [number for _, number in found]
    assert list(range(31, 100)) == sequences(found)


@pytest.mark.parametrize("published", [1, 10, 20, 29])
@pytest.mark.parametrize("where", [30, 40, 49, 50, 59])
def test_damage_in_a_batch_of_which_a_part_was_published(
    orphan: Orphan, published: int, where: int
) -> None:
    """Of a batch that was published in part, just the lines that were not are sent."""
    orphan.leave(100, work=send_some)
    orphan.overwrite(where * SIZE + 10, b"\0")
    known = Ranges([(0, 29 + published)])
    found = orphan.take_over(known)
    expected = [n for n in range(30 + published, 100) if n != where]

    assert expected == [number for _, number in found]
    assert [n for n in range(60, 100)] == [n for n in sequences(found) if n >= 60]
    assert [] == [n for n in sequences(found) if n in known]


def test_the_segment_of_the_batch_is_lost(orphan: Orphan) -> None:
    """When the whole batch is gone, the next lines do not get its numbers."""
    orphan.leave(1000, work=send_some, max_bytes=1 << 18)
    orphan.segment().unlink()
    found = orphan.take_over()

    assert list(range(65536 // SIZE, 1000)) == [number for _, number in found]
    assert 60 == found[0][0]


def test_the_segment_of_the_batch_was_cut_off(orphan: Orphan) -> None:
    """Where the end of the batch is gone, the rest of it is sent."""
    orphan.leave(100, work=send_some)
    os.truncate(orphan.segment(), 40 * SIZE)
    found = orphan.take_over()

    assert list(range(30, 40)) == [number for _, number in found]
    assert list(range(50, 60)) == sequences(found)


# ---------------------------------------------------------------------- anything


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    damage=st.lists(
        st.tuples(
            st.integers(0, 60 * SIZE),
            st.one_of(
                st.binary(min_size=1, max_size=1),
                st.sampled_from([b"\n", b"\0", b'"', b"{", b"}", bytes(500), bytes(4096)]),
                st.binary(min_size=1, max_size=300),
            ),
        ),
        max_size=4,
    ),
    state_damage=st.one_of(
        st.none(), st.tuples(st.integers(0, 1535), st.binary(min_size=1, max_size=300))
    ),
)
def test_any_damage(
    tmp_path_factory: pytest.TempPathFactory,
    damage: list[tuple[int, bytes]],
    state_damage: tuple[int, bytes] | None,
) -> None:
    """Whatever is overwritten: no line that was not touched is lost, and adopting never fails."""
    orphan = Orphan(tmp_path_factory.mktemp("any") / ".journal").leave(60)
    for offset, data in damage:
        orphan.overwrite(offset, data)
    if state_damage is not None:
        orphan.overwrite(*state_damage, orphan.state)
    content = orphan.segment().read_bytes()
    untouched = [n for n in range(60) if content[n * SIZE : (n + 1) * SIZE] == line(n)]
    seen = b"".join(pending.lines for pending in read_pending(orphan.directory))
    found = [number for _, number in orphan.take_over()]

    assert set() == set(untouched).difference(found)
    assert state_damage is not None or found == list(map(number_of, seen.splitlines()))
