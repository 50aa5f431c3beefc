"""The policy of moves, rule by rule; and that all its steps together end where they should, and cost nothing."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubless.placement import Preferences, Ring, RingMember
from hubless.shard.moves import Change, Step, Transfer, Urgency, next_step
from hubless.shard.quorum import members
from hubless.shard.seats import Owned, Surroundings
from hubless.wire.replication import Config


def around(me: str = "a", well: str = "abcdef", **others: str) -> Surroundings:
    return Surroundings(
        me=me, well=frozenset(well), **{name: frozenset(nodes) for name, nodes in others.items()}
    )


def owned(
    config: Config, target: str, *, spares: str = "", caught_up: str = "abcdef", broken: str = "", **more
) -> Owned:
    return Owned(
        shard=1,
        config=config,
        target=tuple(target),
        spares=tuple(spares),
        caught_up=frozenset(caught_up),
        broken=frozenset(broken),
        **more,
    )


def voters(names: str, learners: str = "") -> Config:
    return Config(tuple(names), (), tuple(learners))


def slugged(value: object) -> str:
    return value.replace(" ", "-") if isinstance(value, str) else ""


# -- which seats change -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "shard", "opinion", "step"),
    [
        ("nothing where all is well", owned(voters("abc"), "abc"), around(), None),
        ("a missing node is added as a learner", owned(voters("a"), "ab"), around(), (1, "a", "b")),
        ("all missing at once", owned(voters("a"), "abc"), around(), (1, "a", "bc")),
        ("a missing node that is not well must wait", owned(voters("a"), "ab"), around(well="a"), None),
        ("no learner that is draining", owned(voters("a"), "ab"), around(draining="b"), None),
        ("none without room on its disk", owned(voters("a"), "ab"), around(full="b"), None),
        ("a learner votes once it caught up", owned(voters("a", "b"), "ab"), around(), (1, "ab", "")),
        ("not before", owned(voters("a", "b"), "ab", caught_up="a"), around(), None),
        ("from one to three in one step", owned(voters("a", "bc"), "abc"), around(), (1, "abc", "")),
        (
            "who is ready waits for the other",
            owned(voters("a", "bc"), "abc", caught_up="ab"),
            around(),
            None,
        ),
        (
            "but not for one that is not well",
            owned(voters("a", "b"), "abc"),
            around(well="ab"),
            (1, "ab", ""),
        ),
        ("a spare is asked instead", owned(voters("a", "b"), "abc", spares="de"), around(well="abde"), "bd"),
        ("two become three by themselves", owned(voters("ab", "c"), "abc"), around(), (1, "abc", "")),
        (
            "a replacement is one step",
            owned(voters("abc", "d"), "abd"),
            around(),
            (1, "abd", ""),
        ),
        (
            "two replacements are one step",
            owned(voters("abc", "de"), "ade"),
            around(),
            (1, "ade", ""),
        ),
        (
            "one learner and two surplus: the dead one goes",
            owned(voters("abc", "d"), "ade"),
            around(well="abde", gone="c"),
            (1, "abd", ""),
        ),
        (
            "a dead voter of the target stays",
            owned(voters("abc"), "abc"),
            around(well="ab", gone="c"),
            None,
        ),
        (
            "a healthy one is not moved beside it",
            owned(voters("abc", "d"), "acd"),
            around(well="abd", gone="c"),
            None,
        ),
        (
            "nor is anybody called for that",
            owned(voters("abc"), "acd"),
            around(well="abd", gone="c"),
            None,
        ),
        (
            "nor beside one that lacks much",
            owned(voters("abc", "d"), "acd", caught_up="abd"),
            around(),
            None,
        ),
        (
            "one of two learners is called while a seat is dead",
            owned(voters("abc"), "ade"),
            around(well="abde", gone="c"),
            (1, "abc", "d"),
        ),
        ("needless learners go", owned(voters("abc", "d"), "abc"), around(), (1, "abc", "")),
        ("the owner never removes itself", owned(voters("a"), "b"), around(well="a"), None),
        (
            "it keeps a seat until it has handed over",
            owned(voters("ab", "cd"), "bcd"),
            around(),
            (1, "abc", "d"),
        ),
        ("it makes itself an heir", owned(voters("a", "b"), "b"), around(), (1, "ab", "")),
        ("an empty ring asks for nothing", owned(voters("a"), ""), around(draining="a"), None),
        ("surplus goes when the mesh shrinks", owned(voters("abc"), "ab"), around(), (1, "ab", "")),
        (
            "but the dead not for nothing",
            owned(voters("abc"), "ab"),
            around(well="ab", gone="c"),
            None,
        ),
        (
            "for a smaller majority they do",
            owned(voters("abcde"), "abc"),
            around(well="abc", gone="de"),
            (1, "abc", ""),
        ),
        (
            "not if what is left could not commit",
            owned(voters("abc"), "ab"),
            around(well="ac", gone="b"),
            None,
        ),
        (
            "nor if what is there cannot",
            owned(voters("abc"), "a"),
            around(well="a", gone="bc"),
            None,
        ),
        ("a change under way is waited for", owned(voters("a"), "ab", is_changing=True), around(), None),
        (
            "so is a joint configuration",
            owned(Config(("a", "b"), ("a",)), "abc"),
            around(),
            None,
        ),
        (
            "a broken seat waits for its replacement",
            owned(voters("abc"), "abd", broken="c"),
            around(),
            (1, "abc", "d"),
        ),
        (
            "a spare if the target has none",
            owned(voters("abc"), "abc", spares="de", broken="c"),
            around(well="abce"),
            (1, "abc", "e"),
        ),
        (
            "and is replaced in one step",
            owned(voters("abc", "e"), "abc", spares="de", broken="c"),
            around(well="abce"),
            (1, "abe", ""),
        ),
        (
            "it is given up if there is nobody",
            owned(voters("abc"), "abc", broken="c"),
            around(well="abc"),
            (1, "ab", ""),
        ),
        (
            "not if its node is in no state to come back",
            owned(voters("abc"), "abc", broken="c"),
            around(well="ab"),
            None,
        ),
        ("a broken learner goes", owned(voters("ab", "c"), "abc", broken="c"), around(), (1, "ab", "")),
        (
            "a broken voter that is needed stays",
            owned(voters("ab"), "ab", broken="b"),
            around(),
            None,
        ),
        (
            "the last two cannot both be broken away",
            owned(voters("abc"), "abc", broken="c"),
            around(well="ac", gone="b"),
            None,
        ),
        ("what is broken is not added again", owned(voters("ab"), "abc", broken="c"), around(), None),
        (
            "a draining node is replaced though another is dead",
            owned(voters("abc", "d"), "abd"),
            around(well="acd", gone="b", draining="c"),
            (1, "abd", ""),
        ),
        (
            "it stays until then, as it does no harm",
            owned(voters("abc"), "abd"),
            around(well="abc", draining="c"),
            None,
        ),
        (
            "but not as one of two",
            owned(voters("ac"), "ad"),
            around(well="ac", draining="c"),
            (1, "a", ""),
        ),
        (
            "nor as one of four",
            owned(voters("abce"), "abde"),
            around(well="abce", draining="c"),
            (1, "abe", ""),
        ),
        (
            "unless the ring still has it",
            owned(voters("ac"), "ac"),
            around(well="ac", draining="c"),
            None,
        ),
        (
            "two that both leave keep each other",
            owned(voters("ab"), "cd"),
            around(well="ab", draining="ab"),
            None,
        ),
        (
            "a learner that does not answer makes room for a spare",
            owned(voters("abc", "d"), "abd", spares="e", caught_up="ab", unreached=frozenset("d")),
            around(well="abde"),
            "e",
        ),
        (
            "nor is it asked in the first place",
            owned(voters("abc"), "abd", spares="e", caught_up="ab", unreached=frozenset("d")),
            around(well="abde"),
            "e",
        ),
        (
            "who has a seat and does not answer keeps it, as the ring wants it",
            owned(voters("abc"), "abc", spares="e", caught_up="ab", unreached=frozenset("c")),
            around(),
            None,
        ),
        (
            "who has a seat keeps it while the ring's choice is away",
            owned(voters("abc"), "abd", spares="ec"),
            around(well="abce"),
            None,
        ),
    ],
    ids=slugged,
)
def test_change(what, shard, opinion, step):
    found = next_step(shard, opinion)
    if isinstance(step, str):  # learners alone
        step = (1, "".join(shard.config.voters), step)
    expected = None if step is None else (step[0], tuple(step[1]), tuple(step[2]))
    assert (found and (found.shard, found.voters, found.learners)) == expected, what


def test_patience_with_the_slower_of_two_learners_ends():
    shard = owned(voters("a", "bc"), "abc", caught_up="ab")
    step = next_step(shard, around(), is_hurried=True)
    assert step == Change(1, ("a", "b"), ("c",), Urgency.REPAIR)


@pytest.mark.parametrize(
    ("shard", "opinion", "urgency"),
    [
        (owned(voters("ab"), "abc"), around(), Urgency.REPAIR),
        (owned(voters("abc"), "abd"), around(well="abd", gone="c"), Urgency.REPAIR),
        (owned(voters("abc"), "abc", spares="d", broken="c"), around(), Urgency.REPAIR),
        (owned(voters("abc"), "abc", broken="c"), around(), Urgency.REPAIR),
        (owned(voters("abc"), "abd"), around(draining="c"), Urgency.EVACUATION),
        (owned(voters("ac"), "ad"), around(well="ac", draining="c"), Urgency.EVACUATION),
        (owned(voters("abc"), "abd"), around(), Urgency.BALANCE),
    ],
)
def test_how_urgent_a_change_is(shard, opinion, urgency):
    step = next_step(shard, opinion)
    assert isinstance(step, Change)
    assert step.urgency is urgency


# -- who owns it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "shard", "opinion", "step"),
    [
        ("to the preferred", owned(voters("abc"), "bac"), around(), Transfer(1, "b")),
        ("not before it caught up", owned(voters("abc"), "bac", caught_up="ac"), around(), None),
        ("not while it is not well", owned(voters("abc"), "bac"), around(well="ac"), None),
        ("not when its disk is full", owned(voters("abc"), "bac"), around(full="b"), None),
        ("not to a broken replica", owned(voters("abc"), "bac", broken="b"), around(well="ab"), None),
        (
            "to the next if that comes before this node",
            owned(voters("abc"), "bca"),
            around(well="ac"),
            Transfer(1, "c"),
        ),
        ("a draining owner gives up at once", owned(voters("abc"), "bc"), around(draining="a"), "urgent"),
        ("an owner with a full disk too", owned(voters("abc"), "abc"), around(full="a"), "urgent"),
        (
            "also to one that is not wished for",
            owned(voters("ab"), "cd", caught_up="ab"),
            around(well="ab", draining="a"),
            "urgent",
        ),
        ("full disks everywhere move nothing", owned(voters("abc"), "abc"), around(full="abc"), None),
        ("one that the ring does not want", owned(voters("abcd"), "bcd"), around(), Transfer(1, "b")),
    ],
    ids=slugged,
)
def test_transfer(what, shard, opinion, step):
    if step == "urgent":
        found = next_step(shard, opinion)
        assert isinstance(found, Transfer), what
        assert found.is_urgent
        assert found.to == "b"
    else:
        assert next_step(shard, opinion) == step, what


# -- all steps, one after the other -----------------------------------------------------------------------

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
def test_on_a_join_about_the_fair_share_moves(size):
    """At most 1.2 x 1/N of the places, on the mean of 40 newcomers; a single one is as lucky as its hashes."""
    rng = random.Random(size)
    ring = Ring.built([RingMember(f"node-{rng.getrandbits(32)}") for _ in range(size)])
    before = Preferences(ring, shards=256)
    shares = []
    for _ in range(40):
        joined = ring.with_member(RingMember(f"newcomer-{rng.getrandbits(32)}"))
        after = Preferences(joined, shards=256)
        moved = sum(len(set(after.of_shard(shard)) - set(before.of_shard(shard))) for shard in range(256))
        shares.append(moved / (256 * 3) * (size + 1))
    assert sum(shares) / len(shares) <= 1.2
