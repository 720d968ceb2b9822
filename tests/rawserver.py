"""Servers made of sockets, for answers that no HTTP server would give."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import pytest
from make import make_batch

from logbatch.errors import TemporaryError
from logbatch.transports.base import Batch
from logbatch.transports.http.transport import HttpTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Raw(NamedTuple):
    """A request, byte for byte."""

    head: bytes
    body: bytes

    @property
    def target(self) -> bytes:
        """What was asked for, method and version included."""
        return self.head.partition(b"\r\n")[0]

    def header(self, name: str) -> str | None:
        """Return a header's value; None where it is not there."""
        for line in self.head.decode().split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return None


class Peer:
    """The server's end of a connection."""

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.connection = connection
        self.closing = closing
        self._buffer = b""

    def read(self) -> Raw | None:
        """Read a request; None where there is no further one."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        length = int(Raw(head, b"").header("Content-Length") or 0)
        while len(self._buffer) < length:
            if not self._fill():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Raw(head, body)

    def _fill(self) -> bool:
        piece = self.connection.recv(1 << 16)
        self._buffer += piece
        return bool(piece)

    def write(self, data: bytes) -> None:
        """Send something."""
        self.connection.sendall(data)

    def drip(self, data: bytes, seconds: float = 0.1) -> None:
        """Send byte after byte, until the server is closed."""
        for index in range(len(data)):
            self.write(data[index : index + 1])
            if self.closing.wait(seconds):
                return


Play = Callable[[Peer], object]


class RawServer:
    """Plays the same to everybody who connects.

    Args:
        play: What is done with a connection, in a thread of its own.
        host: Where to listen.
        tls: Makes it a TLS server.

    Attributes:
        connections: How many there were.
    """

    def __init__(
        self, play: Play, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.connections = 0
        self.closing = threading.Event()
        self._play, self._tls = play, tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        place = f"[{host}]" if ":" in host else host
        self.origin = f"{'https' if tls else 'http'}://{place}:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # The client may go away at any time: that is what the tests are about.
        with contextlib.suppress(OSError), connection:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                self._play(Peer(connection, self.closing))

    def close(self) -> None:
        """End all connections."""
        self.closing.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answering(*answers: bytes) -> tuple[Play, list[Raw]]:
    """Answer requests one after the other, on all connections, the last answer for ever.

    Returns:
        What to play, and the list of requests that came.
    """
    requests: list[Raw] = []

    def play(peer: Peer) -> None:
        while (request := peer.read()) is not None:
            requests.append(request)
            peer.write(answers[min(len(requests), len(answers)) - 1])

    return play, requests


def refusal(url: str, sent: Batch | None = None, **options: Any) -> str:
    """Send a batch that is not taken, and return why."""
    transport = HttpTransport(url, **{"timeout": 5, **options})
    with pytest.raises(TemporaryError) as caught:
        transport.send(sent or make_batch(0, 2))
    transport.close()
    return str(caught.value)
