"""The journal of a node: shell around SQLite, and around nothing for nodes without a data directory."""

from hubless.journal.errors import JournalError, JournalFailedError, JournalFullError
from hubless.journal.journal import Journal
from hubless.journal.memory import MemoryJournal, Store
from hubless.journal.pace import Pace
from hubless.journal.writer import Writer

__all__ = [
    "Journal",
    "JournalError",
    "JournalFailedError",
    "JournalFullError",
    "MemoryJournal",
    "Pace",
    "Store",
    "Writer",
]
