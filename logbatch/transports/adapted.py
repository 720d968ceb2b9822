"""Make a whole transport of any object with `send` and `close`.

Another package's object need not derive from `BaseTransport`, and may lack most of the contract.
It is adapted once, where it comes in (`logbatch.transports.build`); behind that everything is a
`BaseTransport`, and nobody asks what it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from logbatch.identity import Ranges
from logbatch.transports.base import BaseTransport, Batch, Receipt, Tidied, state_directory


def adapt(given: Any) -> BaseTransport:
    """Return a `BaseTransport`: the object itself where it is one, else one that stands for it."""
    return given if isinstance(given, BaseTransport) else Adapted(given)


def given_object(transport: BaseTransport) -> object:
    """Return the object that the application gave, whether it was adapted or not."""
    return transport.given if isinstance(transport, Adapted) else transport


class Adapted(BaseTransport):
    """Stands for an object that has at least `send` and `close`.

    What else there is in the contract is the object's where it has it, else the contract's default.
    An object that says nothing of a destination is taken for the only one of its class: its
    journals are in a directory named after that.

    Args:
        given: The object.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self.destination = getattr(given, "destination", None)
        # ClassVars in the contract, where classes set them; this stands for many.
        self.defaults = getattr(given, "defaults", None) or {}  # type: ignore[misc]
        self.writes_files = bool(getattr(given, "writes_files", False))  # type: ignore[misc]
        self.journal_directory = _find_journal_directory(given)
        self._send_single = getattr(given, "send_single", given.send)
        self._published = getattr(given, "published", super().published)
        self._import_libraries = getattr(given, "import_libraries", super().import_libraries)
        self._begin = getattr(given, "begin", super().begin)
        self._after_fork = getattr(given, "after_fork", super().after_fork)
        self._has_patience = hasattr(given, "patience")

    @property
    def patience(self) -> float | None:
        """Seconds that a call may take at this moment; the object's own where it has that."""
        return self.given.patience if self._has_patience else None

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        if self._has_patience:
            self.given.patience = seconds

    def send(self, batch: Batch) -> Receipt | None:
        """Call the object's `send`."""
        return _receipt(self.given.send(batch))

    def send_single(self, batch: Batch) -> Receipt | None:
        """Call the object's `send_single`, or its `send`."""
        return _receipt(self._send_single(batch))

    def import_libraries(self) -> None:
        """Call the object's `import_libraries`, if it has one."""
        self._import_libraries()

    def begin(self, producer: str) -> None:
        """Call the object's `begin`, if it has one."""
        self._begin(producer)

    def published(self, producer: str) -> Ranges:
        """Ask the object; one that has no answer knows of none."""
        ranges: Ranges = self._published(producer)
        return ranges

    def tidy(self) -> Tidied:
        """Do nothing: what order there is to keep is the object's own affair."""
        return Tidied()

    def retain(self) -> float:
        """Remove nothing: how long records stay is the object's own affair."""
        return float("inf")

    def close(self) -> None:
        """Call the object's `close`."""
        self.given.close()

    def after_fork(self) -> None:
        """Call the object's `after_fork`, if it has one."""
        self._after_fork()

    def __repr__(self) -> str:
        return repr(self.given)


def _receipt(returned: object) -> Receipt | None:
    """Return a receipt; whatever else a foreign `send` returns acknowledges the whole batch."""
    return returned if isinstance(returned, Receipt) else None


def _find_journal_directory(given: Any) -> Path | None:
    directory = getattr(given, "journal_directory", None)
    if directory is not None:
        return Path(directory)
    if hasattr(given, "destination"):
        return None  # the destination says where
    kind = type(given)
    return state_directory(f"{kind.__module__}.{kind.__qualname__}")
