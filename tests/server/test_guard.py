"""What one connection can do to the others: too many, answers not read, a length said twice."""

from __future__ import annotations

import contextlib
import gzip
import json
import select
import socket

import pytest
from receivers import Client, MakeEntry, ReadAnswer, Start
from waiting import wait_until

HEAD = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REFUSED = gzip.compress(b"[" + b"{}," * 1000 + b"{}]")  # the answer names each of them: 43 kB
MANY = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSED), REFUSED)


def open_idle(stack: contextlib.ExitStack, client: Client, count: int) -> list[socket.socket]:
    """Open connections that ask for nothing."""
    return [stack.enter_context(client.connect()) for _ in range(count)]


class TestTooMany:
    def test_one_more(
        self, start: Start, line: MakeEntry, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is answered 503 with `Retry-After`; stderr has one line for all of them."""
        client = start(max_connections=2)
        with contextlib.ExitStack() as stack:
            open_idle(stack, client, 2)
            for body in (json.dumps([line("a")]).encode(), b"x" * (5 << 20)):
                for path in ("/v1/logs", "/otlp/v1/logs", "/nowhere"):
                    refused = client.send(body, None, path)
                    told = [refused.headers.get(name) for name in ("retry-after", "connection")]
                    assert (503, ["5", "close"]) == (refused.status_code, told)
            assert {"success": False, "error": "there are too many connections"} == refused.json()
        wait_until(lambda: client.send([line("b")]).status_code == 200)
        assert ["b"] == client.rows("message")
        said = capsys.readouterr().err
        assert (1, True) == (said.count("\n"), "raise --max-connections" in said)
        assert client.trouble.counts["connections"] >= 6
        assert 'requests_total{path="other",status="503"} 6.0' in client.get("/metrics").text

    def test_as_many_as_allowed(self, start: Start, line: MakeEntry) -> None:
        """The last one that is allowed is answered."""
        client = start(max_connections=1)
        assert 200 == client.send([line("a")]).status_code

    def test_one_that_asks_for_nothing(self, start: Start, answer: ReadAnswer) -> None:
        """It is told so after a while, too."""
        client = start(max_connections=1, header_timeout=0.5)
        with client.connect() as first, client.connect() as more:
            assert 503 == answer(more)[0]
            assert b"" == more.recv(100)
            assert 408 == answer(first)[0]

    def test_far_more(self, start: Start, answer: ReadAnswer) -> None:
        """They do not stay open: the system has only so many descriptors."""
        client = start(max_connections=1)
        with contextlib.ExitStack() as stack:
            last = open_idle(stack, client, 102)[-1]
            assert 503 == answer(last)[0]
            assert b"" == last.recv(100)


class TestUnread:
    def test_it_is_dropped(self, start: Start) -> None:
        """Who asks, and reads no answer, is dropped after the time limit."""
        client = start(body_timeout=0.5, max_connections=1)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(client.address)
            connection.sendall(MANY * 300)
            poll = select.poll()
            poll.register(connection, 0)  # for its end only, not for what can be read
            assert poll.poll(30_000), "it is still open"
        wait_until(lambda: client.get("/metrics").status_code == 200)

    def test_who_reads_late_gets_them(self, start: Start) -> None:
        """Who sends many requests at once has the time to read what is answered."""
        client = start(body_timeout=30)
        with client.connect() as connection:
            connection.sendall(MANY * 300)
            count, data = 0, b""
            while count < 300:
                got = connection.recv(1 << 20)
                assert got, "it was dropped"
                data = data[-7:] + got
                count += data.count(b"HTTP/1.1")


def test_bad_requests(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no HTTP is said once, however often it comes."""
    for _ in range(20):
        with client.connect() as connection:
            connection.sendall(b"hello\r\n\r\n")
            assert b" 400 " in connection.recv(1000)
    assert "logbatch: Invalid HTTP request received.\n" == capsys.readouterr().err


class TestAmbiguousLength:
    def test_it_is_closed(self, client: Client, line: MakeEntry, answer: ReadAnswer) -> None:
        """Both lengths in one request: it is answered, and nothing behind it is taken for one."""
        data = json.dumps([line("a")]).encode()
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        smuggled = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
        for length in (len(chunks), 3, len(chunks) + len(smuggled)):
            with client.connect() as connection:
                both = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % length
                connection.sendall(HEAD + both + chunks + smuggled)
                assert 200 == answer(connection)[0]
                with contextlib.suppress(ConnectionResetError):
                    assert b"" == connection.recv(100)
        assert ["a"] * 3 == client.rows("message")

    def test_it_is_said(self, client: Client) -> None:
        """The answer says that the connection ends; one of them alone does not end it."""
        for lengths, closes in [
            (b"Content-Length: 2\r\n\r\n[]", False),
            (b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n", False),
            (b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n", True),
        ]:
            with client.connect() as connection:
                connection.sendall(HEAD + lengths)
                said = connection.recv(65536)
                assert (b" 200 " in said, closes) == (True, b"connection: close" in said)
