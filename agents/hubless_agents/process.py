"""What differs between operating systems: dying with the parent, exit notices, memory. Linux first."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_S = 1.0


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent ends, however that happens.

    Linux: PR_SET_PDEATHSIG (it fires when the *thread* that started this process ends, so nodes start
    workers from a thread that lives as long as they do). Elsewhere a thread looks once a second.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGKILL)


def open_exit_fd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none (left).

    Without it the end of the worker's socket tells of its exit.
    """
    opener = getattr(os, "pidfd_open", None)
    try:
        return None if opener is None else int(opener(pid))
    except OSError:
        return None


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None if it is gone or the system does not tell (no /proc)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def kill_group(pid: int) -> None:
    """SIGKILL to the process group that `pid` leads. The leader must not have been reaped yet."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Not yet a group leader (between fork and setsid), or all of it is gone.
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
