"""What every server here has in common: a socket, signals, and where uvicorn tells its troubles."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from logbatch.errors import LogbatchError
from logbatch.trouble import Trouble, describe

Ready = Callable[[str, Callable[[], None]], object]
"""Called when requests are taken, with the URL and a function that does what SIGTERM does."""


@contextlib.contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address; port 0 is one that is free.

    Raises:
        LogbatchError: It cannot be done; an option is named that helps.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise LogbatchError(f"host {host!r}: {error.strerror}") from error
    family, _, _, _, address = found[0]
    # asyncio sends without delay (TCP_NODELAY) only where the protocol is named.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            hint = "; --port 0 takes one that is free" if error.errno == errno.EADDRINUSE else ""
            text = f"cannot listen on {host}:{port}: {error.strerror}{hint}"
            raise LogbatchError(text) from error
        yield listener


def run_server(
    config: uvicorn.Config, listener: socket.socket, ready: Ready, is_secure: bool
) -> None:
    """Serve until SIGTERM or Ctrl-C, or until the function is called that `ready` is given.

    Args:
        config: What is served, and how.
        listener: Where.
        ready: See `Ready`.  Off the main thread there is no other way to end it.
        is_secure: Whether it is HTTPS.
    """
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if server.started:
            ready(_url(listener, is_secure), stop)
        await serving

    def stop() -> None:
        server.should_exit = True

    with _on_sigterm(stop):
        asyncio.run(run())


def _url(listener: socket.socket, is_secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if is_secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextlib.contextmanager
def _on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM stop the server, also before it listens to signals and once it does no more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def telling(trouble: Trouble) -> Iterator[None]:
    """Have what uvicorn and asyncio warn of on stderr: one line, whatever stands in it, and rarely.

    Each bad request is a warning, and anybody can send as many as they like.
    """
    logs = [logging.getLogger(name) for name in ("uvicorn", "asyncio")]
    before = [(log, log.handlers[:], log.level, log.propagate) for log in logs]
    for log in logs:
        log.handlers[:], log.propagate = [_Told(trouble)], False
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for log, log.handlers[:], level, log.propagate in before:
            log.setLevel(level)


class _Told(logging.Handler):
    """Says what is logged, of one kind at most one line a minute."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self._trouble = trouble

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip().partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        kind = f"{record.name}:{record.lineno}"  # one for each place that logs
        self._trouble.say(kind, f"{text}: {describe(error)}" if error else text, error)
