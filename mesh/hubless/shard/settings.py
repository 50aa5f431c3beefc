"""The times and limits of all replicas of a node; the same for all nodes of a mesh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hubless.shard.output import RaftSettings
from hubless.shard.pace import MoveSettings

_MS = 1_000_000
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicasSettings:
    """Choose a preset: `local` (processes of one machine), `lan` or `wan`.

    Args:
        beat_ns: between two beats of an owner. The election timeout is at least ten of them.
        stagger_ns: between the campaigns of two voters whose owner is gone: more than an election takes, so that the
            first is through before the second begins.
        enquire_ns: how long a replica hears from no owner before it asks whether it still counts, and again.
        most_reads: reads that wait for their answer, in all shards.
        compact_bytes: a log is compacted when it is larger than this, and than twice its last snapshot.
        most_compactions: logs named by one `wants_compaction`.
    """

    beat_ns: int = 250 * _MS
    stagger_ns: int = 100 * _MS
    enquire_ns: int = 5_000 * _MS
    most_reads: int = 10_000
    compact_bytes: int = _MIB // 2
    most_compactions: int = 2
    raft: RaftSettings = field(
        default_factory=lambda: RaftSettings(election_ns=2_500 * _MS, resend_ns=500 * _MS)
    )
    moves: MoveSettings = field(default_factory=MoveSettings)

    def __post_init__(self) -> None:
        for name in (
            "beat_ns",
            "stagger_ns",
            "enquire_ns",
            "most_reads",
            "compact_bytes",
            "most_compactions",
        ):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.raft.election_ns < 10 * self.beat_ns:
            raise ValueError(
                f"raft.election_ns is {self.raft.election_ns}; it must be at least ten beats of {self.beat_ns}, "
                "so that a few lost ones depose nobody"
            )

    @classmethod
    def local(cls) -> ReplicasSettings:
        """Processes of one machine."""
        return cls(
            beat_ns=100 * _MS,
            stagger_ns=50 * _MS,
            enquire_ns=2_000 * _MS,
            raft=RaftSettings(election_ns=1_000 * _MS, resend_ns=200 * _MS),
            moves=MoveSettings(
                most_moves=16,
                most_transfers=8,
                pace_ns=200 * _MS,
                settle_ns=300 * _MS,
                return_ns=1_000 * _MS,
                patience_ns=1_000 * _MS,
            ),
        )

    @classmethod
    def lan(cls) -> ReplicasSettings:
        """Machines of one network."""
        return cls()

    @classmethod
    def wan(cls) -> ReplicasSettings:
        """Machines far apart."""
        return cls(
            beat_ns=1_000 * _MS,
            stagger_ns=500 * _MS,
            enquire_ns=20_000 * _MS,
            raft=RaftSettings(election_ns=10_000 * _MS, resend_ns=2_000 * _MS),
            moves=MoveSettings(
                settle_ns=5_000 * _MS, return_ns=15_000 * _MS, patience_ns=20_000 * _MS, pace_ns=5_000 * _MS
            ),
        )

    @classmethod
    def of(cls, profile: Literal["local", "lan", "wan"]) -> ReplicasSettings:
        """The preset of a node's timing profile."""
        return {"local": cls.local, "lan": cls.lan, "wan": cls.wan}[profile]()
