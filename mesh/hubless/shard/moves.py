"""Where replicas and ownership should go next, one step at a time: pure policy, no protocol.

Of each shard the owner alone decides, towards the ring's target in its own view: two owners with different views follow
one another by term, and do not fight. There are as many seats (voters) as the target has nodes, that is the replicas
that a shard should have, or all members if they are fewer. The rules in order; the first that applies is the step:

1. One change at a time: nothing while a configuration is not committed, or joint.
2. An owner that is draining, or has no room, or whose links to a quorum come and go, hands over.
3. Seats change in one joint step (dissertation, 4.3): learners that have caught up come in, and the seats that they
   replace go out. Which:
   a. Fewer seats than there should be are filled all at once, one to three without two between; who is ready waits for
      the others for no longer than the patience.
   b. Those that are broken, dead or draining, and not wanted, are replaced first.
   c. A healthy seat moves, for balance, only if every seat is healthy.
   d. Seats beyond the number that there should be are given up; but the dead among them not for nothing: if the
      majority would stay as large, their node may as well come back with what it has.
   e. The owner keeps its seat: it hands over first, and its successor replaces it.
4. Who is wanted and has no seat becomes a learner, as many as 3 has use for; learners that are not wanted go.
5. With nobody in sight who could have it, a seat is given up without a replacement in two cases: a broken one of a node
   that is well, which may then start anew as a learner; and one of a node that drains and is off the ring, if those who
   stay can do without it now, and could not once it has left.
6. The first node of the target that can own the shard is given it; not one that has just lost it, or that answers now
   and then only.

No change is begun that would leave less than a majority of healthy seats, before it or after it. *Wanted* is the target
without those who cannot serve, each of them replaced: by one who has a healthy seat, by a learner, by the ring's next
(see `seats`). So is who has no seat yet and does not answer this owner, however well it is in the eyes of others. A
dead node keeps its seat until the ring gives it up (`replace_after`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hubless.shard.quorum import majority
from hubless.shard.seats import Owned, Seats, Surroundings


class Urgency(enum.IntEnum):
    """What is wrong with a shard that is to change: the least goes first."""

    REPAIR = 0
    """It has too few seats, or one that is of no use."""
    EVACUATION = 1
    """A node is to be rid of its seat."""
    BALANCE = 2
    """The ring would have it otherwise."""


@dataclass(frozen=True, slots=True)
class Change:
    """Make the configuration of a shard this one."""

    shard: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    urgency: Urgency = Urgency.BALANCE


@dataclass(frozen=True, slots=True)
class Transfer:
    """Give the ownership of a shard away. `is_urgent` when this node should not own anything."""

    shard: int
    to: str
    is_urgent: bool = False


Step = Change | Transfer


def next_step(owned: Owned, around: Surroundings, *, is_hurried: bool = False) -> Step | None:
    """What is to be done next about one shard, None if nothing is, or nothing can be just now.

    `is_hurried` once its configuration has been the same for longer than the patience.
    """
    if owned.is_changing or owned.config.outgoing or not owned.target:
        return None
    transfer = _handover(owned, around)
    if transfer is not None and transfer.is_urgent:
        return transfer
    seats = Seats(owned, around)
    return (
        _seated(owned, seats, is_hurried=is_hurried)
        or _taught(owned, seats)
        or _vacated(owned, around, seats)
        or transfer
    )


def _seated(owned: Owned, seats: Seats, *, is_hurried: bool) -> Change | None:
    """Rule 3: who comes in, and who goes out for it."""
    missing = seats.missing if seats.is_sound else seats.missing[: seats.vacancies]
    ready = [node for node in missing if node in owned.config.learners and node in seats.able]
    room = seats.count - len(seats.voters)
    if len(ready) < min(room, len(missing)) and not is_hurried:
        ready = []
    surplus = seats.surplus if seats.is_sound else [node for node in seats.surplus if seats.must_go(node)]
    leaving = surplus[: max(0, len(ready) - room)]
    coming = ready[: max(0, room + len(leaving))]
    if not coming and (not leaving or not seats.is_relief(leaving)):
        return None
    return _change(owned, seats, {*seats.voters, *coming}.difference(leaving), _urgency(seats))


def _taught(owned: Owned, seats: Seats) -> Change | None:
    """Rule 4: who learns."""
    known = owned.config.learners
    missing = [node for node in seats.wanted if node not in seats.voters]
    coming = missing if seats.is_sound else missing[: seats.vacancies]
    learners = {*coming, *(node for node in known if node in missing)}
    if learners == set(known):
        return None
    return Change(owned.shard, seats.voters, tuple(sorted(learners)), _urgency(seats))


def _vacated(owned: Owned, around: Surroundings, seats: Seats) -> Change | None:
    """Rule 5. Who is draining itself sends nobody else away."""
    if seats.missing[: seats.vacancies]:
        return None
    voters = set(seats.voters)
    broken = voters & owned.broken & around.well
    if broken:
        return _change(owned, seats, voters - broken, Urgency.REPAIR)
    staying = voters - around.draining.difference(owned.target)
    if around.me in around.draining or majority(len(staying)) == majority(len(voters)):
        return None
    return _change(owned, seats, staying, Urgency.EVACUATION)


def _change(owned: Owned, seats: Seats, voters: set[str], urgency: Urgency) -> Change | None:
    if not seats.can_become(voters):
        return None
    learners = tuple(node for node in owned.config.learners if node in seats.wanted and node not in voters)
    return Change(owned.shard, tuple(sorted(voters)), learners, urgency)


def _urgency(seats: Seats) -> Urgency:
    unwanted = [node for node in seats.voters if node not in seats.wanted and seats.must_go(node)]
    if len(seats.voters) < seats.count or not seats.able.issuperset(unwanted):
        return Urgency.REPAIR
    return Urgency.EVACUATION if unwanted else Urgency.BALANCE


def _handover(owned: Owned, around: Surroundings) -> Transfer | None:
    """Rules 2 and 6: to the first node of the target that votes, is well and has caught up, unless this node comes
    before it; to any other who votes only by rule 2, or if the target does not have this node.
    """
    config, me = owned.config, around.me
    others = (node for node in config.voters if node not in owned.target)
    is_unfit = me in around.draining or me in around.full or owned.is_strained
    order = (*owned.target, *others)
    if is_unfit:
        order = tuple(sorted(order, key=lambda node: node in owned.unfit))
    for node in order:
        if node == me and not is_unfit:
            return None
        if (
            node != me
            and node in config.voters
            and node in owned.caught_up
            and node not in owned.broken
            and (is_unfit or node not in owned.unfit)
            and around.may_own(node)
        ):
            return Transfer(owned.shard, node, is_urgent=is_unfit)
    return None
