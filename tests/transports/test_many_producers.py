"""Transports to a directory that many producers send through, as those of a receiver do."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocks import with_clock
from make import batch_of, event

from logbatch.identity import Ranges, new_producer
from logbatch.storage.segments import list_segments
from logbatch.testing import ManualClock
from logbatch.transports.jsonl import JsonlTransport
from logbatch.transports.parquet import ParquetTransport

NOW = 1_795_246_121.0


def send(transport: JsonlTransport | ParquetTransport, producer: str, at: int) -> None:
    """Send one record."""
    transport.send(batch_of(producer, at, event()))


def growing(directory: Path) -> set[str]:
    """Name the producers whose files grow."""
    return {each.producer for each in list_segments(directory) if each.growing}


def test_open_files(tmp_path: Path) -> None:
    """Of more producers than files may be open, those that sent longest ago are rotated."""
    transport = JsonlTransport(tmp_path)
    transport.open_files = 3
    producers = [new_producer() for _ in range(5)]
    for producer in producers:
        send(transport, producer, 0)
    assert set(producers[2:]) == growing(tmp_path)
    send(transport, producers[2], 1)
    send(transport, producers[0], 1)
    assert {producers[0], producers[2], producers[4]} == growing(tmp_path)
    transport.close()
    assert set() == growing(tmp_path)


def test_idle_files(tmp_path: Path) -> None:
    """Files of producers that send no more are rotated, by the next batch or when asked."""
    clock = ManualClock(NOW)
    transport = with_clock(JsonlTransport(tmp_path), clock)
    transport.open_files, transport.idle_seconds = 9, 100
    idle, busy = new_producer(), new_producer()
    send(transport, idle, 0)
    clock.now += 90
    send(transport, busy, 0)
    transport.rotate_idle()
    assert {idle, busy} == growing(tmp_path)
    clock.now += 20
    transport.rotate_idle()
    assert {busy} == growing(tmp_path)
    clock.now += 101
    send(transport, busy, 1)
    assert {busy} == growing(tmp_path)
    transport.close()


def test_what_others_left(tmp_path: Path) -> None:
    """Files of processes that died are finished all at once, those of living ones are not."""
    dead, alive = JsonlTransport(tmp_path), JsonlTransport(tmp_path)
    producers = [new_producer() for _ in range(3)]
    for producer in producers[:2]:
        send(dead, producer, 0)
    send(alive, producers[2], 0)
    dead.after_fork()  # closes the files as the end of a process does
    transport = JsonlTransport(tmp_path)
    transport.finish_left_over()
    assert {producers[2]} == growing(tmp_path)
    alive.close()


@pytest.mark.parametrize("kind", [JsonlTransport, ParquetTransport])
def test_remembered_at_once(tmp_path: Path, kind: type[JsonlTransport | ParquetTransport]) -> None:
    """What is there is learnt in one look; the producers that began last are kept in mind."""
    first = kind(tmp_path)
    producers = sorted(new_producer() for _ in range(5))
    for producer in producers:
        send(first, producer, 0)
        send(first, producer, 1)
        send(first, producer, 7)
    first.close()
    transport = kind(tmp_path)
    transport.remembered = 3
    transport.remember()
    for segment in list_segments(tmp_path):
        segment.path.unlink()  # so that only what is in mind can be told
    expected = [Ranges()] * 2 + [Ranges([(0, 1), (7, 7)])] * 3
    assert expected == [transport.known(producer) for producer in reversed(producers)][::-1]


def test_what_is_known_is_a_copy(tmp_path: Path) -> None:
    """What is told may be changed without harm."""
    transport = JsonlTransport(tmp_path)
    producer = new_producer()
    send(transport, producer, 0)
    transport.known(producer).add(0, 99)
    assert Ranges([(0, 0)]) == transport.known(producer)
    transport.close()


@pytest.mark.parametrize("option", ["remembered=5", "open_files=5", "idle_seconds=5"])
def test_no_options_of_a_url(option: str) -> None:
    """What only a receiver needs is no option."""
    with pytest.raises(ValueError, match="unknown"):
        JsonlTransport.from_url(f"jsonl:logs?{option}")
