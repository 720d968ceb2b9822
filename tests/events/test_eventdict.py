"""An event of structlog becomes the row that the same call of `logging` becomes."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rows import Capture, Raising, Unequal, make_values, read
from structlog.contextvars import bound_contextvars
from structlog.processors import CallsiteParameter, CallsiteParameterAdder, TimeStamper
from structlog.stdlib import ProcessorFormatter

from logbatch.events.event import LineEncoder

ENCODER = LineEncoder(service="app", host="here")


anything = make_values(
    st.builds(Unequal),
    st.sampled_from(["", "x" * 100_000, 1 << 40, -1, "12", ..., int, ValueError("x")]),
)


def event(event_dict: Any, method: str = "info", logger: object = None) -> dict[str, Any]:
    """Make the row of a structlog event, and see that the event is not changed."""
    before = dict(event_dict)
    level, line = ENCODER.event_dict(logger, method, event_dict)
    row = read(line)

    assert list(event_dict) == list(before)
    assert all(event_dict[key] is value for key, value in before.items())
    assert row["levelno"] == level
    return row


@given(st.dictionaries(st.text(), anything, max_size=6), st.text())
def test_any_event_makes_a_row(event_dict: dict[str, Any], method: str) -> None:
    """Whatever an event holds, each column has its type."""
    event(event_dict, method)
    event(event_dict, method, logger=Raising())


SPECIAL_KEYS = [
    *("event", "level", "timestamp", "logger", "exc_info", "exception", "stack", "stack_info"),
    *("positional_args", "pathname", "lineno", "func_name", "process", "thread", "thread_name"),
    *("level_number", "stacklevel", "message", "_record", "_from_structlog"),
]


@given(st.dictionaries(st.sampled_from(SPECIAL_KEYS), anything))
def test_any_special_key_makes_a_row(event_dict: dict[str, Any]) -> None:
    """A key that structlog gives a meaning may hold anything."""
    event(event_dict)


@pytest.mark.parametrize(
    ("method", "level", "name", "number"),
    [
        ("info", "info", "INFO", 20),
        ("warn", "warning", "WARNING", 30),
        ("exception", "error", "ERROR", 40),
        ("err", None, "ERROR", 40),
        ("fatal", None, "CRITICAL", 50),
        ("critical", "critical", "CRITICAL", 50),
        ("notset", "notset", "NOTSET", 0),
        ("msg", None, "INFO", 20),
        ("debug", "WARNING", "WARNING", 30),
        ("audit", "audit", "AUDIT", 20),
        ("audit", None, "AUDIT", 20),
    ],
)
def test_level_of_an_event(method: str, level: str | None, name: str, number: int) -> None:
    """Levels have the names and numbers that `logging` gives them."""
    row = event({"event": "m"} | ({} if level is None else {"level": level}), method)

    assert (row["level"], row["levelno"]) == (name, number)
    assert "attributes" not in row


def test_method_exception() -> None:
    """A method `exception` means the exception that is being handled, as it does in `logging`."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        row = event({"event": "m"}, "exception")
        assert row["exception_type"] == "ZeroDivisionError"
        row = event({"event": "m", "exc_info": False}, "exception")
        assert "exception_type" not in row

    assert "exception_type" not in event({"event": "m"}, "exception")


def test_named_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that the application has named is known by that name."""
    monkeypatch.setattr(logging, "_levelToName", {**logging._levelToName, 25: "NOTICE"})
    monkeypatch.setattr(logging, "_nameToLevel", {**logging._nameToLevel, "NOTICE": 25})

    assert event({"event": "m", "level": "notice"}, "notice")["levelno"] == 25


def test_fields_that_only_look_special() -> None:
    """A field that does not mean what structlog means by its name is an attribute."""
    fields = {
        "level": "gold",
        "logger": 5,
        "timestamp": "yesterday",
        "exception": "timeout",
        "stack": "prod",
        "stack_info": "some",
        "pathname": "/data/x.csv",
        "lineno": 3,
        "process": "import",
        "thread": 1,
        "level_number": 9,
    }
    row = event({"event": "m", **fields})

    assert row["attributes"] == fields
    assert (row["level"], row["levelno"]) == ("INFO", 20)
    assert "stacktrace" not in row


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-11-21T10:00:00.5Z", "2026-11-21T10:00:00.500000Z"),
        ("2026-11-21T10:00:00.5+02:00", "2026-11-21T08:00:00.500000Z"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        (1.5, "1970-01-01T00:00:01.500000Z"),
        (datetime(2026, 11, 21, 10, tzinfo=UTC), "2026-11-21T10:00:00Z"),
    ],
)
def test_timestamps(timestamp: Any, expected: str) -> None:
    """Seconds and ISO 8601 are read, in any zone."""
    row = event({"event": "m", "timestamp": timestamp})

    assert row["timestamp"] == expected
    assert "attributes" not in row


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("utc", [True, False])
@pytest.mark.parametrize("fmt", ["iso", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", None])
def test_time_stamper(
    zone: str, utc: bool, fmt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What structlog's `TimeStamper` writes is understood, wherever the machine stands."""
    if fmt is None and not utc:
        return
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        before = datetime.now(UTC)
        event_dict = dict(TimeStamper(fmt=fmt, utc=utc)(None, "info", {"event": "m"}))
        row = event(event_dict)
        after = datetime.now(UTC)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert before - timedelta(seconds=1) <= datetime.fromisoformat(row["timestamp"]) <= after
    assert "attributes" not in row


@pytest.mark.parametrize(
    "timestamp", ["10:00:01", "21.11.2026", "2026-11-21", None, math.nan, 1e30, True, [1], "x" * 99]
)
def test_time_that_cannot_be_read(timestamp: Any) -> None:
    """A time that cannot be read stays an attribute, and it is now."""
    before = datetime.now(UTC)
    row = event({"event": "m", "timestamp": timestamp})

    assert before <= datetime.fromisoformat(row["timestamp"]) <= datetime.now(UTC)
    assert "timestamp" in row["attributes"]


@pytest.mark.parametrize(
    ("event_dict", "message", "template", "attributes"),
    [
        ({"event": "a %s", "positional_args": ("b",)}, "a b", "a %s", None),
        ({"event": "%(x)s", "positional_args": ({"x": 1},)}, "1", "%(x)s", None),
        ({"event": "a %d", "positional_args": ("b",)}, "a %d", "a %d", {"args": ["b"]}),
        ({"event": "100%", "positional_args": ()}, "100%", "100%", None),
        ({}, "", None, None),
        ({"event": None}, "", None, None),
        ({"event": 0}, "0", "0", None),
        ({"message": "renamed"}, "renamed", "renamed", None),
        ({"event": "m", "message": "other"}, "m", "m", {"message": "other"}),
    ],
)
def test_message_of_an_event(
    event_dict: Any, message: str, template: str | None, attributes: Any
) -> None:
    """Arguments are put in as `logging` does it; those that do not fit are kept."""
    row = event(event_dict)

    assert (row["message"], row.get("template")) == (message, template)
    assert row.get("attributes") == attributes


@pytest.mark.parametrize(
    ("logger", "told", "expected", "attributes"),
    [
        ("named", None, "named", None),
        ("named", "named", "named", None),
        ("named", "another", "named", {"logger": "another"}),
        (None, None, "", None),
        (None, "told", "told", None),
        (5, None, "", None),
        (5, 5, "", {"logger": 5}),
    ],
)
def test_name_of_the_logger(logger: Any, told: Any, expected: str, attributes: Any) -> None:
    """The logger is the one that structlog wraps; if that has no name, what the event says."""
    event_dict = {"event": "m"} | ({} if told is None else {"logger": told})
    row = event(event_dict, logger=SimpleNamespace(name=logger))

    assert (row["logger"], row.get("attributes")) == (expected, attributes)


class Structured:
    """A structlog logger over a logger of `logging`, with one way from one to the other."""

    def __init__(self, logger: logging.Logger, handler: Capture) -> None:
        self.logger = logger
        self.handler = handler
        self.rows: list[dict[str, Any]] = []

    def process(self, logger: Any, method: str, event_dict: Any) -> Any:
        """Be a processor, as `BatchProcessor` is."""
        self.rows.append(event_row(logger, method, event_dict))
        raise structlog.DropEvent

    def make(self, *processors: Any) -> Any:
        """Wrap the logger in a chain of processors that begins as usual."""
        return structlog.wrap_logger(
            self.logger,
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.processors.StackInfoRenderer(),
                TimeStamper(fmt="iso"),
                *processors,
            ],
        )

    def pop_rows(self) -> list[dict[str, Any]]:
        """Return the rows since the last call, and forget them."""
        found = [*self.rows, *map(read, self.handler.lines)]
        self.rows.clear()
        self.handler.lines.clear()
        return found


def event_row(logger: Any, method: str, event_dict: Any) -> dict[str, Any]:
    """Make the row of an event that a chain of processors hands on."""
    return read(ENCODER.event_dict(logger, method, event_dict)[1])


@pytest.fixture
def structured() -> Iterator[Structured]:
    """A logger made by structlog's factory, as its users have it."""
    before = logging.getLoggerClass()
    logger = structlog.stdlib.LoggerFactory()("logbatch-test.structured")
    handler = Capture(ENCODER)
    logger.addHandler(handler)
    logger.setLevel(1)
    logger.propagate = False
    yield Structured(logger, handler)
    logger.removeHandler(handler)
    logging.setLoggerClass(before)
    structlog.reset_defaults()


CALLSITE = CallsiteParameterAdder(
    {
        CallsiteParameter.PATHNAME,
        CallsiteParameter.LINENO,
        CallsiteParameter.FUNC_NAME,
        CallsiteParameter.THREAD,
        CallsiteParameter.THREAD_NAME,
        CallsiteParameter.PROCESS,
    }
)
DICTS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
POSITIONAL = structlog.stdlib.PositionalArgumentsFormatter()
WAYS: dict[str, tuple[Any, ...]] = {
    "processor": (),
    "format_exc_info": (structlog.processors.format_exc_info,),
    "dict_tracebacks": (DICTS,),
    "callsite": (CALLSITE,),
    "level number": (structlog.stdlib.add_log_level_number,),
    "wrap_for_formatter": (ProcessorFormatter.wrap_for_formatter,),
    "render_to_log_args_and_kwargs": (structlog.stdlib.render_to_log_args_and_kwargs,),
    "render_to_log_kwargs": (POSITIONAL, structlog.stdlib.render_to_log_kwargs),
    "rendered before": (
        structlog.processors.format_exc_info,
        POSITIONAL,
        structlog.stdlib.render_to_log_kwargs,
    ),
}


class TestSameRow:
    """`logging` and structlog give the same row for the same call."""

    @pytest.mark.parametrize("way", WAYS)
    def test_same_row(self, structured: Structured, way: str) -> None:
        """Each way from structlog to us comes to the row of the plain logging call."""
        ends = way.startswith(("wrap", "render"))
        chain = WAYS[way] if ends else (*WAYS[way], structured.process)

        with bound_contextvars(request="r1"):
            self.call(structured.logger, as_extra=True)
            expected = structured.pop_rows()
            self.call(structured.make(*chain), as_extra=False)
            found = structured.pop_rows()

        assert len(found) == len(expected)
        for row, wanted in zip(found, expected, strict=True):
            self.assert_same(row, wanted, has_template=POSITIONAL not in chain)

    @staticmethod
    def assert_same(row: dict[str, Any], wanted: dict[str, Any], *, has_template: bool) -> None:
        """Compare two rows but for what cannot be the same."""
        times = [datetime.fromisoformat(each.pop("timestamp")) for each in (row, wanted)]
        assert abs(times[0] - times[1]) < timedelta(seconds=5)
        if not has_template:
            assert row.pop("template") == row["message"]
            del wanted["template"]
        if wanted["message"] == "with stack":
            for each in (row, wanted):
                assert each.pop("stacktrace").startswith("Stack (most recent call last):\n")
        assert row == wanted

    @staticmethod
    def call(logger: Any, *, as_extra: bool) -> None:
        """Log a bit of everything, each line of it by either library."""

        def given(**fields: Any) -> dict[str, Any]:
            return {"extra": fields} if as_extra else fields

        logger.info("hello", **given(user=1, tags=["a"], odd={1}))
        logger.warning("a %s of %d", "b", 2, **given(user=1))
        logger.debug("debug")
        logger.critical("with stack", stack_info=True)
        try:
            _ = 1 / 0
        except ZeroDivisionError as error:
            logger.exception("failed", **given(user=1))
            logger.error("failed again", exc_info=error)
            logger.error("and again", exc_info=True)

    def test_within_processor_formatter(self, structured: Structured) -> None:
        """Among the processors of a `ProcessorFormatter`, foreign records are understood."""

        def keep(logger: Any, method: str, event_dict: Any) -> Any:
            structured.rows.append(event_row(logger, method, event_dict))
            return event_dict

        formatter = ProcessorFormatter(
            processors=[keep, ProcessorFormatter.remove_processors_meta, str_renderer],
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                CALLSITE,
                TimeStamper(fmt="iso"),
            ],
        )
        stream = logging.StreamHandler(io.StringIO())
        stream.setFormatter(formatter)
        structured.logger.addHandler(stream)
        try:
            self.call(structured.logger, as_extra=True)
        finally:
            structured.logger.removeHandler(stream)
        half = len(structured.rows)
        rows = structured.pop_rows()

        for row, wanted in zip(rows[:half], rows[half:], strict=True):
            self.assert_same(row, wanted, has_template=True)


def str_renderer(logger: Any, method: str, event_dict: Any) -> str:
    """Render an event as anything."""
    return repr(sorted(event_dict))


class TestCaller:
    """Events of structlog know where they came from."""

    def test_place(self, structured: Structured) -> None:
        """Path, line and function are those of the call, whatever chain it went through."""
        for chain in ((structured.process,), (CALLSITE, structured.process)):
            structured.make(*chain).info("m")
            row = structured.pop_rows()[0]

            assert (row["pathname"], row["func_name"]) == (__file__, "test_place")
            assert "attributes" not in row

    def test_stacklevel(self, structured: Structured) -> None:
        """`stacklevel` means what it means in `logging`."""

        def helper() -> None:
            structured.make(structured.process).info("m", stacklevel=2)

        helper()
        row = structured.pop_rows()[0]

        assert row["func_name"] == "test_stacklevel"
        assert "attributes" not in row

    def test_callsite_told_to_skip(self, structured: Structured) -> None:
        """A place that was found by leaving out more frames is believed, if it is on the stack."""
        frame = sys._getframe()
        assert frame.f_back is not None
        told = {"func_name": frame.f_back.f_code.co_name, "lineno": frame.f_back.f_lineno}

        structured.make(structured.process).info("m", **told)
        row = structured.pop_rows()[0]

        assert {key: row[key] for key in told} == told
        assert row["pathname"] == frame.f_back.f_code.co_filename
        assert "attributes" not in row

    def test_async_methods(self, structured: Structured) -> None:
        """`ainfo` logs in another thread; the row tells of the one that awaits it."""

        async def main() -> None:
            await structured.make(structured.process).ainfo("m", a=1)

        asyncio.run(main())
        row = structured.pop_rows()[0]

        assert row["func_name"] == "main"
        assert row["attributes"] == {"a": 1}
        if hasattr(structlog.contextvars, "_ASYNC_CALLING_THREAD"):  # structlog 26 and newer
            assert row["thread"] == threading.get_ident()


class TestBound:
    """Bound values reach structlog's rows in structlog's own way."""

    def test_not_merged(self, structured: Structured) -> None:
        """A chain that does not merge them gets them all the same."""
        structlog.configure(processors=[structured.process])
        with bound_contextvars(request="r1", user=1):
            structlog.get_logger().info("m", user=2)

        assert structured.pop_rows()[0]["attributes"] == {"request": "r1", "user": 2}

    def test_merged_and_taken_away(self, structured: Structured) -> None:
        """What a chain has merged and taken away again, such as a secret, stays away."""

        def redact(logger: Any, method: str, event_dict: Any) -> Any:
            event_dict.pop("token")
            return event_dict

        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, redact, structured.process]
        )
        with bound_contextvars(token="secret"):
            structlog.get_logger().info("m", user=2)

        assert structured.pop_rows()[0]["attributes"] == {"user": 2}


def test_locals_are_kept() -> None:
    """What `dict_tracebacks` has collected of local variables stays among the attributes."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        event_dict: Any = structlog.processors.dict_tracebacks(None, "error", {"exc_info": True})
        row = event({"event": "m", **event_dict}, "error")

    assert row["stacktrace"].endswith("ZeroDivisionError: division by zero")
    assert "locals" in row["attributes"]["exception"][0]["frames"][0]
