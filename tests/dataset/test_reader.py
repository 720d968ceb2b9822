"""Reading a directory: each record once, wherever it is, in whatever form, at any moment."""

from __future__ import annotations

import gzip
import itertools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make import (
    START,
    A,
    B,
    Waiting,
    line,
    lines,
    make_batch,
    numbered,
    publish,
    with_identity,
    with_pending,
)

from logbatch.dataset.reader import Dataset
from logbatch.dataset.verify import verify
from logbatch.errors import DatasetError, DatasetWarning, FilterError
from logbatch.handler import BatchHandler
from logbatch.identity import new_producer
from logbatch.journal import Journal
from logbatch.storage.arrow import schema, table_from_lines
from logbatch.storage.columns import COLUMNS
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport

FORMS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz", "growing", "pending")


class Place:
    """A directory of a dataset, and journals that hold what a test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "date=2026-11-21"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pending: list[Waiting] = []

    def read_pending(self, directory: Path) -> list[Waiting]:
        """Stand in for the journals."""
        assert directory == self.path / ".journal"
        return list(self.pending)

    def dataset(self) -> Dataset:
        """Open the directory."""
        return with_pending(Dataset(self.path), self.read_pending)

    def write(self, form: str, producer: str, data: bytes, first: int, **columns: str) -> Path:
        """Write lines to a file of some form, or into the journal."""
        last = first + data.count(b"\n") - 1
        name = f"{producer}-{first}" + ("" if form == "growing" else f"-{last}")
        path = self.folder / f"{name}.{'jsonl' if form == 'growing' else form}"
        if form == "pending":
            self.pending.append(Waiting(producer, first, data))
        elif form == "parquet":
            table = table_from_lines(data, producer, first, columns)
            pq.write_table(table, path, row_group_size=3 if len(table) < 50 else 20_000)
        elif form == "jsonl.zst":
            with pa.CompressedOutputStream(str(path), "zstd") as stream:
                stream.write(with_identity(data, producer, first))
        else:
            plain = with_identity(data, producer, first)
            path.write_bytes(gzip.compress(plain) if form == "jsonl.gz" else plain)
        return path

    def journal_to_file(self, form: str = "parquet") -> None:
        """Publish what waits, as a flusher does."""
        for waiting in self.pending:
            self.write(form, waiting.producer, waiting.lines, waiting.first)
        self.pending.clear()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty dataset."""
    return Place(tmp_path / "logs")


def found(rows: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return which records are among rows."""
    return [(row["producer"], row["sequence"]) for row in rows]


def both_ways(dataset: Dataset) -> list[tuple[str, int]]:
    """Return a dataset's records, by `rows` in order and by `to_table`, which must agree."""
    rows = found(dataset.rows())
    table = dataset.to_table(columns=["producer", "sequence"])
    assert sorted(rows) == sorted(found(table.to_pylist()))
    return rows


# ------------------------------------------------------------------ one record, once


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_among_the_files(tmp_path: Path, linked: bool) -> None:
    """It stops nobody, though who opens one to read it waits until somebody writes."""
    publish(tmp_path, make_batch(0, 9, A))
    (folder,) = tmp_path.glob("date=*")
    os.mkfifo(tmp_path / "pipe")
    for name in (f"{A}-30-39.parquet", f"{A}-40.jsonl", f"compacted-{B}.parquet"):
        if linked:
            (folder / name).symlink_to(tmp_path / "pipe")
        else:
            os.mkfifo(folder / name)
    dataset = Dataset(tmp_path)
    assert 10 == len(list(dataset.follow(last=None, stop=Steps())))
    assert 1 == len(dataset.files())

    assert 10 == len(list(dataset.rows())) == dataset.to_table().num_rows
    assert [{"n": 10}] == dataset.sql("SELECT count(*) AS n FROM logs").to_pylist()
    assert verify(tmp_path).ok
    dataset.compact(older_than=0)
    dataset.retain(max_age="1d", dry_run=True)
    publish(tmp_path, make_batch(10, 19, A))
    assert 20 == len(list(Dataset(tmp_path).rows()))
    assert 3 == sum(path.is_fifo() for path in folder.iterdir())


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error names the directory."""
    with pytest.raises(DatasetError, match=r"there is no directory .*nothing"):
        Dataset(tmp_path / "nothing")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DatasetError, match=r"file is a file, not a directory"):
        Dataset(file)


def test_an_empty_directory_is_an_empty_dataset(tmp_path: Path) -> None:
    """It has all columns, and no rows."""
    dataset = Dataset(tmp_path)
    assert schema().empty_table() == dataset.to_table()
    assert [] == list(dataset.rows("level>=ERROR"))
    assert [] == list(dataset.follow(last=None, stop=Steps()))


def test_every_form_gives_the_same_rows(tmp_path: Path) -> None:
    """A record looks the same in a Parquet file, in any JSONL file, and in the journal."""
    odd = b'{"level":"INFO","message":5,"timestamp":"2026-11-21T10:00:00Z","more":1}\n'
    data = lines(0, 6, trace_id="t", lineno=5) + odd + line(8, attributes={}, message="é")
    rows, tables = [], []
    for form in FORMS:
        place = Place(tmp_path / form)
        place.write(form, A, data, 0)
        rows.append(list(place.dataset().rows()))
        tables.append(place.dataset().to_table())
    assert [rows[0]] * len(FORMS) == rows
    assert [tables[0]] * len(FORMS) == tables
    first = rows[0][0]
    assert list(COLUMNS) == list(first)
    assert (START, numbered(0)["attributes"]) == (first["timestamp"], first["attributes"])
    assert UTC == first["timestamp"].tzinfo
    assert {"more": 1, "message": 5} == next(r for r in rows[0] if r["sequence"] == 7)["attributes"]


def test_rows_come_in_the_order_of_time(place: Place) -> None:
    """Between equal times, producer and sequence decide; files may overlap in time."""
    place.write("parquet", B, lines(0, 4), 0)
    place.write("growing", A, lines(0, 2) + line(3, timestamp="2026-11-21T09:00:00Z"), 0)
    place.write("pending", B, line(5, timestamp="2026-11-21T10:00:02Z"), 5)
    expected = [(A, 3), (A, 0), (B, 0), (A, 1), (B, 1), (A, 2), (B, 2), (B, 5), (B, 3), (B, 4)]
    assert expected == found(place.dataset().rows())
    assert expected[::-1] == found(place.dataset().rows(newest_first=True))
    assert expected[:3] == found(place.dataset().rows(limit=3))
    assert expected[:-4:-1] == found(place.dataset().rows(limit=3, newest_first=True))
    assert [] == list(place.dataset().rows(limit=0))
    with pytest.raises(ValueError, match="limit=-1 must be 0 or more"):
        place.dataset().rows(limit=-1)


def test_a_record_in_several_places_counts_once(place: Place) -> None:
    """Overlapping files, a file and its compressed twin, a file and the journal."""
    place.write("parquet", A, lines(0, 9), 0)
    place.write("parquet", A, lines(0, 3), 0)
    place.write("parquet", A, lines(8, 12), 8)
    for form in ("growing", "jsonl", "jsonl.zst", "jsonl.gz"):
        place.write(form, B, lines(0, 5), 0)
    place.write("pending", A, lines(5, 14), 5)
    place.write("pending", B, lines(4, 6), 4)
    expected = {(A, n) for n in range(15)} | {(B, n) for n in range(7)}
    records = both_ways(place.dataset())
    assert (22, expected) == (len(records), set(records))


def test_the_end_of_a_growing_file_may_be_half_a_line(place: Place) -> None:
    """Only what ends with a newline counts; of a file without one, nothing."""
    path = place.write("growing", A, lines(0, 2), 0)
    half = with_identity(line(3), A, 3)
    with path.open("ab") as file:
        file.write(half[:-1])
    assert [(A, 0), (A, 1), (A, 2)] == both_ways(place.dataset())
    place.write("pending", A, lines(2, 3), 2)
    assert [(A, 0), (A, 1), (A, 2), (A, 3)] == both_ways(place.dataset())
    (place.folder / f"{B}-0.jsonl").write_bytes(half[:40])
    assert 4 == len(both_ways(place.dataset()))


def test_what_a_growing_file_lost_in_its_middle_is_taken_from_elsewhere(place: Place) -> None:
    """A torn line is not a record: where the journal or another file has it, it is found."""
    path = place.write("growing", A, lines(0, 5), 0)
    good = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*good[:2], b"\0" * 30, *good[4:], good[5]]))
    place.write("pending", A, lines(3, 4), 3)
    place.write("parquet", A, line(2), 2)
    with pytest.warns(DatasetWarning, match="1 damaged lines were left out"):
        assert [(A, n) for n in range(6)] == both_ways(place.dataset())


def test_lines_that_stand_twice_in_a_growing_file_count_once(place: Place) -> None:
    """Also where what follows them stands there once."""
    path = place.write("growing", A, lines(0, 4), 0)
    with path.open("ab") as file:
        file.write(with_identity(lines(0, 9), A, 0))
    assert [(A, n) for n in range(10)] == both_ways(place.dataset())


def test_a_record_that_moves_while_we_look_counts_once(place: Place) -> None:
    """It is published after the journals were read, or it was just before."""
    place.write("parquet", A, lines(0, 3), 0)
    place.write("pending", A, lines(4, 7), 4)

    def read_then_publish(directory: Path) -> list[Waiting]:
        waiting = place.read_pending(directory)
        place.journal_to_file()
        return waiting

    dataset = with_pending(Dataset(place.path), read_then_publish)
    assert [(A, n) for n in range(8)] == found(dataset.rows())
    assert [(A, n) for n in range(8)] == both_ways(dataset)


# ------------------------------------------------------------------ what goes wrong


def test_files_may_be_rewritten_while_rows_are_read(place: Place) -> None:
    """What is left of the view is found where it went, and nothing comes twice."""
    paths = [place.write("parquet", A, lines(n, n + 99), n) for n in range(0, 5000, 100)]
    rows = place.dataset().rows()
    before = list(itertools.islice(rows, 150))
    place.write("parquet", A, lines(0, 4999), 0)
    place.write("parquet", A, lines(5000, 5009), 5000)
    for path in paths:
        path.unlink()
    assert [(A, n) for n in range(5000)] == found([*before, *rows])


@pytest.mark.parametrize("form", ["parquet", "jsonl", "growing"])
def test_a_file_that_goes_away_before_it_is_read_is_looked_for_again(
    place: Place, form: str
) -> None:
    """The listing was out of date: rotated, compressed, compacted."""
    place.write("parquet", B, lines(0, 3), 0)
    path = place.write(form, A, lines(0, 3), 0)
    rows = place.dataset().rows()
    path.unlink()
    place.write("jsonl.zst", A, lines(0, 3), 0)
    expected = [(producer, n) for n in range(4) for producer in (A, B)]
    assert expected == found(rows)


def test_a_damaged_file_does_not_spoil_the_rest(place: Place) -> None:
    """It is left out, with a warning that says so once; what else holds its records is read."""
    good = place.write("parquet", A, lines(0, 9), 0)
    torn = place.write("parquet", A, lines(10, 19), 10)
    torn.write_bytes(good.read_bytes()[:-20])
    (place.folder / f"{B}-0-5.parquet").touch()
    (place.folder / f"{B}-6-9.jsonl.zst").write_bytes(b"nothing")
    place.write("pending", A, lines(15, 21), 15)
    expected = [(A, n) for n in [*range(10), *range(15, 22)]]
    dataset = place.dataset()
    with pytest.warns(DatasetWarning) as told:
        assert expected == both_ways(dataset)
    assert 3 == len(told) == len(dataset.problems)
    assert all("it was left out" in problem for problem in dataset.problems)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert expected == both_ways(dataset)
    with pytest.warns(DatasetWarning):
        assert expected == found(place.dataset().rows("n>=0", limit=99, newest_first=True))[::-1]


def test_a_file_that_is_not_ours_is_left_out(place: Place) -> None:
    """Strange names, strange columns, strange folders; temporary names are nobody's business."""
    place.write("parquet", A, lines(0, 3), 0)
    strange = pa.table({"a": [1]})
    pq.write_table(strange, place.folder / "export.parquet")
    pq.write_table(strange, place.folder / f"{B}-0-0.parquet")
    pq.write_table(strange, place.path / "other.parquet")
    (place.folder / ".part-1.tmp").touch()
    (place.folder / f".damaged-{A}-0").touch()
    (place.folder / "notes.txt").touch()
    (place.path / "date=nonsense").mkdir()
    dataset = place.dataset()
    with pytest.warns(DatasetWarning) as told:
        assert [(A, n) for n in range(4)] == both_ways(dataset)
    assert {"export.parquet", f"{B}-0-0.parquet"} == {
        Path(str(warning.message).partition(": ")[0]).name for warning in told
    }


def test_the_end_of_a_long_log_is_found_without_reading_its_beginning(place: Place) -> None:
    """Damage in an old file shows only when that file is read."""
    old = place.write("parquet", A, lines(0, 999), 0)
    for first in range(1000, 9000, 1000):
        place.write("parquet", A, lines(first, first + 999), first)
    content = bytearray(old.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    old.write_bytes(content)
    dataset = place.dataset()
    newest = found(dataset.rows(limit=1500, newest_first=True))
    assert [(A, n) for n in range(8999, 7499, -1)] == newest
    assert () == dataset.problems
    with pytest.warns(DatasetWarning, match="it was left out"):
        assert 8000 == len(list(dataset.rows()))


# ------------------------------------------------------------------ columns and filters


def test_columns_are_chosen_by_name(place: Place) -> None:
    """They come in the order asked for; an unknown one is told with what may have been meant."""
    place.write("parquet", A, lines(0, 1), 0)
    table = place.dataset().to_table("n=1", ["sequence", "attributes", "level"])
    assert [
        {
            "sequence": 1,
            "attributes": '{"n":1,"user_id":1,"path":"/é","user":{"id":"é","list":[1]}}',
            "level": "INFO",
        }
    ] == table.to_pylist()
    with pytest.raises(DatasetError, match="there is no column 'mesage'; did you mean 'message'"):
        place.dataset().to_table(columns=["mesage"])
    for columns in ([], ["level", "level"]):
        with pytest.raises(DatasetError, match="must name one column at least, and none twice"):
            place.dataset().to_table(columns=columns)
    with pytest.raises(FilterError):
        place.dataset().rows("level>=")


def test_lines_that_begin_otherwise_are_found_by_their_time(place: Place) -> None:
    """Another writer's, and a damaged one: their times were not among those of their file."""
    odd = b'{"level":"INFO","timestamp":"2026-11-21T12:00:00Z","message":"odd"}\n'
    far = line(1, timestamp="2026-11-21T11:00:00-05:00")
    for form, producer in (("jsonl", A), ("parquet", B)):
        place.write(form, producer, line(0) + far + odd + b'{"timesta\n', 0)
    dataset = place.dataset()
    rows = list(dataset.rows())
    for where in ("since=2026-11-21T15:30", "since=2026-11-21T12:00 until=2026-11-21T12:01"):
        assert [A, B] == [row["producer"] for row in dataset.rows(where)]
    assert rows[::-1] == list(dataset.rows(newest_first=True))
    assert sorted(found(rows)) == sorted(found(dataset.to_table().to_pylist()))
    assert found(rows)[-2:] == [(A, 1), (B, 1)]


def test_the_filter_comes_first_everywhere(place: Place) -> None:
    """`to_table("level>=WARNING")` once looked for the column `l`."""
    place.write("parquet", A, lines(0, 3), 0)
    dataset = place.dataset()
    assert 1 == dataset.to_table("n=1").num_rows == len(list(dataset.rows("n=1")))
    wrong: Any = ["level", "message"]
    with pytest.raises(TypeError, match=r"columns are columns=\['level', 'message'\]"):
        dataset.to_table(wrong)
    with pytest.raises(TypeError, match=r"must be a list of names: columns=\['level'\]"):
        dataset.to_table(columns="level")
    with pytest.raises(TypeError, match="where must be a filter or its text, not list"):
        dataset.rows(wrong)
    with pytest.raises(TypeError, match="where must be a filter or its text, not list"):
        dataset.follow(wrong)


def test_promoted_columns_of_all_files_are_there(place: Place) -> None:
    """Null where a file has none; of what is not published yet they are made at once."""
    place.write("parquet", A, lines(0, 1), 0, n="int64")
    place.write("parquet", A, lines(2, 3), 2)
    place.write("growing", B, lines(0, 0), 0)
    place.write("pending", A, lines(4, 4), 4)
    table = place.dataset().to_table()
    assert [*COLUMNS, "n"] == table.column_names and pa.int64() == table.schema.field("n").type
    assert {0: 0, 1: 1, 2: None, 3: None, 4: 4} == {
        row["sequence"]: row["n"] for row in table.to_pylist() if row["producer"] == A
    }
    assert [4] == place.dataset().to_table("n=4", ["n"])["n"].to_pylist()
    assert list(COLUMNS) == list(next(place.dataset().rows()))


def test_promoted_columns_of_different_types_meet(place: Place) -> None:
    """Numbers become float64; anything else becomes text."""
    place.write("parquet", A, lines(0, 1, attributes={"x": 1, "y": 1}), 0, x="int64", y="int64")
    place.write(
        "parquet", A, lines(2, 2, attributes={"x": 1.5, "y": "b"}), 2, x="float64", y="string"
    )
    table = place.dataset().to_table(columns=["x", "y"])
    assert {"x": [1.0, 1.0, 1.5], "y": ["1", "1", "b"]} == table.to_pydict()
    assert 1 == place.dataset().to_table("x=1.5", ["y"]).num_rows


@pytest.mark.parametrize(
    "where",
    [
        "level>=WARNING",
        "logger=app",
        "-logger=app n<20",
        "since=2026-11-21T10:00:10Z until=2026-11-21T10:00:21Z",
        "n>=7 level!=ERROR 1",
        "user.id=é sequence>25",
        "nothing",
    ],
)
def test_a_filter_chooses_the_same_in_every_way(place: Place, where: str) -> None:
    """`rows`, `to_table`, the newest first and `follow`, in files and in the journal."""
    names = ["app", "app.web", "apple"]
    data = b"".join(line(n, levelno=n % 5 * 10, logger=names[n % 3]) for n in range(30))
    every = data.splitlines(keepends=True)
    place.write("parquet", A, b"".join(every[:12]), 0)
    place.write("growing", A, b"".join(every[12:25]), 12)
    place.write("pending", A, b"".join(every[25:]), 25)
    dataset = place.dataset()
    expected = found(dataset.rows(where))
    assert expected == sorted(found(dataset.to_table(where, ["producer", "sequence"]).to_pylist()))
    assert expected[::-1] == found(dataset.rows(where, newest_first=True))
    assert expected[::-1] == found(dataset.rows(where, limit=99, newest_first=True))
    assert expected == found(dataset.follow(where, last=None, stop=Steps()))
    pending = Place(place.path.parent / "later")
    steps = Steps(lambda: pending.write("pending", A, data, 0))
    assert expected == found(pending.dataset().follow(where, stop=steps))
    assert expected == [] or where != "nothing"


# ------------------------------------------------------------------ following


class Steps:
    """What happens between the polls of `follow`; after the last step it ends."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = iter(steps)

    def wait(self, timeout: float) -> bool:
        """Run the next step."""
        assert 0 < timeout <= 0.1
        step = next(self.steps, None)
        if step is not None:
            step()
        return step is None

    def is_set(self) -> bool:
        """End between two polls only."""
        return False


class Impatient:
    """Ends `follow` while it still searches: when it is asked the second time."""

    def __init__(self) -> None:
        self.asked = 0

    def is_set(self) -> bool:
        """Have had enough soon."""
        self.asked += 1
        return self.asked > 1

    def wait(self, timeout: float) -> bool:
        """Never be asked: the search is not over."""
        raise AssertionError("it did not look whether to end")


@pytest.mark.parametrize("last", [3, None])
@pytest.mark.parametrize("where", ["message~nowhere", "attributes.user=7"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "pending"])
def test_follow_ends_while_it_still_searches(
    place: Place, kind: str, where: str, last: int | None
) -> None:
    """Whoever wants no more does not wait for the end of the first search."""
    for producer in (A, B):
        place.write(kind, producer, lines(0, 20_000 if kind == "parquet" else 9), 0)
    assert [] == list(place.dataset().follow(where, last=last, stop=Impatient()))


def test_follow_ends_while_it_looks_for_what_is_new(place: Place) -> None:
    """Many files that have come since the last look, say; of these it tells nothing more."""
    rows = place.dataset().follow(stop=(stop := Impatient()))
    for producer in (A, B):
        place.write("parquet", producer, lines(0, 4), 0)
    assert [] == list(rows)
    assert 2 == stop.asked


def test_follow_begins_now_or_with_the_last_ones(place: Place) -> None:
    """What is there at the call is old; `last` asks for some or all of it."""
    place.write("parquet", A, lines(0, 5), 0)
    place.write("pending", A, lines(6, 9), 6)
    new = [(A, 10)]

    def follow(**options: Any) -> list[tuple[str, int]]:
        place.pending[:] = [Waiting(A, 6, lines(6, 9))]
        late = Steps(lambda: place.write("pending", A, line(10), 10))
        return found(place.dataset().follow(stop=late, **options))

    assert new == follow()
    assert [(A, 8), (A, 9), *new] == follow(last=2)
    assert [(A, n) for n in range(11)] == follow(last=None)
    assert [(A, 4)] == follow(where="n=4", last=3)
    with pytest.raises(ValueError, match="last=-1 must be 0 or more, or None"):
        place.dataset().follow(last=-1)


def test_what_is_new_is_settled_by_the_call(place: Place) -> None:
    """Not by the first `next`: a record between the two is not missed."""
    rows = place.dataset().follow(stop=Steps())
    place.write("pending", A, line(0), 0)
    assert [(A, 0)] == found(rows)


def test_follow_gives_each_record_once_on_its_whole_way(place: Place) -> None:
    """From the journal into a growing file, rotated, compressed, compacted into Parquet."""
    folder = place.folder

    def append(first: int, last: int) -> None:
        with (folder / f"{A}-0.jsonl").open("ab") as file:
            file.write(with_identity(lines(first, last), A, first))

    def rotate() -> None:
        append(5, 5)
        (folder / f"{A}-0.jsonl").rename(folder / f"{A}-0-5.jsonl")

    def compress() -> None:
        place.write("jsonl.zst", A, lines(0, 5), 0)
        (folder / f"{A}-0-5.jsonl").unlink()

    steps = Steps(
        lambda: place.write("pending", A, lines(0, 1), 0),
        lambda: append(0, 2),  # one more than was seen waiting
        place.pending.clear,
        lambda: append(3, 4),
        rotate,
        compress,
        lambda: place.write("parquet", A, lines(0, 7), 0),  # some of it is new
        lambda: place.write("parquet", B, lines(0, 1), 0),
        (place.path / "date=2026-11-22").mkdir,
        lambda: (folder / f"{A}-0-7.parquet").rename(
            place.path / "date=2026-11-22" / f"{A}-0-7.parquet"
        ),
        lambda: place.write("pending", A, lines(6, 8), 6),
    )
    expected = [*((A, n) for n in range(8)), (B, 0), (B, 1), (A, 8)]
    assert expected == found(place.dataset().follow(stop=steps))


def test_follow_puts_what_came_in_one_poll_in_order(place: Place) -> None:
    """Processes are merged by time."""

    def log() -> None:
        place.write("pending", B, lines(0, 3), 0)
        place.write("parquet", A, lines(0, 2), 0)

    expected = [(A, 0), (B, 0), (A, 1), (B, 1), (A, 2), (B, 2), (B, 3)]
    assert expected == found(place.dataset().follow(stop=Steps(log)))


def test_follow_takes_back_nothing_when_a_file_shrinks(place: Place) -> None:
    """A batch that could not be written whole is cut off again, and comes later."""
    path = place.write("growing", A, lines(0, 9), 0)
    whole = path.read_bytes()
    steps = Steps(
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(whole + with_identity(lines(10, 11), A, 10)),
    )
    assert [(A, 10), (A, 11)] == found(place.dataset().follow(stop=steps))


def test_follow_tells_of_a_damaged_file_and_goes_on(place: Place) -> None:
    """What is behind it is not missed."""
    dataset = place.dataset()
    steps = Steps(
        lambda: (place.folder / f"{A}-0-9.parquet").write_bytes(b"PAR1"),
        lambda: place.write("parquet", A, lines(10, 10), 10),
        lambda: place.write("parquet", A, lines(0, 9), 0),
    )
    with pytest.warns(DatasetWarning, match="it was left out"):
        assert [(A, 10)] == found(dataset.follow(stop=steps))


# ------------------------------------------------------------------ any mix of files


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[str, str, int, int, int]]:
    """Spread the records of two producers over files that may overlap: each is there somewhere."""
    pieces = []
    for producer in (A, B):
        at = 0
        for _ in range(draw(st.integers(0, 4))):
            back = draw(st.integers(0, min(at, 3)))
            length = draw(st.integers(1, 6))
            shift = draw(st.integers(-4, 4))
            pieces.append((draw(st.sampled_from(FORMS)), producer, at - back, length + back, shift))
            at += length
    return draw(st.permutations(pieces))


@settings(max_examples=60)
@given(layouts(), st.integers(0, 12), st.booleans(), st.sampled_from([0, 36500]))
def test_any_mix_of_files_reads_as_what_was_logged(
    tmp_path_factory: pytest.TempPathFactory,
    layout: list[tuple[str, str, int, int, int]],
    limit: int,
    newest_first: bool,
    days: int,
) -> None:
    """The model is a dict of records: everything is there, once, in order, from either end.

    Also where the times are made up, and lie behind the time at which the files were written.
    """
    place = Place(tmp_path_factory.mktemp("logs"))
    model: dict[tuple[str, int], datetime] = {}
    for form, producer, first, length, shift in layout:
        data = b""
        for n in range(first, first + length):
            moment = model.setdefault((producer, n), START + timedelta(days, n + shift))
            data += line(n, timestamp=moment.isoformat())
        taken = (place.folder / f"{producer}-{first}.jsonl").exists()
        place.write("jsonl" if form == "growing" and taken else form, producer, data, first)
    expected = sorted(model, key=lambda record: (model[record], *record), reverse=newest_first)
    dataset = place.dataset()
    assert expected == found(dataset.rows(newest_first=newest_first))
    assert expected[:limit] == found(dataset.rows(limit=limit, newest_first=newest_first))
    some = [record for record in expected if record[1] % 3]
    where = "user_id>0 or user_id=none"
    assert some == found(dataset.rows(where, newest_first=newest_first))
    assert some[:limit] == found(dataset.rows(where, limit=limit, newest_first=newest_first))
    assert sorted(model) == sorted(found(dataset.to_table().to_pylist()))
    assert sorted(model) == sorted(found(dataset.follow(last=None, stop=Steps())))


# ------------------------------------------------------------------ under way


@pytest.fixture(params=[ParquetTransport, JsonlTransport], ids=["parquet", "jsonl"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A directory that three loggers write to in the smallest batches, files rotating."""
    path = tmp_path / "busy"
    path.mkdir()
    options = {"rotate_bytes": 3000, "compression": "zstd"} if "jsonl" in request.node.name else {}
    handlers = [
        BatchHandler(request.param(path, **options), flush_interval=0.01, max_batch_size=20)
        for _ in range(3)
    ]
    threads = [
        threading.Thread(target=_log, args=(handler, 700), name="logbatch-test")
        for handler in handlers
    ]
    for thread in threads:
        thread.start()
    yield path, 3 * 700
    for thread in threads:
        thread.join()
    for handler in handlers:
        handler.close()


def _log(handler: BatchHandler, records: int) -> None:
    for number in range(records):
        record = logging.makeLogRecord({"msg": f"record {number}", "levelno": 20})
        handler.handle(record)
        if number % 30 == 0:
            handler.flush(1.0)


def test_counting_while_others_publish_is_never_wrong(busy: tuple[Path, int]) -> None:
    """Each look finds the records 0..n of every producer, once, and never fewer than before."""
    path, total = busy
    before: dict[str, int] = {}
    dataset = Dataset(path)
    looks = 0
    while sum(before.values()) < total:
        table = dataset.to_table(columns=["producer", "sequence"])
        grouped = table.group_by("producer").aggregate(
            [("sequence", "count"), ("sequence", "max"), ("sequence", "count_distinct")]
        )
        counts = {}
        for row in grouped.to_pylist():
            assert row["sequence_count"] == row["sequence_count_distinct"]
            assert row["sequence_count"] == row["sequence_max"] + 1
            counts[row["producer"]] = row["sequence_count"]
        assert all(counts.get(producer, 0) >= count for producer, count in before.items())
        before = counts
        looks += 1
    assert looks > 1 and () == dataset.problems


def test_following_while_others_publish_skips_and_repeats_nothing(busy: tuple[Path, int]) -> None:
    """Every record comes once, those of a producer in their order."""
    path, total = busy
    rows = Dataset(path).follow(last=None, interval=0.005, stop=threading.Event())
    records = found(itertools.islice(rows, total))
    assert total == len(set(records))
    for producer in {producer for producer, _ in records}:
        mine = [sequence for other, sequence in records if other == producer]
        assert list(range(len(mine))) == mine


def test_a_record_in_a_real_journal_is_seen_at_once(tmp_path: Path) -> None:
    """Before anything is published, and once only when it is."""
    journal = Journal(tmp_path / ".journal", new_producer())
    dataset = Dataset(tmp_path)
    for number in range(3):
        journal.append(line(number))
    assert [0, 1, 2] == [row["sequence"] for row in dataset.rows()]
    batch = journal.read(0, 1 << 20)
    assert batch is not None
    steps = Steps(lambda: journal.append(line(3)), lambda: journal.acknowledge(2))
    assert [2, 3] == [row["sequence"] for row in dataset.follow(last=1, stop=steps)]
    journal.close()


def test_a_live_record_comes_within_a_quarter_of_a_second(tmp_path: Path) -> None:
    """Whatever the flush interval is."""
    path = tmp_path / "logs"
    with BatchHandler(ParquetTransport(path), flush_interval=60) as handler:
        handler.handle(logging.makeLogRecord({"msg": "first", "levelno": 20}))
        rows = Dataset(path).follow(stop=threading.Event())
        delays = []
        for number in range(5):
            record = logging.makeLogRecord({"msg": f"record {number}", "levelno": 20})
            handler.handle(record)
            row = next(rows)
            delays.append(datetime.now(UTC).timestamp() - record.created)
            assert f"record {number}" == row["message"]
    assert min(delays) < 1.0  # with time to spare, 0.1 and what reading takes


def test_a_long_log_is_complete(place: Place) -> None:
    """More rows than are gathered or decoded in one go, in either form."""
    early = line(39_000, timestamp="2026-11-21T09:00:00Z")
    data = lines(0, 38_999) + early + lines(39_001, 39_999)
    place.write("growing", A, data, 0)
    place.write("parquet", B, lines(0, 9_999), 0)
    dataset = place.dataset()
    assert 50_000 == dataset.to_table(columns=["sequence"]).num_rows
    times = [row["timestamp"] for row in dataset.rows()]
    assert 50_000 == len(times) and times == sorted(times)
    last = found(dataset.rows(limit=5, newest_first=True))
    assert [(A, n) for n in range(39_999, 39_994, -1)] == last
    assert (
        pc.sum(dataset.to_table(columns=["sequence"])["sequence"]).as_py()
        == 39_999 * 20_000 + 49_995_000
    )
