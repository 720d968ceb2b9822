"""Names in a folder are changed by one process at a time, and a folder is exchanged at once."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from children import Shared, child
from waiting import PATIENCE

from logbatch.storage.folders import Busy, changing, exchange
from logbatch.storage.maintenance import maintaining

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="flock and renameat2 are Linux's")


def test_many_change_a_folder_but_one_alone_waits_for_them(tmp_path: Path) -> None:
    """And others wait for that one."""
    with changing(tmp_path) as first, changing(tmp_path) as second:
        assert first and second
        with pytest.raises(Busy, match="another process is changing it"), _alone(tmp_path):
            pass
    with _alone(tmp_path), pytest.raises(Busy), changing(tmp_path, patience=0.01):
        pass
    with _alone(tmp_path) as alone:
        assert alone


def _alone(folder: Path) -> AbstractContextManager[bool]:
    return changing(folder, alone=True, patience=0.01)


def test_who_waited_has_the_folder_that_has_the_name_then(tmp_path: Path) -> None:
    """Not the one that it opened, which was exchanged for another meanwhile."""
    folder, staged = tmp_path / "folder", tmp_path / "staged"
    folder.mkdir()
    staged.mkdir()
    begun = threading.Event()
    names: list[str] = []

    def publish() -> None:
        begun.set()
        with changing(folder, patience=PATIENCE):
            (folder / "late").touch()
            names.extend(os.listdir(folder))

    thread = threading.Thread(target=publish)
    with changing(folder, alone=True):
        thread.start()
        assert begun.wait(PATIENCE)
        (staged / "new").touch()
        assert exchange(staged, folder)
    thread.join()
    assert ["late", "new"] == sorted(names)
    assert [] == os.listdir(staged)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It cannot be locked, nor exchanged."""
    with pytest.raises(FileNotFoundError), changing(tmp_path / "none"):
        pass
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "none", tmp_path)


def test_a_child_that_is_forked_meanwhile(tmp_path: Path) -> None:
    """It does not keep the lock, though it lives on with a copy of the descriptor."""
    go = Shared()
    with ExitStack() as stack:
        with changing(tmp_path), maintaining(tmp_path, "a test"):
            stack.enter_context(child(lambda: go.wait_for(1)))
        with _alone(tmp_path), maintaining(tmp_path, "a test"):
            go.value = 1
