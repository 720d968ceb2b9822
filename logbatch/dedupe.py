"""Take a record once where a structlog processor and a logging handler are on one way.

structlog's chain may end in a standard library logger.  What `BatchProcessor` took in the chain
then arrives at a `BatchHandler` as well, rendered.  Both have the event on their stack: the frame
in which structlog runs the chain is still there when the handler is called, so nothing has to be
remembered from one to the other (a later processor may drop the event).
"""

from __future__ import annotations

import sys
from types import FrameType

from logbatch.transports.adapted import given_object
from logbatch.transports.base import BaseTransport

_OURS = __name__.partition(".")[0]

# The ways of all processors there ever were; empty in a program that uses none.
ways: set[object] = set()


def way_of(transport: BaseTransport) -> object:
    """Return what tells a destination from others: its name, else the application's object."""
    return transport.destination or id(given_object(transport))


def taken_by_processor(way: object) -> bool:
    """Return whether the record being handled went through a processor for the same destination."""
    frame = _skip(sys._getframe(1), ("logging", _OURS))
    while frame is not None and _module(frame).startswith("structlog."):
        bound = frame.f_locals.get("self")
        if any(getattr(step, "way", None) == way for step in getattr(bound, "_processors", ())):
            return True
        frame = frame.f_back
    return False


def _skip(frame: FrameType | None, packages: tuple[str, ...]) -> FrameType | None:
    while frame is not None and _module(frame).partition(".")[0] in packages:
        frame = frame.f_back
    return frame


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
