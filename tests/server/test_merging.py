"""The receiver merges the small files that requests make, and knows each record all the same."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

from make import P
from receivers import Client, MakeEntries, Start
from waiting import wait_until

from logbatch import Dataset
from logbatch.storage.segments import list_segments


def count_files(client: Client) -> int:
    """Count the files."""
    return len(list_segments(client.directory))


def assert_known(client: Client, lines: MakeEntries, last: int) -> None:
    """Check that what is sent again is there already, however it is cut, and nothing else is."""
    for first, end in ((0, last), (3, 7), (last, last)):
        answer = client.send(lines(first, end), f"{P}/{first}-{end}").json()
        assert (True, 0) == (answer["duplicate"], answer["logs_added"])
    changed = lines(3, 7)
    changed[2]["message"] = "something else"
    assert 409 == client.send(changed, f"{P}/3-7").status_code


def test_each_record_once_while_files_are_merged(
    start: Start, lines: MakeEntries, tmp_path: Path
) -> None:
    """Ranges that are sent again are duplicates, before and after a restart."""
    client = start(format="parquet")
    last = 24
    for n in range(last + 1):
        assert 1 == client.send(lines(n, n), f"{P}/{n}-{n}").json()["logs_added"]
        client.send(lines(n, n), f"{P}/{n}-{n}")
    assert_known(client, lines, last)
    wait_until(lambda: count_files(client) <= 7)
    assert_known(client, lines, last)
    assert [f"n {n}" for n in range(last + 1)] == client.messages()
    client.verify()
    told = client.get("/metrics").text
    merges = float(told.partition("\nlogbatch_receiver_merges_total ")[2].split()[0])
    files = float(told.partition("\nlogbatch_receiver_merged_files_total ")[2].split()[0])
    assert files - merges >= last + 1 - count_files(client) > 0
    client.stop()

    again = start(tmp_path / "logs", format="parquet")
    assert_known(again, lines, last)
    assert 1 == again.send(lines(last, last + 1), f"{P}/{last}-{last + 1}").json()["logs_added"]
    assert [f"n {n}" for n in range(last + 2)] == again.messages()


def test_what_comes_again_after_a_compaction(
    start: Start, lines: MakeEntries, tmp_path: Path
) -> None:
    """It is compared with its own rows of a large file, and costs no more than those."""
    limits: dict[str, Any] = {"max_body_bytes": 1 << 20, "max_memory_bytes": 16 << 20}
    client = start(format="parquet", **limits)
    last = 23
    entries = lines(0, last)
    for n, entry in enumerate(entries):
        entry["message"] += random.Random(n).randbytes(300_000).hex()
        assert 1 == client.send([entry], f"{P}/{n}-{n}").json()["logs_added"]
    client.stop()
    Dataset(tmp_path / "logs").compact(older_than=0)
    assert 1 == count_files(client)

    again = start(tmp_path / "logs", format="parquet", **limits)
    for n in (0, 11, last):
        answer = again.send([entries[n]], f"{P}/{n}-{n}")
        assert (200, 0) == (answer.status_code, answer.json().get("logs_added")), answer.text
    other = entries[3] | {"message": "other"}
    assert 409 == again.send([other], f"{P}/3-3").status_code
    assert last + 1 == len(again.messages())


def test_a_comparison_while_files_go_away(start: Start, lines: MakeEntries) -> None:
    """What is sent again is compared with what is stored, wherever that is at the moment."""
    client = start(format="parquet")
    done = threading.Event()
    odd: list[object] = []

    def send_again() -> None:
        while not done.is_set():
            answer = client.send(lines(0, 0), f"{P}/0-0")
            if answer.status_code != 200:
                odd.append(answer.text)

    thread = threading.Thread(target=send_again)
    thread.start()
    for n in range(30):
        assert 200 == client.send(lines(n, n), f"{P}/{n}-{n}").status_code
    wait_until(lambda: count_files(client) <= 9)
    done.set()
    thread.join()
    assert [] == odd
    assert 30 == len(client.messages())
