"""Waiting for many file descriptors at once, as one trio wait.

A task per descriptor would cost a task switch for each that is ready; an epoll descriptor is itself readable
when any of its members is, so that the driver waits for one. Where there is no epoll (macOS), kqueue serves.
"""

from __future__ import annotations

import select
import sys

import trio

_MOST_READY = 256
LINGER_S = 0.003

if sys.platform == "linux":

    class _Ready:
        """The kernel's set of watched descriptors."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno = self._epoll.fileno
            self.close = self._epoll.close

        def add(self, descriptor: int) -> None:
            self._epoll.register(descriptor, select.EPOLLIN)

        def discard(self, descriptor: int) -> None:
            self._epoll.unregister(descriptor)

        def poll(self, timeout_s: float = 0) -> list[int]:
            return [descriptor for descriptor, _ in self._epoll.poll(timeout_s, _MOST_READY)]

else:

    class _Ready:
        """The kernel's set of watched descriptors."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.fileno = self._kqueue.fileno
            self.close = self._kqueue.close

        def add(self, descriptor: int) -> None:
            self._kqueue.control([select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)], 0)

        def discard(self, descriptor: int) -> None:
            self._kqueue.control([select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_DELETE)], 0)

        def poll(self, timeout_s: float = 0) -> list[int]:
            return [int(event.ident) for event in self._kqueue.control(None, _MOST_READY, timeout_s)]


class Poller:
    """A set of descriptors to wait for, and a way to end the wait from another task of the same loop."""

    def __init__(self) -> None:
        self._ready = _Ready()
        self._scope: trio.CancelScope | None = None
        self._kicked = False

    def add(self, descriptor: int) -> None:
        """Watches `descriptor` for reading."""
        self._ready.add(descriptor)

    def discard(self, descriptor: int) -> None:
        """Stops watching it. To be called before the descriptor is closed."""
        self._ready.discard(descriptor)

    def poll(self) -> list[int]:
        """The descriptors that are readable now; does not wait."""
        return self._ready.poll()

    def linger(self) -> list[int]:
        """Waits for up to ``LINGER_S`` without trio: its other tasks stand still. The descriptors that are readable."""
        return [] if self._kicked else self._ready.poll(LINGER_S)

    def kick(self) -> None:
        """Ends the current wait, or the next one if nobody waits."""
        self._kicked = True
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self, timeout_s: float) -> None:
        """Waits until a descriptor is readable, `kick` is called, or `timeout_s` has passed. A checkpoint."""
        if self._kicked or timeout_s <= 0:
            self._kicked = False
            await trio.lowlevel.checkpoint()
            return
        with trio.CancelScope(deadline=trio.current_time() + timeout_s) as self._scope:
            await trio.lowlevel.wait_readable(self._ready.fileno())
        self._scope = None
        self._kicked = False

    def close(self) -> None:
        """Gives the descriptors back; they themselves stay open."""
        self._ready.close()
