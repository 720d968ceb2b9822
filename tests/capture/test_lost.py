"""Runs whose recording process was killed: what is known of them, and what is finished of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from children import child
from outputs import execution, query
from recovering import recover
from waiting import wait_until

from logbatch import Dataset
from logbatch.capture import run
from logbatch.capture.convert import Converter
from logbatch.capture.lost import recover_runs
from logbatch.capture.notes import read_notes
from logbatch.capture.recording import Recording
from logbatch.capture.runs import Run, Runs
from logbatch.capture.spool import Spool
from logbatch.errors import TemporaryError
from logbatch.handler import make_batcher
from logbatch.journal import find_left
from logbatch.testing import CapturingTransport
from logbatch.transports import build

PRINTS = ["sh", "-c", "echo key one; echo 1/2 >&2; exec sleep 60"]


class Place(CapturingTransport):
    """A destination that may be away, with a journal of its own."""

    def __init__(self, journals: Path, *, is_away: bool = False) -> None:
        super().__init__(destination="there")
        self.journal_directory = journals
        self.is_away = is_away

    def send(self, batch: Any) -> None:
        """Take it, or not."""
        if self.is_away:
            raise TemporaryError("cannot be reached")
        super().send(batch)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Where it is stored."""
    return tmp_path / "logs"


def only(path: Path) -> Run | None:
    """The only run, if it is there."""
    return next(Runs(path).newest(), None)


def lose(
    words: Sequence[str], place: Any, rows: Path, until: Callable[[Run], object], **options: Any
) -> None:
    """Run something, and kill who records it, and then it, when something holds of the run."""
    with child(partial(run, words, place, echo=False, **options)):
        wait_until(lambda: (found := only(rows)) is not None and until(found))
    found = only(rows)
    assert found is not None
    if found.exit_code is None:
        os.killpg(found.pid, signal.SIGKILL)


def lose_in(logs: Path, **options: Any) -> None:
    """Run what prints something and goes on."""
    lose(PRINTS, f"jsonl:{logs}", logs / "runs.db", lambda run: run.size == 12, **options)


def complain(kind: str, text: str) -> None:
    """Nothing may go wrong."""
    raise AssertionError(f"{kind}: {text}")


def has_printed(place: Path, size: int, _: Run) -> bool:
    """Whether more than so much is in the spools."""
    return sum(path.stat().st_size for path in place.glob("runs/*/0*")) > size


def test_how_its_events_are_made(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its options said when it began, whoever finishes it: secrets stay out, for example."""
    given = {"redact_patterns": [r"key \w+"], "max_value_bytes": 300, "host": "web-1"}
    long = "o" * 400
    lose(
        ["sh", "-c", f"printf 'key one {long}'; exec sleep 60"],
        f"jsonl:{logs}",
        logs / "runs.db",
        partial(has_printed, logs / ".journal", 400),
        **given,
    )
    assert 1 == recover_runs(build(f"jsonl:{logs}"), complain)

    line, end = Dataset(logs).rows()
    assert line["message"].startswith("[redacted] ooo") and len(line["message"]) < 400
    assert [("sh", "web-1")] * 2 == [(row["service"], row["host"]) for row in (line, end)]


def test_inline_bytes(logs: Path) -> None:
    """As much stands in its row as was asked for when it began."""
    lose_in(logs, inline_bytes=5)
    assert 1 == recover_runs(build(f"jsonl:{logs}"), complain)

    wanted = "SELECT stdout, stderr, stdout_size, output_truncated FROM executions"
    assert [("key o", "1/2\n", 8, 1)] == query(logs / "runs.db", wanted)


def test_when_it_ended(logs: Path) -> None:
    """When it last gave a sign of life, not when somebody looked."""
    lose_in(logs)
    killed = time.time()
    assert 1 == recover_runs(build(f"jsonl:{logs}"), complain)

    run, (end,) = only(logs / "runs.db"), Dataset(logs).rows("event=end")
    assert run is not None and run.ended_at is not None and run.last_output_at is not None
    assert run.last_output_at <= run.ended_at <= killed
    assert abs(run.ended_at - end["timestamp"].timestamp()) < 1e-5


def test_how_it_ended(tmp_path: Path, home: Path) -> None:
    """Where the command had ended, and only its events were waited for, it is not lost."""
    rows = home / ".local" / "state" / "logbatch" / "log" / "runs.db"
    away = Place(tmp_path, is_away=True)
    words = ["sh", "-c", "echo key one; echo two >&2; exit 3"]
    lose(words, away, rows, lambda run: run.status == "ended", close_timeout=60)
    place = Place(tmp_path)
    assert 1 == recover_runs(place, complain)

    found = only(rows)
    assert found is not None and 3 == found.exit_code
    told = [event for event in place.events if "event" in event["attributes"]]
    assert [3] == [event["attributes"]["status"] for event in told]
    assert ["key one", "two"] == sorted(place.messages)[1:] and 3 == len(place.events)


def test_signs_of_life(tmp_path: Path) -> None:
    """One that prints nothing gives some, too."""
    spool = Spool(tmp_path / "run", lambda _: None)
    batcher, encoder = make_batcher(CapturingTransport(), None, {})
    recording = Recording(
        spool.directory,
        execution("a", at=1000.0),
        Converter(encoder, "a", "sleep", 1),
        encoder,
        batcher,
        None,
        report=complain,
    )
    for now in (1000.0, 1011.0, 1012.0):
        recording.step(now)
    recording.close()
    spool.close()

    assert 1011.0 == read_notes(spool.directory).seen


def test_a_destination_that_is_away(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for once, not for each run; what is left waits for the next who comes."""
    rows = home / ".local" / "state" / "logbatch" / "log" / "runs.db"
    words = ["sh", "-c", "echo here; echo 1/2; exec sleep 60"]
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            place = Place(tmp_path, is_away=True)
            stack.enter_context(child(partial(run, words, place, echo=False)))
        wait_until(
            lambda: len(runs := list(Runs(rows).newest())) == 3 and all(r.size for r in runs)
        )
    for found in Runs(rows).newest():
        os.killpg(found.pid, signal.SIGKILL)
    monkeypatch.setenv("LOGBATCH_CLOSE_TIMEOUT", "0.5")
    away = Place(tmp_path, is_away=True)
    monkeypatch.setattr("sys.stderr", None)
    assert 3 == recover_runs(away, complain)
    wait_until(lambda: not any(each.held for each in find_left(tmp_path).values()))

    place = Place(tmp_path)
    recover(place)
    assert 3 * ["here"] == [text for text in place.messages if text == "here"]


def test_more_than_can_wait(tmp_path: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The rest of its events waits in the spool; the run has ended as it has."""
    words = ["sh", "-c", "seq 10000 10999; exit 4"]
    away, most = Place(tmp_path, is_away=True), 1 << 16
    done = run(words, away, echo=False, close_timeout=0.2, max_journal_bytes=most)
    found = only(home / ".local" / "state" / "logbatch" / "log" / "runs.db")

    assert found is not None and (4, False, 4) == (done.returncode, done.stored, found.exit_code)
    assert "not all that the command printed is stored yet" in capfd.readouterr().err
    away.is_away = False
    place = Place(tmp_path)
    assert 1 == recover_runs(place, complain)  # also while this process lives
    wait_until(lambda: len(away.messages) + len(place.messages) == 1001)
    told = sorted(text for text in away.messages + place.messages if text.isdigit())
    assert [str(number) for number in range(10000, 11000)] == told
    assert not list(tmp_path.glob("runs/*"))
