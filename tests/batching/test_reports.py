"""What a process reports of its delivery: when, to where, how much, and what it costs nobody."""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from bench import no_threads, put
from children import Child, child
from make import logged_line
from waiting import PATIENCE, wait_until

import logbatch
from logbatch.batching.batcher import Batcher
from logbatch.batching.report_file import (
    KEPT_AGE,
    KEPT_FILES,
    LIMIT,
    Header,
    ReportFile,
    encode_sample,
    keep_few,
    remove_old,
    report_path,
    thin,
)
from logbatch.batching.reports import Reporter, describe
from logbatch.batching.session import Session
from logbatch.errors import TemporaryError
from logbatch.identity import new_producer
from logbatch.journal import Journal
from logbatch.options import BatchOptions
from logbatch.stats import Stats
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.transports import build

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: RUN THIS AS ROOT ONCE")

LINE = logged_line("hello")


def files(directory: Path) -> list[Path]:
    """Return the reports beside the journals of a directory of logs."""
    return sorted((directory / ".journal" / "reports").glob("*.report"))


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a report: its first line, and its samples."""
    header, *samples = map(json.loads, path.read_bytes().splitlines())
    return header, samples


def make_batcher(directory: Path, **options: Any) -> Batcher:
    """Make a batcher that writes JSON Lines."""
    return Batcher(build(f"jsonl:{directory}"), BatchOptions(**options))


def make_header(producer: str, **fields: Any) -> Header:
    """Make the first line of a report of this process."""
    told = {"service": "shop", "host": "web", "transport": "jsonl", "logbatch": "0.1.0", **fields}
    return Header.of_this_process(producer=producer, **told)


# --------------------------------------------------------------------------- what is written


def test_a_report_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whose it is, what was counted, and when it was closed; nobody else may read it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.version=1.2%2C3")
    batcher = make_batcher(tmp_path, service="shop", host="web-1")
    producer = batcher.producer
    put(batcher, *"abc")
    assert batcher.close()

    (path,) = files(tmp_path)
    header, samples = read(path)
    assert f"{producer}.report" == path.name
    owner = header.pop("owner")
    assert os.getpid() == owner["pid"]
    assert {
        "format": 1,
        "logbatch": logbatch.__version__,
        "producer": producer,
        "service": "shop",
        "host": "web-1",
        "transport": "jsonl",
        "version": "1.2,3",
    } == header
    assert ["time"] == list(samples[0])
    assert (3, 3, 1) == tuple(samples[-1][key] for key in ("accepted", "published", "batches"))
    assert samples[-1]["closed"] is True
    assert samples[0]["time"] <= samples[-1]["time"] <= time.time() + 1
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_it_is_written_once_a_second_when_something_has_changed(tmp_path: Path) -> None:
    """And not at all while nothing does: then nothing has to be done, either."""
    clock = ManualClock(100.0)
    figures = Stats()
    options = BatchOptions(service="shop")
    reporter = Reporter(tmp_path, CapturingTransport(), options, lambda: figures, clock)
    session = Session(Journal(tmp_path, new_producer()))
    reporter.begin(session)

    def counted() -> list[int]:
        return [sample.get("accepted", 0) for sample in read(path)[1]]

    assert math.inf == reporter.step()
    assert [] == os.listdir(tmp_path)
    figures = Stats(accepted=1)
    clock.advance(0.4)
    assert 0.6 == pytest.approx(reporter.step())
    clock.advance(0.6)
    assert 1.0 == reporter.step()
    path = report_path(tmp_path, session.journal.producer)
    assert [0, 1] == counted()
    figures = Stats(accepted=2)
    clock.advance(0.1)
    assert 0.9 == pytest.approx(reporter.step())
    figures = Stats(accepted=3)
    clock.advance(0.9)
    assert 1.0 == reporter.step()
    assert [0, 1, 3] == counted()
    clock.advance(1.0)
    assert math.inf == reporter.step()
    clock.advance(3600.0)
    assert math.inf == reporter.step()
    assert [0, 1, 3] == counted()
    session.end()


def test_one_that_has_logged_nothing_writes_nothing(tmp_path: Path) -> None:
    """A handler that is only there makes no file and no directory."""
    batcher = make_batcher(tmp_path / "logs")
    assert batcher.flush()
    assert batcher.close()
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("way", ["keyword", "environment", "memory"])
def test_where_nothing_is_to_be_reported(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`report=False` writes nothing, nor is there a place to write to without a journal."""
    options: dict[str, Any] = {"keyword": {"report": False}, "memory": {"durability": "memory"}}
    if way == "environment":
        monkeypatch.setenv("LOGBATCH_REPORT", "false")
    handler = logbatch.BatchHandler(f"jsonl:{tmp_path}", **options.get(way, {}))
    handler.handle(logging.makeLogRecord({"msg": "quiet"}))
    handler.close()
    assert ["quiet"] == [row["message"] for row in logbatch.Dataset(tmp_path).rows()]
    assert not (tmp_path / ".journal" / "reports").exists()
    assert [] == list(logbatch.Dataset(tmp_path).reports())


def test_over_http_it_lies_with_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no directory, so it is in the user's state; no part of the URL is in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    url = "http://user:hidden@127.0.0.1:1/in?key=hidden"
    batcher = Batcher(build(url, insecure=True), BatchOptions(close_timeout=0.01))
    put(batcher, "a")
    assert not batcher.close()
    assert batcher.directory is not None
    folder = batcher.directory.parent
    wait_until(lambda: any(path.stat().st_size for path in files(folder)))
    (path,) = files(folder)
    assert tmp_path in path.parents
    assert "http" == read(path)[0]["transport"]
    assert b"hidden" not in path.read_bytes()
    (report,) = logbatch.Dataset(batcher.directory.parent).reports()
    assert ("http", 1) == (report.transport, report.stats.pending)


def test_a_producer_after_a_close_goes_on_counting(tmp_path: Path) -> None:
    """It has a file of its own, which begins with what was counted before."""
    batcher = make_batcher(tmp_path)
    put(batcher, "a", "b")
    assert batcher.close()
    put(batcher, "c")
    assert batcher.close()
    first, second = (read(path)[1] for path in files(tmp_path))
    assert (2, 2) == (first[-1]["accepted"], second[0]["accepted"])
    assert 3 == second[-1]["accepted"]
    assert first[-1]["closed"] and second[-1]["closed"]


def test_without_a_thread(tmp_path: Path) -> None:
    """Where none can be started, who closes the handler writes the last report."""
    batcher = make_batcher(tmp_path)
    with no_threads():
        put(batcher, "a")
        assert batcher.close()
    (path,) = files(tmp_path)
    assert 1 == read(path)[1][-1]["published"]


def test_what_is_left_to_others_is_reported_as_pending(tmp_path: Path) -> None:
    """A destination that is away: the last report says how many events wait."""
    transport = CapturingTransport(repeat(TemporaryError("away")), destination="somewhere")
    transport.journal_directory = tmp_path / ".journal"
    batcher = Batcher(transport, BatchOptions(close_timeout=0.05))
    with no_threads():
        put(batcher, "a", "b")
        assert not batcher.close()
    (path,) = files(tmp_path)
    sample = read(path)[1][-1]
    assert (2, True) == (sample["pending"], sample["closed"])
    assert sample["retries"] >= 1
    assert "away" in sample["last_error"]


# --------------------------------------------------------------------------- how processes end


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Its last report stays, and says that it is dead; the next process publishes its records."""

    def work() -> None:
        batcher = make_batcher(tmp_path, flush_interval=3600)
        put(batcher, "a", "b")
        time.sleep(PATIENCE)

    with child(work) as process:
        wait_until(lambda: 2 == sum(r.stats.pending for r in logbatch.Dataset(tmp_path).reports()))
        (report,) = logbatch.Dataset(tmp_path).reports()
        assert (True, False, process.pid) == (report.alive, report.closed, report.process)
        process.kill()
    (report,) = logbatch.Dataset(tmp_path).reports()
    assert (False, False, 2) == (report.alive, report.closed, report.stats.accepted)
    other = make_batcher(tmp_path)
    put(other, "c")
    wait_until(lambda: other.stats().recovered == 2)
    other.close()
    dead, closed = logbatch.Dataset(tmp_path).reports()
    assert (report, True, 2) == (dead, closed.closed, closed.stats.recovered)
    assert logbatch.Dataset(tmp_path).to_table().num_rows == 3


def test_a_forked_child_has_its_own(tmp_path: Path) -> None:
    """The child reports what it has logged itself, and leaves the parent's file alone."""
    batcher = make_batcher(tmp_path, flush_interval=0.01)
    put(batcher, "a")
    wait_until(lambda: [1] == [r.stats.published for r in logbatch.Dataset(tmp_path).reports()])
    (mine,) = files(tmp_path)
    before = mine.read_bytes()

    def work() -> None:
        put(batcher, "b", "c")
        assert batcher.close(30)

    Child(work).wait()
    assert before == mine.read_bytes()
    parent, forked = logbatch.Dataset(tmp_path).reports()
    assert (1, 2) == (parent.stats.published, forked.stats.published)
    assert (True, False) == (parent.alive, forked.alive)
    batcher.close()


def test_a_process_that_executes_another_program_is_gone(tmp_path: Path) -> None:
    """Its pid is there, but nothing of what reported."""
    code = (
        "import logbatch, logging, os, sys\n"
        f"h = logbatch.BatchHandler({f'jsonl:{tmp_path}'!r})\n"
        "h.handle(logging.makeLogRecord({'msg': 'x'})); assert h.flush()\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'print(1, flush=True); input()'])"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert b"1\n" == process.stdout.readline()
        (report,) = logbatch.Dataset(tmp_path).reports()
        assert (process.pid, False) == (report.process, report.alive)
        process.communicate(b"\n")


# --------------------------------------------------------------------------- what goes wrong


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """Mount a disk that is soon full."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@root_only
def test_a_full_disk(tmp_path: Path) -> None:
    """A sample that does not fit is left out whole, without a word, and logging goes on."""
    mount = tmp_path / "small"
    with small_disk(mount, "64k"):
        producer = new_producer()
        opening = encode_sample(1.0, {})
        file = ReportFile(mount, make_header(producer), opening)
        with pytest.raises(OSError):
            for number in range(10_000):
                file.append(encode_sample(2.0 + number, {"accepted": number}))
        content = report_path(mount, producer).read_bytes()
        assert content.endswith(b"}\n")
        assert 1 == content.count(b'"format"')
        told: list[str] = []
        elsewhere = CapturingTransport(destination="x")
        elsewhere.journal_directory = mount / ".journal"
        batcher = Batcher(
            elsewhere, BatchOptions(on_error=lambda kind, text, error: told.append(kind))
        )
        put(batcher, "a")
        assert batcher.close()
        assert ["a"] == elsewhere.messages
        assert {"journal"} >= set(told)


@pytest.mark.parametrize("obstacle", ["file", "link", "folder"])
def test_something_else_is_in_its_place(tmp_path: Path, obstacle: str) -> None:
    """What stands there stays as it is, and delivery goes on without a word."""
    told: list[str] = []
    batcher = make_batcher(tmp_path, on_error=lambda kind, text, error: told.append(text))
    folder = tmp_path / ".journal" / "reports"
    folder.parent.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("x")
    if obstacle == "file":
        folder.write_text("x")
    else:
        folder.mkdir()
        path = folder / f"{batcher.producer}.report"
        path.symlink_to(precious) if obstacle == "link" else path.mkdir()
    put(batcher, "a")
    assert batcher.close()
    assert [] == told
    assert "x" == precious.read_text()
    assert 1 == logbatch.Dataset(tmp_path).to_table().num_rows
    assert [] == list(logbatch.Dataset(tmp_path).reports())


def test_no_descriptors_left(tmp_path: Path) -> None:
    """A report that cannot be opened keeps nobody from sending."""

    def work() -> None:
        transport = CapturingTransport(destination="x")
        transport.journal_directory = tmp_path / ".journal"
        batcher = Batcher(transport, BatchOptions(flush_interval=0.01))
        put(batcher, "a")
        wait_until(lambda: transport.messages)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        put(batcher, "b")
        wait_until(lambda: 2 == len(transport.messages))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert batcher.close()

    Child(work).wait()


@pytest.mark.parametrize("what", ["removed", "folder removed", "emptied", "cut off"])
def test_another_program_touches_it(tmp_path: Path, what: str) -> None:
    """It is written anew, or goes on behind what is left, with its first line again."""
    producer = new_producer()
    file = ReportFile(tmp_path, make_header(producer), encode_sample(1.0, {}))
    file.append(encode_sample(2.0, {"accepted": 1}))
    path = report_path(tmp_path, producer)
    if what == "removed":
        path.unlink()
    elif what == "folder removed":
        path.unlink()
        path.parent.rmdir()
    else:
        os.truncate(path, 0 if what == "emptied" else path.stat().st_size - 7)
    file.append(encode_sample(3.0, {"accepted": 2}))
    file.append(encode_sample(4.0, {"accepted": 3}, closed=True))
    (tmp_path / ".journal").symlink_to(tmp_path)
    (report,) = logbatch.Dataset(tmp_path).reports()
    assert [0, 2, 3] == [stats.accepted for _, stats in report.samples][-3:]
    assert report.closed


# --------------------------------------------------------------------------- how much it is


def sample_at(moment: float, number: int) -> bytes:
    """Make the sample of a process that is busy."""
    times = {"p50": 0.012345, "p90": 0.0234, "p99": 0.0345, "max": 0.0456}
    counted = {"accepted": number, "published": number, "batches": number, "requests": number}
    more = {"records_per_batch": 1234.567891, "bytes_per_batch": 12345.678912}
    rest = {"flushes": {"age": number, "level": number}, "flush_seconds": times}
    return encode_sample(moment, counted | more | rest)


def test_a_long_life_takes_no_more_than_half_a_megabyte() -> None:
    """The last minutes are told by the second, what is older the less the older it is."""
    now = 2_000_000_000.0
    content = b"".join(sample_at(now - second, 10**6 - second) for second in range(90_000, 0, -1))
    kept = thin(content, now)
    assert len(kept) < LIMIT * 0.8
    ages = [now - json.loads(line)["time"] for line in kept.splitlines()]
    assert ages == sorted(ages, reverse=True)
    assert 1.0 == ages[-1]
    assert 290 <= sum(age <= 300 for age in ages)
    assert 320 <= sum(300 < age <= 3600 for age in ages) <= 340
    assert 600 <= sum(3600 < age <= KEPT_AGE for age in ages) <= 700
    assert max(ages) <= KEPT_AGE
    assert kept == thin(kept, now)


def test_by_a_clock_that_is_wrong_it_takes_no_more() -> None:
    """Also where all samples lie ahead, or are of one instant, or are long."""
    now = 2_000_000_000.0
    ahead = b"".join(sample_at(now + second, second) for second in range(10_000))
    long = b"".join(encode_sample(now - n, {"last_error": "x" * 5000}) for n in range(300, 0, -1))
    for content in (ahead, long, sample_at(now, 1) * 5000):
        assert 0 < len(thin(content, now)) <= LIMIT * 0.75


def test_the_file_is_thinned_when_it_is_full(tmp_path: Path) -> None:
    """At once and whole; its first line stays, and so does the newest sample."""
    producer, now = new_producer(), time.time()
    file = ReportFile(tmp_path, make_header(producer), encode_sample(now - 5000, {}))
    path = report_path(tmp_path, producer)
    largest = 0
    for second in range(4000, 0, -1):
        file.append(sample_at(now - second, 10_000 - second))
        largest = max(largest, path.stat().st_size)
    assert LIMIT * 0.9 < largest <= LIMIT
    header, samples = read(path)
    assert producer == header["producer"]
    assert 9999 == samples[-1]["accepted"]
    assert [path.name] == os.listdir(path.parent)


# --------------------------------------------------------------------------- how long it stays


def leave_report(directory: Path, *, closed: bool, age: float = 0.0, **owner: Any) -> Path:
    """Write the report of a producer."""
    producer = new_producer()
    header = make_header(producer)
    for name, value in owner.items():
        setattr(header.owner, name, value)
    sample = encode_sample(time.time() - age, {"accepted": 1}, closed=closed)
    ReportFile(directory, header, encode_sample(1.0, {})).append(sample)
    path = report_path(directory, producer)
    if age:
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    return path


def test_a_report_stays_for_a_day_after_its_end(tmp_path: Path) -> None:
    """Those of the living stay, however long they have had nothing to report."""
    old = KEPT_AGE + 60
    gone = [leave_report(tmp_path, closed=True, age=old)]
    gone += [leave_report(tmp_path, closed=False, age=old, started="1")]
    gone += [leave_report(tmp_path, closed=True, age=-old)]  # the clock was set back
    kept = [leave_report(tmp_path, closed=False, age=old)]
    kept += [leave_report(tmp_path, closed=True, age=KEPT_AGE - 600)]
    foreign = tmp_path / "reports" / "notes.txt"
    foreign.write_text("x")
    os.utime(foreign, (0, 0))
    remove_old(tmp_path)
    mark = tmp_path / "reports" / ".swept"
    assert {*kept, foreign, mark} == set((tmp_path / "reports").iterdir())
    assert not any(path.exists() for path in gone)


def test_there_are_never_too_many(tmp_path: Path) -> None:
    """A program that starts each second leaves a thousand; who lives keeps its own."""
    living = leave_report(tmp_path, closed=False)
    for _ in range(KEPT_FILES + 20):
        leave_report(tmp_path, closed=True)
    remove_old(tmp_path)
    left = list((tmp_path / "reports").glob("*.report"))
    assert living in left
    assert KEPT_FILES <= len(left) <= KEPT_FILES + 1


def test_a_clock_that_is_wrong_makes_none_old(tmp_path: Path) -> None:
    """Age is counted by the clock of the file system, which files have their times from."""
    path = leave_report(tmp_path, closed=True)
    code = (
        "import sys, time; from pathlib import Path; real = time.time\n"
        "time.time = lambda: real() + 3e8\n"
        "from logbatch.batching.report_file import keep_few; keep_few(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=PATIENCE)
    assert path.exists()
    assert (path.parent / ".swept").exists()


def test_who_reports_removes_what_is_old(tmp_path: Path) -> None:
    """One process does it for all of them, every ten minutes; so do `retain` and `compact`."""

    def leave() -> Path:
        return leave_report(tmp_path / ".journal", closed=True, age=KEPT_AGE + 60)

    path = leave()
    batcher = make_batcher(tmp_path)
    put(batcher, "a")
    assert batcher.close()
    assert not path.exists()
    path = leave()
    keep_few(leave_report(tmp_path / ".journal", closed=True))
    assert path.exists()
    logbatch.Dataset(tmp_path).retain(max_age="1d")
    assert not path.exists()
    path = leave()
    logbatch.Dataset(tmp_path).compact()
    assert not path.exists()


def test_it_costs_the_thread_little(tmp_path: Path) -> None:
    """Less than a millisecond of processor time for a report, also of a batcher with a past."""
    batcher = make_batcher(tmp_path, flush_interval=0.01)
    put(batcher, "a")
    assert batcher.flush()
    producer = batcher.producer
    file = ReportFile(tmp_path, make_header(producer), encode_sample(1.0, {}))
    batcher._counters.seconds.extend(number % 97 / 1000 for number in range(1024))
    spent = []
    for _ in range(50):
        before = time.thread_time()
        file.append(encode_sample(time.time(), describe(batcher.stats())))
        spent.append(time.thread_time() - before)
    batcher.close()
    assert sorted(spent)[25] < 0.001
