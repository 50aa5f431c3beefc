"""The executor is the owner if it has room, else the next on the agent's ring within the bound."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.guard import Link, Permit, Refused, State
from hubless.placement import (
    AgentRing,
    Chosen,
    HopRefused,
    Loads,
    NoExecutor,
    Ring,
    RingMember,
    choose_executor,
    load_bound,
    take_hop,
)

NODES = [f"node-{i}" for i in range(5)]
RING = Ring.built([RingMember(node) for node in NODES])
AGENT_RING = AgentRing(RING, "echo", NODES)
KEY = b"a key"
ORDER = AGENT_RING.order(KEY)


def permit(node: str) -> Permit:
    return Permit(1, node, "echo")


def refused(node: str) -> Refused:
    return Refused(Link(node), State.OPEN, 700 + int(node[-1]))


def loaded(counts: dict[str, int]) -> Loads:
    loads = Loads()
    for node, count in counts.items():
        for _ in range(count):
            loads.started("echo", node)
    return loads


def test_the_own_node_comes_first() -> None:
    for own in NODES:
        choice = choose_executor(
            AGENT_RING, KEY, own=own, loads=Loads(), takes_work=set(NODES), allows=permit
        )
        assert choice == Chosen(own, permit(own))


def test_a_full_own_node_passes_on_to_the_ring() -> None:
    loads = loaded({"node-0": 3})
    choice = choose_executor(AGENT_RING, KEY, own="node-0", loads=loads, takes_work=set(NODES), allows=permit)
    first = next(node for node in ORDER if node != "node-0")
    assert choice == Chosen(first, permit(first))


def test_own_slots_keep_work_at_home_beyond_the_bound() -> None:
    loads = loaded({"node-0": 3})

    def choose(own_slots: int) -> str:
        choice = choose_executor(
            AGENT_RING,
            KEY,
            own="node-0",
            loads=loads,
            takes_work=set(NODES),
            allows=permit,
            own_slots=own_slots,
        )
        assert isinstance(choice, Chosen)
        return choice.node

    assert choose(4) == "node-0"
    assert choose(3) != "node-0"


def test_own_slots_raise_nobody_elses_bound() -> None:
    others = [node for node in ORDER if node != "node-0"]
    loads = loaded({"node-0": 9, others[0]: 4})
    choice = choose_executor(
        AGENT_RING, KEY, own="node-0", loads=loads, takes_work=set(NODES), allows=permit, own_slots=9
    )
    assert choice == Chosen(others[1], permit(others[1]))


def test_beyond_the_listed_executors_those_below_their_bound_come_first() -> None:
    """The first choice is at its bound of 2; the lighter one has none of its calls, though one would weigh more."""
    pair = AgentRing(RING, "echo", ["node-1", "node-2"], limit=1)
    (first,) = pair.order(KEY)
    (other,) = pair.nodes - {first}
    choice = choose_executor(
        pair,
        KEY,
        own="stranger",
        loads=loaded({first: 2}),
        takes_work=set(NODES),
        allows=permit,
        weights={other: 0.2},
    )
    assert choice == Chosen(other, permit(other))


def test_an_owner_that_does_not_offer_the_agent_is_no_executor() -> None:
    choice = choose_executor(
        AGENT_RING, KEY, own="stranger", loads=Loads(), takes_work={"stranger", *NODES}, allows=permit
    )
    assert choice == Chosen(ORDER[0], permit(ORDER[0]))


def test_only_the_node_about_to_be_chosen_is_asked_for_a_permit() -> None:
    asked: list[str] = []

    def allows(node: str) -> Permit:
        asked.append(node)
        return permit(node)

    choose_executor(
        AGENT_RING, KEY, own="node-0", loads=loaded({"node-0": 9}), takes_work=set(NODES), allows=allows
    )
    assert len(asked) == 1


def test_all_at_their_bound_takes_the_least_loaded() -> None:
    loads = loaded({"node-0": 4, "node-1": 3, "node-2": 4, "node-3": 3, "node-4": 4})
    ring = AgentRing(RING, "echo", NODES)
    choice = choose_executor(
        ring, KEY, own="node-0", loads=loads, takes_work={"node-0", "node-2", "node-4"}, allows=permit
    )
    assert isinstance(choice, Chosen)
    crowded = loaded({"node-0": 30, "node-1": 0, "node-2": 20, "node-3": 0, "node-4": 25})
    choice = choose_executor(
        ring, KEY, own="node-0", loads=crowded, takes_work={"node-0", "node-2", "node-4"}, allows=permit
    )
    assert choice == Chosen("node-2", permit("node-2"))


def test_a_light_weight_lowers_the_bound() -> None:
    loads = loaded(dict.fromkeys(NODES, 4))
    weights = dict.fromkeys(ORDER[:4], 0.25)
    choice = choose_executor(
        AGENT_RING,
        KEY,
        own="stranger",
        loads=loads,
        takes_work=set(NODES),
        allows=permit,
        weights=weights,
    )
    assert choice == Chosen(ORDER[4], permit(ORDER[4]))


def test_nobody_offers_it() -> None:
    choice = choose_executor(
        AgentRing(RING, "echo", ["stranger"]),
        KEY,
        own="node-0",
        loads=Loads(),
        takes_work=set(NODES),
        allows=permit,
    )
    assert choice == NoExecutor(offering=0)
    assert isinstance(choice, NoExecutor)
    assert choice.not_offered


def test_all_excluded_says_why_and_when_to_come_back() -> None:
    choice = choose_executor(
        AGENT_RING,
        KEY,
        own="node-0",
        loads=loaded({"node-0": 9}),
        takes_work={"node-0", "node-1", "node-2"},
        allows=refused,
        visited=("node-2",),
    )
    assert choice == NoExecutor(offering=5, not_taking=2, visited=1, refused=2, retry_at_ns=700)
    assert isinstance(choice, NoExecutor)
    assert not choice.not_offered


@settings(max_examples=200, deadline=None)
@given(
    counts=st.dictionaries(st.sampled_from(NODES), st.integers(0, 12)),
    takes_work=st.sets(st.sampled_from(NODES)),
    visited=st.sets(st.sampled_from(NODES)),
    refusing=st.sets(st.sampled_from(NODES)),
    offering=st.sets(st.sampled_from(NODES)),
    weights=st.dictionaries(st.sampled_from(NODES), st.floats(0.05, 1.0)),
    own=st.sampled_from([*NODES, "stranger"]),
    key=st.binary(max_size=16),
    limit=st.integers(1, 6),
)
def test_the_choice_is_eligible_and_within_its_bound_if_any_is(
    counts: dict[str, int],
    takes_work: set[str],
    visited: set[str],
    refusing: set[str],
    offering: set[str],
    weights: dict[str, float],
    own: str,
    key: bytes,
    limit: int,
) -> None:
    loads = loaded(counts)
    choice = choose_executor(
        AgentRing(RING, "echo", offering, limit=limit),
        key,
        own=own,
        loads=loads,
        takes_work=takes_work,
        allows=lambda node: refused(node) if node in refusing else permit(node),
        visited=visited,
        weights=weights,
    )
    eligible = (offering & takes_work) - visited - refusing
    mean = (loads.total("echo") + 1) / max(1, len(offering))

    def has_room(node: str) -> bool:
        return loads.in_flight("echo", node) < max(1, ceil(ceil(1.25 * mean) * weights.get(node, 1.0)))

    roomy = {node for node in eligible if has_room(node)}
    match choice:
        case NoExecutor():
            assert not eligible
            assert choice.offering == len(offering)
            assert choice.not_taking + choice.visited + choice.refused == len(offering)
        case Chosen(node=node):
            assert node in (roomy or eligible)
            if own in roomy:
                assert node == own


@given(st.integers(0, 500), st.integers(1, 50))
def test_the_bound_is_five_quarters_of_the_mean_rounded_up(total: int, nodes: int) -> None:
    assert load_bound(total, nodes) == -(-(5 * (total + 1)) // (4 * nodes)) >= 1


def test_placing_many_calls_never_exceeds_the_bound_and_uses_everybody() -> None:
    loads = Loads()
    for i in range(200):
        choice = choose_executor(
            AGENT_RING,
            f"task-{i}".encode(),
            own="node-0",
            loads=loads,
            takes_work=set(NODES),
            allows=permit,
        )
        assert isinstance(choice, Chosen)
        bound = load_bound(loads.total("echo"), len(NODES))
        assert loads.in_flight("echo", choice.node) < bound
        loads.started("echo", choice.node)
    assert all(loads.in_flight("echo", node) >= 20 for node in NODES)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("xy"), st.sampled_from("abc")), max_size=60))
def test_loads_count_like_a_plain_list(steps: list[tuple[bool, str, str]]) -> None:
    loads = Loads()
    model: list[tuple[str, str]] = []
    for begins, agent, node in steps:
        if begins:
            loads.started(agent, node)
            model.append((agent, node))
        elif (agent, node) in model:
            loads.finished(agent, node)
            model.remove((agent, node))
        else:
            with pytest.raises(ValueError, match="pair each finished with a started"):
                loads.finished(agent, node)
        for name in "xy":
            here = [on for of, on in model if of == name]
            assert loads.total(name) == len(here)
            assert dict(loads.counts(name)) == {on: here.count(on) for on in set(here)}
            assert all(loads.in_flight(name, on) == here.count(on) for on in "abc")


def test_a_trail_grows_until_its_limit_and_never_crosses_itself() -> None:
    trail = take_hop((), "a", limit=2)
    assert trail == ("a",)
    assert take_hop(("a",), "b", limit=2) == ("a", "b")
    assert take_hop(("a", "b"), "c", limit=2) is HopRefused.HOP_LIMIT
    assert take_hop(("a", "b"), "a", limit=9) is HopRefused.VISITED
