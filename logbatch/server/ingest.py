"""From a body to what is stored and what is answered: the work of one request, in one thread."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec

from logbatch.server import otlp, otlp_json
from logbatch.server.access import JSON, LINES, PROTOBUF
from logbatch.server.body import unpack
from logbatch.server.entries import (
    Checked,
    check,
    find_in_json,
    find_in_lines,
    find_one,
)
from logbatch.server.json_size import has_many_values
from logbatch.server.limits import Limits, Refusal
from logbatch.server.memory import Share
from logbatch.server.metrics import Metrics
from logbatch.server.normalise import Level, Rejected
from logbatch.server.store import Key, Store, Stored
from logbatch.server.surrogates import mark_lone_surrogates

_LONGEST_LIST = 48 << 10  # bytes of an answer; clients of ours read 64 KiB
_encode = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """A request, without what the event loop needs.

    Attributes:
        body: The body as it was sent.
        encoding: How it is compressed; empty for plain.
        media: Its media type.
        single: Whether it must be one entry.
        key: Which records these are.
        token: The token it came with.
        share: Its share of the memory.
    """

    body: bytes
    encoding: str
    media: str
    single: bool
    key: Key | None
    token: bytes | None
    share: Share


class Ingest:
    """Puts what was sent into a store.

    Args:
        store: Where records are stored.
        limits: What a request may cost.
        metrics: What is counted.
        default: The level of an entry that has none.
    """

    def __init__(self, store: Store, limits: Limits, metrics: Metrics, default: Level) -> None:
        self._store = store
        self._limits = limits
        self._metrics = metrics
        self._default = default

    def ingest(self, sent: Sent) -> bytes:
        """Store what was sent, and return the answer's body.

        Raises:
            Refusal: Nothing of it is stored.
        """
        body = self._unpack(sent)
        entries = self._find(sent, body)
        if sent.key is not None and len(entries) != sent.key.last - sent.key.first + 1:
            raise Refusal(400, "the body holds another number of entries than Idempotency-Key says")
        checked = check(entries, self._limits, time.time(), self._default)
        rejected = [{"index": i, "reason": why} for i, why in checked.rejected.items()]
        if len(_encode(rejected)) > _LONGEST_LIST:
            index, why = next(iter(checked.rejected.items()))
            raise Refusal(
                422,
                f"{len(rejected)} entries cannot be stored, too many to name them all; the first, "
                f"entry {index}: {why}",
            )
        stored = self._add(sent, checked)
        if rejected and len(rejected) == len(checked.lines):
            more = {"logs_added": 0, "rejected": rejected, "duplicate": False}
            raise Refusal(422, _none_is_stored("entry", checked), more=more)
        answer = {
            "success": True,
            "logs_added": stored.added,
            "rejected": rejected,
            "duplicate": stored.known > 0 and stored.added == 0,
        }
        return _encode(answer)

    def ingest_otlp(self, sent: Sent) -> bytes:
        """Store the records of an OTLP request, and return the answer's body.

        Raises:
            Refusal: Nothing of it is stored.
        """
        body = self._unpack(sent)
        if sent.media == JSON:
            found = otlp_json.find_records(body, self._limits)
        else:
            from logbatch.server import otlp_protobuf

            found = otlp_protobuf.find_records(body, self._limits)
        try:
            checked = otlp.check(found, self._limits, time.time())
        except Rejected as error:
            raise Refusal(400, f"a resource or scope cannot be stored: {error}") from None
        self._add(sent, checked)
        if checked.rejected and len(checked.rejected) == len(checked.lines):
            raise Refusal(400, _none_is_stored("record", checked))
        return otlp.encode_success(checked.rejected, sent.media)

    def _add(self, sent: Sent, checked: Checked) -> Stored:
        stored = self._store.add(checked, sent.key, sent.token)
        self._metrics.records.inc(stored.added)
        self._metrics.duplicates.inc(stored.known)
        self._metrics.rejected.inc(len(checked.rejected))
        return stored

    def _unpack(self, sent: Sent) -> bytes:
        body = unpack(sent.body, sent.encoding, self._limits, sent.share)
        self._metrics.received.inc(len(sent.body))
        self._metrics.inflated.inc(len(body))
        if sent.media == PROTOBUF:
            return body
        if has_many_values(body, self._limits.max_records):
            raise Refusal(413, "the body holds too many values")
        return mark_lone_surrogates(body)

    def _find(self, sent: Sent, body: bytes) -> list[bytes]:
        if sent.media in LINES:
            entries = find_in_lines(body, self._limits)
        elif sent.single:
            entries = find_one(body)
        else:
            entries = find_in_json(body, self._limits)
        if sent.single and len(entries) != 1:
            raise Refusal(400, "the body must hold one entry")
        return entries


def _none_is_stored(what: str, checked: Checked) -> str:
    index, why = next(iter(checked.rejected.items()))
    return f"nothing is stored: each {what} is refused; {what} {index}: {why}"
