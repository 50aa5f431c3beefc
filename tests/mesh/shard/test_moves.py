"""The policy of moves, rule by rule."""

import pytest

from hubless.shard.moves import Change, Transfer, Urgency, next_step
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
        (
            "not to one that has just lost it, or hardly answers",
            owned(voters("abc"), "bac", unfit=frozenset("b")),
            around(),
            None,
        ),
        (
            "an owner whose links come and go gives up at once",
            owned(voters("abc"), "abc", is_strained=True),
            around(),
            "urgent",
        ),
        (
            "best to one that answers it",
            owned(voters("abc"), "acb", is_strained=True, unfit=frozenset("c")),
            around(),
            "urgent",
        ),
        (
            "else to one that answers now and then",
            owned(voters("abc"), "abc", is_strained=True, unfit=frozenset("bc")),
            around(),
            "urgent",
        ),
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
