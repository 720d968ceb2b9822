"""The options of the HTTP transport that are more than a word or a number."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Mapping
from typing import Any

from logbatch.options import switch
from logbatch.storage.columns import FIELDS
from logbatch.transports.http.credentials import parse_url

_OURS = frozenset(
    ("connection", "content-encoding", "content-length", "idempotency-key", "transfer-encoding")
)
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_ACCOUNT = re.compile(r"[A-Za-z0-9._@-]{1,100}")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


def check_fields(given: Any) -> dict[str, str | None]:
    """Return new names of keys, None for those that are left out.

    Raises:
        ValueError: A key is unknown, or two would have one name.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"fields={given!r} must map names of keys to new names")
    fields = {name: given[name] for name in given}
    for name, new in fields.items():
        if name not in FIELDS:
            close = difflib.get_close_matches(str(name), FIELDS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"fields: {name!r} is not a key of an event{hint}")
        if new is not None and not (isinstance(new, str) and new):
            raise ValueError(f"fields: {name}={new!r} must be a name, or None to leave it out")
    after = [fields.get(name, name) for name in FIELDS]
    if twice := sorted({name for name in after if name is not None and after.count(name) > 1}):
        raise ValueError(f"fields: two keys would be named {twice[0]!r}")
    return fields


def check_headers(given: Any) -> dict[str, str]:
    """Return headers that can be sent.

    Raises:
        ValueError: One cannot, or is set by logbatch; its value is not repeated.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError("headers must map names to values")
    headers = {name: given[name] for name in given}
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not the name of a header")
        if name.lower() in _OURS:
            raise ValueError(f"headers: {name} is set by logbatch itself")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"headers: the value of {name} must be printable ASCII")
    return headers


def check_account(given: Any) -> str:
    """Return what an account adds to the name of its destination.

    Raises:
        ValueError: It is no name.
    """
    if given is None:
        return ""
    if not isinstance(given, str) or not _ACCOUNT.fullmatch(given):
        raise ValueError("account must be a name of letters, digits and ._@-, 100 at the most")
    return f" ({given})"


def check_proxies(given: Any) -> dict[str, str]:
    """Return the proxy of each scheme.

    Raises:
        ValueError: One is no URL; it is not repeated.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        given = {"http": given, "https": given}
    if not isinstance(given, Mapping):
        raise ValueError("proxies must be a URL, or map schemes to URLs")
    proxies = {name: given[name] for name in given}
    for url in proxies.values():
        parse_url("proxies", url)
    return proxies


def check_verify(given: Any) -> bool | str:
    """Return whether to verify certificates, or the path of those to trust.

    Raises:
        ValueError: There is no such path.
    """
    if isinstance(given, bool):
        return given
    if isinstance(given, str | os.PathLike):
        path = os.path.expanduser(os.fspath(given))
        if os.path.exists(path):
            return path
        with contextlib.suppress(ValueError):
            return switch("verify", given)
    raise ValueError(f"verify={given!r} must be true, or the path of certificates to trust")
