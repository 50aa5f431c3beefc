"""The policy of moves: one step at a time towards the ring's target, never into what could not commit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.placement import Preferences, Ring, RingMember
from hubless.shard.moves import Change, Moves, MoveSettings, Owned, Step, Surroundings, Transfer, next_step
from hubless.shard.quorum import has_quorum, members
from hubless.wire.replication import Config

SECOND = 1_000_000_000


def around(me: str = "a", well: str = "abcdef", **others: str) -> Surroundings:
    return Surroundings(
        me=me, well=frozenset(well), **{name: frozenset(nodes) for name, nodes in others.items()}
    )


def owned(config: Config, target: str, *, caught_up: str = "abcdef", broken: str = "", **more) -> Owned:
    return Owned(
        shard=1,
        config=config,
        target=tuple(target),
        caught_up=frozenset(caught_up),
        broken=frozenset(broken),
        **more,
    )


def voters(names: str, learners: str = "") -> Config:
    return Config(tuple(names), (), tuple(learners))


# -- what comes next --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "shard", "opinion", "step"),
    [
        ("nothing where all is well", owned(voters("abc"), "abc"), around(), None),
        ("a missing node is added as a learner", owned(voters("a"), "ab"), around(), (1, "a", "b")),
        ("all missing at once", owned(voters("a"), "abc"), around(), (1, "a", "bc")),
        ("a missing node that is not well must wait", owned(voters("a"), "ab"), around(well="a"), None),
        ("no learner that is draining", owned(voters("a"), "ab"), around(draining="b"), None),
        ("a learner votes once it caught up", owned(voters("a", "b"), "ab"), around(), (1, "ab", "")),
        (
            "a learner that has not must wait",
            owned(voters("a", "b"), "ab", caught_up="a"),
            around(),
            None,
        ),
        ("it takes the place of another", owned(voters("abc", "d"), "abd"), around(), (1, "abd", "")),
        (
            "the gone leave before the living",
            owned(voters("abcd"), "aef"[:1] + "d"),
            around(well="abd", gone="c"),
            (1, "ad", ""),
        ),
        (
            "one learner, two surplus: the dead one goes",
            owned(voters("abc", "d"), "ade"),
            around(well="abde", gone="c"),
            (1, "abc", "de"),
        ),
        (
            "a dead voter of the target stays",
            owned(voters("abc"), "abc"),
            around(well="ab", gone="c"),
            None,
        ),
        ("needless learners go", owned(voters("abc", "d"), "abc"), around(), (1, "abc", "")),
        ("the owner never removes itself", owned(voters("a"), "b"), around(well="a"), None),
        ("an empty ring asks for nothing", owned(voters("a"), ""), around(draining="a"), None),
        ("surplus goes when the mesh shrinks", owned(voters("abc"), "ab"), around(), (1, "ab", "")),
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
            "a broken voter goes before others come",
            owned(voters("abc"), "abd", broken="c"),
            around(),
            (1, "ab", ""),
        ),
        ("a broken learner goes", owned(voters("ab", "c"), "abc", broken="c"), around(), (1, "ab", "")),
        (
            "a broken voter that is needed stays",
            owned(voters("ab"), "ab", broken="b", caught_up="a"),
            around(well="a"),
            None,
        ),
        (
            "the last two cannot both be broken away",
            owned(voters("abc"), "abc", broken="c"),
            around(well="ac", gone="b"),
            None,
        ),
        ("what is broken is not added again", owned(voters("ab"), "abc", broken="c"), around(), None),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_change(what, shard, opinion, step):
    expected = None if step is None else Change(step[0], tuple(step[1]), tuple(step[2]))
    found = next_step(shard, opinion)
    if isinstance(found, Change):
        found = Change(found.shard, found.voters, found.learners)
    assert found == expected, what


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
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_transfer(what, shard, opinion, step):
    if step == "urgent":
        found = next_step(shard, opinion)
        assert isinstance(found, Transfer), what
        assert found.is_urgent
        assert found.to == "b"
    else:
        assert next_step(shard, opinion) == step, what


NODES = "abcdef"
subsets = st.sets(st.sampled_from(NODES), max_size=6).map(frozenset)


@settings(max_examples=400, deadline=None)
@given(
    current=st.sets(st.sampled_from(NODES[1:]), max_size=4),
    learners=subsets,
    target=st.lists(st.sampled_from(NODES), unique=True, max_size=3),
    caught_up=subsets,
    broken=subsets,
    well=subsets,
    draining=subsets,
    full=subsets,
)
def test_no_step_reduces_what_can_commit(current, learners, target, caught_up, broken, well, draining, full):
    electorate = tuple(sorted({"a", *current}))
    config = Config(electorate, (), tuple(sorted(learners - set(electorate))))
    opinion = Surroundings(
        me="a",
        well=well | {"a"},
        gone=frozenset(NODES) - well - {"a"},
        draining=draining,
        full=full,
    )
    shard = Owned(
        shard=1, config=config, target=tuple(target), caught_up=caught_up | {"a"}, broken=broken - {"a"}
    )
    step = next_step(shard, opinion)
    live = (opinion.well & shard.caught_up) - shard.broken
    match step:
        case Change(voters=voters, learners=learners):
            assert "a" in voters
            assert not set(voters) & set(learners)
            if voters != config.voters:
                after = Config(voters)
                assert has_quorum(after, live)
                entering = set(voters) - set(config.voters)
                assert entering <= set(config.learners) & live & set(target)
                leaving = set(config.voters) - set(voters)
                assert not (leaving - shard.broken) & set(target)
                assert has_quorum(config, live)
                if not leaving & shard.broken:
                    assert len(voters) >= min(len(target), len(config.voters))
            else:
                coming = set(learners) - set(config.learners)
                assert coming <= (set(target) & opinion.well) - draining - shard.broken
        case Transfer(to=to):
            assert to in set(config.voters) & live
            assert to not in draining | full


@settings(max_examples=100, deadline=None)
@given(
    start=st.sets(st.sampled_from(NODES), min_size=1, max_size=4),
    target=st.lists(st.sampled_from(NODES), unique=True, min_size=1, max_size=3),
)
def test_steps_end_at_the_target(start, target):
    """With everybody well, whoever owns the shard in between."""
    config, owner = Config(tuple(sorted(start))), min(start)
    for _ in range(12):
        step = next_step(owned(config, "".join(target)), around(me=owner))
        match step:
            case None:
                break
            case Change(voters=voters, learners=learners):
                assert len(set(members(config)) ^ {*voters, *learners}) > 0 or voters != config.voters
                config = Config(voters, (), learners)
            case Transfer(to=to):
                owner = to
    assert config == Config(tuple(sorted(target)))
    assert owner == target[0]


# -- how many at a time -----------------------------------------------------------------------------------

FAST = MoveSettings(most_moves=2, most_transfers=1, pace_ns=SECOND, settle_ns=SECOND, return_ns=5 * SECOND)


def shards(count: int, config: Config, target: str, **more) -> list[Owned]:
    return [
        Owned(
            shard=shard,
            config=config,
            target=tuple(target),
            caught_up=frozenset("abcdef"),
            **more,
        )
        for shard in range(count)
    ]


def test_a_target_counts_only_once_it_has_settled():
    moves = Moves(FAST)
    waiting = shards(1, voters("a"), "ab", target_since_ns=10 * SECOND)
    assert moves.plan(11 * SECOND - 1, waiting, around()) == ([], [])
    steps, _ = moves.plan(11 * SECOND, waiting, around())
    assert steps == [Change(0, ("a",), ("b",))]


def test_a_bounded_number_of_shards_moves_at_a_time():
    moves = Moves(FAST)
    steps, _ = moves.plan(10 * SECOND, shards(5, voters("a"), "ab"), around())
    assert [step.shard for step in steps] == [0, 1]
    assert moves.counters.waited == 3
    moving = shards(2, voters("a", "b"), "ab", is_changing=True) + shards(5, voters("a"), "ab")[2:]
    assert moves.plan(20 * SECOND, moving, around())[0] == []


def test_as_many_begin_in_a_span_of_time():
    moves = Moves(FAST)
    moves.plan(10 * SECOND, shards(2, voters("a"), "ab"), around())
    again = shards(5, voters("a"), "ab")[2:]
    assert moves.plan(11 * SECOND - 1, again, around())[0] == []
    assert len(moves.plan(11 * SECOND, again, around())[0]) == 2


def test_what_has_begun_goes_on_whatever_else_there_is():
    moves = Moves(FAST)
    begun = shards(4, voters("a", "b"), "ab")
    steps, _ = moves.plan(10 * SECOND, begun, around())
    assert [step.shard for step in steps] == [0, 1, 2, 3]


def test_repairs_come_first():
    moves = Moves(FAST)
    fine = shards(3, voters("abc"), "abd")
    broken = Owned(
        shard=7,
        config=voters("abc"),
        target=("a", "b", "c"),
        caught_up=frozenset("ab"),
        broken=frozenset("c"),
    )
    steps, _ = moves.plan(10 * SECOND, [*fine, broken], around())
    assert [step.shard for step in steps] == [7, 0]


def test_a_shard_stays_with_a_new_owner_for_a_while():
    moves = Moves(FAST)
    fresh = shards(1, voters("abc"), "bac", owned_since_ns=10 * SECOND)
    assert moves.plan(15 * SECOND - 1, fresh, around())[0] == []
    assert moves.plan(15 * SECOND, fresh, around())[0] == [Transfer(0, "b")]


def test_handovers_are_bounded_and_one_that_came_to_nothing_is_tried_again_later():
    moves = Moves(FAST)
    wanting = shards(3, voters("abc"), "bac")
    assert moves.plan(10 * SECOND, wanting, around())[0] == [Transfer(0, "b")]
    assert moves.plan(11 * SECOND, wanting, around())[0] == []
    moves.disowned(0)
    assert moves.plan(11 * SECOND, wanting[1:], around())[0] == [Transfer(1, "b")]
    later_ns = 11 * SECOND + FAST.patience_ns
    assert moves.plan(later_ns, wanting[1:], around())[0] == [Transfer(2, "b")]
    assert moves.plan(later_ns + FAST.return_ns, wanting[1:], around())[0] == [Transfer(1, "b")]


def test_a_draining_owner_waits_for_nothing():
    moves = Moves(FAST)
    fresh = shards(1, voters("abc"), "bc", owned_since_ns=10 * SECOND, target_since_ns=10 * SECOND)
    steps, _ = moves.plan(10 * SECOND, fresh, around(draining="a"))
    assert steps == [Transfer(0, "b", is_urgent=True)]


def test_shards_at_rest_are_told_and_those_that_wait_for_a_replica_are_not():
    moves = Moves(FAST)
    rest = Owned(shard=1, config=voters("abc"), target=tuple("abc"), caught_up=frozenset("a"))
    waits = Owned(shard=2, config=voters("abc"), target=tuple("bac"), caught_up=frozenset("a"))
    moving = Owned(shard=3, config=voters("a", "b"), target=tuple("ab"), caught_up=frozenset("a"))
    assert moves.plan(10 * SECOND, [rest, waits, moving], around()) == ([], [1])


def test_limits_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="most_moves is 0"):
        MoveSettings(most_moves=0)


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
