"""Take the body of a request: no more of it than is allowed, and not for ever."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from logbatch.server.inflate import ENCODINGS, inflate
from logbatch.server.limits import Limits, Refusal
from logbatch.server.memory import Share


def find_encoding(request: Request) -> str:
    """Return how the body is compressed; empty where it is plain.

    Raises:
        Refusal: That is not known (415).
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding not in ENCODINGS:
        raise Refusal(415, "the Content-Encoding may be gzip, zstd or identity")
    return encoding


async def read_body(request: Request, limits: Limits, share: Share) -> bytes:
    """Take the body as it was sent, with or without a Content-Length.

    Raises:
        Refusal: It is too long (413), too slow (408), or there is no room for it now (503).
    """
    encoding = find_encoding(request)
    limit = limits.max_compressed_bytes if encoding else limits.max_body_bytes
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_long(limit)
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await _read(request, limit, share)
    except TimeoutError:
        raise Refusal(408, f"the body took longer than {limits.body_timeout:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the body is cut off") from None


async def _read(request: Request, limit: int, share: Share) -> bytes:
    pieces, total = [], 0
    async for piece in request.stream():
        total += len(piece)
        if total > limit:
            raise _too_long(limit)
        share.grow(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def unpack(body: bytes, encoding: str, limits: Limits, share: Share) -> bytes:
    """Inflate a body that is compressed.

    Raises:
        Refusal: It is too long (413) or damaged (400), or there is no room for it now (503).
    """
    return inflate(body, encoding, limits.max_body_bytes, share.grow) if encoding else body


def _too_long(limit: int) -> Refusal:
    return Refusal(413, f"the body is longer than {limit} bytes")
