"""Hypothesis strategies for tapes, so that properties over schedules of faults are drawn and shrunk:

    from hypothesis import given
    from hubless_sim.play import play
    from hubless_sim.search.strategies import tapes

    @given(tapes("shards", nodes=3, kinds=("crash", "partition")))
    def test_whatever_is_cut_off_all_holds(tape):
        assert play(tape).verdict == "held"

What is drawn shrinks towards few faults and operations, early and short ones of few nodes.  Every tape ends in a calm:
faults are over then, and who is down starts.  One machine at most, the last one, ever loses what its disk promised to
keep.  Needs Hypothesis, an extra of this package: ``pip install "hubless[sim]"``.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from msgspec.structs import replace

from hubless_sim.faults import Fault
from hubless_sim.gossip import swarm as gossip_swarm
from hubless_sim.mesh import agent_swarm
from hubless_sim.mesh import swarm as mesh_swarm
from hubless_sim.shards import swarm as shard_swarm
from hubless_sim.tapes.draw import MAKERS, Draw
from hubless_sim.tapes.operations import Call, Load, Meta, Operation, Opinion, Query, Ring
from hubless_sim.tapes.script import Deed, Script
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ReplicaKnobs, ShardSystem, Workload
from hubless_sim.tapes.tape import MAX_NODES, Conditions, Monitored, Start, Tape

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'strategies for tapes need Hypothesis, which is not installed: pip install "hubless[sim]"',
        name=missing.name,
    ) from missing

SystemName = Literal["shards", "mesh", "agents", "gossip"]

KINDS = tuple(MAKERS)
"""The sorts of faults that can be drawn: most are kinds of faults, some are several that belong together."""

AGENT_KINDS = tuple(agent_swarm.MAKERS)
"""Those of agents and of what they lean on: of "agents" alone, as they name its agents."""

_MAKERS = MAKERS | agent_swarm.MAKERS

_LEAST_MS = 300


def faults(
    *,
    nodes: int = 5,
    begin_ms: int,
    heal_ms: int,
    kinds: Sequence[str] = KINDS,
    most: int = 4,
) -> st.SearchStrategy[tuple[Fault, ...]]:
    """Schedules of up to ``most`` faults, with those that end them; all are over at ``heal_ms``.

    Raises ValueError on kinds that there are not, and on times that leave no room.
    """
    unknown = [kind for kind in kinds if kind not in _MAKERS]
    if unknown or not kinds:
        raise ValueError(f"kinds: {unknown or 'none'} cannot be drawn; there are {', '.join(_MAKERS)}")
    _check_times(begin_ms, heal_ms)
    names = _names(nodes)

    @st.composite
    def one(draw: st.DrawFn) -> list[Fault]:
        make = _MAKERS[draw(st.sampled_from(list(kinds)))]
        chance = draw(st.randoms(use_true_random=False))
        return make(Draw(chance, names, unlucky=names[-1], begin_ms=begin_ms, heal_ms=heal_ms))

    drawn = st.lists(one(), max_size=most)
    return drawn.map(lambda found: tuple(mesh_swarm.mild([fault for each in found for fault in each])))


def operations(
    system: SystemName, *, nodes: int = 5, begin_ms: int, heal_ms: int, most: int = 8
) -> st.SearchStrategy[tuple[Operation, ...]]:
    """Up to ``most`` things that are asked of a system while faults go on; of a mesh, as many questions about these."""
    _check_times(begin_ms, heal_ms)
    names = st.sampled_from(_names(nodes))
    times = st.integers(begin_ms, heal_ms - 1)
    match system:
        case "mesh" | "agents":
            agents = mesh_swarm.AGENTS if system == "mesh" else agent_swarm.AGENTS
            return _calls(names, times, tuple(agent.name for agent in agents), most)
        case "shards":
            rings = st.lists(names, min_size=1, unique=True).map(tuple)
            conditions = st.sampled_from(("gone", "doubtful", "draining"))
            opinion = st.builds(Opinion, at_ms=times, nodes=_few(names), member=names, condition=conditions)
            asked = st.one_of(opinion, st.builds(Ring, at_ms=times, nodes=_few(names), members=rings))
        case "gossip":
            load = st.builds(Load, at_ms=times, nodes=_few(names), load=st.integers(0, 255))
            asked = st.one_of(
                load, st.builds(Meta, at_ms=times, nodes=_few(names), meta=st.sampled_from(("a", "b")))
            )
    return st.lists(asked, max_size=most).map(tuple)


def tapes(
    system: SystemName = "shards",
    *,
    nodes: int = 5,
    clients: int = 2,
    kinds: Sequence[str] | None = None,
    most_faults: int = 4,
    most_operations: int = 8,
) -> st.SearchStrategy[Tape]:
    """Tapes of a system, with times as in its sweep; "agents" are whole nodes with the faults of agents alone.

    Raises ValueError on what no tape can have.
    """
    if system not in _BASES:
        raise ValueError(f"system: {system!r} is none; there are {', '.join(_BASES)}")
    if not 2 <= nodes <= MAX_NODES:
        raise ValueError(f"nodes: {nodes} cannot be drawn faults for; have 2 to {MAX_NODES}")
    base, begin_ms, heal_ms = _BASES[system]
    if kinds is None:
        kinds = AGENT_KINDS if system == "agents" else KINDS
    least = replace(base, nodes=nodes, clients=0 if system == "gossip" else clients)

    def made(seed: int, drawn: tuple[Fault, ...], asked: tuple[Operation, ...]) -> Tape:
        ended = shard_swarm.truth(_names(nodes)) if system == "shards" and asked else ()
        return replace(least, seed=seed, faults=drawn, operations=(*asked, *ended))

    return st.builds(
        made,
        st.integers(0, 2**32 - 1),
        faults(nodes=nodes, begin_ms=begin_ms, heal_ms=heal_ms, kinds=kinds, most=most_faults),
        operations(system, nodes=nodes, begin_ms=begin_ms, heal_ms=heal_ms, most=most_operations),
    )


_BASES: dict[str, tuple[Tape, int, int]] = {
    "shards": (
        Tape(
            seed=0,
            nodes=1,
            duration_ms=shard_swarm.HEAL_MS + shard_swarm.LIVE_BEATS * shard_swarm.BEAT_MS,
            links=Conditions(monitored=Monitored(heartbeat_interval_ms=50, heartbeat_timeout_ms=150)),
            system=ShardSystem(
                shards=1,
                beat_ms=shard_swarm.BEAT_MS,
                workload=Workload(from_ms=400, until_ms=shard_swarm.HEAL_MS, probe_ms=shard_swarm.PROBE_MS),
            ),
        ),
        shard_swarm.BEGIN_MS,
        shard_swarm.HEAL_MS,
    ),
    "mesh": (
        Tape(
            seed=0,
            nodes=1,
            duration_ms=mesh_swarm.END_MS,
            start=Start(join=()),
            system=MeshSystem(
                agents=mesh_swarm.AGENTS,
                shards=2,
                patience_ms=600,
                owned_ms=mesh_swarm.OWNED_MS,
                replicas=ReplicaKnobs(beat_ms=mesh_swarm.BEAT_MS),
            ),
        ),
        mesh_swarm.BEGIN_MS,
        mesh_swarm.HEAL_MS,
    ),
    "agents": (
        Tape(
            seed=0,
            nodes=1,
            duration_ms=agent_swarm.END_MS,
            start=Start(join=()),
            system=MeshSystem(
                agents=agent_swarm.AGENTS,
                shards=2,
                patience_ms=600,
                owned_ms=agent_swarm.OWNED_MS,
                replicas=ReplicaKnobs(beat_ms=agent_swarm.BEAT_MS),
            ),
        ),
        agent_swarm.BEGIN_MS,
        agent_swarm.HEAL_MS,
    ),
    "gossip": (
        Tape(
            seed=0,
            nodes=1,
            duration_ms=gossip_swarm.HEAL_MS + gossip_swarm.CALM_MS,
            system=GossipSystem(right_views=True),
        ),
        gossip_swarm.BEGIN_MS,
        gossip_swarm.HEAL_MS,
    ),
}
"""What a tape of each system has around its faults and operations, and when these may begin and must be over."""


def _check_times(begin_ms: int, heal_ms: int) -> None:
    if heal_ms - begin_ms < _LEAST_MS:
        raise ValueError(f"heal_ms: {heal_ms} leaves less than {_LEAST_MS} ms after begin_ms {begin_ms}")


def _names(nodes: int) -> tuple[str, ...]:
    return tuple(f"n{index}" for index in range(nodes))


def _few(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(names, min_size=1, max_size=3, unique=True).map(tuple)


_ASKED: tuple[Literal["status", "cancel", "retry"], ...] = ("status", "cancel", "retry")


@st.composite
def _calls(
    draw: st.DrawFn,
    names: st.SearchStrategy[str],
    times: st.SearchStrategy[int],
    offered: tuple[str, ...],
    most: int,
) -> tuple[Operation, ...]:
    """Calls, the scripts of which have numbers of their own, and what is asked about them soon after they are made."""
    deeds = st.lists(st.sampled_from(get_args(Deed)), max_size=2).map(tuple)
    agents = st.sampled_from(offered)
    asked = draw(st.lists(st.tuples(times, agents, names, deeds, st.booleans()), max_size=most))
    calls = [
        Call(
            at_ms=at_ms,
            agent=agent,
            script=Script(number, does),
            gateway=gateway,
            receipt=receipt,
            deadline_ms=5_000,
        )
        for number, (at_ms, agent, gateway, does, receipt) in enumerate(asked)
    ]
    if not calls:
        return ()
    about = st.tuples(
        st.integers(0, len(calls) - 1),
        st.integers(1, 500),
        st.sampled_from(_ASKED),
        names,
    )
    queries = [
        Query(at_ms=calls[number].at_ms + later_ms, what=what, gateway=gateway, call=number)
        for number, later_ms, what, gateway in draw(st.lists(about, max_size=most))
    ]
    return (*calls, *queries)
