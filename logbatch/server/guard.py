"""What one connection may not do to the others, or to whoever shares a proxy with it.

- There is a greatest number of connections.  One more is told to come again (503), and has little
  time to ask for anything; far more are told so at once, and closed.
- Who does not read answers is dropped after a time, with what was still to be sent.
- A request that says twice how long it is, by `Content-Length` and by `Transfer-Encoding`, is
  answered, and the connection closed: a proxy before us may take what follows for something else.
  Source: RFC 9112, section 6.1
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Sequence

import h11
from starlette.types import ASGIApp

from logbatch.server.limits import Limits
from logbatch.server.protocol import DeadlineProtocol
from logbatch.trouble import Trouble

RETRY_AFTER = 5
BUSY = "there are too many connections"

_SPARE = 100  # connections above the limit that may still ask, and get the answer to that
_SECONDS = 5.0  # that these have for it
_AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_CLOSE = (b"connection", b"close")
_LENGTHS = {b"content-length", b"transfer-encoding"}

_SAID = b'{"success":false,"error":"%b"}' % BUSY.encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: %d\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
) % (RETRY_AFTER, len(_SAID), _SAID)


def make_protocol(limits: Limits, refuse: ASGIApp, trouble: Trouble) -> type[DeadlineProtocol]:
    """Make the protocol of a receiver.

    Args:
        limits: Its deadlines, and how many connections it has.
        refuse: What answers on those that are too many.
        trouble: Told about these.
    """

    class Protocol(GuardedProtocol):
        header_seconds = limits.header_timeout
        body_seconds = limits.body_timeout
        most = limits.max_connections
        app_of_surplus = staticmethod(refuse)
        troubles = trouble

    return Protocol


class GuardedProtocol(DeadlineProtocol):
    """The protocol of one connection among others.

    Attributes:
        most: Connections that are answered.
        app_of_surplus: What answers on those that are too many.
        troubles: Told about these.
    """

    most = 1000
    app_of_surplus: ASGIApp
    troubles: Trouble
    _surplus = False
    _watch: Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._watch = Watch(transport, self.loop, self.body_seconds)
        self._surplus = len(self.connections) >= self.most
        if self._surplus:
            self.app = self.app_of_surplus
            self.header_seconds = min(self.header_seconds, _SECONDS)
            self.troubles.say(
                "connections",
                f"there are {self.most} connections already: more are answered 503, and senders"
                " come again; raise --max-connections, or see who keeps so many open",
            )
        super().connection_made(transport)
        if len(self.connections) > self.most + _SPARE:
            self._turn_away()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and _is_ambiguous(self.headers):
            self.headers.append(_CLOSE)  # as if the client had asked for it

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        if self._surplus:  # it would be handed to the application past `app_of_surplus`
            self._turn_away()
        else:
            self._watch.stop()
            super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch.start()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch.stop()
        self._watch.start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.stop()
        super().connection_lost(exc)

    # ------------------------------------------------------------------ too many

    def _headers_too_slow(self) -> None:
        if self._surplus:
            self._turn_away()
        else:
            super()._headers_too_slow()
            self._watch.start()

    def _turn_away(self) -> None:
        self._stop_awaiting()
        if not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()
            self._watch.start()


class Watch:
    """Drops a connection on which nothing of what was sent is read for some time.

    Args:
        transport: The connection.
        loop: Its event loop.
        seconds: How long that may go on.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count, if anything is still to be sent, and that was not begun before."""
        if self._timer is None and self._transport.get_write_buffer_size() > 0:
            self._timer = self._loop.call_later(self._seconds, self._end)

    def stop(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() > 0:
            drop(self._transport)


def drop(transport: asyncio.Transport) -> None:
    """Close a connection at once, with what was still to be sent."""
    connection = transport.get_extra_info("socket")
    if connection is not None:  # else the system would go on to offer what it has
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _is_ambiguous(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return {name for name, _ in headers} >= _LENGTHS
