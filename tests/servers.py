"""Real servers that tests run: each a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from waiting import PATIENCE, wait_until

_FAKED = ("LD_PRELOAD", "FAKETIME")  # a server of others runs at the true time, which it needs


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str | Path],
    port: int,
    folder: Path,
    ending: signal.Signals = signal.SIGTERM,
    **variables: str,
) -> Iterator[None]:
    """Run a server until the block ends; what it says is kept in `server.log`."""
    log = folder / "server.log"
    env = {name: text for name, text in os.environ.items() if name not in _FAKED} | variables
    with log.open("ab") as file:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=file, stderr=file)
    try:
        wait_for(process, port, log)
        yield
    finally:
        process.send_signal(ending)
        process.wait(PATIENCE)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once a server takes connections; fail with what it said where it does not."""
    wait_until(lambda: process.poll() is not None or listens(port), f"port {port}")
    assert process.poll() is None, log.read_text()


def listens(port: int) -> bool:
    """Return whether somebody takes connections at a port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
