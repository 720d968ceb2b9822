"""A real HTTP server that answers, or fails to, as a test tells it to."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from typing import Any, NamedTuple, Self

import pyarrow as pa


class Request(NamedTuple):
    """A request as it came in; `body` is decompressed, `raw` is not."""

    method: str
    path: str
    headers: Message
    body: bytes
    raw: bytes

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(self.headers["Idempotency-Key"])

    @property
    def producer(self) -> str:
        """Whose records they are."""
        return self.key.partition("/")[0]

    @property
    def sequences(self) -> list[int]:
        """Which records they are."""
        first, last = self.key.partition("/")[2].split("-")
        return list(range(int(first), int(last) + 1))

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was sent, in whichever form."""
        text = self.body.decode()
        if self.headers.get_content_type() == "application/x-ndjson":
            return [json.loads(line) for line in text.splitlines()]
        found = json.loads(text)
        if isinstance(found, dict) and "logs" in found:
            found = found["logs"]
        return found if isinstance(found, list) else [found]


class Answer(NamedTuple):
    """What is answered.

    Attributes:
        status: The status code; 0 closes the connection without a word, -1 resets it.
        body: Text or bytes as they are, anything else as JSON.
        headers: More headers.
        commits: Whether the records count as stored; None if the status is one of 2xx.
        drip: Seconds between two bytes of the whole answer; 0 sends it at once.
        hangs: Give no answer, and keep the connection until the server is told to let go.
    """

    status: int = 200
    body: Any = b""
    headers: tuple[tuple[str, str], ...] = ()
    commits: bool | None = None
    drip: float = 0.0
    hangs: bool = False

    @property
    def quick(self) -> bool:
        """Whether it is given at once."""
        return not (self.drip or self.hangs)


Given = int | Answer | Callable[[Request], "int | Answer"]


class ScriptedServer:
    """Answers one request after the other as it is told, and remembers what it took.

    Args:
        answers: Status codes, answers, or functions of the request that return one.
        rest: The answer when these are used up.

    Attributes:
        requests: What came in, in its order.
        stored: The records committed: producer, sequence and event, in their order.
    """

    def __init__(self, answers: Iterable[Given] = (), rest: Given = 200) -> None:
        self.requests: list[Request] = []
        self.stored: list[tuple[str, int, dict[str, Any]]] = []
        self.connections = 0
        self.closing = threading.Event()
        self.letting_go = threading.Event()
        self._answers = iter(answers)
        self._rest = rest
        self._changed = threading.Condition()
        self._answering = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.script = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where batches go."""
        return f"{self.origin}/v1/logs"

    @property
    def messages(self) -> list[str]:
        """The messages of the committed records, in the order of their arrival."""
        return [event["message"] for _, _, event in self.stored]

    @property
    def identities(self) -> list[tuple[str, int]]:
        """Producer and sequence of the committed records."""
        return [(producer, sequence) for producer, sequence, _ in self.stored]

    @contextlib.contextmanager
    def answering(self, request: Request) -> Iterator[Answer]:
        """Remember a request and decide about it; the block gives the answer."""
        answer = self._decide(request)
        try:
            yield answer
        finally:
            with self._changed:
                self._answering -= answer.quick
                self._changed.notify_all()

    def _decide(self, request: Request) -> Answer:
        with self._changed:
            self.requests.append(request)
            given = next(self._answers, self._rest)
            found = given(request) if callable(given) else given
            answer = Answer(found) if isinstance(found, int) else found
            commits = 200 <= answer.status < 300 if answer.commits is None else answer.commits
            if commits:
                for sequence, event in zip(request.sequences, request.events, strict=True):
                    self.stored.append((request.producer, sequence, event))
            self._answering += answer.quick
            self._changed.notify_all()
        return answer

    def wait_for(self, events: int = 0, requests: int = 0, timeout: float = 30.0) -> bool:
        """Wait until so many records are committed and so many requests have come."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self.stored) >= events and len(self.requests) >= requests, timeout
            )

    def let_go(self) -> None:
        """Break off what hangs, and what would from now on."""
        self.letting_go.set()

    def close(self) -> None:
        """Stop, as soon as what is answered quickly has its answer; let go of the rest."""
        with self._changed:
            self._changed.wait_for(lambda: not self._answering, 5)
        self.closing.set()
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(http.server.ThreadingHTTPServer):
    script: ScriptedServer
    daemon_threads = False
    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, Any]:
        self.script.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what many tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        closing = self.server.script.closing
        connection = self.connection

        def end() -> None:
            closing.wait()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=end, daemon=True).start()

    def _respond(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = inflate(raw, self.headers.get("Content-Encoding"))
        request = Request(self.command, self.path, self.headers, body, raw)
        with self.server.script.answering(request) as answer:
            if answer.hangs:
                self.server.script.letting_go.wait()
            if answer.status <= 0 or answer.hangs:
                self._break_off(reset=answer.status < 0)
            else:
                self._answer(answer)

    do_POST = do_PATCH = do_PUT = _respond  # http.server's names

    def do_GET(self) -> None:
        """Answer a request that has nothing to do with logs."""
        self._answer(Answer(200))

    def _break_off(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _answer(self, answer: Answer) -> None:
        body = answer.body
        if not isinstance(body, str | bytes):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        names = {name.lower() for name, _ in answer.headers}
        self.send_response(answer.status)
        if "content-type" not in names:
            self.send_header("Content-Type", "application/json")
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        if not answer.drip:
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            return
        whole = b"".join([*self._headers_buffer, b"\r\n", body])  # type: ignore[attr-defined]
        for index in range(len(whole)):
            self.connection.sendall(whole[index : index + 1])
            if self.server.script.closing.wait(answer.drip):
                break
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def inflate(raw: bytes, encoding: str | None) -> bytes:
    """Undo the compression of a body."""
    if encoding == "gzip":
        return gzip.decompress(raw)
    if encoding == "zstd":
        return bytes(pa.CompressedInputStream(pa.BufferReader(raw), "zstd").read())
    assert encoding is None
    return raw


@contextlib.contextmanager
def scripted(*answers: Given, rest: Given = 200) -> Iterator[ScriptedServer]:
    """Run a server for the time of a test."""
    with ScriptedServer(answers, rest) as server:
        yield server
