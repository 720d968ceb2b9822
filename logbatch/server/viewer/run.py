"""Run a viewer: until it is told to stop, or beside something else."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import uvicorn
from starlette.types import Receive, Scope, Send

from logbatch.errors import LogbatchError
from logbatch.server.access import is_loopback
from logbatch.server.allocators import return_what_is_freed
from logbatch.server.guard import BUSY, RETRY_AFTER, make_protocol
from logbatch.server.limits import Limits, Refusal
from logbatch.server.serving import Ready, bind, run_server, telling
from logbatch.server.viewer.access import Door
from logbatch.server.viewer.answers import refusal
from logbatch.server.viewer.app import Viewer
from logbatch.server.viewer.protocol import LONGEST, SocketProtocol
from logbatch.server.viewer.room import Room
from logbatch.trouble import Trouble

PORT = 8322
_GRACE = 1  # seconds that requests have to end when the viewer is told to stop
_LIMITS = Limits(max_connections=128)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a viewer is to do.

    Attributes:
        directory: What it shows.
        host: Address it is bound to.
        port: Port it is bound to; 0 takes one that is free.
        token: What whoever looks must have; made up where none is given.

    Raises:
        ValueError: A setting is out of order.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = PORT
    token: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ValueError(
                f"host={self.host!r} can be reached from other machines: that needs a token"
            )
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ValueError("token: a token is printable ASCII, without spaces")


def serve(settings: Settings, ready: Ready) -> None:
    """Show a directory until SIGTERM or Ctrl-C.

    Args:
        settings: What to do.
        ready: Called when requests are taken, with the URL to open, which has the token in it, and
            a function that does what SIGTERM does.

    Raises:
        DatasetError: The directory cannot be read.
        LogbatchError: The address cannot be bound.
    """
    return_what_is_freed()
    trouble = Trouble()
    with bind(settings.host, settings.port) as listener, telling(trouble):
        _serve(settings, listener, ready, trouble)


@contextlib.contextmanager
def beside(settings: Settings, trouble: Trouble, *, or_any_port: bool = False) -> Iterator[str]:
    """Show a directory while something else is done, on a thread of its own.

    Args:
        settings: What to do.
        trouble: Told about faults.
        or_any_port: Whether another port does where that of the settings is taken.

    Yields:
        The URL to open.

    Raises:
        DatasetError: The directory cannot be read.
        LogbatchError: The address cannot be bound.
    """
    told: list[tuple[str, Callable[[], None]]] = []
    failed: list[BaseException] = []
    is_ready = threading.Event()

    def ready(url: str, stop: Callable[[], None]) -> None:
        told.append((url, stop))
        is_ready.set()

    def work(listener: socket.socket) -> None:
        try:
            _serve(settings, listener, ready, trouble)
        except BaseException as error:
            failed.append(error)
        finally:
            is_ready.set()

    with _bind(settings, or_any_port) as listener, telling(trouble):
        thread = threading.Thread(target=work, args=(listener,), name="logbatch-viewer")
        thread.start()
        try:
            is_ready.wait()
            if not told:
                raise failed[0]
            yield told[0][0]
        finally:
            for _, stop in told:
                stop()
            thread.join()


@contextlib.contextmanager
def _bind(settings: Settings, or_any_port: bool) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(bind(settings.host, settings.port))
        except LogbatchError:
            if not or_any_port:
                raise
            listener = stack.enter_context(bind(settings.host, 0))
        yield listener


def _serve(settings: Settings, listener: socket.socket, ready: Ready, trouble: Trouble) -> None:
    token = settings.token or secrets.token_urlsafe(32)
    door = Door(token, settings.host, listener.getsockname()[1])
    viewer = Viewer(Room(settings.directory), door, trouble)

    def announce(url: str, stop: Callable[[], None]) -> None:
        ready(f"{url}/?{urlencode({'token': token})}", stop)

    try:
        run_server(_configure(viewer, trouble), listener, announce, is_secure=False)
    finally:
        viewer.close()


def _configure(viewer: Viewer, trouble: Trouble) -> uvicorn.Config:
    return uvicorn.Config(
        viewer.app,
        http=make_protocol(_LIMITS, _refuse, trouble),
        ws=SocketProtocol,
        ws_max_size=LONGEST,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=int(_LIMITS.header_timeout),
        timeout_graceful_shutdown=_GRACE,
    )


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer on a connection that is one too many."""
    response = refusal(Refusal(503, BUSY, retry_after=RETRY_AFTER))
    response.headers["connection"] = "close"
    await response(scope, receive, send)
