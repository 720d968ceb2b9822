"""One view of one client: its rows, its statistics, its pages, and what is new for it.

All of it ends at once when the client wants to see something else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.rows import Row
from logbatch.dataset.snapshot import Snapshot
from logbatch.errors import FilterError
from logbatch.server.viewer import pages, wire
from logbatch.server.viewer.following import Behind, Following, Inbox
from logbatch.server.viewer.live import EVERY, Poller
from logbatch.server.viewer.messages import Look, Mistake, Page, as_mistake
from logbatch.server.viewer.outbox import Outbox
from logbatch.server.viewer.room import Room

_PAGES = 32  # that may be asked for at one time


class View:
    """A view; it lives on the event loop, and works on the threads of the room.

    Args:
        room: What it looks at.
        poller: Tells what is new.
        look: What is wanted.
        outbox: Where messages go.
        looked: Called when the directory has been read, and may have turned out to have problems.
    """

    def __init__(
        self,
        room: Room,
        poller: Poller,
        look: Look,
        outbox: Outbox,
        looked: Callable[[], object],
    ) -> None:
        self._room = room
        self._poller = poller
        self._look = look
        self._outbox = outbox
        self._looked = looked
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._asked: asyncio.Queue[Page] = asyncio.Queue(_PAGES)
        self._inbox = Inbox()
        self._news = asyncio.Event()
        self._is_behind = False
        self._listening: object | None = None

    @property
    def generation(self) -> int:
        """Its number."""
        return self._look.generation

    def ask(self, page: Page) -> None:
        """Have other rows sent."""
        try:
            self._asked.put_nowait(page)
        except asyncio.QueueFull:
            self._mistake(Mistake("view", "too many pages are asked for at one time"))

    async def run(self) -> None:
        """Send what is wanted, until cancelled."""
        try:
            where = self._look.filter()
        except FilterError as error:
            self._mistake(as_mistake(error))
            return
        try:
            await self._show(where)
        finally:
            self._stop.set()
            if self._listening is not None:
                self._poller.leave(self._listening)

    async def _show(self, where: Filter) -> None:
        snapshot, first = await self._room.rows.do(self._stop, partial(self._first, where))
        self._outbox.put(first, self.generation)
        self._looked()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_pages(snapshot, where))
            if self._look.follow:
                group.create_task(self._follow(Following(where, snapshot.covered)))

    def _first(self, where: Filter) -> tuple[Snapshot, bytes]:
        """Return where each record is, and the first message."""
        if self._look.follow:  # before the snapshot: see `live`
            self._listening = self._poller.listen(self._told)
        snapshot = self._room.snapshot()
        first = pages.first(self._room, snapshot, where, self._look.count)
        rows = wire.columnar(first.rows, self._look.columns)
        fields = {"offset": 0, "count": len(first.rows), "rows": rows, "more": first.more}
        return snapshot, self._encode("rows", **fields, total=None)

    # ------------------------------------------------------------------ pages

    async def _send_pages(self, snapshot: Snapshot, where: Filter) -> None:
        while True:
            page = await self._asked.get()
            rows = await self._room.rows.do(self._stop, partial(self._page, snapshot, where, page))
            self._send("page", offset=page.offset, rows=rows)

    def _page(self, snapshot: Snapshot, where: Filter, page: Page) -> msgspec.Raw:
        rows = pages.page(self._room, snapshot, where, page.offset, page.count)
        return wire.columnar(rows, self._look.columns)

    # ------------------------------------------------------------------ what is new

    def _told(self, rows: Sequence[Row] | None) -> None:
        """Take what the poller tells, on its thread."""
        self._loop.call_soon_threadsafe(self._keep, rows)

    def _keep(self, rows: Sequence[Row] | None) -> None:
        try:
            if rows is None:
                raise Behind
            self._inbox.put(rows)
        except Behind:
            self._is_behind = True
        self._news.set()

    async def _follow(self, following: Following) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._is_behind:
                text = "more came than could be looked at: ask for the view again"
                self._mistake(Mistake("server", text))
                return
            began = time.monotonic()
            rows = self._inbox.take()
            found = await self._room.rows.do(self._stop, partial(self._append, following, rows))
            if found is not None:
                self._outbox.put(found, self.generation)
                await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))

    def _append(self, following: Following, rows: Sequence[Row]) -> bytes | None:
        found = following.look(rows)
        if found is None:
            return None
        found["rows"] = wire.columnar(found["rows"], self._look.columns)
        return self._encode("append", **found)

    # ------------------------------------------------------------------ messages

    def _send(self, kind: str, **fields: Any) -> None:
        self._outbox.put(self._encode(kind, **fields), self.generation)

    def _encode(self, kind: str, **fields: Any) -> bytes:
        return wire.encode({"type": kind, "generation": self.generation, **fields})

    def _mistake(self, mistake: Mistake) -> None:
        mistake.generation = self.generation
        self._outbox.put(wire.encode(mistake), self.generation)
