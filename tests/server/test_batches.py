"""Batches over HTTP: every form is stored, and each record with an identity once."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from make import P
from receivers import Client, MakeEntries, MakeEntry, ReadAnswer, Start

from logbatch.dataset.reader import Dataset
from logbatch.disk import publish
from logbatch.identity import LAST_SEQUENCE, new_producer
from logbatch.storage.segments import list_segments

T = TypeVar("T")
TAKEN = {"success": True, "rejected": [], "duplicate": False}
AGAIN = {"success": True, "logs_added": 0, "rejected": [], "duplicate": True}


def body(*entries: object) -> bytes:
    """Encode entries as a batch."""
    return json.dumps({"logs": entries}).encode()


class TestForms:
    def test_json(self, client: Client, line: MakeEntry) -> None:
        """An object with `logs`, and an array."""
        for given in ({"logs": [line("a"), line("b")]}, [line("c"), line("d")]):
            answer = client.send(given)
            assert (200, TAKEN | {"logs_added": 2}) == (answer.status_code, answer.json())
        assert ["a", "b", "c", "d"] == client.rows("message")

    @pytest.mark.parametrize(
        "media", ["application/x-ndjson", "application/ndjson; charset=utf-8", "application/jsonl"]
    )
    def test_ndjson(self, client: Client, line: MakeEntry, media: str) -> None:
        """Lines."""
        data = "\n".join(json.dumps(line(text)) for text in "ab").encode()
        assert 2 == client.send(data, Content_Type=media).json()["logs_added"]
        assert ["a", "b"] == client.rows("message")

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_single(self, client: Client, line: MakeEntry, method: str) -> None:
        """One entry, under its identity or none."""
        assert 1 == client.send(line("a"), f"{P}/0-0", "/v1/log", method).json()["logs_added"]
        assert AGAIN == client.send(line("a"), f"{P}/0-0", "/v1/log", method).json()
        assert 1 == client.send(line("b"), None, "/v1/log", method).json()["logs_added"]
        assert [400, 400] == [
            client.send(given, f"{P}/1-2", "/v1/log", method).status_code
            for given in (line("a"), b"{} {}")
        ]
        answer = client.send({"level": "INFO"}, None, "/v1/log", method).json()
        assert (False, [{"index": 0, "reason": "it has no message"}]) == (
            answer["success"], answer["rejected"]
        )  # fmt: skip

    def test_compressed(self, client: Client, line: MakeEntry) -> None:
        """Gzip and zstd, of several parts too."""
        data = body(line("a"))
        packed: dict[str, Callable[[bytes], bytes]] = {
            "gzip": gzip.compress,
            "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
        }
        for encoding, pack in packed.items():
            for sent in (pack(data), pack(data[:9]) + pack(data[9:])):
                assert 1 == client.send(sent, Content_Encoding=encoding).json()["logs_added"]
        assert 1 == client.send(data, Content_Encoding="identity").json()["logs_added"]
        assert 5 == len(client.rows("message"))

    @pytest.mark.parametrize("packed", [False, True])
    def test_chunked(
        self, client: Client, line: MakeEntry, answer: ReadAnswer, packed: bool
    ) -> None:
        """A body in chunks, without Content-Length, as OpenTelemetry's JavaScript SDK sends it."""
        data = gzip.compress(body(line("a"))) if packed else body(line("a"))
        encoding = b"Content-Encoding: gzip\r\n" if packed else b""
        with client.connect() as connection:
            connection.sendall(
                b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n%b\r\n" % encoding
            )
            for at in range(0, len(data), 40):
                piece = data[at : at + 40]
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
            status, said = answer(connection)
        assert (200, 1) == (status, json.loads(said)["logs_added"])

    def test_our_lines_are_kept_byte_for_byte(self, client: Client) -> None:
        """What is a line already is stored as it is, with its identity behind it."""
        own = (
            b'{"timestamp":"2026-11-21T10:00:00.10Z","level":"VIP","levelno":33,"logger":"a",'
            b'"message":"\\u00e9\xc3\xa9","attributes":{"x":{"y":[1,2.50]}}}'
        )
        client.send(b'{"logs":[%b]}' % own, f"{P}/7-7")
        [segment] = list_segments(client.directory)
        stored = segment.path.read_bytes()
        assert own[:-1] + b',"producer":"%b","sequence":7}\n' % P.encode() == stored

    def test_an_empty_batch(self, client: Client) -> None:
        """There may be nothing in a batch."""
        assert TAKEN | {"logs_added": 0} == client.send({"logs": []}).json()
        assert 400 == client.send({"logs": []}, f"{P}/0-0").status_code

    def test_without_identity_at_least_once(self, client: Client, line: MakeEntry) -> None:
        """Without an Idempotency-Key what is sent twice is stored twice."""
        for key in (None, None, "my-own-key", "my-own-key"):
            assert 1 == client.send([line("a")], key).json()["logs_added"]
        assert 4 == len(client.rows("message"))
        client.verify()

    def test_a_producer_in_an_entry_is_no_identity(self, client: Client, line: MakeEntry) -> None:
        """Who an entry says it is of is kept as an attribute."""
        client.send([line("a", producer=P, sequence=5)])
        [[producer, sequence, attributes]] = client.rows("producer", "sequence", "attributes")
        assert (True, 0) == (producer != P, sequence)
        assert {"producer": P, "sequence": 5} == json.loads(attributes)


class TestIdentity:
    def test_again(self, client: Client, lines: MakeEntries) -> None:
        """What is sent again is answered as a duplicate, and stored once."""
        assert TAKEN | {"logs_added": 3} == client.send(lines(0, 2), f"{P}/0-2").json()
        assert AGAIN == client.send(lines(0, 2), f"{P}/0-2").json()
        assert ["n 0", "n 1", "n 2"] == client.messages()

    def test_cut_otherwise(self, client: Client, lines: MakeEntries) -> None:
        """Ranges that overlap, come late or in another order are stored once."""
        sent = [(5, 9, 5), (0, 2, 3), (1, 6, 2), (0, 9, 0), (8, 12, 3), (20, 20, 1), (0, 20, 7)]
        for first, last, added in sent:
            answer = client.send(lines(first, last), f"{P}/{first}-{last}").json()
            expected = TAKEN | {"logs_added": added, "duplicate": added == 0}
            assert expected == answer, (first, last)
        assert [f"n {n}" for n in range(21)] == client.messages()
        client.verify()

    @pytest.mark.parametrize("again", [(0, 4), (2, 2), (3, 8), (4, 9)])
    def test_other_content(
        self, client: Client, lines: MakeEntries, again: tuple[int, int]
    ) -> None:
        """Other content under a range that is known is refused, and nothing of it is stored."""
        client.send(lines(0, 4), f"{P}/0-4")
        first, last = again
        other = lines(first, last)
        other[min(4, last) - first]["message"] = "other"
        assert 409 == client.send(other, f"{P}/{first}-{last}").status_code
        assert [f"n {n}" for n in range(5)] == client.messages()

    def test_any_field_counts(self, client: Client, line: MakeEntry) -> None:
        """A difference in any field is one; one in spaces between tokens is none."""
        given = line("a", attributes={"k": 1}, host="h")
        client.send([given], f"{P}/0-0")
        changed: list[dict[str, object]] = [
            {"host": "g"}, {"timestamp": "2026-11-21T10:00:00.123457Z"}, {"levelno": 21},
            {"attributes": {"k": 2}}, {"thread": 1},
        ]  # fmt: skip
        for change in changed:
            assert 409 == client.send([given | change], f"{P}/0-0").status_code, change
        spaced = json.dumps(given, indent=1).replace('{\n  "k": 1\n }', '{"k": 1}')
        assert AGAIN == client.send(f"[{spaced}]".encode(), f"{P}/0-0").json()

    def test_without_a_time(self, client: Client) -> None:
        """An entry without a time of its own is the same when it comes again later."""
        given = [{"message": "a", "level": "INFO"}, {"message": "b", "level": "INFO"}]
        assert 2 == client.send(given, f"{P}/0-1").json()["logs_added"]
        assert AGAIN == client.send(given, f"{P}/0-1").json()
        assert AGAIN == client.send(given[1:], f"{P}/1-1").json()
        assert 409 == client.send([given[0] | {"message": "x"}], f"{P}/1-1").status_code

    def test_another_number_of_entries(self, client: Client, lines: MakeEntries) -> None:
        """A range of another length than the body is refused."""
        for key in (f"{P}/0-1", f"{P}/0-3", f"{P}/3-1"):
            assert 400 == client.send(lines(0, 2), key).status_code

    def test_large_sequences(self, client: Client, line: MakeEntry) -> None:
        """Sequences may be as large as a process can make them: beyond, all before are missing."""
        last = LAST_SEQUENCE
        assert 1 == client.send([line("a")], f"{P}/{last}-{last}").json()["logs_added"]
        assert AGAIN == client.send([line("a")], f"{P}/{last}-{last}").json()
        for first, beyond in [(last, last + 1), (last + 1, last + 1), (10**17, 10**17)]:
            given = [line("a")] * (beyond - first + 1)
            assert 400 == client.send(given, f"{P}/{first}-{beyond}").status_code
        assert ["a"] == client.messages()

    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    def test_after_a_restart(
        self, start: Start, lines: MakeEntries, kind: str, tmp_path: Path
    ) -> None:
        """What an earlier receiver stored is known, whatever format it wrote."""
        first = start(format=kind)
        first.send(lines(0, 4), f"{P}/0-4")
        first.stop()
        for other in ("jsonl", "parquet"):
            second = start(format=other)
            assert AGAIN == second.send(lines(1, 3), f"{P}/1-3").json()
            assert 409 == second.send(lines(1, 3)[::-1], f"{P}/1-3").status_code
            second.stop()
        third = start()
        assert 2 == third.send(lines(3, 6), f"{P}/3-6").json()["logs_added"]
        assert [f"n {n}" for n in range(7)] == third.messages()
        third.verify()

    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    def test_while_files_are_compacted(self, start: Start, lines: MakeEntries, kind: str) -> None:
        """What came before is known by the receiver that goes on, and by the next one."""
        client = start(format=kind)
        for first in range(0, 30, 10):
            client.send(lines(first, first + 9), f"{P}/{first}-{first + 9}")
            client.send(lines(0, 0), f"{new_producer()}/0-0")
        for turn in range(2):
            Dataset(client.directory).compact(older_than=0, to="parquet")
            assert AGAIN == client.send(lines(8, 22), f"{P}/8-22").json()
            other = [*lines(8, 21), *lines(0, 0)]
            assert 409 == client.send(other, f"{P}/8-22").status_code
            added = client.send(lines(25, 30 + turn), f"{P}/25-{30 + turn}").json()["logs_added"]
            assert 1 == added
            client.stop()
            client = start(format=kind)
        client.verify()

    @pytest.mark.parametrize("groups", [3, 1000])
    def test_after_a_compaction(self, start: Start, lines: MakeEntries, groups: int) -> None:
        """What was merged into another file, in another format and folder, is known."""
        client = start()
        for first in range(0, 30, 10):
            client.send(lines(first, first + 9), f"{P}/{first}-{first + 9}")
            client.send(lines(0, 0), f"{new_producer()}/0-0")
        client.stop()
        table = Dataset(client.directory).to_table(where=f"producer={P}")
        old = [each.path for each in list_segments(client.directory, P)]
        folder = client.directory / "date=2020-01-01"
        folder.mkdir()
        sink = pa.BufferOutputStream()
        pq.write_table(table.sort_by("sequence"), sink, row_group_size=groups)
        publish(folder / f"{P}-0-29.parquet", [memoryview(sink.getvalue())])
        for path in old:
            path.unlink()
        client = start()
        assert AGAIN == client.send(lines(8, 22), f"{P}/8-22").json()
        other = [*lines(8, 21), *lines(0, 0)]
        assert 409 == client.send(other, f"{P}/8-22").status_code
        assert 1 == client.send(lines(25, 30), f"{P}/25-30").json()["logs_added"]

    def test_a_producer_older_than_its_records(self, start: Start, lines: MakeEntries) -> None:
        """The id of a producer may lie about when it began: all days are looked at."""
        late = "7zzzzzzzzzzzzzzzzzzzzzzzzz"  # of the year 10889
        client = start()
        client.send(lines(0, 3), f"{late}/0-3")
        client.stop()
        assert AGAIN == start().send(lines(0, 3), f"{late}/0-3").json()

    def test_in_a_long_file(self, client: Client, lines: MakeEntries) -> None:
        """In a file that grew long only the part that holds the range is looked at."""
        for first in range(0, 5000, 1000):
            client.send(lines(first, first + 999), f"{P}/{first}-{first + 999}")
        for first, last in [(0, 0), (1, 1998), (4999, 4999), (998, 1001), (17, 4321)]:
            assert AGAIN == client.send(lines(first, last), f"{P}/{first}-{last}").json()
            other = lines(first, last)
            other[-1]["message"] += "!"
            assert 409 == client.send(other, f"{P}/{first}-{last}").status_code


class TestRejected:
    def test_siblings_are_stored(self, client: Client, line: MakeEntry) -> None:
        """A bad entry is named; those around it are stored under their own numbers."""
        given = [line("a"), {"level": "INFO"}, line("c"), 5, line("e")]
        reasons = [
            {"index": 1, "reason": "it has no message"},
            {"index": 3, "reason": "it is not a JSON object"},
        ]
        expected = TAKEN | {"logs_added": 3, "rejected": reasons}
        assert expected == client.send(given, f"{P}/0-4").json()
        assert AGAIN | {"rejected": reasons} == client.send(given, f"{P}/0-4").json()
        assert [[0, "a"], [2, "c"], [4, "e"]] == client.rows("sequence", "message")

    def test_a_bad_one_is_not_known(self, client: Client, line: MakeEntry) -> None:
        """The number of an entry that was refused is free; that of one that is stored is not."""
        client.send([line("a"), {}], f"{P}/0-1")
        assert 409 == client.send([{}], f"{P}/0-0").status_code
        assert 1 == client.send([line("a"), line("b")], f"{P}/0-1").json()["logs_added"]
        assert ["a", "b"] == client.messages()

    def test_all_of_them(self, client: Client) -> None:
        """Where nothing could be stored the answer is no success, and says so by its status.

        It was 200, after which senders that do not read answers dropped all that they had.
        """
        answer = client.send([{}, 1], f"{P}/0-1")
        assert "nothing is stored: each entry is refused; entry 0: it has no message" in answer.text
        assert (422, False, 0, False, 2) == (
            answer.status_code, *(answer.json()[k] for k in ("success", "logs_added", "duplicate")),
            len(answer.json()["rejected"]),
        )  # fmt: skip

    @pytest.mark.parametrize("path", ["/v1/logs", "/v1/log"])
    def test_the_only_one(self, client: Client, path: str) -> None:
        """So is a single entry, wherever it is sent; an empty batch has nothing to refuse."""
        refused = client.send(b"{}", None, path, Content_Type="application/x-ndjson")
        assert (422, False) == (refused.status_code, refused.json()["success"])
        assert 200 == client.send([]).status_code

    def test_what_was_there_already(self, client: Client, line: MakeEntry) -> None:
        """A batch of which the rest is there already is none of which nothing is stored."""
        for expected in (TAKEN | {"logs_added": 1}, AGAIN):
            answer = client.send([{}, line("b")], f"{P}/0-1")
            assert 200 == answer.status_code
            assert expected["logs_added"] == answer.json()["logs_added"]

    def test_too_many_to_name(self, client: Client, line: MakeEntry) -> None:
        """Where naming them would take too long an answer, all of the batch is refused."""
        given = [line("a"), *[{}] * 1000]
        assert len(client.send(given).content) < 64 << 10
        answer = client.send([line("a"), *[{}] * 2000], f"{P}/0-2000")
        assert (422, ["a"]) == (answer.status_code, client.rows("message"))


class TestTogether:
    def test_the_same_range_at_once(self, client: Client, lines: MakeEntries) -> None:
        """Of many who send the same at once, one is told that it was stored."""
        for round_ in range(5):
            given = lines(round_ * 200, round_ * 200 + 199)
            key = f"{P}/{round_ * 200}-{round_ * 200 + 199}"
            answers = at_once(8, partial(client.send, given, key))
            added = sorted(answer.json()["logs_added"] for answer in answers)
            assert [0] * 7 + [200] == added
        assert [f"n {n}" for n in range(1000)] == client.messages()
        client.verify()

    def test_overlapping_ranges_at_once(self, client: Client, lines: MakeEntries) -> None:
        """Ranges that overlap, sent at once, are stored once."""
        cuts = iter(
            [(0, 99), (50, 149), (100, 249), (0, 249), (240, 300), (10, 20), (0, 300), (7, 7)]
        )
        lock = threading.Lock()

        def send() -> requests.Response:
            with lock:
                first, last = next(cuts)
            return client.send(lines(first, last), f"{P}/{first}-{last}")

        answers = at_once(8, send)
        assert 301 == sum(answer.json()["logs_added"] for answer in answers)
        assert [f"n {n}" for n in range(301)] == client.messages()

    def test_hundreds_of_producers(self, client: Client, lines: MakeEntries) -> None:
        """Each of many producers has one growing file, not one for each request."""
        producers = [new_producer() for _ in range(100)]
        for at in range(3):
            for producer in producers:
                client.send(lines(at, at), f"{producer}/{at}-{at}")
        segments = list_segments(client.directory)
        assert (100, {None}) == (len(segments), {each.last for each in segments})
        client.stop()
        assert {2} == {each.last for each in list_segments(client.directory)}


def at_once(count: int, call: Callable[[], T]) -> list[T]:
    """Call something from many threads at one moment; return what it returned."""
    barrier = threading.Barrier(count)
    found: list[T] = []

    def work() -> None:
        barrier.wait(30)
        found.append(call())

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count == len(found)
    return found


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd/0-0", "..%2f..%2f/0-0", f"{P}/../0-0", f"../{P}/0-0", f"{P.upper()}/0-0",
        f"{P}\\..\\x/0-0", f"{P[:-1]}/0-0", f"{P}0/0-0", f"{P}/-1-0", f"{P}/0-0/..", f"{P}/00-0",
        f"{P}/0-0.jsonl", f"{P}/0", f"{P}/ 0-0", "/", "-", ".", "~", "$HOME/0-0", "'; DROP TABLE--",
        f"{P[:-1]}u/0-0", f"{P}/0-99999999999999999999", f"{P}/٠-٠".encode().decode("latin-1"),
    ],
)  # fmt: skip
def test_hostile_keys(client: Client, line: MakeEntry, key: str) -> None:
    """Nothing but a well-formed identity is one; no other key gets into the name of a file.

    What has the slash of an identity is refused: who sends it counts on being stored once.
    """
    before = set(client.directory.parent.rglob("*"))
    answer = client.send([line("a")], key)
    if "/" in key:
        assert (400, 0) == (answer.status_code, len(list_segments(client.directory)))
        assert "must be <producer>/<first>-<last>" in answer.json()["error"]
        return
    assert 1 == answer.json()["logs_added"]
    new = [path for path in client.directory.parent.rglob("*") if path not in before]
    assert all(
        os.path.commonpath([path, client.directory]) == str(client.directory) for path in new
    )
    [segment] = list_segments(client.directory)
    assert (P not in segment.path.name, 0) == (True, segment.first)
