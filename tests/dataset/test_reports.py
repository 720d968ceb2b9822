"""`Dataset.reports()`: what processes reported, read with suspicion; and who passes it by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import put
from children import child
from make import P, make_batch, publish
from recovering import recover
from waiting import PATIENCE, wait_until

import logbatch
from logbatch.batching.batcher import Batcher
from logbatch.batching.report_file import Header, ReportFile, encode_sample, report_path
from logbatch.dataset.reports import MOST_BYTES, MOST_FILES
from logbatch.dataset.verify import verify
from logbatch.identity import new_producer
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport
from logbatch.transports import build

NOW = 1_795_868_572.0


def write_report(logs: Path, *samples: dict[str, Any], producer: str = "", **told: Any) -> Path:
    """Write a report, with a sample each second."""
    producer = producer or new_producer()
    fields = {"service": "shop", "host": "web", "transport": "http", "logbatch": "0.1.0", **told}
    header = Header.of_this_process(producer=producer, **fields)
    first, *others = (encode_sample(NOW + at, sample) for at, sample in enumerate(samples))
    file = ReportFile(logs / ".journal", header, first)
    for sample in others:
        file.append(sample)
    return report_path(logs / ".journal", producer)


# --------------------------------------------------------------------------- what is read


def test_what_happened_between_two_samples(tmp_path: Path) -> None:
    """Counters are compared; sizes and shares are those of the interval, not of the whole life."""
    write_report(
        tmp_path,
        {},
        {
            "accepted": 100,
            "published": 90,
            "pending": 10,
            "batches": 1,
            "records_per_batch": 90.0,
            "bytes_per_batch": 9000.0,
            "requests": 2,
            "requests_saved": 88,
            "retries": 1,
            "errors": {"send": 1},
            "flushes": {"age": 1},
            "flush_seconds": {"p50": 0.1, "p99": 0.2},
        },
        {
            "accepted": 130,
            "published": 110,
            "rejected": 3,
            "dropped": {"journal full": 17},
            "batches": 11,
            "records_per_batch": 10.0,
            "bytes_per_batch": 1000.0,
            "requests": 13,
            "requests_saved": 97,
            "fallback_share": 10 / 110,
            "retries": 1,
            "errors": {"send": 1, "dropped": 2},
            "flushes": {"age": 1, "level": 2},
            "flush_seconds": {"p50": 0.3, "p99": 0.4},
        },
        version="1.2",
    )
    (report,) = logbatch.Dataset(tmp_path).reports()
    assert ("shop", "1.2", "web", "http", os.getpid(), True, False) == (
        *(report.service, report.version, report.host, report.transport),
        *(report.process, report.alive, report.closed),
    )
    assert abs(report.started - datetime.now(UTC)) < timedelta(minutes=5)
    assert [0, 100, 130] == [stats.accepted for _, stats in report.samples]
    assert (report.seen, report.stats) == report.samples[-1]
    first, second = report.intervals()
    assert datetime.fromtimestamp(NOW, UTC) == first.start
    assert (1.0, first.end) == (first.seconds, second.start)
    assert (100, 90, 1, 90.0, 9000.0, 88, 10) == (
        *(first.accepted, first.published, first.batches, first.records_per_batch),
        *(first.bytes_per_batch, first.requests_saved, first.pending),
    )
    assert (30, 20, 3, 17, 10, 2.0, 200.0) == (
        *(second.accepted, second.published, second.rejected, second.dropped),
        *(second.batches, second.records_per_batch, second.bytes_per_batch),
    )
    assert (11, 9, 0, 2, 0.5, 0) == (
        *(second.requests, second.requests_saved, second.retries, second.errors),
        *(second.fallback_share, second.pending),
    )
    assert ({"level": 2}, {"p50": 0.3, "p99": 0.4}) == (second.flushes, second.flush_seconds)


def test_one_to_files_saves_no_requests(tmp_path: Path) -> None:
    """There are none, so nothing is computed of them."""
    write_report(tmp_path, {"requests_saved": None}, {"accepted": 1, "requests_saved": None})
    (report,) = logbatch.Dataset(tmp_path).reports()
    (interval,) = report.intervals()
    assert (None, 0.0, 0.0) == (
        *(interval.requests_saved, interval.records_per_batch),
        interval.fallback_share,
    )


def test_all_fields_come_back(tmp_path: Path) -> None:
    """What `stats()` said is read as it was, to the digits that are kept."""
    transport = CapturingTransport(destination="x")
    transport.journal_directory = tmp_path / ".journal"
    batcher = Batcher(transport, BatchOptions())
    put(batcher, "a", "b")
    batcher.report("kind", "it rains")
    assert batcher.close()
    (report,) = logbatch.Dataset(tmp_path).reports()
    told, was = report.stats.as_dict(), batcher.stats().as_dict()
    for name in ("records_per_batch", "bytes_per_batch"):
        assert told.pop(name) == pytest.approx(was.pop(name))
    assert told.pop("flush_seconds") == pytest.approx(was.pop("flush_seconds"), abs=1e-6)
    assert told == was
    assert "it rains" == told["last_error"]


def test_they_come_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    """However the files are named or were changed."""
    producers = [new_producer() for _ in range(5)]
    for producer in reversed(producers):
        write_report(tmp_path, {}, {"accepted": 1}, producer=producer)
    found = [report.producer for report in logbatch.Dataset(tmp_path).reports()]
    assert sorted(producers) == found


# --------------------------------------------------------------------------- what is not believed


def test_a_line_that_is_cut_off_spoils_no_other(tmp_path: Path) -> None:
    """At the end of the file, where it is being written, and in its middle."""
    path = write_report(tmp_path, {}, {"accepted": 1}, {"accepted": 2})
    content = path.read_bytes()
    for end in range(len(content) - 1, content.rindex(b'{"time"'), -1):
        path.write_bytes(content[:end])
        (report,) = logbatch.Dataset(tmp_path).reports()
        assert [0, 1] == [stats.accepted for _, stats in report.samples]
    path.write_bytes(content[:-5] + b"\n" + content.partition(b"\n")[0] + content[-40:])
    (report,) = logbatch.Dataset(tmp_path).reports()
    assert [0, 1] == [stats.accepted for _, stats in report.samples][:2]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe",
        b"[1]",
        b'{"time":1e999}',
        b'{"time":-1}',
        b'{"time":9e15}',
        b'{"time":"now"}',
        b'{"time":1795868572,"accepted":-1}',
        b'{"time":1795868572,"accepted":"many"}',
        b'{"time":1795868572,"accepted":' + b"9" * 5000 + b"}",
        b'{"time":1795868572,"records_per_batch":1e308}',
        b'{"time":1795868572,"dropped":[1]}',
        b'{"time":1795868572,"dropped":{"x":1e300}}',
        b'{"time":1795868572,"flushes":' + b'{"a":' * 100_000,
        b'{"time":1795868572,"flush_seconds":{"p50":null}}',
        b'{"accepted":1}',
        b"x" * 300_000,
    ],
    ids=lambda line: repr(line[:40]),
)
def test_junk_is_left_out(tmp_path: Path, line: bytes) -> None:
    """As a sample among others, as the only one, and as the first line."""
    path = write_report(tmp_path, {}, {"accepted": 1})
    header, *samples = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, line, b"\n", *samples, line, b"\n"]))
    (report,) = logbatch.Dataset(tmp_path).reports()
    assert [0, 1] == [stats.accepted for _, stats in report.samples]
    path.write_bytes(header + line + b"\n")
    assert [] == list(logbatch.Dataset(tmp_path).reports())
    path.write_bytes(b"".join([line, b"\n", *samples]))
    assert [] == list(logbatch.Dataset(tmp_path).reports())


@pytest.mark.parametrize("pid", [-1, 0, 1 << 31, 1 << 70, "1"])
def test_a_process_that_cannot_be(tmp_path: Path, pid: object) -> None:
    """No signal is sent to it, and it counts as dead; or the report is left out."""
    path = write_report(tmp_path, {}, {"accepted": 1})
    header, *samples = path.read_bytes().splitlines(keepends=True)
    told = json.loads(header)
    told["owner"]["pid"] = pid
    path.write_bytes(json.dumps(told).encode() + b"\n" + b"".join(samples))
    assert [False] >= [report.alive for report in logbatch.Dataset(tmp_path).reports()]


def test_names_that_are_none(tmp_path: Path) -> None:
    """Other files, links, pipes and directories, and reports under the name of another."""
    path = write_report(tmp_path, {}, {"accepted": 1})
    folder = path.parent
    content = path.read_bytes()
    (folder / "notes.txt").write_bytes(content)
    (folder / f"{P}.report").write_bytes(content)  # another's
    (folder / f"{new_producer()}.report").symlink_to(path)
    os.mkfifo(folder / f"{new_producer()}.report")
    (folder / f"{new_producer()}.report").mkdir()
    (folder / ".part-00.tmp").write_bytes(content)
    assert [path.stem] == [report.producer for report in logbatch.Dataset(tmp_path).reports()]


def test_where_there_are_none(tmp_path: Path) -> None:
    """No journal, no reports, or a file in their place."""
    assert [] == list(logbatch.Dataset(tmp_path).reports())
    (tmp_path / ".journal").mkdir()
    assert [] == list(logbatch.Dataset(tmp_path).reports())
    (tmp_path / ".journal" / "reports").write_text("x")
    assert [] == list(logbatch.Dataset(tmp_path).reports())


def test_large_ones_are_read_in_part(tmp_path: Path) -> None:
    """What is read of all files is bounded: of the large ones the last part, of the others all."""
    sizes = [300_000, 30 << 20] + [500_000] * (MOST_BYTES // 500_000 + 3)
    sample = encode_sample(NOW, {"accepted": 3})
    for size in sizes:
        path = write_report(tmp_path, {"accepted": 1}, {"accepted": 2})
        with open(path, "ab") as file:
            file.truncate(path.stat().st_size + size)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + sample * 100 + encode_sample(NOW, {"accepted": 4}))
    started = time.process_time()
    reports = logbatch.Dataset(tmp_path).reports()
    assert time.process_time() - started < 5
    assert len(sizes) == len(reports)
    assert {4} == {report.stats.accepted for report in reports}
    *others, whole = sorted(len(report.samples) for report in reports)
    assert (103, {101}) == (whole, set(others))


def test_what_has_changed_is_read_again(tmp_path: Path) -> None:
    """And whether a process lives is looked at each time."""

    def work() -> None:
        write_report(tmp_path, {}, {"accepted": 1})
        time.sleep(PATIENCE)

    dataset = logbatch.Dataset(tmp_path)
    with child(work) as process:
        wait_until(dataset.reports)
        (report,) = dataset.reports()
        assert (True, 1) == (report.alive, report.stats.accepted)
        (path,) = (tmp_path / ".journal" / "reports").glob("*.report")
        with open(path, "ab") as file:
            file.write(encode_sample(NOW + 2, {"accepted": 2}))
        assert [2] == [report.stats.accepted for report in dataset.reports()]
        assert dataset.reports()[0].samples is dataset.reports()[0].samples
        process.kill()
        assert [False] == [report.alive for report in dataset.reports()]
        path.unlink()
        assert [] == dataset.reports()


def test_there_may_be_many(tmp_path: Path) -> None:
    """Those that changed last are read, in a time that does not matter."""
    path = write_report(tmp_path, {}, {"accepted": 1})
    content = path.read_bytes()
    os.utime(path, (0, 0))
    for _ in range(MOST_FILES):
        producer = new_producer()
        other = path.with_name(f"{producer}.report")
        other.write_bytes(content.replace(path.stem.encode(), producer.encode()))
    reports = logbatch.Dataset(tmp_path).reports()
    assert MOST_FILES == len(reports)
    assert path.stem not in {report.producer for report in reports}


# --------------------------------------------------------------------------- whether it is alive


def test_one_that_cannot_be_seen_is_alive_by_its_journal(tmp_path: Path) -> None:
    """In another container the process is not seen, but the locks of its journal are."""

    def work() -> None:
        put(Batcher(build(f"jsonl:{tmp_path}"), BatchOptions(flush_interval=3600)), "a")
        time.sleep(PATIENCE)

    def alive() -> list[bool]:
        return [report.alive for report in logbatch.Dataset(tmp_path).reports()]

    with child(work) as process:
        wait_until(alive)
        (path,) = (tmp_path / ".journal" / "reports").glob("*.report")
        header, _, samples = path.read_bytes().partition(b"\n")
        told = json.loads(header)
        told["owner"]["namespace"] = "pid:[1]"
        path.write_bytes(json.dumps(told).encode() + b"\n" + samples)
        assert [True] == alive()
        process.kill()
        assert [False] == alive()


# --------------------------------------------------------------------------- who passes them by


def test_nobody_takes_them_for_records(tmp_path: Path) -> None:
    """Every reader of the log, the proof, recovery, retention and compaction see the same."""
    logs = tmp_path / "logs"
    publish(logs, make_batch(0, 9), kind="jsonl")
    logbatch.Dataset(logs).compact(older_than=0)
    before = verify(logs).to_dict()
    reports = [write_report(logs, {}, {"accepted": 1, "pending": 1}) for _ in range(3)]
    reports += [write_report(logs, {}, {"accepted": 7}, producer=P)]
    contents = [path.read_bytes() for path in reports]

    dataset = logbatch.Dataset(logs)
    assert before == verify(logs).to_dict()
    assert 10 == dataset.to_table().num_rows == len(list(dataset.rows()))
    assert 10 == dataset.sql("SELECT count(*) AS n FROM logs")["n"][0].as_py()
    done = recover(build(f"parquet:{logs}"))
    assert (0, 0, 0) == (done.producers, done.events, done.left)
    assert 0 == dataset.retain(max_age="36500d").removed
    assert not dataset.compact(older_than=0).outcomes[0].changed
    assert () == tuple(dataset.problems)
    with logbatch.attach(f"parquet:{logs}"):
        pass
    assert contents == [path.read_bytes() for path in reports]


@pytest.mark.parametrize("command", ["recover", "stats"])
def test_commands_pass_them_by(tmp_path: Path, command: str) -> None:
    """A directory with reports alone is one without records, as it was with its journal alone."""
    logs, bare = tmp_path / "logs", tmp_path / "bare"
    (bare / ".journal").mkdir(parents=True)
    write_report(logs, {}, {"accepted": 1, "pending": 1})
    told = []
    for directory in (bare, logs):
        done = subprocess.run(
            [sys.executable, "-m", "logbatch", command, str(directory)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        told.append((done.returncode, _without(done.stdout, directory), done.stderr))
    assert _without(told[0][2], bare) == _without(told[1][2], logs)
    assert told[0][:2] == told[1][:2]


def _without(text: str, directory: Path) -> str:
    return text.replace(str(directory), "DIR").replace(directory.name, "NAME")
