"""Secrets: where they come from, and that no text shows them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from logbatch.errors import DeniedError
from logbatch.transports.http.credentials import find_secrets, hide, parse_token, parse_url


@pytest.mark.parametrize(
    ("url", "clean", "basic", "shown"),
    [
        ("https://h/p", "https://h/p", None, "https://h/p"),
        ("https://H:8443/P", "https://h:8443/P", None, "https://h:8443/P"),
        ("https://me:pw@h/p", "https://h/p", "me:pw", "https://h/p?768fa288"),
        ("https://me@h/p", "https://h/p", "me:", "https://h/p"),
        ("https://:pw@h/p", "https://h/p", ":pw", "https://h/p"),
        ("https://m%40e:p%3Aw@h", "https://h", "m@e:p:w", "https://h?5ba50b37"),
        ("https://a@b:c@h/p", "https://h/p", "a@b:c", "https://h/p?f9c9eb68"),
        ("https://[::1]:9/p", "https://[::1]:9/p", None, "https://[::1]:9/p"),
        ("https://h/p#part", "https://h/p", None, "https://h/p"),
        ("https://h/p?api_key=x", "https://h/p?api_key=x", None, "https://h/p"),
    ],
)
def test_a_url_is_taken_apart(url: str, clean: str, basic: str | None, shown: str) -> None:
    """User and password become a header; what is shown holds neither them nor the query."""
    address = parse_url("url", url)

    assert (clean, shown) == (address.url, address.shown)
    if basic is None:
        assert address.basic is None
    else:
        assert "Basic " + base64.b64encode(basic.encode()).decode() == address.basic


def test_queries_are_told_apart_without_showing_them() -> None:
    """Two destinations have two journals; a secret that is changed does not make a new one."""
    shown = [
        parse_url("url", f"https://h/p?{query}").shown
        for query in ("stream=a", "stream=b", "stream=a&token=1", "token=2&stream=a")
    ]

    assert shown[0] != shown[1]
    assert shown[0] == shown[2] == shown[3]
    assert "stream" not in shown[0]


def test_users_are_told_apart_without_showing_them() -> None:
    """Two accounts at one server have two journals; a new password does not make another."""
    shown = [
        parse_url("url", f"https://{login}@h/p").shown
        for login in ("alice:1", "bob:1", "alice:2", "key", "key2")
    ]

    assert shown[0] != shown[1]
    assert shown[0] == shown[2]
    assert shown[3] == shown[4] == "https://h/p"  # a user alone is the secret itself
    assert "alice" not in shown[0]


@pytest.mark.parametrize(
    "url",
    [
        "h/p",
        "ftp://h/p",
        "https:/h/p",
        "https://",
        "https://:80/p",
        "https://h:port/p",
        "https://h:99999/p",
        "https://h:0/p",
        "https://h /p",
        "https://h/p\r\nX: y",
        "https://[::1/p",
        "",
        None,
        7,
    ],
)
def test_what_is_no_url_is_refused(url: Any) -> None:
    """Without repeating it: nobody knows what it holds."""
    with pytest.raises(ValueError, match=r"^single_url must be a URL") as caught:
        parse_url("single_url", url)

    assert "h/p" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://example.org", True),
        ("http://example.org", False),
        ("http://localhost:80", True),
        ("http://app.localhost", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80", True),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_only_the_own_machine_is_safe_without_tls(url: str, safe: bool) -> None:
    """By name or by address."""
    assert safe == parse_url("url", url).is_safe


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://h", False),
        ("https://me@h", True),
        ("https://h?api_key=1", True),
        ("https://h?X-Amz-Signature=1", True),
        ("https://h?access_token=1", True),
        ("https://h?stream=app", False),
    ],
)
def test_a_url_may_hold_a_secret(url: str, secret: bool) -> None:
    """A user, or a parameter with such a name."""
    assert secret == parse_url("url", url).has_secret


def test_a_token_is_a_text() -> None:
    """The same each time."""
    token = parse_token("abc")
    assert token is not None
    assert ["abc", "abc"] == [token(), token()]
    assert parse_token(None) is None


def test_a_token_of_the_environment_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be changed without a restart."""
    monkeypatch.setenv("APP_TOKEN", "one")
    token = parse_token("env:APP_TOKEN")
    assert token is not None
    assert "one" == token()

    monkeypatch.setenv("APP_TOKEN", "two")
    assert "two" == token()

    monkeypatch.delenv("APP_TOKEN")
    with pytest.raises(DeniedError, match="the environment variable 'APP_TOKEN' gave none"):
        token()


def test_a_function_is_asked_each_time() -> None:
    """It may do what it takes to get a new one."""
    tokens = iter(["one", "two"])
    token = parse_token(lambda: next(tokens))
    assert token is not None

    assert ["one", "two"] == [token(), token()]


@pytest.mark.parametrize("found", [None, "", 7, b"x", "with space", "line\nbreak", "ü"])
def test_a_function_that_gives_no_token(found: Any) -> None:
    """Is told, without what it gave."""
    token = parse_token(lambda: found)
    assert token is not None
    with pytest.raises(DeniedError, match=r"the function gave none that can be sent$"):
        token()


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_function_that_fails_does_not_show_why(kind: type[BaseException]) -> None:
    """The text of its exception may hold the secret, and so may what it came from."""

    def fail() -> str:
        raise kind("refresh with s3cret failed")

    token = parse_token(fail)
    assert token is not None
    with pytest.raises(DeniedError, match=f"failed with {kind.__name__}") as caught:
        token()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "tökén", 7, b"x", ["x"]])
def test_a_wrong_token_is_refused(token: Any) -> None:
    """When the handler is built, and without repeating it."""
    with pytest.raises(ValueError, match=r"^token must be"):
        parse_token(token)


def test_a_variable_must_be_set_when_built() -> None:
    """A name that is misspelt is noticed at once."""
    with pytest.raises(ValueError, match="the environment variable 'NO_SUCH' is not set"):
        parse_token("env:NO_SUCH")


def test_secret_headers_are_known_by_their_names() -> None:
    """Their values are hidden like tokens."""
    headers = {"X-API-Key": "1", "Authorization": "2", "Cookie": "3", "X-Team": "4"}

    assert ["1", "2", "3"] == find_secrets(headers)


def test_secrets_are_taken_out_of_texts() -> None:
    """The longest first; one that is too short would hide half the text."""
    text = "token abcdef and abcd, a"

    assert "token [secret] and [secret], a" == hide(text, ["abcd", "abcdef", "a", ""])
