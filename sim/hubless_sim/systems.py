"""What runs on the nodes of a tape, and how it is configured."""

import msgspec

from hubless_agents import Contract
from hubless_sim.operations import Call, Leave, Load, Meta


class GossipSystem(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="gossip", tag_field="kind"
):
    """The membership core alone: a preset, and knobs of ``GossipConfig`` that differ from it."""

    preset: str = "local"
    knobs: dict[str, int | float | bool] = msgspec.field(default_factory=dict[str, int | float | bool])


class Offering(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent of the simulated mesh; ``nodes`` empty: every node offers it."""

    name: str
    retries: int = 2
    deadline_ms: int = 2_000
    concurrency: int = 1
    nodes: tuple[str, ...] = ()

    def to_contract(self) -> Contract:
        """As a worker declares it. Answers must be objects, so that garbled ones break the contract."""
        return Contract(
            name=self.name,
            retries=self.retries,
            deadline_ms=self.deadline_ms,
            concurrency=self.concurrency,
            output_schema=b'{"type":"object"}',
            runtime="thread" if self.concurrency == 1 else "asyncio",
        )


class MeshSystem(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="mesh", tag_field="kind"
):
    """Whole nodes with scripted workers, and clients.

    ``preset`` and ``knobs`` are those of their gossip.  A client that hears nothing for ``patience_ms`` submits again.
    """

    agents: tuple[Offering, ...]
    preset: str = "local"
    knobs: dict[str, int | float | bool] = msgspec.field(default_factory=dict[str, int | float | bool])
    workers: int = 2
    queue: int = 256
    shards: int = 64
    ring_ms: int = 0
    patience_ms: int = 1_500


System = GossipSystem | MeshSystem

OPERATIONS: dict[type, tuple[type, ...]] = {GossipSystem: (Leave, Meta, Load), MeshSystem: (Leave, Call)}
"""What can be asked of each system."""
