"""Telling of trouble: counted, handed on, and said on stderr, without ever hurting."""

from __future__ import annotations

import io
import threading
from contextlib import redirect_stderr

import pytest

from logbatch.testing import ManualClock
from logbatch.trouble import EVERY, LONGEST, Trouble, describe

Told = tuple[str, str, BaseException | None]


def test_a_trouble_is_counted_and_remembered() -> None:
    """Each is counted by its kind, and the newest is kept."""
    trouble = Trouble()
    for kind, text in [("send", "a"), ("journal", "b"), ("send", "c")]:
        trouble.say(kind, text)

    assert {"send": 2, "journal": 1} == trouble.counts
    assert "c" == trouble.last


def test_nothing_said_is_nothing_counted() -> None:
    """Without trouble there is no last one."""
    assert ({}, None) == (Trouble().counts, Trouble().last)


# --------------------------------------------------------------------------- stderr


def test_stderr_hears_of_a_kind_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """The second of a kind within a minute is only counted; after a minute it is said again."""
    clock = ManualClock()
    trouble = Trouble(clock=clock)
    for step in (0.0, EVERY - 1, 0.5, 0.5, EVERY - 0.5, 0.5):
        clock.advance(step)
        trouble.say("send", f"at {clock.now:g}")

    said = ["logbatch: at 0", "logbatch: at 60", "logbatch: at 120"]
    assert said == capsys.readouterr().err.splitlines()
    assert {"send": 6} == trouble.counts


def test_kinds_do_not_silence_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind has a minute of its own."""
    trouble = Trouble(clock=ManualClock(-1e9))
    for kind in ("send", "journal", "send"):
        trouble.say(kind, kind)

    assert ["logbatch: send", "logbatch: journal"] == capsys.readouterr().err.splitlines()


def test_stderr_is_not_driven_by_what_came_from_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Escape sequences, newlines, bidirectional marks and surrogates are shown escaped."""
    trouble = Trouble()
    trouble.say("send", "\x1b[2Jgone\r\nlogbatch: faked \u202e\udcff ü")

    expected = r"\x1b[2Jgone\r\nlogbatch: faked \u202e\udcff ü"
    assert f"logbatch: {expected}\n" == capsys.readouterr().err
    assert expected == trouble.last


def test_a_whole_page_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """What a destination answers does not fill the screen, nor the memory."""
    trouble = Trouble()
    trouble.say("send", "x" * 10_000_000)

    expected = "x" * (LONGEST - 1) + "…"
    assert f"logbatch: {expected}\n" == capsys.readouterr().err
    assert expected == trouble.last


class Broken(io.StringIO):
    """A stderr that fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(),
        OSError(28, "No space left on device"),
        ValueError("I/O operation on closed file"),
        RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>"),
        AttributeError("write"),
    ],
)
def test_a_stderr_that_fails_hurts_nobody(error: Exception) -> None:
    """Regression: a RuntimeError (a signal came while stderr was written) got through."""
    told: list[Told] = []
    trouble = Trouble(lambda *each: told.append(each))
    with redirect_stderr(Broken(error)):
        trouble.say("send", "down")

    assert [("send", "down", None)] == told


def test_without_stderr_there_is_still_on_error() -> None:
    """A program without a console (`sys.stderr` is None) is told through its function."""
    told: list[Told] = []
    with redirect_stderr(None):
        Trouble(lambda *each: told.append(each)).say("send", "down")

    assert [("send", "down", None)] == told


# --------------------------------------------------------------------------- on_error


def test_on_error_hears_every_trouble() -> None:
    """The function gets kind, text and exception each time, however often."""
    told: list[Told] = []
    trouble = Trouble(lambda *each: told.append(each), ManualClock())
    error = OSError("no route")
    trouble.say("send", "a", error)
    trouble.say("send", "b")

    assert [("send", "a", error), ("send", "b", None)] == told


def test_an_on_error_that_raises_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    """What the function raises goes nowhere; the trouble was said already."""

    def fail(*each: object) -> None:
        raise RuntimeError("broken")

    trouble = Trouble(fail)
    trouble.say("send", "down")

    assert "logbatch: down\n" == capsys.readouterr().err
    assert {"send": 1} == trouble.counts


def test_ctrl_c_passes_through_on_error() -> None:
    """A KeyboardInterrupt is the user's, and the next trouble is told as before."""
    answers: list[BaseException] = [KeyboardInterrupt()]
    told: list[str] = []

    def interrupted(kind: str, text: str, error: BaseException | None) -> None:
        told.append(text)
        if answers:
            raise answers.pop()

    trouble = Trouble(interrupted)
    with pytest.raises(KeyboardInterrupt):
        trouble.say("send", "a")
    trouble.say("send", "b")

    assert ["a", "b"] == told


def test_on_error_does_not_feed_on_itself() -> None:
    """Regression: an `on_error` that got into trouble itself was called until the stack ended."""
    told: list[str] = []

    def logs(kind: str, text: str, error: BaseException | None) -> None:
        told.append(text)
        trouble.say("handler", "a record could not be taken")

    trouble = Trouble(logs)
    trouble.say("send", "a")
    trouble.say("send", "b")

    assert ["a", "b"] == told
    assert {"send": 2, "handler": 2} == trouble.counts


def test_a_stderr_that_leads_back_does_not_feed_on_itself() -> None:
    """A stderr that is redirected to logging, and from there to us, is written once."""
    written: list[str] = []

    class Logged(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            trouble.say("handler", "a record could not be taken")
            return len(text)

    trouble = Trouble()
    with redirect_stderr(Logged()):
        trouble.say("send", "down")

    assert "logbatch: down\n" == "".join(written)


def test_a_trouble_that_was_only_counted_is_said_the_next_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A kind that came up while another was told has not used up its minute."""

    def logs(kind: str, text: str, error: BaseException | None) -> None:
        trouble.say("handler", "first")

    trouble = Trouble(logs, ManualClock())
    trouble.say("send", "down")
    trouble.say("handler", "second")

    assert ["logbatch: down", "logbatch: second"] == capsys.readouterr().err.splitlines()


def test_threads_do_not_silence_each_other() -> None:
    """While one thread is inside `on_error`, another's trouble is told as well."""
    told: list[str] = []

    def wait_for_the_other(kind: str, text: str, error: BaseException | None) -> None:
        told.append(text)
        if text == "first":
            other = threading.Thread(target=trouble.say, args=("journal", "second"))
            other.start()
            other.join(10)

    trouble = Trouble(wait_for_the_other)
    trouble.say("send", "first")

    assert ["first", "second"] == told


# --------------------------------------------------------------------------- describe


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (KeyError("a"), "KeyError: 'a'"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (ValueError("two\nlines\x1b[0m"), r"ValueError: two\nlines\x1b[0m"),
        (ValueError("x" * 5000), "ValueError: " + "x" * (LONGEST - 1) + "…"),
        (Unspeakable(), "Unspeakable"),
    ],
)
def test_an_exception_is_described_in_one_line(error: BaseException, expected: str) -> None:
    """Its name and its message, without control characters; the name alone where there is none."""
    assert expected == describe(error)
