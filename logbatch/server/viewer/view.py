"""One view of one client: its rows, its statistics, its pages, and what is new for it.

Rows come first, and never wait for the statistics, which are computed beside.  All of it ends at
once when the client wants to see something else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from logbatch.dataset.marks import Mark
from logbatch.epoch import to_datetime
from logbatch.errors import FilterError, LogbatchError
from logbatch.server.viewer import pages, wire
from logbatch.server.viewer.following import Behind, Following, Inbox
from logbatch.server.viewer.live import EVERY, Poller
from logbatch.server.viewer.messages import Look, Mistake, Page, as_mistake
from logbatch.server.viewer.outbox import Outbox
from logbatch.server.viewer.pinned import Pinned
from logbatch.server.viewer.room import Room
from logbatch.server.viewer.statistics import Asked, Known, Statistics, describe_mark

_AGAIN = 1.0  # seconds between two looks whether there may be new ones
_MARKS = 0.2  # seconds that statistics wait for them
_PAGES = 32  # that may be asked for at one time


class View:
    """A view; it lives on the event loop, and works on the threads of the room.

    Args:
        room: What it looks at.
        poller: Tells what is new.
        known: What is known of views.
        look: What is wanted.
        outbox: Where messages go.
        looked: Called when the directory has been read, and may have turned out to have problems.
    """

    def __init__(
        self,
        room: Room,
        poller: Poller,
        known: Known,
        look: Look,
        outbox: Outbox,
        looked: Callable[[], object],
    ) -> None:
        self._room = room
        self._poller = poller
        self._known = known
        self._look = look
        self._outbox = outbox
        self._looked = looked
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._wanted: asyncio.Queue[Page] = asyncio.Queue(_PAGES)
        self._counted: asyncio.Future[Statistics] = self._loop.create_future()
        self._marks: asyncio.Future[Sequence[Mark]] = self._loop.create_future()
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
            self._wanted.put_nowait(page)
        except asyncio.QueueFull:
            self._mistake(Mistake("view", "too many pages are asked for at one time"))

    async def run(self) -> None:
        """Send what is wanted, until cancelled."""
        look = self._look
        try:
            asked = Asked(look.parse(), look.start, look.end, look.bins)
        except FilterError as error:
            self._mistake(as_mistake(error))
            return
        try:
            await self._show(asked)
        finally:
            self._stop.set()
            self._counted.cancel()
            self._marks.cancel()
            if self._listening is not None:
                self._poller.leave(self._listening)

    async def _show(self, asked: Asked) -> None:
        pinned, known, message = await self._room.rows.do(self._stop, partial(self._first, asked))
        if known is not None:
            self._know(known)
        self._outbox.put(message, self.generation)
        self._looked()
        async with asyncio.TaskGroup() as group:
            if known is None:
                group.create_task(self._count(pinned, asked))
            if known is None or known.marks is None:
                group.create_task(self._mark(pinned, asked))
            else:
                self._marks.set_result(known.marks)
            group.create_task(self._send_pages(pinned, asked))
            if self._look.follow:
                following = Following(asked, pinned.covered, self._look.columns)
                group.create_task(self._follow(following))
                group.create_task(self._mark_again(asked, following))

    def _first(self, asked: Asked) -> tuple[Pinned, Statistics | None, bytes]:
        """Return where each record is, what is known already, and the first message."""
        if self._look.follow:  # before the snapshot: see `live`
            self._listening = self._poller.listen(self._told)
        pinned = Pinned(self._room, self._room.snapshot())
        first = pinned.read(partial(self._first_page, asked))
        fields: dict[str, Any] = {"total": None}
        statistics = self._known.find(pinned, asked)
        if statistics is not None:
            fields = {"total": statistics.total, "stats": statistics.message()}
        rows = wire.columnar(first.rows, self._look.columns)
        fields |= {"offset": 0, "count": len(first.rows), "rows": rows, "more": first.more}
        return pinned, statistics, self._encode("rows", **fields)

    def _first_page(self, asked: Asked, snapshot: Any) -> pages.First:
        return pages.first(self._room, snapshot, asked, self._look.count)

    # ------------------------------------------------------------------ statistics

    async def _count(self, pinned: Pinned, asked: Asked) -> None:
        compute = partial(self._known.compute, pinned, asked)
        try:
            statistics = await self._room.statistics.do(self._stop, compute)
        except LogbatchError as error:
            self._counted.set_exception(error)
            self._counted.exception()  # told here, to whoever waits or not
            self._mistake(Mistake("server", self._room.public(str(error))))
            return
        await asyncio.wait((self._marks,), timeout=_MARKS)
        if self._marks.done():
            statistics = statistics._replace(marks=self._marks.result())
        self._known.keep(pinned, asked, statistics)
        self._know(statistics)
        self._send("stats", stats=statistics.message())
        self._looked()

    async def _mark(self, pinned: Pinned, asked: Asked) -> None:
        """Find the marks; where that takes longer than the statistics, send them behind these."""
        found = await self._find_marks(asked)
        self._marks.set_result(found)
        if self._counted.done() and self._counted.exception() is None:
            statistics = self._counted.result()._replace(marks=found)
            self._known.keep(pinned, asked, statistics)
            self._send("marks", marks=list(map(describe_mark, found)))

    async def _find_marks(self, asked: Asked) -> Sequence[Mark]:
        start, end = (None if at is None else to_datetime(at) for at in (asked.start, asked.end))
        find = partial(self._room.dataset.marks, start, end)
        try:
            return await self._room.asked.do(self._stop, find)
        except LogbatchError:  # of which the statistics tell, too
            return ()

    async def _mark_again(self, asked: Asked, following: Following) -> None:
        """Send the marks again when somebody has begun to log: that is a mark."""
        await asyncio.wait((self._marks,))
        while True:
            await asyncio.sleep(_AGAIN)
            if following.is_joined:
                following.is_joined = False
                found = await self._find_marks(asked)
                self._send("marks", marks=list(map(describe_mark, found)))

    def _know(self, statistics: Statistics) -> None:
        if not self._counted.done():
            self._counted.set_result(statistics)
            self._news.set()  # what came meanwhile has its bars now

    # ------------------------------------------------------------------ pages

    async def _send_pages(self, pinned: Pinned, asked: Asked) -> None:
        while True:
            page = await self._wanted.get()
            statistics = None
            if self._counted.done() or page.offset + page.count > pages.NEAR:
                try:
                    statistics = await asyncio.shield(self._counted)
                except LogbatchError:
                    if page.offset + page.count > pages.NEAR:
                        self._mistake(Mistake("view", "rows so far back cannot be found"))
                        continue
            read = partial(self._page, pinned, asked, statistics, page)
            rows = await self._room.rows.do(self._stop, read)
            self._send("page", offset=page.offset, rows=rows)

    def _page(
        self, pinned: Pinned, asked: Asked, statistics: Statistics | None, page: Page
    ) -> msgspec.Raw:
        if statistics is None:
            rows = pages.near(self._room, pinned, asked, page)
        else:
            columns = wire.columns_for(self._look.columns)
            rows = pages.anywhere(self._room, pinned, asked, statistics, page, columns)
        return wire.columnar(rows, self._look.columns)

    # ------------------------------------------------------------------ what is new

    def _told(self, table: pa.Table | None) -> None:
        """Take what the poller tells, on its thread."""
        self._loop.call_soon_threadsafe(self._keep, table)

    def _keep(self, table: pa.Table | None) -> None:
        try:
            if table is None:
                raise Behind
            self._inbox.put(table)
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
            if self._counted.done() and self._counted.exception() is None:
                following.place(self._counted.result())
            look = partial(self._append, following, self._inbox.take())
            message = await self._room.rows.do(self._stop, look)
            if message is not None:
                self._outbox.put(message, self.generation)
                await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))

    def _append(self, following: Following, tables: Sequence[pa.Table]) -> bytes | None:
        found = following.look(tables)
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
