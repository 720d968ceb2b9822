"""What an HTTP answer means for the batch that was sent: one pure function.

2xx                        taken.  A JSON body may say more: `rejected` names events that were
                           refused, `accepted: [first, last]` the only sequences taken,
                           `logs_added` how many were stored.  A web page is a login page or a
                           captive portal, not an acknowledgement
404, 405, 501              there is no such endpoint: the events go singly
400, 409, 413, 422         the batch is refused: it is halved until it passes, and a single
                           event that is refused becomes a dead letter; so does each at once
                           where `rejected` names them all
401, 403                   we are not let in: kept, and tried again slowly
408, 425, 429, 5xx         tried again later, not before the time that `Retry-After` names
3xx and all others         kept, and tried again later; a redirect is never followed
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, NamedTuple

import msgspec

from logbatch.errors import (
    BatchUnsupportedError,
    DeniedError,
    RejectedError,
    TemporaryError,
)
from logbatch.identity import Ranges
from logbatch.transports.base import Batch, Receipt

_MISSING = frozenset((404, 405, 501))
_REFUSED = frozenset((400, 409, 413, 422))
_DENIED = frozenset((401, 403))
_LONGEST_WAIT = 1e9  # seconds; whoever waits has a cap far below
_REASON = 500  # characters of what a server says that are kept
_REASONS = ("reason", "error", "message", "detail", "title")  # keys under which servers give one
_NAMES_SOME = re.compile(rb'^\s*\{.*"rejected"\s*:\s*\[\s*[^\]\s]', re.DOTALL).search
_HTML = frozenset(("text/html", "application/xhtml+xml"))


class ServerError(TemporaryError):
    """The server broke down over the request: 5xx."""


class Reply(NamedTuple):
    """An answer, as far as it matters here.

    Attributes:
        status: The status code.
        kind: The media type of the body, in lower case and without parameters.
        body: The body, or its beginning.
        is_cut: Whether there was more of it than was read.
        retry_after: The header of that name; None where there is none.
        date: The same; what the server's clock showed.
    """

    status: int
    kind: str = ""
    body: bytes = b""
    retry_after: str | None = None
    is_cut: bool = False
    date: str | None = None


def judge(
    reply: Reply,
    batch: Batch,
    *,
    accept_html: bool = False,
    clean: Callable[[str], str] = str,
) -> Receipt:
    """Return or raise what an answer means.

    Args:
        reply: The answer.
        batch: What was sent.
        accept_html: Whether a web page is an acknowledgement all the same.
        clean: Takes secrets out of what the server says, which may repeat what it was sent.

    Returns:
        What was taken.

    Raises:
        RejectedError: All of it, or single events, were refused for good.
        BatchUnsupportedError: There is no such endpoint.
        DeniedError: We are not let in.
        TemporaryError: It may be taken later.
    """
    status = reply.status
    if 200 <= status < 300:
        return _taken(reply, batch, accept_html, clean)
    told = _tell(reply, clean)
    if status in _REFUSED:
        raise RejectedError(_read_all_rejected(reply, batch, clean) or told, status=status)
    if status in _MISSING:
        raise BatchUnsupportedError(told)
    wait = _read_wait(reply)
    if status in _DENIED:
        hint = "; is the token right?" if status == 401 else ""
        raise DeniedError(told + hint, retry_after=wait)
    if 300 <= status < 400:
        told = f"answered {status}, a redirect, which is never followed: give the final address"
    if status in range(500, 600):
        raise ServerError(told, retry_after=wait)
    raise TemporaryError(told, retry_after=wait)


def _taken(reply: Reply, batch: Batch, accept_html: bool, clean: Callable[[str], str]) -> Receipt:
    if reply.kind in _HTML and not accept_html:
        raise TemporaryError(
            f"answered {reply.status} with a web page, which does not count as an"
            " acknowledgement: a login page or a captive portal?  If the server is just like"
            " that, set accept_html=True"
        )
    if reply.is_cut and _NAMES_SOME(reply.body):
        # Which ones is behind what was read, so smaller parts are asked about.
        raise RejectedError("the answer names more events than can be read", status=reply.status)
    found = _decode(reply.body)
    rejected = _read_rejected(found.get("rejected"), clean)
    taken = _read_accepted(found.get("accepted"), batch, rejected)
    if taken is not None:
        return Receipt(taken)
    if rejected:
        raise RejectedError(rejected, status=reply.status)
    return Receipt(skipped=_count_skipped(found, batch))


def _decode(body: bytes) -> dict[str, Any]:
    """Decode a body that is a JSON object; whatever else it is says nothing."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_rejected(found: Any, clean: Callable[[str], str]) -> dict[int, str]:
    """Read a list of indexes, or of objects with `index` and perhaps `reason`."""
    rejected: dict[int, str] = {}
    for entry in found if isinstance(found, list) else ():
        index, reason = entry, None
        if isinstance(entry, dict):
            index, reason = entry.get("index"), entry.get("reason")
        if isinstance(index, int) and not isinstance(index, bool):
            rejected[index] = clean(str(reason or "refused by the server"))[:_REASON]
    return rejected


def _read_all_rejected(reply: Reply, batch: Batch, clean: Callable[[str], str]) -> dict[int, str]:
    """Read why each event was refused, where a refusal says so of all: none needs a second try."""
    rejected = _read_rejected(_decode(reply.body).get("rejected"), clean)
    return rejected if rejected.keys() == set(range(len(batch))) else {}


def _read_accepted(found: Any, batch: Batch, rejected: Mapping[int, str]) -> Ranges | None:
    """Read `[first, last]`, less what was rejected of it: that is told again with its rest.

    Returns:
        None where the server says nothing of the kind, or nothing is left.
    """
    if (
        not isinstance(found, list)
        or len(found) != 2
        or any(type(each) is not int for each in found)
    ):
        return None
    first, last = max(found[0], batch.first), min(found[1], batch.last)
    refused = Ranges((batch.first + index, batch.first + index) for index in rejected)
    taken = Ranges(refused.missing(first, last))
    return None if rejected and not taken else taken


def _count_skipped(found: Mapping[str, Any], batch: Batch) -> int:
    """Count what was left out by a server that does not say which.

    One that lists what it refuses, be it nothing, has the others already.
    """
    added = found.get("logs_added")
    listed = isinstance(found.get("rejected"), list) or found.get("duplicate") is True
    if type(added) is not int or listed:
        return 0
    return max(len(batch) - max(added, 0), 0)


def _tell(reply: Reply, clean: Callable[[str], str]) -> str:
    """Put an answer into a sentence; what the server says is cut, and is not to be trusted.

    It is cleaned before, as of a secret that is cut in two the first part would be left.
    """
    found = _decode(reply.body)
    texts = [found[name] for name in _REASONS if isinstance(found.get(name), str)]
    if not texts and reply.kind == "text/plain":
        texts = [reply.body.decode(errors="backslashreplace")]
    reason = clean(texts[0]).strip()[:_REASON] if texts else ""
    return f"answered {reply.status}" + (f": {reason}" if reason else "")


def _read_wait(reply: Reply) -> float | None:
    """Read `Retry-After`: seconds, or a date by the server's clock, from which ours may differ."""
    if reply.retry_after is None:
        return None
    if reply.retry_after.strip().isdecimal():  # perhaps more digits than a float can hold
        return min(float(reply.retry_after), _LONGEST_WAIT)
    try:
        seconds: float | None = float(reply.retry_after)
    except ValueError:
        until, now = _read_date(reply.retry_after), _read_date(reply.date or "")
        seconds = None if until is None else until - (time.time() if now is None else now)
    return None if seconds is None or not math.isfinite(seconds) else max(seconds, 0.0)


def _read_date(header: str) -> float | None:
    """Read a date; return seconds since 1970, or None where it is none."""
    try:
        date = email.utils.parsedate_to_datetime(header)
        if date.tzinfo is None:  # dates of HTTP are in GMT, also where they do not say so
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
