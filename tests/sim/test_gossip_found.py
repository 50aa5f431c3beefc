"""Runs that once went wrong, each with one sentence on why."""

from hubless_gossip import Condition, MemberChanged
from hubless_sim.faults import OneWay
from hubless_sim.gossip.run import GossipRun
from hubless_sim.tapes.tape import Conditions, Monitored, Tape


def deaths(run: GossipRun) -> list[tuple[str, str]]:
    return [
        (told.node, told.event.member.node)
        for told in run.told
        if isinstance(told.event, MemberChanged) and told.event.member.condition is Condition.DEAD
    ]


def test_a_refutation_that_cannot_come_directly_is_fetched_from_others() -> None:
    """n6 missed the rumour of n4's refutation, n4 could not reach it to repeat it, and it let n4 die although
    its probes were answered through relays."""
    links = Conditions(monitored=Monitored(heartbeat_interval_ms=50, heartbeat_timeout_ms=150))
    cuts = tuple(OneWay(at_ms=3000, sources=("n4",), targets=(target,)) for target in ("n5", "n6"))
    run = GossipRun(Tape(seed=2552069, nodes=7, duration_ms=15_000, links=links, faults=cuts))
    run.advance_to_ms(15_000)
    assert deaths(run) == []
