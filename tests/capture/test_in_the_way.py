"""A run while something is in the way: its command never suffers, and nothing wrong is said."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from children import Child, own_mounts
from outputs import joined
from waiting import wait_until

from logbatch import Dataset
from logbatch.capture import CompletedRun, run
from logbatch.capture.lost import recover_runs
from logbatch.capture.runs import Runs
from logbatch.transports import build


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def messages(logs: Path) -> list[str]:
    """What lines say."""
    return [row["message"] for row in Dataset(logs).rows("line=*")]


@contextmanager
def in_two_parts(logs: Path) -> Iterator[Callable[[], CompletedRun]]:
    """A command that has printed its first line; calling what is yielded has it print another.

    Then it ends with status 3.
    """
    go, done = logs.parent / "go", []
    wait = f"for look in $(seq 3000); do [ -e {go} ] && break; sleep 0.02; done"
    script = f"echo one 1/2; {wait}; echo two 2/2; exit 3"

    def work() -> None:
        done.append(run(["sh", "-c", script], f"jsonl:{logs}", echo=False))

    thread = threading.Thread(target=work)
    thread.start()

    def go_on() -> CompletedRun:
        go.touch()
        thread.join()
        return done[0]

    try:
        yield go_on
    finally:
        go.touch()
        thread.join()


def stored(logs: Path) -> tuple[int | None, bytes]:
    """How the last run ended, and what it printed, by the record."""
    runs = Runs(logs / "runs.db")
    last = runs.find("last")
    return last.exit_code, joined(runs.read(last.id))


def test_a_locked_record(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its rows come later, its events do not; nothing is said of what was soon over."""
    run(["true"], f"jsonl:{logs}")
    with closing(sqlite3.connect(logs / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with in_two_parts(logs) as go_on:
            wait_until(lambda: messages(logs) == ["one 1/2"])
            assert (0, b"") == stored(logs)
            other.execute("COMMIT")
            done = go_on()

    assert (3, True) == (done.returncode, done.stored)
    assert (3, b"one 1/2\ntwo 2/2\n") == stored(logs)
    assert ("", "") == capfd.readouterr()


def spoil(path: Path) -> None:
    """Make it no database any more."""
    with path.open("r+b") as file:
        file.write(b"x" * 5000)


@pytest.mark.parametrize(
    ("harm", "said"), [(spoil, "is damaged"), (Path.unlink, None)], ids=["damaged", "removed"]
)
def test_a_record_that_is_harmed(
    logs: Path, harm: Callable[[Path], object], said: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The run goes on in a new one, and what is damaged stays beside it."""
    with in_two_parts(logs) as go_on:
        wait_until(lambda: any(each.size for each in Runs(logs / "runs.db").newest()))
        harm(logs / "runs.db")
        done = go_on()

    assert (3, True) == (done.returncode, done.stored)
    assert (3, b"two 2/2\n") == stored(logs)
    assert ["one 1/2", "two 2/2"] == messages(logs)
    lines = capfd.readouterr().err.splitlines()
    assert [said is not None and said in line for line in lines] == [True] * (said is not None)


def test_a_directory_that_is_removed(logs: Path) -> None:
    """What is printed from then on is stored in a new one."""
    with in_two_parts(logs) as go_on:
        wait_until(lambda: any(each.size for each in Runs(logs / "runs.db").newest()))
        shutil.rmtree(logs)
        done = go_on()

    assert (3, True) == (done.returncode, done.stored)
    assert (3, b"two 2/2\n") == stored(logs)
    assert "two 2/2" in messages(logs)


def on_a_small_disk(tmp_path: Path, work: Callable[[Path], Any]) -> None:
    """Do something in a process of its own, where a directory is on a disk of 1 MiB."""
    logs = tmp_path / "logs"
    logs.mkdir()
    probe = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", str(logs)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here")

    def within() -> None:
        own_mounts()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(logs)]
        subprocess.run(mount, check=True)
        work(logs)

    Child(within).wait()


def test_a_full_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What was kept is stored when there is room again; the rest is shown, and counted."""
    line = "x" * 900

    def work(logs: Path) -> None:
        script = f"yes {line} | head -n 3000; exit 3"
        done = run(["sh", "-c", script], f"jsonl:{logs}", close_timeout=0.2)
        assert (3, False) == (done.returncode, done.stored)
        subprocess.run(["mount", "-o", "remount,size=20m", str(logs)], check=True)
        assert 1 == recover_runs(build(f"jsonl:{logs}"), print)

        *rows, end = [{**row, **row["attributes"]} for row in Dataset(logs).rows()]
        code, output = stored(logs)
        assert [3, 3] == [code, end["status"]]
        assert 3000 * 901 == end["bytes_lost"] + len(output) and output
        assert output.split() == [row["message"].encode() for row in rows]

    on_a_small_disk(tmp_path, work)
    shown = capfd.readouterr()
    assert 3000 * f"{line}\n" == shown.out
    said = [text.partition(" ")[2][:25] for text in shown.err.splitlines()]
    assert sorted(said) == sorted(set(said)) and len(said) <= 4, shown.err


def test_a_disk_too_full_for_events(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Regression: events were kept in memory and lost at the end, though the spool had them."""

    def work(logs: Path) -> None:
        done = run(["seq", "30000"], f"jsonl:{logs}", echo=False, close_timeout=0.2)
        assert (0, False) == (done.returncode, done.stored)
        subprocess.run(["mount", "-o", "remount,size=40m", str(logs)], check=True)
        assert 1 == recover_runs(build(f"jsonl:{logs}"), print)
        assert [str(number) for number in range(1, 30001)] == messages(logs)

    on_a_small_disk(tmp_path, work)
    (said,) = capfd.readouterr().err.splitlines()
    assert "not all that the command printed is stored yet" in said
