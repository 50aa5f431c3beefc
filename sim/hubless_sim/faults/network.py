"""Faults of the network: cuts of many shapes, and links that lose, repeat, delay, garble and throttle."""

from collections.abc import Callable

from hubless_sim.faults.base import MS, Lasting, all_of, chosen, indices
from hubless_sim.world.network import Layer
from hubless_sim.world.world import World


class Partition(Lasting, frozen=True, tag="partition", tag_field="kind"):
    """No packet passes between the two sides, in either direction.  An empty side is everybody else."""

    sides: tuple[tuple[str, ...], tuple[str, ...]]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the sides apart."""
        return _parted(world, self.sides)


class OneWay(Lasting, frozen=True, tag="one_way", tag_field="kind"):
    """Packets from the sources no longer reach the targets; the way back works."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Cut one direction."""
        return world.impose(Layer(sources=chosen(self.sources), targets=chosen(self.targets), cut=True))


class Isolate(Lasting, frozen=True, tag="isolate", tag_field="kind"):
    """Each of the nodes is cut off from everybody, and from each other."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the nodes off."""
        alone = set(indices(self.nodes))
        return _cut(world, alone, set(range(len(world))))


class Loss(Lasting, frozen=True, tag="loss", tag_field="kind"):
    """Each packet from the sources to the targets is lost with this chance."""

    rate: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to lose packets."""
        return world.impose(Layer(sources=chosen(self.sources), targets=chosen(self.targets), loss=self.rate))


class Duplicate(Lasting, frozen=True, tag="duplicate", tag_field="kind"):
    """Each packet from the sources to the targets arrives twice with this chance."""

    rate: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to duplicate packets."""
        return world.impose(
            Layer(sources=chosen(self.sources), targets=chosen(self.targets), duplicate=self.rate)
        )


class Latency(Lasting, frozen=True, tag="latency", tag_field="kind"):
    """Packets take longer by ``base_us`` and by an exponential share with mean ``jitter_us``."""

    base_us: int = 0
    jitter_us: int = 0
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to delay packets."""
        return world.impose(
            Layer(
                sources=chosen(self.sources),
                targets=chosen(self.targets),
                base_ns=self.base_us * 1000,
                jitter_ns=self.jitter_us * 1000,
            )
        )


class RingPartition(Lasting, frozen=True, tag="ring_partition", tag_field="kind"):
    """Each of the nodes reaches only its nearest neighbours in their order, so that each sees another majority.

    Every one of them sees the smallest majority that is the same to both sides; nobody else is concerned.
    """

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Leave each its neighbours."""
        ring = indices(self.nodes)
        count = len(ring)
        reach = (count // 2 + 1) // 2
        ends = []
        for place, index in enumerate(ring):
            near = {ring[(place + step) % count] for step in range(-reach, reach + 1)}
            cut = Layer(sources=frozenset({index}), targets=frozenset(ring) - near, cut=True)
            ends.append(world.impose(cut))
        return all_of(ends)


class Flapping(Lasting, frozen=True, tag="flapping", tag_field="kind"):
    """Nothing passes between the sides for ``down_ms``, then everything for ``up_ms``, in turns.

    An empty side is everybody else.
    """

    sides: tuple[tuple[str, ...], tuple[str, ...]]
    down_ms: int
    up_ms: int

    def begin(self, world: World) -> Callable[[], None]:
        """Cut the sides apart for the first time."""
        flap = _Flap(self, world)
        flap.fall()
        return flap.end


class _Flap:
    """A cut that comes and goes until its fault ends."""

    def __init__(self, fault: Flapping, world: World) -> None:
        self._fault = fault
        self._world = world
        self._has_ended = False
        self._lift: Callable[[], None] | None = None

    def fall(self) -> None:
        if not self._has_ended:
            self._lift = _parted(self._world, self._fault.sides)
            self._world.at(self._world.now_ns + self._fault.down_ms * MS, self._rise)

    def end(self) -> None:
        self._has_ended = True
        self._let_go()

    def _rise(self) -> None:
        if not self._has_ended:
            self._let_go()
            self._world.at(self._world.now_ns + self._fault.up_ms * MS, self.fall)

    def _let_go(self) -> None:
        if self._lift is not None:
            self._lift()
            self._lift = None


class Corrupt(Lasting, frozen=True, tag="corrupt", tag_field="kind"):
    """Each packet from the sources to the targets arrives with flipped bits, or cut short, with this chance."""

    rate: float
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Begin to garble packets."""
        return world.impose(
            Layer(sources=chosen(self.sources), targets=chosen(self.targets), corrupt=self.rate)
        )


class Bandwidth(Lasting, frozen=True, tag="bandwidth", tag_field="kind"):
    """Each link from a source to a target carries so many bytes a second.

    Packets wait for those before them on their link; one that would wait longer than a second is lost.
    """

    bytes_per_s: int
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Throttle the links."""
        return world.impose(
            Layer(sources=chosen(self.sources), targets=chosen(self.targets), bytes_per_s=self.bytes_per_s)
        )


class SizeLimit(Lasting, frozen=True, tag="size_limit", tag_field="kind"):
    """Each link from a source to a target carries packets of up to ``most_bytes``; larger ones are lost."""

    most_bytes: int
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def begin(self, world: World) -> Callable[[], None]:
        """Narrow the links."""
        return world.impose(
            Layer(sources=chosen(self.sources), targets=chosen(self.targets), most_bytes=self.most_bytes)
        )


def _parted(world: World, sides: tuple[tuple[str, ...], tuple[str, ...]]) -> Callable[[], None]:
    left, right = (set(indices(side)) for side in sides)
    everybody = set(range(len(world)))
    return _cut(world, left or everybody - right, right or everybody - left)


def _cut(world: World, left: set[int], right: set[int]) -> Callable[[], None]:
    there = Layer(sources=frozenset(left), targets=frozenset(right), cut=True)
    back = Layer(sources=frozenset(right), targets=frozenset(left), cut=True)
    return all_of([world.impose(there), world.impose(back)])
