"""The journal: where events wait, and what survives the process."""

from logbatch.journal.journal import Journal, Lines
from logbatch.journal.orphans import OrphanState, adopt, find_orphans
from logbatch.journal.pending import Pending, read_pending
from logbatch.journal.places import Left
from logbatch.journal.writer import JournalFull, JournalStopped

__all__ = [
    "Journal",
    "JournalFull",
    "JournalStopped",
    "Left",
    "Lines",
    "OrphanState",
    "Pending",
    "adopt",
    "find_orphans",
    "read_pending",
]
