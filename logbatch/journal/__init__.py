"""The journal: where events wait, and what survives the process."""

from logbatch.journal.journal import Journal, Lines
from logbatch.journal.orphans import LeftJournal, adopt, find_left
from logbatch.journal.pending import Pending, read_pending
from logbatch.journal.places import Left
from logbatch.journal.writer import JournalFull, JournalStopped

__all__ = [
    "Journal",
    "JournalFull",
    "JournalStopped",
    "Left",
    "LeftJournal",
    "Lines",
    "Pending",
    "adopt",
    "find_left",
    "read_pending",
]
