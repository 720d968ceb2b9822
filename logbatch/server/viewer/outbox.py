"""What is to be sent to one client, in order, and never much of it.

A client that does not read makes its messages wait here, and nobody else's.  There is room for some
megabytes; one that is so far behind is dropped.  What belongs to a view that was superseded is
not sent any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

ROOM = 8 << 20
"""Bytes that may wait."""


class _Message(NamedTuple):
    text: str
    generation: int | None


class Outbox:
    """Messages that wait; only the event loop's thread may use it.

    Args:
        send: Sends a text, and returns when there is room for another one.
        overflow: Called when too much waits.
    """

    def __init__(
        self, send: Callable[[str], Awaitable[None]], overflow: Callable[[], object]
    ) -> None:
        self._send = send
        self._overflow = overflow
        self._waiting: deque[_Message] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._generation = -1

    def supersede(self, generation: int) -> None:
        """Forget what belongs to other views than this one, now and later."""
        self._generation = generation
        kept = [each for each in self._waiting if self._is_wanted(each)]
        self._waiting = deque(kept)
        self._size = sum(len(each.text) for each in kept)

    def _is_wanted(self, message: _Message) -> bool:
        return message.generation in (None, self._generation)

    def put(self, message: bytes, generation: int | None = None) -> None:
        """Have a message sent, if its view is still wanted.

        Args:
            message: The text, encoded.
            generation: Of which view; None for what belongs to none.
        """
        waiting = _Message(message.decode(), generation)
        if self._is_wanted(waiting):
            self._waiting.append(waiting)
            self._size += len(waiting.text)
            self._news.set()
            if self._size > ROOM and len(self._waiting) > 1:
                self._overflow()

    async def run(self) -> None:
        """Send what there is, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                message = self._waiting.popleft()
                self._size -= len(message.text)
                await self._send(message.text)
