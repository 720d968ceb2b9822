"""`logbatch serve` as a process: how it starts, ends, fails, and comes back."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import click
import pytest
import requests
from make import P
from receivers import MakeEntries, Process, StartProcess

from logbatch.cli import main
from logbatch.cli.serve import command
from logbatch.dataset.verify import verify
from logbatch.identity import new_producer
from logbatch.server.limits import Limits
from logbatch.storage.segments import list_segments

BATCH = 20


class TestLife:
    def test_sigterm(self, process: StartProcess, lines: MakeEntries) -> None:
        """It ends with 0, and its files have their final names."""
        receiver = process()
        receiver.client.send(lines(0, 4), f"{P}/0-4")
        assert (0, "") == receiver.end()
        [segment] = list_segments(receiver.directory)
        assert (0, 4) == (segment.first, segment.last)

    def test_ctrl_c(self, process: StartProcess, lines: MakeEntries) -> None:
        """Ctrl-C does the same, with the exit code of an interruption."""
        receiver = process()
        receiver.client.send(lines(0, 4), f"{P}/0-4")
        assert 130 == receiver.end(signal.SIGINT)[0]
        assert [4] == [each.last for each in list_segments(receiver.directory)]

    def test_idle_connections_do_not_hold_it(
        self, process: StartProcess, lines: MakeEntries
    ) -> None:
        """Connections that are kept open do not keep it from ending."""
        receiver = process()
        with requests.Session() as session, receiver.client.connect():
            session.trust_env = False
            assert 200 == session.get(receiver.url + "/healthz").status_code
            assert (0, "") == receiver.end()

    def test_a_body_that_does_not_come_to_an_end(self, process: StartProcess) -> None:
        """Is answered when the receiver stops, and not as a bug of its own."""
        receiver = process()
        host, port = receiver.url.removeprefix("http://").split(":")
        head = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port)), 30) as connection:
            connection.sendall(f"{head}Content-Length: 50\r\nExpect: 100-continue\r\n\r\n".encode())
            assert b" 100 " in connection.recv(65536)  # it waits for the body now
            code, said = receiver.end()
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert (0, 1) == (code, said.count("\n"))
        assert "Traceback" not in said
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"the receiver is stopping" in answer

    def test_sigkill(self, process: StartProcess, lines: MakeEntries) -> None:
        """What a killed one left growing is finished at the next start, and known."""
        first = process()
        first.client.send(lines(0, 4), f"{P}/0-4")
        first.end(signal.SIGKILL)
        assert [None] == [each.last for each in list_segments(first.directory)]
        second = process()
        assert [4] == [each.last for each in list_segments(first.directory)]
        assert second.client.send(lines(0, 4), f"{P}/0-4").json()["duplicate"]

    def test_one_for_a_directory(self, process: StartProcess, lines: MakeEntries) -> None:
        """A second receiver for the same directory says so and ends."""
        process()
        with pytest.raises(AssertionError, match=r"\(1, 'Error: another receiver writes to "):
            process()

    def test_a_port_that_is_taken(self, process: StartProcess, tmp_path: Path) -> None:
        """A port that is taken is told in one line."""
        port = str(process().client.address[1])
        with pytest.raises(AssertionError, match=r"\(1, 'Error: cannot listen on 127.0.0.1:\d+: "):
            process("--port", port, directory=tmp_path / "other")

    def test_a_token_of_the_environment(
        self, process: StartProcess, lines: MakeEntries, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A token may stand in a variable, so that no command line shows it."""
        monkeypatch.setenv("LOGBATCH_TEST_TOKEN", "hidden-one")
        receiver = process("--token", "env:LOGBATCH_TEST_TOKEN")
        assert 401 == receiver.client.send(lines(0, 1)).status_code
        receiver.client.token = "hidden-one"
        assert 200 == receiver.client.send(lines(0, 1)).status_code
        assert (0, "") == receiver.end()

    def test_tls(self, process: StartProcess, tmp_path: Path, lines: MakeEntries) -> None:
        """With a certificate it speaks HTTPS."""
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out",
             str(certificate)], capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"openssl cannot make a certificate: {made.stderr.decode()}")
        receiver = process("--tls-cert", str(certificate), "--tls-key", str(key))
        assert receiver.url.startswith("https://127.0.0.1:")
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                receiver.url + "/v1/logs", json=lines(0, 1), verify=str(certificate)
            )
        assert 2 == answer.json()["logs_added"]

    def test_what_is_said_of_bad_requests(self, process: StartProcess) -> None:
        """What comes from the wire does not get to the terminal, nor does a token."""
        receiver = process("--token", "hidden-one")
        for sent in (b"\x1b[31mX\r\n\r\n", b"GET /\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with receiver.client.connect() as connection:
                connection.sendall(sent)
                connection.recv(1000)
        receiver.client.send(
            b"x", Authorization="Bearer hidden-one", Connection="upgrade", Upgrade="x"
        )
        _, said = receiver.end()
        assert "hidden" not in said
        assert all(each.isprintable() for each in said.splitlines())


@pytest.mark.parametrize(
    ("place", "arguments", "ext"),
    [
        ("{}", (), "jsonl"),
        ("{}", ("--format", "parquet"), "parquet"),
        ("parquet:{}", (), "parquet"),
        ("jsonl:{}", (), "jsonl"),
        ("Parquet:{}", ("--format", "parquet"), "parquet"),
    ],
)
def test_the_format_is_the_one_that_was_named(
    process: StartProcess,
    lines: MakeEntries,
    tmp_path: Path,
    place: str,
    arguments: tuple[str, ...],
    ext: str,
) -> None:
    """A directory that is written as a transport says which files are meant."""
    receiver = process(*arguments, directory=place.format(tmp_path / "logs"))
    receiver.client.send(lines(0, 4), f"{P}/0-4")
    assert (0, "") == receiver.end()

    assert [ext] == [each.ext for each in list_segments(tmp_path / "logs")]


@pytest.mark.parametrize(
    ("place", "arguments", "said"),
    [
        ("parquet:logs", ["--format", "jsonl"], "parquet:logs means parquet files, --format jsonl"),
        ("jsonl:logs", ["--format", "parquet"], "jsonl:logs means jsonl files, --format parquet"),
        ("jsonl:logs?compression=zstd", [], "the receiver has no options for files"),
    ],
)
def test_a_contradiction_is_wrong_usage(
    place: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is named twice must agree, and what cannot be done is not ignored."""
    assert 2 == main(["serve", place, "--port", "0", *arguments])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--host", "0.0.0.0"],
            "--host='0.0.0.0' can be reached from other machines: that needs a",
        ),
        (["--token", "env:LOGBATCH_NOT_SET"], "--token env:LOGBATCH_NOT_SET: this variable is not"),
        (["--max-records", "0"], "--max-records=0 must be greater than 0"),
        (["--retain-age", "soon"], "--retain-age='soon' must be a duration"),
        (["--retain-bytes", "much"], "--retain-bytes='much' must be a size"),
        (["--max-memory-bytes", "5"], "--max-memory-bytes=5 must be at least"),
        (["--default-level", "loud"], "--default-level='loud' is not the name of a level"),
        (["--tls-cert", "nowhere.pem"], "there is no file nowhere.pem"),
        (["--tls-key", "key.pem"], "--tls-key: a key is of no use without a certificate"),
    ],
)
def test_what_is_refused_at_the_start(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is out of order is told in one line, and nothing is served."""
    assert 1 == main(["serve", str(tmp_path / "logs"), "--port", "0", *arguments])
    shown = capsys.readouterr()
    assert ("", f"Error: {said}") == (shown.out, shown.err[: len(said) + 7])
    assert 1 == len(shown.err.splitlines())


class TestDisk:
    def test_full(self, process: StartProcess, lines: MakeEntries) -> None:
        """Where nothing more can be written the answer is 503, and all goes on once it can be."""
        limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))"
        receiver = process(prelude=limit)
        stored = 0
        while (answer := send(receiver, lines, stored)).status_code == 200:
            stored += BATCH
        assert (503, True, True) == (
            answer.status_code, "retry-after" in answer.headers, stored > BATCH
        )  # fmt: skip
        assert 503 == send(receiver, lines, stored).status_code
        assert 200 == receiver.client.send(lines(0, 0), f"{new_producer()}/0-0").status_code
        resource_limit(receiver.child.pid)
        for first in (stored, stored + BATCH, 0):
            assert 200 == send(receiver, lines, first).status_code
        assert [f"n {n}" for n in range(stored + 2 * BATCH)] == receiver.client.messages()
        code, said = receiver.end()
        assert (0, 1) == (code, len(said.splitlines())), said
        assert "cannot store" in said
        receiver.client.verify()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
    def test_no_room_at_all(
        self, process: StartProcess, lines: MakeEntries, tmp_path: Path
    ) -> None:
        """The same on a disk that is full to the last byte."""
        place = tmp_path / "disk"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
        if (done := subprocess.run(mount, capture_output=True, check=False)).returncode:
            pytest.skip(f"cannot mount: {done.stderr.decode()}")
        try:
            receiver = process(directory=place / "logs")
            filler = place / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1000))
                except OSError:
                    pass
            answers = {send(receiver, lines, at * BATCH).status_code for at in range(60)}
            answers |= {receiver.client.send(lines(0, 19)).status_code for _ in range(40)}
            assert {200, 503} >= answers and 503 in answers
            filler.unlink()
            for first in range(0, 200, BATCH):
                assert 200 == send(receiver, lines, first).status_code
            assert [f"n {n}" for n in range(200)] == receiver.client.messages()[:200]
            assert 0 == receiver.end()[0]
        finally:
            subprocess.run(["umount", str(place)], check=True)


def resource_limit(pid: int) -> None:
    """Lift the limit of the size of another process's files."""
    import resource

    everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, everything)


def send(receiver: Process, lines: MakeEntries, first: int) -> requests.Response:
    """Send a batch of one producer."""
    last = first + BATCH - 1
    return receiver.client.send(lines(first, last), f"{P}/{first}-{last}")


class Place:
    """Where the receiver is that lives at the moment."""

    def __init__(self, receiver: Process) -> None:
        self.receiver = receiver
        self._moved = threading.Condition()

    def move(self, receiver: Process) -> None:
        """Have requests served by another one from now on."""
        with self._moved:
            self.receiver = receiver
            self._moved.notify_all()

    def wait_for_another(self, receiver: Process) -> None:
        """Wait until there is another than this one."""
        with self._moved:
            self._moved.wait_for(lambda: self.receiver is not receiver, 30)


BATCHES = 24  # of each sender


class Sender(threading.Thread):
    """A client that sends batches until each of them is acknowledged, whatever happens."""

    def __init__(self, place: Place, lines: MakeEntries, batches: int) -> None:
        super().__init__(daemon=True)
        self.producer = new_producer()
        self.place = place
        self.lines = lines
        self.batches = batches
        self.acknowledged = 0
        self.repeated = 0
        self.odd: list[str] = []

    def run(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            for at in range(self.batches):
                first, last = at * BATCH, at * BATCH + BATCH - 1
                while not self._send(session, first, last):
                    self.repeated += 1
                self.acknowledged = last + 1

    def _send(self, session: requests.Session, first: int, last: int) -> bool:
        key = {"Idempotency-Key": f"{self.producer}/{first}-{last}"}
        body = self.lines(first, last)
        receiver = self.place.receiver
        try:
            answer = session.post(f"{receiver.url}/v1/logs", json=body, headers=key, timeout=10)
        except requests.RequestException:
            self.place.wait_for_another(receiver)
            return False
        if answer.status_code != 200:
            self.odd.append(f"{answer.status_code} {answer.text}")
        return True


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_killed_again_and_again(process: StartProcess, lines: MakeEntries, kind: str) -> None:
    """The receiver is killed under eight clients: what was acknowledged is there, once."""
    place = Place(process("--format", kind))
    senders = [Sender(place, lines, BATCHES) for _ in range(8)]
    for sender in senders:
        sender.start()
    kills = 0
    while any(sender.is_alive() for sender in senders) and kills < 8:
        goal = sum(sender.acknowledged for sender in senders) + 20 * BATCH
        while sum(s.acknowledged for s in senders) < goal and any(s.is_alive() for s in senders):
            threading.Event().wait(0.01)
        place.receiver.end(signal.SIGKILL)
        kills += 1
        place.move(process("--format", kind))
    for sender in senders:
        sender.join(60)
    assert kills >= 5
    assert [] == [odd for sender in senders for odd in sender.odd]
    directory = place.receiver.directory
    assert 0 == place.receiver.end()[0]
    assert [BATCHES * BATCH] * 8 == [sender.acknowledged for sender in senders]
    producers = sorted(sender.producer for sender in senders)
    assert [[producer, f"n {n}"] for producer in producers for n in range(BATCHES * BATCH)] == (
        place.receiver.client.rows("producer", "message")
    )
    report = verify(directory)
    assert (0, 0, ()) == (report.gaps, report.repeated, tuple(report.problems))
    assert 0 == main(["verify", str(directory)])


def test_every_option_is_documented() -> None:
    """The guide names every option of the command, and every limit with its default."""
    guide = (Path(__file__).parents[2] / "docs" / "receiver.md").read_text()
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{option.opts[0]}`" in guide, option.opts
    assert {field.name for field in dataclasses.fields(Limits)} <= {o.name for o in command.params}
