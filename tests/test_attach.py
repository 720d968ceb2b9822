"""`attach` is the life of a job in one `with`."""

import logging
from pathlib import Path

import pytest
import structlog

import logbatch
from logbatch.testing import CapturingTransport


def test_everything_inside_is_logged_with_the_fields(tmp_path: Path) -> None:
    """Records logged inside carry the bound fields and are there when the block ends."""
    logger = logging.getLogger("attached")
    logger.setLevel(logging.INFO)
    with logbatch.attach(f"parquet:{tmp_path}", "attached", job="nightly", run=7):
        logger.info("working")
    logger.info("outside")
    (row,) = logbatch.Dataset(tmp_path).rows()
    assert "working" == row["message"]
    assert {"job": "nightly", "run": 7} == row["attributes"]
    assert [] == logger.handlers
    assert {} == structlog.contextvars.get_contextvars()


def test_a_job_that_raises_is_delivered_all_the_same() -> None:
    """The records are there, the handler is gone, and the exception goes on."""
    transport = CapturingTransport()
    logger = logging.getLogger("attached.failing")
    with (
        pytest.raises(RuntimeError, match="job failed"),
        logbatch.attach(transport, logger, job="x"),
    ):
        logger.warning("before")
        raise RuntimeError("job failed")
    assert ["before"] == transport.messages
    assert [] == logger.handlers
    assert {} == structlog.contextvars.get_contextvars()


def test_a_handler_with_options_can_be_attached() -> None:
    """A handler built beforehand is taken as it is."""
    transport = CapturingTransport()
    handler = logbatch.BatchHandler(transport, flush_interval=60)
    with logbatch.attach(handler, "attached.ready") as attached:
        assert handler is attached
        logging.getLogger("attached.ready").warning("x")
    assert ["x"] == transport.messages


def test_a_handler_that_was_there_before_stays() -> None:
    """A handler that the logger had already is flushed at the end, and left where it was."""
    transport = CapturingTransport()
    logger = logging.getLogger("attached.before")
    with logbatch.BatchHandler(transport, flush_interval=60) as handler:
        logger.addHandler(handler)
        with logbatch.attach(handler, logger, job="x"):
            logger.warning("inside")
        assert ["inside"] == transport.messages
        assert [handler] == logger.handlers
        logger.removeHandler(handler)
