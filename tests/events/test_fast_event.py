"""The fast path of structlog makes the same lines as the careful one, and is really taken."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rows import make_values, read
from structlog.contextvars import bound_contextvars

from logbatch.events.event import LineEncoder
from logbatch.events.fast_event import FastEvents
from logbatch.events.origins import Origins

ENCODER = LineEncoder(service="app", host="here")
NOW = datetime(2026, 11, 27, 10, 15, 20, 810123, UTC)
STAMP = "2026-11-27T10:15:20.810123Z"

values = make_values(
    st.sampled_from(["x" * 70_000, 1 << 70, "\ud800", NOW, PurePosixPath("/a"), Decimal("1.50")])
)
stamps = st.sampled_from([STAMP, NOW.timestamp(), "2026-11-27 10:15:20.810123", 17, "x", NOW])
names = st.sampled_from(["event", "level", "logger", "message", "user", "ms", "process", "stack"])


class Both:
    """A processor that makes a line by the usual way, and by the careful one."""

    def __init__(self, encoder: LineEncoder = ENCODER) -> None:
        self.encoder = encoder

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        before = dict(event)
        self.fast = self.encoder.event_dict(logger, method, event)
        self.careful = self.encoder.event_dict(logger, method, {**event, "_from_structlog": False})
        assert before.keys() == event.keys()
        raise structlog.DropEvent


def logger_with(last: Any, **processors: Any) -> Any:
    """Return a logger of structlog whose chain ends in a processor."""
    return structlog.wrap_logger(
        processors.get("logger"), [last], structlog.make_filtering_bound_logger(0)
    )


@given(
    st.dictionaries(st.text(max_size=5) | names, values, max_size=6),
    stamps,
    st.sampled_from(["info", "debug", "warning", "error", "critical"]),
)
def test_both_ways_make_the_same_line(fields: dict[str, Any], stamp: Any, method: str) -> None:
    """Whatever an event holds, the line does not depend on the way it takes."""
    both = Both()
    fields.pop("event", None)
    for event in ("done", "", 5, "x" * 20_000):
        getattr(logger_with(both), method)(event, **fields, timestamp=stamp)

        read(both.fast[1])
        if stamp in ("x", 17):  # the line tells when it was made
            assert _without_time(both.careful) == _without_time(both.fast)
        else:
            assert both.careful == both.fast


def _without_time(made: tuple[int, bytes]) -> tuple[int, bytes]:
    return made[0], made[1][made[1].index(b',"level"') :]


class Named:
    """A logger that has a name."""

    def __init__(self, name: object) -> None:
        self.name = name


@pytest.mark.parametrize("name", ["shop", "", None, 7, "é" * 3000])
@pytest.mark.parametrize("told", [[], ["shop"], ["other"], [None], [5]])
def test_names_of_loggers(name: object, told: list[object]) -> None:
    """The name of the logger and what the event says of it are read alike."""
    both = Both()
    log = logger_with(both, logger=Named(name))
    log.info("m", timestamp=STAMP, **dict(zip(["logger"], told, strict=False)))

    assert both.careful == both.fast


@pytest.mark.parametrize("level", ["info", "warning", "INFO", "audit", "trace", 20, None])
def test_levels(level: object) -> None:
    """What an event says of its level is read alike."""
    both = Both()
    logger_with(both).info("m", timestamp=STAMP, level=level)

    assert both.careful == both.fast


def test_a_level_that_is_renamed() -> None:
    """A level that gets another name while the program runs has that name from then on."""
    both = Both()
    log = logger_with(both)
    for name in ("INFO", "Info", "INFO"):
        logging.addLevelName(logging.INFO, name)
        log.info("m", timestamp=STAMP)

        assert name == read(both.fast[1])["level"]
        assert both.careful == both.fast


def no_other_way(_logger: object, method: str, event: Mapping[str, Any]) -> tuple[int, bytes]:
    """Fail: every event is expected to go the fast way."""
    raise AssertionError((method, event))


def fast_processor() -> Any:
    """Return a processor that knows no careful way."""
    fast = FastEvents(Origins("app", "here"), 1 << 20, no_other_way)

    def process(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        process.line = fast.event_dict(logger, method, event)[1]  # type: ignore[attr-defined]
        raise structlog.DropEvent

    return process


def test_ordinary_events_go_the_fast_way() -> None:
    """What structlog's own processors make of a call needs no careful look."""
    last = fast_processor()
    chain = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
        last,
    ]
    log = structlog.wrap_logger(Named("shop"), chain, structlog.make_filtering_bound_logger(0))

    log.info("done", ms=12.5, ok=True, user=None, path=PurePosixPath("/a"), at=NOW, n=math.nan)
    row = read(last.line)
    assert ("shop", "INFO", "done") == (row["logger"], row["level"], row["message"])
    assert __file__ == row["pathname"]
    assert "test_ordinary_events_go_the_fast_way" == row["func_name"]
    assert "/a" == row["attributes"]["path"]

    with bound_contextvars(request="r1"):
        log.warning("bound")
    assert {"request": "r1"} == read(last.line)["attributes"]


@pytest.mark.parametrize("kind", [structlog.BytesLogger, structlog.PrintLogger])
def test_events_of_loggers_without_a_name_go_the_fast_way(kind: type) -> None:
    """Those that structlog has by itself."""
    last = fast_processor()
    logger_with(last, logger=kind()).info("done", timestamp=STAMP)

    assert "done" == read(last.line)["message"]


def test_an_asyncio_task_is_told() -> None:
    """The name of the task is in the line, by the fast way as well."""
    last = fast_processor()
    log = logger_with(last)

    async def work() -> None:
        log.info("in a task", timestamp=STAMP)

    async def main() -> None:
        await asyncio.create_task(work(), name="worker 7")

    asyncio.run(main())
    assert "worker 7" == read(last.line)["task"]


def test_an_awaited_call_is_told_where_it_was_awaited() -> None:
    """`ainfo` logs in another thread; the line tells of the one that awaits."""
    both = Both()
    log = logger_with(both)

    async def main() -> None:
        await log.ainfo("awaited", timestamp=STAMP)

    asyncio.run(main())
    row = read(both.fast[1])
    assert ("main", "MainThread") == (row["func_name"], row["thread_name"])
    assert both.careful == both.fast
