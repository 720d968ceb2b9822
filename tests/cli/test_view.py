"""`logbatch view`, and what shows the page beside something else."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from make import make_batch, publish
from viewers import Viewer
from waiting import PATIENCE

from logbatch.cli import main
from logbatch.trouble import Trouble

URL = re.compile(r"http://[\w.:]+/\?token=\S+")
PROGRAM = "import sys; from logbatch.cli import main; sys.exit(main())"


class Command:
    """A command that shows the page."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | env,
        )
        self.said = ""

    def viewer(self, directory: Path) -> Viewer:
        """Return the viewer whose URL is printed."""
        assert self.child.stdout is not None
        while (found := URL.search(self.said)) is None:
            line = self.child.stdout.readline()
            assert line, (self.said, self.end(signal.SIGKILL))
            self.said += line
        return Viewer(found[0], directory, Trouble())

    def end(self, number: int) -> tuple[int, str]:
        """End it by a signal; return its exit code and what it said on stderr."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        out, err = self.child.communicate(timeout=PATIENCE)
        self.said += out
        return self.child.returncode, err


@pytest.fixture
def start() -> Iterator[type[Command]]:
    """Start commands; those that still run at the end are killed."""
    started: list[Command] = []

    class Started(Command):
        def __init__(self, *arguments: str, **env: str) -> None:
            super().__init__(*arguments, **env)
            started.append(self)

    yield Started
    for each in started:
        each.end(signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_shows_a_directory_until_it_is_told_to_end(
    start: type[Command], tmp_path: Path, number: int, code: int
) -> None:
    """It prints its URL, and ends at once, whoever looks and whatever is under way."""
    logs = tmp_path / "logs"
    publish(logs, make_batch(0, 4_999))
    command = start("view", str(logs), "--port", "0")
    viewer = command.viewer(logs)
    assert command.said.startswith(f"viewing {logs}")
    held = socket.create_connection(viewer.address, PATIENCE)
    with viewer.socket() as one, viewer.socket() as other:
        one.look(follow=True)
        assert 200 == one.until("rows")["count"]
        other.look("message~/(x+x+)+y/", count=10_000, follow=True)
        held.sendall(b"GET / HTTP/1.1\r\n")
        ended, told = command.end(number)
    assert (code, "") == (ended, told.strip())
    held.close()


def test_a_directory_that_is_not_there_yet(start: type[Command], tmp_path: Path) -> None:
    """It waits for it, as `tail -f` does."""
    logs = tmp_path / "logs"
    command = start("view", str(logs), "--port", "0")
    assert command.child.stderr is not None
    assert "not there yet" in command.child.stderr.readline()
    publish(logs, make_batch(0, 9))
    assert "logs" == command.viewer(logs).get("/api/info")["directory"]


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in a line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert 1 == main(["view", str(tmp_path), "--port", str(port)])
    told = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; --port 0 takes" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "that needs a token"),
        (["--token", "env:NOT_SET"], "this variable is not set"),
        (["--token", "a b"], "--token: a token is printable ASCII"),
        (["--port", "70000"], "range"),
    ],
)
def test_options_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """What cannot be is said, with the name of the option."""
    assert main(["view", str(tmp_path), *arguments]) in (1, 2)
    assert told in capsys.readouterr().err


def test_a_token_from_the_environment(start: type[Command], tmp_path: Path) -> None:
    """The token need not stand in the command line."""
    command = start("view", str(tmp_path), "--port", "0", "--token", "env:MINE", MINE="my-token")
    assert "my-token" == command.viewer(tmp_path).token


def test_it_opens_the_browser(start: type[Command], tmp_path: Path) -> None:
    """With `--open` the browser is given the URL with the token."""
    logs, opened = tmp_path / "logs", tmp_path / "opened"
    logs.mkdir()
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    command = start("view", str(logs), "--port", "0", "--open", BROWSER=f"{browser} %s")
    viewer = command.viewer(logs)
    assert 0 == command.end(signal.SIGTERM)[0]
    assert viewer.url == opened.read_text()


@pytest.mark.parametrize("missing", ["websockets", "uvicorn", "starlette", "duckdb"])
def test_what_is_missing(tmp_path: Path, missing: str) -> None:
    """Without the extra `tools` it says what to install."""
    code = f"import sys; sys.modules[{missing!r}] = None\n{PROGRAM}"
    command = [sys.executable, "-c", code, "view", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    hint = f'logbatch: this command needs {missing}: pip install "logbatch[tools]"\n'
    assert (1, hint) == (done.returncode, done.stderr)


def test_beside_the_receiver(start: type[Command], tmp_path: Path) -> None:
    """`logbatch serve --view` shows what it receives, with a token of its own."""
    logs = tmp_path / "logs"
    command = start("serve", str(logs), "--port", "0", "--view")
    viewer = command.viewer(logs)
    found = re.search(r"listening on (\S+)", command.said)
    assert found is not None
    with viewer.socket() as client, requests.Session() as sender:
        sender.trust_env = False
        client.look(follow=True)
        assert 0 == client.until("rows")["count"]
        answer = sender.post(f"{found[1]}/v1/logs", json=[{"message": "hello", "level": "info"}])
        assert 200 == answer.status_code
        assert ["hello"] == client.messages("append", 1)
    assert (0, "") == command.end(signal.SIGTERM)


def test_the_demo(start: type[Command], tmp_path: Path) -> None:
    """`logbatch demo --view` shows a small application at work, until it is told to end."""
    logs = tmp_path / "demo"
    command = start("demo", "--view", "--directory", str(logs), DISPLAY="", BROWSER="")
    viewer = command.viewer(logs)
    with viewer.socket() as client:
        client.look("logger=shop", columns=["message"], follow=True)
        assert client.messages("append", 5)
    code, told = command.end(signal.SIGINT)
    assert 130 == code
    assert str(logs) in told
    assert parse_qs(urlsplit(viewer.url).query)
    command = start("demo", "--view", "--seconds", "0.3", "--directory", str(logs), DISPLAY="")
    assert command.child.wait(PATIENCE) == 0
