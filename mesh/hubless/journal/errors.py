"""What can go wrong with a journal, and what is then known of the records."""

from __future__ import annotations

from hubless.datadir import DataDirectoryError


class JournalError(DataDirectoryError):
    """The journal cannot be opened: not readable, another node's, or of another format. Nothing in it was changed."""


class JournalFullError(Exception):
    """The disk is full: nothing of the batch was written. The same batch may be committed later."""


class JournalFailedError(Exception):
    """The journal cannot be trusted any more, and every further commit raises this.

    Whether the batch of the first failure will be found after a restart is not known. It is never tried again:
    after a failed flush the kernel may hold pages for clean that never reached the disk, and a second flush would
    succeed wrongly.
    """
