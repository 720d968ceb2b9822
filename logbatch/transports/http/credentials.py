"""Secrets on their way to a server: where they come from, and that they are shown nowhere.

A token is a text, `"env:NAME"`, or a function; the last two are asked before each request, so that
a token can be changed while the process runs.  User and password are moved out of a URL.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from logbatch.errors import DeniedError

Token = Callable[[], str]

_ENVIRONMENT = "env:"
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f]")
_NOT_IN_HEADERS = re.compile(r"[^\x21-\x7e]")
_SECRET_NAME = re.compile(r"auth|cookie|cred|key|pass|secret|sig|token", re.IGNORECASE)
_HIDDEN = "[secret]"
_SHORTEST = 4  # characters of a secret that is looked for in texts; "a" would hide all of them


class Address(NamedTuple):
    """Where requests go.

    Attributes:
        url: What is asked, without user and password.
        basic: The header that user and password became; None where there were none.
        shown: The URL without anything that may be secret; the same for every process that
            sends to the same place.
        hidden: Texts that must not be shown, as they may be secret.
        has_secret: Whether it holds one for sure.
        is_safe: Whether what is sent cannot be read on the way.
    """

    url: str
    basic: str | None
    shown: str
    hidden: tuple[str, ...]
    has_secret: bool
    is_safe: bool


def parse_url(name: str, url: Any) -> Address:
    """Read a URL.

    Args:
        name: The option, for the error; the URL itself is not repeated there.
        url: An `http:` or `https:` URL.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(url, str) or _NOT_IN_URLS.search(url):
        raise ValueError(f"{name} must be a URL, without spaces and control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = SplitResult("", "", "", "", "")
    if parts.scheme.lower() not in ("http", "https") or not host or port == 0:
        raise ValueError(f'{name} must be a URL of the form "https://host/path"')
    place = parts.netloc.rpartition("@")[2].lower()
    clean = urlunsplit(parts._replace(netloc=place, fragment=""))
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    basic = _basic(user, password) if user or password else None
    query = parse_qsl(parts.query)
    values = (value for _, value in query)
    encoded = (pair.partition("=")[2] for pair in parts.query.split("&"))  # as the server sees it
    hidden = (password or user, (basic or "").partition(" ")[2], *values, *encoded)
    has_secret = basic is not None or any(_SECRET_NAME.search(key) for key, _ in query)
    mark = _mark(parts.query, user if password else "")  # alone it may be a key
    shown = urlunsplit((parts.scheme.lower(), place, parts.path, mark, ""))
    is_safe = parts.scheme.lower() == "https" or _is_here(host)
    return Address(clean, basic, shown, hidden, has_secret, is_safe)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _mark(query: str, user: str) -> str:
    """Return a short hash of query and user; what looks like a secret does not change it."""
    open_ones = [pair for pair in parse_qsl(query) if not _SECRET_NAME.search(pair[0])]
    open_ones += [("", user)] if user else []
    return hashlib.sha256(urlencode(open_ones).encode()).hexdigest()[:8] if open_ones else ""


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_token(token: Any) -> Token | None:
    """Read the option `token`.

    Raises:
        ValueError: It is none; the text does not repeat it.
    """
    if token is None:
        return None
    if callable(token):
        return lambda: _call(token)
    if not isinstance(token, str):
        raise ValueError('token must be a text, "env:NAME", or a function that returns a text')
    if token.startswith(_ENVIRONMENT):
        name = token.removeprefix(_ENVIRONMENT)
        if not os.environ.get(name):
            raise ValueError(f"token: the environment variable {name!r} is not set")
        return lambda: _read(name)
    if not token or _NOT_IN_HEADERS.search(token):
        raise ValueError("token must be printable ASCII without spaces")
    return lambda: token


def _read(name: str) -> str:
    return _check(os.environ.get(name, ""), f"the environment variable {name!r}")


def _call(token: Callable[[], Any]) -> str:
    try:
        found = token()
    except BaseException as error:  # its text may hold the secret; SystemExit ends nothing here
        kind = type(error).__name__
    else:
        return _check(found, "the function")
    raise DeniedError(f"no token: the function failed with {kind}")


def _check(found: Any, source: str) -> str:
    if not isinstance(found, str) or not found or _NOT_IN_HEADERS.search(found):
        raise DeniedError(f"no token: {source} gave none that can be sent")
    return found


def find_secrets(headers: Mapping[str, str]) -> list[str]:
    """Return the values of headers that are secret by their names."""
    return [value for name, value in headers.items() if _SECRET_NAME.search(name)]


def hide(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text that came from elsewhere."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, _HIDDEN)
    return text
