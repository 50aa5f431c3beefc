"""Meshes for the gossip experiments: tapes, warm starts and what to count in a run."""

from collections.abc import Collection

from hubless.transport import Heartbeat
from hubless_gossip import Condition, MemberChanged
from hubless_sim.faults import MS, Fault
from hubless_sim.gossip.run import GossipRun, Told
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Conditions, Monitored, Start, Tape


def _shipped(profile: str) -> Monitored:
    """Monitored links with the heartbeats that the transport uses in this profile."""
    beat = Heartbeat.of_profile(profile)
    return Monitored(heartbeat_interval_ms=beat.interval_ms, heartbeat_timeout_ms=beat.timeout_ms)


LAN_LINKS = _shipped("lan")
LOCAL_LINKS = _shipped("local")
UNDAMPED: dict[str, int | float | bool] = {"flap_budget": 1_000_000}
"""So that every death that a node believes in is told and counted, however often it was told before."""


def mesh(
    *,
    seed: int,
    nodes: int,
    duration_s: float,
    preset: str = "lan",
    knobs: dict[str, int | float | bool] | None = None,
    monitored: Monitored | None = LAN_LINKS,
    loss: float = 0.0,
    join: tuple[str, ...] = ("n0",),
    stagger_ms: int = 10,
    faults: tuple[Fault, ...] = (),
) -> Tape:
    """A tape over a network with round trips of about a millisecond."""
    return Tape(
        seed=seed,
        nodes=nodes,
        duration_ms=round(duration_s * 1000),
        system=GossipSystem(preset=preset, knobs=UNDAMPED | (knobs or {})),
        links=Conditions(base_us=250, jitter_us=250, loss=loss, monitored=monitored),
        start=Start(join=join, stagger_ms=stagger_ms),
        faults=faults,
    )


def deaths(run: GossipRun, *, since_s: float = 0.0) -> list[Told]:
    """Every time that some node told some member dead, from ``since_s`` on."""
    return [
        told
        for told in run.told
        if isinstance(told.event, MemberChanged)
        and told.event.member.condition is Condition.DEAD
        and told.at_ns >= since_s * 1000 * MS
    ]


def subject(told: Told) -> str:
    """Whom a death is about."""
    assert isinstance(told.event, MemberChanged)
    return told.event.member.node


def sees_all_alive(run: GossipRun, name: str, others: Collection[str]) -> bool:
    """Whether a node believes every one of the others present (alive, busy or merely suspect)."""
    view = run.view(name)
    return all(view.get(other, Condition.DEAD) < Condition.DEAD for other in others)


def merged(run: GossipRun, names: Collection[str]) -> bool:
    """Whether all of these nodes believe all of them present."""
    return all(sees_all_alive(run, name, names) for name in names)


def messages(run: GossipRun) -> int:
    """Packets sent by all nodes so far."""
    return sum(run.traffic(name).messages_out for name in run.names())
