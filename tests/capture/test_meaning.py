"""What a line says about itself: its level, its time, and what is in JSON and logfmt."""

from __future__ import annotations

from typing import Any

import pytest
from converting import convert, convert_one
from printed import TEXTS, Said

READ = "2026-11-22T00:00:00.500000Z"


@pytest.mark.parametrize("said", TEXTS, ids=lambda said: f"{said.program}-{said.line[:40]}")
def test_lines_of_real_programs(said: Said) -> None:
    """Level and time are what the line says, and the message is the line."""
    for stream, level in (("stdout", "INFO"), ("stderr", "WARNING")):
        row = convert_one(said.line + "\n", stream)
        assert (said.level or level) == row["level"]
        assert (said.time or READ) == row["timestamp"]
        assert said.line == row["message"]


def test_a_level_of_basic_config_comes_with_its_logger() -> None:
    """The default form of `logging` says the logger."""
    assert "app.db" == convert_one("ERROR:app.db:no connection")["logger"]


PINO = '{"level":50,"time":1795255200500,"pid":9,"hostname":"h","msg":"no","err":%s}'
ERR = '{"type":"TypeError","message":"x is none","stack":"TypeError: x\\n    at f (a.js:1:1)"}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"event": "hello", "level": "warning", "timestamp": "2026-11-21T10:00:00.5Z", "n": 1}',
            {"message": "hello", "level": "WARNING", "n": 1},
        ),
        (
            '{"name":"app","hostname":"h","pid":9,"level":40,"msg":"hello",'
            '"time":"2026-11-21T10:00:00.500Z","v":0}',
            {"message": "hello", "level": "WARNING", "logger": "app", "pid (2)": 9, "v": 0},
        ),
        (PINO % ERR, {"message": "no", "level": "ERROR", "exception_type": "TypeError"}),
        (
            '{"level":"info","ts":1795255200.5,"logger":"web","caller":"a.go:1","msg":"hello"}',
            {"message": "hello", "level": "INFO", "logger": "web", "caller": "a.go:1"},
        ),
        (
            '{"level":"fatal","msg":"hello","time":"2026-11-21T10:00:00.5Z","stream":"x"}',
            {"message": "hello", "level": "CRITICAL", "stream (2)": "x", "stream": "stdout"},
        ),
        (
            '{"level":"trace","time":1795255200500,"message":"hello","a":1,"a":2}',
            {"message": "hello", "level": "TRACE", "a": 2, "a (2)": 1},
        ),
        (
            '{"@t":"2026-11-21T10:00:00.5000000Z","@mt":"Hello {User}","@l":"Error","User":"x"}',
            {"message": "Hello {User}", "level": "ERROR", "User": "x"},
        ),
        (
            '{"asctime": "2026-11-21T10:00:00.5Z", "levelname": "DEBUG", "name": "a.b",'
            ' "message": "hello"}',
            {"message": "hello", "level": "DEBUG", "logger": "a.b"},
        ),
        (
            '{"@timestamp":"2026-11-21T10:00:00.500Z","log.level":"warn","message":"hello",'
            '"ecs":{"version":"1.6.0"},"log":{"logger":"a.b","original":"x"}}',
            {"level": "WARNING", "logger": "a.b", "log": {"original": "x"}},
        ),
        (
            '{"severity":"NOTICE","message":"hello","timestamp":"2026-11-21T10:00:00.5Z",'
            '"trace_id":"0af7651916cd43dd8448eb211c80319c"}',
            {"level": "NOTICE", "trace_id": "0af7651916cd43dd8448eb211c80319c"},
        ),
        (
            '{"t":{"$date":"2026-11-21T10:00:00.500+00:00"},"s":"W","c":"NETWORK","id":1,'
            '"ctx":"main","msg":"hello"}',
            {"message": "hello", "level": "WARNING", "logger": "NETWORK", "ctx": "main"},
        ),
        (
            '{"version":"1.1","host":"h","short_message":"hello","level":3,"timestamp":1795255200.5}',
            {"message": "hello", "level": "ERROR", "version": "1.1"},
        ),
        (
            '{"Timestamp":"2026-11-21T10:00:00.5Z","EventId":1,"LogLevel":"Warning",'
            '"Category":"A.B","Message":"hello"}',
            {"message": "hello", "level": "WARNING", "logger": "A.B", "EventId": 1},
        ),
        (
            'time="2026-11-21T10:00:00.5Z" level=warning msg="hello \\"you\\"" n=007 empty= line=3',
            {
                "message": 'hello "you"',
                "level": "WARNING",
                "n": "007",
                "empty": "",
                "line (2)": "3",
            },
        ),
        (
            "ts=2026-11-21T10:00:00.500Z caller=main.go:1 level=error msg=hello a=1 a=2",
            {"message": "hello", "level": "ERROR", "a": "1", "a (2)": "2"},
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_structured_lines_are_taken_apart(line: str, expected: dict[str, Any]) -> None:
    """Level, message, time and logger become columns, all else attributes; nothing is lost."""
    row = convert_one(line)
    assert "2026-11-21T10:00:00.500000Z" == row["timestamp"]
    said = {**row["attributes"], **row}
    assert expected == {key: said.get(key) for key in expected}


@pytest.mark.parametrize(
    "line",
    [
        '{"just": "data"}',
        '{"level": "x"}',
        '{"message": "no level and no time"}',
        '{"level": "info", "message": "cut o',
        '{"level": "info", "message": "\\ud83d"}',
        '{"level": 1e400, "message": "x"}',
        "[1, 2]",
        "a=b c=d",
        'msg="x" level=in"fo',
        "{}",
        "x=1",
    ],
)
def test_what_is_no_log_line_stays_as_it_is(line: str) -> None:
    """A line that merely looks like it is a text."""
    row = convert_one(line)
    assert line == row["message"]
    assert {"stream", "pid", "run_id", "command", "line"} == row["attributes"].keys()


def test_json_on_several_lines_is_taken_apart() -> None:
    """An object that is printed over several lines is one event."""
    row = convert_one('{\n  "level": "error",\n  "msg": "no",\n  "n": [\n    1\n  ]\n}\n')
    assert ("no", "ERROR", [1], 7) == (
        row["message"],
        row["level"],
        row["attributes"]["n"],
        row["attributes"]["lines"],
    )


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-22T00:00:00.25Z", "2026-11-22T00:00:00.250000Z"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-01 02:30:00+02:30", "2020-01-01T00:00:00Z"),
        ("2020-01-01 00:00:00,5 -0100", "2020-01-01T01:00:00.500000Z"),
        ("2026-11-22 05:29:59,75", "2026-11-21T23:59:59.750000Z"),  # in Kolkata
        ("2026-11-21 19:59:31", "2026-11-21T23:59:31Z"),  # in Halifax, half a minute ago
        ("2026-11-22 05:20:00,5", READ),  # which is so nowhere
        ("2026-11-22 00:00:00", READ),  # whole seconds say less
        ("2026-11-22T00:00:00Z", READ),
        ("2026-13-22T00:00:00Z", READ),
        ("0000-01-01T00:00:00Z", READ),
        ("0001-01-01T00:00:00+14:00", READ),
        ("9999-12-31T23:59:59.9-12:00", READ),
    ],
)
def test_the_time_that_a_line_says(time: str, expected: str) -> None:
    """It counts if it has a zone, or if it can only mean one moment."""
    assert expected == convert_one(f"{time} hello")["timestamp"]
    assert expected == convert_one(f"[{time}] hello")["timestamp"]


def test_each_line_of_a_column_keeps_its_level() -> None:
    """What one line says does not count for the next."""
    rows = convert("ERROR: a\nb\nDEBUG: c\n")
    assert ["ERROR", "INFO", "DEBUG"] == [row["level"] for row in rows]
