"""SQL: what may be asked, what is refused, and the limits."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make import START, A, B, Waiting, line, lines, with_identity, with_pending

from logbatch.dataset.query import parse_size
from logbatch.dataset.reader import Dataset
from logbatch.errors import DatasetWarning, QueryError
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.columns import COLUMNS

pytest.importorskip("duckdb")


def write_parquet(directory: Path, producer: str, data: bytes, first: int, **columns: str) -> Path:
    """Publish lines as a Parquet file."""
    folder = directory / "date=2026-11-21"
    folder.mkdir(parents=True, exist_ok=True)
    last = first + data.count(b"\n") - 1
    path = folder / f"{producer}-{first}-{last}.parquet"
    pq.write_table(table_from_lines(data, producer, first, columns), path)
    return path


def write_jsonl(directory: Path, producer: str, data: bytes, first: int) -> Path:
    """Write lines to a growing JSONL file."""
    folder = directory / "date=2026-11-21"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{producer}-{first}.jsonl"
    path.write_bytes(with_identity(data, producer, first))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Thirty records: in two Parquet files that overlap, a JSONL file and a journal."""
    path = tmp_path / "logs"
    write_parquet(path, A, lines(0, 9), 0)
    write_parquet(path, A, lines(5, 14), 5)
    write_jsonl(path, B, lines(0, 9), 0)
    waiting = [Waiting(B, 8, lines(8, 14))]
    return with_pending(Dataset(path), lambda directory: waiting)


def test_every_record_is_there_once(dataset: Dataset) -> None:
    """In files of any form and in the journal; the same as `to_table` says."""
    query = "SELECT producer, sequence FROM logs ORDER BY ALL"
    expected = dataset.to_table(columns=["producer", "sequence"]).sort_by(
        [("producer", "ascending"), ("sequence", "ascending")]
    )
    assert 30 == expected.num_rows
    assert expected.to_pylist() == dataset.sql(query).to_pylist()


def test_a_long_jsonl_file_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read by way of a temporary file, which is gone afterwards."""
    text = "x" * 1000
    path = write_jsonl(tmp_path / "logs", A, lines(0, 39_999, template=text, stacktrace=text), 0)
    assert path.stat().st_size > 80 << 20
    waiting = [Waiting(A, 40_000, line(40_000))]
    dataset = with_pending(Dataset(tmp_path / "logs"), lambda directory: waiting)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    query = "SELECT count(*) AS n, sum(sequence) AS s, max(length(template)) AS t FROM logs"
    expected = [{"n": 40_001, "s": sum(range(40_001)), "t": 1000}]
    assert expected == dataset.sql(query).to_pylist()
    assert ["logs"] == [found.name for found in tmp_path.iterdir()]


def test_an_empty_directory_has_an_empty_view(tmp_path: Path) -> None:
    """With all columns."""
    table = Dataset(tmp_path).sql("FROM logs")
    assert (list(COLUMNS), 0) == (table.column_names, table.num_rows)


def test_attributes_are_json(dataset: Dataset) -> None:
    """Both arrows work, and paths into objects and lists."""
    query = """
        SELECT attributes->>'user_id' AS user, attributes->'user'->'list'->>0 AS first,
               attributes->>'$.path' AS path, typeof(attributes) AS type
        FROM logs WHERE producer = 'A' AND sequence = 7
    """.replace("'A'", f"'{A}'")
    expected = {"user": "1", "first": "7", "path": "/é", "type": "JSON"}
    assert [expected] == dataset.sql(query).to_pylist()
    counts = "SELECT attributes->>'user_id' AS u, count(*) AS n FROM logs GROUP BY u ORDER BY u"
    assert [{"u": str(u), "n": 10} for u in range(3)] == dataset.sql(counts).to_pylist()


def test_attributes_that_are_no_json_do_not_fail_the_query(tmp_path: Path) -> None:
    """Half a surrogate pair, which JSON allows and DuckDB does not, is shown as a text."""
    odd = line(0).replace(b'"path":"/\xc3\xa9"', rb'"path":"\ud800"')
    write_parquet(tmp_path, A, odd + line(1), 0)
    query = "SELECT attributes->>'user_id' AS u FROM logs ORDER BY sequence"
    assert [{"u": None}, {"u": "1"}] == Dataset(tmp_path).sql(query).to_pylist()


def test_times_are_utc(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time zone of the machine is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    query = "SELECT min(timestamp) AS t, min(timestamp)::VARCHAR AS s FROM logs"
    table = dataset.sql(query)
    assert pa.timestamp("us", "UTC") == table.schema.field("t").type
    assert [START.timestamp() * 1e6] == table["t"].cast(pa.int64()).to_pylist()
    assert ["2026-11-21 10:00:00+00"] == table["s"].to_pylist()
    query = "SELECT count(*) AS n FROM logs WHERE timestamp >= '2026-11-21 10:00:10'"
    assert [{"n": 10}] == dataset.sql(query).to_pylist()


def test_promoted_columns_are_in_the_view(tmp_path: Path) -> None:
    """Also those whose name wants quotes, of producers that differ, and of the journal."""
    write_parquet(tmp_path, A, lines(0, 1), 0, user_id="int64")
    write_parquet(tmp_path, A, lines(2, 2), 2)  # published for it by another process
    odd = lines(3, 4, attributes={"q x": "v"})
    write_parquet(tmp_path, B, odd, 3, **{"q x": "string"})
    waiting = [Waiting(A, 5, lines(5, 5))]
    dataset = with_pending(Dataset(tmp_path), lambda directory: waiting)
    query = 'SELECT user_id, "q x" AS q FROM logs ORDER BY sequence'
    assert {
        "user_id": [0, 1, None, None, None, 2],
        "q": [None, None, None, "v", "v", None],
    } == dataset.sql(query).to_pydict()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM logs",
        "select count(*) from LOGS;",
        "WITH e AS (SELECT * FROM logs WHERE levelno >= 40) SELECT count(*) FROM e",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n",
        "FROM logs LIMIT 1",
        "FROM memory.main.logs LIMIT 1",
        "VALUES (1)",
        "(SELECT 1) UNION (SELECT 2)",
        "DESCRIBE logs",
        "SUMMARIZE logs",
        "SELECT unnest([1, 2])",
        "FROM range(3)",
        "SELECT l.level, k.key FROM logs l, json_each(l.attributes) k",
        "SELECT * FROM logs a JOIN logs b USING (producer, sequence)",
        "SELECT *, row_number() OVER (ORDER BY timestamp) FROM logs",
        "SELECT time_bucket(INTERVAL 1 MINUTE, timestamp) AS t, count(*) FROM logs GROUP BY t",
        "SELECT regexp_extract(message, '[0-9]+') FROM logs",
    ],
)
def test_what_may_be_asked(dataset: Dataset, query: str) -> None:
    """Anything that DuckDB takes for one SELECT, on `logs`."""
    assert 0 < dataset.sql(query).num_rows


ATTACKS = [
    # more, or other, than one SELECT
    "",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW logs",
    "DROP VIEW logs",
    "CREATE TABLE t AS SELECT 1",
    "INSERT INTO logs SELECT * FROM logs",
    "DELETE FROM logs",
    "COPY logs TO 'out.csv'",
    "COPY (SELECT 1) TO 'out.parquet'",
    "EXPORT DATABASE 'out'",
    "ATTACH 'out.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA enable_external_access",
    "CALL pragma_version()",
    "CHECKPOINT",
    "EXPLAIN SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "VACUUM",
    "BEGIN",
    "SELECT $1",
    "SELECT ?",
    # a SELECT by DuckDB's own word that writes
    "WITH x AS (COPY (SELECT 1) TO 'out.csv') SELECT 1",
    "WITH x AS (INSERT INTO logs VALUES (1) RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM logs RETURNING *) SELECT * FROM x",
    # files and network
    "SELECT * FROM 'secret.csv'",
    "SELECT * FROM 'date=2026-11-21/*.parquet'",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('secret.csv')",
    "SELECT * FROM read_text('secret.csv')",
    "SELECT * FROM read_blob('secret.csv')",
    "SELECT * FROM read_json('secret.csv')",
    "SELECT * FROM read_parquet('*.parquet')",
    "SELECT * FROM parquet_metadata('*.parquet')",
    "SELECT * FROM sniff_csv('secret.csv')",
    "SELECT * FROM glob('*')",
    "SELECT * FROM 'https://example.com/x.csv'",
    "SELECT * FROM read_csv('http://169.254.169.254/')",
    "DESCRIBE 'secret.csv'",
    "SUMMARIZE 'secret.csv'",
    "SELECT (SELECT max(content) FROM read_text('secret.csv'))",
    "WITH x AS (FROM read_text('secret.csv')) FROM x",
    "SELECT 1 ORDER BY (SELECT max(content) FROM read_text('secret.csv'))",
    "SELECT list_transform([1], lambda x: (SELECT content FROM read_text('secret.csv')))",
    # configuration, environment, other tables
    "SELECT current_setting('memory_limit')",
    "SELECT system.main.current_setting('memory_limit')",
    "SELECT getenv('HOME')",
    "SELECT getvariable('x')",
    "SELECT write_log('x')",
    "FROM duckdb_settings()",
    "FROM duckdb_secrets()",
    "FROM duckdb_extensions()",
    "FROM duckdb_views()",
    "FROM pg_settings",
    "FROM pg_catalog.pg_settings",
    "FROM information_schema.tables",
    "FROM duckdb_settings",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SHOW memory_limit",
    "FROM (SHOW TABLES)",
    "FROM pragma_version()",
    "FROM which_secret('a', 'b')",
    "FROM enable_logging()",
    "FROM checkpoint()",
    # by a detour
    "FROM query('FROM duckdb_settings()')",
    "FROM query_table('logs')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM arrow_scan(1::POINTER, 2::POINTER, 3::POINTER)",
    "FROM pandas_scan(1::POINTER)",
    "FROM local_table",
    "FROM _files",
    "FROM _rest",
    "FROM temp._files",
    # nonsense
    "SELEC 1",
    "SELECT * FROM log",
    "SELECT nothing FROM logs",
    "SELECT 'a'::INTEGER",
    "SELECT '\udcff'",
    f"SELECT {'(' * 3000}1{')' * 3000}",
    f"FROM {'(FROM ' * 800}logs{')' * 800}",
]


@pytest.mark.parametrize("query", ATTACKS, ids=lambda query: repr(query[:70]))
def test_what_is_refused(dataset: Dataset, query: str, tmp_path: Path) -> None:
    """Each is a QueryError; nothing was read, written or changed."""
    local_table = pa.table({"secret": [1]})
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryError):
        dataset.sql(query)
    assert before == sorted(tmp_path.rglob("*"))
    assert local_table.num_rows == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT 1; SELECT 2", "write exactly one SELECT; these are 2 statements"),
        ("DROP VIEW logs", "only SELECT is allowed, not DROP"),
        ("FROM glob('*')", "the table function glob is not allowed; query the view logs"),
        ("FROM other.log", "there is no table 'other.log'; the only one is logs"),
        ("SELECT current_setting('x')", "the function current_setting is not allowed"),
        ("SELECT ?", "the query has a parameter"),
        ("SHOW TABLES", "SHOW is not allowed; DESCRIBE logs lists the columns"),
        ("SELECT mesage FROM logs", 'Candidate bindings: "message"'),
        ("SELECT FROM", "DuckDB does not understand this SQL: Parser Error"),
    ],
)
def test_a_refusal_says_what_is_wrong(dataset: Dataset, query: str, told: str) -> None:
    """In a sentence, with DuckDB's own words where it has any."""
    with pytest.raises(QueryError) as caught:
        dataset.sql(query)
    assert told in str(caught.value)


def test_a_query_is_stopped_when_its_time_is_up(dataset: Dataset) -> None:
    """While it computes, and while its result is taken."""
    for query in (
        "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b",
        "SELECT a.range FROM range(10000000000) a",
    ):
        began = time.monotonic()
        with pytest.raises(QueryError, match=r"the query was stopped after 0\.2 s"):
            dataset.sql(query, timeout=0.2, memory_limit="4GB")
        assert time.monotonic() - began < 5
    assert [{"n": 30}] == dataset.sql("SELECT count(*) AS n FROM logs", timeout=None).to_pylist()
    with pytest.raises(ValueError, match="timeout=0 must be a number of seconds above 0"):
        dataset.sql("SELECT 1", timeout=0)


def test_memory_is_limited(dataset: Dataset) -> None:
    """That of the query, and that of its result."""
    big = "SELECT array_agg(range::VARCHAR || repeat('x', 100)) FROM range(3000000)"
    with pytest.raises(QueryError, match="the query needs more than the memory limit of 100 MB"):
        dataset.sql(big, memory_limit="100MB")
    with pytest.raises(QueryError, match="the result takes more than the memory limit of 20 MB"):
        dataset.sql("SELECT range, range + 1 FROM range(100000000)", memory_limit="20MB")


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("1GB", 10**9), ("1.5 GiB", 3 << 29), ("2kb", 2000), ("7B", 7)],
)
def test_sizes_are_understood(text: str, size: int) -> None:
    """Decimal and binary units."""
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "0B", "1", "1GB; DROP VIEW logs"])
def test_a_wrong_size_is_told(dataset: Dataset, text: str) -> None:
    """With the option's name, the value and the rule."""
    with pytest.raises(ValueError, match=r"memory_limit=.* must be a size such as '500MB'"):
        dataset.sql("SELECT 1", memory_limit=text)


def test_a_damaged_file_does_not_fail_the_query(tmp_path: Path) -> None:
    """Torn at its end, or in its middle where only a query that reads there finds out."""
    write_parquet(tmp_path, A, lines(0, 9), 0)
    torn = write_parquet(tmp_path, A, lines(10, 19), 10)
    torn.write_bytes(torn.read_bytes()[:-9])
    middle = write_parquet(tmp_path, A, lines(20, 2019), 20)
    content = bytearray(middle.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    middle.write_bytes(content)
    dataset = Dataset(tmp_path)
    with pytest.warns(DatasetWarning, match="it was left out"):
        table = dataset.sql("SELECT count(*) AS n, max(message) AS m FROM logs")
    assert [{"n": 10, "m": "message 9"}] == table.to_pylist()
    assert 2 == len(dataset.problems)


def test_files_may_go_away_while_a_query_runs(tmp_path: Path) -> None:
    """It is asked again of the files that took their place."""
    logs = tmp_path / "logs"
    for first in range(0, 1000, 10):
        write_parquet(logs, A, lines(first, first + 9), first)
    stop = threading.Event()

    def compact() -> None:
        """Merge into one file and take apart again, all the time."""
        folder = logs / "date=2026-11-21"
        small = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        content = write_parquet(tmp_path / "aside", A, lines(0, 999), 0).read_bytes()
        while not stop.is_set():
            _publish(folder, f"{A}-0-999.parquet", content)
            for name, _ in small:
                (folder / name).unlink()
            for name, part in small:
                _publish(folder, name, part)
            (folder / f"{A}-0-999.parquet").unlink()

    thread = threading.Thread(target=compact, name="logbatch-test")
    thread.start()
    try:
        dataset = Dataset(logs)
        for _ in range(30):
            table = dataset.sql("SELECT count(*) AS n, sum(sequence) AS s FROM logs")
            assert [{"n": 1000, "s": 499_500}] == table.to_pylist()
    finally:
        stop.set()
        thread.join()


def _publish(folder: Path, name: str, content: bytes) -> None:
    part = folder / ".part-1.tmp"
    part.write_bytes(content)
    os.rename(part, folder / name)


def test_duckdb_may_be_missing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the error says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(QueryError, match=r'SQL needs DuckDB: pip install "logbatch\[tools\]"'):
        dataset.sql("SELECT 1")
