"""`logbatch compact`: what it says, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from limits import files_of_at_most
from make import A, B, make_batch, publish, publish_events

from logbatch.cli import main
from logbatch.cli.compact import describe
from logbatch.dataset.compact import Done, make_options
from logbatch.dataset.compaction.task import Count
from logbatch.storage.maintenance import maintaining


def compact(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """Run `logbatch compact logs`; return its exit code, its lines and what it says on stderr."""
    code = main(["compact", "logs", *arguments])
    shown = capsys.readouterr()
    return code, [line.rstrip() for line in shown.out.splitlines()], shown.err


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def test_files_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary has files, bytes and rows; a second run has nothing to do."""
    publish(Path("logs"), make_batch(0, 2, A), make_batch(3, 999, A))
    code, lines, err = compact(capsys, "--older-than", "0")

    assert (0, "", "1 of 1 date compacted") == (code, err, lines[-1])
    assert ["files", "bytes", "rows"] == lines[0].split()
    assert [["before", "2"], ["after", "1"]] == [line.split()[:2] for line in lines[1:3]]
    assert ["1,000", "1,000"] == [line.split()[-1] for line in lines[1:3]]
    assert (0, ["nothing to do in 1 date"], "") == compact(capsys, "--older-than", "0")


@pytest.mark.parametrize("age", ["0", "0d", "0s", "00"])
def test_no_time_at_all(age: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a unit or without, today's date is compacted as well."""
    publish(Path("logs"), make_batch(0, 2, A), make_batch(3, 5, A))
    code, lines, _ = compact(capsys, "--older-than", age)
    assert (0, "1 of 1 date compacted") == (code, lines[-1])


def test_today_is_not_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an option only dates are compacted that ended a day ago."""
    publish(Path("logs"), make_batch(0, 2, A))

    expected = (0, ["nothing to do: there is no date that is old enough"], "")
    assert expected == compact(capsys)
    assert expected == compact(capsys, "--older-than", "1d12h")


def test_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be done, and does not."""
    publish(Path("logs"), make_batch(0, 2, A), make_batch(3, 5, A))
    before = sorted(Path("logs").rglob("*"))
    code, lines, _ = compact(capsys, "--older-than", "0", "--dry-run")

    assert (0, "1 of 1 date would be compacted") == (code, lines[-1])
    assert lines[2].startswith("would be      1  at most about")
    assert before == sorted(Path("logs").rglob("*"))


def test_lines_are_left_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON Lines stay JSON Lines until they are asked for."""
    publish(Path("logs"), make_batch(0, 2, A), make_batch(0, 2, B), kind="jsonl")
    hint = "nothing to do in 1 date; 2 files of JSON Lines stay: --to parquet makes Parquet of them"

    assert (0, [hint], "") == compact(capsys, "--older-than", "0")
    code, lines, _ = compact(capsys, "--older-than", "0", "--to", "parquet")
    assert (0, "1 of 1 date compacted") == (code, lines[-1])


def test_problems_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    """A torn file is a warning; a date that cannot be compacted is an error, and 1 is returned."""
    publish(Path("logs"), make_batch(0, 2, A), make_batch(3, 5, A))
    [folder] = Path("logs").glob("date=*")
    (folder / f"{B}-0-9.parquet").write_bytes(b"torn")
    (folder / "odd\x1b.parquet").write_bytes(b"mine")
    code, lines, err = compact(capsys, "--older-than", "0")

    assert (0, "1 of 1 date compacted") == (code, lines[-1])
    first, second = err.splitlines()
    assert first.startswith("Warning: ") and first.endswith("; it was put aside")
    reason = "its name is not one that logbatch gives; it was left as it is"
    assert second.endswith(rf"odd\x1b.parquet: {reason}")
    publish(Path("logs"), make_batch(6, 9, A))
    with files_of_at_most(100):
        code, lines, err = compact(capsys, "--older-than", "0")
    assert (1, "0 of 1 date compacted; 1 could not be") == (code, lines[-1])
    error = err.splitlines()[-1]
    assert error.startswith(f"Error: {folder.name}: ")
    assert (folder / f"{A}-6-9.parquet").exists()


def test_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The second is told who is at it, and changes nothing."""
    publish(Path("logs"), make_batch(0, 2, A))
    with maintaining(Path("logs"), "logbatch retain"):
        code, lines, err = compact(capsys)
    assert (1, []) == (code, lines)
    assert "is busy: logbatch retain is running there" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--older-than", "soon"], "--older-than='soon' must be a duration"),
        (["--target-size", "much"], "--target-size='much' must be a size"),
        (["--memory-limit", "1MB"], "--memory-limit='1MB' must be 500 MB or more"),
        (["--promote", "auto,name"], "--promote: 'auto' stands alone"),
        (["--promote", "name,none"], "--promote: 'none' stands alone"),
        (["--promote", "level"], "--promote: 'level' is not an attribute"),
        (["--promote", "a,,b"], "--promote: '' is not an attribute"),
        (["--cluster-by", "a,,b"], "--cluster-by='' must name"),
        (["--cluster-by", "timestamp"], "--cluster-by='timestamp': records are in the order of"),
        (["--cluster-by", "a,a"], "--cluster-by='a' must name"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told by the name of the option."""
    publish(Path("logs"), make_batch(0, 2, A))
    code, _, err = compact(capsys, *arguments)
    assert 2 == code
    assert said in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_watching(number: signal.Signals, code: int) -> None:
    """With `--watch` it goes on until it is told to end, and leaves nothing behind."""
    publish_events(Path("logs"), {"level": "INFO"})
    arguments = ["compact", "logs", "--older-than", "0", "--watch"]
    command = [sys.executable, "-m", "logbatch", *arguments]
    with warm.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        shown = [next(child.stdout) for _ in range(5)]
        child.send_signal(number)
        assert code == child.wait()

    assert "1 of 1 date compacted\n" == shown[-1]
    assert ["maintenance.lock"] == os.listdir("logs/.journal")


def test_watching_waits_for_others() -> None:
    """Where a retention run is at it, it waits for its turn."""
    publish(Path("logs"), make_batch(0, 2, A))
    command = [sys.executable, "-m", "logbatch", "compact", "logs", "--watch"]
    with (
        maintaining(Path("logs"), "logbatch retain"),
        warm.Popen(command, stderr=subprocess.PIPE, text=True) as child,
    ):
        assert child.stderr is not None
        said = next(child.stderr)
        child.terminate()
        assert 0 == child.wait()

    assert "is busy: logbatch retain is running there" in said
    assert said.endswith("; waiting for its end\n")


def test_how_far_it_is() -> None:
    """The line has a bar, how long it will take, what was read and how fast it goes."""
    total = Count(3600, 40_000_000, 1_000_000)
    begin = describe(Done(total, Count(), 0), 0.0)
    middle = describe(Done(total, Count(3600, 40_000_000, 1_000_000), 500_000), 3.0)

    assert "[            ] 0/3,600 files, 0 B, 0 rows, 0/s" == begin
    expected = "[=========   ] 1 s left, 3,600/3,600 files, 40.0 MB, 750,000 rows, 250,000/s"
    assert expected == middle


def test_as_many_workers_as_there_is_memory_for() -> None:
    """Unless a number is given: one for each core, and one at least."""

    def workers(memory_limit: str) -> int:
        return make_options(
            older_than=0,
            cluster_by=(),
            target_size="1MB",
            promote="auto",
            to=None,
            memory_limit=memory_limit,
            workers=None,
            dry_run=True,
        ).workers

    cores = os.cpu_count() or 1
    assert [1, min(cores, 2), cores] == [workers(each) for each in ("500MB", "1GB", "1TB")]
