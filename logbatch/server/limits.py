"""What a request may cost, and how one is refused that would cost more."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Mapping

_WORTH = 8  # bytes that a byte of a body may take until it is stored


class Refusal(Exception):
    """A request is not taken.

    Args:
        status: Status code of the answer.
        reason: One sentence for the client.  It holds nothing that came from the wire.
        retry_after: Seconds after which to try again; None says nothing about it.
        more: Other fields of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        retry_after: int | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.more = more or {}

    def bare(self) -> Refusal:
        """Return the same refusal without the traceback, and without what caused it."""
        return Refusal(self.status, self.reason, retry_after=self.retry_after, more=self.more)


def forget(error: BaseException | None) -> None:
    """Let go of what was in the frames that an exception passed, and those that led to it.

    An exception keeps its traceback, which keeps the frames, which keep a body of 64 MiB; where
    one of them has the exception itself, all that stays until the garbage collector comes by.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        max_compressed_bytes: Size of a compressed body as it is sent.
        max_body_bytes: Size of a body that is sent plain, of what a compressed one holds, and of
            the lines that are made of either.
        max_records: Entries in one request.
        max_depth: How deep an entry may be nested; the entry itself is 1.
        header_timeout: Seconds until all headers are there; as long a connection may be idle.
        body_timeout: Seconds until the whole body is there.
        min_body_rate: Bytes a second that a body must come with, after a sixth of that time.
        max_memory_bytes: Bytes that all requests take together, with all that is made of them.
        max_connections: Connections that are open at one time.

    Raises:
        ValueError: A limit is out of range.
    """

    max_compressed_bytes: int = 8 << 20
    max_body_bytes: int = 64 << 20
    max_records: int = 50_000
    max_depth: int = 32
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    min_body_rate: float = 1000.0
    max_memory_bytes: int = 512 << 20
    max_connections: int = 1000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name}={value!r} must be greater than 0")
        if self.max_memory_bytes < _WORTH * self.max_body_bytes:
            raise ValueError(
                f"max_memory_bytes={self.max_memory_bytes} must be at least {_WORTH} times"
                f" max_body_bytes={self.max_body_bytes}, or some requests could never be taken"
            )
