"""Where replicas and ownership should go next, one step at a time: pure policy, no protocol.

Rules, for each shard that this node owns:

* Only the owner changes a shard, only towards the ring's target in its own view, and only when that has been the same
  for a while: two owners with different views follow one another by term, and do not fight.
* One change at a time. First a learner is added; when it has caught up, the joint configuration (dissertation, 4.3)
  makes it a voter in the place of one that the target does not have; a configuration that could not commit is never
  begun, and none that could not commit is entered.
* A dead voter keeps its place until the target no longer has it (the ring waits `replace_after`).
* A replica that cannot be trusted is removed, and comes back as a learner, which starts empty.
* The owner does not remove itself: it hands over, and its successor removes it. So the last node stays.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hubless.shard.quorum import has_quorum, members
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

    `caught_up` are the replicas that could take over at once, `broken` those that cannot be trusted. `is_changing`
    while a configuration is not committed yet.
    """

    shard: int
    config: Config
    target: tuple[str, ...]
    caught_up: frozenset[str]
    broken: frozenset[str] = _NOBODY
    is_changing: bool = False
    owned_since_ns: int = 0
    target_since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Make the configuration of a shard this one. `is_repair` tells a cure from a rearrangement."""

    shard: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    is_repair: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Give the ownership of a shard away. `is_urgent` when this node should not own anything."""

    shard: int
    to: str
    is_urgent: bool = False


Step = Change | Transfer


def next_step(owned: Owned, around: Surroundings) -> Step | None:
    """What is to be done next about one shard, None if nothing is, or nothing can be just now."""
    if owned.is_changing or owned.config.outgoing or not owned.target:
        return None
    transfer = _transfer(owned, around)
    if transfer is not None and transfer.is_urgent:
        return transfer
    return (
        _without_the_broken(owned, around)
        or _without_needless_learners(owned)
        or _with_learners(owned, around)
        or _with_voters(owned, around)
        or transfer
    )


def _without_the_broken(owned: Owned, around: Surroundings) -> Change | None:
    """A broken replica does not answer anyway, so that to be without it takes nothing from the others' majority."""
    config = owned.config
    broken = owned.broken - {around.me}
    if not broken & {*config.voters, *config.learners}:
        return None
    voters = tuple(node for node in config.voters if node not in broken)
    learners = tuple(node for node in config.learners if node not in broken)
    if voters != config.voters and not _can_change(voters, owned, around):
        return None
    return Change(owned.shard, voters, learners, is_repair=True)


def _without_needless_learners(owned: Owned) -> Change | None:
    config = owned.config
    learners = tuple(node for node in config.learners if node in owned.target)
    return None if learners == config.learners else Change(owned.shard, config.voters, learners)


def _with_learners(owned: Owned, around: Surroundings) -> Change | None:
    config = owned.config
    missing = [
        node
        for node in owned.target
        if node not in config.voters
        and node not in config.learners
        and node in around.well
        and node not in around.draining
        and node not in owned.broken
    ]
    if not missing:
        return None
    is_repair = len(config.voters) > 1 and not set(config.voters).isdisjoint(around.gone)
    return Change(owned.shard, config.voters, tuple(sorted({*config.learners, *missing})), is_repair)


def _with_voters(owned: Owned, around: Surroundings) -> Change | None:
    """Learners that have caught up become voters, and voters beyond the target's size go: those first that are gone,
    the owner never.
    """
    config = owned.config
    ready = {node for node in config.learners if node in owned.caught_up and node in around.well}
    voters = {*config.voters, *ready}
    surplus = sorted(
        (node for node in config.voters if node not in owned.target and node != around.me),
        key=lambda node: (node not in around.gone, node in around.well, node),
    )
    leaving = surplus[: max(0, len(voters) - len(owned.target))]
    voters.difference_update(leaving)
    if voters == set(config.voters) or not _can_change(voters, owned, around):
        return None
    learners = tuple(node for node in config.learners if node not in ready)
    return Change(owned.shard, tuple(sorted(voters)), learners, not around.gone.isdisjoint(leaving))


def _transfer(owned: Owned, around: Surroundings) -> Transfer | None:
    """To the first node of the target that votes, is well and has caught up, unless this node comes before it."""
    config, me = owned.config, around.me
    others = (node for node in config.voters if node not in owned.target)
    is_unfit = me in around.draining or me in around.full
    for node in (*owned.target, *others):
        if node == me and not is_unfit:
            return None
        if (
            node != me
            and node in config.voters
            and node in owned.caught_up
            and node not in owned.broken
            and around.may_own(node)
        ):
            return Transfer(owned.shard, node, is_urgent=is_unfit)
    return None


def _can_change(voters: Iterable[str], owned: Owned, around: Surroundings) -> bool:
    """Whether the joint configuration, of the voters now and those to be, could commit (4.3): a majority of each half
    is well, can be trusted, and lacks little.
    """
    able = (around.well & owned.caught_up) - owned.broken | {around.me}
    return has_quorum(Config(tuple(voters), owned.config.voters), able)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSettings:
    """How fast replicas move. At most `most_moves` shards of an owner have a learner or a joint configuration, and as
    many begin in `pace_ns`; at most `most_transfers` are being handed over.

    `settle_ns`: how long a target must have been the same. `return_ns`: how long a shard stays with a new owner before
    it goes to a preferred one, and how long a step that came to nothing is not tried again.
    """

    most_moves: int = 8
    most_transfers: int = 4
    pace_ns: int = 1_000_000_000
    settle_ns: int = 1_000_000_000
    return_ns: int = 3_000_000_000
    patience_ns: int = 2_000_000_000

    def __post_init__(self) -> None:
        for name in ("most_moves", "most_transfers", "pace_ns", "settle_ns", "return_ns", "patience_ns"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")


@dataclass(slots=True)
class MoveCounters:
    """Steps taken, and steps that had to wait for others."""

    changes: int = 0
    transfers: int = 0
    waited: int = 0


@dataclass(slots=True)
class _Handover:
    """Ownership on its way out, or recently kept because nothing came of that."""

    gives_up_ns: int
    again_ns: int = field(default=0)


class Moves:
    """The steps of all shards of an owner within its budget: repairs first, then in the order of the shards."""

    def __init__(self, settings: MoveSettings) -> None:
        self._settings = settings
        self._begun_ns: deque[int] = deque(maxlen=settings.most_moves)
        self._handovers: dict[int, _Handover] = {}
        self.counters = MoveCounters()

    def disowned(self, shard: int) -> None:
        """The shard belongs to somebody else by now: a handover worked, or an election came first."""
        self._handovers.pop(shard, None)

    def plan(
        self, now_ns: int, shards: Iterable[Owned], around: Surroundings
    ) -> tuple[list[Step], list[int]]:
        """The steps to take now, and the shards about which nothing is left to do until something changes.

        `shards` are all owned shards but those that were found to be at rest.
        """
        moving = 0
        steps: list[Step] = []
        at_rest: list[int] = []
        wanted: list[tuple[Owned, Step]] = []
        for owned in shards:
            moving += _is_moving(owned)
            step = next_step(owned, around)
            if step is not None:
                wanted.append((owned, step))
            elif not _is_moving(owned) and not _is_waiting(owned, around):
                at_rest.append(owned.shard)
        wanted.sort(key=lambda pair: (_rank(pair[1]), pair[0].shard))
        handing_over = sum(now_ns < handover.gives_up_ns for handover in self._handovers.values())
        for owned, step in wanted:
            if not self._is_time(now_ns, owned, step):
                continue
            if isinstance(step, Transfer):
                if handing_over >= self._settings.most_transfers:
                    self.counters.waited += 1
                    continue
                handing_over += 1
            elif not _is_moving(owned):
                if moving >= self._settings.most_moves or not self._may_begin(now_ns):
                    self.counters.waited += 1
                    continue
                moving += 1
                self._begun_ns.append(now_ns)
            steps.append(step)
            self._note(now_ns, step)
        return steps, at_rest

    def _is_time(self, now_ns: int, owned: Owned, step: Step) -> bool:
        """Whether a step is due: what is wrong is put right sooner than what could be better."""
        settings = self._settings
        if isinstance(step, Change):
            return now_ns - owned.target_since_ns >= settings.settle_ns
        handover = self._handovers.get(step.shard)
        if handover is not None and now_ns < handover.again_ns:
            return False
        if step.is_urgent:
            return True
        return (
            now_ns - owned.target_since_ns >= settings.settle_ns
            and now_ns - owned.owned_since_ns >= settings.return_ns
        )

    def _may_begin(self, now_ns: int) -> bool:
        begun = self._begun_ns
        return len(begun) < self._settings.most_moves or now_ns - begun[0] >= self._settings.pace_ns

    def _note(self, now_ns: int, step: Step) -> None:
        if isinstance(step, Transfer):
            self.counters.transfers += 1
            gives_up_ns = now_ns + self._settings.patience_ns
            self._handovers[step.shard] = _Handover(gives_up_ns, gives_up_ns + self._settings.return_ns)
        else:
            self.counters.changes += 1


def _is_moving(owned: Owned) -> bool:
    """Whether a change has begun that will have another step."""
    return owned.is_changing or bool(owned.config.outgoing or owned.config.learners)


def _is_waiting(owned: Owned, around: Surroundings) -> bool:
    """Whether there would be something to do if all replicas had caught up: nobody tells when they have."""
    caught_up = frozenset(members(owned.config))
    return caught_up != owned.caught_up and (
        next_step(dataclasses.replace(owned, caught_up=caught_up), around) is not None
    )


def _rank(step: Step) -> int:
    match step:
        case Transfer(is_urgent=True):
            return 0
        case Change(is_repair=True):
            return 1
        case Change():
            return 2
        case Transfer():
            return 3
