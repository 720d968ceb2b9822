"""What tests of the journal share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where journals are; it is not there yet."""
    return tmp_path / "logs" / ".journal"
