"""One client on its socket: what it asks is checked, and answered in order of being found out."""

from __future__ import annotations

import asyncio
import time

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from logbatch.dataset.stopping import Stopped
from logbatch.errors import LogbatchError
from logbatch.server.viewer import messages, wire
from logbatch.server.viewer.live import Poller
from logbatch.server.viewer.messages import Look, Mistake, Page
from logbatch.server.viewer.outbox import Outbox
from logbatch.server.viewer.protocol import dropper
from logbatch.server.viewer.room import Room
from logbatch.server.viewer.statistics import Known
from logbatch.server.viewer.view import View
from logbatch.trouble import Trouble, describe

_RATE = 50.0  # messages a second that a client may send; more wait where they are
_NOTICES = 5  # problems of the directory that are told


class Session:
    """A client; `run` serves it until it goes, or does not read.

    Args:
        socket: Its socket, which is accepted.
        room: What it looks at.
        poller: Tells what is new.
        known: What is known of views.
        trouble: Told about faults of ours.
    """

    def __init__(
        self, socket: WebSocket, room: Room, poller: Poller, known: Known, trouble: Trouble
    ) -> None:
        self._socket = socket
        self._room = room
        self._poller = poller
        self._known = known
        self._trouble = trouble
        self._ended = asyncio.Event()
        self._outbox = Outbox(socket.send_text, self._overflow)
        self._view: View | None = None
        self._showing: asyncio.Task[None] | None = None
        self._told = 0  # problems of the directory

    async def run(self) -> None:
        """Serve the client until it goes."""
        await self._socket.accept()
        tasks = [
            asyncio.ensure_future(each)
            for each in (self._read(), self._outbox.run(), self._ended.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._showing is not None:
                tasks.append(self._showing)
            for task in tasks:
                task.cancel()
            for found in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(found, Exception) and not isinstance(found, WebSocketDisconnect):
                    self._report(found)

    def _overflow(self) -> None:
        """Drop a client that does not read what is sent."""
        dropper(self._socket.scope)()
        self._ended.set()

    async def _read(self) -> None:
        due = time.monotonic()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._take(message.get("text") or "")
            due = max(due + 1 / _RATE, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _take(self, text: str) -> None:
        try:
            wanted = messages.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._outbox.put(wire.encode(Mistake("view", f"this message is wrong: {error}")))
            return
        if isinstance(wanted, Page):
            if self._view is not None and wanted.generation == self._view.generation:
                self._view.ask(wanted)
        elif self._view is not None and wanted.generation <= self._view.generation:
            text = "the number of a view must be greater than that of any before"
            self._outbox.put(wire.encode(Mistake("view", text, wanted.generation)))
        else:
            self._show(wanted)

    def _show(self, look: Look) -> None:
        """Show something else; what was shown before ends."""
        if self._showing is not None:
            self._showing.cancel()
        self._outbox.supersede(look.generation)
        view = self._view = View(
            self._room, self._poller, self._known, look, self._outbox, self._tell_problems
        )
        self._showing = asyncio.ensure_future(self._run(view))

    async def _run(self, view: View) -> None:
        try:
            await view.run()
        except* Stopped:
            pass
        except* Exception as group:
            for error in group.exceptions:
                self._report(error, view.generation)

    def _report(self, error: Exception, generation: int | None = None) -> None:
        """Tell the client what could not be done, and stderr what is a fault of ours."""
        text = "the viewer failed; what it says on stderr tells why"
        if isinstance(error, LogbatchError):
            text = self._room.public(str(error))
        else:
            self._trouble.say("bug", f"a view failed: {describe(error)}; report a bug", error)
        mistake = wire.encode(Mistake("server", text, generation))
        self._outbox.put(mistake, generation)

    def _tell_problems(self) -> None:
        found = self._room.problems(self._told)
        self._told += len(found)
        for text in found[:_NOTICES]:
            self._outbox.put(wire.encode({"type": "notice", "text": text}))
