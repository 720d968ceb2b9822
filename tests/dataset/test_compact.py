"""Compaction: few files, each record once, whatever was there."""

from __future__ import annotations

import gzip
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from duck import ask
from hypothesis import given, settings
from hypothesis import strategies as st
from make import DAY, A, B, P, batch_of, event, make_batch, numbered, with_identity, write_compacted
from make import publish as publish_now
from rows import make_json_values
from waiting import PATIENCE
from which import all_of, found

from logbatch import Dataset
from logbatch.dataset.compact import Report, is_older
from logbatch.dataset.retain import Wanted, retain
from logbatch.dataset.source import Source
from logbatch.dataset.verify import verify
from logbatch.errors import DatasetError, DatasetWarning
from logbatch.identity import Ranges
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.coverage import Coverage, read_coverage
from logbatch.storage.maintenance import MaintenanceBusy, maintaining
from logbatch.storage.policy import Policy
from logbatch.storage.segments import day_name
from logbatch.transports import build
from logbatch.transports.base import Batch

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
FORMS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory with the folder of a day."""
    (tmp_path / "logs" / DAY).mkdir(parents=True)
    return tmp_path / "logs"


def publish(logs: Path, *batches: Batch, kind: str = "parquet", **options: Any) -> None:
    """Publish batches as files of that day."""
    transport: Any = build({"type": kind, "path": logs}, **options)
    transport.now = lambda: NOON
    for batch in batches:
        transport.send(batch)
    transport.close()


def write(folder: Path, form: str, producer: str, first: int, last: int) -> Path:
    """Write a file of some form."""
    if form == "growing":
        path = folder / f"{producer}-{first}.jsonl"
    else:
        path = folder / f"{producer}-{first}-{last}.{form}"
    batch = make_batch(first, last, producer)
    if form == "parquet":
        pq.write_table(table_from_lines(batch.lines, producer, first), path, store_schema=False)
        return path
    data = with_identity(batch.lines, producer, first)
    if form == "jsonl.gz":
        data = gzip.compress(data)
    elif form == "jsonl.zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path


def names(logs: Path) -> list[str]:
    """The names of files in the day's folder; each compacted one is `compacted`."""
    found = (path.name for path in (logs / DAY).iterdir())
    return sorted("compacted" if name.startswith("compacted-") else name for name in found)


def compacted(logs: Path) -> list[Path]:
    """The compacted files."""
    return sorted((logs / DAY).glob("compacted-*.parquet"))


def compact(logs: Path, **options: Any) -> Report:
    """Compact all there is."""
    return Dataset(logs).compact(older_than=0, **options)


# ---------------------------------------------------------------------- what comes of it


def test_many_files_become_one(logs: Path) -> None:
    """All producers of a date, in the order of time; a second run changes nothing."""
    for first in range(0, 60, 3):
        publish(logs, make_batch(first, first + 2, A), make_batch(first, first + 2, B))
    before = (
        Dataset(logs).to_table().sort_by([("timestamp", "ascending"), ("producer", "ascending")])
    )
    report = compact(logs)

    [path] = compacted(logs)
    assert ["compacted"] == names(logs)
    assert (40, 1, 120) == (report.before.files, report.after.files, report.after.rows)
    assert path.stat().st_size == report.after.bytes < report.before.bytes
    after = pq.ParquetFile(path).read()
    assert before.equals(after.select(before.column_names).cast(before.schema))
    assert {A: Ranges([(0, 59)]), B: Ranges([(0, 59)])} == read_coverage(path).ranges
    assert verify(logs).ok
    again = compact(logs)
    assert (0, [path]) == (again.changed, compacted(logs))
    assert 0o600 == path.stat().st_mode & 0o777
    assert ["maintenance.lock"] == os.listdir(logs / ".journal")


@pytest.mark.parametrize("form", FORMS)
def test_every_form(logs: Path, form: str) -> None:
    """Lines become Parquet with `to`, also where some stand twice; a growing file stays."""
    write(logs / DAY, form, A, 0, 9)
    write(logs / DAY, "jsonl", A, 0, 9)
    write(logs / DAY, form, B, 5, 9)
    growing = write(logs / DAY, "growing", P, 3, 5)
    compact(logs, to="parquet")

    assert sorted(["compacted", growing.name]) == names(logs)
    assert all_of((A, 0, 9), (B, 5, 9), (P, 3, 5)) == found(logs)
    assert 0 == compact(logs, to="parquet").changed


def test_lines_stay_lines_unless_there_is_parquet(logs: Path) -> None:
    """Nobody is surprised by another format; a mixed directory gets one."""
    write(logs / DAY, "jsonl", A, 0, 9)
    report = compact(logs)
    assert (0, 1) == (report.changed, report.outcomes[0].lines)
    write(logs / DAY, "parquet", B, 0, 9)
    compact(logs)

    assert ["compacted"] == names(logs)
    assert all_of((A, 0, 9), (B, 0, 9)) == found(logs)


def test_overlaps_are_left_out(logs: Path) -> None:
    """As after a crash in a merge: of files that hold the same, each record is taken once."""
    for span in ((0, 9), (0, 4), (5, 9), (3, 12)):
        write(logs / DAY, "parquet", A, *span)
    write_compacted(logs / DAY, make_batch(0, 3, A), make_batch(0, 3, B))
    compact(logs)

    assert ["compacted"] == names(logs)
    assert 17 == pq.read_metadata(compacted(logs)[0]).num_rows
    assert all_of((A, 0, 12), (B, 0, 3)) == found(logs)


def test_files_that_come_later(logs: Path) -> None:
    """They are merged with what is there, unless that is large enough: then beside it."""
    write(logs / DAY, "parquet", A, 0, 99)
    compact(logs)
    write(logs / DAY, "parquet", A, 100, 199)
    compact(logs)
    [one] = compacted(logs)
    write(logs / DAY, "parquet", B, 0, 9)
    compact(logs, target_size=one.stat().st_size)

    assert one in compacted(logs)
    assert 2 == len(compacted(logs))
    assert all_of((A, 0, 199), (B, 0, 9)) == found(logs)
    assert 0 == compact(logs, target_size=one.stat().st_size).changed
    compact(logs)
    assert 1 == len(compacted(logs))


def test_files_are_not_made_too_small(logs: Path) -> None:
    """A size that nobody can mean does not make a file of each record."""
    for first in range(0, 3000, 500):
        write(logs / DAY, "parquet", A, first, first + 499)
    compact(logs, target_size=1)

    assert 3 == len(compacted(logs))
    assert all_of((A, 0, 2999)) == found(logs)
    assert 0 == compact(logs, target_size=1).changed


def test_the_size_of_files(logs: Path) -> None:
    """Too much for one file is divided by time, and each tells what is in it."""
    for who in (A, B):
        for first in range(0, 4000, 500):
            write(logs / DAY, "parquet", who, first, first + 499)
    compact(logs, target_size=20_000, promote="none", cluster_by="user_id")
    files = [pq.ParquetFile(path).read() for path in compacted(logs)]
    moments: list[list[Any]] = [table["timestamp"].to_pylist() for table in files]
    bounds = sorted((min(each), max(each)) for each in moments)

    assert len(files) > 1
    assert all(one[1] < other[0] for one, other in itertools.pairwise(bounds))
    assert all_of((A, 0, 3999), (B, 0, 3999)) == found(logs)
    assert verify(logs).ok
    assert 0 == compact(logs, target_size=20_000, promote="none", cluster_by="user_id").changed


@pytest.mark.parametrize(
    ("cluster", "key"),
    [
        ("user_id", lambda row: row["attributes"]["user_id"]),
        ("user.id", lambda row: row["attributes"]["user"]["id"]),
        (["level", "n"], lambda row: (row["level"], row["attributes"]["n"])),
        ("attributes.n", lambda row: row["attributes"]["n"]),
        ("producer", lambda row: row["producer"]),
        (["sequence", "logger"], lambda row: row["sequence"]),
        (["level", "attributes.level"], lambda row: row["level"]),
    ],
)
def test_clustered(logs: Path, cluster: Any, key: Any) -> None:
    """What belongs together lies together, in the order of time, numbers as numbers."""
    publish(logs, make_batch(0, 50, A), make_batch(0, 120, B))
    compact(logs, cluster_by=cluster)
    [path] = compacted(logs)
    rows = pq.ParquetFile(path).read().to_pylist()
    for row in rows:
        row["attributes"] = json.loads(row["attributes"])

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        return key(row), row["timestamp"], row["producer"], row["sequence"]

    assert rows == sorted(rows, key=order)
    group = pq.read_metadata(path).row_group(0)
    sorted_by = [each.column_index for each in group.sorting_columns]
    assert len(set(sorted_by)) == len(sorted_by)
    assert (172, tuple([cluster] if isinstance(cluster, str) else cluster)) == (
        len(rows),
        read_coverage(path).cluster_by,
    )


def test_clustered_by_what_no_record_has(logs: Path) -> None:
    """A name with a slip of the pen is told; what is seldom, or within another, is none."""
    publish(logs, make_batch(0, 9, A), batch_of(B, 0, event(attributes={"seldom": 1})))
    report = compact(logs, cluster_by=["user.id", "seldom", "usr_id"])
    [problem] = report.problems
    assert problem.endswith("no record has 'usr_id', so nothing was clustered by it")
    assert 0 == compact(logs, cluster_by=["user.id", "seldom", "usr_id"]).changed


def test_a_file_is_made_for_engines(logs: Path) -> None:
    """It has page indexes, says how it is sorted, and is as old as its newest input."""
    old = write(logs / DAY, "parquet", A, 0, 9)
    new = write(logs / DAY, "parquet", B, 0, 9)
    os.utime(old, ns=(10**18, 10**18))
    os.utime(new, ns=(2 * 10**18 + 1000, 2 * 10**18 + 1000))
    compact(logs, cluster_by="user_id")
    [path] = compacted(logs)
    metadata = pq.read_metadata(path)
    group = metadata.row_group(0)
    column = group.column(metadata.schema.names.index("timestamp"))
    sorting = [metadata.schema.names[each.column_index] for each in group.sorting_columns]

    assert column.has_column_index and column.has_offset_index
    assert ["user_id", "timestamp", "producer", "sequence"] == sorting
    assert 2 * 10**18 + 1000 == path.stat().st_mtime_ns
    assert 20 == ask(f"SELECT count(*) FROM '{logs}/date=*/*.parquet'")[0][0]


# ---------------------------------------------------------------------- typed columns


def test_frequent_attributes_become_columns(logs: Path) -> None:
    """By the rule that is stated; what does not fit stays an attribute only."""
    events = [
        event(
            attributes={
                "number": n,
                "share": n / 7 if n else 0,
                "ok": n % 2 == 0,
                "name": f"{n}",
                "null": None,
                "some": None if n % 2 else n,
                "mixed": n if n % 2 else "text",
                "nested": {"a": n},
                "huge": 2**70 if n == 3 else n,
                "level": "shadow",
                "Number": n,
                'a"b': n,
                **({"seldom": n} if n < 3 else {}),
            }
        )
        for n in range(20)
    ]
    publish(logs, batch_of(A, 0, *events))
    compact(logs)
    table = pq.ParquetFile(compacted(logs)[0]).read()
    types = {field.name: str(field.type) for field in list(table.schema)[23:]}

    number = "Number" if "Number" in types else "number"
    assert {
        number: "int64",
        "share": "double",
        "ok": "bool",
        "name": "string",
        "some": "int64",
    } == types
    rows = table.to_pylist()
    for row in rows:
        attributes = json.loads(row["attributes"])
        assert {name: attributes[name] for name in types} == {name: row[name] for name in types}


def test_named_attributes_and_none(logs: Path) -> None:
    """Those that are named, however seldom; or none, though columns that are there stay."""
    publish(logs, make_batch(0, 9, A), columns={"path": "string"})
    publish(logs, batch_of(B, 0, *(numbered(n) for n in range(9)), event(attributes={"x": 1})))
    compact(logs, promote="none")
    assert ["path"] == pq.read_schema(compacted(logs)[0]).names[23:]
    report = compact(logs, promote=["x", "user", "user_id"])

    assert ["path", "user_id", "x"] == pq.read_schema(compacted(logs)[0]).names[23:]
    assert 1 == len(report.problems)
    assert "'user' did not become a column" in report.problems[0]
    assert 20 == Dataset(logs).sql("SELECT count(*) AS n FROM logs")["n"][0].as_py()
    assert 0 == compact(logs, promote=["x", "user", "user_id"]).changed


@settings(max_examples=10, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), make_json_values(3)), min_size=1))
def test_columns_are_what_a_writer_makes(
    tmp_path_factory: pytest.TempPathFactory, attributes: list[dict[str, Any]]
) -> None:
    """A promoted column holds what `columns=` of that type would have put there, and no less."""
    logs = tmp_path_factory.mktemp("logs")
    publish(logs, batch_of(A, 0, *(event(attributes=each) for each in attributes)))
    compact(logs)
    table = pq.ParquetFile(compacted(logs)[0]).read().sort_by("sequence")
    kinds = {"int64": "int64", "double": "float64", "bool": "bool", "string": "string"}
    columns = {field.name: kinds[str(field.type)] for field in list(table.schema)[23:]}
    lines = batch_of(A, 0, *(event(attributes=each) for each in attributes)).lines
    expected = table_from_lines(lines, A, 0, columns)

    assert expected.select(list(columns)).equals(table.select(list(columns)))
    for name in columns:
        values = [each.get(name) for each in attributes]
        assert values == table[name].to_pylist()


# ---------------------------------------------------------------------- what is odd


def test_torn_and_foreign_files(logs: Path) -> None:
    """They are told and kept; what is torn is put aside, so that a glob reads the rest."""
    write(logs / DAY, "parquet", A, 0, 9)
    torn = write(logs / DAY, "parquet", B, 0, 9)
    content = torn.read_bytes()[:-20]
    torn.write_bytes(content)
    empty = logs / DAY / f"compacted-{P}.parquet"
    empty.touch()
    (logs / DAY / "mine.parquet").write_bytes((logs / DAY / f"{A}-0-9.parquet").read_bytes())
    (logs / DAY / "README").write_text("hello")
    (logs / DAY / f".damaged-{B}-0-9").write_text("an earlier one")
    report = compact(logs)

    assert sorted(
        [
            *("compacted", "mine.parquet", "README", f".damaged-compacted-{P}"),
            *(f".damaged-{B}-0-9", f".damaged-{B}-0-9-2"),
        ]
    ) == names(logs)
    assert content == (logs / DAY / f".damaged-{B}-0-9-2").read_bytes()
    told = "\n".join(report.problems)
    assert 3 == len(report.problems)
    assert all(name in told for name in (torn.name, empty.name, "mine.parquet"))
    with pytest.warns(DatasetWarning, match="mine"):
        assert all_of((A, 0, 9)) == found(logs)
    assert 0 == compact(logs).changed


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (f"{P}-0-9.parquet", "nowhere"),
        (f"{P}-0-9.parquet", f"{P}-0-9.parquet"),
        (f"{P}-0-9.jsonl.gz", "nowhere"),
        (f"compacted-{P}.parquet", "nowhere"),
        (f"{P}-0.jsonl", "nowhere"),
    ],
)
@pytest.mark.filterwarnings("ignore::logbatch.errors.DatasetWarning")
def test_a_link_to_nothing(logs: Path, name: str, target: str) -> None:
    """It is told, and stops neither readers nor a compaction: waiting for it is in vain."""
    write(logs / DAY, "parquet", A, 0, 4)
    write(logs / DAY, "parquet", A, 5, 9)
    link = logs / DAY / name
    link.symlink_to(target)
    dataset = Dataset(logs)
    assert 10 == len(dataset.to_table())
    [problem] = dataset.problems
    assert name in problem
    assert [A] == [each.producer for each in verify(logs).producers if each.present]
    report = compact(logs)

    assert 1 == report.changed
    assert name.endswith("jsonl") or any(name in each for each in report.problems)
    assert link.is_symlink()
    assert all_of((A, 0, 9)) == found(logs)
    assert 0 == compact(logs).changed


def test_a_file_whose_pages_are_damaged(logs: Path) -> None:
    """Also what shows only when it is read stops nothing."""
    write(logs / DAY, "parquet", A, 0, 9)
    bad = write(logs / DAY, "parquet", B, 0, 999)
    data = bytearray(bad.read_bytes())
    data[20:2000] = bytes(1980)
    bad.write_bytes(data)
    report = compact(logs)

    assert sorted(["compacted", f".damaged-{B}-0-999"]) == names(logs)
    assert bad.name in report.problems[0]
    assert all_of((A, 0, 9)) == found(logs)


def test_a_file_that_is_not_what_it_says(logs: Path) -> None:
    """It is told, and stays as it is, with all that is in it."""
    write(logs / DAY, "parquet", A, 0, 9)
    fewer = write(logs / DAY, "parquet", B, 0, 9).rename(logs / DAY / f"{B}-0-10.parquet")
    other = write(logs / DAY, "parquet", P, 0, 9).rename(logs / DAY / f"{P}-5-14.parquet")
    lines = write(logs / DAY, "jsonl", A, 20, 29)
    lines.write_bytes(lines.read_bytes().replace(b'"sequence":25', b'"sequence":xx'))
    report = compact(logs)

    assert sorted(["compacted", fewer.name, other.name, lines.name]) == names(logs)
    assert 3 == len(report.problems)
    assert 10 == pq.read_metadata(compacted(logs)[0]).num_rows


def test_what_was_retired_stays_retired(logs: Path) -> None:
    """A compacted file that lost records on purpose hands on that they are not missing."""
    says = Coverage({A: Ranges([(0, 9)]), B: Ranges([(0, 4)])}, retired=8)
    write_compacted(logs / DAY, make_batch(0, 2, A), make_batch(1, 4, B), says=says)
    write(logs / DAY, "parquet", A, 10, 19)
    compact(logs)
    coverage = read_coverage(compacted(logs)[0])

    assert (8, {A: Ranges([(0, 19)]), B: Ranges([(0, 4)])}) == (coverage.retired, coverage.ranges)
    assert all_of((A, 0, 2), (B, 1, 4), (A, 10, 19)) == found(logs)
    assert () == verify(logs).problems


def test_what_retention_made_stays(logs: Path) -> None:
    """One would undo what the other has done, day after day, for ever."""
    for first in range(0, 20, 5):
        publish(logs, make_batch(first, first + 4, A))
    compact(logs)
    policy = Policy.build("1d", None, None)
    kept = retain(Source(logs), Wanted(policy, "level>=ERROR", False, True), now=NOON + 10**6)
    write(logs / DAY, "parquet", B, 0, 4)
    write(logs / DAY, "parquet", B, 5, 9)
    before = compacted(logs)
    compact(logs)

    assert (1, 4) == (kept.rewritten_into, kept.kept_records)
    assert set(before) < set(compacted(logs))
    assert 2 == len(names(logs))
    assert [(A, n) for n in range(0, 20, 5)] + all_of((B, 0, 9)) == found(logs)
    assert 0 == compact(logs).changed


def test_attributes_that_are_no_json(logs: Path) -> None:
    """Others may have written such a file; it is compacted like any other."""
    table = table_from_lines(make_batch(0, 2, A).lines, A, 0)
    at = table.schema.get_field_index("attributes")
    odd = ["{", "", '{"n":\n1}']
    table = table.set_column(at, table.schema.field(at), pa.array(odd))
    pq.write_table(table, logs / DAY / f"{A}-0-2.parquet", store_schema=False)
    compact(logs, cluster_by="n", promote=["n"])
    rows = pq.ParquetFile(compacted(logs)[0]).read().to_pylist()

    assert [1, None, None] == [row["n"] for row in rows]
    assert sorted(odd) == sorted(row["attributes"] for row in rows)


def test_a_folder_with_a_folder_in_it(logs: Path) -> None:
    """It cannot be exchanged: there the new file comes first, and then the others go."""
    write(logs / DAY, "parquet", A, 0, 9)
    write(logs / DAY, "parquet", A, 10, 19)
    torn = logs / DAY / f"{B}-0-9.parquet"
    torn.touch()
    (logs / DAY / "own").mkdir()
    inode = (logs / DAY).stat().st_ino
    compact(logs)

    assert sorted(["compacted", "own", f".damaged-{B}-0-9"]) == names(logs)
    assert inode == (logs / DAY).stat().st_ino
    assert all_of((A, 0, 19)) == found(logs)


# ---------------------------------------------------------------------- which dates, and who


def test_which_dates_are_closed() -> None:
    """A date has ended at midnight in UTC; 0 takes all."""
    end = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    assert is_older(DAY, 86_400, end + 86_400)
    assert not is_older(DAY, 86_400, end + 86_399)
    assert is_older(DAY, 0, 0)
    assert not is_older("date=9999-12-31", 1, end)
    assert not is_older("date=2026-99-99", 1, end)


def test_today_is_left_alone(logs: Path) -> None:
    """By default only dates are compacted that ended a day ago."""
    publish_now(logs, make_batch(0, 2, A), make_batch(3, 5, A))
    publish(logs, make_batch(0, 2, B), make_batch(3, 5, B))
    old = time.time() - 5 * 86_400
    transport: Any = build(f"parquet:{logs}")
    transport.now = lambda: old
    transport.send(make_batch(0, 5, P))
    report = Dataset(logs).compact()

    assert day_name(old) in [each.folder for each in report.outcomes if each.changed]
    assert 2 == len(list(logs.glob(f"date=*/{A}-*")))


def test_a_dry_run_changes_nothing(logs: Path) -> None:
    """It tells what would be done."""
    publish(logs, make_batch(0, 2, A), make_batch(3, 5, A))
    before = names(logs)
    report = compact(logs, dry_run=True)

    assert (before, 1, 2, 6) == (
        names(logs),
        report.changed,
        report.before.files,
        report.before.rows,
    )
    assert (1, 6) == (report.after.files, report.after.rows)
    assert not (logs / ".journal").exists()


def test_two_compactors(logs: Path) -> None:
    """The second is told who is at it."""
    publish(logs, make_batch(0, 2, A))
    with maintaining(logs, "logbatch retain"), pytest.raises(MaintenanceBusy, match="retain"):
        compact(logs)


def test_workers(logs: Path) -> None:
    """Dates are compacted by several processes, or by any executor."""
    for day in range(1, 4):
        transport: Any = build(f"parquet:{logs}")
        transport.now = lambda day=day: NOON + day * 86_400
        transport.send(make_batch(day * 10, day * 10 + 4, A))
        transport.send(make_batch(day * 10 + 5, day * 10 + 9, A))
    report = compact(logs, workers=2)

    assert (3, 3) == (report.changed, report.after.files)
    assert all_of((A, 10, 39)) == found(logs)


def test_many_workers_need_no_other_option(logs: Path) -> None:
    """Each has the memory that it needs, unless less is asked for."""
    publish(logs, make_batch(0, 4, A), make_batch(5, 9, A))
    assert 1 == compact(logs, workers=4).changed


def test_a_worker_does_not_outlive_who_started_it() -> None:
    """Nobody waits for output of a compaction that was killed."""
    program = (
        "import os, signal; from logbatch.dataset.compact import make_executor;"
        "print(make_executor(2).submit(os.getpid).result(), flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        try:
            parent.communicate(timeout=PATIENCE)  # until the worker has closed its end
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise


def test_a_worker_that_dies(logs: Path) -> None:
    """Its date stays as it was, and that is said."""
    publish(logs, make_batch(0, 2, A), make_batch(3, 5, A))
    before = names(logs)
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context, os._exit, (1,)) as executor,
        pytest.raises(DatasetError, match=f"{DAY}: the process that was to compact it died"),
    ):
        compact(logs, executor=executor)
    assert before == names(logs)


def test_what_is_followed_comes_once(logs: Path) -> None:
    """Whoever follows the log sees nothing twice when its files are compacted, nor misses any."""
    publish(logs, make_batch(0, 3, A), make_batch(0, 3, B))

    class Steps:
        left = 4

        def wait(self, _seconds: float) -> bool:
            self.left -= 1
            if self.left % 2:
                compact(logs, promote="none" if self.left == 1 else "auto")
            else:
                publish(logs, make_batch(10 - self.left, 11 - self.left, A))
            return self.left == 0

        def is_set(self) -> bool:
            return False

    rows = list(Dataset(logs).follow(last=None, stop=Steps()))
    expected = all_of((A, 0, 3), (A, 8, 9), (B, 0, 3))
    assert expected == sorted((row["producer"], row["sequence"]) for row in rows)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"older_than": -1}, "older_than=-1"),
        ({"target_size": "much"}, "target_size='much'"),
        ({"memory_limit": 0}, "memory_limit=0"),
        ({"memory_limit": "700MB", "workers": 2}, "must be 500 MB or more for each"),
        ({"workers": 0}, "workers=0"),
        ({"to": "jsonl"}, "to='jsonl'"),
        ({"promote": ["auto"]}, "promote: 'auto' stands alone"),
        ({"cluster_by": ["a", "a"]}, "cluster_by='a'"),
        ({"cluster_by": ["a", "attributes.a"]}, "cluster_by='a'"),
        ({"cluster_by": "attributes."}, "cluster_by='attributes.'"),
        ({"cluster_by": ["a", "timestamp"]}, "cluster_by='timestamp'"),
        ({"promote": ["level"]}, "'level' is not an attribute"),
    ],
)
def test_what_cannot_be_is_refused(logs: Path, options: dict[str, Any], told: str) -> None:
    """With the name of the argument."""
    with pytest.raises(ValueError, match=told):
        Dataset(logs).compact(**options)


# ---------------------------------------------------------------------- who writes


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_who_writes_again(logs: Path, kind: str) -> None:
    """A batch whose file was merged away is known, cut anyhow, by this process and the next."""
    writer: Any = build(f"{kind}:{logs}")
    writer.now = lambda: NOON
    writer.send(make_batch(0, 9, A))
    writer.send(make_batch(0, 9, B))
    writer.close()
    compact(logs, to="parquet")
    for each, last in ((writer, 9), (build(f"{kind}:{logs}"), 12)):
        assert [(0, last)] == list(each.published(A))
        each.send(make_batch(5, 12, A))
        each.send(make_batch(0, 3, B))
        each.close()

    assert all_of((A, 0, 12), (B, 0, 9)) == found(logs)
    assert verify(logs).ok
