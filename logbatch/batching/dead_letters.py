"""Dead letters: events that the destination rejected, kept with the reason.

`<directory>/<producer>.jsonl` holds one line for each: when, why, and the event itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from logbatch.disk import append_lines, make_directory
from logbatch.transports.base import Batch


class DeadLetters:
    """Writes rejected events to files.

    Args:
        directory: Where the files go; it is created when it is needed.  None writes nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def write(self, batch: Batch, reasons: Mapping[int, str], status: int | None) -> Path | None:
        """Write rejected events; they are on the disk when this returns.

        Args:
            batch: The batch they were sent in.
            reasons: Why each was rejected, by its index in the batch.
            status: What the destination answered, if that was a number.

        Returns:
            The file; None where there is none.

        Raises:
            OSError: They could not be written.
        """
        if self._directory is None:
            return None
        now = datetime.now(UTC)
        letters = [
            _letter(batch, index, line, reasons[index], status, now)
            for index, line in enumerate(batch.split_lines())
            if index in reasons
        ]
        make_directory(self._directory, sync=True)
        path = self._directory / f"{batch.producer}.jsonl"
        append_lines(path, b"".join(letters))
        return path


def _letter(
    batch: Batch, index: int, line: bytes, reason: str, status: int | None, now: datetime
) -> bytes:
    letter = {
        "time": now,
        "status": status,
        "reason": str(reason).encode(errors="backslashreplace").decode(),
        "producer": batch.producer,
        "sequence": batch.first + index,
        "event": msgspec.Raw(line.rstrip(b"\n")),
    }
    return msgspec.json.encode(letter) + b"\n"
