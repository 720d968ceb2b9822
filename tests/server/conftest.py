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
from typing import Any

import pytest
import requests
from make import P, event

from logbatch.dataset.reader import Dataset
from logbatch.dataset.verify import verify
from logbatch.server.limits import Limits
from logbatch.server.run import Settings, _serve
from logbatch.trouble import Trouble


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


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer, with its Content-Length; return status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        assert got, f"the connection ended after {data!r}"
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


Start = Callable[..., Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start receivers in threads, with settings or limits; none may meet a bug of its own."""
    with contextlib.ExitStack() as stack:

        def run(directory: Path | None = None, **given: Any) -> Client:
            names = {field.name for field in dataclasses.fields(Limits)}
            limits = Limits(**{name: given.pop(name) for name in names & given.keys()})
            where = directory or tmp_path / "logs"
            settings = Settings(where, port=0, limits=limits, **given)
            return stack.enter_context(_running(settings))

        yield run


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[Client]:
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
    """

    def __init__(self, directory: Path, *arguments: str, prelude: str = "") -> None:
        self.directory = directory
        code = f"{prelude}\nimport sys\nfrom logbatch.cli import main\nsys.exit(main())"
        command = [sys.executable, "-c", code, "serve", str(directory), *arguments]
        self.child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
        line = self.child.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError(self.end(signal.SIGKILL))
        self.url = line.split()[-1]
        self.client = Client(self.url, directory, lambda: None)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it by a signal; return its exit code and what it said on stderr."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        _, said = self.child.communicate(timeout=30)
        return self.child.returncode, said


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start receivers as processes; those that still run at the end are killed."""
    started: list[Process] = []

    def run(*arguments: str, directory: Path | None = None, prelude: str = "") -> Process:
        options = arguments if "--port" in arguments else (*arguments, "--port", "0")
        started.append(Process(directory or tmp_path / "logs", *options, prelude=prelude))
        return started[-1]

    yield run
    for each in started:
        each.end(signal.SIGKILL)


@pytest.fixture
def client(start: Start) -> Client:
    """A receiver as it is by default."""
    return start()


@pytest.fixture
def answer() -> Callable[[socket.socket], tuple[int, bytes]]:
    """Read one answer from a connection; return status and body."""
    return read_answer


@pytest.fixture
def line() -> Callable[..., dict[str, Any]]:
    """Make an entry as our own clients send them."""
    return event


@pytest.fixture
def lines() -> Callable[[int, int], list[dict[str, Any]]]:
    """Make the entries of a range of sequences; each tells its number."""
    return lambda first, last: [event(f"n {n}") for n in range(first, last + 1)]
