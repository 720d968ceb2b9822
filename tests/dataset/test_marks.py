"""`Dataset.marks()`: when processes began, with which version, and what was lost."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from children import Child
from make import batch_of, encode, event, publish, with_identity

import logbatch
from logbatch.batching.report_file import Header, ReportFile, encode_sample
from logbatch.dataset.marks import BEFORE, MOST, Mark
from logbatch.events.event import LineEncoder
from logbatch.identity import new_producer
from logbatch.storage.segments import born, day_name
from logbatch.transports.base import Batch

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
T0 = datetime(2026, 11, 21, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return a time."""
    return T0 + timedelta(seconds=seconds)


def producer_at(seconds: float, process: str = "") -> str:
    """Make the id of a producer that began at a time, in a process of its own or a given one."""
    number = round(at(seconds).timestamp() * 1000)
    time = "".join(ALPHABET[number >> shift & 31] for shift in range(45, -1, -5))
    more = "".join(random.choices(ALPHABET, k=16))
    return time + (process or more[:8]) + more[8:]


def first(service: str | None = "shop", process: int | None = 7, **fields: Any) -> dict[str, Any]:
    """Make the first event of a process."""
    given = {"service": service, "process": process, "host": "web-1", **fields}
    return event(**{name: value for name, value in given.items() if value is not None})


def log(directory: Path, producer: str, *events: dict[str, Any], kind: str = "parquet") -> None:
    """Publish what a process has logged."""
    publish(directory, batch_of(producer, 0, *events), kind=kind)


def told(marks: Sequence[Mark]) -> list[tuple[float, str, str, str]]:
    """Return marks with their time as seconds."""
    return [((m.time - T0).total_seconds(), m.kind, m.service, m.text) for m in marks]


def kinds(directory: Path, **arguments: Any) -> list[tuple[float, str, str]]:
    """Return when what happened to whom."""
    return [each[:3] for each in told(logbatch.Dataset(directory).marks(**arguments))]


# --------------------------------------------------------------------------- starts


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "jsonl.zst", "compacted"])
def test_starts_and_restarts(tmp_path: Path, kind: str) -> None:
    """Each service has its own history; it is told whatever kind of file the records are in."""
    for seconds, service, process in [
        (0, "shop", 1),
        (60, "mail", 2),
        (120, "shop", 3),
        (180, "mail", 4),
    ]:
        producer = producer_at(seconds)
        if kind == "jsonl.zst":
            publish(
                tmp_path,
                batch_of(producer, 0, first(service, process), first("other")),
                kind="jsonl",
                compression="zstd",
            )
        else:
            written = "parquet" if kind == "compacted" else kind
            log(tmp_path, producer, first(service, process), first("other"), kind=written)
    if kind == "compacted":
        logbatch.Dataset(tmp_path).compact(older_than=0)
    assert [
        (0, "start", "shop", "shop began: process 1 on web-1"),
        (60, "start", "mail", "mail began: process 2 on web-1"),
        (120, "restart", "shop", "shop began again: process 3 on web-1"),
        (180, "restart", "mail", "mail began again: process 4 on web-1"),
    ] == told(logbatch.Dataset(tmp_path).marks())


def test_a_process_whose_machine_is_not_known(tmp_path: Path) -> None:
    """Nothing stands where the name of the machine would."""
    log(tmp_path, producer_at(0), first("shop", 7, host=None))
    assert ["shop began: process 7"] == [m.text for m in logbatch.Dataset(tmp_path).marks()]


def test_a_range_of_time(tmp_path: Path) -> None:
    """From `start` on and before `end`; what was before says that it is no first start."""
    for seconds in (0, 60, 120):
        log(tmp_path, producer_at(seconds), first())
    assert [(60, "restart", "shop")] == kinds(tmp_path, start=at(60), end=at(120))
    assert [(0, "start", "shop")] == kinds(tmp_path, end=at(1))
    assert [(120, "restart", "shop")] == kinds(tmp_path, start=at(61))
    assert [] == kinds(tmp_path, start=at(121))
    assert [] == kinds(tmp_path, start=at(60), end=at(60))
    assert [(60, "restart", "shop")] == kinds(
        tmp_path, start=at(60).replace(tzinfo=None), end=at(61).replace(tzinfo=None)
    )


def test_one_process_with_several_producers_began_once(tmp_path: Path) -> None:
    """A second handler, or one that logs again after a close, is no restart."""
    for seconds in (0, 60, 120):
        log(tmp_path, producer_at(seconds, process="samesame"), first())
    assert [(0, "start", "shop")] == kinds(tmp_path)


def test_workers_that_begin_together_are_one_mark(tmp_path: Path) -> None:
    """A server that starts eight of them has been started once."""
    log(tmp_path, producer_at(0), first(process=1))
    for number in range(8):
        log(tmp_path, producer_at(60 + number / 2), first(process=10 + number))
    log(tmp_path, producer_at(90), first(process=30))
    assert [
        (0, "start", "shop", "shop began: process 1 on web-1"),
        (60, "restart", "shop", "shop began again: 8 processes"),
        (90, "restart", "shop", "shop began again: process 30 on web-1"),
    ] == told(logbatch.Dataset(tmp_path).marks())


def test_what_a_receiver_took_from_others_is_no_start(tmp_path: Path) -> None:
    """Their records are the receiver's own producer's, which says nothing of when they began."""
    log(tmp_path, producer_at(0), first(process=None))
    log(tmp_path, producer_at(1), first(attributes={"resource": {"telemetry.sdk.name": "x"}}))
    log(tmp_path, producer_at(2), first(attributes={"scope": {"version": "1"}}))
    log(tmp_path, producer_at(3), first(service=None))
    assert [] == kinds(tmp_path)


@pytest.mark.parametrize("attributes", ["not JSON", "[1]", '{"service.version": {"a": 1}}', ""])
def test_attributes_that_are_odd(tmp_path: Path, attributes: str) -> None:
    """They say no version, or an odd one, and spoil nothing."""
    log(tmp_path, producer_at(0), first(attributes=attributes))
    log(tmp_path, producer_at(60), first(process=8))
    assert [(0, "start", "shop"), (60, "restart", "shop")] == kinds(tmp_path)


# --------------------------------------------------------------------------- deploys


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_deploy(tmp_path: Path, kind: str) -> None:
    """Another version than that of the process before, whatever came between without one."""
    for seconds, version in [(0, "1.0"), (60, "1.0"), (120, None), (180, "1.1"), (240, "1.0")]:
        attributes = {"service.version": version} if version else {}
        log(tmp_path, producer_at(seconds), first(attributes=attributes), kind=kind)
    assert [
        (0, "start", "shop", "shop 1.0 began: process 7 on web-1"),
        (60, "restart", "shop", "shop 1.0 began again: process 7 on web-1"),
        (120, "restart", "shop", "shop began again: process 7 on web-1"),
        (180, "deploy", "shop", "shop 1.1 began, after 1.0: process 7 on web-1"),
        (240, "deploy", "shop", "shop 1.0 began, after 1.1: process 7 on web-1"),
    ] == told(logbatch.Dataset(tmp_path).marks())


def test_a_deploy_of_workers_one_by_one(tmp_path: Path) -> None:
    """One mark where the new version comes; those that follow soon belong to it."""
    log(tmp_path, producer_at(0), first(attributes={"service.version": "1"}))
    for number in range(4):
        log(tmp_path, producer_at(60 + number), first(attributes={"service.version": "2"}))
    assert [(0, "start", "shop"), (60, "deploy", "shop")] == kinds(tmp_path)


def test_reports_tell_it_before_the_first_record_does(tmp_path: Path) -> None:
    """The report has the version; a process that has published nothing yet is told, too."""
    for seconds, version in ((0, "1.0"), (60, "1.1")):
        header = Header.of_this_process(
            **{"logbatch": "0.1.0", "producer": producer_at(seconds), "service": "shop"},
            **{"host": "web-1", "transport": "parquet", "version": version},
        )
        ReportFile(tmp_path / ".journal", header, encode_sample(1.0, {})).append(
            encode_sample(2.0, {"accepted": 1})
        )
    log(tmp_path, header.producer, first("another name", attributes={"service.version": "9"}))
    assert [
        (0, "start", "shop", f"shop 1.0 began: process {os.getpid()} on web-1"),
        (60, "deploy", "shop", f"shop 1.1 began, after 1.0: process {os.getpid()} on web-1"),
    ] == told(logbatch.Dataset(tmp_path).marks())


def test_real_processes(tmp_path: Path) -> None:
    """One that was killed, one that is told by its journal alone, and a new version."""

    def work(version: str, *, report: bool = True) -> None:
        os.environ["OTEL_RESOURCE_ATTRIBUTES"] = f"service.version={version}"
        handler = logbatch.BatchHandler(
            f"jsonl:{tmp_path}", service="shop", report=report, flush_interval=3600
        )
        handler.handle(logging.makeLogRecord({"msg": "hello"}))

    def log_and_close(version: str) -> None:
        work(version)
        logging.shutdown()

    Child(lambda: work("1", report=False)).wait()
    (mark,) = logbatch.Dataset(tmp_path).marks()
    assert "start" == mark.kind
    Child(lambda: log_and_close("1")).wait()
    Child(lambda: log_and_close("2")).wait()
    *_, mark = logbatch.Dataset(tmp_path).marks()
    assert "deploy" == mark.kind
    assert mark.text.startswith("shop 2 began, after 1: process ")


# --------------------------------------------------------------------------- losses


def loss(seconds: float, events: int, reason: str = "journal full", **fields: Any) -> bytes:
    """Make the line of a loss, as logbatch writes it, at a time."""
    line = LineEncoder(service="shop", host="web-1").text(
        f"logbatch dropped {events} events ({reason})",
        level=logging.WARNING,
        logger="logbatch",
        attributes={"dropped": events, "reason": reason, **fields},
    )
    moment = f"{at(seconds):%Y-%m-%dT%H:%M:%S.%f+00:00}"
    start = line.index(b'"timestamp":"') + 13
    return line[:start] + moment.encode() + line[line.index(b'"', start) :]


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "compacted", "journal", "growing"])
def test_losses(tmp_path: Path, kind: str) -> None:
    """What the log tells of events that were dropped, wherever that record is."""
    producer = producer_at(0)
    lines = [
        encode(first(message="logbatch dropped nothing, says the application")),
        loss(60, 100),
        loss(62, 20),
        loss(62, 1, "no journal file"),
        loss(600, 1),
        encode(first(logger="logbatch", message="logbatch dropped what?")),
    ]
    if kind == "journal":
        from logbatch.journal import Journal

        journal = Journal(tmp_path / ".journal", producer)
        for line in lines:
            journal.append(line)
    elif kind == "growing":
        folder = tmp_path / day_name(at(0).timestamp())
        folder.mkdir()
        path = folder / f"{producer}-0.jsonl"
        path.write_bytes(with_identity(b"".join(lines), producer, 0))
    else:
        written = "parquet" if kind == "compacted" else kind
        publish(tmp_path, Batch(producer, 0, len(lines) - 1, b"".join(lines)), kind=written)
    if kind == "compacted":
        logbatch.Dataset(tmp_path).compact(older_than=0)
    dataset = logbatch.Dataset(tmp_path)
    expected = [
        (60, "drop", "shop", "shop dropped 120 events (journal full)"),
        (62, "drop", "shop", "shop dropped 1 event (no journal file)"),
        (600, "drop", "shop", "shop dropped 1 event (journal full)"),
    ]
    for _ in range(2):  # the second time from memory
        assert expected == [each for each in told(dataset.marks()) if each[1] == "drop"]
    found = dataset.marks(at(62), at(600))
    assert [(62, "drop"), (62, "drop")] == [each[:2] for each in told(found)]
    if kind == "journal":
        journal.close()


def test_what_grows_is_searched_again(tmp_path: Path) -> None:
    """A loss that is told later is seen by a dataset that was asked before."""
    producer = producer_at(0)
    folder = tmp_path / day_name(at(0).timestamp())
    folder.mkdir()
    path = folder / f"{producer}-0.jsonl"
    path.write_bytes(with_identity(encode(first()), producer, 0))
    dataset = logbatch.Dataset(tmp_path)
    assert ["start"] == [mark.kind for mark in dataset.marks()]
    with open(path, "ab") as file:
        file.write(with_identity(loss(60, 5), producer, 1))
    assert ["start", "drop"] == [mark.kind for mark in dataset.marks()]
    path.unlink()
    assert [] == list(dataset.marks())


def test_losses_that_others_made_up(tmp_path: Path) -> None:
    """A record of this form without its numbers is none of ours."""
    producer = producer_at(0)
    odd: list[dict[str, Any]] = [
        {"dropped": "many", "reason": "x"},
        {"dropped": -1, "reason": "x"},
        {"dropped": 5, "reason": None},
        {"reason": "x"},
        {},
    ]
    text = "logbatch dropped 5 events (x)"
    events = [first(logger="logbatch", message=text, attributes=each) for each in odd]
    for kind in ("parquet", "jsonl"):
        log(tmp_path / kind, producer, *events, kind=kind)
        assert [(0, "start", "shop")] == kinds(tmp_path / kind)


# --------------------------------------------------------------------------- how much it reads


def test_of_many_the_newest_are_told(tmp_path: Path) -> None:
    """As many marks as fit; the processes before them tell that these are no first starts."""
    folder = tmp_path / day_name(at(0).timestamp())
    folder.mkdir()
    count = MOST + BEFORE
    for number in range(count):
        producer = producer_at(60 * number)
        line = with_identity(encode(first(f"service {number % 2}")), producer, 0)
        (folder / f"{producer}-0-0.jsonl").write_bytes(line)
    found = told(logbatch.Dataset(tmp_path).marks())
    assert [60.0 * number for number in range(BEFORE, count)] == [each[0] for each in found]
    assert {"restart"} == {each[1] for each in found}


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    """As everywhere: it is told in `problems`, and the rest is answered."""
    log(tmp_path, producer_at(0), first())
    log(tmp_path, producer_at(60), first(process=8))
    (bad, _) = sorted(tmp_path.glob("date=*/*.parquet"))
    bad.write_bytes(b"PAR1" + b"x" * 100)
    dataset = logbatch.Dataset(tmp_path)
    with pytest.warns(logbatch.DatasetWarning):
        found = dataset.marks()
    assert [(60, "start")] == [each[:2] for each in told(found)]
    assert 1 == len(dataset.problems)


def test_an_empty_directory(tmp_path: Path) -> None:
    """Nothing happened there."""
    assert [] == list(logbatch.Dataset(tmp_path).marks())


def test_the_time_of_an_id() -> None:
    """These tests make ids as the library does."""
    assert at(60).timestamp() == born(producer_at(60))
    assert len(producer_at(0)) == len(new_producer())
