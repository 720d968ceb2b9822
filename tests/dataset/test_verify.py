"""The proof: what is there, waiting, missing, twice, and what is missing for a reason."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import A, B, Waiting, line, lines, make_batch, with_identity, write_compacted

from logbatch.dataset.source import Source
from logbatch.dataset.verify import Loss, ProducerReport, Report, check, verify
from logbatch.errors import DatasetError
from logbatch.handler import BatchHandler
from logbatch.identity import LAST_SEQUENCE, Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import KEY, Coverage, encode_coverage
from logbatch.transports.parquet import ParquetTransport


def dropped(sequence: int, **attributes: Any) -> bytes:
    """Make the line by which logbatch says that it dropped events."""
    text = f"logbatch dropped {attributes['dropped']} events ({attributes['reason']})"
    values = {"logger": "logbatch", "level": "WARNING", "levelno": 30, "message": text}
    return line(sequence, **values, attributes=attributes)


class Place:
    """A directory, and journals that hold what a test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "date=2026-11-21"
        self.folder.mkdir(parents=True)
        self.pending: list[Waiting] = []

    def parquet(self, producer: str, first: int, last: int, data: bytes | None = None) -> Path:
        """Publish some sequences, or lines that are said to be those."""
        path = self.folder / f"{producer}-{first}-{last}.parquet"
        table = table_from_lines(data or lines(first, last), producer, first)
        pq.write_table(table, path)
        return path

    def jsonl(self, name: str, producer: str, *sequences: int) -> Path:
        """Write a JSONL file with the lines of these sequences."""
        path = self.folder / name
        path.write_bytes(b"".join(with_identity(line(n), producer, n) for n in sequences))
        return path

    def letters(self, *letters: dict[str, Any]) -> None:
        """Keep dead letters."""
        rejected = self.path / ".journal" / "rejected"
        rejected.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{json.dumps(letter)}\n" for letter in letters)
        (rejected / f"{A}.jsonl").write_text(text)

    def verify(self) -> Report:
        """Check the directory."""
        return check(Source(self.path, lambda directory: list(self.pending)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty dataset."""
    return Place(tmp_path / "logs")


def test_what_a_merge_was_made_of_counts_as_not_there(place: Place) -> None:
    """Until it is removed, which takes a moment, or the next process."""
    inputs = [place.parquet(A, 0, 4), place.parquet(A, 5, 9)]
    merged = place.parquet(A, 0, 9)
    assert ((0, 9),) == only(place.verify()).twice
    says = Coverage({A: Ranges([(0, 9)])}, merged=((0, 4), (5, 9)))
    table = pq.read_table(merged).replace_schema_metadata({KEY: encode_coverage(says)})
    pq.write_table(table, merged)
    place.jsonl(f"{A}-10-11.jsonl", A, 10, 11)
    report = place.verify()
    assert report.ok
    assert tuple(map(str, inputs)) == report.leftovers
    compacted = write_compacted(place.folder, make_batch(0, 20, A), make_batch(0, 2, B))
    report = place.verify()
    assert (True, 4) == (report.ok, len(report.leftovers))
    other = write_compacted(place.folder, make_batch(0, 2, B))
    assert str(other) in place.verify().leftovers
    assert str(compacted) not in place.verify().leftovers
    place.parquet(B, 2, 3)
    place.jsonl(f"{B}-7-8.jsonl", B, 7, 8)
    place.parquet(B, 7, 8)
    report = place.verify()
    assert ((2, 2), (7, 8)) == report.producers[1].twice


def only(report: Report) -> ProducerReport:
    """Return the report on the only producer."""
    assert 1 == len(report.producers)
    return report.producers[0]


def test_an_empty_directory_is_in_order(place: Place) -> None:
    """No producers, no gaps; one that is not there is an error."""
    report = place.verify()
    assert (True, ()) == (report.ok, report.producers)
    with pytest.raises(DatasetError, match="there is no directory"):
        verify(place.path / "nothing")


def test_what_is_there_and_what_is_missing(place: Place) -> None:
    """By producer: ranges in files, in the journal only, and nowhere."""
    place.parquet(A, 0, 9)
    place.parquet(A, 15, 19)
    place.jsonl(f"{B}-0-4.jsonl", B, *range(5))
    place.jsonl(f"{B}-5.jsonl", B, *range(5, 8))
    place.pending = [Waiting(A, 18, lines(18, 24)), Waiting(B, 9, lines(9, 9), alive=False)]
    report = place.verify()
    a, b = report.producers
    assert (((0, 9), (15, 19)), ((20, 24),), ((10, 14),), True) == (
        a.present,
        a.pending,
        a.missing,
        a.alive,
    )
    assert (((0, 7),), ((9, 9),), ((8, 8),), False) == (b.present, b.pending, b.missing, b.alive)
    assert (False, 6, 0) == (report.ok, report.gaps, report.repeated)


def test_what_is_missing_at_the_beginning_is_a_gap(place: Place) -> None:
    """Every producer begins with 0."""
    place.parquet(A, 3, 5)
    assert ((0, 2),) == only(place.verify()).missing


def test_what_is_there_twice(place: Place) -> None:
    """In two files; not a file and the journal, nor a file and its compressed twin."""
    place.parquet(A, 0, 9)
    place.parquet(A, 5, 12)
    place.pending = [Waiting(A, 10, lines(10, 14))]
    twin = place.jsonl(f"{B}-0-4.jsonl", B, *range(5))
    twin.with_name(f"{B}-0-4.jsonl.gz").write_bytes(gzip.compress(twin.read_bytes()))
    report = place.verify()
    assert [((5, 9),), ()] == [producer.twice for producer in report.producers]
    assert (False, 5) == (report.ok, report.repeated)


def test_a_name_that_is_not_true_is_told(place: Place) -> None:
    """The contents count."""
    whole = place.parquet(A, 0, 9)
    whole.rename(place.folder / f"{A}-0-19.parquet")
    place.jsonl(f"{B}-0-5.jsonl", B, 0, 1, 1, 3, 4, 5)
    place.jsonl(f"{B}-6.jsonl", B, 6, 8, 8)
    report = place.verify()
    a, b = report.producers
    assert ((0, 9),) == a.present
    assert (((2, 2), (7, 7)), ((1, 1), (8, 8))) == (b.missing, b.twice)
    assert [
        f"{place.folder}/{A}-0-19.parquet: it holds 0-9, not what its name says",
        f"{place.folder}/{B}-0-5.jsonl: it holds 0-1, 1-1, 3-5, not what its name says",
    ] == sorted(report.problems)


def test_a_file_that_cannot_be_read_is_a_gap_and_a_problem(place: Place) -> None:
    """Its records are not there, whatever its name says."""
    place.parquet(A, 0, 4)
    place.parquet(A, 5, 9).write_bytes(b"PAR1")
    place.parquet(A, 10, 14)
    with pytest.warns(UserWarning, match="it was left out"):
        report = place.verify()
    assert ((5, 9),) == only(report).missing
    assert 1 == len(report.problems)


def test_dropped_and_rejected_records_are_accounted_for(place: Place) -> None:
    """The log says that they were dropped, or they stand among the dead letters."""
    told = {"dropped": 4, "reason": "journal full", "producer": A, "first": 3, "last": 6}
    place.parquet(A, 0, 2)
    place.parquet(A, 7, 9, line(7) + dropped(8, **told) + line(9))
    place.parquet(A, 13, 14)
    place.letters(
        *({"producer": A, "sequence": n, "reason": "400 bad", "event": {}} for n in (10, 11)),
        {"producer": A, "sequence": 0, "reason": "was there after all"},
    )
    report = place.verify()
    assert ((12, 12),) == only(report).missing
    assert (
        Loss(3, 6, "dropped", "journal full"),
        Loss(10, 11, "rejected", "400 bad"),
    ) == only(report).accounted


@pytest.mark.parametrize("statistics", [True, False])
def test_a_drop_is_found_wherever_it_stands_in_a_file(place: Place, statistics: bool) -> None:
    """Among the records of other loggers, of which the end of the file may tell the names."""
    told = {"dropped": 2, "reason": "journal full", "producer": A, "first": 0, "last": 1}
    path = place.parquet(A, 2, 4, line(2) + dropped(3, **told) + line(4, logger="zoo"))
    pq.write_table(pq.read_table(path), path, row_group_size=1, write_statistics=statistics)
    place.parquet(A, 5, 6)
    assert (Loss(0, 1, "dropped", "journal full"),) == only(place.verify()).accounted


def test_files_without_our_own_records_are_not_searched(place: Place) -> None:
    """Their ends tell that nothing can have been dropped there: no engine is started."""
    place.parquet(A, 0, 4)
    program = (
        "import sys\nfrom logbatch.dataset.verify import verify\n"
        f"print(verify({str(place.path)!r}).ok, 'duckdb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"True False\n" == done.stdout


def test_records_dropped_before_they_had_a_number_are_counted(place: Place) -> None:
    """They leave no gap; the report says how many, by reason."""
    told = {"dropped": 5, "reason": "journal full", "producer": A, "first": None, "last": None}
    place.parquet(A, 0, 1, dropped(0, **told) + dropped(1, **told))
    report = place.verify()
    assert (True, {"journal full": 10}) == (report.ok, report.unnumbered)


def test_a_drop_explains_no_more_than_it_says(place: Place) -> None:
    """Where more is missing than was dropped, the rest was lost: that is a gap."""
    told = {"dropped": 2, "reason": "journal full", "producer": A, "first": 1, "last": 5}
    place.parquet(A, 0, 0)
    place.parquet(A, 6, 6, dropped(6, **told))
    report = place.verify()
    assert ((1, 5),) == only(report).missing
    assert ["5 are missing where 2 were said to be dropped"] == [
        problem[-45:] for problem in report.problems
    ]


def test_the_application_cannot_explain_gaps_away(place: Place) -> None:
    """A record of another logger, or of another text, says nothing."""
    told = {"dropped": 1, "reason": "x", "producer": A, "first": 1, "last": 1}
    place.parquet(A, 0, 0, line(0, message="logbatch dropped 1 events (x)", attributes=told))
    place.parquet(
        A, 2, 2, line(2, logger="logbatch.x", message="logbatch dropped 1", attributes=told)
    )
    place.parquet(A, 3, 3, line(3, logger="logbatch", message="hello", attributes=told))
    assert ((1, 1),) == only(place.verify()).missing


def test_bad_dead_letters_are_told(place: Place) -> None:
    """They explain nothing."""
    place.parquet(A, 1, 1)
    place.letters({"producer": A, "sequence": 0, "reason": "r"}, {"sequence": 1})
    rejected = place.path / ".journal" / "rejected" / "x.jsonl"
    rejected.write_bytes(b"not json\n")
    report = place.verify()
    assert (False, 2) == (report.ok, len(report.problems))


@pytest.mark.parametrize("number", [LAST_SEQUENCE + 1, 10**17, (1 << 63) - 1])
def test_a_number_that_no_process_reaches(place: Place, number: int) -> None:
    """It is told, and nothing is missing before it: one record made 10^17 be missing."""
    place.parquet(A, 0, 4)
    place.jsonl(f"{A}-{number}-{number}.jsonl", A, number)
    place.pending.append(Waiting(A, number, line(0)))
    report = place.verify()
    assert (0, ((0, 4),), ()) == (report.gaps, only(report).present, only(report).pending)
    assert (
        f"{A}: the records {number}-{number} are beyond what a process can log; not counted",
    ) == (report.problems)


def test_the_last_number_that_counts(place: Place) -> None:
    """Up to there a gap is a gap, however wide."""
    place.parquet(A, LAST_SEQUENCE, LAST_SEQUENCE)
    assert (LAST_SEQUENCE, ()) == (place.verify().gaps, place.verify().problems)


@pytest.mark.parametrize("span", [(1, 10**17), (-5, 3), (4, 2), (10**30, 10**30)])
def test_losses_that_no_process_has(place: Place, span: tuple[int, int]) -> None:
    """What is said to be dropped, or stands among the dead letters, has such bounds, too."""
    told = {"dropped": 1, "reason": "x", "producer": A, "first": span[0], "last": span[1]}
    place.parquet(A, 0, 0, dropped(0, **told))
    place.letters(
        {"producer": A, "sequence": 10**17}, {"producer": A, "sequence": -1},
        {"producer": "x", "sequence": 1}, {"producer": [A], "sequence": 1},
    )  # fmt: skip
    report = place.verify()
    assert (0, ()) == (report.gaps, only(report).accounted)
    assert ["beyond what a process can log", "4 dead letters cannot be read"] == [
        text for text in ("beyond what a process can log", "4 dead letters cannot be read")
        if any(text in problem for problem in report.problems)
    ]  # fmt: skip


def test_the_report_is_json(place: Place) -> None:
    """For `logbatch verify --json`; conclusions come first."""
    place.parquet(A, 0, 1)
    found = json.loads(json.dumps(place.verify().to_dict()))
    conclusions = ["ok", "gaps", "repeated"]
    rest = ["directory", "producers", "problems", "unnumbered", "leftovers"]
    assert [*conclusions, *rest] == list(found)
    assert [[0, 1]] == found["producers"][0]["present"]


def test_a_directory_that_is_written_to_is_in_order(tmp_path: Path) -> None:
    """Every look between the first and the last record finds no gap and nothing twice."""
    path = tmp_path / "logs"
    path.mkdir()
    handler = BatchHandler(ParquetTransport(path), flush_interval=0.01, max_batch_size=20)
    done = threading.Event()

    def log() -> None:
        for number in range(3000):
            handler.handle(logging.makeLogRecord({"msg": f"record {number}"}))
        done.set()

    thread = threading.Thread(target=log, name="logbatch-test")
    thread.start()
    reports = [verify(path)]
    while not done.is_set():
        reports.append(verify(path))
    thread.join()
    assert handler.close(60)
    reports.append(verify(path))
    assert [(0, 0, ())] * len(reports) == [(r.gaps, r.repeated, r.problems) for r in reports]
    assert ((0, 2999),) == only(reports[-1]).present


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 6), st.sampled_from(["file", "journal"])),
        max_size=6,
    )
)
def test_the_report_is_what_counting_gives(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int, str]]
) -> None:
    """The model counts how often each number is there."""
    place = Place(tmp_path_factory.mktemp("logs") / "logs")
    filed: list[int] = []
    waiting: set[int] = set()
    for first, more, where in dict.fromkeys(spans):
        if where == "file":
            place.parquet(A, first, first + more)
            filed += range(first, first + more + 1)
        else:
            place.pending.append(Waiting(A, first, lines(first, first + more)))
            waiting |= set(range(first, first + more + 1))
    every = {*filed, *waiting}
    expected = {
        "present": set(filed),
        "pending": waiting - set(filed),
        "missing": set(range(max(every, default=-1) + 1)) - every,
        "twice": {number for number in filed if filed.count(number) > 1},
    }
    report = place.verify()
    assert bool(every) == bool(report.producers)
    for name, numbers in expected.items() if every else ():
        found = [n for a, b in getattr(only(report), name) for n in range(a, b + 1)]
        assert sorted(numbers) == found
