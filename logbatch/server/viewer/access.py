"""Who may see the page and what it shows: who has the token, and no page of another site.

The token stands in the URL that is printed once.  The browser that opens it gets a cookie, which no
script can read and which no other site's page makes it send, and is led to the same URL without the
token, so that it stays out of the history and of what is sent on.  Programs send the token as
`Authorization: Bearer` instead.

The cookie is made of the token, so it is good for as long as that is.  Its name has the port in it:
browsers send cookies to all ports of a host.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from logbatch.server.access import Access
from logbatch.server.limits import Refusal
from logbatch.server.tokens import Tokens

_MONTH = 30 * 24 * 3600  # seconds for which a browser keeps the cookie

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every answer."""


class Door:
    """The rules of one viewer.

    Args:
        token: What whoever comes must have.
        host: The address that it is bound to.
        port: Its port.
    """

    def __init__(self, token: str, host: str, port: int) -> None:
        self._token = token
        self._access = Access(Tokens([token]), host)
        self._name = f"logbatch-{port}"
        value = hmac.digest(token.encode(), b"the cookie of logbatch view", hashlib.sha256)
        self._cookie = value.hex()

    def check_site(self, request: HTTPConnection) -> None:
        """Refuse what a page of another site sends; the user may follow its links to our page.

        Raises:
            Refusal: It comes from elsewhere, or calls us by another's name (403).
        """
        headers = request.headers
        is_page = request.scope["type"] == "http" and request.scope["path"] == "/"
        is_link = headers.get("sec-fetch-mode") == "navigate"
        is_tab = headers.get("sec-fetch-dest") == "document"
        self._access.check_site(request, follows_link=is_page and is_link and is_tab)

    def check_token(self, request: HTTPConnection) -> None:
        """Refuse whoever has neither the cookie nor the token.

        Raises:
            Refusal: Neither, or a wrong one (401).
        """
        cookie = request.cookies.get(self._name, "")
        if hmac.compare_digest(cookie.encode("utf-8", "replace"), self._cookie.encode()):
            return
        self._access.find_token(request)

    def let_in(self, request: HTTPConnection) -> Response | None:
        """Return what gives a browser its cookie, where the URL has the token; else None.

        Raises:
            Refusal: The URL has another one (401).
        """
        given = request.query_params.get("token")
        if given is None:
            return None
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            raise Refusal(401, "this token is not, or no more, the one that is asked for")
        query = request.scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        answer = RedirectResponse(f"/?{rest}" if rest else "/", 303)
        answer.set_cookie(
            self._name, self._cookie, max_age=_MONTH, path="/", httponly=True, samesite="strict"
        )
        return answer
