"""Retention: what is old or too much goes, what is to be kept stays, nothing else is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aged import DAY, NOW, aged_event, fill, names_in, numbers, publish_aged
from children import Shared, child
from killing import is_killed_after
from make import batch_of, event

from logbatch import Dataset
from logbatch.dataset.retain import Retained, Wanted, retain
from logbatch.dataset.source import Source
from logbatch.dataset.verify import verify
from logbatch.errors import DatasetError, FilterError
from logbatch.identity import Ranges, new_producer
from logbatch.journal import Journal
from logbatch.storage.coverage import KEY, Coverage, encode_coverage, read_coverage
from logbatch.storage.maintenance import maintaining
from logbatch.storage.policy import Policy
from logbatch.storage.removal import remove_if_empty
from logbatch.transports import build

KINDS = ["parquet", "jsonl", "jsonl?compression=zstd", "jsonl?compression=gzip"]
ERRORS = "level>=ERROR"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The directory; it is not there yet."""
    return tmp_path / "logs"


def run(
    directory: Path,
    max_age: str | None = None,
    max_bytes: int | None = None,
    keep: str | None = None,
    keep_age: str | None = None,
    *,
    now: float = NOW,
    dry_run: bool = False,
    trust_clock: bool = True,
) -> Retained:
    """Run retention at some time."""
    wanted = Wanted(Policy.build(max_age, max_bytes, keep_age), keep, dry_run, trust_clock)
    return retain(Source(directory.absolute()), wanted, now=now)


def usage(directory: Path) -> int:
    """What the files take of the disk."""
    found = [(directory / name).stat() for name in names_in(directory)]
    return sum(max(status.st_size, status.st_blocks * 512) for status in found)


def noted(directory: Path) -> dict[str, Any]:
    """What is noted of retired records."""
    found: dict[str, Any] = msgspec.json.decode((directory / ".journal/retired.json").read_bytes())
    return found


def accounted(directory: Path) -> dict[str, int]:
    """How many records of each kind are accounted for, where all is in order."""
    report = verify(directory)
    assert report.ok, report
    found: dict[str, int] = {}
    for producer in report.producers:
        for loss in producer.accounted:
            found[loss.kind] = found.get(loss.kind, 0) + loss.last - loss.first + 1
    return found


def publish_kind(directory: Path, kind: str, days: int) -> str:
    """Publish a file a day as a URL says."""
    scheme, _, compression = kind.partition("?compression=")
    options: dict[str, Any] = {"compression": compression} if compression else {}
    return fill(directory, days, kind=scheme, **options)


# ---------------------------------------------------------------------- whole files


@pytest.mark.parametrize("kind", KINDS)
def test_old_files_go(logs: Path, kind: str) -> None:
    """Those whose newest record is too old, with their folders; the rest is as it was."""
    producer = publish_kind(logs, kind, 20)
    before = names_in(logs)
    planned = run(logs, "14d", dry_run=True)
    assert before == names_in(logs)
    done = run(logs, "14d")
    assert list(range(60, 200)) == numbers(logs)
    assert before[6:] == names_in(logs)
    assert (6, 60, 14) == (done.removed, done.removed_records, done.files_after)
    assert usage(logs) == done.bytes_after < done.bytes_before
    assert planned == Retained(**{**vars(done), "dry_run": True})
    assert {producer: [[0, 59]]} == noted(logs)["retired"]
    assert {"retired": 60} == accounted(logs)
    assert 0 == run(logs, "14d").removed


@pytest.mark.parametrize("kind", KINDS[:2])
def test_what_is_too_much_goes(logs: Path, kind: str) -> None:
    """The oldest files, until the others fit."""
    publish_kind(logs, kind, 8)
    before = names_in(logs)
    limit = usage(logs) - 1
    run(logs, max_bytes=limit)
    assert before[1:] == names_in(logs)
    run(logs, max_bytes=limit // 2 + 1)
    assert before[4:] == names_in(logs)
    assert usage(logs) <= limit // 2 + 1
    run(logs, max_bytes=1)
    assert [] == names_in(logs)
    assert [] == list(logs.glob("date=*"))
    assert {} == accounted(logs)


def test_what_is_noted_does_not_grow(logs: Path) -> None:
    """It is one range for each process that still has a file or a journal; none of others."""
    living = new_producer()
    for age in range(20, 0, -1):
        publish_aged(logs, new_producer(), 0, 5, age)
        publish_aged(logs, living, (20 - age) * 10, 7, age)  # three of ten were dropped each time
    journal = Journal(logs / ".journal", new_producer())
    for age in range(19, 3, -1):
        run(logs, f"{age}d")
    assert {living: [[0, 156]]} == noted(logs)["retired"]
    run(logs, max_bytes=1)
    assert {} == noted(logs)["retired"]
    journal.close()


def test_records_of_many_times_in_one_file(logs: Path) -> None:
    """A file goes when its newest record is old, wherever in it that stands."""
    for kind in ("parquet", "jsonl"):
        producer = new_producer()
        ages = [30] * 3000 + [2] + [30] * 3000  # far from both ends of the file
        batch = batch_of(producer, 0, *(aged_event(age, n) for n, age in enumerate(ages)))
        transport = build({"type": kind, "path": logs})
        transport.send(batch)
        transport.close()
    before = names_in(logs)
    run(logs, "14d")
    assert before == names_in(logs)
    run(logs, "1d")
    assert [] == names_in(logs)


# ---------------------------------------------------------------------- the clock


def test_a_wrong_clock_removes_nothing(logs: Path) -> None:
    """One that starts years ahead, or behind, does not; as soon as the log goes on, it is right."""
    fill(logs, 20)
    before = names_in(logs)
    for now in (0.0, NOW - 3000 * DAY, NOW + 3000 * DAY):
        done = run(logs, "30d", now=now, trust_clock=False)
        assert before == names_in(logs)
        assert done.held_back == (20 if now > NOW else 0)
    later = new_producer()
    publish_aged(logs, later, 0, 5, -3000)
    run(logs, "30d", now=NOW + 3000 * DAY + 3600, trust_clock=False)
    assert len(before) + 1 == len(names_in(logs))
    publish_aged(logs, later, 5, 5, -3001)
    run(logs, "30d", now=NOW + 3001 * DAY, trust_clock=False)
    assert list(range(10)) == numbers(logs)


def test_a_process_that_is_gone(logs: Path) -> None:
    """Its log goes all the same when retention runs every day, or when the clock is trusted."""
    for trust_clock in (False, True):
        fill(logs, 3)
        if not trust_clock:
            assert 3 == run(logs, "14d", now=NOW + 100 * DAY, trust_clock=False).held_back
        done = run(logs, "14d", now=NOW + 101 * DAY, trust_clock=trust_clock)
        assert (3, 0) == (done.removed, done.held_back)


# ---------------------------------------------------------------------- what matters longer


@pytest.mark.parametrize("kind", KINDS)
def test_what_matters_is_kept_longer(logs: Path, kind: str) -> None:
    """Old files are rewritten with only that, once; and it goes when it is too old as well."""
    publish_kind(logs, kind, 20)
    planned = run(logs, "14d", keep=ERRORS, keep_age="18d", dry_run=True)
    assert 20 == len(names_in(logs))
    done = run(logs, "14d", keep=ERRORS, keep_age="18d")
    kept = list(range(20, 60, 5))
    assert kept + list(range(60, 200)) == numbers(logs)
    assert kept == numbers(logs, ERRORS)[:8]
    assert (2, 4, 4) == (done.removed, done.rewritten, done.rewritten_into)
    assert (8, 32) == (done.kept_records, done.retired_records)
    assert (planned.removed, planned.rewritten, planned.kept_records, planned.retired_records) == (
        2,
        4,
        8,
        32,
    )
    assert usage(logs) == done.bytes_after
    assert {"retired": 52} == accounted(logs)
    names = names_in(logs)
    again = run(logs, "14d", keep=ERRORS, keep_age="18d")
    assert (0, 0) == (again.removed, again.rewritten)
    assert names == names_in(logs)
    other = run(logs, "14d", keep="level>=CRITICAL", keep_age="18d")
    assert (6, 8) == (other.removed - 0 + 2, other.removed_records)
    assert list(range(60, 200)) == numbers(logs)
    assert {"retired": 60} == accounted(logs)


def test_files_of_one_date_become_one(logs: Path) -> None:
    """Of any number of processes and kinds, and with what was kept of it before."""
    makers = [new_producer() for _ in range(3)]
    for maker, kind in zip(makers, ("parquet", "jsonl", "parquet"), strict=True):
        publish_aged(logs, maker, 0, 10, 20, kind)
    publish_aged(logs, makers[0], 10, 10, 0)
    run(logs, "14d", keep=ERRORS)
    first, _ = names_in(logs)
    assert [0, 0, 0, 5, 5, 5, *range(10, 20)] == numbers(logs)
    late = new_producer()
    publish_aged(logs, late, 0, 10, 20)
    run(logs, "14d", keep=ERRORS)
    second, _ = names_in(logs)
    assert first != second
    coverage = read_coverage(logs / second)
    assert {maker: Ranges([(0, 9)]) for maker in (*makers, late)} == coverage.ranges
    assert 32 == coverage.retired
    assert {"retired": 32} == accounted(logs)


def test_typed_columns_and_the_time_of_a_file_stay(logs: Path) -> None:
    """What is rewritten has the columns that it had, and is as old as it was."""
    publish_aged(logs, new_producer(), 0, 10, 20, columns={"number": "int64"})
    publish_aged(logs, new_producer(), 0, 10, 0)
    (old, _) = names_in(logs)
    os.utime(logs / old, (NOW - 20 * DAY, NOW - 20 * DAY))
    run(logs, "14d", keep=ERRORS)
    (made, _) = names_in(logs)
    assert NOW - 20 * DAY == (logs / made).stat().st_mtime
    assert [0, 5] == pq.read_table(logs / made)["number"].to_pylist()


@pytest.mark.parametrize("dry_run", [False, True])
def test_room_is_made_of_what_matters_least(logs: Path, dry_run: bool) -> None:
    """The oldest files are rewritten first; only if that is not enough, they go as a whole."""
    fill(logs, 8, count=2000, compression="none")
    limit = usage(logs) // 2
    done = run(logs, "90d", limit, ERRORS, dry_run=dry_run)
    assert 0 == done.removed
    assert 4 <= done.rewritten <= 6
    assert done.bytes_after <= limit
    assert 400 * done.rewritten == done.kept_records
    if not dry_run:
        assert usage(logs) == done.bytes_after
        assert 400 * 8 == len(numbers(logs, ERRORS))
        assert {"retired": 1600 * done.rewritten} == accounted(logs)
        assert 0 == run(logs, "90d", limit, ERRORS).rewritten
        least = run(logs, "90d", usage(logs) // 10, ERRORS)
        assert 0 < least.removed < 8
        assert usage(logs) == least.bytes_after
        assert accounted(logs)


def test_what_a_merge_left_over(logs: Path) -> None:
    """A file whose records are in one that stays is left to those who merge."""
    producer = new_producer()
    for first, age in ((0, 10.0), (10, 9.9)):
        publish_aged(logs, producer, first, 10, age)
    old, new = ((logs / name) for name in names_in(logs))
    table = pa.concat_tables(pq.read_table(path) for path in (old, new))
    merged = Coverage({producer: Ranges([(0, 19)])}, merged=((0, 9), (10, 19)))
    metadata = {KEY: encode_coverage(merged)}
    whole = old.with_name(f"{producer}-0-19.parquet")
    pq.write_table(table.replace_schema_metadata(metadata), whole)
    run(logs, "9.95d", keep=ERRORS)
    assert list(range(20)) == numbers(logs)
    assert {} == accounted(logs)
    run(logs, "8d", keep=ERRORS)
    assert [0, 5, 10, 15] == numbers(logs)
    assert {"retired": 16} == accounted(logs)
    assert 1 == len(names_in(logs))


def test_a_note_of_a_loss_is_kept(logs: Path) -> None:
    """What was dropped is not taken for lost when the rest of that time was removed."""
    producer = new_producer()
    loss = {"dropped": 3, "reason": "journal full", "producer": producer, "first": 5, "last": 7}
    note = aged_event(
        20,
        8,
        level="WARNING",
        levelno=30,
        logger="logbatch",
        message="logbatch dropped 3 events (journal full)",
        attributes=loss,
    )
    transport: Any = build(f"parquet:{logs}")
    transport.now = lambda: NOW - 20 * DAY
    transport.send(batch_of(producer, 0, *(aged_event(20, n) for n in range(1, 6))))
    transport.send(batch_of(producer, 8, note, aged_event(20, 9)))
    publish_aged(logs, producer, 10, 5, 0)
    assert {"dropped": 3} == accounted(logs)
    run(logs, "14d", keep=ERRORS, keep_age="30d")
    assert {"dropped": 3, "retired": 5} == accounted(logs)
    run(logs, "14d")
    assert {"retired": 10} == accounted(logs)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_what_was_removed_may_come_again(logs: Path, kind: str) -> None:
    """A batch of a rewritten file is known; one of a removed file is written again."""
    producer = fill(logs, 20)
    run(logs, "14d", keep=ERRORS, keep_age="18d")
    before = numbers(logs)
    transport = build({"type": kind, "path": logs})
    transport.send(batch_of(producer, 20, *(aged_event(17, n) for n in range(20, 30))))
    assert before == numbers(logs)
    transport.send(batch_of(producer, 0, *(aged_event(19, n) for n in range(10))))
    transport.close()
    assert [*range(10), *before] == numbers(logs)
    assert verify(logs).ok


# ---------------------------------------------------------------------- what is not ours


def test_only_our_files_are_touched(logs: Path, tmp_path: Path) -> None:
    """No link is followed, and what has another name, or is damaged, stays."""
    fill(logs, 20)
    outside = tmp_path / "outside"
    fill(outside, 20)
    elsewhere = sorted(outside.glob("date=*"))[0]
    (logs / "date=2020-01-01").symlink_to(elsewhere)
    (file,) = elsewhere.iterdir()
    old = sorted(logs.glob("date=2026*"))[0]
    (old / f"{new_producer()}-0-9.parquet").symlink_to(file)
    for name in ("notes.txt", "x.parquet", "a\nb\x1b.jsonl", ".hidden"):
        (old / name).write_text("mine")
    (old / f"{new_producer()}-0-9.parquet").write_bytes(b"PAR1 torn")
    (old / f"{new_producer()}-0-9.jsonl.zst").write_bytes(b"torn")
    (old / f"{new_producer()}-0-9.jsonl").mkdir()
    before, theirs = names_in(logs), names_in(outside)
    (ours,) = [name for name in before if name.endswith("-0-9.parquet") and is_whole(logs / name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keep in (ERRORS, None):
            done = run(logs, "18d", keep=keep)
            assert 2 == len(done.problems), done.problems
            assert all("it stays" in problem for problem in done.problems)
    assert theirs == names_in(outside)
    left = set(names_in(logs))
    assert {name for name in before if old.name in name} - left == {ours}
    run(logs, max_bytes=1)
    assert theirs == names_in(outside)


def is_whole(path: Path) -> bool:
    """Whether it is a file of records, and no link."""
    return not path.is_symlink() and path.read_bytes()[-4:] == b"PAR1"


def test_a_file_that_grows(logs: Path) -> None:
    """It stays while a process writes to it, and goes when that is gone."""
    wrote, go = Shared(), Shared()

    def write() -> None:
        transport: Any = build(f"jsonl:{logs}")
        transport.now = lambda: NOW - 20 * DAY
        transport.send(batch_of(new_producer(), 0, *(aged_event(20, n) for n in range(10))))
        wrote.value = 1
        go.wait_for(1)
        os.kill(os.getpid(), signal.SIGKILL)

    fill(logs, 1)
    with child(write) as writer:
        wrote.wait_for(1)
        before = names_in(logs)
        run(logs, "14d", keep=ERRORS)
        assert 0 == run(logs, "14d").removed
        run(logs, max_bytes=usage(logs) - 1)
        assert [name for name in before if name.count("-") == 3] == names_in(logs)
        writer.kill()
    assert 1 == run(logs, "14d").removed
    assert [] == names_in(logs)


def test_damaged_lines_are_not_judged(logs: Path) -> None:
    """A file in which some are is not rewritten, and said; it goes as a whole when it is time."""
    fill(logs, 20, kind="jsonl")
    path = logs / names_in(logs)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    os.utime(path, (NOW, NOW - 19.01 * DAY))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = run(logs, "14d", keep=ERRORS)
        assert (5, 1) == (done.rewritten, len(done.problems))
        assert f"{path}: 1 damaged lines; it stays as it is" == done.problems[0]
        assert path.exists()
        assert 1 == run(logs, "14d", keep=ERRORS, keep_age="19d").removed


NEW = datetime.fromtimestamp(NOW - DAY, UTC)
ODD = {
    "its time is cut off": b'{"timestamp":"2026-11-0',
    "it has none": b'{"level":"INFO","message":"hello"',
    "it is a number": b'{"timestamp":1795600000,"message":"hello"',
    "it is no time": b'{"timestamp":"yesterday","message":"hello"',
    "it is no JSON": b"hello",
    "it has other keys first": b'{"message":"hello","timestamp":"%s"' % NEW.isoformat().encode(),
    "it has spaces": b'{ "timestamp": "%s"' % NEW.isoformat().encode(),
    "it has an offset": b'{"timestamp":"%s"'
    % NEW.astimezone(timezone(timedelta(days=-0.9))).isoformat().encode(),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst"])
def test_a_line_whose_time_is_odd(logs: Path, kind: str, odd: bytes) -> None:
    """It counts by the time that it tells, or it may be as new as the last write to its file."""
    producer = new_producer()
    publish_aged(
        logs, producer, 0, 1000, 30, "jsonl"
    )  # so many that their middle is looked at late
    (path,) = (logs / name for name in names_in(logs))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[500] = odd + b',"producer":"%b","sequence":500}\n' % producer.encode()
    path.unlink()
    path = path.with_suffix(f".{kind}")
    with pa.output_stream(path) as file:  # compressed as its name says
        file.write(b"".join(lines))
    tells = NEW.isoformat().encode() in odd or b"-2" in odd
    os.utime(path, (NOW, NOW - (20 if tells else 1) * DAY))
    assert 0 == run(logs, "14d").removed

    os.utime(path, (NOW, NOW - 20 * DAY))
    assert (0 if tells else 1) == run(logs, "14d").removed
    assert tells == path.exists()


def test_one_at_a_time(logs: Path) -> None:
    """A second run, or one beside a compaction, says who is at it; a dry run may be made."""
    fill(logs, 20)
    with maintaining(logs, "logbatch compact"):
        assert 6 == run(logs, "14d", dry_run=True).removed
        with pytest.raises(DatasetError, match="is busy: logbatch compact is running there"):
            run(logs, "14d")
    assert 6 == run(logs, "14d").removed


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_folder_that_goes_while_it_is_written_to(logs: Path, kind: str) -> None:
    """A process writes on, day after day, while empty folders are removed under it."""
    done, go = Shared(), Shared()

    def write() -> None:
        transport: Any = build({"type": kind, "path": logs})
        transport.now = lambda: NOW - 20 * DAY
        go.wait_for(1)
        for _ in range(30):
            producer = new_producer()
            transport.send(batch_of(producer, 0, event()))
            transport.close()
            done.value += 1

    folder = logs / "date=2026-11-01"
    with child(write) as writer:
        go.value = 1
        while os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            for path in list(folder.glob("0*")):
                if not path.name.endswith("-0.jsonl"):
                    path.unlink(missing_ok=True)
            remove_if_empty(folder)
            time.sleep(0.0005)
        writer.wait()
    assert 30 == done.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "max_age, max_bytes or both"),
        ({"max_age": "14d", "keep_age": "20d"}, "keep_age needs keep"),
        ({"max_bytes": 1, "keep": ERRORS}, "keep needs max_age"),
        ({"max_age": "14d", "keep": ERRORS, "keep_age": "14d"}, "keep_age must be longer"),
        ({"max_age": "14d", "keep": " "}, "keep must choose"),
        ({"max_age": "14d", "keep": "since=3d"}, "keep must not name times"),
        ({"max_age": "14 days"}, "max_age='14 days' must be a duration"),
    ],
)
def test_wishes_that_do_not_go_together(logs: Path, options: Any, message: str) -> None:
    """They are refused before anything is touched."""
    fill(logs, 3)
    with pytest.raises(ValueError, match=message):
        Dataset(logs).retain(**options)
    with pytest.raises(FilterError):
        Dataset(logs).retain(max_age="1d", keep="level>>3")
    assert 3 == len(names_in(logs))


# ---------------------------------------------------------------------- killed


def run_until_killed(
    directory: Path,
    changes: int,
    *,
    keep: str | None = ERRORS,
    age: str | None = "4d",
    most: str = "3d",
) -> bool:
    """Run retention, which is killed at some point; return whether it was.

    Each third time it is a process that is killed.
    """
    return is_killed_after(
        changes,
        lambda: run(directory, most, keep=keep, keep_age=age),
        really=changes % 3 == 0,
    )


@pytest.mark.parametrize("again", [None, 4, 9])
def test_killed_at_any_point(logs: Path, again: int | None) -> None:
    """Each record that is to stay is there, once and at once, after any kill and a second one."""
    origin = logs.parent / "origin"
    first, second = (fill(origin, 5, count=6, kind=kind) for kind in ("parquet", "jsonl"))
    wanted = sorted([10, *range(12, 30)] * 2)
    killed, at = True, 0
    while killed:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(origin, logs)
        killed = run_until_killed(logs, at)
        if again is not None:
            run_until_killed(logs, again)
        found = sorted(numbers(logs))
        assert [n for n in found if n == 10 or n >= 12] == wanted, at
        assert verify(logs).ok, at
        run(logs, "3d", keep=ERRORS, keep_age="4d")
        assert wanted == sorted(numbers(logs)), at
        assert {"retired": 22} == accounted(logs), at
        assert () == verify(logs).leftovers
        at += 1 if again is None else 6
    assert at > 15
    assert {first, second} == set(noted(logs)["retired"])


def test_a_glob_after_any_kill(logs: Path) -> None:
    """An engine that globs sees a date as it was or as it is: what is kept is never there twice."""
    origin = logs.parent / "origin"
    for _ in range(2):
        fill(origin, 2, count=6)
    killed, at = True, 0
    while killed:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(origin, logs)
        killed = run_until_killed(logs, at, age=None, most="0.5d")
        query = f"SELECT count(*) FROM '{logs}/date=*/*.parquet' WHERE level = 'ERROR'"
        with duckdb.connect() as connection:
            assert [(6,)] == connection.sql(query).fetchall(), at
        at += 1
    assert at > 10
    assert {"maintenance.lock", "retired.json"} == set(os.listdir(logs / ".journal"))


def test_killed_while_all_of_a_producer_goes(logs: Path) -> None:
    """Regression: it was not noted, as nothing would be left; the rest of it looked like losses."""
    origin = logs.parent / "origin"
    producer = new_producer()
    for file in range(4):
        publish_aged(origin, producer, 2 * file, 2, 10)
    killed, at = True, 0
    while killed:
        shutil.rmtree(logs, ignore_errors=True)
        shutil.copytree(origin, logs)
        killed = run_until_killed(logs, at, keep=None, age=None)
        assert verify(logs).ok, at
        at += 1
    assert at > 5


def test_a_file_that_was_rewritten_again(logs: Path) -> None:
    """Where the run was killed before the file went, the next one removes it, and no other."""
    publish_aged(logs, new_producer(), 0, 10, 20)
    run(logs, "14d", keep=ERRORS)
    (name,) = names_in(logs)
    saved = shutil.copy2(logs / name, logs.parent)
    publish_aged(logs, new_producer(), 0, 10, 20)
    run(logs, "14d", keep=ERRORS)
    (joined,) = names_in(logs)
    shutil.copy2(saved, logs / name)
    assert [0, 0, 5, 5] == numbers(logs)
    run(logs, "14d", keep=ERRORS)
    assert [joined] == names_in(logs)
    assert {"retired": 16} == accounted(logs)


def test_a_reader_meanwhile(logs: Path) -> None:
    """Who counts in a loop finds each record that stays, once, whenever that is; a glob, too."""
    fill(logs, 20, count=20)
    wanted = numbers(logs, ERRORS)
    looks = Shared()

    def work() -> None:
        for age in range(18, 1, -3):
            looks.wait_for(looks.value + 1)
            run(logs, f"{age}d", keep=ERRORS)

    query = f"SELECT count(*) FROM '{logs}/date=*/*.parquet' WHERE level = 'ERROR'"
    with child(work) as worker, duckdb.connect() as connection:
        while os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            assert wanted == numbers(logs, ERRORS)
            with contextlib.suppress(duckdb.IOException):  # a folder was exchanged meanwhile
                assert [(len(wanted),)] == connection.sql(query).fetchall()
            looks.value += 1
        worker.wait()
    assert looks.value > 5


# ---------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no disk can be mounted here, which only root may do")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill_to_the_last_byte(disk: Path) -> None:
    """Leave no room at all."""
    with contextlib.suppress(OSError), open(disk / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError, match="No space"):
        (disk / "more").write_bytes(b"x")
    (disk / "more").unlink()


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "compacted"])
def test_a_full_disk(small_disk: Path, kind: str) -> None:
    """There is no room even to note what goes: that is when it is needed most."""
    logs = small_disk / "logs"
    for _ in range(2):  # of two processes, so that what is compacted does not tell it by its name
        fill(logs, 6, kind="parquet" if kind == "compacted" else kind)
    if kind == "compacted":
        Dataset(logs).compact(older_than=0)
    before = len(names_in(logs))
    fill_to_the_last_byte(small_disk)

    done = run(logs, "2d")
    assert (before * 4 // 6, ()) == (done.removed, done.problems)
    assert sorted([*range(40, 60)] * 2) == sorted(numbers(logs))
    assert {"retired": 80} == accounted(logs)
    assert {"maintenance.lock", "retired.json"} == set(os.listdir(logs / ".journal"))
    assert 0 == run(logs, "2d").removed


@pytest.mark.parametrize("kind", ["jsonl", "compacted"])
def test_killed_at_any_point_on_a_full_disk(small_disk: Path, kind: str) -> None:
    """Each record is there, or it is noted that it was removed."""
    logs, origin = small_disk / "logs", small_disk.parent / "origin"
    for _ in range(2):
        fill(origin, 4, kind="parquet" if kind == "compacted" else kind)
    if kind == "compacted":
        Dataset(origin).compact(older_than=0)
    killed, at = True, 0
    while killed:
        for name in os.listdir(small_disk):
            shutil.rmtree(small_disk / name, ignore_errors=True)
        (small_disk / "filler").unlink(missing_ok=True)
        shutil.copytree(origin, logs)
        fill_to_the_last_byte(small_disk)
        killed = run_until_killed(logs, at, keep=None, age=None, most="2d")
        assert sorted([*range(20, 40)] * 2) == [n for n in sorted(numbers(logs)) if n >= 20], at
        assert verify(logs).ok, at
        run(logs, "2d")
        assert sorted([*range(20, 40)] * 2) == sorted(numbers(logs))
        assert {"retired": 40} == accounted(logs)
        assert not list((logs / ".journal").glob("*.retired"))
        at += 1
    assert at > 10


# ---------------------------------------------------------------------- with compaction


def test_compacted_files(logs: Path) -> None:
    """They are removed, or rewritten, as any others are; and what is left is compacted again."""
    fill(logs, 20)
    fill(logs, 20, kind="jsonl")
    Dataset(logs).compact(older_than=0, to="parquet")
    assert 20 == len(names_in(logs))
    done = run(logs, "14d", keep=ERRORS, keep_age="18d")
    assert (2, 4, 4) == (done.removed, done.rewritten, done.rewritten_into)
    wanted = sorted([*range(20, 60, 5), *range(60, 200)] * 2)
    assert wanted == sorted(numbers(logs))
    assert {"retired": 104} == accounted(logs)
    publish_aged(logs, new_producer(), 0, 1, 16)
    Dataset(logs).compact(older_than=0)
    assert wanted == sorted(numbers(logs))[1:]
    assert {"retired": 104} == accounted(logs)
    assert 3 == run(logs, "14d", keep="level>=CRITICAL").removed_records - 14
    assert {"retired": 120} == accounted(logs)  # of the third process nothing is left


def test_a_damaged_note(logs: Path) -> None:
    """It is told by `verify`, put aside by the next run, and harms nothing."""
    fill(logs, 20)
    run(logs, "18d")
    note = logs / ".journal" / "retired.json"
    note.write_bytes(b'{"retired":{"x":[[5,')
    report = verify(logs)
    assert 1 == len(report.problems)
    assert str(note) in report.problems[0]
    assert 20 == report.gaps
    run(logs, "14d")
    assert (note.parent / "damaged-retired.json").exists()
    assert list(range(60, 200)) == numbers(logs)
    assert {"retired": 60} == accounted(logs)


def test_what_crashes_left(logs: Path) -> None:
    """A folder that holds nothing else goes, and from others it goes when they are compacted."""
    fill(logs, days=2)
    closed = min(logs.glob("date=*"))
    empty, used, dead = logs / "date=2025-01-01", logs / "date=2025-01-02", logs / "date=2025-01-03"
    for folder in (empty, used, dead):
        folder.mkdir()
    for folder, age in ((used, 0), (dead, 2 * DAY), (closed, 2 * DAY)):
        left = folder / ".part-0123456789abcdef.tmp"
        left.touch()
        os.utime(left, (time.time() - age, time.time() - age))
    run(logs, max_age="30d", dry_run=True)
    assert empty.exists() and dead.exists()
    run(logs, max_age="30d")
    assert [False, True, False] == [folder.exists() for folder in (empty, used, dead)]
    Dataset(logs).compact(older_than=0)
    assert [] == list(closed.glob(".part-*"))
    assert 20 == len(numbers(logs))
