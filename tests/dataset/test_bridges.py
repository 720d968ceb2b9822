"""The records for other engines: the exact files, batches, Polars, pandas, DuckDB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make import DAY, A, B, P, Waiting, lines, make_batch, publish, with_identity, with_pending

from logbatch.dataset.reader import Dataset
from logbatch.errors import DatasetError, FilterError
from logbatch.identity import Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage


def write_parquet(directory: Path, producer: str, first: int, last: int, **columns: str) -> Path:
    """Publish records as a Parquet file."""
    path = directory / DAY / f"{producer}-{first}-{last}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table_from_lines(lines(first, last), producer, first, columns), path)
    return path


@pytest.mark.parametrize(
    "where",
    [
        "level>=ERROR or level<=INFO",
        "level<=INFO or level>=ERROR",
        "(level>=ERROR or level<=INFO) level>NOTSET",
        "-level=CRITICAL -level=DEBUG or levelno>50",
    ],
)
def test_an_alternative_is_one_of_several_conditions(tmp_path: Path, where: str) -> None:
    """It holds within what is taken of a file, and within a window of time, not beside that."""
    write_compacted(tmp_path, (A, 0, 9), (B, 0, 4))
    write_parquet(tmp_path, A, 5, 19)
    expected = [(A, n) for n in range(20)] + [(B, n) for n in range(5)]
    dataset = Dataset(tmp_path)

    for rows in (
        dataset.to_table(where).to_pylist(),
        dataset.scan(where).read_all().to_pylist(),
        list(dataset.rows(where)),
        list(dataset.rows(where, limit=99, newest_first=True)),
        list(dataset.rows(where + " since=2026-01-01")),
    ):
        assert expected == sorted((row["producer"], row["sequence"]) for row in rows)
    half = f"({where}) until=2026-11-21T10:00:10"
    assert set(expected) > {(row["producer"], row["sequence"]) for row in dataset.rows(half)}


def write_compacted(directory: Path, *taken: tuple[str, int, int]) -> Path:
    """Publish records of several producers as one file, in the order of time."""
    tables = [table_from_lines(lines(a, b), producer, a, {}) for producer, a, b in taken]
    table = pa.concat_tables(tables).sort_by([(n, "ascending") for n in ("timestamp", "producer")])
    coverage = Coverage({producer: Ranges([(a, b)]) for producer, a, b in taken})
    path = directory / DAY / compacted_name()
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {KEY: encode_coverage(coverage)}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=7)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Records in whole and partly taken Parquet files, with other columns, JSON Lines, a journal.

    A 0..14, B 0..14, P 0..29.
    """
    path = tmp_path / "it's [logs]"
    write_parquet(path, A, 0, 9, user_id="int64")
    write_parquet(path, A, 5, 14)
    growing = with_identity(lines(0, 9), B, 0)
    (path / DAY / f"{B}-0.jsonl").write_bytes(growing + b'{"half')
    write_compacted(path, (P, 0, 19))
    write_compacted(path, (P, 10, 29))
    waiting = [Waiting(B, 8, lines(8, 14))]
    return with_pending(Dataset(path), lambda directory: waiting)


EXPECTED = sorted([(p, n) for p in (A, B) for n in range(15)] + [(P, n) for n in range(30)])


def test_a_scan_gives_what_a_table_gives(dataset: Dataset) -> None:
    """All columns, or some, of all records or of those that a filter takes."""
    for where, columns in ((None, None), ("level>=ERROR n<13", ["sequence", "producer"])):
        reader = dataset.scan(where, columns)
        table = dataset.to_table(where, columns)
        assert reader.schema == table.schema
        keys: Any = [("producer", "ascending"), ("sequence", "ascending")]
        assert reader.read_all().sort_by(keys) == table.sort_by(keys)
    assert EXPECTED == identities(dataset.scan(columns=["producer", "sequence"]).read_all())
    with pytest.raises(FilterError):
        dataset.scan("level>=LOUD")
    with pytest.raises(DatasetError, match="there is no column 'mesage'; did you mean 'message'"):
        dataset.scan(columns=["mesage"])


def identities(table: pa.Table) -> list[tuple[str, int]]:
    """Return which records a table holds."""
    return sorted(in_order(table))


def in_order(table: pa.Table) -> list[tuple[str, int]]:
    """Return which record each row is."""
    columns: list[list[Any]] = [table[name].to_pylist() for name in ("producer", "sequence")]
    return list(zip(*columns, strict=True))


def test_a_scan_survives_that_its_files_are_merged(tmp_path: Path) -> None:
    """What was not read yet is found in the file that took their place."""
    old = [write_parquet(tmp_path, A, first, first + 4) for first in range(0, 20, 5)]
    reader = Dataset(tmp_path).scan(columns=["producer", "sequence"])
    write_parquet(tmp_path, A, 0, 19)
    for path in old:
        path.unlink()
    assert [(A, n) for n in range(20)] == identities(reader.read_all())


def test_polars_reads_the_exact_files(dataset: Dataset) -> None:
    """Each record once, whatever overlaps; it is lazy; a column that a file lacks is null."""
    frame = dataset.to_polars()
    assert isinstance(frame, pl.LazyFrame)
    found = frame.select("producer", "sequence", "user_id").collect()
    assert EXPECTED == sorted(found.select("producer", "sequence").rows())
    typed = found.filter(pl.col("user_id").is_not_null())
    assert {A} == set(typed["producer"]) - {B} and 10 <= len(typed)
    assert dataset.to_table().column_names == frame.collect_schema().names()


def test_polars_gets_columns_of_which_files_have_other_types(tmp_path: Path) -> None:
    """They have the type that `to_table` gives them; Polars refused to read such files."""
    for producer, kind in ((A, "int64"), (B, "string"), (P, "float64")):
        write_parquet(tmp_path, producer, 0, 2, n=kind)
    write_parquet(tmp_path, A, 3, 5)
    lazy = Dataset(tmp_path).to_polars()
    assert lazy.collect_schema()["n"] == pl.String
    found = lazy.filter(pl.col("producer") == A).sort("sequence").select("n").collect()
    assert found["n"].to_list() == ["0", "1", "2", None, None, None]
    assert lazy.collect().height == 12


def test_duckdb_has_a_view(dataset: Dataset) -> None:
    """With the columns of `sql`, over the exact files, under any name; asking again renews it."""
    with duckdb.connect() as connection:
        view = dataset.to_duckdb(connection, "my logs")
        assert EXPECTED == sorted(view.project("producer, sequence").fetchall())
        query = "SELECT typeof(attributes), sum((attributes->>'n')::INT) FROM {} GROUP BY 1"
        expected = dataset.sql(query.format("logs")).to_pydict()
        answer = connection.sql(query.format('"my logs"')).fetchall()
        assert [tuple(column[0] for column in expected.values())] == answer
        dataset.to_duckdb(connection, "my logs")
        assert [(60,)] == connection.sql('SELECT count(*) FROM "my logs"').fetchall()


def test_pandas_gets_a_frame(dataset: Dataset) -> None:
    """With the columns and the records that are wanted."""
    pytest.importorskip("pandas", reason="pandas is not installed here")
    frame = dataset.to_pandas("level>=ERROR", columns=["producer", "sequence"])
    assert ["producer", "sequence"] == list(frame.columns)
    assert dataset.to_table("level>=ERROR").num_rows == len(frame)


def test_the_exact_files_are_listed(dataset: Dataset) -> None:
    """With the rows that count, where those are not all; read so, they are the published records.

    Of the journal nothing is listed.
    """
    found: list[tuple[str, int]] = []
    partly = 0
    for file in dataset.files():
        records = read(file.path)
        rows = file.rows or [(0, len(records) - 1)]
        partly += file.rows is not None
        found += [record for first, last in rows for record in records[first : last + 1]]
    assert [each for each in EXPECTED if each not in [(B, n) for n in range(10, 15)]] == sorted(
        found
    )
    assert 3 == partly  # two that overlap with others, and one that grows


def read(path: Path) -> list[tuple[str, int]]:
    """Read which records a file holds, row by row."""
    if path.suffix == ".parquet":
        return in_order(pq.ParquetFile(path).read(["producer", "sequence"]))
    whole = path.read_bytes().rpartition(b"\n")[0]
    frame = pl.read_ndjson(whole)
    return frame.select("producer", "sequence").rows()


def test_an_empty_directory_is_empty_everywhere(tmp_path: Path) -> None:
    """It has all columns, and no records."""
    dataset = Dataset(tmp_path)
    assert [] == list(dataset.files())
    assert 0 == dataset.scan().read_all().num_rows
    assert (0, 23) == dataset.to_polars().collect().shape
    with duckdb.connect() as connection:
        assert [] == dataset.to_duckdb(connection).fetchall()


LOOK = """
import sys
from logbatch import Dataset

dataset = Dataset(sys.argv[1])
list(dataset.rows("n=1", limit=5, newest_first=True))
dataset.to_table("n=1")
dataset.sql("SELECT count(*) FROM logs")
dataset.scan().read_all()
dataset.to_polars().collect()
assert "pandas" not in sys.modules
assert "pyarrow.dataset" not in sys.modules
"""


def test_only_to_pandas_imports_pandas(tmp_path: Path) -> None:
    """It takes half a second, and 47 MB."""
    publish(tmp_path / "logs", make_batch(0, 9))
    aside = tmp_path / "aside" / "pandas"
    aside.mkdir(parents=True)
    (aside / "__init__.py").touch()
    program = f"import sys; sys.path.insert(0, {str(aside.parent)!r})\n{LOOK}"
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "logs")], check=True, timeout=60)
