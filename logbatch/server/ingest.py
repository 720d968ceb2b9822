"""From a body to what is stored and what is answered: the work of one request, in one thread.

What a step leaves is charged to the request's budget before the step, and given back once its
objects are gone.  Entries are made lines some at a time, so that what that takes beside them is
small, whatever they are.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import msgspec

from logbatch.server import otlp, otlp_json
from logbatch.server.access import JSON, LINES, PROTOBUF
from logbatch.server.body import unpack
from logbatch.server.budget import Budget, count_allowed
from logbatch.server.entries import (
    Checked,
    check,
    find_in_json,
    find_in_lines,
    find_one,
)
from logbatch.server.json_size import count_values
from logbatch.server.limits import Limits, Refusal
from logbatch.server.metrics import Metrics
from logbatch.server.normalise import Level, Rejected
from logbatch.server.store import Key, Store, Stored
from logbatch.server.surrogates import count_halves, mark_lone_surrogates

_LONGEST_LIST = 48 << 10  # bytes of an answer; clients of ours read 64 KiB
_SLICE = 128 << 10  # bytes of entries that are checked at a time
_GROWTH = 12  # bytes that an entry takes at most, for each of its own, while a line is made of it
_KEY = 300  # bytes that a key of a large entry takes meanwhile
_MATCH = 128  # bytes that half of a surrogate pair takes while it is marked
_RAW = 80  # bytes of an entry that is found, beside its text
_REJECTED = 500  # bytes for an entry that is refused
_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(slots=True)
class Sent:
    """A request, without what the event loop needs.

    Attributes:
        body: The body as it was sent.
        encoding: How it is compressed; empty for plain.
        media: Its media type.
        single: Whether it must be one entry.
        key: Which records these are.
        token: The token it came with.
        budget: What it may take.
    """

    body: bytes
    encoding: str
    media: str
    single: bool
    key: Key | None
    token: bytes | None
    budget: Budget

    def take_body(self) -> bytes:
        """Return the body, and let go of it."""
        body, self.body = self.body, b""
        return body


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
        entries = self._find(sent)
        if sent.key is not None and len(entries) != sent.key.last - sent.key.first + 1:
            raise Refusal(400, "the body holds another number of entries than Idempotency-Key says")
        checked = _check(entries, sent.budget, self._default)
        del entries
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
        budget = sent.budget
        body, values = self._unpack(sent)
        try:
            if sent.media == JSON:
                with budget.borrowed(otlp_json.OBJECT * values):
                    found = otlp_json.find_records(body, budget)
                    checked = otlp.check(found, budget, time.time())
                    del found
            else:
                from logbatch.server import otlp_protobuf

                found = otlp_protobuf.find_records(body, budget)
                checked = otlp.check(found, budget, time.time())
                del found
        except Rejected as error:
            raise Refusal(400, f"a resource or scope cannot be stored: {error}") from None
        size = len(body)
        del body
        budget.shrink(size)
        self._add(sent, checked)
        if checked.rejected and len(checked.rejected) == len(checked.lines):
            raise Refusal(400, _none_is_stored("record", checked))
        return otlp.encode_success(checked.rejected, sent.media)

    def _add(self, sent: Sent, checked: Checked) -> Stored:
        stored = self._store.add(checked, sent.key, sent.token, sent.budget)
        self._metrics.records.inc(stored.added)
        self._metrics.duplicates.inc(stored.known)
        self._metrics.rejected.inc(len(checked.rejected))
        return stored

    def _unpack(self, sent: Sent) -> tuple[bytes, int]:
        """Inflate a body, and count its values, if it is JSON."""
        packed, budget = sent.take_body(), sent.budget
        size = len(packed)
        body = unpack(packed, sent.encoding, budget)
        del packed
        if sent.encoding:
            budget.shrink(size)
        self._metrics.received.inc(size)
        self._metrics.inflated.inc(len(body))
        if sent.media == PROTOBUF:
            return body, 0
        values = count_values(body, count_allowed(self._limits))
        if halves := count_halves(body):
            with budget.borrowed(len(body) + _MATCH * halves):
                marked = mark_lone_surrogates(body)
                budget.grow(len(marked) - len(body))
                body = marked
        return body, values

    def _find(self, sent: Sent) -> list[bytes]:
        """Find the entries of a body; they are charged, the body is gone."""
        budget = sent.budget
        body, values = self._unpack(sent)
        size = len(body)
        with budget.borrowed(size + _RAW * values):
            if sent.media in LINES:
                entries = find_in_lines(body, self._limits)
            elif sent.single:
                entries = find_one(body)
            else:
                entries = find_in_json(body, self._limits)
            budget.grow(sum(map(len, entries)) + _RAW * len(entries))
        del body
        budget.shrink(size)
        if sent.single and len(entries) != 1:
            raise Refusal(400, "the body must hold one entry")
        return entries


def _check(entries: list[bytes], budget: Budget, default: Level) -> Checked:
    """Make lines of entries, some at a time, and charge them instead of the entries."""
    lines: list[bytes | None] = []
    rejected: dict[int, str] = {}
    undated: set[int] = set()
    now = time.time()
    for first, some, size in _slices(entries):
        with budget.borrowed(_weigh(some[0]) if size > _SLICE else 0):
            checked = check(some, budget.limits, now, default, first)
        made = [len(line) for line in checked.lines if line is not None]
        budget.add_lines(len(made), sum(made))
        budget.grow(_REJECTED * len(checked.rejected))
        lines += checked.lines
        rejected |= checked.rejected
        undated |= checked.undated
    budget.shrink(sum(map(len, entries)) + _RAW * len(entries))
    return Checked(lines, rejected, frozenset(undated))


def _weigh(entry: bytes) -> int:
    """Return what a large entry takes while a line is made of it."""
    return _GROWTH * len(entry) + _KEY * entry.count(b",")


def _slices(entries: list[bytes]) -> Iterator[tuple[int, list[bytes], int]]:
    """Yield entries of some size together, or one that is larger: where, which, their size."""
    first, size = 0, 0
    for index, entry in enumerate(entries):
        if size and size + len(entry) > _SLICE:
            yield first, entries[first:index], size
            first, size = index, 0
        size += len(entry)
    if first < len(entries):
        yield first, entries[first:], size


def _none_is_stored(what: str, checked: Checked) -> str:
    index, why = next(iter(checked.rejected.items()))
    return f"nothing is stored: each {what} is refused; {what} {index}: {why}"
