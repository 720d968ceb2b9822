"""What tests of transports share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def app() -> Iterator[logging.Logger]:
    """A logger of the application's own."""
    logger = logging.Logger("app")
    yield logger
    for handler in list(logger.handlers):
        handler.close()
