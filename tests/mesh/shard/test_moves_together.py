"""Moves one after the other: they end where they should, cost no majority, and move no more than their share."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubless.placement import Preferences, Ring, RingMember
from hubless.shard.moves import Change, Step, Transfer, next_step
from hubless.shard.quorum import members
from hubless.shard.seats import Owned, Surroundings
from hubless.wire.replication import Config

NODES = "abcdef"


@dataclass
class Shard:
    """A dumb model of one shard: what is asked for happens at once, if a majority could agree to it."""

    voters: set[str]
    ring: tuple[str, ...]
    seats: int
    opinion: Surroundings
    learners: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    caught_up: set[str] = field(default_factory=set)

    @property
    def live(self) -> set[str]:
        return {node for node in self.caught_up & self.opinion.well if node not in self.broken}

    def step(self, *, is_hurried: bool = False) -> Step | None:
        config = Config(tuple(sorted(self.voters)), (), tuple(sorted(self.learners)))
        shard = Owned(
            shard=1,
            config=config,
            target=self.ring[: self.seats],
            spares=self.ring[self.seats :],
            caught_up=frozenset(self.caught_up),
            broken=frozenset(self.broken),
        )
        return next_step(shard, self.opinion, is_hurried=is_hurried)

    def catch_up(self) -> bool:
        """Everybody who is well reads the log. Whether that was news."""
        before = set(self.caught_up)
        self.caught_up |= (self.voters | self.learners) & self.opinion.well - self.broken
        return self.caught_up != before

    def take(self, step: Step) -> None:
        if isinstance(step, Transfer):
            assert step.to in self.voters & self.live
            assert self.opinion.may_own(step.to)
            self.opinion = replace(self.opinion, me=step.to)
            return
        assert not set(step.voters) & set(step.learners)
        self.voters, self.learners = set(step.voters), set(step.learners)
        kept = self.voters | self.learners
        self.caught_up &= kept
        self.broken -= self.opinion.well - kept  # it is told to forget what it has, and may start anew

    def run(self) -> None:
        for _ in range(60):
            step = self.step()
            if step is not None:
                self.take(step)
            elif not self.catch_up():
                return
        raise AssertionError("it never ends")


def spared(seats: Iterable[str], live: set[str]) -> int:
    """How many more may fall silent, whoever they are, before there is no majority; -1 if there is none."""
    seats = set(seats)
    most = -1
    for count in range(len(seats) + 1):
        if any(
            2 * len((seats & live) - set(lost)) <= len(seats) for lost in combinations(sorted(seats), count)
        ):
            return most
        most = count
    return most


def could_come(shard: Shard) -> set[str]:
    opinion = shard.opinion
    return (set(shard.ring) & opinion.well) - opinion.draining - opinion.full - shard.broken - shard.voters


subsets = st.sets(st.sampled_from(NODES), max_size=6).map(frozenset)


@st.composite
def troubled(draw: st.DrawFn) -> Shard:
    """Any shard that `a` owns, in any trouble."""
    well = draw(subsets) | {"a"}
    shard = Shard(
        voters={"a", *draw(st.sets(st.sampled_from(NODES[1:]), max_size=4))},
        ring=tuple(draw(st.lists(st.sampled_from(NODES), unique=True, min_size=1))),
        seats=0,
        opinion=Surroundings(
            me="a",
            well=well,
            gone=draw(subsets) - well,
            draining=draw(subsets) & well,
            full=draw(subsets),
        ),
        broken=set(draw(subsets) - {"a"}),
    )
    shard.seats = min(draw(st.sampled_from([1, 2, 3, 3, 3, 5])), len(shard.ring))
    shard.learners = set(draw(subsets)) - shard.voters
    shard.caught_up = {"a", *(draw(subsets) & (shard.voters | shard.learners))}
    return shard


def judge(shard: Shard, step: Step | None, *, is_hurried: bool = False) -> None:
    """What must hold of any one step."""
    if not isinstance(step, Change):
        return
    opinion, live = shard.opinion, shard.live
    new, learners = set(step.voters), set(step.learners)
    coming, leaving = new - shard.voters, shard.voters - new
    target = shard.ring[: shard.seats]
    assert opinion.me in new
    called = learners - shard.learners
    assert called <= could_come(shard)
    if not coming and not leaving:
        return
    assert not called
    assert coming <= shard.learners & live
    assert spared(shard.voters, live) >= 0
    assert spared(new, live) >= 0
    if spared(new, live) < spared(shard.voters, live):
        assert shard.seats < len(shard.voters) or leaving & opinion.draining
    if len(new) < min(shard.seats, len(shard.voters)):
        assert leaving <= shard.broken | opinion.draining
        assert not could_come(shard)
    for node in leaving & live - opinion.draining:
        assert node not in target
        assert shard.voters <= live
    if coming and len(shard.voters) < len(new) < shard.seats and not is_hurried:
        assert not could_come(shard) - coming


@settings(max_examples=300, deadline=None)
@given(shard=troubled(), is_hurried=st.booleans())
def test_no_step_costs_a_majority_or_a_healthy_seat(shard, is_hurried):
    judge(shard, shard.step(is_hurried=is_hurried), is_hurried=is_hurried)


@settings(max_examples=150, deadline=None)
@given(shard=troubled())
def test_steps_come_to_an_end_with_as_many_live_seats_as_there_can_be(shard):
    kept = set(shard.ring[: shard.seats]) & shard.voters - shard.opinion.well - shard.broken
    steps = 0
    while (step := shard.step()) is not None or shard.catch_up():
        judge(shard, step)
        if step is not None:
            shard.take(step)
        steps += 1
        assert steps < 60
    assume(spared(shard.voters, shard.live) >= 0)
    seated = shard.voters & shard.live
    assert len(seated) >= min(shard.seats - len(kept), len(seated | could_come(shard)))


@settings(max_examples=150, deadline=None)
@given(shard=troubled(), order=st.permutations(NODES))
def test_when_trouble_is_over_steps_end_at_the_ring(shard, order):
    """Whatever was decided in between, in whatever opinion."""
    shard.run()
    shard.opinion = Surroundings(me=shard.opinion.me, well=frozenset(NODES))
    shard.ring, shard.seats = tuple(order), min(3, shard.seats)
    shard.broken &= shard.voters
    shard.catch_up()
    assume(spared(shard.voters, shard.live) >= 0)
    shard.run()
    assert shard.voters == set(order[: shard.seats])
    assert not shard.learners
    assert shard.opinion.me == order[0]


# -- how much moves ---------------------------------------------------------------------------------------


def steps_to(config: Config, target: tuple[str, ...], opinion: Surroundings) -> list[Step]:
    """All membership changes until the target is reached."""
    steps: list[Step] = []
    for _ in range(12):
        step = next_step(
            Owned(shard=0, config=config, target=target, caught_up=frozenset(members(config))), opinion
        )
        if not isinstance(step, Change):
            return steps
        steps.append(step)
        config = Config(step.voters, (), step.learners)
    raise AssertionError("it never ends")


@settings(max_examples=40, deadline=None)
@given(size=st.integers(2, 12), seed=st.integers(0, 10_000))
def test_on_a_join_only_shards_whose_list_has_the_newcomer_move_and_one_place_each(size, seed):
    names = [f"{seed}-{number}" for number in range(size + 1)]
    ring = Ring.built([RingMember(name) for name in names[:-1]])
    before = Preferences(ring, shards=64)
    after = Preferences(ring.with_member(RingMember(names[-1])), shards=64)
    for shard in range(64):
        was, will = before.of_shard(shard), after.of_shard(shard)
        opinion = Surroundings(me=was[0], well=frozenset(names))
        steps = steps_to(Config(tuple(sorted(was))), will, opinion)
        touched = {node for step in steps for node in (*step.voters, *step.learners)} - set(was)
        assert touched == ({names[-1]} if names[-1] in will else set())
        assert bool(steps) == (set(was) != set(will))
        if steps:
            last = steps[-1]
            assert len(set(was) - set(last.voters)) <= 1


@pytest.mark.parametrize("size", [5, 10, 50])
def test_on_a_join_no_more_than_the_fair_share_and_a_fifth_moves(size):
    """Of 40 newcomers not one takes more, whatever luck it has with its hashes."""
    rng = random.Random(size)
    members = [RingMember(f"node-{rng.getrandbits(32)}", since_ms=1) for _ in range(size)]
    before = Preferences(Ring.built(members), shards=256)
    for _ in range(40):
        newcomer = RingMember(f"newcomer-{rng.getrandbits(32)}", since_ms=2)
        after = before.changed([*members, newcomer])
        moved = sum(len(set(after.of_shard(shard)) - set(before.of_shard(shard))) for shard in range(256))
        assert moved <= 1.2 * 256 * 3 / (size + 1)
