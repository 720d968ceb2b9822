"""The application: what is answered on which path.

    GET  /              the page
    GET  /static/NAME   what it is made of
    WS   /api/live      what it shows; `docs/view.md` has the messages

Whoever has not the token is told so, and every answer has the headers that keep the page to itself.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from logbatch.server.limits import Refusal
from logbatch.server.viewer.access import HEADERS, Door
from logbatch.server.viewer.answers import refusal
from logbatch.server.viewer.asked import Asked
from logbatch.server.viewer.files import Files
from logbatch.server.viewer.live import Poller
from logbatch.server.viewer.room import Room
from logbatch.server.viewer.session import Session
from logbatch.server.viewer.statistics import Known
from logbatch.trouble import Trouble

STATIC = Path(__file__).with_name("static")
"""Where the files of the page are."""

_LOCKED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>logbatch</title>
<h1>This page needs its token</h1>
<p>Open the URL that <code>logbatch view</code> printed when it was started.</p>
<p>If you have done that before, in this browser: <a href="">go on to the page</a>.</p></html>
"""


class Viewer:
    """The endpoints, and what they share; `close` ends what goes on.

    Args:
        room: What is shown.
        door: Who is let in.
        trouble: Told about faults of ours.
    """

    def __init__(self, room: Room, door: Door, trouble: Trouble) -> None:
        self._room = room
        self._door = door
        self._trouble = trouble
        self._poller = Poller(room, trouble)
        self._known = Known(room)
        self._asked = Asked(room, trouble)
        inside = Starlette(
            routes=[
                *Files(STATIC).routes(),
                WebSocketRoute("/api/live", self._live),
                *self._asked.routes(),
            ],
            exception_handlers={HTTPException: self._not_found},
        )
        inside.router.redirect_slashes = False
        self.app = _Guarded(inside, door)

    def close(self) -> None:
        """End what goes on."""
        self._poller.close()
        self._asked.close()
        self._room.close()

    async def _live(self, socket: WebSocket) -> None:
        await Session(socket, self._room, self._poller, self._known, self._trouble).run()

    async def _not_found(self, _request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        return refusal(Refusal(int(status), HTTPStatus(status).phrase.lower()))


class _Guarded:
    """Lets in whom the door does, and gives every answer its headers."""

    def __init__(self, inside: ASGIApp, door: Door) -> None:
        self._inside = inside
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            found = self._check(scope)
        except Refusal as error:
            found = self._refuse(scope, error)
        if found is None:
            await self._inside(scope, receive, answer)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close()  # which is answered 403
        else:
            await found(scope, receive, answer)

    def _check(self, scope: Scope) -> Response | None:
        connection = HTTPConnection(scope)
        if "\0" in scope["path"]:  # no file of ours, and no file at all
            raise Refusal(404, "not found")
        self._door.check_site(connection)
        if scope["path"] == "/" and (answer := self._door.let_in(connection)) is not None:
            return answer
        self._door.check_token(connection)
        return None

    def _refuse(self, scope: Scope, error: Refusal) -> Response:
        is_page = scope["type"] == "http" and scope["path"] == "/"
        if is_page and error.status == HTTPStatus.UNAUTHORIZED:
            return HTMLResponse(_LOCKED, error.status)
        return refusal(error)
