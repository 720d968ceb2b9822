"""HTTP/1.1 by uvicorn and h11, with deadlines that these do not have.

Headers must be there within a time, counted from when the connection was opened or, on one that is
kept open, from the first byte of the next request; else the answer is 408.  What is left of a
body that was refused is read and thrown away, so that the client gets to read the answer; but that
too has its deadline.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_SLOW = b'{"success":false,"error":"the headers took too long"}'
_ANSWER = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
) % (len(_TOO_SLOW), _TOO_SLOW)


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._rest is not None and self.conn.our_state is not h11.DONE:  # all of it came
            self._rest.cancel()
            self._rest = None
        if self.conn.their_state is not h11.IDLE:
            self._stop_awaiting()
        elif self._headers is None:
            self._await_headers()

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
            self.transport.write(_ANSWER)
            self.transport.close()

    def _rest_too_slow(self) -> None:
        self._rest = None
        self.transport.close()
