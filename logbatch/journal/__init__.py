"""The journal: where events wait, and what survives the process."""

from logbatch.journal.core import Journal, Lines
from logbatch.journal.intake import JournalFull, JournalStopped
from logbatch.journal.orphans import adopt
from logbatch.journal.pending import Pending, read_pending

__all__ = [
    "Journal",
    "JournalFull",
    "JournalStopped",
    "Lines",
    "Pending",
    "adopt",
    "read_pending",
]
