"""Hand one batch to the transport and act on the answer: once, for every transport.

Returning acknowledges.  A refusal of single records makes dead letters of them; a refusal of the
whole batch halves it until the records at fault are found; a destination without a batch endpoint
gets the records one by one.  After each part the journal is told, so that a crash half way repeats
nothing that is done.  Everything else is temporary and leaves this module as `TemporaryError`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from logbatch.errors import BatchUnsupportedError, RejectedError, TemporaryError
from logbatch.identity import Ranges
from logbatch.transports.base import Batch
from logbatch.trouble import Trouble, describe

RECHECK = 600.0  # seconds until a missing batch endpoint is tried again


class Sender(Protocol):
    """What delivery asks of a transport."""

    def send(self, batch: Batch) -> None:
        """Deliver a batch, or raise."""

    def close(self) -> None:
        """Release what is held."""


class Delivery:
    """Sends batches and counts what became of them.

    One thread at a time calls `deliver`; the counters are read by any.

    Args:
        transport: The destination.
        rejected: Directory for dead letters; None only counts them.
        trouble: Where failures are reported.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        transport: Sender,
        rejected: Path | None,
        trouble: Trouble,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self.thread = -1  # the thread that is inside `send` now
        self.batches = self.events = self.bytes = self.retries = 0
        self.seconds: deque[float] = deque(maxlen=1024)
        self._rejected_directory = rejected
        self._trouble = trouble
        self._clock = clock
        self._singly_until = float("-inf")

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
        parts = deque(_slice(batch, *hole) for hole in known.missing(batch.first, batch.last))
        while parts:
            part = parts.popleft()
            smaller, rejected = self._send(part)
            parts.extendleft(reversed(smaller))
            if not smaller:
                settle(part.last, rejected)
        settle(batch.last, 0)

    def _send(self, batch: Batch) -> tuple[list[Batch], int]:
        """Send; return the parts to send instead, and how many events were rejected."""
        if len(batch) > 1 and self._clock() < self._singly_until:
            return _singles(batch), 0
        started = self._clock()
        self.thread = threading.get_ident()
        try:
            self.transport.send(batch)
        except RejectedError as error:
            if isinstance(error.reasons, str) and len(batch) > 1:
                return _halves(batch), 0
            return [], self._bury(batch, error.reasons)
        except BatchUnsupportedError:
            if len(batch) == 1:
                raise TemporaryError("neither batches nor single records are taken") from None
            self._singly_until = self._clock() + RECHECK
            return _singles(batch), 0
        except TemporaryError:
            self.retries += 1
            raise
        except BaseException as error:
            self.retries += 1
            raise TemporaryError(describe(error)) from error
        finally:
            self.thread = -1
            self.seconds.append(self._clock() - started)
        self._count(batch)
        return [], 0

    def _count(self, batch: Batch) -> None:
        self.batches += 1
        self.events += len(batch)
        self.bytes += len(batch.lines)

    def _bury(self, batch: Batch, reasons: Mapping[int, str] | str) -> int:
        """Keep rejected events as dead letters, on the disk before they are acknowledged."""
        if isinstance(reasons, str):
            reasons = {0: reasons}
        lines = batch.split_lines()
        reasons = {index: why for index, why in reasons.items() if 0 <= index < len(lines)}
        now = datetime.now(UTC)
        letters = [
            msgspec.json.encode(
                {
                    "time": now,
                    "reason": str(why),
                    "producer": batch.producer,
                    "sequence": batch.first + index,
                    "event": msgspec.Raw(lines[index].rstrip(b"\n")),
                }
            )
            for index, why in sorted(reasons.items())
        ]
        if letters:
            self._write_letters(batch.producer, letters)
            why = next(iter(reasons.values()))
            self._trouble.say("rejected", f"{len(letters)} events were rejected: {why}")
        if len(letters) < len(batch):
            self._count(batch)
        return len(letters)

    def _write_letters(self, producer: str, letters: list[bytes]) -> None:
        if self._rejected_directory is None:
            return
        self._rejected_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._rejected_directory / f"{producer}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(path, flags, 0o600), "ab") as file:
            file.write(b"".join(letter + b"\n" for letter in letters))
            file.flush()
            os.fsync(file.fileno())


def _slice(batch: Batch, first: int, last: int) -> Batch:
    if (first, last) == (batch.first, batch.last):
        return batch
    lines = batch.split_lines()[first - batch.first : last - batch.first + 1]
    return Batch(batch.producer, first, last, b"".join(lines))


def _halves(batch: Batch) -> list[Batch]:
    middle = (batch.first + batch.last) // 2
    return [_slice(batch, batch.first, middle), _slice(batch, middle + 1, batch.last)]


def _singles(batch: Batch) -> list[Batch]:
    return [
        Batch(batch.producer, batch.first + index, batch.first + index, line)
        for index, line in enumerate(batch.split_lines())
    ]
