"""The maintenance lock: one at a time, and the others are told who it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from children import Shared, child

from logbatch.errors import LogbatchError
from logbatch.storage.maintenance import MaintenanceBusy, maintaining


def test_one_at_a_time(tmp_path: Path) -> None:
    """Who comes second is told who is there, and gets the lock when that one has ended."""
    with (
        maintaining(tmp_path, "logbatch compact"),
        pytest.raises(MaintenanceBusy) as caught,
        maintaining(tmp_path, "logbatch retain"),
    ):
        pass
    with maintaining(tmp_path, "logbatch retain"):
        pass

    assert f"{tmp_path} is busy: logbatch compact is running there, process {os.getpid()}" in str(
        caught.value
    )
    assert isinstance(caught.value, LogbatchError)


def test_the_lock_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """It ends with its process; nothing needs to be removed by hand."""
    ready, go = Shared(), Shared()

    def hold() -> None:
        with maintaining(tmp_path, "logbatch compact"):
            ready.value = 1
            go.wait_for(1)

    with child(hold) as holder:
        ready.wait_for(1)
        with pytest.raises(MaintenanceBusy), maintaining(tmp_path, "logbatch retain"):
            pass
        holder.kill()
        with maintaining(tmp_path, "logbatch retain"):
            pass


def test_an_error_while_it_is_held(tmp_path: Path) -> None:
    """The lock is let go however the work ends, and others wrote nothing over who has it."""
    with pytest.raises(ZeroDivisionError), maintaining(tmp_path, "logbatch compact"):
        raise ZeroDivisionError
    with maintaining(tmp_path, "logbatch compact"):
        pass

    assert (tmp_path / ".journal" / "maintenance.lock").read_bytes() == b""
