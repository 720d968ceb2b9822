"""Limits: what costs too much is refused, in time and without a bug."""

from __future__ import annotations

import contextlib
import gzip
import json
import selectors
import socket
import time
from collections.abc import Callable

import pytest
import requests
from receivers import (
    Client,
    MakeEntry,
    ReadAnswer,
    Start,
    StartProcess,
    is_closed_after,
)
from waiting import wait_until

HEAD = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class TestSizes:
    def test_a_plain_body(self, start: Start, line: MakeEntry) -> None:
        """A plain body has its own limit, with Content-Length or without."""
        client = start(max_body_bytes=1000)
        data = json.dumps([line("x" * 1000)]).encode()
        assert 413 == client.send(data).status_code
        assert 413 == client.send(iter([data[:9], data[9:]])).status_code
        assert 200 == client.send([line("x")]).status_code

    def test_a_compressed_body(self, start: Start, line: MakeEntry) -> None:
        """A compressed body has one as it is sent, and another as it is inflated."""
        client = start(max_compressed_bytes=300, max_body_bytes=2000)
        small = gzip.compress(json.dumps([line("x" * 1000)]).encode())
        assert 200 == client.send(small, Content_Encoding="gzip").status_code
        bomb = gzip.compress(json.dumps([line("x" * 3000)]).encode())
        assert 413 == client.send(bomb, Content_Encoding="gzip").status_code
        assert 413 == client.send(small + b"x" * 300, Content_Encoding="gzip").status_code

    def test_bombs(self, client: Client) -> None:
        """A body that inflates to gigabytes is refused at once."""
        packed = gzip.compress(bytes(400 << 20), 9)
        began = time.monotonic()
        assert 413 == client.send(packed, Content_Encoding="gzip").status_code
        assert time.monotonic() - began < 30

    def test_records(self, start: Start, line: MakeEntry) -> None:
        """More records than allowed are refused."""
        client = start(max_records=10)
        assert [200, 413] == [client.send([line("a")] * n).status_code for n in (10, 11)]

    def test_many_small_values(self, client: Client) -> None:
        """Millions of tiny entries are refused before any is built."""
        assert 413 == client.send(b"[" + b"1," * (20 << 20) + b"1]").status_code

    def test_many_small_values_elsewhere(self, client: Client) -> None:
        """So are millions of values in one entry, or in what is no entry."""
        many = b"1," * (20 << 20) + b"1"
        for body in (b"[[%b]]", b'{"x":[%b]}', b'{"message":"a","level":"INFO","x":[%b]}'):
            for path in ("/v1/logs", "/v1/log", "/otlp/v1/logs"):
                assert 413 == client.send(body % many, None, path).status_code

    def test_depth(self, start: Start, line: MakeEntry) -> None:
        """An entry that is nested too deeply is named, and nothing is stored."""
        client = start(max_depth=5)
        answer = client.send([line("a"), line("b", attributes={"x": [[[[]]]]})])
        assert (400, 1) == (answer.status_code, answer.json()["index"])
        assert 200 == client.send([line("a"), line("b", attributes={"x": [[]]})]).status_code
        assert 400 == client.send(b'{"logs":' + b"[" * 1_000_000).status_code

    def test_memory(self, start: Start, line: MakeEntry, answer: ReadAnswer) -> None:
        """Where all bodies together would take too much, a client is told to come again."""
        client = start(max_body_bytes=2000, max_memory_bytes=16_000)
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(client.connect()) for _ in range(3)]
            for each in slow:
                each.sendall(HEAD + b"Content-Length: 1900\r\n\r\n" + b"[" + b" " * 1897)
            refused = until(lambda: client.send([line("x" * 1500)]), 503)
            assert "1" == refused.headers["retry-after"]
            for each in slow:
                each.sendall(b" ]")
                assert 200 == answer(each)[0]
        assert 200 == client.send([line("x" * 1500)]).status_code

    def test_the_answer_reaches_who_sends_too_much(self, start: Start) -> None:
        """A client that first sends all of its body reads why it was refused, and may go on."""
        client = start(max_body_bytes=1000)
        assert 413 == client.send(b"x" * (30 << 20)).status_code


class TestDeadlines:
    @pytest.mark.parametrize("sent", [b"", b"POST /v1/logs HTTP/1.1\r\nHost: x\r\n", HEAD[:30]])
    def test_slow_headers(self, start: Start, answer: ReadAnswer, sent: bytes) -> None:
        """Headers that are not there in time are answered 408."""
        client = start(header_timeout=0.3)
        with client.connect() as connection:
            connection.sendall(sent)
            assert 408 == answer(connection)[0]
            assert b"" == connection.recv(100)

    def test_dripping_headers(self, start: Start) -> None:
        """One byte after another does not put the deadline off."""
        client = start(header_timeout=0.5)
        with client.connect() as connection:
            began = time.monotonic()
            assert drips_until_closed(connection)
            assert time.monotonic() - began < 5

    def test_slow_headers_of_a_second_request(
        self, start: Start, answer: ReadAnswer, line: MakeEntry
    ) -> None:
        """On a connection that is kept open the deadline begins with the next request."""
        client = start(header_timeout=1)
        data = json.dumps([line("a")]).encode()
        with client.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
            assert 200 == answer(connection)[0]
            connection.sendall(b"POST /v1/lo")
            assert 408 == answer(connection)[0]

    @pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
    def test_a_slow_body(self, start: Start, answer: ReadAnswer, length: bytes) -> None:
        """A body that is not there in time is answered 408."""
        client = start(body_timeout=0.3)
        with client.connect() as connection:
            connection.sendall(HEAD + length + b"\r\n\r\n")
            connection.sendall(b'5\r\n{"log' if b"chunked" in length else b"[")
            status, said = answer(connection)
            assert (408, False) == (status, json.loads(said)["success"])

    def test_a_body_that_nobody_wants(self, start: Start, answer: ReadAnswer) -> None:
        """What is left of a refused body is not waited for longer than its deadline."""
        client = start(body_timeout=0.3)
        with client.connect() as connection:
            connection.sendall(
                b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
            )
            assert 404 == answer(connection)[0]
            assert b"" == connection.recv(100)

    def test_a_dripping_body_that_nobody_wants(self, start: Start, answer: ReadAnswer) -> None:
        """Nor does a byte now and then put that off."""
        client = start(body_timeout=0.5)
        with client.connect() as connection:
            connection.sendall(
                b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx"
            )
            assert 404 == answer(connection)[0]
            began = time.monotonic()
            assert drips_until_closed(connection)
            assert time.monotonic() - began < 5

    def test_a_body_that_nobody_wanted_but_came(self, start: Start, answer: ReadAnswer) -> None:
        """Once all of a refused body came, the connection goes on as before."""
        client = start(body_timeout=10, header_timeout=1)
        refused = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
        with client.connect() as connection:
            for _ in range(2):
                connection.sendall(refused)
                assert 404 == answer(connection)[0]
                connection.sendall(b"12345")
            assert 408 == answer(connection)[0]  # of the third, which never comes

    def test_a_body_that_ends_early(self, client: Client, line: MakeEntry) -> None:
        """A client that goes away in the middle of its body has stored nothing."""
        with client.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n[")
        until(lambda: client.get("/metrics"), 200)
        assert [] == client.rows("message")


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class TestChunks:
    def test_without_a_token(self, start: Start, answer: ReadAnswer) -> None:
        """Who has no token is answered before the body comes, and many small chunks end that."""
        with start(tokens=["hidden-one"]).connect() as connection:
            connection.settimeout(10)
            connection.sendall(CHUNKED)
            assert 401 == answer(connection)[0]
            assert is_closed_after(connection, b"1\r\nx\r\n" * 200_000)

    def test_of_one_byte(self, client: Client, answer: ReadAnswer) -> None:
        """Nor are they read to their end where the body is wanted."""
        with client.connect() as connection:
            connection.settimeout(10)
            connection.sendall(CHUNKED + b"1\r\n[\r\n" * 10_000)
            status, said = answer(connection)
            assert (400, True) == (status, b"too many small chunks" in said)
            assert is_closed_after(connection, b"1\r\n[\r\n" * 200_000)

    def test_headers_and_chunks_at_once(self, process: StartProcess, answer: ReadAnswer) -> None:
        """Where the chunks come with the headers there is one answer, and nothing on stderr."""
        receiver = process("--token", "hidden-one")
        for _ in range(3):
            with receiver.client.connect() as connection:
                connection.sendall(CHUNKED + b"1\r\n[\r\n" * 10_000)
                assert answer(connection)[0] in (400, 401)
                assert is_closed_after(connection, b"1\r\n[\r\n" * 10_000)
        assert (0, "") == receiver.end()

    @pytest.mark.parametrize(("count", "size"), [(3900, 1), (20_000, 300)])
    def test_of_a_fair_size(self, client: Client, count: int, size: int) -> None:
        """A line for each chunk is taken."""
        line = json.dumps({"msg": "x", "level": "INFO"}).encode()
        pieces = [line, *[b" " * size] * count]
        assert 200 == client.send(iter(pieces), None, "/v1/log").status_code

    def test_each_body_counts_alone(self, client: Client, answer: ReadAnswer) -> None:
        """The chunks of one body do not count for the next on the same connection."""
        entry = b'{"msg":"x","level":"INFO"}'
        body = b"1a\r\n%b\r\n" % entry + b"1\r\n \r\n" * 3000 + b"0\r\n\r\n"
        head = CHUNKED.replace(b"/v1/logs", b"/v1/log")
        with client.connect() as connection:
            for _ in range(3):
                connection.sendall(head + body)
                assert 200 == answer(connection)[0]

    def test_a_rate(self, start: Start, answer: ReadAnswer) -> None:
        """A body that comes, but too slowly, is not waited for to its deadline."""
        client = start(body_timeout=3, min_body_rate=1e9)
        with client.connect() as connection, selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(CHUNKED)
            while not selector.select(0.05):
                connection.sendall(b"1\r\n \r\n")
            status, said = answer(connection)
        assert (408, True) == (status, b"slower than 1e+09" in said)


class TestForms:
    @pytest.mark.parametrize("media", ["text/plain", "", "application/x-www-form-urlencoded"])
    def test_other_media(self, client: Client, media: str) -> None:
        """What is not said to be JSON is refused."""
        assert 415 == client.send(b"[]", Content_Type=media).status_code

    @pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x"])
    def test_other_encodings(self, client: Client, encoding: str) -> None:
        """A compression that is not known is refused."""
        assert 415 == client.send(b"[]", Content_Encoding=encoding).status_code

    def test_other_paths(self, client: Client) -> None:
        """Other paths are 404, other methods 405, both as JSON."""
        assert [404, 405, 404] == [
            client.get(path).status_code for path in ("/", "/v1/logs", "/v1/logs/../x")
        ]
        assert False is client.get("/").json()["success"]

    def test_what_is_no_http(self, client: Client, answer: ReadAnswer) -> None:
        """What is no HTTP is answered 400."""
        for sent in (
            b"hello\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\r\n\r\n",
        ):
            with client.connect() as connection:
                connection.sendall(sent)
                assert b" 400 " in connection.recv(1000)


def drips_until_closed(connection: socket.socket) -> bool:
    """Send a byte from time to time; return whether there was an answer or an end within 20 s."""
    began = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - began < 20:
        try:
            connection.sendall(b"x")
            connection.recv(100)
        except TimeoutError:
            continue
        except OSError:
            return True
        return True
    return False


def until(call: Callable[[], requests.Response], status: int) -> requests.Response:
    """Call until the answer has a status."""
    deadline = time.monotonic() + 20
    while (answer := call()).status_code != status:
        assert time.monotonic() < deadline, answer.status_code
    return answer


class TestClientsThatLeave:
    @pytest.mark.parametrize("waiting", [False, True])
    def test_work_for_nobody(self, start: Start, line: MakeEntry, waiting: bool) -> None:
        """What was sent is dropped once its client is gone, whether it was begun or waited."""
        client = start()
        unit = b'{"message":"","level":"INFO","a":1,"b":2,"c":3,"d":4},'
        body = b"[" + unit * 49_999 + unit[:-1] + b"]"  # a second of work, or more
        with contextlib.ExitStack() as stack:
            gone = [stack.enter_context(client.connect()) for _ in range(8 if waiting else 1)]
            for each in gone:
                each.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            begun = len(body) * min(len(gone), 4)  # by so many threads
            wait_until(lambda: counted(client, "received_bytes_total") == begun, every=0.01)
        answered = 'requests_total{path="/v1/logs",status="4'  # 499; 400 if it was not read yet
        wait_until(lambda: counted(client, answered) == len(gone), every=0.01)
        assert 200 == client.send([line("a")]).status_code
        assert ["a"] == client.rows("message")


def counted(client: Client, name: str) -> int:
    """Return the sum of what the receiver counted under names that begin like this."""
    lines = client.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith(f"logbatch_receiver_{name}")]
    return sum(int(float(line.split()[-1])) for line in found)
