"""`logbatch.capture.run` and its asyncio form."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from logbatch import Dataset, Options
from logbatch.capture import CompletedRun, RunOptions, run, run_async
from logbatch.capture.running import Job
from logbatch.capture.runs import Run, Runs
from logbatch.testing import CapturingTransport


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def messages(logs: Path) -> list[str]:
    """What lines say."""
    return [row["message"] for row in Dataset(logs).rows("line=*")]


def recorded(path: Path, run_id: str) -> Run:
    """What the record has of a run."""
    found = Runs(path).get(run_id)
    assert found is not None
    return found


def test_a_command(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is returned says how it went."""
    done = run(["sh", "-c", "echo hello; echo oops >&2; exit 3"], f"jsonl:{logs}")

    assert ("hello\n", "oops\n") == capfd.readouterr()
    assert (3, 3, {"stdout": 6, "stderr": 5}, True) == (
        done.returncode,
        done.status,
        done.sizes,
        done.stored,
    )
    assert ["hello", "oops"] == sorted(messages(logs)) == sorted(done.last_lines)
    assert {done.run_id} == {row["attributes"]["run_id"] for row in Dataset(logs).rows()}
    assert 3 == recorded(logs / "runs.db", done.run_id).exit_code


def test_in_a_place_of_its_own(logs: Path, tmp_path: Path) -> None:
    """Its environment, its directory; nothing is shown."""
    words = ["sh", "-c", "pwd; echo $COLOUR; kill -9 $$"]
    env = {"COLOUR": "red", "PATH": "/usr/bin:/bin"}
    done = run(words, f"jsonl:{logs}", echo=False, env=env, cwd=tmp_path)

    assert (-9, 137) == (done.returncode, done.status)
    assert [str(tmp_path), "red"] == messages(logs)


def test_progress(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each text is told; what the function raises stops nothing."""
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        raise ValueError("no")

    script = "for n in 1 2 3; do echo $n/3; sleep 0.1; done; echo batch 7 of many"
    done = run(
        ["sh", "-c", script],
        f"jsonl:{logs}",
        progress=[r"batch (\d+)"],
        on_progress=tell,
    )

    assert 0 == done.returncode and "on_progress raised ValueError" in capfd.readouterr().err
    assert told[-1] == "7" and set(told) <= {"1/3", "2/3", "3/3", "7"}
    assert "7" == recorded(logs / "runs.db", done.run_id).progress


def test_an_object_as_transport(home: Path) -> None:
    """Its events are sent there; the record is where this user's logs are."""
    transport = CapturingTransport()
    done = run(["echo", "hello"], transport)
    (path,) = home.rglob("runs.db")

    events = [event for batch in transport.batches for event in batch.events()]
    assert ["hello", "ended"] == [event["message"].partition(" ")[0] for event in events]
    assert 0 == recorded(path, done.run_id).exit_code


def test_sqlite(tmp_path: Path) -> None:
    """Events and the record are in one file."""
    done = run(["echo", "hello"], f"sqlite:{tmp_path}/app.db")

    assert 0 == recorded(tmp_path / "app.db", done.run_id).exit_code
    assert not list(tmp_path.rglob("runs.db"))


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("echo hello", {}, "command must be a list"),
        ([], {}, "command must be a list"),
        (["true"], {"progress": ["("]}, "missing"),
        (["true"], {"flush_interva": 1}, "did you mean 'flush_interval'"),
    ],
)
def test_what_is_wrong(logs: Path, command: Any, given: Any, message: str) -> None:
    """It is said before anything is run."""
    with pytest.raises(ValueError, match=message):
        run(command, f"jsonl:{logs}", **given)
    assert not logs.exists()


def test_what_cannot_be_started(logs: Path) -> None:
    """As `subprocess` tells it; the record has it."""
    with pytest.raises(FileNotFoundError):
        run(["no-such-command"], f"jsonl:{logs}")
    (kept,) = Runs(logs / "runs.db").newest(None)
    assert 127 == kept.exit_code


def test_asyncio(logs: Path) -> None:
    """The event loop goes on meanwhile."""

    async def both() -> list[int]:
        turns = 0
        task = asyncio.ensure_future(run_async(["sleep", "0.3"], f"jsonl:{logs}"))
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        return [(await task).returncode, turns]

    code, turns = asyncio.run(both())
    assert 0 == code and turns > 3


def test_a_task_that_is_cancelled(logs: Path) -> None:
    """The command is ended, and its end recorded."""

    async def cancel() -> None:
        task = asyncio.ensure_future(run_async(["sleep", "60"], f"jsonl:{logs}"))
        while not (logs / "runs.db").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - started < 30
    (kept,) = Runs(logs / "runs.db").newest(None)
    assert -signal.SIGTERM == kept.exit_code


def test_a_command_that_will_not_end(logs: Path) -> None:
    """The event loop goes on while it is ended by force."""

    async def cancel() -> int:
        words = ["sh", "-c", "trap '' TERM; echo 1/2; while :; do sleep 0.1; done"]
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        tell = partial(loop.call_soon_threadsafe, ready.set)
        task = asyncio.ensure_future(
            run_async(words, f"jsonl:{logs}", on_progress=lambda _: tell())
        )
        await ready.wait()
        task.cancel()
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert asyncio.run(cancel()) > 5


def test_many_at_once(logs: Path, tmp_path: Path) -> None:
    """Commands that wait for one another all run, whatever else asyncio's threads are busy with."""
    count = 40
    # They give up in the end: if the tests are killed, nobody else ends them.
    script = f"""
touch $0
for look in $(seq 300); do
    [ $(ls {tmp_path}/it | wc -l) -lt {count} ] || exit 0
    sleep 0.2
done
exit 1
"""
    (tmp_path / "it").mkdir()

    async def all_of_them() -> list[CompletedRun]:
        words = [["sh", "-c", script, f"{tmp_path}/it/{number}"] for number in range(count)]
        return await asyncio.gather(*(run_async(each, f"jsonl:{logs}") for each in words))

    assert count * [0] == [done.returncode for done in asyncio.run(all_of_them())]


def test_an_interrupt(logs: Path) -> None:
    """Ctrl-C in the caller ends the command, and what it printed is stored."""
    script = "import os, time; print('here', flush=True); os.kill({pid}, 2); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", script.format(pid=os.getpid())], f"jsonl:{logs}")
    assert ["here"] == messages(logs)


def test_the_keywords_are_those_that_an_editor_knows() -> None:
    """Of both forms; the id is for the command line alone."""
    own = {
        name
        for name, parameter in inspect.signature(Job).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert own - {"run_id"} == set(RunOptions.__annotations__) - set(Options.__annotations__)
