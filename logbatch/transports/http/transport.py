"""Batches to an HTTP endpoint: one POST each, with the identity of the batch as idempotency key.

This module makes requests and reads answers.  What an answer means is decided in `answers`; to
wait, to try again, to halve, to send singly and to keep dead letters is the batcher's work.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urljoin

from logbatch.errors import (
    BatchUnsupportedError,
    RejectedError,
    TemporaryError,
    TransportError,
)
from logbatch.native import threads_are_replaced
from logbatch.options import choice, seconds, switch
from logbatch.transports.base import BaseTransport, Batch, Receipt
from logbatch.transports.compress import LIBRARIES
from logbatch.transports.http import bodies
from logbatch.transports.http.answers import Reply, ServerError, judge
from logbatch.transports.http.credentials import Address, find_secrets, hide, parse_token, parse_url
from logbatch.transports.http.failures import describe
from logbatch.transports.http.options import (
    check_account,
    check_fields,
    check_headers,
    check_proxies,
    check_verify,
)
from logbatch.version import VERSION

if TYPE_CHECKING:
    import requests

    from logbatch.transports.http.deadline import Deadline

_BODY = choice(*bodies.FORMS)
_COMPRESSION = choice(*bodies.COMPRESSIONS)
_METHOD = choice("POST", "PATCH", "PUT")
_FALLBACK = choice("missing", "any")
_RECHECK = seconds(0, 86_400)
_TIMEOUT = seconds(0.1, 3_600)

LONGEST_REPLY = 64 << 10  # bytes of an answer that are read


class HttpTransport(BaseTransport):
    """Sends batches to an HTTP endpoint.

    Args:
        url: Where to.  User and password in it are moved into a header.
        body: The form of a batch: `"logs"` (`{"logs": […]}`), `"array"` (`[…]`) or `"ndjson"`.
        fields: New names for top-level keys of the events: `{"message": "msg"}`; None as a name
            leaves the key out.
        compression: `"gzip"`, `"zstd"`, `"none"`, or `"auto"`: gzip from 1 kB on.
        headers: More headers.
        token: Sent as `Authorization: Bearer`: the text itself, `"env:NAME"`, or a function that
            returns it; the last two are asked before each request.
        account: A name for whose logs these are, where several programs of one user send to one URL
            and only a token or a header tells them apart.  Each name has its own journals; without
            one, what a program that died left is sent by the next one, with that one's token.  It
            is shown, so it must be no secret.
        single_url: Where single events go if there is no batch endpoint; it may be a path at the
            same server.  None takes `url`.
        single_method: `"POST"`, `"PATCH"` or `"PUT"` for those.
        batch_recheck: Seconds until a batch endpoint that was missing, or a size that was too
            large, is tried again.
        fallback: When events go singly: `"missing"`: only where there is no batch endpoint;
            `"any"`: also after a batch failed on the network or with a 5xx.  That multiplies the
            load on a server that is in trouble.
        timeout: Seconds a whole request may take.
        proxies: A proxy's URL, or a mapping of schemes to them.  Those of the environment are not
            used.
        verify: Whether to verify the server's certificate, or the path of a file or directory of
            certificates to trust.
        insecure: Allow what others on the way can read or change: a secret sent over plain
            `http:` to another machine, or `verify=False`.
        accept_html: Take a web page with a status of 2xx for an acknowledgement.

    Raises:
        ValueError: An option is unknown or out of range.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "flush_interval": 1.0,
        "max_batch_size": 5_000,
        "max_batch_bytes": 2 << 20,
    }

    def __init__(
        self,
        url: str,
        *,
        body: str = "logs",
        fields: Mapping[str, str | None] | None = None,
        compression: str = "auto",
        headers: Mapping[str, str] | None = None,
        token: str | Callable[[], str] | None = None,
        account: str | None = None,
        single_url: str | None = None,
        single_method: str = "POST",
        batch_recheck: float = 600.0,
        fallback: str = "missing",
        timeout: float = 10.0,
        proxies: str | Mapping[str, str] | None = None,
        verify: bool | str | os.PathLike[str] = True,
        insecure: bool = False,
        accept_html: bool = False,
    ) -> None:
        self._batches = parse_url("url", url)
        self._singles = self._batches
        if single_url is not None:
            self._singles = parse_url("single_url", _join(self._batches.url, single_url))
        self._body = _BODY("body", body)
        self._fields = check_fields(fields)
        self._compression = _COMPRESSION("compression", compression)
        self._headers = check_headers(headers)
        self._token = parse_token(token)
        self._single_method = _METHOD("single_method", single_method)
        self._recheck = _RECHECK("batch_recheck", batch_recheck)
        self._fallback = _FALLBACK("fallback", fallback)
        self._timeout = _TIMEOUT("timeout", timeout)
        self._proxies = check_proxies(proxies)
        self._verify = check_verify(verify)
        self._accept_html = switch("accept_html", accept_html)
        self._check_secure(switch("insecure", insecure))
        self.destination = self._batches.shown + check_account(account)
        self._session: requests.Session | None = None
        self._deadline: Deadline
        self._too_large: tuple[int, float] | None = None  # bytes of lines, and until when
        if threads_are_replaced():
            _open_session()  # what it imports takes locks of `logging`, which greenlets hold

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Make one of its URL, all of which is the server's."""
        return cls(url, **options)

    def import_libraries(self) -> None:
        session, _ = _open_session()
        session.close()
        if self._compression != "none":
            import_module(LIBRARIES.get(self._compression, LIBRARIES["gzip"]))

    def send(self, batch: Batch) -> Receipt:
        """Deliver a batch."""
        self._check_size(batch)
        body = bodies.join(self._renamed(batch), self._body)
        kind = bodies.media_type(self._body)
        try:
            return self._exchange("POST", self._batches, batch, body, kind)
        except RejectedError as error:
            if error.status == 413:
                self._note_size(batch)
            raise
        except BatchUnsupportedError as error:
            error.recheck = self._recheck
            raise
        except (_FailedError, ServerError) as error:
            if self._fallback == "any" and error.retry_after is None:
                raise BatchUnsupportedError(str(error), recheck=0.0) from None
            raise

    def send_single(self, batch: Batch) -> Receipt:
        """Deliver one event to the endpoint for single ones."""
        body = self._renamed(batch).removesuffix(b"\n")
        return self._exchange(self._single_method, self._singles, batch, body, "application/json")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def after_fork(self) -> None:
        """Leave the connection, in a forked child, to the parent."""
        self._session = None

    # ------------------------------------------------------------------ what is sent

    def _check_size(self, batch: Batch) -> None:
        """Let a batch be halved that is as large as one which the server found too large.

        Raises:
            RejectedError: It is.
        """
        if self._too_large is None or len(batch) == 1:
            return
        size, until = self._too_large
        if time.monotonic() >= until:
            self._too_large = None
        elif len(batch.lines) >= size:
            raise RejectedError("larger than what the server takes", status=413)

    def _note_size(self, batch: Batch) -> None:
        """Remember what was too large; but if it was a single event, that says nothing of batches.

        Nor then do the sizes of those that it was in.
        """
        alone = len(batch) == 1
        self._too_large = None if alone else (len(batch.lines), time.monotonic() + self._recheck)

    def _renamed(self, batch: Batch) -> bytes:
        return bodies.rename(batch.lines, self._fields) if self._fields else batch.lines

    def _make_headers(self, batch: Batch, address: Address, kind: str) -> dict[str, str]:
        headers = {
            "Content-Type": kind,
            "User-Agent": f"logbatch/{VERSION}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a small answer may be a large one, compressed
            **self._headers,
            "Idempotency-Key": batch.key,
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        elif address.basic is not None:
            headers["Authorization"] = address.basic
        return headers

    # ------------------------------------------------------------------ the request

    def _exchange(
        self, method: str, address: Address, batch: Batch, body: bytes, kind: str
    ) -> Receipt:
        headers = self._make_headers(batch, address, kind)
        body, encoding = bodies.compress(body, self._compression)
        if encoding is not None:
            headers["Content-Encoding"] = encoding
        secrets = self._secrets(address, headers)
        reply = self._ask(method, address.url, body, headers)
        if isinstance(reply, str):
            raise _FailedError(f"{address.shown}: {hide(reply, secrets)}")
        with _named(address.shown):
            return judge(
                reply,
                batch,
                accept_html=self._accept_html,
                clean=lambda text: hide(text, secrets),
            )

    def _ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply | str:
        """Ask and return the answer, or in a sentence why there is none.

        What `requests` raises does not leave this function: its text holds the URL.
        """
        import requests
        import urllib3

        try:
            with self._connect().request(
                method,
                url,
                data=body,
                headers=dict(headers),
                timeout=self._allowed(),
                allow_redirects=False,
                stream=True,
                proxies=self._proxies,
                verify=self._verify,
            ) as response:
                body = _inflate(_read(response.raw), response.headers.get("Content-Encoding"))
                return Reply(
                    response.status_code,
                    response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
                    body,
                    response.headers.get("Retry-After"),
                    is_cut=len(body) >= LONGEST_REPLY,
                    date=response.headers.get("Date"),
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return describe(error, self._allowed())
        except ValueError as error:  # a header or a chunk that is none
            return f"the answer could not be read ({type(error).__name__})"

    def _connect(self) -> requests.Session:
        """Return the session, with the time for a request running."""
        if self._session is None:
            self._session, self._deadline = _open_session()
        self._deadline.begin(self._allowed())
        return self._session

    def _allowed(self) -> float:
        """Return the seconds that a request may take now."""
        return self._timeout if self.patience is None else min(self._timeout, self.patience)

    # ------------------------------------------------------------------ secrets

    def _secrets(self, address: Address, headers: Mapping[str, str]) -> list[str]:
        bearer = headers.get("Authorization", "").partition(" ")[2]
        proxies = [parse_url("proxies", url) for url in self._proxies.values()]
        of_urls = (secret for each in (address, *proxies) for secret in each.hidden)
        return [bearer, *of_urls, *find_secrets(self._headers)]

    def _check_secure(self, insecure: bool) -> None:
        if insecure:
            return
        if self._verify is False:
            raise ValueError(
                "verify=False lets anybody on the way read and change what is sent: give the path "
                "of the server's certificate instead, or insecure=True"
            )
        secret = self._token is not None or find_secrets(self._headers)
        for name, address in (("url", self._batches), ("single_url", self._singles)):
            if (secret or address.has_secret) and not self._is_safe(address):
                raise ValueError(
                    f"{name}: a secret would go to {address.shown} in plain text, where others can "
                    "read it: use https:, or insecure=True"
                )

    def _is_safe(self, address: Address) -> bool:
        """Return whether nobody can read on the way: a proxy reads what is not TLS."""
        if address.url.startswith("https:"):
            return True
        ways = (address, *(parse_url("proxies", url) for url in self._proxies.values()))
        return all(way.is_safe for way in ways)


class _FailedError(TemporaryError):
    """The request failed on the network."""


@contextlib.contextmanager
def _named(shown: str) -> Iterator[None]:
    """Name the server in the text of an error, but for a refusal, whose dead letters name it."""
    try:
        yield
    except RejectedError:
        raise
    except TransportError as error:
        error.args = (f"{shown} {error}",)
        raise


def _open_session() -> tuple[requests.Session, Deadline]:
    import http.cookiejar

    import requests

    from logbatch.transports.http.deadline import Deadline, DeadlineAdapter

    deadline = Deadline()
    session = requests.Session()
    session.trust_env = False  # ~/.netrc would replace our token
    # Even where it does not follow a redirect, it would read and decompress the whole body of one.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(deadline))
    return session, deadline


def _read(answer: Any) -> bytes:
    """Read a body, but not more of it than needed.

    A single read returns what there is where the connection ends too soon; only the next one says
    so.  What was cut off may have named events that were refused.
    """
    body = b""
    while len(body) < LONGEST_REPLY:
        piece: bytes = answer.read(LONGEST_REPLY - len(body), decode_content=False)
        if not piece:
            break
        body += piece
    return body


def _inflate(body: bytes, encoding: str | None) -> bytes:
    """Decompress the beginning of a body that was compressed though we had asked for none."""
    if encoding not in ("gzip", "deflate"):
        return body
    import zlib

    try:
        return zlib.decompressobj(47).decompress(body, LONGEST_REPLY)  # 47: either, by its header
    except zlib.error as error:
        raise ValueError from error


def _join(url: str, other: Any) -> Any:
    """Make a whole URL of one that may be only a path."""
    with contextlib.suppress(ValueError):
        return urljoin(url, other) if isinstance(other, str) else None
    return None
