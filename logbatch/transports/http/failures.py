"""Why a request had no answer, in a sentence without secrets."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Any

_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: (\d{3}[ \w]{0,60})")


def describe(error: BaseException, timeout: float) -> str:
    """Describe what went wrong without the texts of `requests`, which hold the URL.

    Args:
        error: What was raised.
        timeout: Seconds that the request was given.
    """
    import requests

    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    who = "proxy" if "ProxyError" in names else "server"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the {who}'s certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"the TLS connection failed: {cause.reason or type(cause).__name__}"
        if who == "proxy" and (refusal := _REFUSED_BY_PROXY.search(str(cause))):
            return f"the proxy does not connect: {refusal[1]}"
    if names & {"NameResolutionError", "gaierror"}:
        return f"the {who}'s name cannot be resolved"
    if any(isinstance(cause, TimeoutError | requests.Timeout) for cause in causes):
        return f"no complete answer within {timeout:g} s"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return f"the connection to the {who} failed: {cause.strerror}"
    return f"the connection broke off ({type(error).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk through an exception, what it was made of and what it came from."""
    seen: set[int] = set()
    ahead: list[Any] = [error]
    while ahead:
        current = ahead.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            ahead += [*current.args, getattr(current, "reason", None)]
            ahead += [current.__cause__, current.__context__]
