"""Handlers that send to `logbatch serve`: each record is there exactly once, whatever dies."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import warm
from scripted import Answer, Request, scripted

from logbatch import BatchHandler, Dataset
from logbatch.cli import main

CLIENT = """
    import logging, sys
    from logbatch import BatchHandler

    url, name, count = sys.argv[1:]
    log = logging.Logger("app")
    log.addHandler(BatchHandler(url, flush_interval=0.05, max_batch_size=40, close_timeout=30))
    for number in range(int(count)):
        log.info("%s %d", name, number)
        sys.stdout.write(f"{name} {number}\\n")
        sys.stdout.flush()
"""


# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


class Receiver:
    """`logbatch serve` in a process of its own, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = 0
        self._child: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start it, at the same port as before."""
        self._child = warm.Popen(
            [sys.executable, "-m", "logbatch", "serve", self._directory, "--port", str(self._port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        self.origin = self._child.stdout.readline().split()[-1].rstrip("/")
        self._port = int(self.origin.rpartition(":")[2])

    @property
    def url(self) -> str:
        """Where batches go."""
        return f"{self.origin}/v1/logs"

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        assert self._child is not None
        self._child.kill()
        self._end()

    def stop(self) -> None:
        """Stop it by SIGTERM."""
        assert self._child is not None
        self._child.terminate()
        self._end()

    def _end(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        self._child.wait(30)
        self._child.stdout.close()


@contextlib.contextmanager
def receiving(directory: Path) -> Iterator[Receiver]:
    """Run a receiver for the time of a test."""
    receiver = Receiver(directory)
    try:
        yield receiver
    finally:
        receiver.kill()


def start_client(url: str, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that logs, and says what it has logged."""
    return warm.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), url, name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def stored(directory: Path) -> Counter[str]:
    """Count the messages that the receiver has stored."""
    return Counter(row["message"] for row in Dataset(directory).rows())


def finish(url: str, name: str) -> None:
    """Let one more process log, and deliver what others left."""
    logger = logging.Logger("app")
    handler = BatchHandler(url, flush_interval=0.05, close_timeout=60)
    logger.addHandler(handler)
    logger.info("%s 0", name)
    assert handler.close()
    assert 0 == main(["recover", url])


def test_a_network_that_breaks_and_clients_that_are_killed(tmp_path: Path) -> None:
    """Of 30 % of the requests the answer is lost after the receiver has committed."""
    chance = random.Random(7)
    logs = tmp_path / "logs"
    said: set[str] = set()
    with receiving(logs) as receiver, requests.Session() as session:
        session.trust_env = False
        lock = threading.Lock()

        def forward(request: Request) -> Answer:
            with lock:
                headers = {name: value for name, value in request.headers.items() if name != "Host"}
                taken = session.post(receiver.url, data=request.raw, headers=headers)
                lost = chance.random() < 0.3
            return Answer(-1 if lost else taken.status_code, taken.content, commits=False)

        with scripted(rest=forward) as network:
            for number in range(8):
                client = start_client(network.url, f"client-{number}", 3000)
                assert client.stdout is not None
                kill_after = chance.randrange(1, 3000)
                said.update(line.strip() for line in itertools.islice(client.stdout, kill_after))
                client.kill()
                said.update(line.strip() for line in client.stdout if line.endswith("\n"))
                client.wait()
                client.stdout.close()
            finish(network.url, "last")
            assert len({request.key for request in network.requests}) < len(network.requests)
        receiver.stop()

    found = stored(logs)
    assert {1} == set(found.values())
    assert said | {"last 0"} <= found.keys()
    assert 0 == main(["verify", str(logs)])


def test_a_receiver_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """While four clients log; each record is there once in the end."""
    logs = tmp_path / "logs"
    with receiving(logs) as receiver:
        clients = [start_client(receiver.url, f"client-{n}", 2000) for n in range(4)]
        for _ in range(6):
            assert clients[0].stdout is not None
            list(itertools.islice(clients[0].stdout, 300))
            receiver.kill()
            receiver.start()
        for client in clients:
            assert client.stdout is not None
            client.stdout.read()
            assert 0 == client.wait(60)
            client.stdout.close()
        finish(receiver.url, "last")
        receiver.stop()

    expected = {f"client-{n} {i}" for n in range(4) for i in range(2000)} | {"last 0"}
    assert Counter(dict.fromkeys(expected, 1)) == stored(logs)
    assert 0 == main(["verify", str(logs)])


def test_a_record_that_the_receiver_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named by the receiver, and kept by the handler; its siblings are stored."""
    with receiving(tmp_path / "logs") as receiver:
        logger = logging.Logger("app")
        handler = BatchHandler(receiver.url, flush_interval=60, fields={"levelno": None})
        logger.addHandler(handler)
        logging.addLevelName(27, "UNHEARD-OF")
        logger.info("good 0")
        logger.log(27, "bad")
        logger.info("good 1")
        assert handler.close()
        assert (2, 1) == (handler.stats().published, handler.stats().rejected)
        receiver.stop()

    assert {"good 0", "good 1"} == set(stored(tmp_path / "logs"))
    assert "1 event was rejected" in capsys.readouterr().err
