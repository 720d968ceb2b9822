"""A handler that sends to a real HTTP server, which answers as a script says."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest
import warm
from bench import Bench
from scripted import Answer, Given, Request, ScriptedServer, scripted
from waiting import wait_until

from logbatch import BatchHandler
from logbatch.cli import main
from logbatch.transports import build
from logbatch.transports.base import journal_directory
from logbatch.transports.http.transport import HttpTransport

JSON = (("Content-Type", "application/json"),)


# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


def attach(app: logging.Logger, url: str, **options: Any) -> BatchHandler:
    """Make the logger send there; nothing is due before it is asked for."""
    options = {"flush_interval": 60, "close_timeout": 10, **options}
    handler = BatchHandler(url, **options)
    app.addHandler(handler)
    return handler


def log(app: logging.Logger, count: int, first: int = 0) -> list[str]:
    """Log that many records; return their messages."""
    messages = [f"message {number}" for number in range(first, first + count)]
    for message in messages:
        app.info(message, extra={"user": "ümläut"})
    return messages


def letters(handler: BatchHandler) -> list[dict[str, Any]]:
    """Read the dead letters of a handler's destination."""
    directory = journal_directory(handler._batcher.transport)
    assert directory is not None
    files = sorted((directory / "rejected").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


# --------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize("compression", ["auto", "gzip", "zstd", "none"])
@pytest.mark.parametrize("body", ["logs", "array", "ndjson"])
def test_batches_arrive(app: logging.Logger, body: str, compression: str) -> None:
    """N records make about N / batch requests, in every form, in order."""
    with scripted() as server:
        handler = attach(app, server.url, body=body, compression=compression, max_batch_size=50)
        messages = log(app, 200)
        assert handler.flush()

        assert messages == server.messages
        assert 4 == len(server.requests)
        assert 1 == server.connections
        first = server.requests[0]
        assert ("POST", "/v1/logs") == (first.method, first.path)
        assert list(range(50)) == first.sequences
        assert "ümläut" == first.events[0]["attributes"]["user"]
        assert first.headers["User-Agent"].startswith("logbatch/")
        encoding = {"auto": "gzip", "none": None}.get(compression, compression)
        assert encoding == first.headers["Content-Encoding"]
        if body == "logs":
            assert ["logs"] == list(json.loads(first.body))
        assert 200 == handler.stats().published


def test_small_bodies_are_not_compressed(app: logging.Logger) -> None:
    """Under 1 kB it is not worth it."""
    with scripted() as server:
        handler = attach(app, server.url)
        log(app, 1)
        handler.flush()

        assert server.requests[0].headers["Content-Encoding"] is None


def test_fields_are_renamed(app: logging.Logger) -> None:
    """To what a server expects."""
    with scripted() as server:
        fields = {"timestamp": "time", "message": "msg", "attributes": None}
        handler = attach(app, server.url, body="array", fields=fields)
        log(app, 2)
        handler.flush()

        events = server.requests[0].events
        assert ["message 0", "message 1"] == [event["msg"] for event in events]
        assert {"time", "level", "msg"} <= events[0].keys()
        assert events[0].keys().isdisjoint({"timestamp", "message", "attributes"})


def test_errors_go_at_once(app: logging.Logger) -> None:
    """With all before them, whatever the interval."""
    with scripted() as server:
        attach(app, server.url)
        log(app, 3)
        app.error("down")

        assert server.wait_for(events=4)
        assert "down" == server.messages[-1]


def test_own_headers_and_a_token(app: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is asked for before each request."""
    monkeypatch.setenv("APP_TOKEN", "first-token")
    with scripted() as server:
        handler = attach(
            app, server.url, headers={"X-Team": "web"}, token="env:APP_TOKEN", max_batch_size=1
        )
        log(app, 1)
        handler.flush()
        monkeypatch.setenv("APP_TOKEN", "second-token")
        log(app, 1)
        handler.flush()

        sent = [request.headers["Authorization"] for request in server.requests]
        assert ["Bearer first-token", "Bearer second-token"] == sent
        assert "web" == server.requests[0].headers["X-Team"]


def test_credentials_of_the_url_become_a_header(app: logging.Logger) -> None:
    """They are not part of what is asked."""
    with scripted() as server:
        url = server.url.replace("http://", "http://me:pass-word@")
        handler = attach(app, url)
        log(app, 1)
        handler.flush()

        assert "Basic bWU6cGFzcy13b3Jk" == server.requests[0].headers["Authorization"]
        assert "/v1/logs" == server.requests[0].path
        assert "pass-word" not in repr(handler)


# --------------------------------------------------------------------------- what it answers


Check = Callable[[ScriptedServer, BatchHandler], None]


def _nothing_more(server: ScriptedServer, handler: BatchHandler) -> None:
    """One request was enough."""
    assert 1 == len(server.requests)


def _one_letter(server: ScriptedServer, handler: BatchHandler) -> None:
    (letter,) = letters(handler)
    assert (200, "no level", 2) == (letter["status"], letter["reason"], letter["sequence"])
    assert "message 2" == letter["event"]["message"]
    assert 1 == handler.stats().rejected
    assert 1 == len(server.requests)


def _rest_again(server: ScriptedServer, handler: BatchHandler) -> None:
    assert [list(range(8)), [3, 4, 5, 6, 7]] == [each.sequences for each in server.requests]


def _skipped(server: ScriptedServer, handler: BatchHandler) -> None:
    assert 3 == handler.stats().skipped
    assert 1 == len(server.requests)


def _singly(server: ScriptedServer, handler: BatchHandler) -> None:
    assert [8, *[1] * 8] == [len(each.sequences) for each in server.requests]
    assert "message 0" == json.loads(server.requests[1].body)["message"]


def _halved(server: ScriptedServer, handler: BatchHandler) -> None:
    assert [8, 4, 4] == [len(each.sequences) for each in server.requests]


def _again(server: ScriptedServer, handler: BatchHandler) -> None:
    first, second = server.requests
    assert (first.key, first.raw) == (second.key, second.raw)
    assert 1 == handler.stats().retries


def _commits_first_three(request: Request) -> Answer:
    return Answer(200, {"accepted": [0, 2]}, commits=False)


_ROWS: list[tuple[str, Given, Check]] = [
    ("200", 200, _nothing_more),
    ("204", 204, _nothing_more),
    ("2xx with any body", Answer(202, "thanks"), _nothing_more),
    ("rejected", Answer(200, {"rejected": [{"index": 2, "reason": "no level"}]}), _one_letter),
    ("accepted", _commits_first_three, _rest_again),
    ("logs_added", Answer(200, {"logs_added": 5}), _skipped),
    ("html", Answer(200, "<html>", (("Content-Type", "text/html"),), commits=False), _again),
    ("404", 404, _singly),
    ("405", 405, _singly),
    ("501", 501, _singly),
    ("400", 400, _halved),
    ("413", 413, _halved),
    ("422", 422, _halved),
    ("408", 408, _again),
    ("425", 425, _again),
    ("429", Answer(429, headers=(("Retry-After", "0"),)), _again),
    ("500", 500, _again),
    ("502", 502, _again),
    ("503", 503, _again),
    ("401", 401, _again),
    ("403", 403, _again),
    ("301", Answer(301, headers=(("Location", "/elsewhere"),)), _again),
    ("307", Answer(307, headers=(("Location", "/elsewhere"),)), _again),
    ("closed", 0, _again),
    ("reset", -1, _again),
    ("half a reply", Answer(200, "x", (("Content-Length", "9"),), commits=False), _again),
]


@pytest.mark.parametrize(("answer", "check"), [row[1:] for row in _ROWS], ids=[r[0] for r in _ROWS])
def test_the_table_of_answers(app: logging.Logger, answer: Given, check: Check) -> None:
    """Each row, end to end: all records arrive, once, in order."""
    with scripted(answer) as server:
        handler = attach(app, server.url)
        messages = log(app, 8)
        wait_until(lambda: handler.flush(timeout=0.2))  # each call tries again at once

        if check is _rest_again:  # the server said that it had the first three
            messages = messages[3:]
        assert messages == server.messages
        check(server, handler)
        assert 8 == handler.stats().published + handler.stats().rejected


@pytest.mark.parametrize(
    ("recheck", "answers", "asked"),
    [
        (600, [404], ["batch", *["single"] * 6]),
        (0, [404, 200, 200, 404], ["batch", *["single"] * 2, "batch", *["single"] * 2, "batch"]),
    ],
)
def test_a_missing_batch_endpoint_is_remembered_and_probed_again(
    app: logging.Logger, recheck: float, answers: list[int], asked: list[str]
) -> None:
    """After the time that the option says; single events go where and how the options say."""
    kinds = {("POST", "/v1/logs"): "batch", ("PATCH", "/v1/log"): "single"}
    with scripted(*answers) as server:
        handler = attach(
            app, server.url, single_url="/v1/log", single_method="PATCH", batch_recheck=recheck
        )
        for first in (0, 2, 4):
            log(app, 2, first)
            assert handler.flush()

        assert asked == [kinds[each.method, each.path] for each in server.requests]
        assert [0, 1, 2, 3, 4, 5] == [sequence for _, sequence in server.identities]
        assert 6 == handler.stats().published


@pytest.mark.parametrize(("fallback", "singles"), [("missing", 0), ("any", 4)])
@pytest.mark.parametrize("answer", [0, -1, 500, 502])
def test_a_fallback_after_any_failure_is_an_option(
    app: logging.Logger, fallback: str, singles: int, answer: int
) -> None:
    """By default a server in trouble does not get more requests for it."""
    with scripted(answer) as server:
        handler = attach(app, server.url, fallback=fallback)
        messages = log(app, 4)
        wait_until(lambda: handler.flush(timeout=0.2))  # each call tries again at once

        assert messages == server.messages
        assert singles == len([each for each in server.requests if len(each.sequences) == 1])


@pytest.mark.parametrize("answer", [Answer(503, headers=(("Retry-After", "0"),)), 429])
def test_a_server_that_asks_for_time_gets_it(app: logging.Logger, answer: Given) -> None:
    """Even with `fallback="any"`."""
    with scripted(answer) as server:
        handler = attach(app, server.url, fallback="any")
        log(app, 4)
        wait_until(lambda: handler.flush(timeout=0.2))  # each call tries again at once

        assert [4, 4] == [len(each.sequences) for each in server.requests]


def test_a_flush_does_not_hurry_a_server_that_asks_for_time(app: logging.Logger) -> None:
    """An application that flushes all the time is no reason to ask it more often."""
    with scripted(rest=Answer(429, headers=(("Retry-After", "30"),))) as server:
        handler = attach(app, server.url, close_timeout=0.1)
        log(app, 3)
        for _ in range(5):
            assert not handler.flush(timeout=0.1)
        assert 1 == len(server.requests)


def test_a_fallback_that_dies_half_way_repeats_and_loses_nothing(app: logging.Logger) -> None:
    """What was sent singly is settled."""
    with scripted(-1, 200, 200, -1) as server:
        handler = attach(app, server.url, fallback="any")
        messages = log(app, 6)
        wait_until(lambda: handler.flush(timeout=0.2))  # each call tries again at once

        assert messages == server.messages
        assert [6, 1, 1, 1, 4] == [len(each.sequences) for each in server.requests]


def test_a_poisoned_record_is_found(app: logging.Logger) -> None:
    """Among 51, in at most 2 * log2(51) + 2 requests; the other 50 arrive."""

    def pick(request: Request) -> Answer:
        poison = any(event["message"] == "message 31" for event in request.events)
        return Answer(422, {"error": "no such level"}) if poison else Answer(200)

    with scripted(rest=pick) as server:
        handler = attach(app, server.url)
        messages = log(app, 51)
        assert handler.flush()

        messages.remove("message 31")
        assert messages == server.messages
        assert len(server.requests) <= 2 * log2(51) + 2
        (letter,) = letters(handler)
        told = letter["status"], letter["reason"], letter["event"]["message"]
        assert (422, "answered 422: no such level", "message 31") == told


def test_a_size_limit_is_learnt(app: logging.Logger) -> None:
    """413 over 20 kB: all 500 arrive, and the next ones without asking in vain."""

    def pick(request: Request) -> Answer:
        return Answer(413 if len(request.raw) > 20_000 else 200)

    with scripted(rest=pick) as server:
        handler = attach(app, server.url, compression="none")
        messages = log(app, 500)
        assert handler.flush()
        refused = len([each for each in server.requests if len(each.raw) > 20_000])
        assert 0 < refused <= 2 * log2(500)
        messages += log(app, 500, 500)
        assert handler.flush()

        assert messages == server.messages
        assert refused == len([each for each in server.requests if len(each.raw) > 20_000])
        assert 0 == handler.stats().rejected


def test_one_record_over_the_size_limit_is_a_dead_letter(app: logging.Logger) -> None:
    """Only that one."""

    def pick(request: Request) -> Answer:
        return Answer(413 if len(request.raw) > 20_000 else 200)

    with scripted(rest=pick) as server:
        handler = attach(app, server.url, compression="none")
        log(app, 3)
        app.info("x" * 30_000)
        log(app, 3, 3)
        assert handler.flush()

        assert [f"message {n}" for n in range(6)] == server.messages
        (letter,) = letters(handler)
        assert (413, "x" * 30_000) == (letter["status"], letter["event"]["message"])


def test_a_limit_for_single_records_is_none_for_batches(app: logging.Logger) -> None:
    """One record that is too large, and said to be by 413, does not make later batches small."""

    def answer(request: Request) -> Answer:
        long = any(len(event["message"]) > 8_000 for event in request.events)
        return Answer(413 if long else 200)

    with scripted(rest=answer) as server:
        handler = attach(app, server.url)
        app.info("x" * 10_000)
        log(app, 200)
        assert handler.flush()
        before = len(server.requests)
        log(app, 200)
        assert handler.flush()

        assert (400, 1) == (len(server.stored), len(server.requests) - before)


def test_an_outage_of_14_seconds() -> None:
    """All arrive, in order, by themselves; and the server is not asked again and again."""

    def pick(_: Request) -> int:
        return 503 if bench.clock.now < until else 200

    with scripted(rest=pick) as server:
        transport = build(server.url)
        bench = Bench(
            transport, journal_directory(transport), flush_interval=0.1, max_batch_size=20
        )
        until = bench.clock.now + 14
        messages: list[str] = []
        while bench.clock.now < until - 1:  # an application that logs now and then
            messages += (more := [f"message {len(messages) + n}" for n in range(10)])
            bench.put(*more)
            bench.run(0.25)
        assert [] == server.messages
        bench.run(60)

        assert messages == server.messages
        assert [n for _, n in server.identities] == list(range(len(messages)))
        assert 6 <= bench.counters.retries <= 10  # by the longest and the shortest waits there are
        bench.session.end()
        transport.close()


def test_a_denial_is_kept_said_and_ended_by_another_token(
    app: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a restart; and the token stands in no text."""
    monkeypatch.setenv("APP_TOKEN", "outdated-token")

    def pick(request: Request) -> Answer:
        right = request.headers["Authorization"] == "Bearer fresh-token"
        return Answer(200 if right else 401, {"error": "no Bearer outdated-token here"})

    told: list[tuple[str, str, BaseException | None]] = []
    with scripted(rest=pick) as server:
        handler = attach(
            app, server.url, token="env:APP_TOKEN", on_error=lambda *each: told.append(each)
        )
        messages = log(app, 5)
        assert not handler.flush(timeout=1)
        assert not handler.flush(timeout=0.2)
        assert 5 == handler.stats().pending
        monkeypatch.setenv("APP_TOKEN", "fresh-token")
        assert handler.flush()

        assert messages == server.messages
        said = capsys.readouterr().err
        assert 1 == said.count("is the token right?")
        assert "answered 401: no Bearer [secret] here" in said
        assert {"denied"} == {kind for kind, _, _ in told}
        assert "outdated-token" not in f"{said}{told}{handler.stats()}{handler!r}"


# --------------------------------------------------------------------------- limits


def test_one_deadline_for_a_server_that_drips(app: logging.Logger) -> None:
    """It sends a byte every tenth of a second, and would take 10 s and more."""
    with scripted(Answer(200, "x" * 50, drip=0.1, commits=False)) as server:
        handler = attach(app, server.url, timeout=0.5)
        log(app, 1)
        assert handler.flush()

        stats = handler.stats()
        assert "no complete answer within 0.5 s" in str(stats.last_error)
        assert 1 == stats.retries
        assert 0.5 <= stats.flush_seconds["max"] < 5.0
        assert ["message 0"] == server.messages


def test_of_a_long_reply_only_the_beginning_is_read(app: logging.Logger) -> None:
    """64 KiB; what is behind it is not waited for."""
    with scripted(Answer(200, b"x" * (8 << 20))) as server:
        handler = attach(app, server.url)
        messages = log(app, 2)
        assert handler.flush()
        messages += log(app, 1, 2)
        assert handler.flush()

        assert messages == server.messages


def test_of_a_very_long_list_of_refused_events_none_is_missed(app: logging.Logger) -> None:
    """An answer of more than 64 KiB is asked for again, in parts."""

    def refuse(request: Request) -> Answer:
        reason = "no, and this is a long story" * 4
        odd = [i for i, sequence in enumerate(request.sequences) if sequence % 2]
        rejected = [{"index": i, "reason": reason} for i in odd]
        return Answer(200, {"rejected": rejected}, commits=False)

    with scripted(rest=refuse) as server:
        handler = attach(app, server.url, max_batch_size=4000)
        log(app, 4000)
        assert handler.flush()

        assert (2000, 2000) == (handler.stats().published, handler.stats().rejected)
        kept = letters(handler)
        assert list(range(1, 4000, 2)) == [letter["sequence"] for letter in kept]
        assert {f"message {n}" for n in range(1, 4000, 2)} == {
            letter["event"]["message"] for letter in kept
        }


def test_redirects_are_not_followed(app: logging.Logger) -> None:
    """Not even to the same server: a POST that is redirected becomes an empty GET."""
    with scripted() as other, scripted(Answer(302, headers=(("Location", other.url),))) as server:
        handler = attach(app, server.url)
        messages = log(app, 2)
        wait_until(lambda: handler.flush(timeout=0.2))  # each call tries again at once

        assert [] == other.requests
        assert messages == server.messages


# --------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"body": "json"}, "body='json' must be one of 'logs', 'array', 'ndjson'"),
        ({"compression": "gz"}, "compression='gz' must be one of .*; did you mean 'gzip'"),
        ({"fields": {"mesage": "m"}}, "'mesage' is not a key of an event; did you mean 'message'"),
        ({"fields": {"message": "level"}}, "two keys would be named 'level'"),
        ({"fields": {"message": 7}}, "message=7 must be a name, or None"),
        ({"fields": "message"}, "fields='message' must map"),
        ({"headers": {"Content-Length": "7"}}, "Content-Length is set by logbatch itself"),
        ({"headers": {"X Y": "7"}}, "'X Y' is not the name of a header"),
        ({"headers": {"X": "a\nb"}}, "the value of X must be printable ASCII"),
        ({"headers": {"X": "ü"}}, "the value of X must be printable ASCII"),
        ({"headers": {"X": " a"}}, "the value of X must be printable ASCII"),
        ({"headers": "X: y"}, "headers must map names to values"),
        ({"token": ""}, "token must be printable ASCII"),
        ({"token": "env:NO_SUCH"}, "the environment variable 'NO_SUCH' is not set"),
        ({"single_url": "ftp://h"}, "single_url must be a URL"),
        ({"single_url": 7}, "single_url must be a URL"),
        ({"account": "a b"}, "account must be a name"),
        ({"single_method": "GET"}, "single_method='GET' must be one of 'POST', 'PATCH', 'PUT'"),
        ({"batch_recheck": -1}, "batch_recheck=-1 must be a number of seconds"),
        ({"timeout": 0}, "timeout=0 must be a number of seconds from 0.1"),
        ({"timeout": True}, "timeout=True must be"),
        ({"fallback": "all"}, "fallback='all' must be one of 'missing', 'any'"),
        ({"proxies": 7}, "proxies must be a URL"),
        ({"proxies": {"https": "nonsense"}}, "proxies must be a URL"),
        ({"verify": "/no/such/file.pem"}, "verify='/no/such/file.pem' must be true, or the path"),
        ({"verify": False}, "verify=False lets anybody"),
        ({"accept_html": "maybe"}, "accept_html='maybe' must be true or false"),
        ({"tokn": "x"}, "unknown option 'tokn'; did you mean 'token'"),
    ],
)
def test_wrong_options_fail_when_built(options: dict[str, Any], told: str) -> None:
    """With a sentence that names the option and the rule."""
    with pytest.raises(ValueError, match=told):
        BatchHandler("https://logs.example.org/v1/logs", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"token": "abcdef"},
        {"headers": {"X-API-Key": "abcdef"}},
        {"url": "http://me:abcdef@example.org/"},
        {"url": "http://example.org/?token=abcdef"},
        {"url": "http://127.0.0.1/", "token": "abcdef", "single_url": "http://example.org/"},
        {"url": "http://127.0.0.1/", "token": "abcdef", "proxies": "http://proxy.example.org:3128"},
    ],
)
def test_a_secret_is_not_sent_in_plain_text(options: dict[str, Any]) -> None:
    """Unless told to, or to this machine."""
    given = {"url": "http://example.org/", **options}
    with pytest.raises(ValueError, match=r"in plain text.*insecure=True") as caught:
        HttpTransport(**given)

    assert "abcdef" not in str(caught.value)
    assert "abcdef" not in repr(HttpTransport(**given, insecure=True))


def test_options_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every transport."""
    monkeypatch.setenv("LOGBATCH_HTTP_TOKEN", "abcdef")
    monkeypatch.setenv("LOGBATCH_HTTP_COMPRESSION", "zst")
    with pytest.raises(ValueError, match="compression='zst'"):
        build("https://example.org/")


def test_a_dict_names_the_url() -> None:
    """The type is the scheme."""
    transport = build({"type": "https", "url": "https://example.org/logs", "body": "ndjson"})

    assert "https://example.org/logs" == transport.destination


# --------------------------------------------------------------------------- life and death


_CHILD = """
    import logging, logging.config, sys
    from logbatch import BatchHandler
    log = logging.getLogger("app")
    log.setLevel("DEBUG")
    handler = BatchHandler(sys.argv[1], flush_interval=0.05, close_timeout=1.0)
    log.addHandler(handler)
    for number in range(int(sys.argv[2])):
        log.info("message %d", number)
    print("logged", flush=True)
    if sys.argv[3:] == ["wait"]:
        sys.stdin.read()
"""


def run_child(*arguments: str) -> subprocess.Popen[str]:
    """Start a process that logs; its state is in the home directory of the test."""
    return warm.Popen(
        [sys.executable, "-c", textwrap.dedent(_CHILD), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_hung_server_at_exit(app: logging.Logger) -> None:
    """The process ends within `close_timeout` and half a second; the next one delivers."""
    with scripted(Answer(hangs=True, commits=False)) as server:
        child = run_child(server.url, "100")
        assert child.stdout is not None
        assert "logged\n" == child.stdout.readline()
        started = time.monotonic()
        _, said = child.communicate(timeout=30)
        assert 0 == child.returncode
        assert 1 == said.count("100 events were not delivered in time; kept in ")
        assert "`logbatch recover`, delivers what is there" in said
        assert time.monotonic() - started < 8  # the request would hang for 10

        handler = attach(app, server.url, flush_interval=0.05)
        app.info("I am the next one")
        assert server.wait_for(events=101)
        assert handler.close()  # while the server can acknowledge what it has stored
        assert {f"message {n}" for n in range(100)} | {"I am the next one"} == set(server.messages)
        assert 101 == len(set(server.identities))
        assert 100 == handler.stats().recovered


_LATE = """
    import atexit, logging, sys
    atexit.register(lambda: logging.getLogger("app").warning("late"))  # runs after logbatch's own
    from logbatch import BatchHandler
    logging.getLogger("app").addHandler(BatchHandler(sys.argv[1], close_timeout=1.0))
    print("ends", flush=True)
"""


def test_a_hung_server_when_no_thread_can_be_started() -> None:
    """What is logged while the process ends already does not hold it up for longer."""
    with scripted(Answer(hangs=True, commits=False)) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_LATE), server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert "ends\n" == child.stdout.readline()
        started = time.monotonic()
        child.communicate(timeout=30)
        assert (0, 1) == (child.returncode, len(server.requests))
        assert time.monotonic() - started < 8


def test_a_killed_process_is_finished_by_the_next_one(app: logging.Logger) -> None:
    """The batch that was on its way is sent again as it was, with the same key."""
    with scripted(Answer(hangs=True)) as server:  # it commits, and says nothing
        child = run_child(server.url, "100", "wait")
        assert server.wait_for(requests=1)
        child.send_signal(signal.SIGKILL)
        child.communicate()

        attach(app, server.url, flush_interval=0.05)
        app.info("I am the next one")
        assert server.wait_for(events=101 + len(server.requests[0].sequences))
        again = [each for each in server.requests if each.producer == server.requests[0].producer]
        assert (again[0].key, again[0].raw) == (again[1].key, again[1].raw)
        assert 101 == len(set(server.identities))


def test_what_is_refused_of_a_dead_process_is_not_recovered(app: logging.Logger) -> None:
    """It is kept as a dead letter; the others are counted."""

    def pick(request: Request) -> Answer:
        if len(server.requests) == 1:
            return Answer(hangs=True, commits=False)
        bad = [n for n, event in enumerate(request.events) if event["message"] == "message 3"]
        return Answer(200, {"rejected": bad})

    with scripted(rest=pick) as server:
        child = run_child(server.url, "10", "wait")
        assert server.wait_for(requests=1)
        child.send_signal(signal.SIGKILL)
        child.communicate()

        handler = attach(app, server.url)
        app.info("I am the next one")
        handler.close()
        assert 9 == handler.stats().recovered
        assert ["message 3"] == [letter["event"]["message"] for letter in letters(handler)]


@pytest.mark.parametrize(
    ("account", "recovered"), [("a", 0), ("b", 100)], ids=["another", "the same"]
)
def test_accounts_have_journals_of_their_own(
    app: logging.Logger, monkeypatch: pytest.MonkeyPatch, account: str, recovered: int
) -> None:
    """What one left is not sent with the token of another."""
    with scripted(Answer(hangs=True, commits=False)) as server:
        monkeypatch.setenv("LOGBATCH_HTTP_ACCOUNT", "b")
        child = run_child(server.url, "100", "wait")
        assert server.wait_for(requests=1)
        child.send_signal(signal.SIGKILL)
        child.communicate()

        monkeypatch.delenv("LOGBATCH_HTTP_ACCOUNT")
        handler = attach(app, server.url, account=account, flush_interval=0.05)
        app.info("I am the next one")
        assert handler.flush()
        handler.close()  # it takes over what others left, where it may
        assert recovered == handler.stats().recovered


def test_what_the_delivery_itself_logs_does_not_feed_it(app: logging.Logger) -> None:
    """With the root logger at DEBUG; the application's own use of urllib3 is kept."""
    import urllib3

    root = logging.getLogger()
    level = root.level
    with scripted() as server:
        handler = BatchHandler(server.url, flush_interval=0.02)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            logging.getLogger("app").info("mine")
            assert server.wait_for(events=1)
            with urllib3.PoolManager() as pool:
                assert 200 == pool.request("GET", server.origin).status
            assert handler.flush()
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:
                before = len(server.requests)
                assert handler.flush()
            assert before == len(server.requests)
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            handler.close()

        stats = handler.stats()
        assert stats.suppressed > 0
        events = [event for _, _, event in server.stored]
        assert "mine" in [event["message"] for event in events]
        assert "urllib3.connectionpool" in [event["logger"] for event in events]
        assert stats.accepted == len(events)


def test_dict_config_while_a_send_hangs() -> None:
    """A configuration that is applied again neither waits nor loses anything."""
    from logging.config import dictConfig

    with scripted(Answer(hangs=True, commits=False)) as server:
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "batch": {
                    "class": "logbatch.BatchHandler",
                    "transport": server.url,
                    "flush_interval": 0.05,
                    "close_timeout": 0.5,
                }
            },
            "loggers": {"app": {"handlers": ["batch"], "level": "DEBUG"}},
        }
        try:
            dictConfig(config)
            app = logging.getLogger("app")
            log(app, 10)
            assert server.wait_for(requests=1)
            started = time.monotonic()
            dictConfig(config)
            assert time.monotonic() - started < 5  # the request would hang for 10
            log(app, 10, 10)
            server.let_go()
            assert server.wait_for(events=20)
            assert {f"message {n}" for n in range(20)} == set(server.messages)
        finally:
            dictConfig({"version": 1, "loggers": {"app": {"handlers": []}}})


def test_threads_and_forks_share_nothing(app: logging.Logger) -> None:
    """A forked child has a connection and a producer of its own."""
    with scripted() as server:
        handler = attach(app, server.url)
        log(app, 5)
        assert handler.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                log(app, 5)
                status = 0 if handler.close() else 2
            finally:
                os._exit(status)
        assert 0 == os.waitpid(child, 0)[1]
        threads = [threading.Thread(target=log, args=(app, 20)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert handler.flush()

        assert 90 == len(server.identities) == len(set(server.identities))
        assert 2 == len({producer for producer, _ in server.identities})


def test_what_a_killed_process_left_is_sent_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no process that sends there is alive any more."""
    with scripted(Answer(hangs=True, commits=False)) as server:
        child = run_child(server.url, "100", "wait")
        assert server.wait_for(requests=1)
        child.send_signal(signal.SIGKILL)
        child.communicate()

        assert 0 == main(["recover", server.url])
        assert [f"message {n}" for n in range(100)] == server.messages
    told = capsys.readouterr().out
    assert "published 100 records from 1 journal of dead processes\n" == told


def test_what_waits_for_a_url_can_go_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A URL that was mistyped, or that has moved; and all that could not be sent is counted."""
    with scripted(rest=503) as old:
        for _ in range(2):
            child = run_child(old.url, "50", "wait")
            assert child.stdout is not None
            assert "logged\n" == child.stdout.readline()
            child.kill()
            child.communicate()
        monkeypatch.setenv("LOGBATCH_TRANSPORT", old.url)
        assert 1 == main(["recover", "--timeout", "0"])
        told = capsys.readouterr()
        assert "Error: 100 records could not be published; they stay in the journal\n" in told.err
        assert "nothing to recover" not in told.out

    with scripted() as new:
        assert 0 == main(["recover", old.url, "--to", new.url, "--token", "abcdef"])
        assert 100 == len(set(new.identities))
        assert "Bearer abcdef" == new.requests[0].headers["Authorization"]
    assert "published 100 records from 2 journals" in capsys.readouterr().out
