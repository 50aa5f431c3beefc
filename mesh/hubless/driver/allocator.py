"""The memory that the C library keeps of what was freed."""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """Returns freed memory to the system, which the GNU C library does by itself only at the end of its heap.

    It takes some milliseconds, in which nobody can allocate: a thread of its own would gain nothing. False if this
    system's library cannot be asked, or had nothing to return.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
