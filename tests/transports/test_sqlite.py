"""A SQLite file as a destination: what is in its table, and what may happen to the file."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from children import Child, Shared, child
from limits import files_of_at_most
from make import P, Q, batch_of, event, named_batch
from recovering import recover
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.errors import TemporaryError
from logbatch.identity import Ranges, new_producer
from logbatch.storage.columns import COLUMNS
from logbatch.transports import build
from logbatch.transports.base import Batch
from logbatch.transports.sqlite import SqliteTransport

DAY = 86_400.0
NOW = 1_795_246_121.0  # 2026-11-21 07:28:41


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is made."""
    return tmp_path / "logs.db"


def ask(path: Path, statement: str, *values: Any) -> list[Any]:
    """Ask the file as any program does."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement, values).fetchall()


def rows(path: Path) -> list[dict[str, Any]]:
    """Read all rows, without the columns that are null."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM events ORDER BY producer, sequence")
        return [{k: row[k] for k in row.keys() if row[k] is not None} for row in found]  # noqa: SIM118


def numbers(path: Path) -> list[int]:
    """Read the attribute `n` of all records."""
    found = ask(path, "SELECT json_extract(attributes, '$.n') FROM events ORDER BY 1")
    return [n for (n,) in found]


@contextmanager
def logging_to(path: Path, **options: Any) -> Iterator[tuple[BatchHandler, logging.Logger]]:
    """A handler to the file, and a logger that has it."""
    with BatchHandler(f"sqlite:{path}", **options) as handler:
        logger = logging.Logger("app")
        logger.addHandler(handler)
        yield handler, logger


class TestTable:
    def test_columns(self, path: Path) -> None:
        """They are those of a record; the time sorts, and SQLite's functions take it."""
        full = {name: name for name in COLUMNS} | {
            "timestamp": "2026-11-21T10:00:00+02:00",
            "levelno": 20,
            "lineno": 7,
            "process": 1 << 40,
            "thread": -1,
            "attributes": {"a": [1, {"b": "é"}]},
        }
        del full["producer"], full["sequence"]
        build(f"sqlite:{path}").send(batch_of(P, 3, full))
        expected = full | {
            "timestamp": "2026-11-21 08:00:00.000000",
            "attributes": '{"a":[1,{"b":"é"}]}',
            "producer": P,
            "sequence": 3,
        }
        assert [expected] == rows(path)
        assert [(1795248000,)] == ask(path, "SELECT unixepoch(timestamp) FROM events")
        assert [(1,)] == ask(path, "SELECT count(*) FROM events WHERE timestamp < datetime('now')")

    def test_indexes(self, path: Path) -> None:
        """What is asked for most is found without reading all."""
        build(f"sqlite:{path}").send(named_batch(P, 0, 9))
        for where, index in (
            ("timestamp >= '2026-11-21'", "events_timestamp"),
            ("level = 'ERROR'", "events_level"),
            ("producer = 'x' AND sequence = 5", "sqlite_autoindex_events_1"),
        ):
            plan = ask(path, f"EXPLAIN QUERY PLAN SELECT * FROM events WHERE {where}")
            assert index in str(plan)

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (b"not JSON\n", {"message": "not JSON", "level": "ERROR", "logger": "logbatch"}),
            (b"\n", {"message": "", "logger": "logbatch"}),
            (b"[1]\n", {"message": "[1]"}),
            (b"\xff\xfe\n", {"message": "\\xff\\xfe"}),
            (b'{"message":"\\ud800"}\n', {"message": '{"message":"\\ud800"}'}),
            (b'{"message":"a\\u0000b"}\n', {"message": "a\0b"}),
            (b'{"levelno":1e400}\n', {"levelno": 0, "attributes": '{"levelno":1e400}'}),
            (
                b'{"levelno":4294967296,"lineno":-2147483649,"process":9223372036854775808}\n',
                {
                    "levelno": 0,
                    "attributes": '{"levelno":4294967296,"lineno":-2147483649,'
                    '"process":9223372036854775808}',
                },
            ),
            (b'{"timestamp":"2026-11-21"}\n', {"attributes": '{"timestamp":"2026-11-21"}'}),
            (b'{"timestamp":"2026-11-21T10:00:00"}\n', {"timestamp": "2026-11-21 10:00:00.000000"}),
            (b'{"timestamp":"0001-01-01T00:00:00+23:00"}\n', {"message": ""}),
            (b'{"mine":1,"attributes":{"a":2}}\n', {"attributes": '{"mine":1,"a":2}'}),
        ],
    )
    def test_odd_lines(self, path: Path, line: bytes, expected: dict[str, Any]) -> None:
        """Any line becomes a row, and the others of its batch are what they would have been."""
        good = event("good", attributes={"n": 1})
        build(f"sqlite:{path}").send(batch_of(P, 0, good, line, good))
        first, odd, last = rows(path)
        assert expected.items() <= odd.items()
        assert {**first, "sequence": 2} == last
        assert "2026-11-21 10:00:00.123456" == first["timestamp"]

    def test_beside_other_tables(self, path: Path) -> None:
        """A file that an application has already is taken as it is."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE orders (id)")
        build(f"sqlite:{path}").send(named_batch(P, 0, 9))
        assert [(10,)] == ask(path, "SELECT count(*) FROM events")
        assert [] == ask(path, "SELECT * FROM orders")

    def test_another_table_of_that_name(self, path: Path) -> None:
        """Nothing is done to it, and it is said."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE events (id)")
        transport = build(f"sqlite:{path}")
        with pytest.raises(TemporaryError, match=f"cannot write to {path}: .*no.*column"):
            transport.send(named_batch(P, 0, 9))
        assert [] == ask(path, "SELECT * FROM events")


class TestProcesses:
    def test_they_write_and_read_at_once(self, path: Path) -> None:
        """Each record of two writers is there once, and a reader is never refused."""

        def work(first: int) -> None:
            with logging_to(path, flush_interval=0.02) as (_, log):
                for n in range(first, first + 500):
                    log.info("record", extra={"n": n})
                    time.sleep(0.0002)

        build(f"sqlite:{path}").send(batch_of(P, 0, event(attributes={"n": 0})))
        both = [Child(lambda: work(1000)), Child(lambda: work(2000))]
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            while len(found := connection.execute("SELECT sequence FROM events").fetchall()) < 500:
                assert found
        for each in both:
            each.wait()
        assert [0, *range(1000, 1500), *range(2000, 2500)] == numbers(path)

    def test_forked_while_it_logs(self, path: Path) -> None:
        """Children, of which one comes in the middle of a transaction, log what they log."""

        def work(first: int) -> None:
            for n in range(first, first + 50):
                log.info("record", extra={"n": n})
            assert handler.flush(60)

        with logging_to(path, flush_interval=0.01) as (handler, log):
            work(0)
            for part in range(1, 5):
                for n in range(1000 * part, 1000 * part + 300):
                    log.info("record", extra={"n": n})
                Child(partial(work, 1000 * part + 500)).wait()
        recover(build(f"sqlite:{path}"))
        expected = [*range(50)]
        for part in range(1, 5):
            expected += range(1000 * part, 1000 * part + 300)
            expected += range(1000 * part + 500, 1000 * part + 550)
        assert expected == numbers(path)

    @pytest.mark.parametrize("moment", range(4))
    def test_killed_and_finished_by_another(self, path: Path, moment: int) -> None:
        """Whatever it was doing, each record is there once when another has taken over."""
        logged = Shared()

        def work() -> None:
            with logging_to(path, flush_interval=0.01, max_batch_size=100) as (_, log):
                for n in range(100_000):
                    log.info("record", extra={"n": n})
                    logged.value = n + 1
            signal.pause()

        with child(work) as process:
            logged.wait_for(700 + 310 * moment)
            process.kill()
        assert 0 == recover(build(f"sqlite:{path}")).left
        found = numbers(path)
        assert list(range(len(found))) == found
        assert logged.value in (len(found), len(found) - 1)

    def test_two_files_in_one_folder(self, path: Path) -> None:
        """What waits for one of them does not get into the other."""
        other = path.with_name("other.db")

        def work() -> None:
            for each, n in ((path, 1), (other, 2)):
                handler = BatchHandler(f"sqlite:{each}", flush_interval=3600)
                log = logging.Logger("app")
                log.addHandler(handler)
                log.info("record", extra={"n": n})
            os._exit(0)

        Child(work).wait()
        for each, n in ((other, 2), (path, 1)):
            assert 0 == recover(build(f"sqlite:{each}")).left
            assert [n] == numbers(each)


class TestTrouble:
    def test_locked(self, path: Path) -> None:
        """Another program's lock delays, it is said, and `close` ends in time."""
        told: list[str] = []
        with logging_to(path) as (handler, log):
            log.info("record", extra={"n": 1})
            assert handler.flush(60)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            handler = BatchHandler(
                f"sqlite:{path}",
                close_timeout=0.3,
                on_error=lambda kind, text, error: told.append(text),
            )
            log = logging.Logger("app")
            log.addHandler(handler)
            log.error("record", extra={"n": 2})
            wait_until(lambda: told)
            began = time.monotonic()
            handler.close()
            assert time.monotonic() - began < 10
            assert "another program has locked it; events wait in the journal" in told[0]

        def is_there() -> bool:
            recover(build(f"sqlite:{path}"))  # unless the thread that was waiting has written it
            return numbers(path) == [1, 2]

        wait_until(is_there)

    def test_damaged(self, path: Path) -> None:
        """It is said, what it held stays, and not a record is lost that comes later."""
        told: list[str] = []
        with logging_to(
            path, on_error=lambda kind, text, error: told.append(text), flush_interval=3600
        ) as (handler, log):
            log.info("record", extra={"n": 1})
            assert handler.flush(60)
            path.write_bytes(b"something else " * 1000)
            log.info("record", extra={"n": 2})
            wait_until(lambda: handler.flush(5))
        (aside,) = path.parent.glob("*.damaged-*")
        assert b"something else " * 1000 == aside.read_bytes()
        (text,) = told
        assert (
            f"{path} is damaged (file is not a database); it is set aside as {aside.name}" in text
        )
        assert [2] == numbers(path)

    def test_removed(self, path: Path) -> None:
        """A new one is begun, also where something was left beside it."""
        transport = build(f"sqlite:{path}")
        transport.send(named_batch(P, 0, 9))
        path.unlink()
        assert Ranges() == transport.published(P)
        transport.send(named_batch(P, 10, 19))
        assert Ranges([(10, 19)]) == transport.published(P)

    def test_file_size_limit(self, path: Path) -> None:
        """What could not be written whole is not there at all."""
        transport = build(f"sqlite:{path}")
        transport.send(named_batch(P, 0, 4))

        def send() -> None:
            with files_of_at_most(60_000):
                for _ in range(2):
                    with pytest.raises(TemporaryError, match=f"cannot write to {path}: "):
                        transport.send(named_batch(P, 5, 999))
            assert Ranges([(0, 4)]) == transport.published(P)
            transport.send(named_batch(P, 5, 1009))

        Child(send).wait()
        assert Ranges([(0, 1009)]) == transport.published(P)

    # It may come in a callback of the collector, where Python only tells of it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_interrupted(self, path: Path) -> None:
        """Ctrl-C passes through; the batch is there once, or not at all."""
        transport = build(f"sqlite:{path}")
        transport.send(named_batch(P, 0, 0))
        batch, interrupted = named_batch(P, 1, 10_000), 0
        for step in range(6):
            before = signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.002 + step * 0.013)
                transport.send(batch)
                time.sleep(1)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            assert transport.published(P).count() in (1, 10_001)
        assert interrupted
        transport.send(batch)
        assert Ranges([(0, 10_000)]) == transport.published(P)


def test_a_copy_writes_to_the_same_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it arrives in another directory."""
    monkeypatch.chdir(path.parent)
    for transport in (build("sqlite:logs.db"), SqliteTransport(path="logs.db", retain_age="2d")):
        there = pickle.dumps(transport)
        monkeypatch.chdir("/")
        pickle.loads(there).send(named_batch(new_producer(), 0, 4))
        monkeypatch.chdir(path.parent)
    assert [(10,)] == ask(path, "SELECT count(*) FROM events")


def test_empty_batch_and_wrong_number_of_lines(path: Path) -> None:
    """Of nothing, nothing is made."""
    transport = build(f"sqlite:{path}")
    transport.send(Batch(Q, 0, -1, b""))
    assert not path.exists()
