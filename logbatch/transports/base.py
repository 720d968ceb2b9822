"""The contract between the batcher and a destination.

A transport is any object with `send(batch)` and `close()`.  Returning from `send` acknowledges the
batch (a `Receipt` says more than that); everything else is one of the exceptions of
`logbatch.errors`.  Any other exception counts as temporary.  A transport neither retries nor waits
nor counts: the batcher does that, once, for all of them.

`send` is called by one thread at a time.  It may be called again with a batch that was stored (a
crash came between the storing and the acknowledgement); a transport that can recognise it, by
`batch.producer` and the range, must then store it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import msgspec

from logbatch.identity import Ranges
from logbatch.places import state_path

HIDDEN = ".journal"  # so that what matches `*`, as those do who rotate logs, leaves it alone

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
    """What `send` may return: what the destination said, where that is more than "acknowledged".

    Attributes:
        taken: The sequences that were accepted; the others are sent again.  None means all.
        skipped: How many of them the destination did not store without saying which; they count as
            acknowledged, as nobody can tell them from the others.
    """

    taken: Ranges | None = None
    skipped: int = 0


class Tidied(msgspec.Struct, frozen=True, gc=False):
    """What one call of `tidy` has done.

    Attributes:
        wait: Seconds until there may be something to do again.
        merges: How many files were made of others.
        files: Of how many.
        bytes: How large they are.
        seconds: Processor time it took.
    """

    wait: float = float("inf")
    merges: int = 0
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Transport(Protocol):
    """What a transport must have: any object with these two methods is one.

    It may also have any attribute and method of `logbatch.transports.base.BaseTransport` but
    `tidy` and `retain`, above all these:

        destination     a string that is the same in every process that sends to the same place:
                        any of them may finish the journals of those that died.  None keeps the
                        journal in memory; without the attribute the name of the class is taken
        defaults        a mapping of options to what this destination wants by default
        send_single     called with a batch of one event after a `BatchUnsupportedError`
    """

    def send(self, batch: Batch, /) -> Receipt | None:
        """Deliver a batch; returning acknowledges it.

        Raises:
            TemporaryError: It was not accepted, but may be later (`DeniedError`: without hurry).
            RejectedError: It, or events of it, are rejected for good.
            BatchUnsupportedError: The destination accepts single events only.
        """

    def close(self) -> object:
        """Release what is held.  `send` may be called again afterwards."""


class BaseTransport:
    """Base of the transports of this package: all that a transport can have, with defaults.

    Another package's need not derive from it: `logbatch.transports.adapted` adds what they lack.
    A copy, and what comes out of a pickle, is made anew with the same arguments: it has no
    connection and no open file in common with this one.

    Attributes:
        destination: A string that is the same in every process that sends to the same place; any
            of them may finish the journals of those that died.  It holds no secret.  None keeps
            the journal in memory.
        journal_directory: Where journals are kept; None means a directory in the user's state,
            one for each destination.
        defaults: Options of the batcher that this kind of destination wants by default.
        writes_files: Whether a send makes a file, and so is no request.
        patience: Seconds that a call may take now: the batcher sets it where it cannot leave a
            call to its thread, as the process ends.  None while there is no hurry.
    """

    destination: str | None = None
    journal_directory: Path | None = None
    defaults: ClassVar[Mapping[str, Any]] = {}
    writes_files: ClassVar[bool] = False
    patience: float | None = None

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        made = super().__new__(cls)
        made._arguments = args, keywords
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        args, keywords = self._arguments
        return _make, (type(self), plain(args), plain(keywords))

    def send(self, batch: Batch) -> Receipt | None:
        """Deliver a batch; returning means that it is safe at the destination."""
        raise TypeError(f"{type(self).__name__} does not define send()")

    def send_single(self, batch: Batch) -> Receipt | None:
        """Deliver a batch of one event to a destination that does not take batches."""
        return self.send(batch)

    def import_libraries(self) -> None:
        """Import what batches are sent with, before the first one; a fork waits meanwhile."""

    def begin(self, producer: str) -> None:
        """Take note of a producer that begins: none of its records is at the destination yet.

        Called once, before its first batch, by the process that gave it its id.
        """

    def published(self, producer: str) -> Ranges:
        """Return which of a producer's records are known to be at the destination already.

        Called once when the journal of a dead process is taken over.
        """
        return Ranges()

    def tidy(self) -> Tidied:
        """Do a short piece of what keeps the destination in order, while nothing is to be sent.

        Called by the thread that sends, again and again as long as the process has time.  It
        takes some milliseconds, as the next batch waits for it.
        """
        return Tidied()

    def retain(self) -> float:
        """Do a short piece of removing what is too old, while nothing is to be sent.

        Called by the thread that sends.  It takes some milliseconds, as the next batch waits.

        Returns:
            Seconds until there may be something to do again.

        Raises:
            TemporaryError: Something could not be removed; it is tried again.
        """
        return float("inf")

    def close(self) -> None:
        """Release what is held.  `send` may be called again afterwards."""

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent was doing, without touching its files."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.destination or 'in memory'}>"


def _make(kind: type[BaseTransport], args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return kind(*args, **keywords)


def plain(value: Any) -> Any:
    """Return a value without the dicts and lists of `logging.config`, which know all handlers."""
    if isinstance(value, Mapping):
        return {name: plain(value[name]) for name in value}
    if isinstance(value, list | tuple):
        items = [plain(value[index]) for index in range(len(value))]
        return items if isinstance(value, list) else tuple(items)
    return value


def journal_directory(transport: BaseTransport) -> Path | None:
    """Return where the journals of a destination are; None where they are in memory."""
    if transport.journal_directory is not None:
        return Path(transport.journal_directory)
    return None if transport.destination is None else state_directory(transport.destination)


def state_directory(destination: str) -> Path | None:
    """Return the directory of the user's state for a destination that has none of its own.

    None means that there is no place for one, and the journal is kept in memory.
    """
    import hashlib  # only such destinations need it

    place = state_path(hashlib.sha256(destination.encode()).hexdigest()[:16])
    return None if place is None else place / HIDDEN
