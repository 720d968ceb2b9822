"""Hand one batch to the transport and act on the answer: once, for every transport.

Returning acknowledges.  A refusal of single records makes dead letters of them; a refusal of the
whole batch halves it until the records at fault are found; a destination without a batch endpoint
gets the records one by one; what it did not accept of a batch is sent again.  Each part is settled
before the next is sent, so that a crash half way repeats nothing that is done.  Everything else
that `send` raises is temporary and leaves this module as `TemporaryError`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from logbatch.batching.counters import Counters
from logbatch.batching.dead_letters import DeadLetters
from logbatch.errors import BatchUnsupportedError, RejectedError, TemporaryError
from logbatch.identity import Ranges
from logbatch.transports.base import BaseTransport, Batch, Receipt
from logbatch.trouble import Trouble, describe

KEEP_LATER = 60.0  # seconds until files are merged, or old ones removed, after that failed
RECHECK = 600.0  # seconds until a missing batch endpoint is tried again

delivering: set[int] = set()
"""The threads that are inside a transport now, of whichever handler: what one of two handlers logs
while it sends must not be sent by the other, which would log in turn, and so on."""


class _Part(NamedTuple):
    """What is sent in one go; `single` where it goes to the endpoint for single events."""

    batch: Batch
    single: bool = False


class Delivery:
    """Sends batches and counts what became of them.

    One thread at a time calls `deliver`; the fields are its own.

    Args:
        transport: The destination.
        rejected: Directory for dead letters; None only counts them.
        trouble: Where failures are reported.
        counters: Where sends are counted.
        clock: Seconds that only go forward.
        unkept: What a message says of rejected events where there is no directory.
    """

    def __init__(
        self,
        transport: BaseTransport,
        rejected: Path | None,
        trouble: Trouble,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        unkept: str = "lost: where the journal is in memory no dead letters are kept",
    ) -> None:
        self.transport = transport
        self._unkept = unkept
        self._counters = counters
        self._dead_letters = DeadLetters(rejected)
        self._trouble = trouble
        self._clock = clock
        self._singly_until = float("-inf")
        self._not_before: dict[str, float] = {}  # by kind of work that failed

    def deliver(self, batch: Batch, known: Ranges, settle: Callable[[int, int], object]) -> None:
        """Send a batch and settle it, part by part if need be.

        Args:
            batch: What to send.
            known: Records of its producer that are at the destination already; left out.
            settle: Called (last, rejected) when everything up to `last` is settled, of which so
                many more were rejected.

        Raises:
            TemporaryError: Not all of it is settled; the rest must be tried again.
        """
        holes = known.missing(batch.first, batch.last)
        parts = deque(_Part(_slice(batch, *hole)) for hole in holes)
        if not parts:
            settle(batch.last, 0)
        while parts:
            part = parts.popleft()
            again, rejected = self._send(part)
            parts.extendleft(reversed(again))
            if not again or again[0].batch.first > part.batch.first:
                settle(parts[0].batch.first - 1 if parts else batch.last, rejected)

    def tidy(self) -> float:
        """Have the destination kept in order for a moment; return how long this may wait then."""
        try:
            return self._keep("tidy", self._tidy_once)
        except Exception as error:
            fate = "no record is lost, they are in more files than they need be"
            self._trouble.say("merge", f"{_name(error)}; {fate}; trying again later", error)
            return KEEP_LATER

    def retain(self) -> float:
        """Have the destination remove what is too old, for a moment; return as `tidy` does."""
        try:
            return self._keep("retain", self.transport.retain)
        except Exception as error:
            fate = "they stay, and no other record is touched"
            self._trouble.say("retain", f"{_name(error)}; {fate}; trying again later", error)
            return KEEP_LATER

    def _tidy_once(self) -> float:
        done = self.transport.tidy()
        self._counters.add_tidied(done)
        return done.wait

    def _keep(self, name: str, work: Callable[[], float]) -> float:
        """Do a moment's work on what is delivered already; after a failure not for some time."""
        now = self._clock()
        if (wait := self._not_before.get(name, now) - now) > 0:
            return wait
        self._not_before[name] = now + KEEP_LATER
        me = threading.get_ident()
        delivering.add(me)
        try:
            wait = work()
        finally:
            delivering.discard(me)
        del self._not_before[name]
        return wait

    def _send(self, part: _Part) -> tuple[list[_Part], int]:
        """Send; return the parts to send instead or again, and how many events were rejected."""
        batch, single = part
        if not single and self._clock() < self._singly_until:
            return _singles(batch), 0
        me = threading.get_ident()
        delivering.add(me)
        try:
            receipt = self._call(part)
            return self._accept(part, receipt), 0
        except RejectedError as error:
            return self._refused(part, error)
        except BatchUnsupportedError as error:
            if not single:
                recheck = RECHECK if error.recheck is None else error.recheck
                self._singly_until = self._clock() + recheck
                return _singles(batch), 0
            self._counters.retries += 1
            answer = str(error) or describe(error)
            raise TemporaryError(
                f"{answer}, to batches and to single records; is the path right?"
            ) from error
        except BaseException as error:
            self._counters.retries += 1
            if isinstance(error, TemporaryError):
                raise
            raise TemporaryError(describe(error)) from error
        finally:
            delivering.discard(me)

    def _call(self, part: _Part) -> Receipt | None:
        send = self.transport.send
        if part.single:
            self._counters.single_calls += 1
            send = self.transport.send_single
        self._counters.calls += 1
        started = self._clock()
        try:
            return send(part.batch)
        finally:
            self._counters.seconds.append(self._clock() - started)

    def _accept(self, part: _Part, receipt: Receipt | None) -> list[_Part]:
        """Count what was accepted; return the rest."""
        batch = part.batch
        receipt = receipt or Receipt()
        taken = Ranges([(batch.first, batch.last)]) if receipt.taken is None else receipt.taken
        rest = [_slice(batch, *hole) for hole in taken.missing(batch.first, batch.last)]
        if rest == [batch]:
            raise TemporaryError("the destination accepted none of the batch")
        self._count(part, len(batch) - sum(map(len, rest)), sum(len(each.lines) for each in rest))
        self._note_skipped(batch, receipt.skipped)
        return [_Part(each, part.single) for each in rest]

    def _count(self, part: _Part, events: int, bytes_left: int = 0) -> None:
        self._counters.batches += 1
        self._counters.events += events
        self._counters.bytes += len(part.batch.lines) - bytes_left
        if part.single:
            self._counters.singles += events

    def _note_skipped(self, batch: Batch, skipped: int) -> None:
        if skipped and not self._counters.skipped:
            self._trouble.say(
                "skipped",
                f"the destination did not store {skipped} of {len(batch)} events and does not say"
                " which; they are lost; stats().skipped counts them from now on",
            )
        self._counters.skipped += skipped

    # ------------------------------------------------------------------ refusals

    def _refused(self, part: _Part, error: RejectedError) -> tuple[list[_Part], int]:
        """Act on a refusal.

        One that names an event which is not in the batch is not understood, and so counts as one
        of the whole batch: what was refused must not pass for accepted.
        """
        batch, reasons = part.batch, error.reasons
        if not isinstance(reasons, str) and all(index in range(len(batch)) for index in reasons):
            return [], self._bury(part, reasons, error.status)
        if len(batch) > 1:
            return _halves(batch), 0
        reason = reasons if isinstance(reasons, str) else next(iter(reasons.values()))
        return [], self._bury(part, {0: reason}, error.status)

    def _bury(self, part: _Part, reasons: Mapping[int, str], status: int | None) -> int:
        """Keep rejected events as dead letters, on the disk before they are acknowledged.

        Where that fails they are only counted and reported: to send the batch again until the disk
        is well would repeat the events of it that were accepted, and hold up all others.
        """
        if reasons:
            events = "1 event was" if len(reasons) == 1 else f"{len(reasons)} events were"
            text = f"{events} rejected: {next(iter(reasons.values()))}"
            try:
                kept = self._dead_letters.write(part.batch, reasons, status)
                text += f"; kept in {kept}, for `logbatch replay`" if kept else f"; {self._unkept}"
            except OSError as error:
                text += f"; lost, as no dead letter could be written: {describe(error)}"
            self._trouble.say("rejected", text)
        if len(reasons) < len(part.batch):
            self._count(part, len(part.batch) - len(reasons))
        return len(reasons)


def _slice(batch: Batch, first: int, last: int) -> Batch:
    if (first, last) == (batch.first, batch.last):
        return batch
    lines = batch.split_lines()[first - batch.first : last - batch.first + 1]
    return Batch(batch.producer, first, last, b"".join(lines))


def _halves(batch: Batch) -> list[_Part]:
    middle = (batch.first + batch.last) // 2
    spans = ((batch.first, middle), (middle + 1, batch.last))
    return [_Part(_slice(batch, *span)) for span in spans]


def _singles(batch: Batch) -> list[_Part]:
    return [
        _Part(Batch(batch.producer, sequence, sequence, line), single=True)
        for sequence, line in enumerate(batch.split_lines(), batch.first)
    ]


def _name(error: Exception) -> str:
    return str(error) if isinstance(error, TemporaryError) else describe(error)
