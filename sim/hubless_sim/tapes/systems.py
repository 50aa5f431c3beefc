"""What runs on the nodes of a tape, and how it is configured."""

import msgspec

from hubless.shard.output import RaftSettings
from hubless.shard.pace import MoveSettings
from hubless.shard.settings import ReplicasSettings
from hubless_agents import Contract
from hubless_agents.contract import Durability, OnBreach, Partition
from hubless_sim.tapes.operations import Call, Leave, Load, Meta, Opinion, Query, Ring

MS = 1_000_000


class GossipSystem(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="gossip", tag_field="kind"
):
    """The membership core alone: a preset, and knobs of ``GossipConfig`` that differ from it.

    With ``right_views`` the tape leaves time after its faults: no healthy node may be told dead, and in the end
    everybody must believe those alive who run, and nobody else.  ``core`` are the nodes of which that is asked (none
    named: all nodes), whatever becomes of the others.  From ``settled_ms`` on nobody of them may hold another for dead,
    or doubt it for long, and at one time at least all of them hold all for alive.
    """

    preset: str = "local"
    knobs: dict[str, int | float | bool] = msgspec.field(default_factory=dict[str, int | float | bool])
    right_views: bool = False
    core: tuple[str, ...] = ()
    settled_ms: int | None = None


class Offering(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent of the simulated mesh; ``nodes`` empty: every node offers it.

    ``memory_mb`` is the limit of its contract.  With ``store`` it reads an outside store when it begins, and writes
    there before it answers, with its fencing token.
    """

    name: str
    retries: int = 2
    deadline_ms: int = 2_000
    concurrency: int = 1
    nodes: tuple[str, ...] = ()
    partition: Partition = "wait"
    durability: Durability = "replicated"
    on_breach: OnBreach = OnBreach()
    memory_mb: int | None = None
    store: bool = False

    def to_contract(self) -> Contract:
        """As a worker declares it. Answers must be objects, so that garbled ones break the contract."""
        return Contract(
            name=self.name,
            retries=self.retries,
            deadline_ms=self.deadline_ms,
            concurrency=self.concurrency,
            output_schema=b'{"type":"object"}',
            runtime="thread" if self.concurrency == 1 else "asyncio",
            partition=self.partition,
            durability=self.durability,
            on_breach=self.on_breach,
            memory_bytes=None if self.memory_mb is None else self.memory_mb << 20,
        )


class ReplicaKnobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of ``ReplicasSettings`` and what is within it: small, so that much happens in little time."""

    beat_ms: int = 50
    stagger_ms: int = 50
    election_ms: int = 500
    resend_ms: int = 100
    enquire_ms: int = 500
    settle_ms: int = 100
    return_ms: int = 500
    patience_ms: int = 500
    pace_ms: int = 100
    most_moves: int = 8
    compact_bytes: int = 1_000
    keep_entries: int = 8
    most_append_bytes: int = 262_144
    most_append_entries: int = 512
    most_state_bytes: int = 1 << 28
    window: int = 16
    chunk_bytes: int = 262_144

    def to_settings(self) -> ReplicasSettings:
        """As replicas take them; raises ValueError on what does not fit together."""
        return ReplicasSettings(
            beat_ns=self.beat_ms * MS,
            stagger_ns=self.stagger_ms * MS,
            enquire_ns=self.enquire_ms * MS,
            compact_bytes=self.compact_bytes,
            raft=RaftSettings(
                election_ns=self.election_ms * MS,
                resend_ns=self.resend_ms * MS,
                most_append_bytes=self.most_append_bytes,
                most_append_entries=self.most_append_entries,
                most_state_bytes=self.most_state_bytes,
                window=self.window,
                chunk_bytes=self.chunk_bytes,
                keep_entries=self.keep_entries,
            ),
            moves=MoveSettings(
                most_moves=self.most_moves,
                pace_ns=self.pace_ms * MS,
                settle_ns=self.settle_ms * MS,
                return_ns=self.return_ms * MS,
                patience_ns=self.patience_ms * MS,
            ),
        )


class MeshSystem(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="mesh", tag_field="kind"
):
    """Whole nodes with scripted workers, and clients.

    ``preset`` and ``knobs`` are those of their gossip, ``replicas`` null has the local preset.  A client that hears
    nothing for ``patience_ms`` submits again.  An agent that has had more than ``max_kills`` of its workers killed is
    set aside on that node for a while.  ``owned_ms``: from then on every shard must have one owner.  ``core`` are the
    nodes that must live in the end, and of which each shard has a majority (none named: all nodes); faults of others
    may last for ever.
    """

    agents: tuple[Offering, ...]
    preset: str = "local"
    knobs: dict[str, int | float | bool] = msgspec.field(default_factory=dict[str, int | float | bool])
    workers: int = 2
    queue: int = 256
    max_kills: int = 5
    shards: int = 64
    ring_ms: int = 0
    patience_ms: int = 1_500
    replicas: ReplicaKnobs | None = None
    owned_ms: int | None = None
    core: tuple[str, ...] = ()


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the clients do: requests from ``from_ms`` to ``until_ms`` with pauses of up to ``pause_ms``, then probes.

    A request that hears nothing for ``patience_ms`` goes to the next node, and is given up after ``give_up_ms``; a
    probe after ``probe_give_up_ms``, and it is made again after the others.
    """

    from_ms: int = 500
    until_ms: int = 3_000
    probe_ms: int = 4_000
    pause_ms: int = 30
    patience_ms: int = 200
    give_up_ms: int = 1_000
    probe_give_up_ms: int = 400
    keys: int = 2
    writes: float = 0.6


class ShardSystem(
    ReplicaKnobs, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="shards", tag_field="kind"
):
    """The replicas of nodes and nothing else of them, with registers for tasks, and clients.

    ``ring`` are the members that all nodes know of at first (none named: all nodes); it places ``replicas`` of each
    of the ``shards``.
    """

    shards: int = 2
    replicas: int = 3
    ring: tuple[str, ...] = ()
    workload: Workload = msgspec.field(default_factory=Workload)


System = GossipSystem | MeshSystem | ShardSystem

ASKED: dict[type, tuple[type, ...]] = {
    GossipSystem: (Leave, Meta, Load),
    MeshSystem: (Leave, Call, Query),
    ShardSystem: (Ring, Opinion),
}
"""What can be asked of each system."""
