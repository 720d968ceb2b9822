"""`BatchHandler` keeps the standard library's meanings, and never hurts the application."""

import gc
import logging
import logging.config
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

import logbatch
from logbatch.testing import CapturingTransport
from logbatch.transports.base import Batch, Receipt


@pytest.fixture
def handler(transport: CapturingTransport) -> Iterator[logbatch.BatchHandler]:
    """A handler that sends when it is flushed."""
    with logbatch.BatchHandler(transport, flush_interval=3600, flush_level="never") as handler:
        yield handler


@pytest.fixture
def logger(handler: logbatch.BatchHandler) -> logging.Logger:
    """A logger of its own with that handler."""
    logger = logging.Logger("app.web", logging.DEBUG)
    logger.addHandler(handler)
    return logger


def test_a_record_arrives_with_its_fields(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """Message, template, level, logger, place and extra fields are stored."""
    logger.info("%s took %d ms", "GET", 12, extra={"user_id": 42})
    assert handler.flush()
    (event,) = transport.events
    assert "GET took 12 ms" == event["message"]
    assert "%s took %d ms" == event["template"]
    assert ("INFO", 20, "app.web") == (event["level"], event["levelno"], event["logger"])
    assert {"user_id": 42} == event["attributes"]
    assert __file__ == event["pathname"]
    assert "test_a_record_arrives_with_its_fields" == event["func_name"]


def test_the_level_of_the_handler_holds(transport: CapturingTransport) -> None:
    """Records below the handler's level are not taken."""
    with logbatch.BatchHandler(transport, level="WARNING") as handler:
        logger = logging.Logger("x")
        logger.addHandler(handler)
        logger.info("no")
        logger.warning("yes")
    assert ["yes"] == transport.messages


def test_filters_hold(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """A record that a filter refuses is not taken."""
    handler.addFilter(lambda record: record.getMessage() != "no")
    logger.info("no")
    logger.info("yes")
    handler.flush()
    assert ["yes"] == transport.messages


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters return records since Python 3.12")
def test_a_filter_may_return_another_record(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """A record that a filter returns instead is the one that is taken."""

    def other(record: logging.LogRecord) -> logging.LogRecord:
        changed = logging.makeLogRecord(record.__dict__)
        changed.msg = "changed"
        return changed

    handler.addFilter(other)  # type: ignore[arg-type,unused-ignore]  # as of Python 3.12
    logger.info("first")
    handler.flush()
    assert ["changed"] == transport.messages


def test_logging_disable_holds(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """`logging.disable` keeps records away."""
    logging.disable(logging.INFO)
    try:
        logging.getLogger("x").addHandler(handler)
        logging.getLogger("x").info("no")
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger("x").removeHandler(handler)
    handler.flush()
    assert [] == transport.messages


def test_a_formatter_does_not_change_what_is_stored(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """The stored message is the record's own, whatever formatter is set."""
    handler.setFormatter(logging.Formatter("PREFIX %(message)s"))
    logger.info("plain")
    handler.flush()
    assert ["plain"] == transport.messages


def test_a_record_factory_is_respected(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """What a record factory adds is among the attributes."""
    usual = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = usual(*args, **kwargs)
        record.request_id = "r1"
        return record

    logging.setLogRecordFactory(factory)
    try:
        logger.info("x")
    finally:
        logging.setLogRecordFactory(usual)
    handler.flush()
    assert {"request_id": "r1"} == transport.events[0]["attributes"]


def test_the_record_is_not_changed(logger: logging.Logger, handler: logbatch.BatchHandler) -> None:
    """Other handlers see the record as it was."""
    seen = []

    class After(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(dict(record.__dict__))

    before = []

    class Before(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            before.append(dict(record.__dict__))

    logger.handlers = [Before(), handler, After()]
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("%s", "boom", extra={"a": [1]})
    assert before == seen


def test_dict_config_with_ext_and_cfg_values(tmp_path: Path) -> None:
    """`ext://` and `cfg://` values, nested transports and options work in dictConfig."""
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": False,
            "disable_existing_loggers": False,
            "shared": {"transport": {"type": "parquet", "path": str(tmp_path / "logs")}},
            "handlers": {
                "batch": {
                    "class": "logbatch.BatchHandler",
                    "transport": "cfg://shared.transport",
                    "level": "INFO",
                    "flush_interval": 3600,
                    "on_error": "ext://builtins.print",
                    "columns": {"user_id": "int64"},
                }
            },
            "loggers": {"from.dict": {"handlers": ["batch"], "level": "INFO"}},
        }
    )
    logger = logging.getLogger("from.dict")
    logger.info("hello", extra={"user_id": 7})
    (handler,) = logger.handlers
    handler.close()
    logger.removeHandler(handler)
    table = logbatch.Dataset(tmp_path / "logs").to_table()
    assert ["hello"] == table["message"].to_pylist()
    assert [7] == table["user_id"].to_pylist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flush_intervall": 1}, ["flush_intervall", "did you mean 'flush_interval'"]),
        ({"flush_interval": -1}, ["flush_interval=-1", "from 0.01"]),
        ({"max_batch_size": 1.5}, ["max_batch_size=1.5", "whole number"]),
        ({"when_full": "drop"}, ["when_full='drop'", "'drop_newest'"]),
        ({"durability": "disk"}, ["durability='disk'", "'process'"]),
        ({"flush_level": "EROR"}, ["flush_level='EROR'", "did you mean 'ERROR'"]),
        ({"columns": {"user_id": "int46"}}, ["int46", "int64"]),
        ({"rotate_bytes": 1}, ["rotate_bytes"]),
    ],
)
def test_a_wrong_option_fails_when_the_handler_is_built(
    tmp_path: Path, options: dict[str, Any], words: list[str]
) -> None:
    """The error names the option, the value and the rule, with what was meant."""
    with pytest.raises(ValueError) as caught:
        logbatch.BatchHandler(f"parquet:{tmp_path}", **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_options_come_from_the_environment_and_a_keyword_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`LOGBATCH_<NAME>` sets an option, the transport too; a keyword is stronger."""
    monkeypatch.setenv("LOGBATCH_TRANSPORT", f"jsonl:{tmp_path / 'env'}")
    monkeypatch.setenv("LOGBATCH_MAX_BATCH_SIZE", "7")
    monkeypatch.setenv("LOGBATCH_FLUSH_INTERVAL", "9")
    handler = logbatch.BatchHandler(flush_interval=5)
    assert 7 == handler._batcher.options.max_batch_size
    assert 5 == handler._batcher.options.flush_interval
    assert str(tmp_path / "env") in repr(handler)
    handler.close()


def test_a_transport_that_logs_does_not_feed_itself(transport: CapturingTransport) -> None:
    """What is logged inside `send` is suppressed and counted; all else is taken."""
    logger = logging.Logger("root.like", logging.DEBUG)

    class Chatty(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            logger.debug("sending")
            return super().send(batch)

    chatty = Chatty()
    with logbatch.BatchHandler(chatty, flush_interval=3600) as handler:
        logger.addHandler(handler)
        logger.info("a")
        assert handler.flush()
        assert handler.flush()
        assert ["a"] == chatty.messages
        assert 1 == handler.stats().suppressed


def test_an_exception_in_a_value_does_not_reach_the_application(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """A value whose repr raises makes a row all the same."""

    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    logger.info("x", extra={"bad": Bad()})
    handler.flush()
    assert ["x"] == transport.messages


def test_a_keyboard_interrupt_in_a_value_passes_and_leaves_the_handler_usable(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """KeyboardInterrupt goes through to the application; the next record is taken."""

    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        logger.info("%s", Interrupting())
    logger.info("after")
    assert handler.flush()
    assert ["after"] == transport.messages


def test_a_record_whose_level_is_no_number_is_taken(
    handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """A record from anywhere may hold anything; it is taken, and nothing is raised."""
    handler.handle(logging.makeLogRecord({"msg": "odd", "levelno": "high"}))
    assert handler.flush()
    assert ["odd"] == transport.messages
    assert {} == handler.stats().errors


def test_wrong_arguments_are_complained_about_as_by_any_handler(
    handler: logbatch.BatchHandler,
    logger: logging.Logger,
    transport: CapturingTransport,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A message whose arguments do not fit is kept, and told on stderr by `handleError`."""
    logger.info("%d items", "many")
    assert handler.flush()
    assert ["%d items"] == transport.messages
    assert {"args": ["many"]} == transport.events[0]["attributes"]
    assert "--- Logging error ---" in capsys.readouterr().err


@pytest.mark.skipif(
    "FAKETIME" in os.environ, reason="libfaketime waits for itself if a signal interrupts it"
)
def test_a_signal_handler_may_log_at_any_moment(
    logger: logging.Logger, handler: logbatch.BatchHandler, transport: CapturingTransport
) -> None:
    """A storm of signals whose handler logs neither deadlocks nor mixes or loses lines."""
    fired = []
    depth = [0]

    def on_signal(number: int, frame: object) -> None:
        if depth[0] > 10:  # a machine too slow for the storm would recurse without end
            return
        depth[0] += 1
        fired.append(number)
        logger.warning("signal %d", len(fired))
        depth[0] -= 1

    previous = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for n in range(20_000):
            logger.info("plain %d", n)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert handler.flush()
    plain = [m for m in transport.messages if m.startswith("plain")]
    assert [f"plain {n}" for n in range(20_000)] == plain
    assert len(fired) == len(transport.messages) - len(plain)
    assert len(fired) > 0


def test_dict_config_again_and_again_while_eight_threads_log(tmp_path: Path) -> None:
    """Re-applying dictConfig under load neither deadlocks nor loses what was accepted."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "batch": {
                "class": "logbatch.BatchHandler",
                "transport": f"jsonl:{tmp_path / 'logs'}",
                "flush_interval": 0.02,
            }
        },
        "loggers": {"again": {"handlers": ["batch"], "level": "INFO", "propagate": False}},
    }
    logging.config.dictConfig(config)
    logger = logging.getLogger("again")
    stop = threading.Event()
    counts = [0] * 8
    handlers: dict[int, Any] = {id(logger.handlers[0]): logger.handlers[0]}

    def work(name: int) -> None:
        while not stop.is_set():
            # Taken by whichever handler is there; between two of them there may be none.
            logger.info("%d", name)
            counts[name] += 1
            stop.wait(0.001)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        logging.config.dictConfig(config)
        handlers[id(logger.handlers[0])] = logger.handlers[0]
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    accepted = 0
    for handler in handlers.values():
        assert handler.close()
        accepted += handler.stats().accepted
    logger.handlers.clear()
    assert accepted == logbatch.Dataset(tmp_path / "logs").to_table().num_rows
    assert 0 < accepted <= sum(counts)


def test_basic_config_and_the_formatter_it_sets(transport: CapturingTransport) -> None:
    """`logging.basicConfig(handlers=[…])` gives a formatter, which changes nothing."""
    root = logging.getLogger()
    saved, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        with logbatch.BatchHandler(transport) as handler:
            logging.basicConfig(handlers=[handler], level=logging.INFO)
            logging.info("hello %s", "you")
    finally:
        root.handlers[:] = saved
        root.setLevel(level)
    assert ["hello you"] == transport.messages


def test_closing_is_quick_where_there_is_nothing(transport: CapturingTransport) -> None:
    """A handler that never saw a record starts no thread to be closed."""
    started = time.monotonic()
    logbatch.BatchHandler(transport).close()
    assert time.monotonic() - started < 4  # its `close_timeout` is 5


def test_a_handler_that_is_dropped_ends_its_thread_and_publishes(tmp_path: Path) -> None:
    """A handler that nobody closed, and nobody holds, leaves no thread, journal or descriptor."""
    before = set(os.listdir("/proc/self/task"))
    handler = logbatch.BatchHandler(f"parquet:{tmp_path}", flush_interval=3600)
    handler.handle(logging.makeLogRecord({"msg": "dropped"}))
    del handler
    gc.collect()
    wait_until(lambda: not set(os.listdir("/proc/self/task")) - before, "the end of the thread")
    assert ["dropped"] == logbatch.Dataset(tmp_path).to_table()["message"].to_pylist()
    assert ["reports"] == os.listdir(tmp_path / ".journal")


def test_a_wrong_level_says_which_was_meant(transport: CapturingTransport) -> None:
    """A misspelt level is a ValueError, and the handler is not left with `logging`."""
    with pytest.raises(ValueError, match="did you mean 'INFO'"):
        logbatch.BatchHandler(transport, level="INF")


def test_the_repr_names_the_destination(tmp_path: Path) -> None:
    """A handler tells where it writes to."""
    handler = logbatch.BatchHandler(f"parquet:{tmp_path}")
    assert f"parquet:{tmp_path}" in repr(handler)
    handler.close()
