"""`BatchProcessor` in structlog's chains, alone and together with `BatchHandler`."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

import logbatch
from logbatch.testing import CapturingTransport


@pytest.fixture
def processor(transport: CapturingTransport) -> Iterator[logbatch.BatchProcessor]:
    """A processor that sends when it is flushed."""
    with logbatch.BatchProcessor(transport, flush_interval=3600) as processor:
        yield processor


def silent(**options: Any) -> Any:
    """Wrap a logger that returns what it is given."""
    return structlog.wrap_logger(structlog.ReturnLogger(), **options)


def test_an_event_is_taken_and_goes_on_unchanged(
    processor: logbatch.BatchProcessor, transport: CapturingTransport
) -> None:
    """The chain sees the same event_dict, and the event arrives with its fields."""
    passed = []

    def after(logger: object, name: str, event_dict: EventDict) -> EventDict:
        passed.append(dict(event_dict))
        return event_dict

    log = silent(processors=[processor, after, structlog.processors.JSONRenderer()])
    log.warning("hello", user_id=42)
    assert processor.flush()
    (event,) = transport.events
    assert [{"event": "hello", "user_id": 42}] == passed
    assert ("hello", "WARNING", 30) == (event["message"], event["level"], event["levelno"])
    assert {"user_id": 42} == event["attributes"]


def test_final_ends_the_chain(transport: CapturingTransport) -> None:
    """With `final=True` nothing after it runs and nothing is printed."""
    with logbatch.BatchProcessor(transport, final=True) as processor:
        log = silent(processors=[processor, lambda *_: pytest.fail("the chain went on")])
        log.info("hello")
    assert ["hello"] == transport.messages


def test_processor_and_handler_on_one_way_take_an_event_once(transport: CapturingTransport) -> None:
    """Where the chain ends in a logger with a handler for the same place, it is taken once."""
    handler = logbatch.BatchHandler(transport, flush_interval=3600)
    target = logging.getLogger("one.way")
    target.addHandler(handler)
    target.setLevel(logging.DEBUG)
    target.propagate = False
    try:
        with logbatch.BatchProcessor(transport, flush_interval=3600) as processor:
            log = structlog.wrap_logger(
                target, processors=[processor, structlog.processors.JSONRenderer()]
            )
            log.info("by structlog", user_id=1)
            target.info("by logging")
            bare = structlog.wrap_logger(target, processors=[structlog.processors.JSONRenderer()])
            bare.info("without the processor")
    finally:
        handler.close()
        target.removeHandler(handler)
    messages = sorted(transport.messages)
    assert ["by logging", "by structlog", '{"event": "without the processor"}'] == sorted(
        messages, key=lambda m: m.startswith("{")
    )


def test_processor_and_handler_for_two_places_both_take_it(transport: CapturingTransport) -> None:
    """Two destinations each get the event."""
    other = CapturingTransport()
    handler = logbatch.BatchHandler(other)
    target = logging.getLogger("two.ways")
    target.addHandler(handler)
    target.propagate = False
    try:
        with logbatch.BatchProcessor(transport) as processor:
            structlog.wrap_logger(
                target, processors=[processor, structlog.processors.JSONRenderer()]
            ).warning("hello")
    finally:
        handler.close()
        target.removeHandler(handler)
    assert 1 == len(transport.messages)
    assert 1 == len(other.messages)


@pytest.fixture
def _configured() -> Iterator[None]:
    """Give structlog its own configuration back at the end."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_configured")
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    "factory", [None, structlog.PrintLoggerFactory, structlog.WriteLoggerFactory]
)
def test_the_name_of_a_logger_is_kept(
    factory: Any, cached: bool, transport: CapturingTransport, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where structlog itself prints, which has no use for it; nothing else is printed."""
    log = structlog.get_logger("my.mod")  # before anything is configured
    with logbatch.BatchProcessor(transport) as processor:
        structlog.configure(
            processors=[processor, structlog.processors.JSONRenderer()],
            logger_factory=None if factory is None else factory(),
            cache_logger_on_first_use=cached,
        )
        log.info("one")
        log.bind(user=1).info("two")
        structlog.get_logger().info("three")
        structlog.get_logger(7).info("four")
        structlog.get_logger("another").info("five")
    expected = ["my.mod", "my.mod", "", "", "another"]
    assert expected == [event["logger"] for event in transport.events]
    assert '{"event": "one"}' == capsys.readouterr().out.splitlines()[0]


def test_a_processor_is_closed_when_the_process_ends(tmp_path: Path) -> None:
    """Nobody has to close a processor."""
    import subprocess
    import sys

    code = f"""
import structlog, logbatch
structlog.configure(processors=[
    logbatch.BatchProcessor("parquet:{tmp_path / "logs"}", final=True, flush_interval=3600)
])
structlog.get_logger().info("hello", n=1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert ["hello"] == logbatch.Dataset(tmp_path / "logs").to_table()["message"].to_pylist()
    assert ["reports"] == [path.name for path in (tmp_path / "logs" / ".journal").iterdir()]
