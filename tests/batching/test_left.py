"""What is said of events that could not be delivered is what becomes of them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import Child, own_mounts

from logbatch import BatchHandler, Dataset
from logbatch.batching.left import describe_left
from logbatch.batching.lifetime import Patience, process
from logbatch.errors import TemporaryError
from logbatch.journal import Left, read_pending
from logbatch.testing import CapturingTransport

NOBODY = 54321

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: RUN THIS AS ROOT ONCE")


class Away(CapturingTransport):
    """A destination that cannot be reached, or is given a directory for its journals."""

    def __init__(self, directory: Path, *, reachable: bool = False) -> None:
        super().__init__(destination="there")
        self.journal_directory = directory
        self.reachable = reachable

    def send(self, batch: Any) -> None:
        """Take it, or not."""
        if not self.reachable:
            raise TemporaryError("cannot be reached")
        super().send(batch)


def log_and_end(transport: object, count: int = 3, **options: Any) -> tuple[list[str], Any]:
    """Log, end as a process does, and return what was said at the end and the account."""
    told: list[tuple[str, str]] = []
    also = options.pop("on_error", lambda *what: None)

    def on_error(kind: str, text: str, error: BaseException | None) -> None:
        told.append((kind, text))
        also(kind, text, error)

    handler = BatchHandler(
        transport,  # type: ignore[arg-type]
        on_error=on_error,
        **{"close_timeout": 0.05, **options},
    )
    logger = logging.Logger("left")
    logger.addHandler(handler)
    for number in range(count):
        logger.info("%d %s", number, "." * 1000)
    return end(handler, told)


def end(handler: BatchHandler, told: list[tuple[str, str]]) -> tuple[list[str], Any]:
    """End a handler as the end of the process does."""
    if not handler.close():
        handler._batcher.leave_to_others()
        handler._batcher.report_left()
    stats = handler.stats()
    assert stats.accepted == stats.published + stats.pending + sum(stats.dropped.values())
    return [text for kind, text in told if kind == "left"], stats


def waiting_in(directory: Path) -> int:
    """Count what the next process finds."""
    return sum(each.lines.count(b"\n") for each in read_pending(directory))


def test_in_files(tmp_path: Path) -> None:
    """They are kept, and the next process finds them."""
    said, stats = log_and_end(Away(tmp_path))

    assert [
        f"3 events were not delivered in time; kept in {tmp_path}; the next process that logs to"
        " the same place, or `logbatch recover`, delivers what is there"
    ] == said
    assert 3 == stats.pending == waiting_in(tmp_path)


def test_in_memory_and_lost(tmp_path: Path) -> None:
    """Regression: of what had been in memory it was said that the next process delivers it."""
    (tmp_path / "in the way").touch()
    said, stats = log_and_end(Away(tmp_path / "in the way"))

    assert ["3 events were not delivered in time; lost, as they were in memory only"] == said
    assert 0 == stats.pending
    assert {"not delivered in time": 3} == stats.dropped


def test_in_memory_by_choice(tmp_path: Path) -> None:
    """The same."""
    said, stats = log_and_end(Away(tmp_path), count=1, durability="memory")
    assert ["1 event was not delivered in time; lost, as it was in memory only"] == said
    assert {"not delivered in time": 1} == stats.dropped


def test_in_memory_and_sent(tmp_path: Path) -> None:
    """There is nothing to be said."""
    (tmp_path / "in the way").touch()
    transport = Away(tmp_path / "in the way", reachable=True)
    said, stats = log_and_end(transport, close_timeout=30)
    assert not said
    assert 3 == stats.published == len(transport.messages)


def test_in_memory_until_a_file_can_be_made(tmp_path: Path) -> None:
    """At the end they are written to one after all."""
    blocked = tmp_path / "in the way"
    blocked.touch()

    class Unblocking(Away):
        def send(self, batch: Any) -> None:
            blocked.unlink(missing_ok=True)
            super().send(batch)

    said, stats = log_and_end(Unblocking(blocked))
    assert 1 == len(said) and "3 events were not delivered in time; kept in" in said[0]
    assert 3 == stats.pending == waiting_in(blocked)


def test_while_they_wait_in_memory_they_are_not_said_to_be_in_the_journal(tmp_path: Path) -> None:
    """Regression: "events wait in the journal" where there was none."""
    (tmp_path / "in the way").touch()
    told: list[str] = []
    handler = BatchHandler(
        Away(tmp_path / "in the way"),
        on_error=lambda kind, text, error: told.append(text),
        close_timeout=0.05,
    )
    logger = logging.Logger("left")
    logger.addHandler(handler)
    logger.info("a")
    end(handler, [])
    assert any("cannot be reached; events wait in memory;" in text for text in told)


def test_what_was_waited_for_in_vain_is_not_waited_for_again(tmp_path: Path) -> None:
    """Regression: a program that closes what is away, and ends, waited twice `close_timeout`."""

    def work() -> None:
        handler = BatchHandler(Away(tmp_path), on_error=lambda *_: None, close_timeout=0.6)
        logger = logging.Logger("left")
        logger.addHandler(handler)
        logger.info("a")
        assert not handler.flush(0.4) and not handler.close()
        started = time.monotonic()
        process.end()
        logging.shutdown()
        assert time.monotonic() - started < 0.3

    Child(work).wait()


def test_how_long_the_end_may_wait() -> None:
    """Less by what was just waited in vain; all of it where that was long ago."""
    patience = Patience(5.0, 100.0)
    assert 5.0 == patience.left(100.0)
    patience.note(100.0, 102.0, in_vain=True)
    assert 3.0 == patience.left(102.0)
    patience.note(102.0, 110.0, in_vain=True)
    assert (0.0, 1.0, 5.0) == tuple(map(patience.left, (110.0, 111.0, 500.0)))
    patience.note(111.0, 112.0, in_vain=False)
    assert 5.0 == patience.left(112.0)


def can_mount() -> bool:
    """Return whether this user may mount something in namespaces of its own."""
    command = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_on_a_read_only_mount(tmp_path: Path) -> None:
    """Nothing can be made; what is said of it is true in the end, too."""
    if not can_mount():
        pytest.skip("NOT TESTED: nothing can be mounted here")
    said, logs = tmp_path / "said", tmp_path / "logs"
    logs.mkdir()

    def work() -> None:
        own_mounts()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(logs)], check=True)
        told: list[str] = []
        (text,), stats = log_and_end(f"jsonl:{logs}", on_error=lambda *what: told.append(what[1]))
        assert 0 == stats.pending
        said.write_text("\n".join([*told, text]))

    Child(work).wait()
    first, *_, last = said.read_text().splitlines()
    assert "(Read-only file system); buffering up to 64 MiB of events in memory" in first
    assert last == "3 events were not delivered in time; lost, as they were in memory only"
    assert not [line for line in said.read_text().splitlines() if "wait in the journal" in line]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that any user may enter; pytest's own become private whenever one starts."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@root_only
def test_after_the_user_changed(reachable: Path) -> None:
    """What went into files before is kept, for the user that they belong to; the rest is lost."""
    journals, path = reachable / "journals", reachable / "said"

    def work() -> None:
        transport = Away(journals)
        told: list[tuple[str, str]] = []
        handler = BatchHandler(
            transport,
            on_error=lambda kind, text, error: told.append((kind, text)),
            close_timeout=0.05,
        )
        logger = logging.Logger("left")
        logger.addHandler(handler)
        logger.info("as root")
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for number in range(14_000):
            logger.info("%d %s", number, "." * 1200)
        (said,), stats = end(handler, told)
        path.write_text(f"{stats.pending} {said}")

    path.touch()
    path.chmod(0o666)
    Child(work).wait()
    said = path.read_text()
    found = re.match(
        r"(\d+) 14,001 events were not delivered in time; ([\d,]+) kept in .*, if it runs as root,"
        r" whose files these are; ([\d,]+) lost, as they were in memory only",
        said,
    )
    assert found, said
    pending, kept, lost = (int(number.replace(",", "")) for number in found.groups())
    assert pending == kept == waiting_in(journals)
    assert 10_000 < kept == 14_001 - lost
    assert lost


@root_only
@pytest.mark.parametrize("flushed", [False, True])
def test_root_gives_what_it_makes_to_the_owner_of_the_directory(
    reachable: Path, flushed: bool
) -> None:
    """Regression: a daemon's first record, as root, made folders that it could not use later."""
    directory = reachable / "logs"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)

    def work() -> None:
        handler = BatchHandler(f"jsonl:{directory}")
        logger = logging.Logger("left")
        logger.addHandler(handler)
        logger.info("as root")
        if flushed:
            assert handler.flush(30)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        for number in range(2000):
            logger.info("%d %s", number, "." * 1000)
        assert handler.close(30)

    Child(work).wait()
    assert 2001 == len(list(Dataset(directory).rows()))
    assert {NOBODY} == {path.stat().st_uid for path in directory.rglob("*")}
    assert not list((directory / ".journal").glob("*.journal"))


def test_the_sentence() -> None:
    """It adds up what several journals are left with."""
    assert describe_left([], None) is None
    assert describe_left([Left()], Path("d")) is None
    text = describe_left([Left(2, 1), Left(1, 0)], Path("d"))
    assert text is not None
    assert text.startswith("4 events were not delivered in time; 3 kept in d; the next process")
    assert text.endswith("; 1 lost, as it was in memory only")
