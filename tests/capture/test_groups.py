"""A traceback and an indented continuation are one event."""

from __future__ import annotations

import logging

import pytest
from converting import convert, convert_one, messages
from printed import TRACEBACKS

from logbatch.capture.groups import MOST_CHARACTERS, MOST_LINES

FAILURES = [
    ("app.errors.BadValue", "bad value", "app.errors.BadValue: bad value"),
    ("ExceptionGroup", "several (2 sub-exceptions)", "ExceptionGroup: several"),
    ("java.lang.IllegalStateException", "no state", 'Exception in thread "main"'),
    ("panic", "runtime error: index out of range [3] with length 3", "panic: runtime error"),
    ("TypeError", "no function", "TypeError: no function"),
    ("ArgumentError", "it broke", "x.rb:1:in `foo': it broke (ArgumentError)"),
    ("panic", "it broke", "thread 'main' panicked at src/main.rs:2:5:"),
    ("System.InvalidOperationException", "it broke", "Unhandled exception. System"),
    ("RuntimeException", "it broke", "PHP Fatal error:  Uncaught RuntimeException"),
    ("Fatal Python error", "Segmentation fault", "Fatal Python error: Segmentation fault"),
    (None, None, "lua: x.lua:1: it broke"),
]


@pytest.mark.parametrize(
    ("text", "failure"),
    list(zip(TRACEBACKS, FAILURES, strict=True)),
    ids=[str(failure[0]) for failure in FAILURES],
)
def test_a_traceback_is_one_event(text: str, failure: tuple[str | None, str | None, str]) -> None:
    """It is an error, with the exception's type and message, and all of its lines."""
    before, row, behind = convert(f"before\n{text}\nbehind\n")
    kind, said, message = failure
    assert row["levelno"] >= logging.ERROR
    assert (kind, said) == (row.get("exception_type"), row.get("exception_message"))
    assert text == row["stacktrace"]
    assert row["message"].startswith(message)
    assert text.count("\n") + 1 == row["attributes"]["lines"]
    assert ["before", "behind"] == [before["message"], behind["message"]]
    assert {"INFO"} == {before["level"], behind["level"]}
    assert text.count("\n") + 3 == behind["attributes"]["line"]


@pytest.mark.parametrize("text", TRACEBACKS, ids=[str(failure[0]) for failure in FAILURES])
def test_a_traceback_ends_where_another_begins(text: str) -> None:
    """Two of them are two events."""
    assert [text, text] == [row["stacktrace"] for row in convert(f"{text}\n{text}\n")]


def test_a_traceback_belongs_to_the_line_that_logs_it() -> None:
    """A log line of an error has its traceback behind it, as `logging` writes it."""
    row = convert_one(f"2026-11-22 00:00:00,100 CRITICAL app failed\n{TRACEBACKS[0]}\n", "stderr")
    assert "CRITICAL" == row["level"]
    assert "2026-11-22 00:00:00,100 CRITICAL app failed" == row["message"]
    assert "app.errors.BadValue" == row["exception_type"]
    assert TRACEBACKS[0] == row["stacktrace"]


def test_a_traceback_belongs_to_a_line_of_logfmt() -> None:
    """Such a line is taken apart as if it stood alone."""
    row = convert_one(f'level=warn msg="it failed" time=2026-11-21T00:00:00Z\n{TRACEBACKS[0]}\n')
    assert ("it failed", "ERROR") == (row["message"], row["level"])
    assert "app.errors.BadValue" == row["exception_type"]


def test_an_exception_belongs_to_the_line_that_logs_it() -> None:
    """So it is with what Java's loggers write."""
    text = "java.lang.RuntimeException: no\n\tat a.B.c(B.java:1)\nCaused by: a.D\n\t... 3 more"
    row = convert_one(f"00:00:00.250 [main] ERROR a.B - failed\n{text}\n")
    assert "00:00:00.250 [main] ERROR a.B - failed" == row["message"]
    assert ("java.lang.RuntimeException", "no") == (row["exception_type"], row["exception_message"])
    assert text == row["stacktrace"]


def test_what_a_thread_or_a_task_leaves_is_one_event() -> None:
    """The line that announces a traceback is its message."""
    rows = convert(f"Exception in thread Thread-1 (f):\n{TRACEBACKS[0]}\nx\n")
    assert ["Exception in thread Thread-1 (f):", "x"] == [row["message"] for row in rows]
    row = convert_one(f"Task exception was never retrieved\nfuture: <Task>\n{TRACEBACKS[0]}\n")
    assert "Task exception was never retrieved\nfuture: <Task>" == row["message"]


def test_a_syntax_error_has_no_traceback() -> None:
    """What Python says of a script that it cannot read is one event."""
    row = convert_one('  File "/a.py", line 3\n    f(\n     ^\nSyntaxError: it is wrong\n')
    assert ("SyntaxError", "ERROR", 4) == (
        row["exception_type"],
        row["level"],
        row["attributes"]["lines"],
    )


def test_a_stack_is_no_exception() -> None:
    """What `stack_info=True` prints is the stack of the line before it."""
    stack = 'Stack (most recent call last):\n  File "/a.py", line 3, in f\n    log.warning("x")'
    row = convert_one(f"WARNING:root:careful\n{stack}\n")
    assert ("WARNING", stack) == (row["level"], row["stacktrace"])
    assert "exception_type" not in row


def test_an_unrelated_line_is_not_taken() -> None:
    """A traceback does not join a line that says nothing bad."""
    rows = convert(f"hello\n{TRACEBACKS[0]}\n")
    assert ["hello", "app.errors.BadValue: bad value"] == [row["message"] for row in rows]


def test_what_is_set_in_continues_the_line_before() -> None:
    """So do lines that only close brackets."""
    assert ["a\n  b\n\tc", "d {\n  e\n}", "f"] == messages("a\n  b\n\tc\nd {\n  e\n}\nf\n")


def test_a_sentence_is_no_frame() -> None:
    """A continuation that begins with "at" does not make an error of a text."""
    assert (
        "INFO"
        == convert_one("you may use it\n  at your option (see below) or\n  at most 3:4\n")["level"]
    )


def test_what_is_set_in_without_a_first_line_is_an_event_of_its_own() -> None:
    """Of a list whose numbers are set in, each line is one."""
    assert ["  1 a", "  2 b"] == messages("  1 a\n  2 b\n")
    assert ["a", "", "  b"] == messages("a\n\n  b\n")
    line = '{"level": "info", "msg": "x"}'
    assert ["x", "  b"] == messages(f"{line}\n  b\n")


def test_blank_lines_are_events() -> None:
    """Also behind a traceback, which might have gone on."""
    rows = convert(f"a\n\n{TRACEBACKS[0]}\n\n\nb\n")
    assert ["a", "", "app.errors.BadValue: bad value", "", "", "b"] == [
        row["message"] for row in rows
    ]


def test_a_group_is_bounded_in_lines() -> None:
    """What is more begins anew."""
    rows = convert("a\n" + "  b\n" * (MOST_LINES + 1))
    assert [MOST_LINES, 1, 1] == [row["attributes"].get("lines", 1) for row in rows]


def test_a_group_is_bounded_in_size() -> None:
    """It is never so long that its message is cut."""
    rows = convert("a\n" + f"  {'b' * 9998}\n" * 20)
    assert MOST_CHARACTERS // 10_000 + 1 == rows[0]["attributes"]["lines"]
    assert 20 - MOST_CHARACTERS // 10_000 == len(rows) - 1
    assert not any("[cut" in row["message"] for row in rows)


def test_other_output_within_a_traceback_ends_it() -> None:
    """A line that no traceback has is an event of its own."""
    text = "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1"
    assert ["panic: no", "hello world"] == messages(f"{text}\nhello world\n")
