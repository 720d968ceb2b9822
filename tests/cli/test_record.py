"""One record as text: what stands where, and that no text passes for another record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbatch.cli.escape import is_safe
from logbatch.cli.record import as_json, raw, shown, shown_short

TIME = datetime(2026, 11, 21, 10, 0, 3, 123456, tzinfo=UTC)
NULLS = ("template", "exception_type", "exception_message", "stacktrace", "task")


def row(**given: Any) -> dict[str, Any]:
    """A record as `Dataset.rows` gives it."""
    fixed = {"timestamp": TIME, "level": "INFO", "levelno": 20, "logger": "shop.web"}
    return {**fixed, "message": "hello", "attributes": {}, **dict.fromkeys(NULLS), **given}


def plain(record: dict[str, Any]) -> str:
    """The text of a record without its styles."""
    return "".join(text for text, _ in shown(record))


def test_a_line() -> None:
    """Time in UTC, level, logger, message, and attributes as key=value."""
    record = row(attributes={"user_id": 42, "path": "/items", "ok": True, "none": None})

    assert (
        "2026-11-21T10:00:03.123Z INFO     shop.web  hello  "
        "user_id=42 path=/items ok=true none=null"
    ) == plain(record)


def test_time_is_utc() -> None:
    """A time of another zone is shown in UTC."""
    east = TIME.astimezone(timezone(timedelta(hours=9)))

    assert plain(row(timestamp=east)).startswith("2026-11-21T10:00:03.123Z ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("line\nbreak\x1b[0m", r'"line\nbreak\u001b[0m"'),
        ("\u202etxt", r'"\u202etxt"'),
        ([1, "a"], '[1, "a"]'),
        ({"k": {"n": 1.5}}, '{"k": {"n": 1.5}}'),
    ],
)
def test_attribute_values(value: object, expected: str) -> None:
    """A simple text stands bare; anything else is JSON, so that one sees where it ends."""
    assert f"  key={expected}" == plain(row(attributes={"key": value})).partition("hello")[2]


def test_an_odd_key_is_quoted() -> None:
    """A key cannot pass for another key."""
    assert plain(row(attributes={"a b=1 c": 2})).endswith('hello  "a b=1 c"=2')


def test_a_message_of_several_lines_is_set_in() -> None:
    """A line break in a message does not begin a record."""
    forged = "ok\n2026-11-21T10:00:04.000Z CRITICAL root  forged"
    first, second = plain(row(message=forged)).split("\n")

    assert first.endswith("shop.web  ok")
    assert second == "  | 2026-11-21T10:00:04.000Z CRITICAL root  forged"


def test_a_traceback_follows_set_in() -> None:
    """The traceback stands below its record, each line set in by four spaces."""
    trace = "Traceback (most recent call last):\n  File x\nValueError: no\x1b[2J\n"
    record = row(stacktrace=trace, exception_type="ValueError", exception_message="no")

    assert plain(record).split("\n")[1:] == [
        "    Traceback (most recent call last):",
        "      File x",
        r"    ValueError: no\x1b[2J",
    ]


def test_an_exception_without_traceback_is_named() -> None:
    """Where only type and message are known, they stand in one line."""
    record = row(exception_type="ValueError", exception_message="no")

    assert plain(record).split("\n")[1:] == ["    ValueError: no"]


texts = st.text() | st.text(st.sampled_from("a =\"'\\\n\r\x1b\x9b\u202e\u200b\u2028[red]"))


@given(texts, texts, texts, texts, st.dictionaries(texts, texts), texts)
def test_no_text_passes_for_another_record(
    level: str, logger: str, message: str, trace: str, attributes: dict[str, str], kind: str
) -> None:
    """Whatever was logged, one record begins exactly one line, and all of it is safe to show."""
    record = row(
        level=level,
        logger=logger,
        message=message,
        stacktrace=trace,
        exception_type=kind,
        attributes=attributes,
    )
    first, *rest = plain(record).split("\n")

    assert first.startswith("2026-11-21T10:00:03.123Z ")
    assert [line for line in rest if not line.startswith(("    ", "  | "))] == []
    assert all(map(is_safe, (first, *rest)))


@given(texts, texts, st.dictionaries(texts, texts))
def test_the_short_form_is_one_line(message: str, kind: str, attributes: dict[str, str]) -> None:
    """In a live view a record takes one line, whatever it holds."""
    record = row(message=message, exception_type=kind, attributes=attributes)
    text = "".join(part for part, _ in shown_short(record))

    assert text.startswith("10:00:03.123 INFO")
    assert is_safe(text)


def test_raw_is_exact() -> None:
    """Raw text is what was logged, byte for byte."""
    record = row(message="\x1b[31mred\x1b[0m\nnext", attributes={"a": "x y"}, stacktrace="T\x1b\n")

    assert (
        "2026-11-21T10:00:03.123Z INFO     shop.web  \x1b[31mred\x1b[0m\nnext  a=x y\nT\x1b"
        == raw(record)
    )


def test_json_has_no_nulls() -> None:
    """A record as JSON has its columns in order, without those that are null."""
    decoded = json.loads(as_json(row(attributes={"n": None})))

    assert {
        "timestamp": "2026-11-21T10:00:03.123456Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "shop.web",
        "message": "hello",
        "attributes": {"n": None},
    } == decoded
