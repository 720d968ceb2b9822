"""How much memory the bodies of all requests may take together."""

from __future__ import annotations

import threading
from types import TracebackType

from logbatch.server.limits import Refusal

_RETRY_AFTER = 1


class Memory:
    """A number of bytes that requests share; one that finds none left is told to come again.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._left = size

    def reserve(self, size: int) -> None:
        """Reserve some bytes.

        Raises:
            Refusal: There are not so many left.
        """
        with self._lock:
            if size > self._left:
                raise Refusal(
                    503, "the receiver works on too much at once", retry_after=_RETRY_AFTER
                )
            self._left -= size

    def give_back(self, size: int) -> None:
        """Return bytes."""
        with self._lock:
            self._left += size


class Share:
    """What one request has of the memory; leaving the `with` block gives it back."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._size = 0

    def grow(self, size: int) -> None:
        """Reserve some bytes more.

        Raises:
            Refusal: There are not so many left.
        """
        self._memory.reserve(size)
        self._size += size

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._memory.give_back(self._size)
        self._size = 0
