"""What the receiver stores, each record once.

There is no ledger beside the files: which records of a producer are there is told by their names,
and kept in memory once it was asked for.  Of a batch only what is missing is written; what is
there already is compared, and where it differs nothing of the batch is stored.

A producer's name comes from the wire and becomes a part of file names.  So nothing is taken for
one but 26 characters of digits and small letters (`identity.is_producer`): no path can be made of
them.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from logbatch.dataset.snapshot import present
from logbatch.errors import DatasetError, TemporaryError
from logbatch.identity import LAST_SEQUENCE, Ranges, new_producer
from logbatch.server.budget import Budget
from logbatch.server.compare import Charge, differs
from logbatch.server.entries import Checked
from logbatch.server.limits import Refusal
from logbatch.server.tokens import Bindings
from logbatch.transports.base import Batch, Tidied

_RETRY_AFTER = 5
_COPIES = 4  # of all lines, while they are written: joined, as a table, and as columns of a file
_COMPARED = 8 << 20  # bytes of lines that are compared at a time
_DIGESTS = 10_000  # batches taken lately whose content is kept in mind, by a hash of 16 bytes
_KEY = re.compile(r"([0-7][0-9a-hjkmnp-tv-z]{25})/(0|[1-9][0-9]{0,16})-(0|[1-9][0-9]{0,16})")

Spans = list[tuple[int, int]]


class Key(NamedTuple):
    """The identity of a batch: whose it is, and which of the producer's records."""

    producer: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str | None) -> Key | None:
        """Read an `Idempotency-Key`; None where it is one of another kind.

        Raises:
            Refusal: It is nearly one of ours (400): who sends that counts on what it gives.  Or it
                names a record that no process can have logged (400).
        """
        match = _KEY.fullmatch(text or "")
        if match is None and "/" in (text or ""):
            raise Refusal(
                400,
                "Idempotency-Key must be <producer>/<first>-<last>: a producer is a ULID in lower"
                " case, 26 characters; a key without a slash is ignored",
            )
        if match is None:
            return None
        key = cls(match[1], int(match[2]), int(match[3]))
        if max(key.first, key.last) > LAST_SEQUENCE:
            raise Refusal(
                400,
                f"Idempotency-Key names a record beyond {LAST_SEQUENCE}: no process logs so many",
            )
        return key


class Stored(NamedTuple):
    """What became of a batch.

    Attributes:
        added: How many records were written.
        known: How many were there already, with the same content.
    """

    added: int
    known: int


class Writer(Protocol):
    """What the store needs of a transport to a directory."""

    path: Path

    def send(self, batch: Batch) -> None: ...
    def known(self, producer: str) -> Ranges: ...
    def tidy(self) -> Tidied: ...
    def retain(self) -> float: ...
    def close(self) -> None: ...


class Store:
    """Stores batches in a directory; any number of threads may use it.

    Args:
        writer: The transport that writes.  It belongs to the store from now on.
        bindings: Which token each producer is bound to.
    """

    def __init__(self, writer: Writer, bindings: Bindings) -> None:
        self._writer = writer
        self._bindings = bindings
        self._lock = threading.Lock()  # of all below, and of what was given
        self._digests: dict[Key, bytes] = {}
        self._own = new_producer()
        self._next = 0

    def add(self, checked: Checked, key: Key | None, token: bytes | None, budget: Budget) -> Stored:
        """Store a batch; when this returns, it is on the disk.

        Args:
            checked: The lines.
            key: Which records these are; None gives them a number of our own.
            token: The token they came with.
            budget: What the request may take.

        Raises:
            Refusal: Another token is bound to the producer (403), the same records are there with
                another content (409), the disk or the memory does not take them now (503), or
                nobody waits for the answer.
        """
        copies = _COPIES * sum(len(line) + 1 for line in checked.lines if line is not None)
        try:
            if key is None:
                with budget.borrowed(copies):
                    return self._add_as_ours(checked.lines)
            return self._add(checked, key, token, budget, copies)
        except (TemporaryError, DatasetError, OSError) as error:
            raise Refusal(503, "the records cannot be stored now", retry_after=_RETRY_AFTER) from (
                error
            )

    def close(self) -> None:
        """Rotate the files, and let go of them."""
        with self._lock:
            self._writer.close()
            self._bindings.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[Writer]:
        """Have the writer alone, for its upkeep."""
        with self._lock:
            yield self._writer

    # ------------------------------------------------------------------ records with an identity

    def _add(
        self, checked: Checked, key: Key, token: bytes | None, budget: Budget, copies: int
    ) -> Stored:
        digest = _digest(checked)
        compared = Ranges()
        while True:
            with self._lock:
                if not self._bindings.bind(key.producer, token):
                    raise Refusal(403, "this producer is bound to another token")
                known = self._writer.known(key.producer)
                there = present(known, key.first, key.last)
                unsure = [hole for a, b in there for hole in compared.missing(a, b)]
                if not unsure or self._digests.get(key) == digest:
                    with budget.borrowed(copies):
                        return self._write(checked, key, known, digest)
            # Reading takes a while; others may write meanwhile, so all is looked at again.
            self._compare(checked, key, unsure, budget)
            for first, last in unsure:
                compared.add(first, last)

    def _write(self, checked: Checked, key: Key, known: Ranges, digest: bytes) -> Stored:
        good = sum(line is not None for line in checked.lines)
        holes = list(_holes(checked.lines, key.first, known))
        for first, last in holes:
            lines = checked.lines[first - key.first : last - key.first + 1]
            self._writer.send(Batch(key.producer, first, last, _join(lines)))
        self._digests[key] = digest
        while len(self._digests) > _DIGESTS:
            del self._digests[next(iter(self._digests))]
        added = sum(last - first + 1 for first, last in holes)
        return Stored(added, good - added)

    def _compare(self, checked: Checked, key: Key, spans: Spans, budget: Budget) -> None:
        for first, last in spans:
            low, high = first - key.first, last - key.first
            while low <= high:
                stop = _find_stop(checked.lines, low, high)
                with budget.lent() as charge:
                    if self._differs(checked, key, low, stop, charge):
                        raise Refusal(409, "other records are stored under this Idempotency-Key")
                low = stop

    def _differs(self, checked: Checked, key: Key, low: int, stop: int, charge: Charge) -> bool:
        """Return whether the lines from one index to another are not those that are stored."""
        lines = [line for line in checked.lines[low:stop] if line is not None]
        undated = _within({index - low for index in checked.undated}, len(lines))
        first = key.first + low
        return len(lines) != stop - low or differs(
            self._writer.path, key.producer, first, lines, undated, charge
        )

    # ------------------------------------------------------------------ records without one

    def _add_as_ours(self, given: Sequence[bytes | None]) -> Stored:
        lines = [line for line in given if line is not None]
        if not lines:
            return Stored(0, 0)
        with self._lock:
            last = self._next + len(lines) - 1
            try:
                self._writer.send(Batch(self._own, self._next, last, _join(lines)))
            except BaseException:
                # Perhaps they are written all the same, and their numbers are taken.
                self._own, self._next = new_producer(), 0
                raise
            self._next = last + 1
        return Stored(len(lines), 0)


def _find_stop(lines: Sequence[bytes | None], low: int, high: int) -> int:
    """Return the index behind as many lines as are compared at a time."""
    size = 0
    for index in range(low, high + 1):
        size += len(lines[index] or b"")
        if size > _COMPARED:
            return index + 1
    return high + 1


def _within(indexes: Collection[int], count: int) -> set[int]:
    return {index for index in indexes if 0 <= index < count}


def _holes(lines: Sequence[bytes | None], first: int, known: Ranges) -> Iterator[tuple[int, int]]:
    """Yield the runs of lines that are good and not there yet."""
    at = first
    for good, run in groupby(lines, lambda line: line is not None):
        after = at + sum(1 for _ in run)
        if good:
            yield from known.missing(at, after - 1)
        at = after


def _join(lines: Sequence[bytes | None]) -> bytes:
    return b"".join([line + b"\n" for line in lines if line is not None])


def _digest(checked: Checked) -> bytes:
    """Hash what a batch holds; what was made up of the time of receipt makes it differ."""
    found = hashlib.blake2b(digest_size=16)
    found.update(repr(sorted(checked.rejected)).encode())
    found.update(b"\n".join([line or b"" for line in checked.lines]))
    return found.digest()
