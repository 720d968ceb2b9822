"""Every exception that logbatch raises on purpose.

    LogbatchError
    ├── TransportError                what `Transport.send` raises; it says what to do next
    │   ├── TemporaryError            keep the batch and retry later
    │   │   └── DeniedError           the same, but rarely: the credentials are not accepted
    │   ├── RejectedError             these records are rejected for good
    │   └── BatchUnsupportedError     there is no batch endpoint: send the records one by one
    ├── DatasetError                  a directory cannot be read as a dataset
    ├── FilterError (ValueError)      a `where` filter does not parse; it points at the place
    └── QueryError                    a SQL query was not allowed, or failed

    DatasetWarning (UserWarning)      part of a directory cannot be read, and was left out

A wrong option is a plain `ValueError`, raised when a handler or processor is built.
`BatchHandler`, `BatchProcessor`, `flush` and `close` raise none of these into the application.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


class LogbatchError(Exception):
    """Base of every exception that logbatch raises on purpose."""


class TransportError(LogbatchError):
    """Base of what `Transport.send` raises; returning acknowledges."""


class TemporaryError(TransportError):
    """Raise it where a batch was not accepted but may be later; it stays in the journal.

    Args:
        message: What happened, for `stats()` and stderr.  It must hold no secret.
        retry_after: Seconds to wait before the next try; None means the backoff's.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        number = isinstance(retry_after, int | float) and math.isfinite(retry_after)
        self.retry_after = retry_after if number else None


class DeniedError(TemporaryError):
    """Raise it where a token is missing, wrong or expired.

    The batch stays in the journal; as somebody has to act first, retries are rare.
    """


class RejectedError(TransportError):
    """Raise it where records are rejected and must not be sent again.

    Args:
        reasons: Either a mapping of index in the batch to reason: those records become dead
            letters, and all others count as acknowledged; or one reason for the whole batch, of
            which nothing was accepted: it is halved until the rejected records are found.
        status: The status code of the answer, for the dead letters; None where there is none.
    """

    def __init__(self, reasons: Mapping[int, str] | str, *, status: int | None = None) -> None:
        super().__init__(reasons if isinstance(reasons, str) else f"{len(reasons)} rejected")
        self.status = status
        self.reasons: Mapping[int, str] | str = (
            reasons if isinstance(reasons, str) else dict(reasons)
        )


class BatchUnsupportedError(TransportError):
    """Raise it where the destination accepts single records only.

    Each record is then sent by the transport's `send_single`, with the same identity.

    Args:
        message: What happened.
        recheck: Seconds until batches are tried again; 0 sends only this batch singly, None means
            ten minutes.
    """

    def __init__(self, message: str = "", *, recheck: float | None = None) -> None:
        super().__init__(message)
        self.recheck = recheck


class DatasetError(LogbatchError):
    """A directory is missing, or is not one that logbatch can read."""


class DatasetWarning(UserWarning):
    """Part of a directory cannot be read, and was left out."""


class FilterError(LogbatchError, ValueError):
    """A filter text does not parse.

    Args:
        reason: What is wrong, as a sentence.
        text: The whole filter text.
        position: Where in it the mistake begins, counted from 0.
    """

    def __init__(self, reason: str, text: str, position: int) -> None:
        self.reason = reason
        self.text = text
        self.position = position
        super().__init__(f"{reason}\n  {text}\n  {' ' * position}^")

    def __reduce__(self) -> tuple[type[FilterError], tuple[str, str, int]]:
        return type(self), (self.reason, self.text, self.position)  # pickled as it was made


class QueryError(LogbatchError):
    """A SQL query was not allowed, failed, or ran out of time or memory."""
