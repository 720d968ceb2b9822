"""What one request may take of the receiver: memory, work, and only while somebody waits for it.

A request is charged for all that is made of it, before it is made: its body as it was sent, the
body inflated, what a parser builds, the lines.  What all requests are charged for together stays
within one number of bytes.  Work is counted in values rather than in seconds, so that the same
request is taken on any machine.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

from logbatch.server.limits import Limits, Refusal

VALUES = 40
"""Values that an entry may have, on average, in a request of as many entries as are allowed."""

_FEW = 1000  # entries that are allowed, at the least, as far as values are concerned
_OBJECT = 64  # bytes that a line takes beside its text, in the lists where it stands
_RETRY_AFTER = 1


def count_allowed(limits: Limits) -> int:
    """Return how many values a request may have."""
    return max(limits.max_records, _FEW) * VALUES


class Memory:
    """A number of bytes that requests share; one that finds none left is told to come again.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
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


class Budget:
    """What one request has taken, and what it may still take.

    Leaving the `with` block gives the memory back: what was made of the request must be gone then.

    Args:
        memory: What all requests share.
        limits: What a request may cost.

    Attributes:
        peak: The most bytes that were charged at one time.
    """

    def __init__(self, memory: Memory, limits: Limits) -> None:
        self.peak = 0
        self.limits = limits
        self._memory = memory
        self._taken = 0
        self._lines = 0
        self._values = count_allowed(limits)
        self._left = False  # set by the event loop, read by the thread that works

    def leave(self) -> None:
        """Say that nobody waits for the answer any more: what is charged next is refused."""
        self._left = True

    def check(self) -> None:
        """Check that somebody waits for the answer.

        Raises:
            Refusal: Nobody does.
        """
        if self._left:
            raise Refusal(499, "the client is gone")

    def grow(self, size: int) -> None:
        """Charge some bytes.

        Raises:
            Refusal: There are not so many left now (503), or never would be (413), or the client
                is gone.
        """
        self.check()
        if self._taken + size > self._memory.size:
            raise Refusal(413, "the request needs more memory than the receiver has for all")
        self._memory.reserve(size)
        self._taken += size
        self.peak = max(self.peak, self._taken)

    def shrink(self, size: int) -> None:
        """Give bytes back whose objects are gone."""
        self._taken -= size
        self._memory.give_back(size)

    @contextlib.contextmanager
    def borrowed(self, size: int) -> Iterator[None]:
        """Charge some bytes for as long as the block lasts.

        Raises:
            Refusal: As `grow` does.
        """
        self.grow(size)
        try:
            yield
        finally:
            self.shrink(size)

    @contextlib.contextmanager
    def lent(self) -> Iterator[Callable[[int], None]]:
        """Return a function that charges bytes as `grow` does, until the block ends."""
        taken = 0

        def charge(size: int) -> None:
            nonlocal taken
            self.grow(size)
            taken += size

        try:
            yield charge
        finally:
            self.shrink(taken)

    def add_lines(self, count: int, size: int) -> None:
        """Charge lines that were made of entries or records, of some size together.

        Raises:
            Refusal: All lines together are longer than a body may be (413), or as `grow` does.
        """
        self._lines += size
        if self._lines > self.limits.max_body_bytes:
            raise Refusal(
                413, f"what is to be stored is longer than {self.limits.max_body_bytes} bytes"
            )
        self.grow(size + _OBJECT * count)

    def step(self, values: int = 1) -> None:
        """Charge some values, or as much work as so many are.

        Raises:
            Refusal: There are too many (413), or the client is gone.
        """
        self.check()
        self._values -= values
        if self._values < 0:
            raise Refusal(413, "the body holds too many values")

    def __enter__(self) -> Budget:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shrink(self._taken)
