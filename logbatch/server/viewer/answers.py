"""Answers in JSON, and how one is refused."""

from __future__ import annotations

from starlette.responses import Response

from logbatch.server.access import JSON
from logbatch.server.limits import Refusal
from logbatch.server.viewer import wire


def respond(found: object) -> Response:
    """Answer with a value."""
    return Response(wire.encode(found), media_type=JSON)


def refusal(error: Refusal) -> Response:
    """Make an answer of a refusal."""
    body = wire.encode({"error": error.reason, "position": None, **error.more})
    response = Response(body, error.status, media_type=JSON)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    return response
