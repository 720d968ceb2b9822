"""Whatever is logged, by `logging` or structlog, becomes one line with the columns of DESIGN 6."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import enum
import gc
import io
import json
import logging
import logging.handlers
import math
import os
import pickle
import queue
import random
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace import cpu_seconds
from rows import Capture, Raising, Unequal, make_json_values, read
from structlog.contextvars import bound_contextvars

from logbatch.events.event import LineEncoder
from logbatch.events.fast_path import FastPath
from logbatch.events.origins import Origins
from logbatch.events.shapes import shape_of

STANDARD = tuple(logging.makeLogRecord({}).__dict__)

ENCODER = LineEncoder(service="app", host="here")

json_values = make_json_values(max_leaves=10)
names = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda name: name not in {*STANDARD, "message", "asctime", "taskName"}
)


anything = (
    json_values
    | st.floats()
    | st.text()
    | st.binary()
    | st.tuples(st.integers(), st.text())
    | st.builds(Raising)
    | st.builds(Unequal)
    | st.sampled_from(["", "x" * 100_000, 1 << 40, 1 << 70, -1, "12", ..., int, ValueError("x")])
)


class Setup(SimpleNamespace):
    """A logger, and the handler that captures what it logs."""

    logger: logging.Logger
    handler: Capture

    @property
    def row(self) -> dict[str, Any]:
        return self.handler.row


def make_setup(encoder: LineEncoder = ENCODER) -> Setup:
    """Make a logger that nobody else knows."""
    logger = logging.Logger("app.web")
    handler = Capture(encoder)
    logger.addHandler(handler)
    return Setup(logger=logger, handler=handler)


@pytest.fixture
def setup() -> Setup:
    """A logger whose records are captured."""
    return make_setup()


def make_record(**fields: Any) -> logging.LogRecord:
    """Make a record of an ordinary call, in which some fields are different."""
    record = logging.LogRecord("app.web", 20, "/app/web.py", 7, "a %s", ("b",), None, "view")
    record.__dict__.update(fields)
    return record


# ------------------------------------------------------------------ an ordinary record


def test_a_record(setup: Setup) -> None:
    """Every column that a record tells of is there, in its order, and nothing else."""
    before = datetime.now(UTC)
    setup.logger.info("%s took %.1f ms", "GET", 1.5, extra={"user": 1, "tags": ["a", None]})
    row = setup.row
    number = sys._getframe().f_lineno - 2

    assert before <= datetime.fromisoformat(row.pop("timestamp")) <= datetime.now(UTC)
    assert row == {
        "level": "INFO",
        "levelno": 20,
        "logger": "app.web",
        "message": "GET took 1.5 ms",
        "template": "%s took %.1f ms",
        "pathname": __file__,
        "lineno": number,
        "func_name": "test_a_record",
        "process": os.getpid(),
        "thread": threading.get_ident(),
        "thread_name": threading.current_thread().name,
        "service": "app",
        "host": "here",
        "attributes": {"user": 1, "tags": ["a", None]},
    }


@pytest.mark.parametrize(
    ("args", "message", "template"),
    [
        (("plain",), "plain", "plain"),
        (("100%",), "100%", "100%"),
        (("%s %s", 1, None), "1 None", "%s %s"),
        (("%(a)s", {"a": 1}), "1", "%(a)s"),
        (("%s", {}), "{}", "%s"),
        (("%s", [1, {"a"}]), "[1, {'a'}]", "%s"),
        (("%.2f %s", math.nan, True), "nan True", "%.2f %s"),
        (("",), "", None),
        ((["a"],), "['a']", "['a']"),
        (({"event": 1},), "{'event': 1}", "{'event': 1}"),
        ((None,), "None", "None"),
        ((ValueError("x"),), "x", "x"),
        ((b"x",), "b'x'", "b'x'"),
        (("a\0b\ud800",), "a\0b\\ud800", "a\0b\\ud800"),
        (("%s", "\ud800"), "\\ud800", "%s"),
    ],
)
def test_messages(setup: Setup, args: Any, message: str, template: str | None) -> None:
    """The message is what `logging` makes of it, and the template is what it is made of."""
    setup.logger.info(*args)

    assert (setup.row["message"], setup.row.get("template")) == (message, template)


@given(st.dictionaries(names, json_values, max_size=6))
def test_extra_round_trips(extra: dict[str, Any]) -> None:
    """Any JSON in `extra` comes back exactly, whatever its names are."""
    if any(len(json.dumps(name)) > 1000 for name in extra):
        return
    row = read(ENCODER.record(make_record(**extra)))

    assert row.get("attributes", {}) == extra


@given(st.dictionaries(names | st.text(), anything, max_size=6))
def test_any_extra_makes_a_row(extra: dict[str, Any]) -> None:
    """Anything at all in `extra` makes a row, and no attribute replaces a column."""
    fields = {name: value for name, value in extra.items() if name not in STANDARD}
    row = read(ENCODER.record(make_record(**fields)))

    assert row["message"] == "a b"
    assert row["logger"] == "app.web"


@given(st.dictionaries(st.sampled_from([*STANDARD, "message", "taskName"]), anything))
def test_any_record_makes_a_row(fields: dict[str, Any]) -> None:
    """Whatever the fields of a record hold, each column has its type."""
    read(LineEncoder(complain=lambda record: None).record(make_record(**fields)))


@given(
    st.dictionaries(names, anything, max_size=4),
    st.lists(anything, max_size=3),
    st.sampled_from([None, "Task-1", ""]),
    st.sampled_from([None, 5]),
)
def test_the_fast_path_comes_to_the_same(
    extra: dict[str, Any], args: list[Any], task: str | None, process: int | None
) -> None:
    """Whether a record is an ordinary one cannot be seen from its line."""
    message = " ".join("%s" for _ in args) or "plain"
    record = make_record(msg=message, args=tuple(args), process=process, taskName=task, **extra)
    encoder = LineEncoder(service="s", host="h", complain=lambda record: None)

    assert encoder.record(record) == carefully(encoder, record)


class Other(logging.LogRecord):
    """A record of a subclass."""


def carefully(encoder: LineEncoder, record: logging.LogRecord) -> bytes:
    """Encode a record by the way of all that is not ordinary, as a record of a subclass is."""
    other = Other.__new__(Other)
    other.__dict__.update(record.__dict__)
    return encoder.record(other)


def no_other_way(record: logging.LogRecord) -> bytes:
    """Fail: every record is expected to go the fast path."""
    raise AssertionError(record)


def test_ever_new_names_are_stored() -> None:
    """Extra fields that are named anew in each call come out like all others."""
    fast = FastPath(Origins("app", "here"), 1 << 20, no_other_way)
    before = shape_of.cache_info().misses

    for number in range(100):
        record = make_record(**{f"name_{number}": number, "same": 1.5})
        assert fast.record(record) == carefully(ENCODER, record)
    assert before == shape_of.cache_info().misses


def test_the_fast_path_is_taken() -> None:
    """On this version of Python no ordinary record needs the careful way."""
    formatted = make_record(a=1)
    logging.Formatter("%(asctime)s %(message)s").format(formatted)
    nameless = dict.fromkeys(("thread", "threadName", "process", "funcName", "processName"))
    records = [
        make_record(),
        make_record(a=1),
        make_record(a=1, b=[{"c": 1.5}], c=b"", d=math.nan, e=datetime.now()),
        make_record(msg="plain", args=()),
        make_record(msg="%s %s", args=(1, [2.5])),
        make_record(process=None),
        make_record(process=None, thread=None),
        make_record(**nameless | {"thread": 5}),
        formatted,
    ]
    fast = FastPath(Origins("app", "here"), 1 << 20, no_other_way)

    for record in records:
        assert fast.record(record) == carefully(ENCODER, record)
    with bound_contextvars(request="r1", odd={1}):
        assert read(fast.record(make_record()))["attributes"] == {"request": "r1", "odd": [1]}


def test_other_names_at_one_place() -> None:
    """A place that logs other fields each time, as a wrapper does, loses none of them."""
    generator = random.Random(1)
    for number in range(200):
        extra = {f"{generator.choice('abc')}{index}": number for index in range(number % 5)}

        assert read(ENCODER.record(make_record(**extra))).get("attributes", {}) == extra


def test_more_places_than_are_remembered() -> None:
    """An application with any number of places and threads is served."""
    encoder = LineEncoder()
    for number in range(10_000):
        row = read(encoder.record(make_record(lineno=number + 1, thread=number)))

        assert (row["lineno"], row["thread"]) == (number + 1, number)


# ------------------------------------------------------------------ what else may be on a record


@pytest.mark.parametrize("name", ["level", "host", "logger", "timestamp", "service", "exception"])
def test_extra_with_the_name_of_a_column(setup: Setup, name: str) -> None:
    """A field of the application stays an attribute, also where a column has its name."""
    setup.logger.info("m", extra={name: "mine", "other": 1})

    assert setup.row["attributes"] == {name: "mine", "other": 1}
    assert setup.row.get(name) != "mine"


def test_what_other_handlers_leave_behind(setup: Setup) -> None:
    """`message`, `asctime` and `exc_text`, which formatters write to a record, are no fields."""
    first = logging.StreamHandler(io.StringIO())
    first.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    setup.logger.handlers.insert(0, first)
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        setup.logger.exception("m %s", 1, extra={"a": 1})
        expected = "".join(traceback.format_exception(error)).removesuffix("\n")

    assert setup.row["attributes"] == {"a": 1}
    assert setup.row["stacktrace"] == expected
    setup.logger.info("m %s", 1)
    assert "attributes" not in setup.row


def _add_late(record: logging.LogRecord) -> bool:
    record.late = 2
    return True


def test_a_field_that_is_added_behind_a_formatters(setup: Setup) -> None:
    """What a handler's filter adds once another handler has formatted is read by its name."""
    first = logging.StreamHandler(io.StringIO())
    first.setFormatter(logging.Formatter("%(message)s"))
    setup.logger.handlers.insert(0, first)
    setup.handler.addFilter(_add_late)
    for _ in range(4):
        setup.logger.info("m %s", 1, extra={"early": 1})

        assert setup.row["attributes"] == {"early": 1, "late": 2}


@pytest.mark.parametrize("logger", ["uvicorn", "uvicorn.error"])
def test_the_message_in_colours(logger: str) -> None:
    """What uvicorn hands to its own formatter is no field, by whatever way its record comes."""
    record = make_record(name=logger, msg="at %s", args=("8000",), color_message="\x1b[1m8000", n=1)
    added = {"event": "at 8000", "_record": record, "color_message": "\x1b[1m8000", "n": 1}

    for line in (ENCODER.record(record), ENCODER.event_dict(None, "info", added)[1]):
        assert read(line)["attributes"] == {"n": 1}


def test_a_field_of_that_name() -> None:
    """One of the application stays."""
    record = make_record(name="uvicorns", color_message="red")

    assert read(ENCODER.record(record))["attributes"] == {"color_message": "red"}


def test_a_record_is_not_changed() -> None:
    """Other handlers see the record as it was."""
    for record in (
        make_record(a=[1], b={2}),
        make_record(exc_info=(ValueError, ValueError(), None)),
    ):
        before = dict(record.__dict__)
        ENCODER.record(record)

        assert list(record.__dict__) == list(before)
        assert all(record.__dict__[name] is value for name, value in before.items())


def test_a_record_of_nothing() -> None:
    """`makeLogRecord({})` makes a row."""
    row = read(ENCODER.record(logging.makeLogRecord({})))

    assert (row["level"], row["levelno"], row["logger"], row["message"]) == ("NOTSET", 0, "", "")
    assert "lineno" not in row


def test_a_record_that_has_been_json() -> None:
    """A record that came over a socket is read, although its numbers are texts."""
    fields = {"name": "far", "levelname": "ERROR", "lineno": "7", "pathname": "x.py", "msg": "m"}
    row = read(ENCODER.record(logging.makeLogRecord(fields | {"levelno": None, "thread": "a"})))

    assert (row["logger"], row["level"], row["levelno"], row["lineno"]) == ("far", "ERROR", 40, 7)
    assert "thread" not in row


def test_a_record_with_less() -> None:
    """A filter may take away from a record, and add to it, in any order."""
    record = make_record(a=1)
    del record.msecs, record.relativeCreated, record.thread
    record.b = 2
    record.msecs = 3.0

    row = read(ENCODER.record(record))

    assert row["attributes"] == {"a": 1, "b": 2}
    assert "thread" not in row


def test_a_record_without_anything() -> None:
    """A record whose fields are all gone is still an occurrence."""
    record = make_record()
    record.__dict__.clear()

    assert read(ENCODER.record(record))["level"] == "NOTSET"


def test_fields_set_first() -> None:
    """A subclass may set fields of its own before the standard ones."""

    class Own(logging.LogRecord):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.request = "r1"
            super().__init__(*args, **kwargs)

    row = read(ENCODER.record(Own("n", 20, "p", 1, "m", (), None)))

    assert row["attributes"] == {"request": "r1"}


def test_message_of_its_own() -> None:
    """A record that makes its message in another style is asked for it."""

    class Brace(logging.LogRecord):
        def getMessage(self) -> str:
            return str(self.msg).format(*self.args)  # type: ignore[misc]

    row = read(ENCODER.record(Brace("n", 20, "p", 1, "{} and {}", (1, 2), None)))

    assert (row["message"], row["template"]) == ("1 and 2", "{} and {}")


def test_property_that_fails() -> None:
    """A property of a subclass that fails leaves its column out."""

    class Broken(logging.LogRecord):
        @property
        def threadName(self) -> Any:
            raise ValueError

        @threadName.setter
        def threadName(self, value: Any) -> None:
            pass

    row = read(ENCODER.record(Broken("n", 20, "p", 1, "m", (), None)))

    assert "thread_name" not in row
    assert row["message"] == "m"


class Own(enum.IntEnum):
    NOTICE = 25


@pytest.mark.parametrize(
    ("level", "name", "number"),
    [
        (Own.NOTICE, "Level 25", 25),
        (15, "Level 15", 15),
        (-5, "Level -5", -5),
        (1 << 40, f"Level {1 << 40}", (1 << 31) - 1),
    ],
)
def test_levels(level: int, name: str, number: int) -> None:
    """Levels are what `logging` makes of them: unnamed, members of an enum, out of range."""
    row = read(ENCODER.record(logging.LogRecord("n", level, "p", 1, "m", (), None)))

    assert (row["level"], row["levelno"]) == (name.replace("25", str(level)), number)


@pytest.mark.parametrize("created", [None, "x", math.nan, math.inf, 1e30, -1e30, [], "1"])
def test_time_that_is_none(created: Any) -> None:
    """A record without a time that makes sense is of now."""
    before = datetime.now(UTC)
    row = read(ENCODER.record(make_record(created=created)))

    assert before <= datetime.fromisoformat(row["timestamp"]) <= datetime.now(UTC)


# ------------------------------------------------------------------ arguments that do not fit


@pytest.mark.parametrize(
    ("message", "args", "kept"),
    [
        ("%s %s", (1,), [1]),
        ("%d", ("a",), ["a"]),
        ("none", (1,), [1]),
        ("%(a)s", {"b": {1}}, {"b": [1]}),
        ("%", (1,), [1]),
        ("%s", (Raising(),), ["<rows.Raising: ValueError while it was read>"]),
        ("%d", (1 << 20_000,), None),
    ],
)
def test_wrong_arguments(message: str, args: Any, kept: Any) -> None:
    """The raw message and the arguments are kept, and the handler is told, while it is handled."""
    told = []
    encoder = LineEncoder(complain=lambda record: told.append((record, sys.exception())))
    record = make_record(msg=message, args=args)
    row = read(encoder.record(record))

    assert (row["message"], row["template"]) == (message, message)
    assert kept is None or row["attributes"] == {"args": kept}
    assert told[0][0] is record
    assert told[0][1] is not None


def test_complaint(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    """The complaint is the standard library's, on stderr."""
    setup.logger.info("%d", "a")

    printed = capsys.readouterr().err
    assert printed.startswith("--- Logging error ---\nTraceback (most recent call last):")
    assert "Message: '%d'\nArguments: ('a',)" in printed


def test_complaint_is_switched_off(
    setup: Setup, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `logging.raiseExceptions` is false nobody complains."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    setup.logger.info("%d", "a")

    assert capsys.readouterr().err == ""
    assert setup.row["message"] == "%d"


def test_complaint_that_fails() -> None:
    """What goes wrong in the complaint does not reach the application."""
    encoder = LineEncoder(complain=lambda record: 1 / 0)

    assert read(encoder.record(make_record(msg="%d")))["message"] == "%d"


# ------------------------------------------------------------------ exceptions


def test_exception(setup: Setup) -> None:
    """An exception has three columns, and `stack_info` stands after its stack trace."""
    try:
        raise KeyError("k")
    except KeyError as error:
        setup.logger.exception("m", stack_info=True)
        expected = "".join(traceback.format_exception(error))

    row = setup.row
    assert (row["exception_type"], row["exception_message"]) == ("KeyError", "'k'")
    assert row["stacktrace"].startswith(f"{expected}Stack (most recent call last):\n")


def test_stack_info_alone(setup: Setup) -> None:
    """Without an exception the stack trace is what `stack_info` says."""
    setup.logger.info("m", stack_info=True)

    assert setup.row["stacktrace"].startswith("Stack (most recent call last):\n")
    assert setup.row["stacktrace"].endswith('setup.logger.info("m", stack_info=True)')


@pytest.mark.parametrize("exc_info", [True, (None, None, None), None, (), "x", (1, 2)])
def test_no_exception(exc_info: Any) -> None:
    """`exc_info` that stands for none makes no column."""
    row = read(ENCODER.record(make_record(exc_info=exc_info)))

    assert not {"exception_type", "exception_message", "stacktrace"} & row.keys()


@pytest.mark.parametrize("exc_info", [ValueError("x"), (None, ValueError("x"), None)])
def test_exception_given_otherwise(exc_info: Any) -> None:
    """`exc_info` may be set on a record in any of its forms."""
    assert read(ENCODER.record(make_record(exc_info=exc_info)))["stacktrace"] == "ValueError: x"


def test_exception_printed_before() -> None:
    """Where only a printed exception is left, its type and message are taken from the text."""
    row = read(ENCODER.record(make_record(exc_text="Traceback (most recent call last):\nA: b")))

    assert (row["exception_type"], row["exception_message"]) == ("A", "b")


class TestQueued:
    """A record that a QueueHandler has prepared is taken apart again."""

    @pytest.mark.parametrize("stack", [None, "Stack (most recent call last):\n  File x"])
    @pytest.mark.parametrize("fails", [False, True])
    def test_as_if_not_queued(self, stack: str | None, fails: bool) -> None:
        """Its row is that of the record before, but for the template."""
        error = _raised(ValueError("boom\nbang")) if fails else None
        record = make_record(
            exc_info=(ValueError, error, error.__traceback__) if error else None,
            stack_info=stack,
            a=1,
        )
        expected = read(ENCODER.record(record))
        prepared = logging.handlers.QueueHandler(queue.Queue()).prepare(copy.copy(record))
        carried = pickle.loads(pickle.dumps(prepared))

        del expected["template"]
        assert read(ENCODER.record(carried)) == expected


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


# ------------------------------------------------------------------ what surrounds the call


def test_bound_values(setup: Setup) -> None:
    """What structlog has bound is in the rows of `logging` too; an explicit field wins."""
    with bound_contextvars(request="r1", user=1, odd={1}):
        setup.logger.info("m", extra={"user": 2})
        assert setup.row["attributes"] == {"request": "r1", "user": 2, "odd": [1]}
        setup.logger.warning("m")
        assert setup.row["attributes"] == {"request": "r1", "user": 1, "odd": [1]}
    setup.logger.info("m")

    assert "attributes" not in setup.row


def test_bound_values_of_an_odd_record() -> None:
    """What is bound is there for every record, and its own fields win."""
    with bound_contextvars(request="r1", user=1):
        row = read(ENCODER.record(make_record(msg={}, args=(), user=2)))

    assert row["attributes"] == {"request": "r1", "user": 2}


def test_other_context_variables(setup: Setup) -> None:
    """Context variables of other libraries are none of our business."""
    variable = contextvars.ContextVar("other", default=1)
    token = variable.set(2)
    setup.logger.info("m", extra={"a": 1})
    variable.reset(token)

    assert setup.row["attributes"] == {"a": 1}


def test_task(setup: Setup) -> None:
    """The name of the asyncio task is a column."""

    async def work() -> None:
        setup.logger.info("m", extra={"a": 1})
        setup.logger.info(["odd"])

    async def main() -> None:
        await asyncio.create_task(work(), name="worker")

    asyncio.run(main())

    assert [read(line)["task"] for line in setup.handler.lines] == ["worker", "worker"]


def test_trace(setup: Setup) -> None:
    """The ids of an active OpenTelemetry span are columns."""
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)

    with trace.use_span(trace.NonRecordingSpan(context)):
        setup.logger.info("m")
        setup.logger.info(["odd"])
        _, line = ENCODER.event_dict(None, "info", {"event": "m"})
    setup.logger.info("outside")

    lines = [*setup.handler.lines[:2], line]
    assert [(row["trace_id"], row["span_id"]) for row in map(read, lines)] == [
        ("00000000000000000000000000000abc", "0000000000000def")
    ] * 3
    assert "trace_id" not in setup.row


def test_process_after_fork() -> None:
    """A forked child's rows have its own process id."""
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begin, ENCODER.record(make_record()))
        os.write(begin, ENCODER.event_dict(None, "info", {})[1])
        os._exit(0)
    os.close(begin)
    with os.fdopen(end, "rb") as pipe:
        rows = [read(line) for line in pipe]
    os.waitpid(child, 0)

    assert [row["process"] for row in rows] == [child, child]


def test_service_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Service and host are the environment's, the program's and the machine's, or those given."""
    monkeypatch.setattr(sys, "argv", ["/srv/shop.py", "serve"])
    row = read(LineEncoder().record(make_record()))
    assert row["service"] == "shop"
    assert row["host"]

    monkeypatch.setattr(sys, "argv", ["/site/shop/__main__.py"])
    assert read(LineEncoder().record(make_record()))["service"] == "shop"

    for argv in ([], [""], ["-c"], ["-m"]):
        monkeypatch.setattr(sys, "argv", argv)
        assert read(LineEncoder().record(make_record()))["service"] == "python"

    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    assert read(LineEncoder().record(make_record()))["service"] == "named"
    assert read(LineEncoder(service="mine").record(make_record()))["service"] == "mine"

    row = read(LineEncoder(service="", host="").record(make_record()))
    assert not {"service", "host"} & row.keys()


# ------------------------------------------------------------------ limits and hostility


def test_long_message(setup: Setup) -> None:
    """A message over the limit is cut, with a mark and its full length; so is a template."""
    setup.logger.info("é" * 5_000_000)

    row = setup.row
    assert row["message"].endswith("é…[cut: 5000000 characters in all]")
    assert row["template"].endswith("é…[cut: 5000000 characters in all]")
    assert len(row["message"].encode()) <= 1 << 20
    assert len(row["template"].encode()) <= 65_536


@pytest.mark.parametrize("value", ["x" * 50_000_000, [0] * 5_000_000, b"x" * 50_000_000])
def test_long_argument(setup: Setup, value: Any) -> None:
    """A huge argument is cut before it is put into the message; the rest of it is there."""
    setup.logger.info("before %s after", value)

    assert setup.row["message"].startswith("before ")
    assert " in all]" in setup.row["message"]
    assert setup.row["message"].endswith(" after")


def test_own_limit() -> None:
    """The limit holds for each value, and twice of it for all of them."""
    encoder = LineEncoder(max_value_bytes=1000)
    extra = {f"k{index}": "x" * 900 for index in range(5)}
    row = read(encoder.record(make_record(msg="m" * 2000, args=(), long="y" * 1001, **extra)))

    assert row["message"].endswith("m…[cut: 2000 characters in all]")
    assert row["attributes"]["long"].endswith("y…[cut: 1001 characters in all]")
    assert row["attributes"]["k0"] == "x" * 900
    assert row["attributes"]["…"] == "[cut: 6 items in all]"


@given(
    st.integers(256, 3000),
    st.dictionaries(names, anything, max_size=8),
    st.text() | st.just("\0" * 10_000),
)
def test_lines_are_bounded(limit: int, extra: dict[str, Any], message: str) -> None:
    """No line is longer than its limits allow."""
    encoder = LineEncoder(max_value_bytes=limit)
    error = ValueError("\0" * 10_000)
    record = make_record(msg=message, args=(), exc_info=error, threadName="t" * 9999, **extra)

    assert len(encoder.record(record)) < 3 * limit + 450_000


def test_long_names() -> None:
    """Short columns are cut when they are not short, and so are the names of attributes."""
    row = read(ENCODER.record(make_record(name="n" * 9000, funcName="f" * 9000, **{"k" * 9000: 1})))

    assert row["logger"].endswith("n…[cut: 9000 characters in all]")
    assert row["func_name"].endswith("f…[cut: 9000 characters in all]")
    assert next(iter(row["attributes"])).endswith("k…[cut: 9000 characters in all]")


def test_very_many_fields() -> None:
    """A million fields cost no more than any other pathological value."""
    record = make_record(**{f"k{index}": index for index in range(100_000)})

    assert read(ENCODER.record(record))["attributes"]["…"] == "[cut: 100000 items in all]"


PATHOLOGICAL: dict[str, Callable[[], logging.LogRecord]] = {
    "message": lambda: make_record(msg="x" * 100_000_000, args=()),
    "text argument": lambda: make_record(args=("x" * 100_000_000,)),
    "list argument": lambda: make_record(args=([0] * 10_000_000,)),
    "bytes argument": lambda: make_record(args=(b"x" * 100_000_000,)),
    "nested argument": lambda: make_record(args=([["x" * 1000] * 1000] * 1000,)),
    "dict of arguments": lambda: make_record(msg="%(a)s", args={"a": [0] * 10_000_000}),
    "message that is a list": lambda: make_record(msg=[0] * 10_000_000, args=()),
    "extra": lambda: make_record(x="x" * 100_000_000, y=[0] * 10_000_000),
    "odd extra": lambda: make_record(x=[{1}] * 1_000_000),
    "exception": lambda: make_record(exc_info=ValueError([0] * 10_000_000)),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_pathological_records_are_quick(name: str) -> None:
    """The worst of records costs the caller under 100 ms on a fast machine."""
    record = PATHOLOGICAL[name]()

    read(ENCODER.record(record))
    assert cpu_seconds(lambda: ENCODER.record(record)) < 0.1


def test_logging_within_logging(setup: Setup) -> None:
    """An object that logs when it is shown makes rows of its own, and disturbs none."""

    class Talking:
        def __repr__(self) -> str:
            setup.logger.info("inner %s", 1, extra={"a": {1}})
            return "talking"

    setup.logger.info("outer %s", Talking(), extra={"b": Talking()})

    rows = [read(line) for line in setup.handler.lines]
    assert {row["message"] for row in rows[:-1]} == {"inner 1"}
    assert rows[-1]["message"] == "outer talking"
    assert rows[-1]["attributes"] == {"b": "talking"}


def test_logging_itself(setup: Setup) -> None:
    """An object that logs itself when it is shown ends when the stack does."""

    class Endless:
        def __repr__(self) -> str:
            setup.logger.info("again", extra={"self": self})
            return "endless"

    setup.logger.info("once", extra={"self": Endless()})

    assert setup.row["attributes"] == {"self": "endless"}
    assert setup.row["message"] == "once"


def test_near_the_recursion_limit() -> None:
    """With hardly any stack left there is a row that says so, or RecursionError itself."""
    lines: list[bytes] = []
    record = make_record(msg={"odd"}, args=(), a={1}, exc_info=ValueError("x"))

    def descend() -> None:
        lines.append(ENCODER.record(record))
        lines.append(ENCODER.event_dict(None, "info", {"event": "m", "a": {1}})[1])
        descend()

    with pytest.raises(RecursionError):
        descend()

    assert all(json.loads(line)["levelno"] in (0, 20, 40) for line in lines)


def test_interrupt(setup: Setup) -> None:
    """A KeyboardInterrupt comes through, and the next record is none the worse."""

    class Interrupted:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    calls: list[Callable[[], None]] = [
        lambda: setup.logger.info("m", extra={"a": Interrupted()}),
        lambda: setup.logger.info("%s", Interrupted()),
        lambda: setup.logger.info(Interrupted()),
    ]
    for call in calls:
        with pytest.raises(KeyboardInterrupt):
            call()
    setup.logger.info("after")

    assert [read(line)["message"] for line in setup.handler.lines] == ["after"]


def test_many_threads() -> None:
    """Threads that share an encoder do not get in each other's way."""
    encoder = LineEncoder()
    lines: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        lines[number] = [
            encoder.record(
                make_record(args=(number,), lineno=index % 50 + 1, **{f"k{number}": {1}})
            )
            for index in range(200)
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(8):
        for row in map(read, lines[number]):
            assert row["message"] == f"a {number}"
            assert row["attributes"] == {f"k{number}": [1]}


def test_nothing_is_kept() -> None:
    """When the call returns, nothing refers to the record or to anything that came with it."""

    class Thing:
        pass

    def log() -> list[weakref.ref[Any]]:
        things = [Thing() for _ in range(4)]
        record = make_record(args=(things[0],), a=things[1], b=[things[2]])
        try:
            inner = things[3]
            raise ValueError(inner)
        except ValueError:
            record.exc_info = sys.exc_info()
            ENCODER.record(record)
            record.exc_info = None
            ENCODER.record(record)
            ENCODER.event_dict(None, "info", {"event": "m", "a": things[1], "exc_info": True})
        return [weakref.ref(thing) for thing in (record, *things)]

    gc.disable()
    try:
        assert [reference() for reference in log()] == [None] * 5
    finally:
        gc.enable()


def test_later_changes_are_not_seen() -> None:
    """A list that is changed after the call is in the line as it was."""
    value = [1]
    line = ENCODER.record(make_record(a=value))
    value.append(2)

    assert read(line)["attributes"] == {"a": [1]}


# ------------------------------------------------------------------ a text


def test_text() -> None:
    """A text that no logging call has made is an event too."""
    line = ENCODER.text("dropped 3", level=30, logger="logbatch", attributes={"n": 3, "d": {1}})
    row = read(line)

    assert (row["level"], row["levelno"], row["logger"]) == ("WARNING", 30, "logbatch")
    assert (row["message"], row["attributes"]) == ("dropped 3", {"n": 3, "d": [1]})
    assert row["process"] == os.getpid()
    assert not {"template", "pathname", "lineno"} & row.keys()


@pytest.mark.parametrize("text", ["", "a\0\ud800", "x" * 3_000_000])
def test_odd_texts(text: str) -> None:
    """A text may hold anything."""
    read(ENCODER.text(text, level=0, logger=""))


def test_program_without_structlog(tmp_path: Path) -> None:
    """Encoding loads none of the libraries that it asks about."""
    import subprocess

    program = tmp_path / "program.py"
    program.write_text(
        "import logging, sys\n"
        "from logbatch.events.event import LineEncoder\n"
        "encoder = LineEncoder()\n"
        "encoder.record(logging.makeLogRecord({'msg': {}, 'a': {1}, 'exc_info': ValueError()}))\n"
        "encoder.event_dict(None, 'info', {'event': 'm'})\n"
        "print(*{'structlog', 'asyncio', 'numpy', 'opentelemetry'} & set(sys.modules))\n"
    )
    source = str(Path(sys.modules["logbatch"].__file__ or "").parent.parent)
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
        check=True,
    )

    assert done.stdout.strip() == ""
