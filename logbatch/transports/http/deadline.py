"""One deadline for a whole HTTP request, kept also against a server that drips.

The timeouts of `requests` bound each wait for the next bytes, so a server that sends one byte a
second holds a request as long as it likes.  Here the socket itself knows the deadline: before each
operation its timeout is set to the time that is left.  Only the system's name resolution cannot be
bounded.

It is a socket of the system's also where gevent or eventlet has replaced those: see
`logbatch.native`.  Their TLS sockets cannot be taken off their own, so there `SSLTransport` of
urllib3 does TLS, over our socket.
"""

from __future__ import annotations

import errno
import http.client
import select
import socket
import ssl
import time
from _queue import SimpleQueue
from functools import partial
from typing import Any, Self

import requests.adapters
import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs
from urllib3.util.ssltransport import SSLTransport

from logbatch.native import original
from logbatch.transports.http.quiet import quiet


class Deadline:
    """When the request that is under way must have ended.

    Attributes:
        query: The query of its URL, where keys may stand.  Only the connection is told: urllib3
            logs, at DEBUG, the URL that it is given, and any handler may show that.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self.query = ""

    def begin(self, seconds: float) -> None:
        """Begin a request that may take so long."""
        self._at = time.monotonic() + seconds

    def left(self, share: int = 1) -> float:
        """Return the seconds that are left, or a share of them.

        Args:
            share: How many things have to be done in that time, one after the other.

        Raises:
            TimeoutError: There are none.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the request is up")
        return left / share


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Carries requests over connections that end with the deadline.

    Args:
        deadline: Shared by all connections, as one thread sends one request at a time.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._pools = _make_pools(deadline)
        super().__init__(pool_connections=2, pool_maxsize=1)

    def send(self, *args: Any, **keywords: Any) -> requests.Response:
        with quiet():
            return super().send(*args, **keywords)

    def request_url(self, *args: Any, **keywords: Any) -> str:
        url, mark, query = super().request_url(*args, **keywords).partition("?")
        self._deadline.query = mark + query
        return url

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **keywords)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _make_pools(deadline: Deadline) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Make classes of sockets, connections and pools of them that know the deadline."""
    system_socket: Any = original("socket", "socket")
    is_replaced = system_socket is not socket.socket

    class PlainSocket(_Bounded, system_socket):  # type: ignore[misc]
        limit = deadline

    class TlsSocket(_Bounded, ssl.SSLSocket):
        limit = deadline

        def send(self, *args: Any) -> Any:
            try:
                return super().send(*args)
            except ssl.SSLEOFError as error:
                # To urllib3 only this means that the answer may be there: 413, say, from a server
                # that closes before it has read everything.
                raise BrokenPipeError(errno.EPIPE, "closed by the server") from error

    class Asking:
        sock: Any

        @property
        def is_connected(self) -> bool:
            if is_replaced and hasattr(select, "POLLIN"):
                return self.sock is not None and not _has_input(self.sock)
            return bool(super().is_connected)  # type: ignore[misc]

        def putrequest(self, method: str, url: str, *args: Any, **keywords: Any) -> None:
            super().putrequest(method, url + deadline.query, *args, **keywords)  # type: ignore[misc]

    class PlainConnection(Asking, urllib3.connection.HTTPConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _connect(self, PlainSocket)

    class TlsConnection(Asking, urllib3.connection.HTTPSConnection):
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            return _connect(self, PlainSocket)

        def connect(self) -> None:
            if self.ssl_context is None:
                context = create_urllib3_context(cert_reqs=resolve_cert_reqs(self.cert_reqs))
                context.sslsocket_class = TlsSocket
                if is_replaced:
                    context.wrap_socket = partial(_wrap, context)  # type: ignore[assignment, method-assign]
                self.ssl_context = context
            super().connect()

    class PlainPool(urllib3.HTTPConnectionPool):
        QueueCls = _Queue  # type: ignore[assignment]
        ConnectionCls = PlainConnection

    class TlsPool(urllib3.HTTPSConnectionPool):
        QueueCls = _Queue  # type: ignore[assignment]
        ConnectionCls = TlsConnection

        def _validate_conn(self, conn: Any) -> None:
            if conn.is_closed:
                conn.connect()
            # No warning where nothing is verified: `insecure=True` was said, and where warnings
            # are errors it would keep every request from being sent.

    return {"http": PlainPool, "https": TlsPool}


class _Response(http.client.HTTPResponse):
    """Steps over preliminary answers: RFC 9110, section 15.2.

    `http.client` knows only 100; of 103 and 200 it would take the 103 for the answer, and the 200
    for that to the next request.
    """

    def begin(self) -> None:
        super().begin()
        while 100 <= self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]  # not begun yet
            super().begin()


class _Bounded:
    """Sets the timeout of a socket to what is left, before everything that may wait."""

    limit: Deadline

    def connect_in_time(self, address: Any, others: int) -> None:
        """Connect, leaving as much time for each of the other addresses."""
        self.settimeout(self.limit.left(1 + others))  # type: ignore[attr-defined]
        self.connect(address)  # type: ignore[attr-defined]

    def do_handshake(self, *args: Any) -> Any:
        return self._bounded(super().do_handshake, args)  # type: ignore[misc]

    def recv(self, *args: Any) -> Any:
        return self._bounded(super().recv, args)  # type: ignore[misc]

    def recv_into(self, *args: Any) -> Any:
        return self._bounded(super().recv_into, args)  # type: ignore[misc]

    def send(self, *args: Any) -> Any:
        return self._bounded(super().send, args)  # type: ignore[misc]

    def sendall(self, *args: Any) -> Any:
        return self._bounded(super().sendall, args)  # type: ignore[misc]

    def _bounded(self, method: Any, args: tuple[Any, ...]) -> Any:
        self.settimeout(self.limit.left())  # type: ignore[attr-defined]
        return method(*args)


class _Queue(SimpleQueue[Any]):
    """The queue of a pool, which holds one connection: not one whose locks may be gevent's."""

    def __new__(cls, _size: int) -> Self:
        return super().__new__(cls)


def _has_input(connected: Any) -> bool:
    """Return whether there is something to read, be it the end, without asking a hub."""
    poll = original("select", "poll")()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _wrap(context: ssl.SSLContext, connected: Any, server_hostname: str) -> SSLTransport:
    return SSLTransport(connected, context, server_hostname)


def _connect(connection: urllib3.connection.HTTPConnection, kind: type[Any]) -> socket.socket:
    """Connect to the first address of a host that answers."""
    failed: OSError | None = None
    try:
        host = connection.host.strip("[]")  # of an IPv6 address
        look_up = original("socket", "getaddrinfo")
        addresses = look_up(host, connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(connection.host, connection, error) from error  # type: ignore[arg-type]
    for index, (family, type_, protocol, _, address) in enumerate(addresses, 1):
        try:
            return _reach(kind(family, type_, protocol), address, len(addresses) - index)
        except OSError as error:
            failed = error
    raise NewConnectionError(connection, f"cannot connect: {failed}") from failed


def _reach(made: Any, address: Any, others: int) -> socket.socket:
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect_in_time(address, others)
    except BaseException:
        made.close()
        raise
    reached: socket.socket = made
    return reached
