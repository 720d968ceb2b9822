"""No secret is shown, in whatever way sending fails; and what sending logs does not feed itself."""

from __future__ import annotations

import logging
import logging.config
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from rawserver import OK, Play, RawServer, answering
from scripted import Answer, Request, scripted
from waiting import wait_until

from logbatch import BatchHandler

URL, TOKEN, HEADER, PROXY = (
    f"{name}-4711-secret" for name in ("password", "token", "header", "proxy")
)
QUERY, DECODED = "query%2F4711-secret", "query/4711-secret"
BASIC = "bWU6cGFzc3dvcmQtNDcxMS1zZWNyZXQ="  # me:password-4711-secret
PROXY_BASIC = "bWU6cHJveHktNDcxMS1zZWNyZXQ="  # me:proxy-4711-secret
SECRETS = (URL, QUERY, DECODED, TOKEN, HEADER, PROXY, BASIC, PROXY_BASIC)


# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


class Texts:
    """All that anybody could read while a handler sends."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_error(self, kind: str, text: str, error: BaseException | None) -> None:
        """Keep a trouble, with everything that a traceback would show."""
        self.found.append(f"{kind}: {text} {error!r}")
        while error is not None:
            self.found += traceback.format_exception(error)
            self.found.append(repr(vars(error)))
            error = error.__cause__ or error.__context__

    def look(self, handler: BatchHandler) -> None:
        """Keep what a handler says of itself."""
        self.found += [repr(handler), str(handler), repr(handler.stats()), repr(vars(handler))]

    def read(self, folder: Path) -> None:
        """Keep all names and contents of files."""
        for path in folder.rglob("*"):
            self.found.append(str(path))
            if path.is_file():
                self.found.append(path.read_bytes().decode(errors="replace"))

    def __str__(self) -> str:
        return "\n".join(self.found)


class Listener(logging.Handler):
    """The application's own handler, which shows everything."""

    def __init__(self, texts: Texts) -> None:
        super().__init__()
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.found.append(self.format(record))


@pytest.fixture
def texts() -> Iterator[Texts]:
    """Collect, with the root logger at DEBUG, what is shown."""
    root, texts = logging.getLogger(), Texts()
    listener, level = Listener(texts), root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    yield texts
    root.removeHandler(listener)
    root.setLevel(level)


def echo(request: Request) -> Answer:
    """Refuse, and say back all that was sent."""
    return Answer(400, {"error": f"{request.path} {request.headers}"})


def echo_and_fail(request: Request) -> Answer:
    """Fail, and say back all that was sent."""
    return Answer(503, {"error": f"{request.path} {request.headers}"})


def echo_rejected(request: Request) -> Answer:
    """Refuse one record, and say back all that was sent."""
    return Answer(
        200,
        {"rejected": [{"index": 0, "reason": f"{request.path} {request.headers}"}]},
        (("Content-Type", "application/json"),),
    )


def send(texts: Texts, url: str, **options: Any) -> None:
    """Send two records with every kind of secret, and collect what is shown."""
    place = url.replace("//", f"//me:{URL}@" if "token" not in options else "//")
    options = {"headers": {"X-Api-Key": HEADER}, "close_timeout": 0.1, "timeout": 10, **options}
    handler = BatchHandler(
        f"{place}/logs?api_key={QUERY}&name=app", on_error=texts.on_error, **options
    )
    logger = logging.Logger("app")
    logger.addHandler(handler)
    logger.info("one")
    logger.info("two")
    handler.flush()
    wait_until(lambda: handler.stats().errors or not handler.stats().pending, "an answer")
    texts.look(handler)
    handler.close()
    texts.look(handler)


@pytest.mark.parametrize("how", [{"token": TOKEN}, {}], ids=["token", "password"])
@pytest.mark.parametrize("answer", [echo, echo_and_fail, echo_rejected, 401, 302, 404, 200])
def test_no_answer_brings_a_secret_to_light(
    texts: Texts,
    home: Path,
    capfd: pytest.CaptureFixture[str],
    answer: Any,
    how: dict[str, Any],
) -> None:
    """Though the server says back all that it was sent."""
    with scripted(rest=answer) as server:
        send(texts, server.origin, **how)
        assert server.requests[0].path == f"/logs?api_key={QUERY}&name=app"
        assert HEADER == server.requests[0].headers["X-Api-Key"]
    check(texts, home, capfd)


def cut(request: Request) -> Answer:
    """Answer with a secret so late that only its beginning is kept."""
    return Answer(400, {"error": "x" * 490 + TOKEN})


def cut_rejected(request: Request) -> Answer:
    """The same, of one record."""
    return Answer(200, {"rejected": [{"index": 0, "reason": "x" * 490 + TOKEN}]})


@pytest.mark.parametrize("answer", [cut, cut_rejected])
def test_not_even_a_part_of_a_secret_is_shown(texts: Texts, answer: Any) -> None:
    """Where what the server says is cut, in the middle of one."""
    with scripted(rest=answer) as server:
        send(texts, server.origin, token=TOKEN)
    assert TOKEN[:9] not in str(texts)


def quiet(peer: Any) -> None:
    """Answer nothing."""
    peer.read()


def garbage(peer: Any) -> None:
    """Answer with what was sent where a status should be."""
    request = peer.read()
    peer.write(request.head if request else b"")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("play", [quiet, garbage, lambda peer: peer.closing.wait()])
@pytest.mark.parametrize("proxied", [False, True])
def test_no_failure_brings_a_secret_to_light(
    texts: Texts,
    home: Path,
    capfd: pytest.CaptureFixture[str],
    scheme: str,
    play: Play,
    proxied: bool,
) -> None:
    """Neither the server's nor the proxy's, whose password is secret, too."""
    with RawServer(play) as server:
        proxy = f"http://me:{PROXY}@127.0.0.1:{server.port}"
        proxies = {"proxies": proxy} if proxied else {}
        url = f"{scheme}://127.0.0.1:{server.port}"
        # Half of them wait until it is up: whoever is to speak TLS takes no garbage for an answer.
        send(texts, url, token=TOKEN, timeout=1, **proxies)
    check(texts, home, capfd)


def check(texts: Texts, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Look for the secrets in everything."""
    texts.read(home)
    shown = f"{texts} {capfd.readouterr()}"
    assert "Starting new HTTP" in shown  # urllib3 did log
    assert [] == [secret for secret in SECRETS if secret in shown]


# ---------------------------------------------------------------------- what sending logs


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger at DEBUG."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(level)


def test_sending_does_not_feed_itself(root: logging.Logger) -> None:
    """What urllib3 logs on the flusher's thread is suppressed and counted, not sent."""
    with scripted() as server:
        handler = BatchHandler(server.url, flush_interval=0.02)
        root.addHandler(handler)
        logging.getLogger("app").info("one")
        assert handler.flush()
        assert handler.close()
        root.removeHandler(handler)
    assert ["one"] == server.messages
    stats = handler.stats()
    assert (1, 1, 1) == (stats.accepted, stats.published, len(server.requests))
    assert stats.suppressed > 0


def test_the_applications_own_requests_are_kept(root: logging.Logger) -> None:
    """Though they are logged by the same loggers, while we send."""
    play, _ = answering(OK)
    with RawServer(play) as other, scripted() as server:
        handler = BatchHandler(server.url, flush_interval=0.01)
        root.addHandler(handler)

        def ask() -> None:
            for number in range(20):
                with requests.Session() as session:
                    session.trust_env = False
                    session.post(f"{other.origin}/own/{number}", timeout=10)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert handler.close()
        root.removeHandler(handler)
    own = [message for message in server.messages if "/own/" in message]
    assert 60 == len(own)
    assert not any("/v1/logs" in message for message in server.messages)


def test_two_handlers_do_not_feed_each_other(root: logging.Logger) -> None:
    """What the one logs while it sends is nothing for the other to send."""
    with scripted() as one, scripted() as two:
        handlers = [BatchHandler(server.url, flush_interval=0.01) for server in (one, two)]
        for handler in handlers:
            root.addHandler(handler)
        logging.getLogger("app").info("one")
        for _ in range(3):
            assert all(handler.flush() for handler in handlers)
        for handler in handlers:
            assert handler.close()
            root.removeHandler(handler)
        assert [["one"], ["one"]] == [one.messages, two.messages]


def test_logging_is_configured_anew_without_a_wait(root: logging.Logger) -> None:
    """The flusher needs a lock of `logging`, which is held while old handlers are closed."""
    with scripted() as server:
        handler = {"class": "logbatch.BatchHandler", "transport": server.url, "close_timeout": 20}
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"batch": handler},
            "root": {"handlers": ["batch"], "level": "DEBUG"},
        }
        started = time.monotonic()
        for number in range(3):
            logging.config.dictConfig(config)
            logging.getLogger("app").info("%d", number)
        assert time.monotonic() - started < 15
        assert server.wait_for(events=2)
        (newest,) = (each for each in root.handlers if isinstance(each, BatchHandler))
        assert newest.close()
        root.removeHandler(newest)
        assert server.wait_for(events=3)
        assert {"0", "1", "2"} == set(server.messages)
