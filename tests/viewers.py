"""Real viewers to look with: in a thread of this process, by HTTP and by sockets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from websockets.sync.client import ClientConnection, connect

from logbatch.server.viewer.run import Settings, beside
from logbatch.trouble import Trouble

PATIENCE = 60.0  # seconds for which a message is waited for
Message = dict[str, Any]


class Socket:
    """A client on its socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.generation = 0

    def look(self, where: str = "", **wanted: Any) -> int:
        """Ask for a view; return its generation."""
        self.generation += 1
        message = {"type": "view", "generation": self.generation, "where": where, **wanted}
        self.send(message)
        return self.generation

    def page(self, offset: int, count: int) -> None:
        """Ask for other rows."""
        asked = {"offset": offset, "count": count, "generation": self.generation}
        self.send({"type": "page", **asked})

    def send(self, message: object) -> None:
        """Send a message, or a text as it is."""
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def get(self) -> Message:
        """Return the next message."""
        message: Message = json.loads(self.connection.recv(PATIENCE))
        return message

    def until(self, kind: str) -> Message:
        """Return the next message of a kind; what comes before it is passed over."""
        while True:
            message = self.get()
            if message["type"] == kind:
                return message
            assert message["type"] != "error", message

    def messages(self, kind: str, count: int, column: str = "message") -> list[Any]:
        """Return a column of the next so many rows in messages of a kind."""
        found: list[Any] = []
        while len(found) < count:
            found += self.until(kind)["rows"][column]
        return found


class Viewer:
    """What tests do with a viewer."""

    def __init__(self, url: str, directory: Path, trouble: Trouble) -> None:
        parts = urlsplit(url)
        self.url = url
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.token = parse_qs(parts.query)["token"][0]
        self.directory = directory
        self.trouble = trouble

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.base)
        return str(parts.hostname), int(parts.port or 0)

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        """Ask with the token; nothing is followed."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                self.base + path,
                headers={name: value for name, value in headers.items() if value is not None},
                timeout=PATIENCE,
                allow_redirects=False,
                **more,
            )

    def get(self, path: str, **parameters: Any) -> Any:
        """Return what a path answers, which is a success."""
        answer = self.ask(path, params=parameters)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    @contextlib.contextmanager
    def socket(self, *, host: str = "", **headers: str) -> Iterator[Socket]:
        """Open a socket, with the token unless other headers are given, by another name's host."""
        given = headers or {"Authorization": f"Bearer {self.token}"}
        with connect(
            f"ws://{host or self.base.partition('//')[2]}/api/live",
            sock=socket.create_connection(self.address, PATIENCE),
            additional_headers=given,
            compression=None,
            max_size=None,
            proxy=None,
        ) as connection:
            yield Socket(connection)


@contextlib.contextmanager
def viewing(directory: Path, **settings: Any) -> Iterator[Viewer]:
    """Run a viewer in a thread; it must not meet a bug of its own."""
    trouble = Trouble()
    with beside(Settings(directory, port=0, **settings), trouble) as url:
        yield Viewer(url, directory, trouble)
    assert "bug" not in trouble.counts, trouble.last


def rows_of(message: Message) -> list[dict[str, Any]]:
    """Return the rows of a message as dicts."""
    columns: dict[str, Sequence[Any]] = message["rows"]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
