"""Faults of disks: slow, stalled, full, failing, tearing and rotting ones."""

from collections.abc import Callable

from hubless_sim.faults.base import Lasting, Momentary, all_of, indices
from hubless_sim.world.disk import DiskProfile
from hubless_sim.world.world import World


class SlowDisk(Lasting, frozen=True, tag="slow_disk", tag_field="kind"):
    """Each commit takes longer by ``base_us`` and by an exponential share with mean ``jitter_us``."""

    nodes: tuple[str, ...]
    base_us: int = 0
    jitter_us: int = 0

    def begin(self, world: World) -> Callable[[], None]:
        """Slow the disks down."""
        added = DiskProfile(self.base_us * 1000, self.jitter_us * 1000)
        return all_of([world.disk(index).slow(added) for index in indices(self.nodes)])


class StalledDisk(Lasting, frozen=True, tag="stalled_disk", tag_field="kind"):
    """No commit ends until the fault does."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Stall the disks."""
        return all_of([world.disk(index).stall() for index in indices(self.nodes)])


class FullDisk(Lasting, frozen=True, tag="full_disk", tag_field="kind"):
    """The disks have room for ``room_bytes`` more; a commit that does not fit is refused, with all after it."""

    nodes: tuple[str, ...]
    room_bytes: int = 0

    def begin(self, world: World) -> Callable[[], None]:
        """Fill the disks."""
        return all_of([world.disk(index).fill(self.room_bytes) for index in indices(self.nodes)])


class FailedFlush(Lasting, frozen=True, tag="failed_flush", tag_field="kind"):
    """Flushes fail: a process whose commit meets this gets nothing written any more, even after the fault."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """Let flushes fail."""
        return all_of([world.disk(index).fail() for index in indices(self.nodes)])


class TornWrite(Lasting, frozen=True, tag="torn_write", tag_field="kind"):
    """A process that ends leaves its first lost commit on the disk in part; the next process finds the damage."""

    nodes: tuple[str, ...]

    def begin(self, world: World) -> Callable[[], None]:
        """From now on commits may tear."""
        return all_of([world.disk(index).tear() for index in indices(self.nodes)])


class BitRot(Momentary, frozen=True, tag="bit_rot", tag_field="kind"):
    """Bits flip in what the journals hold of a shard (null: of a drawn one); the next process finds the damage."""

    nodes: tuple[str, ...]
    shard: int | None = None

    def strike(self, world: World) -> None:
        """Flip the bits."""
        for index in indices(self.nodes):
            world.disk(index).rot(self.shard)
