"""The records that were there when a view began, wherever they are by now.

Files are merged and published while somebody looks; then a new snapshot is taken, of which only
those records count that were in the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import TRIES
from logbatch.server.viewer.room import Room

_T = TypeVar("_T")

_HEAVY = 4 << 20  # bytes of journals that a view does not keep


class Pinned:
    """A snapshot that stays the same.

    Args:
        room: Whose it is.
        snapshot: The first.

    Attributes:
        covered: Producer -> the sequences that are in it.
        mark: Tells it from one that holds other records.
    """

    def __init__(self, room: Room, snapshot: Snapshot) -> None:
        self._room = room
        self.covered = snapshot.covered
        self.mark = _mark(snapshot)
        self._kept: Snapshot | None = None
        self._keep(snapshot)

    def _keep(self, snapshot: Snapshot) -> None:
        heavy = sum(len(tail.lines) for tail in snapshot.tails) > _HEAVY
        self._kept = None if heavy else snapshot

    def read(self, work: Callable[[Snapshot], _T]) -> _T:
        """Read it, and a new one of the same records as often as files have gone away.

        Raises:
            DatasetError: The directory cannot be read, or changes faster than it can be.
        """
        left = TRIES
        snapshot = self._kept or self._look()
        while True:
            try:
                return work(snapshot)
            except (Vanished, Damaged) as error:
                left = self._room.source.note(error, left)
                snapshot = self._look()
                self._keep(snapshot)

    def _look(self) -> Snapshot:
        return self._room.snapshot().within(self.covered)


def _mark(snapshot: Snapshot) -> bytes:
    found = sorted((producer, tuple(spans)) for producer, spans in snapshot.covered.items())
    return hashlib.blake2b(repr(found).encode(), digest_size=16).digest()
