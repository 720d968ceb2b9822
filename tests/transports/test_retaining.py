"""Retention by a process that logs: rarely, in short steps, and never to its harm."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from aged import DAY, NOW, fill, names_in, numbers, publish_aged
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.dataset.verify import verify
from logbatch.identity import new_producer
from logbatch.server.metrics import Metrics
from logbatch.server.run import Settings, _make_writer, _Upkeep
from logbatch.server.store import Store
from logbatch.server.tokens import Bindings, Tokens
from logbatch.storage.maintenance import maintaining
from logbatch.storage.policy import Policy
from logbatch.storage.segments import list_segments
from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.directory import DirectoryTransport
from logbatch.transports.retaining import Retaining
from logbatch.trouble import Trouble

HOUR = 3600.0


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory with a file for each of 20 days."""
    fill(tmp_path / "logs", 20)
    return tmp_path / "logs"


class Timed:
    """Retention of a directory, and its clocks."""

    def __init__(self, directory: Path, age: str | None = "14d", size: int | None = None) -> None:
        self.clock = 0.0
        self.ahead = 0.0
        policy = Policy.build(age, size)
        self.retaining = Retaining(
            directory, policy, lambda: self.clock, lambda: NOW + self.clock + self.ahead
        )

    def go_on(self, seconds: float) -> int:
        """Have time pass; return how many steps there were that did something."""
        end, steps = self.clock + seconds, 0
        while self.clock < end:
            wait = self.retaining.step()
            assert wait > 0
            steps += wait < 5
            self.clock = min(self.clock + wait, end)
        return steps


def test_it_is_done_after_some_time_and_then_every_hour(logs: Path) -> None:
    """Not by a process that ends at once, and in as many steps as it takes."""
    timed = Timed(logs)
    timed.go_on(59)
    assert 20 == len(names_in(logs))
    timed.go_on(60)
    assert list(range(60, 200)) == numbers(logs)
    assert verify(logs).ok
    publish_aged(logs, new_producer(), 0, 5, 16)
    assert 0 == timed.go_on(HOUR - 120)
    assert 15 == len(names_in(logs))
    timed.go_on(180)
    assert 14 == len(names_in(logs))
    timed.go_on(2 * DAY - HOUR)
    assert 12 == len(names_in(logs))


def test_many_files_take_many_steps(logs: Path) -> None:
    """None of them takes long, and there are pauses between them."""
    for _ in range(4):
        fill(logs, 20, count=1)
    timed = Timed(logs)
    timed.go_on(60)
    began, longest, steps, clock = time.thread_time(), 0.0, 0, timed.clock
    while 200 > steps and len(names_in(logs)) > 70:
        before = time.thread_time()
        timed.clock += timed.retaining.step()
        longest = max(longest, time.thread_time() - before)
        steps += 1
    used = time.thread_time() - began
    assert 70 == len(names_in(logs))
    assert steps > 3
    assert longest < 0.25
    assert timed.clock - clock > used


def test_it_looks_sooner_where_much_is_written(logs: Path) -> None:
    """When a twentieth of what may be there was published, and not all the time."""
    limit = 20 * 4096
    timed = Timed(logs, None, limit)
    timed.go_on(100)
    before = len(names_in(logs))
    for _ in range(3):
        publish_aged(logs, new_producer(), 0, 5, 0)
        timed.retaining.add(limit)
        timed.go_on(60)
        assert before == len(names_in(logs))
        publish_aged(logs, new_producer(), 0, 5, 0)
        timed.retaining.add(limit // 30)
        timed.go_on(60)
        assert before + 1 == len(names_in(logs))


def test_one_process_looks_for_all(logs: Path) -> None:
    """And none does while there is a compaction."""
    first, second = Timed(logs), Timed(logs)
    with maintaining(logs, "logbatch compact"):
        first.go_on(120)
        assert 20 == len(names_in(logs))
    first.clock = HOUR
    first.go_on(120)
    second.clock = first.clock
    assert 14 == len(names_in(logs))
    publish_aged(logs, new_producer(), 0, 5, 16)
    second.go_on(120)
    assert 15 == len(names_in(logs))


def test_a_clock_that_jumps(logs: Path) -> None:
    """For half a day it is not believed; one that is set back meanwhile does no harm."""
    timed = Timed(logs)
    timed.ahead = 3000 * DAY
    timed.go_on(0.4 * DAY)
    assert 14 == len(names_in(logs))
    timed.ahead = 0
    timed.go_on(DAY / 2)
    timed.ahead = 3000 * DAY
    timed.go_on(0.4 * DAY)
    assert 14 >= len(names_in(logs)) >= 13
    timed.go_on(0.2 * DAY)
    assert [] == names_in(logs)


def test_trouble_is_told_once(tmp_path: Path) -> None:
    """A file that cannot be removed stays, is told of once, and the process goes on."""
    logs = tmp_path / "logs"
    fill(logs, 20)

    class Failing(DirectoryTransport):
        kind = "parquet"
        tries = 0

        def retain(self) -> float:
            self.tries += 1
            raise PermissionError(13, "Permission denied")

    told: list[str] = []
    clock = ManualClock()
    trouble = Trouble(lambda kind, text, error: told.append(f"{kind}: {text}"), clock)
    transport = Failing(logs)
    delivery = Delivery(transport, None, trouble, Counters(), clock)
    assert 60.0 == delivery.retain()
    assert 0 < delivery.retain() <= 60.0
    assert 1 == transport.tries == len(told)
    assert told[0].startswith("retain: PermissionError: [Errno 13] Permission denied; they stay")


def test_a_folder_that_may_not_be_written_to(logs: Path) -> None:
    """It is told which file stays, once; the others go."""
    (folder, *_) = sorted(logs.glob("date=*"))
    outcome, end = os.pipe()
    if os.fork() == 0:
        text = ""
        try:
            os.chmod(folder, 0o500)
            for path in (logs, *logs.rglob("*")):
                os.chown(path, 54321, 54321)
            for parent in logs.parents:
                if parent.stat().st_uid == os.geteuid() and len(parent.parts) > 2:
                    os.chmod(parent, 0o711)
            os.setuid(54321)
            timed = Timed(logs)
            for _ in range(2):
                try:
                    timed.go_on(2 * HOUR)
                except Exception as error:
                    text += f"{error}\n"
        finally:
            os.write(end, text.encode())
            os._exit(0)
    os.close(end)
    os.wait()
    with open(outcome) as file:
        lines = file.read().splitlines()
    if os.geteuid() != 0:
        pytest.skip("only root can become another user: RUN THIS AS ROOT ONCE")
    assert 1 == len(lines), lines
    assert lines[0].startswith(f"cannot remove 1 old files: {folder}/")
    assert lines[0].endswith("Permission denied; it stays")
    assert 15 == len(names_in(logs))


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_options_of_a_handler(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are given as any others are, and checked."""
    made: Any = build(f"{kind}:{tmp_path}?retain_age=14d&retain_bytes=5GB")
    assert Policy.build("14d", "5GB") == made._retaining._policy
    made = build({"type": kind, "path": tmp_path, "retain_age": 3600})
    assert Policy.build(3600, None) == made._retaining._policy
    monkeypatch.setenv(f"LOGBATCH_{kind.upper()}_RETAIN_BYTES", "1GB")
    made = build(f"{kind}:{tmp_path}")
    assert Policy.build(None, "1GB") == made._retaining._policy
    monkeypatch.setenv(f"LOGBATCH_{kind.upper()}_RETAIN_BYTES", "much")
    with pytest.raises(ValueError, match=r"RETAIN_BYTES: retain_bytes='much' must be a size"):
        build(f"{kind}:{tmp_path}")
    with pytest.raises(ValueError, match="retain_age='soon' must be a duration"):
        build(f"{kind}:{tmp_path}", retain_age="soon", retain_bytes="1GB")


def test_a_handler_does_it(logs: Path) -> None:
    """With nothing logged but one record, on the thread that delivers."""
    transport: Any = build(f"parquet:{logs}", retain_bytes=8 * 4096)
    transport._retaining._due = 0.0
    handler = BatchHandler(transport)
    log = logging.Logger("app")
    log.addHandler(handler)
    log.warning("begin")
    wait_until(lambda: 8 >= len(list_segments(logs)))
    handler.close()
    assert {} == handler.stats().errors
    assert 1 == handler.stats().published


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_receiver_does_it(logs: Path, kind: str) -> None:
    """Step by step, between which requests are stored."""
    settings = Settings(logs, format=kind, retain_age="14d", retain_bytes="32kB")
    writer: Any = _make_writer(settings)
    writer._retaining._due = 0.0
    store = Store(writer, Bindings(logs / ".receiver", Tokens(())))
    with _Upkeep(store, Metrics(), Trouble()):
        wait_until(lambda: len(list_segments(logs)) <= 8)
    store.close()
    assert 0 < len(list_segments(logs))
