"""TLS and proxies: who is trusted, what a proxy learns, and what is said when either refuses."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme
from make import make_batch
from rawserver import OK, Peer, Play, Raw, RawServer, answering, refusal

from logbatch.errors import RejectedError
from logbatch.transports.base import Batch
from logbatch.transports.http.transport import HttpTransport


class Authority:
    """A certificate authority that nobody knows.

    Attributes:
        path: Where its certificate is.
    """

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.path = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.path)

    def context(self, name: str = "127.0.0.1", **options: Any) -> ssl.SSLContext:
        """Make a server's side of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(name, **options).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of this test's own."""
    return Authority(tmp_path)


def test_an_unknown_certificate_is_refused(authority: Authority) -> None:
    """Nothing is sent, unless the authority is named, or insecure=True."""
    play, requests = answering(OK)
    with RawServer(play, tls=authority.context()) as server:
        told = refusal(server.origin)
        why = "unable to get local issuer certificate"
        assert f"{server.origin}: the server's certificate is not trusted: {why}" == told
        assert [] == requests
        with warnings.catch_warnings(record=True) as warned:
            for options in ({"verify": authority.path}, {"verify": False, "insecure": True}):
                transport = HttpTransport(server.origin, **options)
                transport.send(make_batch(0, 2))
                transport.close()
    assert (2, []) == (len(requests), warned)


YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.UTC)
PAST = {"not_before": NOW - 2 * YEAR, "not_after": NOW - YEAR}


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("127.0.0.1", PAST, "certificate has expired"),
        ("example.org", {}, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
    ],
)
def test_a_wrong_certificate_is_refused(
    authority: Authority, name: str, options: dict[str, Any], reason: str
) -> None:
    """One that is out of date, or another's."""
    play, requests = answering(OK)
    with RawServer(play, tls=authority.context(name, **options)) as server:
        told = refusal(server.origin, verify=authority.path)
    assert told.endswith(f"the server's certificate is not trusted: {reason}")
    assert [] == requests


def proxying(seen: list[Raw]) -> Play:
    """Make a proxy: CONNECT, or answer in the server's name."""

    def play(peer: Peer) -> None:
        request = peer.read()
        assert request is not None
        seen.append(request)
        if not request.target.startswith(b"CONNECT"):
            peer.write(OK)
            return
        host, port = request.target.split()[1].decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as onward:
            peer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, peer.connection))
            back.start()
            pump(peer.connection, onward)
            back.join()

    return play


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until there is no more."""
    try:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


@pytest.mark.parametrize("proxy_tls", [False, True])
def test_a_proxy_connects(authority: Authority, proxy_tls: bool) -> None:
    """TLS goes through it, and what is secret stays in it; its password is for it alone."""
    play, requests = answering(OK)
    seen: list[Raw] = []
    context = authority.context() if proxy_tls else None
    with (
        RawServer(play, tls=authority.context()) as server,
        RawServer(proxying(seen), tls=context) as proxy,
    ):
        transport = HttpTransport(
            f"{server.origin}/logs?api_key=query4711",
            token="token4711",
            verify=authority.path,
            proxies=proxy.origin.replace("//", "//me:pass4711@"),
        )
        transport.send(make_batch(0, 2))
        transport.close()
    assert seen[0].target.startswith(b"CONNECT 127.0.0.1:%d HTTP/1." % server.port)
    assert "Basic bWU6cGFzczQ3MTE=" == seen[0].header("Proxy-Authorization")
    assert b"token4711" not in seen[0].head and b"query4711" not in seen[0].head
    assert b"POST /logs?api_key=query4711 HTTP/1.1" == requests[0].target
    assert "Bearer token4711" == requests[0].header("Authorization")
    assert requests[0].header("Proxy-Authorization") is None


def test_a_proxy_is_asked_for_a_plain_url() -> None:
    """With the whole URL."""
    seen: list[Raw] = []
    with RawServer(proxying(seen)) as proxy:
        transport = HttpTransport("http://127.0.0.1:9/logs?a=1", proxies=proxy.origin)
        transport.send(make_batch(0, 2))
        transport.close()
    assert b"POST http://127.0.0.1:9/logs?a=1 HTTP/1.1" == seen[0].target


def test_a_proxy_that_refuses() -> None:
    """It is said who refused, and how."""
    play, _ = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with RawServer(play) as proxy:
        told = refusal("https://127.0.0.1:9", proxies=proxy.origin)
    assert told.endswith(": the proxy does not connect: 407 Proxy Authentication Required")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    told = refusal("https://127.0.0.1:9", proxies=f"http://me:pass4711@127.0.0.1:{port}")
    assert told.endswith(": the connection to the proxy failed: Connection refused")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_answer_before_all_is_sent(authority: Authority, *, tls: bool) -> None:
    """A server that says 413 and closes before it has read everything is heard."""

    def play(peer: Peer) -> None:
        peer.connection.recv(1000)
        peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        peer.closing.wait(0.2)  # the client has come to a halt, as nobody reads

    big = Batch("p" * 26, 0, 0, b'{"message":"%b"}\n' % (b"x" * (20 << 20)))
    with RawServer(play, tls=authority.context() if tls else None) as server:
        transport = HttpTransport(server.origin, compression="none", verify=authority.path)
        with pytest.raises(RejectedError, match="answered 413"):
            transport.send(big)
        transport.close()
