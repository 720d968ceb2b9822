"""Take the body of a request: no more of it than is allowed, and not for ever."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from logbatch.server.budget import Budget
from logbatch.server.inflate import ENCODINGS, inflate
from logbatch.server.limits import Refusal

_GRACE = 1 / 6  # of the time that a body has; after that it must keep its rate


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


async def read_body(request: Request, budget: Budget) -> bytes:
    """Take the body as it was sent, with or without a Content-Length, and charge it.

    Raises:
        Refusal: It is too long (413), takes too long or keeps no rate (408), or there is no room
            for it now (503).
    """
    limits = budget.limits
    encoding = find_encoding(request)
    limit = limits.max_compressed_bytes if encoding else limits.max_body_bytes
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_long(limit)
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await _read(request, limit, budget)
    except TimeoutError:
        raise Refusal(408, f"the body took longer than {limits.body_timeout:g} s") from None
    except ClientDisconnect:
        raise Refusal(400, "the body is cut off") from None


async def _read(request: Request, limit: int, budget: Budget) -> bytes:
    limits, clock = budget.limits, asyncio.get_running_loop().time
    began = clock() + limits.body_timeout * _GRACE
    body = bytearray()  # not a list: a piece of one byte would be an object of its own
    async for piece in request.stream():
        if len(body) < (clock() - began) * limits.min_body_rate:
            raise Refusal(
                408, f"the body comes slower than {limits.min_body_rate:g} bytes a second"
            )
        if len(body) + len(piece) > limit:
            raise _too_long(limit)
        budget.grow(2 * len(piece))  # it is copied in the end
        body += piece
    whole = bytes(body)
    budget.shrink(len(whole))
    return whole


def unpack(body: bytes, encoding: str, budget: Budget) -> bytes:
    """Inflate a body that is compressed, and charge what comes of it.

    Raises:
        Refusal: It is too long (413) or damaged (400), or there is no room for it now (503).
    """
    if not encoding:
        return body
    inflated = inflate(body, encoding, budget.limits.max_body_bytes, budget.grow)
    budget.shrink(len(inflated))
    return inflated


def _too_long(limit: int) -> Refusal:
    return Refusal(413, f"the body is longer than {limit} bytes")
