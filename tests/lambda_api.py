"""What AWS Lambda is to a function: its Runtime API, and the freezing of its process.

The process is run by Amazon's own client of that API (`awslambdaric`).  It is stopped when it has
answered, goes on for the next event, and is started anew when it has died.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

PATIENCE = 30.0
_API = "/2018-06-01/runtime"


class LambdaApi:
    """A function's environment.

    Args:
        folder: Where `lambda_function.py` is.
        environment: The variables of its process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._events: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._invocations = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._events, self._answers))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._environment = {
            **environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._events.put(None)  # for the request that a frozen process has made
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def invoke(self, event: Any) -> Any:
        """Hand an event to the function; return its answer, or None where it died over it."""
        process = self._thaw()
        self._events.put((self._invocations, event))
        self._invocations += 1
        while True:
            try:
                answer = self._answers.get(timeout=0.05)
            except Empty:
                if process.poll() is not None:
                    return None
                continue
            process.send_signal(signal.SIGSTOP)
            return answer

    def _thaw(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "awslambdaric", "lambda_function.lambda_handler"]
            with open(os.devnull, "w") as nowhere:
                self._process = subprocess.Popen(
                    command, cwd=self._folder, env=self._environment, stdout=nowhere
                )
        else:
            self._process.send_signal(signal.SIGCONT)
        return self._process


def _handler(
    events: SimpleQueue[tuple[int, Any] | None], answers: SimpleQueue[Any]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == f"{_API}/invocation/next":
                found = events.get()
                if found is None:
                    return
                number, event = found
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": str(number),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:::function:orders",
                    "Lambda-Runtime-Deadline-Ms": "9999999999999",
                }
                self._answer(200, json.dumps(event).encode(), headers)
            else:
                self._answer(404, b"{}", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(202, b"{}", {})
            answers.put(json.loads(body))

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
