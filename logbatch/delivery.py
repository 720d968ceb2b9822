"""Hand one batch to the transport and act on the answer: once, for every transport.

Returning acknowledges.  A refusal of single records makes dead letters of them; a refusal of the
whole batch halves it until the records at fault are found; a destination without a batch endpoint
gets the records one by one.  After each part the journal is told, so that a crash half way repeats
nothing that is done.  Everything else that `send` raises is temporary and leaves this module as
`TemporaryError`.
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
        """Deliver a batch, or raise; one of a single event may need another endpoint."""

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
        self.thread = -1  # the thread that is inside `_send` now
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
        if not parts:
            settle(batch.last, 0)
        while parts:
            smaller, rejected = self._send(parts.popleft())
            parts.extendleft(reversed(smaller))
            if not smaller:
                settle(parts[0].first - 1 if parts else batch.last, rejected)

    def _send(self, batch: Batch) -> tuple[list[Batch], int]:
        """Send; return the parts to send instead, and how many events were rejected."""
        if len(batch) > 1 and self._clock() < self._singly_until:
            return _singles(batch), 0
        self.thread = threading.get_ident()
        try:
            self._call(batch)
        except RejectedError as error:
            return self._refused(batch, error.reasons)
        except BatchUnsupportedError as error:
            if len(batch) > 1:
                self._singly_until = self._clock() + RECHECK
                return _singles(batch), 0
            self.retries += 1
            raise TemporaryError(
                f"neither batches nor single records are taken ({describe(error)})"
            ) from error
        except BaseException as error:
            self.retries += 1
            if isinstance(error, TemporaryError):
                raise
            raise TemporaryError(describe(error)) from error
        finally:
            self.thread = -1
        self._count(batch)
        return [], 0

    def _call(self, batch: Batch) -> None:
        started = self._clock()
        try:
            self.transport.send(batch)
        finally:
            self.seconds.append(self._clock() - started)

    def _count(self, batch: Batch) -> None:
        self.batches += 1
        self.events += len(batch)
        self.bytes += len(batch.lines)

    # ------------------------------------------------------------------ refusals

    def _refused(self, batch: Batch, reasons: Mapping[int, str] | str) -> tuple[list[Batch], int]:
        """Act on a refusal.

        One that names an event which is not in the batch is not understood, and so counts as one
        of the whole batch: what was refused must not pass for taken.
        """
        if not isinstance(reasons, str) and all(index in range(len(batch)) for index in reasons):
            return [], self._bury(batch, reasons)
        if len(batch) > 1:
            return _halves(batch), 0
        reason = reasons if isinstance(reasons, str) else next(iter(reasons.values()))
        return [], self._bury(batch, {0: reason})

    def _bury(self, batch: Batch, reasons: Mapping[int, str]) -> int:
        """Keep rejected events as dead letters, on the disk before they are acknowledged.

        Where that fails they are only counted and told: to send the batch again until the disk
        is well would repeat the events of it that were taken, and hold up all others.
        """
        if reasons:
            events = "1 event was" if len(reasons) == 1 else f"{len(reasons)} events were"
            text = f"{events} rejected: {next(iter(reasons.values()))}"
            try:
                self._write_letters(batch, reasons)
            except OSError as error:
                text += f"; no dead letter could be kept: {describe(error)}"
            self._trouble.say("rejected", text)
        if len(reasons) < len(batch):
            self._count(batch)
        return len(reasons)

    def _write_letters(self, batch: Batch, reasons: Mapping[int, str]) -> None:
        if self._rejected_directory is None:
            return
        now = datetime.now(UTC)
        letters = [
            _letter(batch, index, line, reasons[index], now)
            for index, line in enumerate(batch.split_lines())
            if index in reasons
        ]
        self._rejected_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _append(self._rejected_directory / f"{batch.producer}.jsonl", b"".join(letters))


def _letter(batch: Batch, index: int, line: bytes, reason: str, now: datetime) -> bytes:
    letter = {
        "time": now,
        "reason": str(reason).encode(errors="backslashreplace").decode(),
        "producer": batch.producer,
        "sequence": batch.first + index,
        "event": msgspec.Raw(line.rstrip(b"\n")),
    }
    return msgspec.json.encode(letter) + b"\n"


def _append(path: Path, data: bytes) -> None:
    """Append to a private file, on the disk when it returns; all of it or, on failure, nothing."""
    with open(path, "a+b", buffering=0, opener=_open_private) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            data = b"\n" + data  # a line that a crash cut off must not take the next one with it
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


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
