"""Who sits where in one shard, who could, and who should: the facts that `moves` decides by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hubless.shard.quorum import has_quorum, majority
from hubless.wire.replication import Config

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """A node's opinion of the others. `well` take part; `gone` are dead or have left; `draining` are to be rid of their
    replicas, `full` of their ownership. The conditions of `me` are among them.
    """

    me: str
    well: frozenset[str]
    gone: frozenset[str] = _NOBODY
    draining: frozenset[str] = _NOBODY
    full: frozenset[str] = _NOBODY

    def may_own(self, node: str) -> bool:
        """Whether ownership may be given to a node, or left with it."""
        return node in self.well and node not in self.draining and node not in self.full


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """One owned shard: where its replicas are, and where the ring wants them, the preferred owner first.

    `spares` come after the target on the ring: they stand in for nodes of it that cannot serve. `caught_up` are the
    replicas that could take over at once, `broken` those that cannot be trusted. `unreached` nodes have not answered
    their owner lately, whatever membership says; `unfit` ones take part, but should not be owners. `is_strained`: the
    owner cannot rely on a quorum to answer it, and the others could be one without it. `is_changing` while a
    configuration is not committed yet.
    """

    shard: int
    config: Config
    target: tuple[str, ...]
    caught_up: frozenset[str]
    spares: tuple[str, ...] = ()
    broken: frozenset[str] = _NOBODY
    unreached: frozenset[str] = _NOBODY
    unfit: frozenset[str] = _NOBODY
    is_strained: bool = False
    is_changing: bool = False
    owned_since_ns: int = 0
    target_since_ns: int = 0
    config_since_ns: int = 0


class Seats:
    """The seats of one shard, as its owner should see them now.

    A seat is *healthy* if its node takes part, its replica can be trusted, and lacks little: it would count towards a
    majority at once. There should be as many seats as the target has nodes.
    """

    __slots__ = ("_around", "_owned", "able", "count", "goal", "is_sound", "voters", "wanted")

    def __init__(self, owned: Owned, around: Surroundings) -> None:
        self._owned = owned
        self._around = around
        self.voters = owned.config.voters
        self.able = (around.well & owned.caught_up) - owned.broken | {around.me}
        """Whoever is healthy, with a seat or without."""
        self.is_sound = self.able.issuperset(self.voters)
        """Whether all seats are healthy."""
        self.wanted = tuple(self._wanted())
        """Who should keep the shard as things are, best first; fewer than there are seats if nobody else can serve."""
        self.count = len(owned.target)
        """How many seats there should be."""
        self.goal = self.wanted
        """Who should have the seats as long as this node is the owner: it keeps one until it has handed over."""
        if around.me not in self.wanted:
            heirs = sorted(self.wanted, key=lambda node: node not in self.voters)[: max(1, self.count - 1)]
            self.goal = (around.me, *heirs)
            self.count = max(2, self.count)

    def _wanted(self) -> Iterator[str]:
        """The nodes of the target that can serve, and others for those that cannot: who has a healthy seat, who learns
        already, the next of the ring. Only then those that have a seat and cannot serve.
        """
        owned = self._owned
        target = owned.target
        serving = [node for node in target if node in self.voters or self._may_come(node)]
        serving = [node for node in serving if self._may_stay(node)]
        seated = [node for node in self.voters if node in self.able and self._may_stay(node)]
        others = [node for node in (*owned.config.learners, *owned.spares) if self._may_come(node)]
        unfit = [node for node in target if node in self.voters]
        return iter(list(dict.fromkeys((*serving, *seated, *others, *unfit)))[: len(target)])

    def _may_stay(self, node: str) -> bool:
        """A node that is away keeps its place as long as the ring has it: it may be back soon, with all it had."""
        return node not in self._owned.broken and node not in self._around.draining

    def _may_come(self, node: str) -> bool:
        around = self._around
        is_fit = node in around.well and node not in around.full and node not in self._owned.unreached
        return is_fit and self._may_stay(node)

    @property
    def missing(self) -> list[str]:
        """Who should have a seat and has none, best first."""
        return [node for node in self.goal if node not in self.voters]

    @property
    def vacancies(self) -> int:
        """How many seats can be filled without that a healthy one is given up: those that nobody has, or that are not
        wanted and unhealthy, or that their node is to be rid of.
        """
        staying = sum(node in self.wanted or not self.must_go(node) for node in self.voters)
        return max(0, self.count - staying)

    def must_go(self, node: str) -> bool:
        """Whether a seat, if it is not wanted, is one that is to be filled anew before anything else is done."""
        return node not in self.able or (node in self._around.draining and node != self._around.me)

    @property
    def surplus(self) -> list[str]:
        """The seats that are not wanted, those first that are to be given up first; never the owner's."""
        owned, around = self._owned, self._around
        return sorted(
            (node for node in self.voters if node not in self.wanted and node != around.me),
            key=lambda node: (
                node not in around.gone and node not in owned.broken,
                node in self.able,
                node not in around.draining,
                node,
            ),
        )

    def can_become(self, voters: Iterable[str]) -> bool:
        """Whether the joint configuration, of the voters now and those to be, could commit (4.3)."""
        return has_quorum(Config(tuple(voters), self.voters), self.able)

    def is_relief(self, leaving: Iterable[str]) -> bool:
        """Whether to be without these seats changes anything: an unhealthy one that leaves the majority as large as it
        was only costs the node that may come back with it.
        """
        gone = set(leaving)
        fewer = majority(len(self.voters) - len(gone)) < majority(len(self.voters))
        return fewer or not gone.isdisjoint(self.able)
