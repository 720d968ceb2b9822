"""Where what belongs to a destination lies: the record of runs, spools, events to look at."""

from __future__ import annotations

from pathlib import Path

from logbatch.places import log_path
from logbatch.storage.executions import FILE
from logbatch.transports.base import HIDDEN, BaseTransport, journal_directory
from logbatch.transports.directory import DirectoryTransport
from logbatch.transports.sqlite import SqliteTransport


def record_of(transport: BaseTransport) -> Path:
    """Return where the record of runs is: in the log directory, or this user's usual one."""
    if isinstance(transport, DirectoryTransport):
        return transport.path / FILE
    if isinstance(transport, SqliteTransport):
        return transport.path
    return log_path("logbatch") / FILE


def spools_of(transport: BaseTransport) -> Path:
    """Return where spools are: with the journals or, where those are in memory, beside rows."""
    return journal_directory(transport) or record_of(transport).parent / HIDDEN
