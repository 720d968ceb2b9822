"""`logbatch replay`: dead letters and whole directories, sent again with their identities."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from make import batch_of, publish
from scripted import Answer, Request, scripted

from logbatch import BatchHandler
from logbatch.cli import main
from logbatch.dataset.batches import batches_of_directory, batches_of_letters
from logbatch.dataset.reader import Dataset
from logbatch.events.event import LineEncoder
from logbatch.identity import new_producer
from logbatch.transports import build

pytestmark = pytest.mark.usefixtures("tmp_path")  # they write to the current directory

A, B = new_producer(), new_producer()
_encoder = LineEncoder(service="s", host="h")


_LINES = [
    _encoder.text(
        f"message {n} ümläut \x00 \u2028",
        level=20 + n % 3,
        logger="app",
        attributes={"n": n, "big": 1 << 70, "nan": float("nan"), "deep": {"a": [1.5, None]}},
    )
    for n in range(25)
]
"""Lines as a handler makes them, with values that are easily lost."""


def letter(producer: str, sequence: int) -> bytes:
    """Make a dead letter."""
    event = {"timestamp": "2026-11-21T10:00:00Z", "level": "INFO", "message": f"m{sequence}"}
    found = {"time": "x", "status": 422, "reason": "no", "producer": producer}
    return msgspec.json.encode({**found, "sequence": sequence, "event": event}) + b"\n"


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "growing", "zstd"])
def test_a_directory_comes_back_as_it_was_logged(tmp_path: Path, kind: str) -> None:
    """The same lines, whatever the files were."""
    batches = [
        batch_of(A, 0, *_LINES[0:3]),
        batch_of(A, 5, *_LINES[5:10]),
        batch_of(B, 3, *_LINES[3:5]),
    ]
    options = {"compression": "zstd"} if kind == "zstd" else {}
    if kind == "growing":
        transport = build("jsonl:logs")
        for batch in batches:
            transport.send(batch)
    else:
        form = "parquet" if kind == "parquet" else "jsonl"
        publish(Path("logs"), *batches, kind=form, **options)

    found = list(batches_of_directory(tmp_path / "logs", 100))
    assert sorted(batches, key=lambda each: each.key) == sorted(found, key=lambda each: each.key)
    if kind == "growing":
        transport.close()


def test_batches_are_bounded(tmp_path: Path) -> None:
    """In records, and each is there once."""
    publish(Path("logs"), batch_of(A, 0, *_LINES[0:25]))

    found = list(batches_of_directory(tmp_path / "logs", 10))
    assert [(0, 9), (10, 19), (20, 24)] == [(each.first, each.last) for each in found]


def test_batches_are_bounded_in_bytes(tmp_path: Path) -> None:
    """5,000 long records would be hundreds of megabytes; one that is longer goes alone."""
    path = tmp_path / "letters.jsonl"
    sizes = [300_000, 300_000, 500_000, 300_000, 2_000_000, 10]
    letters = [
        {"producer": "0" * 26, "sequence": n, "event": {"message": "x" * size}}
        for n, size in enumerate(sizes)
    ]
    path.write_bytes(b"".join(json.dumps(letter).encode() + b"\n" for letter in letters))

    found = [(each.first, each.last) for each in batches_of_letters(path, 100)]
    assert [(0, 1), (2, 3), (4, 4), (5, 5)] == found


def test_a_directory_is_sent_to_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    """With the identities that the records have."""
    publish(Path("logs"), batch_of(A, 0, *_LINES[0:3]), batch_of(A, 5, *_LINES[5:10]))
    with scripted(503, Answer(0)) as server:
        assert 0 == main(["replay", "logs", "--to", server.url])

        assert [(A, n) for n in (0, 1, 2, 5, 6, 7, 8, 9)] == sorted(server.identities)
    assert "8 records accepted in 2 batches\n" == capsys.readouterr().out


def test_a_directory_takes_each_record_once() -> None:
    """However often it is sent, and cut otherwise."""
    publish(Path("logs"), batch_of(A, 0, *_LINES[0:10]), kind="jsonl")
    publish(Path("copy"), batch_of(A, 3, *_LINES[3:5]))
    for _ in range(2):
        assert 0 == main(["replay", "logs", "--to", "parquet:copy"])

    rows = [
        sorted(Dataset(path).rows(), key=lambda row: row["sequence"]) for path in ("logs", "copy")
    ]
    assert rows[0] == rows[1]
    assert 10 == len(rows[0])


def test_dead_letters_are_sent_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that a handler wrote, once the server has been mended."""

    def pick(request: Request) -> Answer:
        bad = [i for i, event in enumerate(request.events) if "bad" in event["message"]]
        return Answer(200, {"rejected": bad}, commits=False)

    with scripted(rest=pick) as server:
        import logging

        logger = logging.Logger("app")
        logger.addHandler(handler := BatchHandler(server.url, flush_interval=60))
        for n in range(6):
            logger.info("bad %d" if n in (1, 2, 4) else "good %d", n)
        assert handler.flush()
        assert 3 == handler.stats().rejected
        handler.close()
    (path,) = home.rglob("rejected/*.jsonl")
    before = path.read_bytes()

    with scripted() as server:
        assert 0 == main(["replay", str(path), "--to", server.url])
        assert ["bad 1", "bad 2", "bad 4"] == server.messages
        assert [1, 2, 4] == [sequence for _, sequence in server.identities]
        assert 0 == main(["replay", str(path.parent), "--to", server.url])
        assert 6 == len(server.stored)
    assert before == path.read_bytes()
    assert "3 records accepted in 2 batches\n" * 2 == capsys.readouterr().out


def test_what_is_rejected_again_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is sent."""

    def pick(request: Request) -> int:
        return 422 if any(event["message"] == "m1" for event in request.events) else 200

    Path("dead.jsonl").write_bytes(b"".join(letter(A, n) for n in range(4)))
    with scripted(rest=pick) as server:
        assert 1 == main(["replay", "dead.jsonl", "--to", server.url])
        assert ["m0", "m2", "m3"] == server.messages
    told = capsys.readouterr()
    assert "3 records accepted in 2 batches\n" == told.out
    assert "1 record rejected again" in told.err
    assert "1 event was rejected: answered 422" in told.err
    assert "; kept where it was read from\n" in told.err


def test_a_server_that_takes_nothing_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """After the time that was asked for; what is done is said."""
    Path("dead.jsonl").write_bytes(letter(A, 0) + letter(B, 0))
    with scripted(200, rest=503) as server:
        assert 1 == main(["replay", "dead.jsonl", "--to", server.url, "--patience", "0.2"])
    told = capsys.readouterr().err
    assert "answered 503; 1 record accepted in 1 batch." in told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"nonsense\n", "1 line left out, the first is dead.jsonl, line 2"),
        (letter("x", 0) * 2, "2 lines left out, the first is dead.jsonl, line 2"),
        (letter(A, -1), "line 2: this is not a dead letter"),
        (b'{"time"\n', "line 2: this is not a dead letter"),
    ],
)
def test_what_is_no_dead_letter_is_told(
    data: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its place; all others are sent."""
    Path("dead.jsonl").write_bytes(letter(A, 7) + data + letter(A, 9))
    with scripted() as server:
        assert 1 == main(["replay", "dead.jsonl", "--to", server.url])
        assert ["m7", "m9"] == server.messages
    assert told in capsys.readouterr().err


def test_wrong_use_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "empty").mkdir()
    Path("dead.jsonl").write_bytes(letter(A, 0))
    assert 2 == main(["replay", "dead.jsonl"])
    assert "where to send? Use --to URL, or set LOGBATCH_TRANSPORT" in capsys.readouterr().err
    assert 2 == main(["replay", "dead.jsonl", "--to", "htps://x"])
    assert "did you mean 'http" in capsys.readouterr().err
    assert 1 == main(["replay", "empty", "--to", "parquet:x"])
    assert "empty holds neither log files nor dead letters" in capsys.readouterr().err
    assert 1 == main(["replay", "missing.jsonl", "--to", "parquet:x"])
    assert "missing.jsonl: No such file" in capsys.readouterr().err


def test_the_token_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line is visible to others."""
    monkeypatch.setenv("APP_TOKEN", "abcdef")
    Path("dead.jsonl").write_bytes(letter(A, 0))
    with scripted() as server:
        sending = ["--token", "env:APP_TOKEN", "--header", "X-Team: web"]
        sending += ["--header", "X-Key:env:APP_TOKEN"]
        assert 0 == main(["replay", "dead.jsonl", "--to", server.url, *sending])
        headers = server.requests[0].headers
        assert ["Bearer abcdef", "web", "abcdef"] == [
            headers[name] for name in ("Authorization", "X-Team", "X-Key")
        ]
        assert "m0" == json.loads(server.requests[0].body)["logs"][0]["message"]
