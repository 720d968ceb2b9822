"""Parquet files: what stands in them, and that every engine can read them at any time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import warm
from duck import ask
from make import P, batch_of
from waiting import PATIENCE

from logbatch.identity import SegmentName, new_producer
from logbatch.storage.arrow import schema
from logbatch.transports import build
from logbatch.transports.base import Batch
from logbatch.transports.parquet import COMPRESSIONS, ParquetTransport

EVENT: dict[str, Any] = {
    "timestamp": "2026-11-21T10:00:00.000001Z",
    "level": "ERROR",
    "levelno": 40,
    "logger": "app.web",
    "message": "GET /\u0000 'ü' 😀 failed",
    "template": "%s %s failed",
    "exception_type": "ValueError",
    "exception_message": "no",
    "stacktrace": "Traceback …\n  ValueError: no",
    "pathname": "/srv/app.py",
    "lineno": 7,
    "func_name": "get",
    "process": 4_194_304,
    "thread": 140_000_000_000_000,
    "thread_name": "MainThread",
    "task": "Task-1",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "b7ad6b7169203331",
    "service": "app",
    "host": "vm",
    "attributes": {"user_id": 42, "ratio": 0.5, "path": "/items", "nested": {"a": [1, None]}},
}
SMALL = {name: EVENT[name] for name in ("timestamp", "level", "levelno", "logger", "message")}


def count_duckdb(directory: Path) -> int:
    """Count rows with DuckDB, each of which must be another record."""
    query = f"SELECT count(*), count(DISTINCT (producer, sequence)) FROM '{directory}/*/*.parquet'"
    ((rows, records),) = ask(query)
    assert rows == records
    return int(rows)


def count_arrow(directory: Path) -> int:
    """Count rows with Arrow, which lists the files itself."""
    table = ds.dataset(directory, format="parquet", exclude_invalid_files=False).to_table()
    return int(table.num_rows)


def count_polars(directory: Path) -> int:
    """Count rows with Polars."""
    import polars

    return int(polars.scan_parquet(f"{directory}/*/*.parquet").collect().height)


ENGINES: list[Callable[[Path], int]] = [count_duckdb, count_arrow, count_polars]


class TestFile:
    def test_every_column(self, tmp_path: Path) -> None:
        """A file holds every field of an event, in the columns and types of the schema."""
        columns = {"user_id": "int64", "ratio": "float64", "path": "bool"}
        transport = ParquetTransport(tmp_path, columns)
        transport.send(batch_of(P, 5, EVENT, SMALL))
        (path,) = tmp_path.rglob("*.parquet")
        table = pq.read_table(path, partitioning=None)
        first, second = table.to_pylist()

        assert SegmentName(P, 5, 6, "parquet") == SegmentName.parse(path.name)
        assert schema(columns) == table.schema
        assert EVENT["message"] == first["message"]
        assert EVENT["attributes"] == msgspec.json.decode(first["attributes"])
        assert {k: EVENT[k] for k in EVENT if k not in ("timestamp", "attributes")} == {
            k: first[k] for k in EVENT if k not in ("timestamp", "attributes")
        }
        assert "2026-11-21T10:00:00.000001+00:00" == first["timestamp"].isoformat()
        assert [(P, 5), (P, 6)] == [(row["producer"], row["sequence"]) for row in (first, second)]
        assert [(42, 0.5, None), (None, None, None)] == [
            (row["user_id"], row["ratio"], row["path"]) for row in (first, second)
        ]
        assert ("{}", None, None) == (second["attributes"], second["task"], second["lineno"])

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_compression(self, compression: str, tmp_path: Path) -> None:
        """Each compression that may be chosen is used."""
        ParquetTransport(tmp_path, compression=compression).send(batch_of(P, 0, EVENT))
        (path,) = tmp_path.rglob("*.parquet")
        used = pq.ParquetFile(path).metadata.row_group(0).column(0).compression
        expected = {"none": "UNCOMPRESSED"}.get(compression, compression.upper())

        assert expected == used
        assert 1 == pq.read_table(path).num_rows

    def test_a_damaged_line(self, tmp_path: Path) -> None:
        """A line that is no JSON costs nothing but itself, and is there to be looked at."""
        batch = batch_of(P, 0, EVENT, SMALL, SMALL)
        lines = batch.lines.splitlines(keepends=True)
        lines[1] = b'{"timestamp":"2026-11-21T10:00:00Z","level":"IN\xff\n'
        ParquetTransport(tmp_path).send(Batch(P, 0, 2, b"".join(lines)))
        rows = ds.dataset(tmp_path, format="parquet").to_table().to_pylist()

        assert [EVENT["message"], SMALL["message"]] == [rows[0]["message"], rows[2]["message"]]
        assert ("ERROR", "logbatch") == (rows[1]["level"], rows[1]["logger"])
        assert rows[1]["message"].startswith('{"timestamp":')

    def test_not_a_listing_of_all_folders(self, tmp_path: Path) -> None:
        """A producer that began today is not looked for in folders of long ago."""
        old = tmp_path / "date=2020-01-01"
        old.mkdir()
        old.chmod(0)
        producer = new_producer()
        transport = ParquetTransport(tmp_path)
        transport.send(batch_of(producer, 0, SMALL))
        old.chmod(0o700)

        assert 1 == transport.published(producer).count()


class TestEngines:
    def test_odd_characters(self, tmp_path: Path) -> None:
        """Every engine reads what may stand in a message, NUL included."""
        import polars

        build(f"parquet:{tmp_path}").send(batch_of(P, 0, EVENT))
        glob = f"{tmp_path}/*/*.parquet"

        assert [(EVENT["message"],)] == ask(f"SELECT message FROM '{glob}'")
        assert [EVENT["message"]] == polars.scan_parquet(glob).collect()["message"].to_list()
        assert [EVENT["message"]] == (
            ds.dataset(tmp_path, format="parquet").to_table()["message"].to_pylist()
        )

    def test_attributes_in_sql(self, tmp_path: Path) -> None:
        """Attributes can be asked for in SQL, promoted or not."""
        build(f"parquet:{tmp_path}", columns={"user_id": "int64"}).send(
            batch_of(P, 0, EVENT, SMALL)
        )
        query = f"""
            SELECT user_id, attributes::JSON->>'path', (attributes::JSON->'nested'->'a'->0)::INT
            FROM '{tmp_path}/*/*.parquet' ORDER BY sequence
        """

        assert [(42, "/items", 1), (None, None, None)] == ask(query)

    def test_union_of_what_was_promoted(self, tmp_path: Path) -> None:
        """Files with different promoted columns can be read together."""
        for number, columns in enumerate(({}, {"user_id": "int64"}, {"path": "string"})):
            ParquetTransport(tmp_path, columns).send(batch_of(P, number, EVENT))
        query = f"""
            SELECT count(user_id), count(path), count(*)
            FROM read_parquet('{tmp_path}/*/*.parquet', union_by_name=true)
        """

        assert [(1, 1, 3)] == ask(query)
        for engine in (count_duckdb, count_arrow):
            assert 3 == engine(tmp_path)

    @pytest.mark.parametrize("count", ENGINES)
    def test_while_it_is_written(self, count: Callable[[Path], int], tmp_path: Path) -> None:
        """Globs of engines never meet a file that is not whole, and records only become more."""
        code = f"""
import os, sys
from logbatch.identity import new_producer
from logbatch.transports import build
from logbatch.transports.base import Batch
transport = build("parquet:{tmp_path}")
producer = new_producer()
line = {msgspec.json.encode(EVENT)!r} + b"\\n"
for number in range(100):
    transport.send(Batch(producer, number * 100, number * 100 + 99, line * 100))
    print(number, flush=True)
"""
        child = warm.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert b"0\n" == child.stdout.readline()
        counts = []
        while child.poll() is None:
            counts.append(count(tmp_path))
        child.communicate()

        assert 0 == child.returncode
        assert 10_000 == count(tmp_path)
        assert sorted(counts) == counts
        assert all(each % 100 == 0 for each in counts)


def test_other_threads_go_on(tmp_path: Path) -> None:
    """While a large batch is converted, a thread of the application gets its turns.

    One of three tries will do: on a busy machine both are halted at times.
    """
    transport = ParquetTransport(tmp_path)
    transport.send(batch_of(new_producer(), 0, SMALL))  # imports are not what is measured
    lines = batch_of(P, 0, *([EVENT] * 60_000)).lines
    batches = [Batch(new_producer(), 0, 59_999, lines) for _ in range(3)]

    assert any(longest_gap(partial(transport.send, batch)) < 0.5 for batch in batches)


def longest_gap(work: Callable[[], object]) -> float:
    """Return the longest time that another thread is halted, as a share of what the work takes."""
    gaps: list[float] = []
    done = threading.Event()

    def run() -> None:
        last = time.perf_counter()
        while not done.is_set():
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=run)
    thread.start()
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    done.set()
    thread.join()
    return max(gaps) / took


def test_pandas_is_not_imported(tmp_path: Path) -> None:
    """Regression: the first batch imported it, which takes half a second and 47 MB.

    Nothing but NumPy, which pyarrow itself imports, is looked for where it is not needed.
    """
    program = Path(__file__).parents[1] / "programs" / "imported.py"
    command = [sys.executable, str(program), str(tmp_path / "logs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "" == done.stderr
    found = set(done.stdout.splitlines()[-1].split())
    assert {"pyarrow", "numpy", "msgspec"} <= found
    assert found.isdisjoint({"pandas", "polars", "fsspec", "dateutil", "pytz", "requests"})
