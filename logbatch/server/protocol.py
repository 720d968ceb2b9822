"""HTTP/1.1 by uvicorn and h11, with deadlines that these do not have.

Headers must be there within a time, counted from when the connection was opened or, on one that is
kept open, from the first byte of the next request; else the answer is 408.  What is left of a
body that was refused is read and thrown away, so that the client gets to read the answer; but that
too has its deadline, and does not go on for many small chunks.  Who sends many requests without
waiting for their answers is dropped.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from logbatch.server.chunks import Connection, SmallChunks

_AHEAD = 64 << 10  # bytes of further requests that a client may send before it has its answer
_LINGER = 1.0  # seconds in which a client may read why it was refused, and send what it likes


def _answer(status: bytes, reason: bytes) -> bytes:
    said = b'{"success":false,"error":"%b"}' % reason
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n" % status
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(said), said)


_TOO_SLOW = _answer(b"408 Request Timeout", b"the headers took too long")
_TOO_SMALL = _answer(b"400 Bad Request", b"the body comes in too many small chunks")


class DeadlineProtocol(H11Protocol):
    """The protocol of one connection.

    Attributes:
        header_seconds: Until all headers are there.
        body_seconds: Until a body that nobody wants is there.
    """

    header_seconds = 30.0
    body_seconds = 30.0
    _headers: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _refused = False  # what comes is not even looked at

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = Connection()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) > _AHEAD:
            self.transport.close()  # each answer would let more of it in
        if self._rest is not None and self.conn.our_state is not h11.DONE:  # all of it came
            self._rest.cancel()
            self._rest = None
        if self.conn.their_state is not h11.IDLE:
            self._stop_awaiting()
        elif self._headers is None:
            self._await_headers()

    def handle_events(self) -> None:
        try:
            super().handle_events()
        except SmallChunks:
            self._refuse_chunks()

    def on_response_complete(self) -> None:
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._rest = self.loop.call_later(self.body_seconds, self._rest_too_slow)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        if self._rest is not None:
            self._rest.cancel()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._headers = self.loop.call_later(self.header_seconds, self._headers_too_slow)

    def _stop_awaiting(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _headers_too_slow(self) -> None:
        self._headers = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()

    def _rest_too_slow(self) -> None:
        self._rest = None
        self.transport.close()

    def _refuse_chunks(self) -> None:
        """Say why, and close; not at once, or what was not read yet would take the answer away."""
        self._refused = True
        if self.conn.our_state is h11.SEND_RESPONSE:
            self.cycle.disconnected = True  # the application answers to nobody
            self.cycle.message_event.set()
            self.transport.write(_TOO_SMALL)
        self._rest = self.loop.call_later(_LINGER, self._rest_too_slow)
        if self.transport.can_write_eof():
            self.transport.write_eof()
