"""The files in which rejected events are kept."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from make import P as PRODUCER
from make import make_batch

from logbatch.batching.dead_letters import DeadLetters


def read(path: Path | None) -> list[dict[str, Any]]:
    """Read the letters in a file."""
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_letter_says_when_and_why(tmp_path: Path) -> None:
    """Its time, the first of its keys, is now, in UTC."""
    path = DeadLetters(tmp_path).write(make_batch(5, 9), {2: "bad"}, 400)

    assert tmp_path / f"{PRODUCER}.jsonl" == path
    (letter,) = read(path)
    assert ["time", "status", "reason", "producer", "sequence", "event"] == list(letter)
    assert letter["time"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(letter["time"])
    assert timedelta() <= age < timedelta(minutes=1)
    assert (400, "bad", PRODUCER, 7) == tuple(letter.values())[1:5]


def test_letters_are_private(tmp_path: Path) -> None:
    """Nobody else may read them: the file is 0600, the directories made for it are 0700."""
    directory = tmp_path / "journal" / "rejected"
    path = DeadLetters(directory).write(make_batch(0, 0), {0: "bad"}, None)

    assert path is not None
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, directory, directory.parent)]
    assert [0o600, 0o700, 0o700] == modes


def test_letters_are_appended(tmp_path: Path) -> None:
    """Later letters of a producer stand after the earlier ones."""
    letters = DeadLetters(tmp_path)
    for number in range(3):
        path = letters.write(make_batch(number, number), {0: f"reason {number}"}, None)

    found = [(letter["sequence"], letter["reason"]) for letter in read(path)]
    assert [(0, "reason 0"), (1, "reason 1"), (2, "reason 2")] == found


def test_a_torn_letter_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """Regression: a letter after one that a crash had cut off was glued to it."""
    path = tmp_path / f"{PRODUCER}.jsonl"
    path.write_text('{"time":"2026-1')
    DeadLetters(tmp_path).write(make_batch(7, 7), {0: "bad"}, None)

    torn, whole = path.read_text().splitlines()
    assert '{"time":"2026-1' == torn
    assert 7 == json.loads(whole)["sequence"]


def test_letters_are_not_written_through_a_link(tmp_path: Path) -> None:
    """A symbolic link in the place of the file is not followed."""
    target = tmp_path / "elsewhere"
    (tmp_path / f"{PRODUCER}.jsonl").symlink_to(target)

    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        DeadLetters(tmp_path).write(make_batch(0, 0), {0: "bad"}, None)
    assert not target.exists()


def test_without_a_directory_nothing_is_written() -> None:
    """Where the journal is in memory there are no files, and no letters."""
    assert DeadLetters(None).write(make_batch(0, 0), {0: "bad"}, None) is None
