"""The contract between the batcher and a destination.

A transport is any object with `send(batch)` and `close()`.  Returning from `send` is the
acknowledgement (a `Receipt` says more than that); what else can happen is said by raising one of
the three errors of `logbatch.errors`.  Any other exception counts as temporary.  A transport
neither retries nor waits nor counts: the batcher does that, once, for all of them.

`send` is called by one thread at a time.  It may be called again with a batch that it had taken
(a crash came between the taking and the acknowledgement), and a transport that can tell by
`batch.producer` and the range must then take it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from logbatch.identity import Ranges

_decoder = msgspec.json.Decoder()


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Consecutive events of one producer.

    Attributes:
        producer: The id of the process incarnation that logged them.
        first: Sequence of the first event.
        last: Sequence of the last event; `len(batch) == last - first + 1`.
        lines: The events, each one line of JSON ended by a newline.  A key that is absent is
            null.  The line holds neither producer nor sequence.
    """

    producer: str
    first: int
    last: int
    lines: bytes

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def key(self) -> str:
        """The identity of the batch in one text: `<producer>/<first>-<last>`."""
        return f"{self.producer}/{self.first}-{self.last}"

    def split_lines(self) -> list[bytes]:
        """Return the lines one by one, each with its newline."""
        return [line + b"\n" for line in self.lines.split(b"\n")[:-1]]

    def events(self) -> list[dict[str, Any]]:
        """Decode the events, each with its `producer` and `sequence`."""
        return [
            _decoder.decode(line) | {"producer": self.producer, "sequence": self.first + index}
            for index, line in enumerate(self.split_lines())
        ]


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a destination said of a batch, where that is more than "taken".

    Attributes:
        taken: The sequences that were taken; the others are sent again.  None for all.
        skipped: How many of them the destination left out without saying which; they count as
            taken, as nobody can tell them from the others.
    """

    taken: Ranges | None = None
    skipped: int = 0


class Transport:
    """Base of the transports that logbatch brings; another package's need not derive from it.

    An object that does not is made whole by `logbatch.transports.adapted`.

    Attributes:
        destination: A text that is the same for every process that sends to the same place;
            journals of one destination may be finished by any of them.  It holds no secret.
            None keeps the journal in memory.
        journal_directory: Where journals are kept; None means a directory of the user's state,
            one for each destination.
        defaults: Options of the batcher that this kind of destination wants by default.
        patience: Seconds that a call may take at this moment: the batcher sets it where it cannot
            leave a call to its thread, as the process ends.  None while there is no hurry.
    """

    destination: str | None = None
    journal_directory: Path | None = None
    defaults: ClassVar[Mapping[str, Any]] = {}
    patience: float | None = None

    def send(self, batch: Batch) -> Receipt | None:
        """Deliver a batch; returning means that it is safe at the destination."""
        raise TypeError(f"{type(self).__name__} does not define send()")

    def send_single(self, batch: Batch) -> Receipt | None:
        """Deliver a batch of one event to a destination that does not take batches."""
        return self.send(batch)

    def published(self, producer: str) -> Ranges:
        """Return which of a producer's records are known to be at the destination already.

        Asked once when the journal of a process that died is taken over.
        """
        return Ranges()

    def close(self) -> None:
        """Release what the transport holds.  It may be used again afterwards."""

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent was doing, without touching its files."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.destination or 'in memory'}>"


def journal_directory(transport: Transport) -> Path | None:
    """Return where the journals of a destination are; None where they are in memory."""
    if transport.journal_directory is not None:
        return Path(transport.journal_directory)
    return None if transport.destination is None else state_directory(transport.destination)


def state_directory(destination: str) -> Path:
    """Return the directory of the user's state for a destination that has none of its own."""
    import hashlib  # only such destinations need these two

    import platformdirs

    name = hashlib.sha256(destination.encode()).hexdigest()[:16]
    return platformdirs.user_state_path("logbatch") / name
