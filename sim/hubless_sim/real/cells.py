"""Where the processes of a tape live: each node in a network namespace of its own, or all on plain loopback.

A cell is a namespace with one TUN device, whose other end is a descriptor in this process: every packet that leaves it
is read here, and nothing reaches it but what is written here (``switch``). No bridge, no rules, no names: when this
process ends, in whatever way, nothing of them is left. Addresses are of the loopback range, which no other machine can
reach, from 127.77.0.1 on.

Needs Linux, the right to make namespaces (root, or a user namespace of one's own) and /dev/net/tun.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from hubless.demo.processes import free_ports

MOST_CELLS = 100
WORK_PORT = 7000
_NET = "127.77.0"
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8916, 0x891C, 0x8913, 0x8914, 0x1
_NAMESPACE = Path("/proc/thread-self/ns/net")
_REMEDY = "run it on Linux as root, or as `unshare --map-root-user --net mesh sim run --real TAPE`"


class MachineError(RuntimeError):
    """This machine cannot play the tape; nothing was started. The text says what is missing and what to do."""


class Cell:
    """One network namespace. ``descriptor`` is the wire out of it: non-blocking, one IPv4 packet a read or write.

    Raises MachineError if it cannot be made.
    """

    def __init__(self, index: int) -> None:
        self.address = f"{_NET}.{index + 1}"
        self._make()

    def _make(self) -> None:
        try:
            home = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _checked(_libc().unshare(_CLONE_NEWNET), "make a network namespace")
                try:
                    self.descriptor = _wire(self.address)
                    self._namespace = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
                finally:
                    _enter(home)
            finally:
                os.close(home)
        except OSError as error:
            raise MachineError(f"this machine gives no network namespaces: {error}; {_REMEDY}") from error

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread starts within is in the cell. Nothing in it may wait: other tasks would be there too."""
        home = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        _enter(self._namespace)
        try:
            yield
        finally:
            _enter(home)
            os.close(home)

    def renew(self) -> None:
        """Another machine at the same address: the kernel of this one forgets all connections."""
        self.close()
        self._make()

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._namespace)


class Ground(Protocol):
    """Where processes are started, by their number in the tape."""

    def address(self, index: int) -> str:
        """The work address, as "host:port"; gossip has the port after it."""
        ...

    def inside(self, index: int) -> AbstractContextManager[None]:
        """What is started within lives there."""
        ...

    def close(self) -> None:
        """Takes it all away; the processes are gone by then."""
        ...


class Cells:
    """A namespace for each of ``count``. Raises MachineError."""

    def __init__(self, count: int) -> None:
        self.cells: list[Cell] = []
        try:
            for index in range(count):
                self.cells.append(Cell(index))
        except MachineError:
            self.close()
            raise

    def address(self, index: int) -> str:
        return f"{self.cells[index].address}:{WORK_PORT}"

    def inside(self, index: int) -> AbstractContextManager[None]:
        return self.cells[index].inside()

    def close(self) -> None:
        for cell in self.cells:
            cell.close()
        self.cells.clear()


class Loopback:
    """All on 127.0.0.1, with nothing between them."""

    def __init__(self, count: int) -> None:
        self._ports = free_ports(count)

    def address(self, index: int) -> str:
        return f"127.0.0.1:{self._ports[index]}"

    def inside(self, index: int) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def close(self) -> None:
        pass


def index_of_address(packet: bytes) -> int:
    """The number of the cell that an IPv4 packet is for; -1 if it is for none."""
    return packet[19] - 1 if len(packet) >= 20 and packet[0] >> 4 == 4 else -1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def _enter(namespace: int) -> None:
    _checked(_libc().setns(namespace, _CLONE_NEWNET), "enter a network namespace")


def _wire(address: str) -> int:
    """A TUN device in the namespace of this thread, with the address; what has the other end."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"mesh0", _IFF_TUN | _IFF_NO_PI))
        # The kernel drops loopback addresses that come in by anything but lo, unless it is told not to.
        Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _bring_up(control, b"lo")
            _set(
                control, _SIOCSIFNETMASK, b"lo", "255.255.255.255"
            )  # else all of 127.0.0.0/8 is on this side
            _set(control, _SIOCSIFADDR, b"mesh0", address)
            _set(control, _SIOCSIFNETMASK, b"mesh0", "255.255.255.0")
            _bring_up(control, b"mesh0")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _set(control: socket.socket, order: int, device: bytes, address: str) -> None:
    wanted = struct.pack("<HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    fcntl.ioctl(control, order, struct.pack("16s16s8x", device, wanted))


def _bring_up(control: socket.socket, device: bytes) -> None:
    asked = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", device, 0))
    (flags,) = struct.unpack_from("H", asked, 16)
    fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", device, flags | _IFF_UP))
