"""Real receivers to send to: in a thread of this process, or as processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import requests
import warm
from make import P

from logbatch.dataset.reader import Dataset
from logbatch.dataset.verify import verify
from logbatch.server.run import Settings, _serve
from logbatch.trouble import Trouble

MakeEntry = Callable[..., dict[str, Any]]
MakeEntries = Callable[[int, int], list[dict[str, Any]]]
ReadAnswer = Callable[[socket.socket], tuple[int, bytes]]


class Start(Protocol):
    """Starts receivers in threads, with settings or limits."""

    def __call__(self, directory: Path | None = None, **given: Any) -> Client: ...


class StartProcess(Protocol):
    """Starts receivers as processes."""

    def __call__(
        self,
        *arguments: str,
        directory: Path | str | None = None,
        prelude: str = "",
        anew: bool = False,
    ) -> Process: ...


@dataclasses.dataclass
class Client:
    """What tests do with a receiver."""

    url: str
    directory: Path
    stop: Callable[[], None]
    trouble: Trouble = dataclasses.field(default_factory=Trouble)
    token: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.url.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def send(
        self,
        body: Any,
        key: str | None = None,
        path: str = "/v1/logs",
        method: str = "POST",
        **headers: str,
    ) -> requests.Response:
        """Send a body, with headers whose names have no hyphens.

        Lists and dicts are sent as JSON; what can only be iterated over is sent in chunks.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Content-Type": "application/json", **named}
        if key is not None:
            given["Idempotency-Key"] = key
        if self.token:
            given.setdefault("Authorization", f"Bearer {self.token}")
        what = {"json": body} if isinstance(body, list | dict) else {"data": body}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, headers=given, timeout=60, **what)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Get a path."""
        return self.send(b"", None, path, "GET", **headers)

    def rows(self, *columns: str) -> list[Any]:
        """Return what is stored, in the order of sequences."""
        table = Dataset(self.directory).to_table()
        found = table.sort_by([("producer", "ascending"), ("sequence", "ascending")]).to_pylist()
        return [r[columns[0]] if len(columns) == 1 else [r[c] for c in columns] for r in found]

    def messages(self, producer: str = P) -> list[str]:
        """Return the messages of a producer, in the order of sequences."""
        return [text for who, text in self.rows("producer", "message") if who == producer]

    def verify(self) -> None:
        """Check that nothing is there twice, and all files are whole."""
        report = verify(self.directory)
        assert (0, ()) == (report.repeated, tuple(report.problems))

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """Open a connection for bytes."""
        with socket.create_connection(self.address, timeout=30) as connection:
            yield connection


def is_closed_after(connection: socket.socket, *data: bytes) -> bool:
    """Send something that may be too much; return whether the other end closes then."""
    try:
        for part in data:
            connection.sendall(part)
        while connection.recv(65536):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def length(body: bytes) -> bytes:
    """Encode a length as protobuf has it."""
    number, found = len(body), b""
    while number > 127:
        found += bytes((number & 127 | 128,))
        number >>= 7
    return found + bytes((number,))


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer, with its Content-Length; return status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        assert got, f"the connection ended after {data!r}"
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    told = re.search(rb"content-length: (\d+)", head)
    assert told is not None
    while len(body) < int(told[1]):
        body += connection.recv(65536)
    return int(head.split()[1]), body


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Client]:
    """Run a receiver in a thread; it must not meet a bug of its own."""
    found: list[Client] = []
    is_ready = threading.Event()
    trouble = Trouble()

    def ready(url: str, stop: Callable[[], None]) -> None:
        def end() -> None:
            stop()
            thread.join(30)
            assert not thread.is_alive()

        token = settings.tokens[0] if settings.tokens else ""
        found.append(Client(url, settings.directory, end, trouble, token))
        is_ready.set()

    def work() -> None:
        try:
            _serve(settings, ready, trouble)
        finally:
            is_ready.set()

    thread = threading.Thread(target=work, name="logbatch-test-receiver")
    thread.start()
    assert is_ready.wait(30)
    try:
        yield found[0]
    finally:
        if found:
            found[0].stop()
    assert "bug" not in trouble.counts, trouble.last


class Process:
    """A receiver that is a process of its own.

    Args:
        directory: Where it writes.
        arguments: Options of `logbatch serve`.
        prelude: Python that is run in it before.
        anew: Start Python for it, which reads some variables only then.
    """

    def __init__(
        self, directory: Path | str, *arguments: str, prelude: str = "", anew: bool = False
    ) -> None:
        self.directory = Path(directory)
        code = f"{prelude}\nimport sys\nfrom logbatch.cli import main\nsys.exit(main())"
        command = [sys.executable, "-c", code, "serve", str(directory), *arguments]
        pipe, start = subprocess.PIPE, subprocess.Popen if anew else warm.Popen
        self.child = start(command, stdout=pipe, stderr=pipe, text=True, env=os.environ)
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError(self.end(signal.SIGKILL))
        self.url = line.split()[-1]
        self.client = Client(self.url, self.directory, lambda: None)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; return its exit code and what it said on stderr."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        _, said = self.child.communicate(timeout=30)
        return self.child.returncode, said
