"""What a request may cost, and how one is refused that would cost more."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping


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


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        max_compressed_bytes: Size of a compressed body as it is sent.
        max_body_bytes: Size of a body that is sent plain, or of what a compressed one holds.
        max_records: Entries in one request.
        max_depth: How deep an entry may be nested; the entry itself is 1.
        header_timeout: Seconds until all headers are there; as long a connection may be idle.
        body_timeout: Seconds until the whole body is there.
        max_memory_bytes: Bytes of all bodies that are being worked on, together.
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
    max_memory_bytes: int = 256 << 20
    max_connections: int = 1000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name}={value!r} must be greater than 0")
        if self.max_memory_bytes < self.max_body_bytes + self.max_compressed_bytes:
            raise ValueError(
                f"max_memory_bytes={self.max_memory_bytes} must be at least max_body_bytes and "
                "max_compressed_bytes together, or some requests could never be taken"
            )
