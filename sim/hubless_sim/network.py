"""Links between nodes: who is reached, after how long, how many times.

Conditions are layers: the profile of the run at the bottom, and one layer per active fault on top.
What holds on one directed link is worked out from the layers when the link is first used after a
change and kept until the next change, so that a message costs one lookup and one hash.
"""

import msgspec

from hubless_sim.chance import UNIT, UNIT_BITS, draw, stream, tail_ns, threshold

_MESSAGES, _CONTROL = 0, 1
_SELF_NS = 10_000  # a node that sends to itself crosses its own loopback


class Layer(msgspec.Struct, frozen=True, eq=False):
    """One set of conditions, on the links from ``sources`` to ``targets`` (None: all nodes).

    Layers combine: a link is cut if any layer cuts it, chances combine as independent, latencies
    add up.  The latency of a message is ``base_ns`` plus an exponential with mean ``jitter_ns``.
    """

    sources: frozenset[int] | None = None
    targets: frozenset[int] | None = None
    cut: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    base_ns: int = 0
    jitter_ns: int = 0

    def covers(self, source: int, target: int) -> bool:
        """Whether the layer holds on the directed link."""
        return (self.sources is None or source in self.sources) and (
            self.targets is None or target in self.targets
        )


class _Link:
    """One directed link: its stream of chance, how many messages it has seen, what holds on it."""

    __slots__ = ("base_ns", "duplicate", "epoch", "jitter_ns", "key", "lost", "sent")

    def __init__(self, key: int) -> None:
        self.key = key
        self.sent = 0
        self.epoch = -1
        self.lost = 0
        self.duplicate = 0
        self.base_ns = 0
        self.jitter_ns = 0


class Network:
    """All directed links of a topology of ``nodes`` nodes under the layers that are active."""

    def __init__(self, *, nodes: int, seed: int, base: Layer | None = None) -> None:
        self._nodes = nodes
        self._seed = seed
        self._layers: list[Layer] = [base or Layer()]
        self._epoch = 0
        self._links: dict[int, _Link] = {}
        self._controls: dict[int, int] = {}

    def add(self, layer: Layer) -> None:
        """Put a layer on top."""
        self._layers.append(layer)
        self._epoch += 1

    def remove(self, layer: Layer) -> None:
        """Take a layer away again (that very object)."""
        self._layers = [kept for kept in self._layers if kept is not layer]
        self._epoch += 1

    def reaches(self, source: int, target: int) -> bool:
        """Whether a packet can get from source to target at all."""
        return source == target or self._link(source, target).lost < UNIT

    def route(self, source: int, target: int) -> tuple[int, ...]:
        """The delays in ns after which copies of the link's next message arrive; () if it is lost."""
        if source == target:
            return (_SELF_NS,)
        link = self._link(source, target)
        number = link.sent
        link.sent = number + 1
        if link.lost >= UNIT:
            return ()
        chance = draw(link.key, number)
        if chance & (UNIT - 1) < link.lost:
            return ()
        delay = link.base_ns + tail_ns(link.jitter_ns, chance >> 52)
        if (chance >> UNIT_BITS) & (UNIT - 1) >= link.duplicate:
            return (delay,)
        again = draw(link.key ^ 1, number)
        return (delay, link.base_ns + tail_ns(link.jitter_ns, again >> 52))

    def control_ns(self, source: int, target: int) -> int:
        """The delay of the next packet that the kernels exchange (connect, reset): never lost."""
        if source == target:
            return _SELF_NS
        link = self._link(source, target)
        place = source * self._nodes + target
        number = self._controls.get(place, 0)
        self._controls[place] = number + 1
        chance = draw(stream(self._seed, _CONTROL, source, target), number)
        return link.base_ns + tail_ns(link.jitter_ns, chance >> 52)

    def _link(self, source: int, target: int) -> _Link:
        place = source * self._nodes + target
        link = self._links.get(place)
        if link is None:
            link = self._links[place] = _Link(stream(self._seed, _MESSAGES, source, target))
        if link.epoch != self._epoch:
            self._settle(link, source, target)
        return link

    def _settle(self, link: _Link, source: int, target: int) -> None:
        arrives, single, base_ns, jitter_ns = 1.0, 1.0, 0, 0
        for layer in self._layers:
            if layer.covers(source, target):
                arrives *= 0.0 if layer.cut else 1.0 - layer.loss
                single *= 1.0 - layer.duplicate
                base_ns += layer.base_ns
                jitter_ns += layer.jitter_ns
        link.lost = threshold(1.0 - arrives)
        link.duplicate = threshold(1.0 - single)
        link.base_ns = base_ns
        link.jitter_ns = jitter_ns
        link.epoch = self._epoch
