"""`Matches`: what matches a filter, wherever it stands, as one relation of DuckDB's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filtering import filters
from filtering import rows as any_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from make import (
    DAY,
    START,
    A,
    B,
    P,
    Q,
    Waiting,
    batch_of,
    encode,
    event,
    lines,
    make_batch,
    publish,
    publish_events,
    write_compacted,
)

from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.matching import Matches
from logbatch.dataset.reader import Dataset
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import Stopped, stopping
from logbatch.epoch import to_microseconds
from logbatch.errors import QueryError
from logbatch.identity import Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage

SLOW = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range < b.range"
FILTERS = [
    *("", "level>=ERROR", "user_id=1", "n>=10 n<120", "message~/7$/", "path~é", "user.list~7"),
    *("user.id=*", 'attributes~"[7"', "-user~1", "since=2026-11-21T10:00:30", "level=1"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Small files, a compacted one that holds some of their records, JSON Lines, a journal."""
    path = tmp_path_factory.mktemp("logs")
    publish(path, *(make_batch(n, n + 9, A) for n in range(0, 60, 10)))
    publish(path, make_batch(55, 80, A))  # overlaps with the one before
    write_compacted(path / DAY, make_batch(20, 44, A), make_batch(0, 99, P), group=16)
    publish(path, make_batch(0, 70, B), kind="jsonl")
    publish(path, make_batch(0, 9, Q))
    waiting = [Waiting(Q, 5, lines(5, 30))]
    return Source(path, lambda _: waiting)


def rows(source: Source, where: str) -> set[tuple[str, int]]:
    """Look at every record in Python."""
    dataset = Dataset(source.directory)
    dataset._source.read_pending = source.read_pending
    found = Filter.parse(where)
    return {(row["producer"], row["sequence"]) for row in dataset.rows() if found.matches(row)}


def matching(
    source: Source,
    where: str,
    engine: Engine | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Sequence[tuple[str, int]]:
    """Ask for the identities of what matches."""
    columns = ["producer", "sequence"]
    given = source, source.snapshot(), Filter.parse(where), columns, engine
    with Matches(*given, start=start, end=end) as matches:
        table = matches.table("SELECT * FROM {matches} ORDER BY ALL")
        assert columns == table.column_names
        counted = matches.table("SELECT count(*) AS n FROM {matches}")
        assert [{"n": len(table)}] == counted.to_pylist()
    return [(row["producer"], row["sequence"]) for row in table.to_pylist()]


@pytest.mark.parametrize("where", FILTERS)
def test_the_relation_is_what_matches(source: Source, where: str) -> None:
    """Each record once, whether the engine can decide it or not."""
    assert sorted(rows(source, where)) == matching(source, where)


def test_a_range_of_time_is_half_open(source: Source) -> None:
    """From its start on, and without its end; one beyond all calendars is no error."""
    start, end = (to_microseconds(START + timedelta(seconds=n)) for n in (10, 20))
    numbers = range(10, 20)
    expected = sorted((p, n) for p, n in rows(source, "") if n in numbers)
    assert expected == matching(source, "", start=start, end=end)
    assert expected == matching(source, "attributes~1 or n>=0", start=start, end=end)
    everything = sorted(rows(source, ""))
    assert everything == matching(source, "", start=-(1 << 70), end=1 << 70)
    assert [] == matching(source, "", start=1 << 70)
    assert [] == matching(source, "", end=-(1 << 70))


def test_a_promoted_column(tmp_path: Path) -> None:
    """It can be asked about like any other; it is null where a record has none."""
    publish(tmp_path, make_batch(0, 9), columns={"user_id": "int64"})
    publish(tmp_path, make_batch(10, 19))
    source = Source(tmp_path)
    with Matches(source, source.snapshot(), Filter(), ["user_id"]) as matches:
        found = matches.table("SELECT user_id, count(*) FROM {matches} GROUP BY 1 ORDER BY 1")
    assert [(0, 4), (1, 3), (2, 3), (None, 10)] == [
        tuple(row.values()) for row in found.to_pylist()
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """More records than are kept, one a second; half of them with letters that are not ASCII."""
    path = tmp_path_factory.mktemp("many")
    events = (event("é " * (n % 2) + f"{n}", attributes={"n": n / 4}) for n in range(1000))
    some, tables = table_from_lines(encode(*events), A, 0), []
    at = some.schema.get_field_index("sequence")
    for first in range(0, 240_000, 1000):
        numbers = pa.array(range(first, first + 1000), pa.int64())
        times = pa.array(range(first * 10**6, (first + 1000) * 10**6, 10**6), pa.int64())
        moved = some.set_column(0, "timestamp", times.cast(pa.timestamp("us", "UTC")))
        tables.append(moved.set_column(at, "sequence", numbers))
    metadata = {KEY: encode_coverage(Coverage({A: Ranges([(0, 239_999)])}))}
    (path / DAY).mkdir()
    table = pa.concat_tables(tables).replace_schema_metadata(metadata)
    pq.write_table(table, path / DAY / compacted_name(), row_group_size=30_000)
    return Source(path)


@pytest.mark.parametrize("where", ["", "message~/[1-9]$/", "n=*", "n>=10.5", "-message~/é/"])
def test_many_that_match_are_not_kept(many: Source, where: str) -> None:
    """They are counted where they are; those that the engine cannot decide stand beside."""
    found = Filter.parse(where)
    records = [
        {"message": "é " * (n % 2) + f"{n}", "attributes": {"n": n / 4}} for n in range(1000)
    ]
    expected = [n for n in range(1000) if found.matches(records[n])]
    assert 100_000 < 240 * len(expected)
    with Matches(many, many.snapshot(), found, ["sequence", "message"]) as matches:
        query = "SELECT sequence % 1000 AS n, count(*) AS records FROM {matches} GROUP BY 1"
        counted = matches.table(f"{query} ORDER BY 1").to_pylist()
        assert [{"n": n, "records": 240} for n in expected] == counted
        some = matches.table(f"{query} ORDER BY 1", 50_000 * 10**6, 61_000 * 10**6).to_pylist()
        assert [{"n": n, "records": 11} for n in expected] == some
        bounds = matches.bounds()
    assert bounds is not None
    assert (0, 239_999 * 10**6) == bounds


@pytest.mark.parametrize("where", ["level>=0", "n=*", "message~/[1-9]$/", "n>=10.5"])
def test_what_is_unsure_is_found_while_counting(many: Source, where: str) -> None:
    """If there are such rows, all is counted again; other questions know what is right."""

    def count(unsure: str) -> str:
        also = f", count(*) FILTER ({unsure}) AS unsure" if unsure else ""
        return f"SELECT level, count(*) AS records{also} FROM {{matches}} GROUP BY level"

    with Matches(many, many.snapshot(), Filter.parse(where), ["level"]) as matches:
        counted = matches.table(f"SELECT records FROM {matches.keep_counted(count)}")
        (after,) = matches.table("SELECT count(*) AS records FROM {matches}").to_pylist()
    with Matches(many, many.snapshot(), Filter.parse(where), ["level"]) as matches:
        (before,) = matches.table("SELECT count(*) AS records FROM {matches}").to_pylist()
    assert [before] == [after] == counted.to_pylist()


@settings(max_examples=25)
@given(st.lists(any_rows(), min_size=1, max_size=8), filters())
def test_any_filter_of_any_records(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]], where: Filter
) -> None:
    """What matches is what the filter itself says of the records as they are read."""
    path = tmp_path_factory.mktemp("any")
    events = [
        {name: value for name, value in row.items() if name not in ("producer", "sequence")}
        for row in records
    ]
    for number, kind in enumerate(("parquet", "jsonl")):
        publish(path, batch_of((A, B)[number], 0, *events), kind=kind)
    source = Source(path)
    rows = Dataset(path).rows()
    expected = [(row["producer"], row["sequence"]) for row in rows if where.matches(row)]
    with Matches(source, source.snapshot(), where, ["producer", "sequence"]) as matches:
        found = matches.table("FROM {matches}").to_pylist()
    assert sorted(expected) == sorted((row["producer"], row["sequence"]) for row in found)


def test_nothing_is_a_relation_too(tmp_path: Path) -> None:
    """Of an empty directory."""
    assert [] == matching(Source(tmp_path), "user_id=1")


def test_much_that_is_not_parquet_goes_to_the_disk_and_from_it(
    tmp_path: Path, temporary: Path
) -> None:
    """It is there while it is asked about."""
    long = "x" * 500_000
    publish_events(tmp_path / "logs", *(event(f"{n} {long}") for n in range(90)), kind="jsonl")
    source = Source(tmp_path / "logs")
    columns = ["message", "sequence"]
    with Matches(source, source.snapshot(), Filter(), columns) as matches:
        assert [] != list(temporary.iterdir())
        found = matches.table("SELECT count(*) AS n, max(sequence) AS last FROM {matches}")
        assert [{"n": 90, "last": 89}] == found.to_pylist()
    assert [] == list(temporary.iterdir())


@pytest.fixture
def engine() -> Iterator[Engine]:
    """One for a whole process."""
    with Engine() as made:
        yield made


def test_a_given_engine_stays_open_and_forgets(source: Source, engine: Engine) -> None:
    """Asked again and again it holds nothing of what was before."""
    for where in ("", "user_id=1", ""):
        assert sorted(rows(source, where)) == matching(source, where, engine)
    found = engine.table("SELECT count(*) AS n FROM duckdb_views() WHERE NOT internal")
    assert [{"n": 0}] == found.to_pylist()


def test_engines_beside_one_another(source: Source, engine: Engine) -> None:
    """One that is closed ends what it does at once, and leaves the others alone."""
    ended: list[BaseException] = []

    def ask(beside: Engine) -> None:
        try:
            beside.table(SLOW)
        except Stopped as error:
            ended.append(error)

    with engine.beside() as slow, engine.beside() as quick:
        thread = threading.Thread(target=ask, args=(slow,), name="test-slow")
        thread.start()
        assert sorted(rows(source, "level=ERROR")) == matching(source, "level=ERROR", quick)
        slow.close()
        thread.join(20)
        assert [Stopped] == [type(error) for error in ended]
        with pytest.raises(Stopped):
            slow.table("SELECT 1")
        assert sorted(rows(source, "user_id=1")) == matching(source, "user_id=1", quick)
    assert sorted(rows(source, "user_id=1")) == matching(source, "user_id=1", engine)


def test_an_event_ends_a_question(engine: Engine) -> None:
    """As it ends a search."""
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(Stopped), stopping(stop):
        engine.table(SLOW)
    timer.join()
    assert 1 == engine.table("SELECT 1").num_rows


def test_the_time_is_limited_also_of_what_may_be_stopped(engine: Engine) -> None:
    """Who looks whether somebody still wants the answer looks at the clock as well."""
    with stopping(threading.Event()), pytest.raises(TimeoutError):
        engine.table(SLOW, timeout=0.1)
    assert 1 == engine.table("SELECT 1").num_rows


def test_the_time_is_limited(source: Source) -> None:
    """What takes longer ends, and says so; whatever it was doing."""
    given = source, source.snapshot(), Filter(), ["sequence"]
    rows = f"SELECT sequence FROM {{matches}} WHERE sequence < ({SLOW})"
    began = time.monotonic()
    with pytest.raises(QueryError, match="stopped after 1 s"), Matches(*given, timeout=1) as found:
        found.table(SLOW)
    with pytest.raises(QueryError, match="stopped after 1 s"), Matches(*given, timeout=1) as found:
        list(found.batches(rows))
    with pytest.raises(QueryError, match="stopped after 1 s"), Matches(*given, timeout=1) as found:
        time.sleep(1)
        found.table("SELECT 1")
    assert time.monotonic() - began < 60
    with pytest.raises(QueryError, match="stopped"), Matches(*given, timeout=1e-9):
        pass


def test_more_memory_than_there_is_is_no_fault_of_the_files(source: Source) -> None:
    """It is said as what it is, and the files stay where they are."""
    given = source, source.snapshot(), Filter(), ["message"]
    query = "SELECT count(*) FROM (SELECT DISTINCT message, range FROM {matches}, range(20000))"
    with Engine(20_000_000, spill=False) as small, Matches(*given, small) as matches:  # noqa: SIM117
        with pytest.raises(QueryError, match="more memory than there is"):
            matches.table(query)
    assert () == tuple(source.problems)
