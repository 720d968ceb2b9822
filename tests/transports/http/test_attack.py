"""Servers and networks that misbehave: a request ends in time, and says what it was."""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from make import line, make_batch
from rawserver import OK, Peer, Play, Raw, RawServer, answering, refusal

from logbatch.errors import RejectedError, TemporaryError
from logbatch.transports.base import Batch
from logbatch.transports.http.transport import HttpTransport

TIMEOUT = 0.5
SOON = 5.0  # what a slow machine takes at most over TIMEOUT; without it these take 8 s and more


# ---------------------------------------------------------------------- time


def drips(before: bytes, slowly: bytes) -> Play:
    """Answer quickly at first, then a byte every tenth of a second."""

    def play(peer: Peer) -> None:
        peer.read()
        peer.write(before)
        peer.drip(slowly)

    return play


def floods(head: bytes, piece: bytes) -> Play:
    """Answer without an end."""

    def play(peer: Peer) -> None:
        peer.read()
        peer.write(head)
        while not peer.closing.is_set():
            peer.write(piece)

    return play


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "status": drips(b"", OK),
    "headers": drips(HEAD, b"X: y\r\n" * 100),
    "body": drips(HEAD + b"Content-Length: 1000\r\n\r\n", b"x" * 1000),
    "chunks": drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
    "continue": floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "early hints": floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "silence": lambda peer: peer.closing.wait(),
}


@pytest.mark.parametrize("play", SLOW.values(), ids=SLOW)
def test_a_request_ends_in_time(play: Play) -> None:
    """Whatever the server does slowly, or without end."""
    with RawServer(play) as server:
        started = time.monotonic()
        told = refusal(server.origin, timeout=TIMEOUT)
        assert time.monotonic() - started < SOON
    assert told.endswith(": no complete answer within 0.5 s")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_handshake_ends_in_time(scheme: str) -> None:
    """Be it the server's own or that of a proxy, which is also asked to connect."""
    record = b"\x16\x03\x03\x00\x50" + b"\x02" * 80
    with RawServer(lambda peer: peer.drip(record)) as server:
        slow = server.origin.replace("http:", "https:")
        for url, proxies in ((slow, None), (f"{scheme}://127.0.0.1:9", slow)):
            started = time.monotonic()
            told = refusal(url, timeout=TIMEOUT, proxies=proxies)
            assert time.monotonic() - started < SOON
            assert told.endswith(": no complete answer within 0.5 s")


def test_a_proxy_that_drips_ends_in_time() -> None:
    """While it answers CONNECT."""
    play = drips(b"HTTP/1.1 200 Connected\r\n", b"X: y\r\n" * 100)
    with RawServer(play) as proxy:
        started = time.monotonic()
        told = refusal("https://127.0.0.1:9", timeout=TIMEOUT, proxies=proxy.origin)
        assert time.monotonic() - started < SOON
    assert told.endswith(": no complete answer within 0.5 s")


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where connections are neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # more than the listener's queue holds
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for each in waiting:
            each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue may refuse")
def test_a_server_that_never_accepts(deaf: int) -> None:
    """Connecting ends in time, too."""
    started = time.monotonic()
    told = refusal(f"http://127.0.0.1:{deaf}", timeout=TIMEOUT)
    assert f"http://127.0.0.1:{deaf}: no complete answer within 0.5 s" == told
    assert time.monotonic() - started < SOON


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue may refuse")
def test_an_address_that_is_dead_leaves_time_for_the_next(
    deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with two addresses is reached though the first does not answer (IPv6, often)."""
    play, requests = answering(OK)
    with RawServer(play) as server:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (deaf, server.port)
        ]
        resolve = socket.getaddrinfo

        def resolve_ours(host: str, *args: Any, **keywords: Any) -> Any:
            return found if host == "two.test" else resolve(host, *args, **keywords)

        monkeypatch.setattr(socket, "getaddrinfo", resolve_ours)
        transport = HttpTransport("http://two.test", timeout=2)
        transport.send(make_batch(0, 2))
        transport.close()
    assert 1 == len(requests)


def test_a_server_that_does_not_read() -> None:
    """A body that nobody takes is given up in time."""
    big = Batch("p" * 26, 0, 0, b'{"message":"%b"}\n' % (b"x" * (20 << 20)))
    with RawServer(lambda peer: peer.closing.wait()) as server:
        started = time.monotonic()
        told = refusal(server.origin, big, timeout=TIMEOUT, compression="none")
        assert time.monotonic() - started < SOON
    assert told.endswith(": no complete answer within 0.5 s")


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "head",
    ["200 OK\r\n", "302 Found\r\nLocation: http://127.0.0.1:9/\r\n", "500 No\r\n"],
    ids=["taken", "redirect", "error"],
)
def test_a_huge_answer_is_not_read(head: str) -> None:
    """300 MB take no memory (requests reads the whole body of a redirect)."""
    whole = 300 << 20

    def play(peer: Peer) -> None:
        peer.read()
        peer.write(f"HTTP/1.1 {head}Content-Length: {whole}\r\n\r\n".encode())
        for _ in range(whole >> 16):
            peer.write(b" " * (1 << 16))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with RawServer(play) as server:
        transport = HttpTransport(server.origin, timeout=5)
        if head.startswith("200"):
            transport.send(make_batch(0, 2))
        else:
            with pytest.raises(TemporaryError, match=f"answered {head[:3]}"):
                transport.send(make_batch(0, 2))
        transport.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB, on macOS bytes
    assert grown < (50 << 10) * (1024 if sys.platform == "darwin" else 1)


BROKEN = {
    "cut": HEAD + b'Content-Length: 60\r\n\r\n{"rejected": [0',
    "cut at once": HEAD + b"Content-Length: 60\r\n\r\n",
    "cut chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "no last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
    "two lengths": HEAD + b"Content-Length: 5, 6\r\n\r\nhello",
    "endless line": HEAD + b"X: " + b"y" * 100_000,
    "many headers": HEAD + b"X: y\r\n" * 1000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_acknowledges_nothing(answer: bytes) -> None:
    """What was cut off might have said that something was refused."""

    def play(peer: Peer) -> None:
        peer.read()
        peer.write(answer)

    with RawServer(play) as server:
        assert "broke off" in refusal(server.origin)


def test_an_answer_that_is_compressed_against_our_will_is_read() -> None:
    """It may say that something was refused; of a bomb only the beginning is inflated."""
    body = b'{"rejected": [1], "x": "' + b"x" * (100 << 20)
    for text, told in ((b'{"rejected": [1]}', {1}), (body, "the answer names more")):
        data = zlib.compress(text, wbits=31)
        answer = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
        play, _ = answering(answer + data)
        with RawServer(play) as server:
            transport = HttpTransport(server.origin)
            with pytest.raises(RejectedError) as caught:
                transport.send(make_batch(0, 2))
            transport.close()
        reasons = caught.value.reasons
        assert reasons.startswith(told) if isinstance(reasons, str) else set(reasons) == told


def test_an_answer_without_length_ends_with_the_connection() -> None:
    """As in HTTP/1.0; the next request makes a connection of its own."""

    def play(peer: Peer) -> None:
        peer.read()
        peer.write(b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"rejected": [1]}')

    with RawServer(play) as server:
        transport = HttpTransport(server.origin)
        for _ in range(2):
            with pytest.raises(RejectedError) as caught:
                transport.send(make_batch(0, 2))
            assert {1} == set(caught.value.reasons)
        transport.close()
        assert 2 == server.connections


@pytest.mark.parametrize("hint", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_a_preliminary_answer_is_not_the_answer(hint: bytes) -> None:
    """What follows it must not be taken for the answer to the next request."""

    def play(peer: Peer) -> None:
        answers = iter([b"200 OK", b"400 Bad Request"] * 2)
        while peer.read() is not None:
            peer.write(b"HTTP/1.1 %b\r\nLink: </x>\r\n\r\n" % hint)
            peer.closing.wait(0.05)  # the rest comes in a packet of its own
            peer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % next(answers))

    with RawServer(play) as server:
        transport = HttpTransport(server.origin)
        for _ in range(2):
            transport.send(make_batch(0, 2))
            with pytest.raises(RejectedError):
                transport.send(make_batch(3, 5))
        transport.close()
        assert 1 == server.connections


# ---------------------------------------------------------------------- connections


def test_a_connection_closed_while_idle_costs_nothing() -> None:
    """Each batch arrives once: a server that keeps no identities would keep it twice."""
    requests: list[Raw] = []
    closed = threading.Event()

    def play(peer: Peer) -> None:
        if (request := peer.read()) is not None:
            requests.append(request)
            peer.write(OK)
            peer.connection.shutdown(socket.SHUT_RDWR)
            closed.set()

    with RawServer(play) as server:
        transport = HttpTransport(server.origin)
        for number in range(5):
            transport.send(make_batch(number, number))
            assert closed.wait(5)
            closed.clear()
        transport.close()
        assert 5 == server.connections
    assert [line(n) for n in range(5)] == [request.body[9:-2] + b"\n" for request in requests]


def test_a_connection_is_used_again() -> None:
    """Many requests, one connection."""
    play, requests = answering(OK)
    with RawServer(play) as server:
        transport = HttpTransport(server.origin)
        for number in range(20):
            transport.send(make_batch(number, number))
        transport.close()
        assert (20, 1) == (len(requests), server.connections)


def test_no_cookie_is_sent_back() -> None:
    """The server cannot mark us."""
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: id=4711; Path=/\r\nContent-Length: 0\r\n\r\n"
    play, requests = answering(cookie)
    with RawServer(play) as server:
        transport = HttpTransport(server.origin)
        for _ in range(2):
            transport.send(make_batch(0, 2))
        transport.close()
    assert [None, None] == [request.header("Cookie") for request in requests]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_host_is_never_asked(status: int) -> None:
    """A redirect is an answer like others that are none."""
    play, requests = answering(OK)
    with RawServer(play) as other:
        to = f"HTTP/1.1 {status} X\r\nLocation: {other.origin}/\r\nContent-Length: 0\r\n\r\n"
        answer, _ = answering(to.encode())
        with RawServer(answer) as server:
            assert "redirect" in refusal(server.origin, token="token")
        assert (0, []) == (other.connections, requests)


def test_a_redirect_to_nonsense_is_a_redirect() -> None:
    """Nobody looks where to."""
    play, _ = answering(b"HTTP/1.1 302 X\r\nLocation: http://[::\xff/\r\nContent-Length: 0\r\n\r\n")
    with RawServer(play) as server:
        assert "redirect" in refusal(server.origin)


def test_ipv6() -> None:
    """An address in brackets."""
    play, requests = answering(OK)
    try:
        server = RawServer(play, host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    with server:
        transport = HttpTransport(f"{server.origin}/logs")
        transport.send(make_batch(0, 2))
        transport.close()
    assert f"[::1]:{server.port}" == requests[0].header("Host")
