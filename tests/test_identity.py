"""Producer ids, sets of ranges, names of segments."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.identity import Ranges, SegmentName, is_producer, new_producer, process_of

numbers = st.integers(0, 60)
spans = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
some_spans = st.lists(spans, max_size=12)


def model(ranges: list[tuple[int, int]]) -> set[int]:
    """The same set, the plain way."""
    return {number for first, last in ranges for number in range(first, last + 1)}


def to_set(ranges: Ranges) -> set[int]:
    """Make a plain set of ranges."""
    return model(list(ranges))


class TestRanges:
    @given(some_spans)
    def test_holds_what_was_added(self, ranges: list[tuple[int, int]]) -> None:
        """A set of ranges holds each number that was added, and no other."""
        built = Ranges(ranges)

        assert model(ranges) == to_set(built)
        assert model(ranges) == {number for number in range(62) if number in built}
        assert len(model(ranges)) == built.count()
        assert bool(ranges) == bool(built)

    def test_takes_memory_for_its_ranges_only(self) -> None:
        """A list of its ranges does not take room for the numbers that are in them."""
        assert [(0, 10**18)] == list(Ranges([(0, 10**18)]))

    @given(some_spans)
    def test_is_kept_merged(self, ranges: list[tuple[int, int]]) -> None:
        """Ranges are in order, and between two of them at least one number is missing."""
        built = list(Ranges(ranges))

        assert all(first <= last for first, last in built)
        assert all(a[1] + 1 < b[0] for a, b in pairwise(built))

    @given(some_spans, st.randoms())
    def test_order_does_not_matter(self, ranges: list[tuple[int, int]], random: object) -> None:
        """The same ranges in another order make an equal set."""
        other = list(ranges)
        random.shuffle(other)  # type: ignore[attr-defined]

        assert Ranges(ranges) == Ranges(other)

    @given(some_spans, spans)
    def test_missing_is_the_rest(
        self, ranges: list[tuple[int, int]], wanted: tuple[int, int]
    ) -> None:
        """What is missing, and what is there, make up the range that was asked for."""
        built = Ranges(ranges)
        holes = built.missing(*wanted)

        assert model([wanted]) - model(ranges) == model(holes)
        assert sorted(holes) == holes
        assert all(a[1] + 1 < b[0] for a, b in pairwise(holes))
        assert Ranges(ranges) == built

    @given(some_spans)
    def test_copies_are_equal_and_separate(self, ranges: list[tuple[int, int]]) -> None:
        """Ranges made of ranges do not change with them."""
        built = Ranges(ranges)
        copy = Ranges(built)
        built.add(100, 101)

        assert Ranges(ranges) == copy
        assert copy != built
        assert 100 not in copy

    def test_nothing_is_missing_of_nothing(self) -> None:
        """An empty range has no missing parts."""
        assert [] == Ranges().missing(5, 4)

    def test_shows_what_it_holds(self) -> None:
        """Its repr can be read."""
        assert "Ranges([(0, 3), (5, 5)])" == repr(Ranges([(5, 5), (0, 3)]))

    def test_is_no_key(self) -> None:
        """It is mutable, so it has no hash; and it equals nothing but another set of ranges."""
        with pytest.raises(TypeError):
            hash(Ranges())
        assert Ranges() != []


class TestProducer:
    def test_each_is_another(self) -> None:
        """Ids are not repeated."""
        assert 1000 == len({new_producer() for _ in range(1000)})

    def test_tells_its_process(self) -> None:
        """Ids of one process have a part in common, which those of its children have not."""
        code = "from logbatch.identity import new_producer as new\nimport os\nold = new()\n"
        code += "print(old, new(), flush=True)\nif not os.fork(): print(new(), new(), flush=True)"
        made = [
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            for _ in range(2)
        ]
        processes = [process_of(producer) for ids in made for producer in ids]

        assert 8 == len(set(made[0] + made[1]))
        assert processes[::2] == processes[1::2]
        assert 4 == len(set(processes))

    def test_has_its_form(self) -> None:
        """An id is recognised as one."""
        assert all(is_producer(new_producer()) for _ in range(100))

    @pytest.mark.parametrize("year", [1901, 1969, 1970, 9999, 20_000])
    def test_has_its_form_at_any_time(self, year: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """An id is one whatever the clock shows."""
        now = (year - 1970) * 365 * 86_400 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: now)

        assert is_producer(new_producer())

    def test_sorts_by_time(self) -> None:
        """One made in a later millisecond sorts behind."""
        first = new_producer()
        begun = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == begun:
            pass

        assert first < new_producer()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "01arz3ndektsv4rrffq69g5fa",
            "01arz3ndektsv4rrffq69g5favv",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "81arz3ndektsv4rrffq69g5fav",
            "01arz3ndektsv4rrffq69g5fau",
            "01arz3ndektsv4rrffq69g5fa\n",
            "../../../../../../../../etc",
        ],
    )
    def test_other_texts_are_none(self, text: str) -> None:
        """What has another length, letter case or alphabet is no id."""
        assert not is_producer(text)


class TestSegmentName:
    @given(numbers, numbers, st.sampled_from(["parquet", "jsonl", "jsonl.zst", "jsonl.gz"]))
    def test_round_trip(self, first: int, more: int, ext: str) -> None:
        """A name says what it was made of."""
        name = SegmentName(new_producer(), first, first + more, ext)

        assert name == SegmentName.parse(str(name))

    @pytest.mark.parametrize(
        "name",
        [
            "01arz3ndektsv4rrffq69g5fav-0.jsonl",
            "01arz3ndektsv4rrffq69g5fav-5-4.parquet",
            "01arz3ndektsv4rrffq69g5fav-00-4.parquet",
            "01arz3ndektsv4rrffq69g5fav-0-4",
            "01arz3ndektsv4rrffq69g5fav-0-4.Parquet",
            "01arz3ndektsv4rrffq69g5fav-0-4.parquet\n",
            "01arz3ndektsv4rrffq69g5fav--1-4.parquet",
            "x01arz3ndektsv4rrffq69g5fav-0-4.parquet",
            "compacted-0-4.parquet",
            ".part-0123456789abcdef.tmp",
        ],
    )
    def test_other_names_are_none(self, name: str) -> None:
        """A file that is no segment is not taken for one."""
        assert SegmentName.parse(name) is None
