"""The smallest hosts: to try the world, to test it, and to see what a host of one's own needs."""

from collections.abc import Sequence

from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    Keep,
    Send,
    Watch,
    Write,
)


class Echo:
    """Answers every ``ping:x`` with ``echo:x`` and remembers all it was handed.

    A Command with an effect in it makes it return that effect.  With ``interval_ns`` it pings every
    other node of ``nodes`` in turn, one per interval.  It keeps a count of its starts.
    """

    def __init__(self, birth: Birth, *, nodes: int = 0, interval_ns: int = 0) -> None:
        self.birth = birth
        self.seen: list[tuple[int, HostEvent]] = []
        self._nodes = nodes
        self._interval_ns = interval_ns
        self._turn = 0
        self._due_ns = birth.now_ns + interval_ns if interval_ns else None

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """See the class."""
        self.seen.append((now_ns, event))
        match event:
            case Delivered(packet=packet, source=source) if packet.startswith(b"ping:"):
                return [Send(source, b"echo:" + packet[5:])]
            case Command(order=Send() | Watch() | Keep() | Write() as effect):
                return [effect]
            case Due():
                self._due_ns = now_ns + self._interval_ns
                self._turn += 1
                target = (self.birth.node + 1 + self._turn % (self._nodes - 1)) % self._nodes
                return [Send(target, b"ping:%d" % self._turn)]
            case _:
                return []

    def next_deadline_ns(self) -> int | None:
        """See the class."""
        return self._due_ns

    def packets(self) -> list[bytes]:
        """The packets received, in order."""
        return [event.packet for _, event in self.seen if isinstance(event, Delivered)]

    def times(self, kind: type) -> list[int]:
        """When events of this type were handed over, in ns."""
        return [at_ns for at_ns, event in self.seen if isinstance(event, kind)]

    def kinds(self, wanted: Sequence[type]) -> list[str]:
        """The names of the events of these types, in order."""
        return [type(event).__name__ for _, event in self.seen if isinstance(event, tuple(wanted))]
