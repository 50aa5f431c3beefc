"""Faults of agents and of what they lean on: workers, an outside store, the orders that reach them, settings.

What befalls an attempt is decided when it begins: ``rate`` is the share of attempts, ``agents`` whose (none named: all
agents').  The mesh has to take all of this: a task still ends once, and what an agent gets wrong stays the agent's.
"""

from collections.abc import Callable
from typing import Literal

from hubless.wire import Assign, Recall, Withdraw
from hubless_sim.faults.base import MS, Lasting, all_of, indices
from hubless_sim.packets import closed, opened
from hubless_sim.world.world import World

Answering = Literal["garbled", "off_schema", "wrong", "repeated", "missing", "oversized"]
"""Bytes that are no JSON; JSON that the contract forbids; a result that is plausible and wrong; the same answer twice;
none, while the worker goes on with its next task; one that is larger than what a node takes."""

Showing = Literal["corrupted", "replayed"]
"""A token that nobody issued; that of an earlier attempt."""

Setting = Literal["mesh", "shards", "contract"]
"""The id of another mesh; another number of shards; agents of another version, whose contract forbids their answers."""


class AgentFault(Lasting, frozen=True, kw_only=True):
    """A share of the attempts that begin on these nodes."""

    nodes: tuple[str, ...]
    agents: tuple[str, ...] = ()
    rate: float = 1.0

    def begin(self, world: World) -> Callable[[], None]:
        """Let the workers of the nodes know; see ``hubless_sim.mesh.ailing``."""
        return all_of([world.ail(index, self) for index in indices(self.nodes)])


class AgentSlow(AgentFault, frozen=True, tag="agent_slow", tag_field="kind"):
    """Attempts take ``factor`` times longer; their node does not."""

    factor: int


class AgentHangs(AgentFault, frozen=True, tag="agent_hangs", tag_field="kind"):
    """Attempts never end, and nothing else of their process's one turn goes on."""


class AgentAnswers(AgentFault, frozen=True, tag="agent_answers", tag_field="kind"):
    """Attempts that would have answered answer otherwise, or not at all."""

    does: Answering


class AgentLeaks(AgentFault, frozen=True, tag="agent_leaks", tag_field="kind"):
    """Each attempt leaves ``mb`` more of memory with its process.  Contracts without a limit never notice."""

    mb: int


class StoreSevered(AgentFault, frozen=True, tag="store_severed", tag_field="kind"):
    """The outside store is out of reach: attempts that need it raise."""


class StoreSlow(AgentFault, frozen=True, tag="store_slow", tag_field="kind"):
    """The outside store takes ``base_us`` and an exponential share with mean ``jitter_us`` longer to be read."""

    base_us: int = 0
    jitter_us: int = 0


class StoreToken(AgentFault, frozen=True, tag="store_token", tag_field="kind"):
    """Attempts do not show the store the token that they were given, but another one."""

    does: Showing


class StaleOrders(Lasting, frozen=True, tag="stale_orders", tag_field="kind"):
    """What the nodes order of executors, or take back, comes ``late_ms`` late; all else that they say is on time.

    Meanwhile another node may have come to own the shard, and have ordered otherwise.
    """

    nodes: tuple[str, ...]
    late_ms: int

    def begin(self, world: World) -> Callable[[], None]:
        """Hold the orders back."""
        return all_of([world.tamper(index, self._holding(world, index)) for index in indices(self.nodes)])

    def _holding(self, world: World, index: int) -> Callable[[int, bytes], bytes | None]:
        def hold(target: int, packet: bytes) -> bytes | None:
            read = opened(packet)
            if read is None:
                return packet
            orders = [each for each in read.messages if isinstance(each, Assign | Recall | Withdraw)]
            if not orders or target == index:
                return packet
            late = closed(read, orders)
            world.at(world.now_ns + self.late_ms * MS, lambda: world.inject(index, target, late))
            others = [each for each in read.messages if each not in orders]
            return closed(read, others) if others else None

        return hold


class Misconfigured(Lasting, frozen=True, tag="misconfigured", tag_field="kind"):
    """Processes that start on the nodes meanwhile do so with a setting that is not the mesh's."""

    nodes: tuple[str, ...]
    does: Setting

    def begin(self, world: World) -> Callable[[], None]:
        """Have the next processes find it."""
        return all_of([world.ail(index, self) for index in indices(self.nodes)])
