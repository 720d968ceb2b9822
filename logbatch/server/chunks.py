"""HTTP/1.1 by h11, which refuses bodies that come in very many small chunks.

A chunk costs some ten microseconds of the one thread that serves all connections, whatever is in
it, and is six bytes on the wire.
"""

from __future__ import annotations

import h11

_FREE = 4000  # chunks of any size
_MEAN = 256  # bytes that each further one must have, on average
_UNWANTED = 256  # chunks of a body that is answered already


class SmallChunks(Exception):
    """A body has too many chunks for its bytes."""


class Connection(h11.Connection):
    """The server's side of a connection."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._chunks = self._unwanted = self._bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event.

        Raises:
            SmallChunks: The body that it is of has too many chunks.
        """
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._count(event)
        elif isinstance(event, h11.EndOfMessage):
            self._chunks = self._unwanted = self._bytes = 0
        return event

    def _count(self, data: h11.Data) -> None:
        self._bytes += len(data.data)
        self._chunks += data.chunk_start
        if self.our_state is not h11.SEND_RESPONSE:
            self._unwanted += data.chunk_start
        if self._chunks > _FREE + self._bytes // _MEAN or self._unwanted > _UNWANTED:
            raise SmallChunks
