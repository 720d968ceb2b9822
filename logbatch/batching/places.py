"""What a transport says about itself, and where its journals are for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from logbatch.batching.delivery import Sender
from logbatch.options import BatchOptions


def defaults_of(transport: Sender) -> dict[str, Any]:
    """Return the options that a transport wants by default."""
    return dict(getattr(transport, "defaults", {}))


def journal_directory(transport: Sender, options: BatchOptions) -> Path | None:
    """Say where the journals of a destination are; None where they are in memory."""
    if options.durability == "memory":
        return None
    directory: Path | None = getattr(transport, "journal_directory", None)
    if directory is not None:
        return Path(directory)
    kind = type(transport)
    destination = getattr(transport, "destination", f"{kind.__module__}.{kind.__qualname__}")
    if destination is None:
        return None
    import hashlib  # only destinations without a directory need these two

    import platformdirs

    name = hashlib.sha256(destination.encode()).hexdigest()[:16]
    return platformdirs.user_state_path("logbatch") / name
