"""What the page on `logbatch view` says of its protocol holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import ROOT, find_blocks
from make import numbered, publish_events
from viewers import viewing

from logbatch.server.viewer.messages import Look, decode

BLOCKS = {block.language: block.text for block in find_blocks(ROOT / "docs" / "view.md")}


def test_the_message_is_one() -> None:
    """The view that is asked for has all that a view can have, and is understood."""
    wanted = decode(BLOCKS["json"])
    assert isinstance(wanted, Look)
    assert ("level>=WARNING", True) == (wanted.where, wanted.follow)
    assert all(f'"{name}"' in BLOCKS["json"] for name in Look.__struct_fields__)


def test_the_client_sees_the_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program prints the newest errors."""
    publish_events(tmp_path, *map(numbered, range(12)))
    with viewing(tmp_path) as viewer:
        text = BLOCKS["py"].replace("THE-TOKEN", viewer.token)
        exec(text.replace("127.0.0.1:8322", viewer.base.partition("//")[2]), {})
    assert "['message 0', 'message 5', 'message 10']\n" == capsys.readouterr().out
