"""`Dataset.context`: what the same thread of the same process logged around a record."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from make import DAY, Waiting, batch_of, encode, event, publish, with_pending, write_compacted

from logbatch import BatchHandler, Dataset, DatasetError
from logbatch.dataset.rows import Row
from logbatch.identity import new_producer


def by_hand(rows: list[Row], row: Row, before: int, after: int) -> list[Row]:
    """Find the records around one among all."""
    keys = ("producer", "process", "thread")
    same = [each for each in rows if all(each[key] == row[key] for key in keys)]
    same.sort(key=lambda each: int(each["sequence"]))
    at = same.index(row)
    return same[max(at - before, 0) : at + after + 1]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_the_same_thread_around_a_record(tmp_path: Path, kind: str) -> None:
    """Of several threads and processes, and of other producers, nothing else is in it."""
    logger = logging.Logger("app")
    with BatchHandler(f"{kind}:{tmp_path}", max_batch_size=50) as handler:
        logger.addHandler(handler)

        def work(name: str) -> None:
            for number in range(60):
                logger.info("%s %d", name, number)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    other = event("another producer", process=1, thread=1)
    publish(tmp_path, batch_of(new_producer(), 0, *[other] * 50))
    logs = Dataset(tmp_path)
    rows = list(logs.rows())

    for row in rows[::23]:
        assert by_hand(rows, row, 20, 20) == list(logs.context(row))
        place = row["producer"], row["sequence"]
        assert by_hand(rows, row, 3, 0) == list(logs.context(place, before=3, after=0))
    assert [rows[0]] == logs.context(rows[0], before=0, after=0)


def numbered(count: int, threads: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Make events of threads in turn."""
    return [
        event(f"message {n}", process=7, **{"thread": n % threads, **fields}) for n in range(count)
    ]


def numbers(rows: Any) -> list[int]:
    """Return the sequences of rows."""
    return [row["sequence"] for row in rows]


def test_a_record_that_moves_through_every_place(tmp_path: Path) -> None:
    """Files that are compacted, small, of lines, or a journal are one to it, with holes between."""
    producer = new_producer()
    events = numbered(100)
    write_compacted(
        tmp_path / DAY, batch_of(producer, 0, *events[:20]), batch_of(producer, 40, *events[40:50])
    )
    publish(tmp_path, batch_of(producer, 20, *events[20:30]))
    publish(tmp_path, batch_of(producer, 50, *events[50:80]), kind="jsonl")
    waiting = [Waiting(producer, 80, encode(*events[80:]))]
    logs = with_pending(Dataset(tmp_path), lambda _: waiting)

    found = logs.context((producer, 45), before=30, after=50)
    assert [*range(5, 30), *range(40, 96)] == numbers(found)
    assert [*range(20)] == numbers(logs.context((producer, 0), after=19))
    assert [98, 99] == numbers(logs.context((producer, 99), before=1))
    assert numbers(logs.rows()) == numbers(logs.context((producer, 50), before=500, after=500))


def test_a_thread_that_logs_now_and_then(tmp_path: Path) -> None:
    """Its records are found however far they are from one another."""
    producer = new_producer()
    events = numbered(30_000)
    for at in (0, 1, 9_000, 15_000, 15_001, 29_999):
        events[at]["thread"] = 5
    publish(tmp_path, batch_of(producer, 0, *events))
    logs = Dataset(tmp_path)

    assert [1, 9_000, 15_000, 15_001, 29_999] == numbers(
        logs.context((producer, 15_000), before=2, after=2)
    )
    assert [0, 1, 9_000] == numbers(logs.context((producer, 9_000), before=9, after=0))


def test_records_that_tell_no_thread(tmp_path: Path) -> None:
    """They are together, as what a program printed is; those of a thread are not among them."""
    producer = new_producer()
    events = numbered(20, threads=2)
    for at in range(0, 20, 4):
        events[at] |= {"thread": None, "process": None}
    publish(tmp_path, batch_of(producer, 0, *events))

    assert [4, 8, 12] == numbers(Dataset(tmp_path).context((producer, 8), before=1, after=1))


def test_a_record_that_is_not_there(tmp_path: Path) -> None:
    """It is said, whether it was removed meanwhile or never there."""
    producer = new_producer()
    publish(tmp_path, batch_of(producer, 3, *numbered(3)))
    logs = Dataset(tmp_path)
    (row, *_) = logs.rows()
    for place in [(producer, 2), (producer, 6), (producer, -1), (new_producer(), 3), ("", 0)]:
        with pytest.raises(DatasetError, match=rf"no record {place[1]} of {place[0]} .*any more"):
            logs.context(place)

    (file,) = logs.files()
    file.path.unlink()
    with pytest.raises(DatasetError, match="any more"):
        logs.context(row)
    with pytest.raises(ValueError, match="before=-1"):
        logs.context(row, before=-1)
