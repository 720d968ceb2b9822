"""Real servers that tests run: each a process of its own, on a free port of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 30.0  # seconds that a server may take to start, or to end


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], port: int, folder: Path, ending: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """Run a server until the block ends; what it says is kept in `server.log`."""
    log = folder / "server.log"
    with log.open("ab") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    try:
        wait_for(process, port, log)
        yield
    finally:
        process.send_signal(ending)
        process.wait(PATIENCE)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once a server takes connections; fail with what it said where it does not."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"the server did not start ({process.poll()}): {log.read_text()}")
