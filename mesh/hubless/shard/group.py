"""One replica of this node with what the node keeps beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubless.shard.learning import Learning
from hubless.shard.losses import Losses
from hubless.shard.output import Role
from hubless.shard.quorum import members
from hubless.shard.raft import Raft
from hubless.wire.replication import Config, Led


@dataclass(slots=True, eq=False)
class Group:
    """A replica, and what was last seen and said of it. Compared by identity.

    Args:
        owner, term, role: as they were when the replica was last looked at.
        mark: the commit that has its latest record.
        handed: the last index that its machine was given.
        owning_term: the term in which it was told to be owned here; 0 while it is not.
        limit_bytes: how large its log may grow.
        question: number of the question whether it still counts; 0 when none is open.
        heard_ns: when an owner was last heard.
        broken: as an owner, the nodes whose replica is known to be of no use.
        target, spares: as an owner, where the ring wants the replicas, and who comes next on it.
        config_since_ns: as an owner, when the configuration was last found to be committed.
        unreached: as an owner, the nodes that it does without, as they do not answer.
        losses: who lost the shard.
        learning: as an owner, which learners get on.
        peers: as an owner, all who replicated the shard since its configuration was last at rest.
    """

    raft: Raft
    limit_bytes: int
    handed: int
    heard_ns: int
    owner: str | None = None
    term: int = 0
    role: Role = Role.FOLLOWER
    mark: int = 0
    owning_term: int = 0
    question: int = 0
    is_doubted: bool = False
    broken: set[str] = field(default_factory=set)
    peers: set[str] = field(default_factory=set)
    target: tuple[str, ...] = ()
    target_since_ns: int = 0
    spares: tuple[str, ...] = ()
    config_since_ns: int = 0
    unreached: frozenset[str] = frozenset()
    owned_since_ns: int = 0
    losses: Losses = field(default_factory=Losses)
    learning: Learning = field(default_factory=Learning)
    shard: int = field(init=False)
    _config: Config | None = None
    _others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.shard = self.raft.shard

    @property
    def others(self) -> tuple[str, ...]:
        """The other nodes that replicate the shard, in the order of their names."""
        config = self.raft.config
        if config is not self._config:
            self._config = config
            self._others = tuple(node for node in members(config) if node != self.raft.me)
        return self._others

    @property
    def led(self) -> Led:
        """What an owner says of itself."""
        return Led(self.raft.shard, self.raft.term, self.raft.commit)
