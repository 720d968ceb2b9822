"""The socket of the page, by uvicorn and websockets, for clients that do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from logbatch.server.guard import Watch, drop

_SECONDS = 30.0  # for which a client may read nothing of what waits for it
_KEY = "logbatch.drop"

LONGEST = 64 << 10
"""Bytes of a message that a client may send."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """The protocol of one connection that has become a socket."""

    _watch: Watch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch = Watch(transport, self.loop, _SECONDS)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:  # else there is no application to tell
            self.scope["extensions"][_KEY] = {"drop": self._drop}

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.stop()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.get_write_buffer_size() > 0:
            drop(self.transport)

    def _drop(self) -> None:
        drop(self.transport)


def dropper(scope: Scope) -> Callable[[], None]:
    """Return what closes the connection of a socket at once."""
    found: Callable[[], None] = scope["extensions"][_KEY]["drop"]
    return found
