"""DuckDB as the engine: what it reads, and what is left when it is stopped."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make import DAY, A, B, P, batch_of, event, lines, make_batch, publish

from logbatch.dataset.engine import Engine
from logbatch.dataset.reader import Dataset
from logbatch.errors import DatasetWarning
from logbatch.identity import Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.columns import COLUMNS
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage


class Stopped(Exception):
    """Raised by a signal handler, as Ctrl-C does."""


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """An event; soon after it was set, the main thread is interrupted."""

    def interrupt(*_: object) -> None:
        raise Stopped

    def wait() -> None:
        begun.wait(60)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)

    begun = threading.Event()
    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=wait, name="test-stop")
    thread.start()
    yield begun
    begun.set()
    thread.join()
    signal.signal(signal.SIGUSR1, before)


def engines() -> list[str]:
    """Return the threads of engines that there are."""
    return [each.name for each in threading.enumerate() if each.name.startswith("logbatch-engine")]


def test_an_interrupted_search_ends_at_once(temporary: Path, stop: threading.Event) -> None:
    """It would take days; neither a thread nor a file of it is left."""
    query = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range < b.range"
    with pytest.raises(Stopped), Engine() as engine:
        stop.set()
        engine.table(query)
    assert [] == engines()
    assert [] == list(temporary.iterdir())


def test_what_does_not_fit_into_memory_goes_to_the_disk_and_from_it(temporary: Path) -> None:
    """It is there while the engine needs it."""
    with Engine(60_000_000) as engine:
        query = "SELECT range, range::VARCHAR || repeat('x', 90) FROM range(1500000) ORDER BY 2"
        batches = engine.batches(query)
        next(batches)
        assert [] != list(temporary.iterdir())
        batches.close()  # type: ignore[attr-defined]
    assert [] == list(temporary.iterdir())


def test_a_consumer_that_stops_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    """Whether it closes the iterator, or only forgets it."""
    publish(tmp_path / "logs", *(make_batch(n, n + 9) for n in range(0, 400, 10)))
    dataset = Dataset(tmp_path / "logs")
    rows = dataset.rows("message~message", limit=50, newest_first=True)
    assert 399 == next(rows)["sequence"]
    rows.close()  # type: ignore[attr-defined]
    assert [] == engines()
    batches = iter(dataset.scan("message~message"))
    next(batches)
    batches.close()
    assert 1 == len(engines())
    del batches
    assert [] == engines()
    assert [] == list(temporary.iterdir())


def test_what_goes_wrong_in_a_scan_reaches_its_consumer_as_it_is(tmp_path: Path) -> None:
    """Through Arrow, with its type, as Ctrl-C does; and nothing is left behind."""
    publish(tmp_path / "logs", *(make_batch(n, n + 9) for n in range(0, 400, 10)))
    batches = Dataset(tmp_path / "logs").scan("message~message")
    for path in tmp_path.rglob("*.parquet"):
        path.write_bytes(b"PAR1 torn")
    with pytest.raises(DatasetWarning, match="it was left out"):  # warnings are errors here
        next(batches)
    assert [] == engines()


def write_table(directory: Path, table: pa.Table, **taken: list[tuple[int, int]]) -> Path:
    """Publish a table as a compacted file with small row groups."""
    coverage = Coverage({producer: Ranges(spans) for producer, spans in taken.items()})
    path = directory / DAY / compacted_name()
    path.parent.mkdir(parents=True, exist_ok=True)
    table = table.replace_schema_metadata({KEY: encode_coverage(coverage)})
    pq.write_table(table, path, row_group_size=10)
    return path


def both(**parts: tuple[int, int]) -> pa.Table:
    """Make a table of records of producers."""
    return pa.concat_tables(
        [table_from_lines(lines(a, b), producer, a, {}) for producer, (a, b) in parts.items()]
    )


@pytest.fixture(scope="module", params=["timestamp", "lineno"])
def compacted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of A and P, sorted by time or by anything else, beside small files of B."""
    path = tmp_path_factory.mktemp("logs")
    table = both(**{A: (0, 199), P: (50, 149)})
    numbers = pa.array([n * 7 % 13 for n in range(len(table))], pa.int32())
    at = table.schema.get_field_index("lineno")
    table = table.set_column(at, "lineno", numbers).sort_by(request.param)
    write_table(path, table, **{A: [(0, 199)], P: [(50, 149)]})
    publish(path, *(make_batch(first, first + 19, B) for first in range(0, 200, 20)))
    return path


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 7, 1000])
def test_rows_of_compacted_files_come_in_order(
    compacted: Path, newest_first: bool, limit: int | None
) -> None:
    """Whatever they are sorted by, and whichever records are wanted."""
    expected = sorted(
        (n, producer)
        for producer, (a, b) in {A: (0, 199), B: (0, 199), P: (50, 149)}.items()
        for n in range(a, b + 1)
    )
    for where in (None, "level>=ERROR", "n>60 -n>100"):
        wanted = [(n, p) for n, p in expected if takes(where, n)]
        rows = Dataset(compacted).rows(where, limit=limit, newest_first=newest_first)
        found = [(row["sequence"], row["producer"]) for row in rows]
        assert (wanted[::-1] if newest_first else wanted)[:limit] == found, where


def takes(where: str | None, number: int) -> bool:
    """Say what a filter of the test above takes."""
    if where == "level>=ERROR":
        return number % 5 == 0
    return where != "n>60 -n>100" or 60 < number <= 100


def test_many_records_of_one_moment_come_in_windows(tmp_path: Path) -> None:
    """The row groups of a file that is not sorted by time all overlap; the order is right."""
    some = both(**{A: (0, 999)})
    times: list[Any] = some["timestamp"].cast(pa.int64()).to_pylist()
    tables = []
    for turn in range(300):
        moved = pa.array([t + turn for t in times], pa.int64()).cast(pa.timestamp("us", "UTC"))
        numbers = pa.array(range(turn * 1000, turn * 1000 + 1000), pa.int64())
        sequence = some.schema.get_field_index("sequence")
        tables.append(
            some.set_column(0, "timestamp", moved).set_column(sequence, "sequence", numbers)
        )
    path = write_table(tmp_path, tables[0], **{A: [(0, 299_999)]})
    table = pa.concat_tables(tables)
    metadata = {KEY: encode_coverage(Coverage({A: Ranges([(0, 299_999)])}))}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=50_000)
    rows = Dataset(tmp_path).rows("n=5,995")
    moments = [row["timestamp"] for row in rows]
    assert 600 == len(moments)
    assert all(a <= b for a, b in itertools.pairwise(moments))


def test_a_damaged_file_does_not_spoil_a_search(tmp_path: Path) -> None:
    """The rest is searched, by any call, and what is damaged is named."""
    paths = []
    for first in range(0, 100, 10):
        publish(tmp_path, make_batch(first, first + 9))
        paths = sorted(tmp_path.glob("*/*.parquet"), key=lambda path: path.stat().st_ino)
    torn = next(path for path in paths if "-30-39" in path.name)
    torn.write_bytes(torn.read_bytes()[:-7])
    calls: list[Any] = [
        lambda dataset: dataset.to_table("n>=0").num_rows,
        lambda dataset: dataset.scan("n>=0").read_all().num_rows,
        lambda dataset: len(list(dataset.rows("n>=0"))),
        lambda dataset: len(list(dataset.rows("n>=0", limit=1000, newest_first=True))),
        lambda dataset: dataset.sql("FROM logs").num_rows,
        lambda dataset: dataset.sql("SELECT count(*) AS n FROM logs").to_pylist()[0]["n"],
    ]
    for call in calls:
        dataset = Dataset(tmp_path)
        with pytest.warns(DatasetWarning, match="-30-39"):
            assert 90 == call(dataset)
        assert 1 == len(dataset.problems)


def test_files_whose_columns_nobody_expected_are_read(tmp_path: Path) -> None:
    """One between others lacks a column, one has a typed column of another type."""
    for first, columns in enumerate(({"n": "int64"}, {}, {"n": "string"}, {"n": "int64"})):
        table = table_from_lines(lines(first, first), A, first, columns)
        path = tmp_path / DAY / f"{A}-{first}-{first}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.drop_columns(["host"]) if first == 1 else table, path)
    for read in (
        lambda dataset: dataset.to_table("n>=0 host=null").num_rows,
        lambda dataset: len(list(dataset.rows("n>=0", limit=9, newest_first=True))),
        lambda dataset: dataset.sql("SELECT host, n FROM logs").num_rows,
    ):
        dataset = Dataset(tmp_path)
        assert 4 == read(dataset)
        assert () == dataset.problems


def test_files_that_went_away_are_not_counted_as_read(tmp_path: Path) -> None:
    """`progress` said 3 of 1, and a dataset that lives for long remembered each of its files."""
    publish(tmp_path, *(make_batch(n, n) for n in range(3)))
    dataset = Dataset(tmp_path)
    for found in ((3, 3), (1, 1)):
        assert 3 == dataset.to_table("n>=0").num_rows
        assert found == dataset.progress
        dataset.compact(older_than=0)


def test_columns_whose_names_differ_in_case_only_are_one(tmp_path: Path) -> None:
    """SQL ignores case: two such columns made every answer an error.  A filter minds it."""
    for producer, name, kind in ((A, "userId", "int64"), (B, "userid", "string")):
        events = [event(str(n), attributes={name: n}) for n in range(3)]
        publish(tmp_path, batch_of(producer, 0, *events), columns={name: kind})
    for _ in range(2):
        dataset = Dataset(tmp_path)
        assert dataset.to_table().schema.names == [*COLUMNS, "userId"]
        assert 6 == dataset.scan().read_all().num_rows == dataset.to_polars().collect().height
        assert 6 == dataset.sql("SELECT USERID FROM logs").num_rows
        with duckdb.connect() as connection:
            assert [(6,)] == dataset.to_duckdb(connection).aggregate("count(*)").fetchall()
        for where, found in (
            ("userId=1", [A]),
            ("userid=1", [B]),
            ("userid=1 or userId>=1", [A, A, B]),
        ):
            assert found == sorted(row["producer"] for row in dataset.rows(where))
            assert len(found) == dataset.to_table(where).num_rows
        assert () == dataset.problems
        dataset.compact(older_than=0)


WITHOUT = """
import sys

sys.modules["duckdb"] = None
from logbatch import Dataset
from logbatch.errors import QueryError

dataset = Dataset(sys.argv[1])
assert 5 == len(list(dataset.rows("n>=0", limit=5, newest_first=True)))
assert 2 == dataset.to_table("level>=ERROR").num_rows
assert 10 == dataset.scan().read_all().num_rows
try:
    dataset.sql("SELECT 1")
except QueryError as error:
    assert 'pip install "logbatch[tools]"' in str(error)
else:
    raise AssertionError
"""


def test_without_duckdb_all_but_sql_works(tmp_path: Path) -> None:
    """Slower; SQL says what to install."""
    publish(tmp_path, make_batch(0, 9))
    subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path)], check=True, timeout=60)
