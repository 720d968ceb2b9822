"""docs/run.md, the record of runs: its table is what is printed, and it has all columns."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from documents import ROOT, find_blocks, find_rows
from outputs import Output, execution, query

from logbatch.cli import main
from logbatch.journal.owner import Owner
from logbatch.storage.executions import Executions

PAGE = ROOT / "docs" / "run.md"
HERE = Owner.this_process()
GONE = HERE._replace(started="1")
RUNS = [  # from the oldest on: what was run, by whom, for how long, its output, progress and end
    ("pip install torch", HERE, 65.0, 2_100_000, None, -9),
    ("make check", HERE, 5.4, 310, None, 2),
    ("python train.py", GONE, 18.0, 310_000, "7/10", None),
    ("python train.py", HERE, 42.0, 1234, "3/10", None),
]


def record(path: Path) -> None:
    """Record the runs of the page."""
    executions = Executions(path)
    now = time.time()
    for number, (command, owner, took, size, progress, end) in enumerate(RUNS, 1):
        run_id, begin = f"01kb4zd8x{number}000000000000000a", now - took - (9 - number) * 0.001
        output = Output()
        output.time = begin + took
        executions.begin(execution(run_id, command, begin), owner)
        executions.append(run_id, [output.print(b"x" * size)], progress)
        if end is not None:
            executions.finish(run_id, ended_at=begin + took, exit_code=end)


def simple(text: str) -> list[str]:
    """The words of each line, without what depends on the time."""
    text = re.sub(r"(\d{4}-\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d)", "TIME", text)
    text = re.sub(r"[\d.:]+ (s|min)\b", "TOOK", text)
    return sorted(" ".join(line.split()) for line in text.strip().splitlines())


def test_the_table_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is what is printed for such runs."""
    (block,) = [each for each in find_blocks(PAGE) if each.section == "The record of runs"]
    record(tmp_path / "logs" / "runs.db")
    assert 0 == main(["runs", "logs"])

    assert simple(block.text) == simple(capsys.readouterr().out)


def test_the_question_about_runs(tmp_path: Path) -> None:
    """It is answered."""
    (block,) = [each for each in find_blocks(PAGE) if each.section == "In SQL"]
    record(tmp_path / "runs.db")
    answer = query(tmp_path / "runs.db", block.text)

    assert [("pip install torch", -9, 65), ("make check", 2, 5)] == [
        (command, code, round(seconds)) for _, command, code, seconds in sorted(answer)
    ]


def test_the_columns_of_runs(tmp_path: Path) -> None:
    """The page has each of them."""
    Executions(tmp_path / "runs.db").begin(execution("a"))
    rows = [row[0] for row in find_rows(PAGE, "In SQL")]
    documented = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    (names,) = query(
        tmp_path / "runs.db", "SELECT group_concat(name) FROM pragma_table_info('executions')"
    )

    assert {*names[0].split(",")} == documented
