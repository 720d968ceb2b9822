"""What matches, as a file: it is sent while it is read, so memory holds little of it.

A thread reads and writes, and waits whenever the client is behind.
"""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, cast

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.formats import make_writer
from logbatch.dataset.merge import ordered_tables
from logbatch.dataset.stopping import Stopped, stopping
from logbatch.server.limits import Refusal
from logbatch.server.viewer.room import Room

_AT_ONCE = 4
_PIECE = 1 << 18  # bytes that are sent at a time
_AHEAD = 4  # pieces that wait for the client
_LOOK = 0.1  # seconds between two looks whether it is still there

MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""The formats, and what they are called in HTTP."""


class Exports:
    """Hands out files; `close` ends those that are being sent.

    Args:
        room: Whose records they hold.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._threads = ThreadPoolExecutor(_AT_ONCE, "logbatch-export")
        self._running: set[_Pipe] = set()

    def close(self) -> None:
        """End all."""
        for pipe in list(self._running):
            pipe.stop.set()
        self._threads.shutdown()

    def begin(self, form: str, where: Filter) -> AsyncIterator[bytes]:
        """Return a file bit by bit.

        Raises:
            Refusal: Too many are being sent.
        """
        if len(self._running) >= _AT_ONCE:
            raise Refusal(503, "too many exports are under way", retry_after=10)
        return self._send(form, where)

    async def _send(self, form: str, where: Filter) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        pipe = _Pipe()
        self._running.add(pipe)
        writing = loop.run_in_executor(self._threads, self._write, pipe, form, where)
        try:
            while piece := await asyncio.to_thread(pipe.take):
                yield piece
            await writing
        finally:
            pipe.stop.set()
            self._running.discard(pipe)

    def _write(self, pipe: _Pipe, form: str, where: Filter) -> None:
        try:
            with stopping(pipe.stop), self._room.engine.beside() as engine:
                writer = make_writer(cast(IO[bytes], pipe), form)
                given = self._room.source, self._room.snapshot(), where, engine
                for table in ordered_tables(*given):
                    writer.write(table)
                writer.close()
        except Stopped:
            pass
        finally:
            pipe.end()


class _Pipe(io.RawIOBase):
    """A file whose bytes another thread takes; who writes waits for it.

    Attributes:
        stop: Set when nobody takes them any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()
        self._pieces: queue.Queue[bytes] = queue.Queue(_AHEAD)
        self._rest = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for at in range(0, len(view), _PIECE):
            self._rest += view[at : at + _PIECE]
            if len(self._rest) >= _PIECE:
                self._hand_over()
        return len(view)

    def _hand_over(self) -> None:
        piece = bytes(self._rest)
        self._rest.clear()
        while True:
            if self.stop.is_set():
                raise Stopped
            try:
                self._pieces.put(piece, timeout=_LOOK)
            except queue.Full:
                continue
            return

    def take(self) -> bytes:
        """Return the next piece; an empty one at the end."""
        while True:
            try:
                return self._pieces.get(timeout=_LOOK)
            except queue.Empty:
                if self.stop.is_set():
                    return b""

    def end(self) -> None:
        """Hand over what is left, and say that it is all."""
        try:
            if self._rest:
                self._hand_over()
            self._hand_over()
        except Stopped:
            pass
