"""Export: records that match, in the order of time, in a file that is whole or not there."""

from __future__ import annotations

import csv
import os
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from aged import fill
from limits import files_of_at_most
from make import Waiting, batch_of, event, lines, publish, publish_events, with_pending

from logbatch import Dataset
from logbatch.dataset.formats import FORMATS
from logbatch.errors import DatasetError, FilterError
from logbatch.identity import new_producer
from logbatch.storage.segments import parse_segment


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory of two processes, of three days, one in Parquet and one in JSON Lines."""
    fill(tmp_path / "logs", 3)
    fill(tmp_path / "logs", 3, kind="jsonl")
    return tmp_path / "logs"


def read(path: Path) -> list[tuple[str, int]]:
    """Which records are in a file, in its order."""
    rows: list[dict[str, Any]]
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    return [(row["producer"], int(row["sequence"])) for row in rows]


def expected(dataset: Dataset, where: str | None = None) -> list[tuple[str, int]]:
    """Which records there are, in the order of time."""
    return [(row["producer"], row["sequence"]) for row in dataset.rows(where)]


@pytest.mark.parametrize("form", FORMATS)
def test_no_room(logs: Path, tmp_path: Path, form: str) -> None:
    """Nothing is left of a file that the disk does not take."""
    place = tmp_path / "place"
    place.mkdir()
    for to, named in ((f"out.{form}", f"out.{form}"), ("days", f"days/2026-11-19.{form}")):
        with files_of_at_most(100), pytest.raises(OSError, match="too large") as caught:
            Dataset(logs).export(place / to, format=form)
        assert str(place / named) == caught.value.filename
        assert [] == list(place.iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk(logs: Path, tmp_path: Path, form: str) -> None:
    """It is said which file it was that could not be written."""
    (tmp_path / f"full.{form}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        Dataset(logs).export(tmp_path / f"full.{form}")
    assert str(tmp_path / f"full.{form}") == caught.value.filename


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("to", [".", "date=2026-11-19", "date=2026-11-19/out", "new", "new/out"])
@pytest.mark.parametrize("form", [None, *FORMATS])
def test_nothing_is_written_among_the_files_that_are_read(
    logs: Path, tmp_path: Path, to: str, form: str | None, force: bool
) -> None:
    """It would be read as a part of the log, by us or by whoever globs."""
    before = sorted(logs.rglob("*"))
    link = tmp_path / "link"
    link.symlink_to(logs)
    for directory in (logs, link):
        path = directory / to / "out.csv" if form is None else directory / to
        with pytest.raises(DatasetError, match="becomes part of the log"):
            Dataset(logs).export(path, format=form, force=force)
    assert before == sorted(logs.rglob("*"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("where", [None, "level>=ERROR", "number>5 -number=20", "nothing"])
def test_a_file(logs: Path, tmp_path: Path, form: str, where: str | None) -> None:
    """It has what `rows` gives, in its order, also what is not published yet."""
    pending = Waiting(new_producer(), 0, lines(0, 9))
    dataset = with_pending(Dataset(logs), lambda directory: [pending])
    path = tmp_path / f"out.{form}"
    done = dataset.export(path, where)
    assert expected(dataset, where) == read(path)
    assert (len(read(path)), (path,)) == done
    assert 0o600 == path.stat().st_mode & 0o777
    assert ["logs", path.name] == sorted(os.listdir(tmp_path))


@pytest.mark.parametrize("form", FORMATS)
def test_a_directory(logs: Path, tmp_path: Path, form: str) -> None:
    """It gets a file for each date of a record."""
    dataset = Dataset(logs)
    done = dataset.export(tmp_path / "days", format=form)
    names = [f"2026-11-{day}.{form}" for day in (19, 20, 21)]
    assert names == [path.name for path in done.files] == sorted(os.listdir(tmp_path / "days"))
    found = [record for path in done.files for record in read(path)]
    assert expected(dataset) == found
    assert 60 == done.records


def test_lines_are_those_of_our_own_files(logs: Path, tmp_path: Path) -> None:
    """So a program that reads these reads those."""
    (source,) = (each for each in logs.rglob("*-0-9.jsonl") if parse_segment(each))
    producer = source.name[:26]
    Dataset(logs).export(tmp_path / "out.jsonl", f"producer={producer}")
    first = (tmp_path / "out.jsonl").read_bytes().splitlines()[:10]
    assert source.read_bytes().splitlines() == first


def test_exact_values(tmp_path: Path) -> None:
    """Nothing is lost on the way: nulls, empty texts, times, odd characters, attributes."""
    given = [
        event("", template="", exception_message=None, attributes={"a": {"b": [1, "é\u2028"]}}),
        event('a "b", c\r\nd\x00\x1b', timestamp="0001-01-01T00:00:00Z"),
        event("x", timestamp="9999-12-31T23:59:59.999999Z", process=-(2**63), lineno=0),
    ]
    publish_events(tmp_path / "logs", *given)
    dataset = Dataset(tmp_path / "logs")
    rows = list(dataset.rows())
    for form in FORMATS:
        dataset.export(tmp_path / f"out.{form}")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.equals(dataset.to_table().sort_by("timestamp"))
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        head, *cells = list(csv.reader(file))
    assert list(rows[0]) == head
    for row, found in zip(rows, cells, strict=True):
        told = dict(zip(head, found, strict=True))
        assert row["message"] == told["message"]
        assert row["timestamp"].strftime("%H:%M:%S.%f") in told["timestamp"]
        assert row["attributes"] == msgspec.json.decode(told["attributes"])
    text = (tmp_path / "out.csv").read_text()
    assert ',"","",' in text  # an empty message and template, and then attributes


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas(tmp_path: Path, text: str) -> None:
    """In CSV a text that a spreadsheet would run is marked as a text, unless it is to be exact."""
    publish_events(tmp_path / "logs", event(text, logger=text), event(f"a {text}", process=-5))
    for exact, mark in ((False, "'"), (True, "")):
        Dataset(tmp_path / "logs").export(tmp_path / "out.csv", force=True, exact=exact)
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [mark + text, f"a {text}"] == [row["message"] for row in rows]
        assert mark + text == rows[0]["logger"]
        assert "-5" == rows[1]["process"]


def test_nothing_is_overwritten(logs: Path, tmp_path: Path) -> None:
    """Unless that is asked for; and then nothing of the old file is left."""
    path = tmp_path / "out.csv"
    path.write_text("mine")
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "2026-11-20.csv").write_text("mine")
    dataset = Dataset(logs)
    for to, form in ((path, None), (tmp_path / "link.csv", None), (tmp_path / "days", "csv")):
        with pytest.raises(DatasetError, match="is there already"):
            dataset.export(to, format=form)
    assert ["2026-11-20.csv"] == os.listdir(tmp_path / "days")
    assert "mine" == path.read_text() == (tmp_path / "days" / "2026-11-20.csv").read_text()
    assert 60 == dataset.export(path, force=True).records == len(read(path))
    assert 3 == len(dataset.export(tmp_path / "days", format="csv", force=True).files)
    assert sorted(["logs", "out.csv", "days", "link.csv"]) == sorted(os.listdir(tmp_path))


def test_what_fails_leaves_nothing(logs: Path, tmp_path: Path) -> None:
    """Neither a file nor a temporary one."""
    dataset = Dataset(logs)

    def stop(directory: Path) -> Any:
        raise KeyboardInterrupt

    for name in ("out.csv", "out.parquet", "out.jsonl"):
        with pytest.raises(KeyboardInterrupt):
            with_pending(dataset, stop).export(tmp_path / name)
        with pytest.raises(DatasetError, match="there is no directory"):
            dataset.export(tmp_path / "none" / name)
    with pytest.raises(FilterError):
        dataset.export(tmp_path / "out.csv", "level>>3")
    assert ["logs"] == os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "form", "message"),
    [
        ("out", None, "ends neither in .parquet"),
        ("out.xlsx", None, "a directory needs a format"),
        ("out.csv", "jsonl", "ends like a file of csv, and the format is jsonl"),
        ("out", "xlsx", "format='xlsx' must be one of parquet, csv, jsonl"),
    ],
)
def test_what_is_meant_must_be_clear(
    logs: Path, tmp_path: Path, name: str, form: str | None, message: str
) -> None:
    """The ending or the format tells."""
    with pytest.raises(DatasetError, match=message):
        Dataset(logs).export(tmp_path / name, format=form)
    assert ["logs"] == os.listdir(tmp_path)


def test_a_pipe(logs: Path, tmp_path: Path) -> None:
    """What is no plain file is written to as it is."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    if (pid := os.fork()) == 0:
        Dataset(logs).export(path)
        os._exit(0)
    data = path.read_bytes()
    os.waitpid(pid, 0)
    assert 60 == data.count(b"\n")


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    """It holds what overlaps in time."""
    producer = new_producer()
    for first in range(0, 20_000, 1_000):
        publish(tmp_path / "logs", batch_of(producer, first, lines(first, first + 999)))
    dataset = Dataset(tmp_path / "logs")
    dataset.export(tmp_path / "warm.jsonl", "n<10")
    tracemalloc.start()
    dataset.export(tmp_path / "out.jsonl")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "out.jsonl").stat().st_size > 4_000_000
    assert peak < 3_000_000, peak
