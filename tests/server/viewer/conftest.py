"""Viewers that tests start."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from viewers import Viewer, viewing

StartViewer = Callable[..., Viewer]


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StartViewer]:
    """Start viewers, of `tmp_path / "logs"` unless another directory is named."""
    with contextlib.ExitStack() as stack:

        def start(directory: Path | None = None, **settings: Any) -> Viewer:
            where = directory or tmp_path / "logs"
            where.mkdir(exist_ok=True)
            return stack.enter_context(viewing(where, **settings))

        yield start
