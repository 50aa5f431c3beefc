"""Links between nodes: who is reached, after how long, how many times.

Conditions are layers: the profile of the run at the bottom, and one layer per active fault on top.
What holds on one directed link is worked out from the layers when the link is first used after a
change and kept until the next change, so that a message costs one lookup and one hash.
"""

from typing import Literal

import msgspec

from hubless_sim.world.chance import UNIT, UNIT_BITS, draw, stream, tail_ns, threshold

_MESSAGES = 0
_SECOND_NS = 1_000_000_000
Lost = Literal["cut", "lost", "line full", "too large"]
"""Why a link does not carry a message."""
_SELF_NS = 10_000  # a node that sends to itself crosses its own loopback


class Layer(msgspec.Struct, frozen=True, eq=False):
    """One set of conditions, on the links from ``sources`` to ``targets`` (None: all nodes).

    Layers combine: a link is cut if any layer cuts it, chances combine as independent, latencies
    add up, and the narrowest ``bytes_per_s`` and ``most_bytes`` of a message count (0: no limit).  The latency of a
    message is ``base_ns`` plus an exponential with mean ``jitter_ns``.
    """

    sources: frozenset[int] | None = None
    targets: frozenset[int] | None = None
    cut: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    base_ns: int = 0
    jitter_ns: int = 0
    corrupt: float = 0.0
    bytes_per_s: int = 0
    most_bytes: int = 0

    def covers(self, source: int, target: int) -> bool:
        """Whether the layer holds on the directed link."""
        return (self.sources is None or source in self.sources) and (
            self.targets is None or target in self.targets
        )


class _Conditions(msgspec.Struct, frozen=True, gc=False):
    """What the layers add up to on a link; chances as thresholds, see chance.threshold."""

    lost: int
    duplicate: int
    base_ns: int
    jitter_ns: int
    corrupt: int
    bytes_per_s: int
    most_bytes: int
    is_narrow: bool
    """Whether either of these two is a limit: one question for most messages."""


class _Link:
    """One directed link: its stream of chance, how many messages it has seen, what holds on it.

    ``free_ns`` is when the line has carried what was given to it so far; it counts under a limit alone.
    """

    __slots__ = ("conditions", "epoch", "free_ns", "key", "sent")

    def __init__(self, key: int, conditions: _Conditions, epoch: int) -> None:
        self.key = key
        self.sent = 0
        self.free_ns = 0
        self.conditions = conditions
        self.epoch = epoch


class Network:
    """All directed links of a topology of ``nodes`` nodes under the layers that are active."""

    def __init__(self, *, nodes: int, seed: int, base: Layer | None = None) -> None:
        self._nodes = nodes
        self._message_key = stream(seed, _MESSAGES)
        self._layers: list[Layer] = [base or Layer()]
        self._epoch = 0
        self._links: dict[int, _Link] = {}
        self._rest: list[Layer] = []
        self.garbles = False
        """Whether any layer garbles messages; then every message has to go through ``garbled``."""
        self._everywhere = _sum(self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer on top."""
        self._layers.append(layer)
        self._changed()

    def remove(self, layer: Layer) -> None:
        """Take a layer away again (that very object)."""
        self._layers = [kept for kept in self._layers if kept is not layer]
        self._changed()

    def reaches(self, source: int, target: int) -> bool:
        """Whether a packet can get from source to target at all."""
        return source == target or self._link(source, target).conditions.lost < UNIT

    def has_room(self, source: int, target: int, size_bytes: int) -> bool:
        """Whether a message of this size is small enough for the link."""
        most_bytes = self._link(source, target).conditions.most_bytes
        return source == target or not most_bytes or size_bytes <= most_bytes

    def route(self, source: int, target: int, size_bytes: int = 0, now_ns: int = 0) -> tuple[int, ...]:
        """The delays in ns after which copies of the link's next message arrive; () if it is lost."""
        if source == target:
            return (_SELF_NS,)
        link = self._links.get(source * self._nodes + target)
        if link is None or link.epoch != self._epoch:
            link = self._link(source, target)
        number = link.sent
        link.sent = number + 1
        now = link.conditions
        chance = draw(link.key, number)
        if chance & (UNIT - 1) < now.lost:
            return ()
        delay = now.base_ns + tail_ns(now.jitter_ns, chance >> 52)
        if now.is_narrow:
            waits_ns = _waits_ns(link, now, size_bytes, now_ns)
            if waits_ns < 0:
                return ()
            delay += waits_ns
        if (chance >> UNIT_BITS) & (UNIT - 1) >= now.duplicate:
            return (delay,)
        again = draw(link.key ^ 1, number)
        return (delay, now.base_ns + tail_ns(now.jitter_ns, again >> 52))

    def why_lost(self, source: int, target: int, size_bytes: int) -> Lost:
        """Why the message of this size that was routed last on the link does not arrive."""
        link = self._link(source, target)
        if link.conditions.lost >= UNIT:
            return "cut"
        if draw(link.key, link.sent - 1) & (UNIT - 1) < link.conditions.lost:
            return "lost"
        return "line full" if self.has_room(source, target, size_bytes) else "too large"

    def garbled(self, source: int, target: int, packet: bytes) -> bytes:
        """What arrives of the message that was routed last on the link: itself, or with flipped bits, or cut short."""
        if source == target or not packet:
            return packet
        link = self._link(source, target)
        chance = draw(link.key ^ 2, link.sent)
        if chance & (UNIT - 1) >= link.conditions.corrupt:
            return packet
        chance >>= UNIT_BITS
        place = (chance >> 4) % len(packet)
        if chance & 3 == 0:
            return packet[:place]
        spoilt = bytearray(packet)
        for _ in range(1 + (chance & 3)):
            spoilt[place] ^= 1 << ((chance >> 2) & 7)
            chance = draw(chance, link.sent)
            place = chance % len(packet)
        return bytes(spoilt)

    def control_ns(self, source: int, target: int, chance: int) -> int:
        """The delay, by the draw ``chance``, of a packet that the kernels exchange (connect, reset): never lost."""
        if source == target:
            return _SELF_NS
        now = self._link(source, target).conditions
        return now.base_ns + tail_ns(now.jitter_ns, chance >> 52)

    def _link(self, source: int, target: int) -> _Link:
        place = source * self._nodes + target
        link = self._links.get(place)
        if link is None:
            key = draw(self._message_key, (source << 32) | target)
            link = self._links[place] = _Link(key, self._everywhere, -1)
        if link.epoch != self._epoch:
            link.epoch = self._epoch
            link.conditions = self._everywhere
            if self._rest and any(layer.covers(source, target) for layer in self._rest):
                link.conditions = _sum([layer for layer in self._layers if layer.covers(source, target)])
        return link

    def _changed(self) -> None:
        self._epoch += 1
        self.garbles = any(each.corrupt > 0 for each in self._layers)
        self._rest = [each for each in self._layers if each.sources is not None or each.targets is not None]
        self._everywhere = _sum([each for each in self._layers if each not in self._rest])


def _waits_ns(link: _Link, now: _Conditions, size_bytes: int, now_ns: int) -> int:
    """How long a message waits for those before it, and for its own last byte; below 0 if the link does not take it."""
    if now.most_bytes and size_bytes > now.most_bytes:
        return -1
    if not now.bytes_per_s:
        return 0
    free_ns = max(link.free_ns, now_ns) + size_bytes * _SECOND_NS // now.bytes_per_s
    if free_ns > now_ns + _SECOND_NS:
        return -1
    link.free_ns = free_ns
    return free_ns - now_ns


def _sum(layers: list[Layer]) -> _Conditions:
    arrives, single, whole, base_ns, jitter_ns = 1.0, 1.0, 1.0, 0, 0
    for layer in layers:
        arrives *= 0.0 if layer.cut else 1.0 - layer.loss
        single *= 1.0 - layer.duplicate
        whole *= 1.0 - layer.corrupt
        base_ns += layer.base_ns
        jitter_ns += layer.jitter_ns
    bytes_per_s = min((layer.bytes_per_s for layer in layers if layer.bytes_per_s), default=0)
    most_bytes = min((layer.most_bytes for layer in layers if layer.most_bytes), default=0)
    return _Conditions(
        lost=threshold(1.0 - arrives),
        duplicate=threshold(1.0 - single),
        base_ns=base_ns,
        jitter_ns=jitter_ns,
        corrupt=threshold(1.0 - whole),
        bytes_per_s=bytes_per_s,
        most_bytes=most_bytes,
        is_narrow=bytes_per_s > 0 or most_bytes > 0,
    )
