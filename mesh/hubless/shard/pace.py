"""How fast replicas move: the steps of all shards of an owner, within its budget."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hubless.shard.moves import Change, Step, Transfer, Urgency, next_step
from hubless.shard.quorum import members
from hubless.shard.seats import Owned, Surroundings
from hubless_gossip.marks import sometimes


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSettings:
    """How fast replicas move. At most `most_moves` shards of an owner have a learner or a joint configuration, and as
    many begin in `pace_ns`; at most `most_transfers` are being handed over.

    `settle_ns`: how long a target must have been the same. `return_ns`: how long a shard stays with a new owner before
    it goes to a preferred one, and how long a step that came to nothing is not tried again. `patience_ns`: how long an
    heir is waited for, and a node that does not answer; and learners that could have a free seat wait for those that
    have not caught up.
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
    """The steps of all shards of an owner within its budget: the most urgent first, then in the order of the shards."""

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
        at_rest: list[int] = []
        wanted: list[tuple[Owned, Step]] = []
        for owned in shards:
            is_hurried = now_ns - owned.config_since_ns >= self._settings.patience_ns
            step = next_step(owned, around, is_hurried=is_hurried)
            moving += _is_moving(owned) and (step is not None or not _is_parked(owned))
            if step is not None:
                wanted.append((owned, step))
            elif not _is_moving(owned) and not _is_waiting(owned, around):
                at_rest.append(owned.shard)
        wanted.sort(key=lambda pair: (_rank(pair[1]), pair[0].shard))
        return self._afforded(now_ns, wanted, moving), at_rest

    def _afforded(self, now_ns: int, wanted: Iterable[tuple[Owned, Step]], moving: int) -> list[Step]:
        settings = self._settings
        handing_over = sum(now_ns < handover.gives_up_ns for handover in self._handovers.values())
        steps: list[Step] = []
        for owned, step in wanted:
            if not self._is_time(now_ns, owned, step):
                continue
            if isinstance(step, Transfer):
                if handing_over >= settings.most_transfers:
                    sometimes("a transfer of ownership waited for others")
                    self.counters.waited += 1
                    continue
                handing_over += 1
            elif not _is_moving(owned):
                if moving >= settings.most_moves or not self._may_begin(now_ns):
                    sometimes("a move of replicas waited for others")
                    self.counters.waited += 1
                    continue
                moving += 1
                self._begun_ns.append(now_ns)
            steps.append(step)
            self._note(now_ns, owned, step)
        return steps

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

    def _note(self, now_ns: int, owned: Owned, step: Step) -> None:
        if isinstance(step, Transfer):
            if step.is_urgent:
                sometimes("who should own nothing handed a shard over")
            self.counters.transfers += 1
            gives_up_ns = now_ns + self._settings.patience_ns
            self._handovers[step.shard] = _Handover(gives_up_ns, gives_up_ns + self._settings.return_ns)
        else:
            if step.urgency is Urgency.REPAIR and not set(owned.config.voters) <= set(step.voters):
                sometimes("replaced a replica that is gone or broken")
            self.counters.changes += 1


def _is_moving(owned: Owned) -> bool:
    """Whether a change has begun that will have another step."""
    return owned.is_changing or bool(owned.config.outgoing or owned.config.learners)


def _is_parked(owned: Owned) -> bool:
    """Whether a change that has begun waits for something else than itself: it costs nobody anything meanwhile."""
    return not owned.is_changing and owned.caught_up.issuperset(owned.config.learners)


def _is_waiting(owned: Owned, around: Surroundings) -> bool:
    """Whether there would be something to do if all replicas had caught up, might own it, and answered: nobody tells
    when they do.
    """
    caught_up = frozenset(members(owned.config))
    if caught_up == owned.caught_up and not owned.unfit and not owned.unreached:
        return False
    hopeful = dataclasses.replace(owned, caught_up=caught_up, unfit=frozenset(), unreached=frozenset())
    return next_step(hopeful, around, is_hurried=True) is not None


def _rank(step: Step) -> tuple[int, int]:
    if isinstance(step, Change):
        return (1, step.urgency)
    return (0 if step.is_urgent else 2, 0)
