"""Who sees the page: who has the token, and no page of another site."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from make import numbered, publish_events
from viewers import PATIENCE, Viewer
from waiting import wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus

from logbatch.server.viewer.run import Settings

StartViewer = Callable[..., Viewer]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def refused(viewer: Viewer, *, host: str = "", **headers: str) -> int:
    """Return the status with which a socket is refused."""
    with pytest.raises(InvalidStatus) as found, viewer.socket(host=host, **headers):
        pass
    return found.value.response.status_code


def test_the_url_becomes_a_cookie(view: StartViewer) -> None:
    """Who opens the URL is led to the same one without the token, and may look from then on."""
    viewer = view()
    with requests.Session() as browser:
        browser.trust_env = False
        answer = browser.get(f"{viewer.url}&q=a%20b&tab=runs", allow_redirects=False)
        assert (303, "/?q=a+b&tab=runs") == (answer.status_code, answer.headers["location"])
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"logbatch-{viewer.address[1]}=")
        for attribute in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert attribute in cookie
        assert viewer.token not in cookie
        assert 200 == browser.get(f"{viewer.base}/api/info").status_code
        pair = cookie.partition(";")[0]
    with viewer.socket(Cookie=pair) as client:
        client.look()
        assert "rows" == client.get()["type"]


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/info", "/api/export", "/nothing"])
def test_nobody_without_the_token_sees_anything(view: StartViewer, path: str) -> None:
    """Without a cookie or the token, or with a wrong one, every path answers 401."""
    viewer = view()
    name = f"logbatch-{viewer.address[1]}"
    for headers in (
        {"Authorization": None},
        {"Authorization": None, "Cookie": f"{name}=wrong"},
        {"Authorization": None, "Cookie": f"{name}={viewer.token}"},
        {"Authorization": None, "Cookie": f"{name}=é".encode().decode("latin-1")},
        {"Authorization": f"Bearer {viewer.token}x"},
        {"Authorization": f"Basic {viewer.token}"},
    ):
        answer = viewer.ask(path, headers=headers)
        assert 401 == answer.status_code
        assert viewer.directory.name not in answer.text
    assert 401 == viewer.ask("/?token=wrong", headers={"Authorization": None}).status_code
    assert 401 == viewer.ask("/?token=%C3%A9", headers={"Authorization": None}).status_code


def test_no_socket_without_the_token(view: StartViewer) -> None:
    """A socket is not even opened for who has neither the cookie nor the token."""
    viewer = view()
    name = f"logbatch-{viewer.address[1]}"
    assert 403 == refused(viewer, Cookie=f"{name}=wrong")
    assert 403 == refused(viewer, Authorization="Bearer wrong")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8322", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_point_here(view: StartViewer, host: str) -> None:
    """DNS rebinding: a page of another site has its own name in Host, and gets nothing."""
    viewer = view()
    assert 403 == viewer.ask("/", headers={"Host": host}).status_code
    assert 403 == viewer.ask("/api/info", headers={"Host": host}).status_code
    origin = f"http://{host}"
    bearer = f"Bearer {viewer.token}"
    assert 403 == refused(viewer, host=host, Authorization=bearer, Origin=origin)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://{own}"]
)
def test_a_page_of_another_site(view: StartViewer, origin: str) -> None:
    """A page of another site, or of another port, opens no socket and asks nothing."""
    viewer = view()
    origin = origin.format(own="{}:{}".format(*viewer.address))
    bearer = f"Bearer {viewer.token}"
    assert 403 == refused(viewer, Authorization=bearer, Origin=origin)
    answer = viewer.ask("/api/sql", "POST", json={"query": "SELECT 1"}, headers={"Origin": origin})
    assert 403 == answer.status_code
    assert 403 == viewer.ask("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code
    own = "http://{}:{}".format(*viewer.address)
    with viewer.socket(Authorization=bearer, Origin=own) as client:
        client.look()
        assert "rows" == client.get()["type"]


def test_a_link_of_another_site_may_be_followed(view: StartViewer) -> None:
    """A view is a URL that can be sent: what is refused is to load it into another page."""
    viewer = view()
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    tab, frame = {"Sec-Fetch-Dest": "document"}, {"Sec-Fetch-Dest": "iframe"}
    assert 200 == viewer.ask("/?q=x", headers=link | tab).status_code
    assert 403 == viewer.ask("/?q=x", headers=link | frame).status_code
    assert 403 == viewer.ask("/api/info", headers=link | tab).status_code
    unknown = viewer.ask("/?q=<b>", headers=link | tab | {"Authorization": None})
    assert 401 == unknown.status_code
    assert "text/html" in unknown.headers["content-type"]
    assert 'href=""' in unknown.text
    assert "<b>" not in unknown.text


@pytest.mark.parametrize(
    "path", ["/", "/api/info", "/api/row", "/nothing", "/static/nothing", "/?token=wrong"]
)
def test_every_answer_keeps_to_itself(view: StartViewer, path: str) -> None:
    """Every answer has the policy, and what the log holds is in no cache."""
    answer = view().ask(path)
    assert POLICY == answer.headers["content-security-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "no-referrer" == answer.headers["referrer-policy"]
    assert "DENY" == answer.headers["x-frame-options"]
    if path.startswith("/api"):
        assert "no-store" == answer.headers["cache-control"]


def test_no_file_beside_those_of_the_page(view: StartViewer, tmp_path: Path) -> None:
    """Whatever a path says, only the page's own files are served."""
    viewer = view()
    (tmp_path / "secret").write_text("secret")
    here = str(tmp_path / "secret")
    for path in (
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "%2e%2e%2fapp.py",
        "..%5capp.py",
        "....//app.py",
        f"/{here}",
        f"%2f{here}",
        "index.html%00.js",
        ".",
        "",
    ):
        with socket.create_connection(viewer.address, PATIENCE) as connection:
            head = f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            head += f"Authorization: Bearer {viewer.token}\r\n\r\n"
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 40"), path
        assert b"secret" not in answer.replace(here.encode(), b"")
        assert b"import" not in answer


def test_only_what_is_needed_may_be_done(view: StartViewer) -> None:
    """Nothing is changed: what is no GET is refused, but for SQL, which takes JSON only."""
    viewer = view()
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        assert 405 == viewer.ask("/", method).status_code
        assert 405 == viewer.ask("/api/export", method).status_code
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = viewer.ask("/api/sql", "POST", data="query=SELECT+1", headers=form)
    assert 415 == answer.status_code
    answer = viewer.ask("/api/sql", "POST", data='{"query":"SELECT 1"}', headers={})
    assert 415 == answer.status_code
    assert [] == [path for path in viewer.directory.rglob("*")]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "0.0.0.0"}, "that needs a token"),
        ({"host": "::"}, "that needs a token"),
        ({"token": "a b"}, "printable ASCII"),
        ({"token": "ä"}, "printable ASCII"),
    ],
)
def test_settings_are_checked(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    """Whoever can be reached from other machines needs a token of his own."""
    with pytest.raises(ValueError, match=told):
        Settings(tmp_path, **settings)  # type: ignore[arg-type]


def test_a_token_of_ones_own(view: StartViewer) -> None:
    """With `--token` the cookie is good as long as the token is, also after a new start."""
    first = view(token="a-token")
    headers = {"Authorization": None}
    cookie = first.ask("/?token=a-token", headers=headers).headers["set-cookie"]
    value = cookie.partition(";")[0].partition("=")[2]
    second = view(token="a-token")
    pair = {"Cookie": f"logbatch-{second.address[1]}={value}"}
    assert 200 == second.ask("/api/info", headers=headers | pair).status_code
    third = view(token="another")
    pair = {"Cookie": f"logbatch-{third.address[1]}={value}"}
    assert 401 == third.ask("/api/info", headers=headers | pair).status_code


# ------------------------------------------------------------------ who is in the way of others


def test_a_huge_message_ends_the_socket(view: StartViewer) -> None:
    """A message of more than 64 KiB is not even read to its end."""
    viewer = view()
    with viewer.socket() as client:
        client.send('{"type":"view","generation":1,"where":"' + "x" * (1 << 20) + '"}')
        with pytest.raises(ConnectionClosed) as found:
            client.get()
    assert found.value.rcvd is not None
    assert 1009 == found.value.rcvd.code


@pytest.mark.parametrize(
    "message",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"type":"nothing"}',
        '{"type":"view"}',
        '{"type":"view","generation":-1}',
        '{"type":"view","generation":1,"count":10001}',
        '{"type":"view","generation":1,"count":0}',
        '{"type":"view","generation":1,"columns":[""]}',
        '{"type":"view","generation":1,"columns":[1]}',
        '{"type":"view","generation":1,"start":"now"}',
        '{"type":"view","generation":1,"start":99999999999999999999}',
        '{"type":"view","generation":1,"bins":0}',
        '{"type":"page","generation":1,"offset":-1,"count":1}',
        "[" * 10_000,
    ],
)
def test_a_message_that_is_wrong(view: StartViewer, message: str) -> None:
    """It is told what is wrong, and the socket goes on."""
    with view().socket() as client:
        client.send(message)
        answer = client.get()
        assert ("error", "view") == (answer["type"], answer["where"])
        client.connection.send(b"\x00\xff")
        assert "error" == client.get()["type"]
        client.look()
        assert "rows" == client.get()["type"]


def test_more_clients_than_there_is_room_for(view: StartViewer) -> None:
    """There is a number of connections; one more is told to come again, also for a socket."""
    viewer = view()
    held = [socket.create_connection(viewer.address, PATIENCE) for _ in range(128)]
    try:
        wait_until(lambda: viewer.ask("/api/info").status_code == 503, "a refusal")
        assert 503 == refused(viewer, Authorization=f"Bearer {viewer.token}")
        assert viewer.ask("/api/info").headers["retry-after"]
    finally:
        for connection in held:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
    wait_until(lambda: viewer.ask("/api/info").status_code == 200, "a success")
    with viewer.socket() as client:
        client.look()
        assert "rows" == client.get()["type"]


def test_an_error_tells_no_path(view: StartViewer) -> None:
    """What cannot be done is told without where the directory is, and without a traceback."""
    viewer = view()
    publish_events(viewer.directory, numbered(1))
    (path,) = viewer.directory.rglob("*.parquet")
    path.write_bytes(b"PAR1 nothing of that kind PAR1")
    with viewer.socket() as client, pytest.warns(UserWarning, match="left out"):
        client.look()
        assert 0 == client.until("rows")["count"]
        notice = client.until("notice")["text"]
    assert path.name in notice
    assert str(viewer.directory) not in notice
    told = viewer.ask("/api/sql", "POST", json={"query": "SELECT * FROM nothing"}).json()["error"]
    assert "nothing" in told
    assert "Traceback" not in told
    assert str(viewer.directory.parent) not in told


def test_a_client_that_sends_without_end(view: StartViewer) -> None:
    """Fifty messages a second are read; a client that sends more waits, and nobody else does."""
    viewer = view()
    with viewer.socket() as flood, viewer.socket() as client:
        for _ in range(150):
            flood.send("x")
        began = time.monotonic()
        client.look()
        assert "rows" == client.get()["type"]
        answered = [flood.get()["type"] for _ in range(150)]
        assert ["error"] * 150 == answered
        assert time.monotonic() - began > 1.5
