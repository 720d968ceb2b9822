"""How the raw output of a run comes from the spool into the record of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from outputs import Output, execution, joined

from logbatch.capture.chunk import Chunk
from logbatch.capture.rows import Rows
from logbatch.capture.runs import Runs
from logbatch.storage.executions import Executions

RUN = "one"


@pytest.mark.parametrize("has_more", [True, False], ids=["with-output", "without"])
def test_a_record_that_is_found_damaged_at_the_end(tmp_path: Path, has_more: bool) -> None:
    """The run ends in the new one, with what was not stored before."""
    path, output = tmp_path / "runs.db", Output()
    printed = [output.print(b"one\n")]
    told: list[str] = []

    def read(at: int) -> list[Chunk]:
        return [chunk for chunk in printed if chunk.end > at]

    run = execution(RUN)
    rows = Rows(Executions(path), run, None, read, lambda _, text: told.append(text))
    assert rows.take(1001.0, None, 1)
    path.write_bytes(b"x" * 5000)
    if has_more:
        printed.append(output.print(b"two\n"))

    assert rows.finish(1002.0, 3, None, len(printed))

    found = Runs(path).find(RUN)
    assert (3, 1002.0) == (found.exit_code, found.ended_at)
    assert (b"two\n" if has_more else b"") == joined(Runs(path).read(RUN))
    assert ["is damaged" in text for text in told] == [True]
