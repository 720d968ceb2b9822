"""Who is let in: a token where there is one, and no page of another site.

A browser sends what any page tells it to, also to this machine.  It says so, though: the page's
site stands in `Origin`, and `Sec-Fetch-Site` tells whether it is another one, also where there is
no `Origin`; a page whose host name was made to point here (DNS rebinding) has that name in `Host`;
and without asking first it sends no JSON, only forms and plain text.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from starlette.requests import HTTPConnection, Request

from logbatch.server.limits import Refusal
from logbatch.server.tokens import Tokens

JSON = "application/json"
LINES = frozenset(
    (
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "application/jsonlines",
    )
)
PROTOBUF = "application/x-protobuf"

_SCHEMES = {"ws": "http", "wss": "https"}  # a page's origin is never that of a socket
_OWN = frozenset(("same-origin", "none"))  # of `Sec-Fetch-Site`; none: typed in by the user


class Access:
    """The rules of one server.

    Args:
        tokens: The tokens that are accepted.
        host: The address that it is bound to.
        allowed_hosts: Names by which it may be called, besides those of the machine itself.  None
            given: any, unless it is bound to loopback.
    """

    def __init__(self, tokens: Tokens, host: str, allowed_hosts: Collection[str] = ()) -> None:
        self._tokens = tokens
        self._any_host = not allowed_hosts and not is_loopback(host)
        self._hosts = {name.lower().strip("[]") for name in allowed_hosts}

    def check_site(self, request: HTTPConnection, *, follows_link: bool = False) -> None:
        """Refuse what a page of another site sends.

        Args:
            request: The request, or what a socket begins with.
            follows_link: Whether it is enough that the user has followed a link of another site.

        Raises:
            Refusal: It comes from elsewhere, or calls us by another's name (403).
        """
        host = request.headers.get("host", "")
        if host and not self._is_ours(_without_port(host)):
            raise Refusal(403, "this server does not go by the name in Host")
        scheme = _SCHEMES.get(request.scope["scheme"], request.scope["scheme"])
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
            raise Refusal(403, "pages of other sites may not send here")
        site = request.headers.get("sec-fetch-site")
        if site is not None and site.strip().lower() not in _OWN and not follows_link:
            raise Refusal(403, "pages of other sites may not send here")

    def find_token(self, request: HTTPConnection) -> bytes | None:
        """Return the token that a request came with; None where none is asked for.

        Raises:
            Refusal: It has none that is accepted (401).
        """
        if not self._tokens:
            return None
        token = self._tokens.find(request.headers.get("authorization", ""))
        if token is None:
            raise Refusal(401, "a token is needed: Authorization: Bearer ...")
        return token

    def _is_ours(self, host: str) -> bool:
        return self._any_host or host in self._hosts or is_loopback(host)


def find_media_type(request: Request, allowed: Collection[str]) -> str:
    """Return the type of a body, without its parameters.

    Raises:
        Refusal: It is none of those allowed (415).
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in allowed:
        raise Refusal(415, f"the Content-Type must be one of: {', '.join(sorted(allowed))}")
    return media


def is_loopback(host: str) -> bool:
    """Return whether a name or an address means this machine and can be reached from no other."""
    name = host.lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and (port.isdigit() or not port) and not name.endswith(":") else host
    return bare.lower().strip("[]")
