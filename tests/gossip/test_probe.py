"""Whom a node probes next, and what it makes of a silence (SWIM sections 3.1 and 4.3)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hubless_gossip import Address, Condition, GossipConfig, Identity, MetaChanged
from hubless_gossip.claims import Statement, alive
from hubless_gossip.counters import Counters
from hubless_gossip.health import Health
from hubless_gossip.links import Links
from hubless_gossip.outbox import Outbox
from hubless_gossip.probe import Prober
from hubless_gossip.rumours import Rumours
from hubless_gossip.table import Table

CONFIG = GossipConfig.local()
INTERVAL_NS = CONFIG.probe_interval_ms * 1_000_000


class Round:
    """A prober of `me` and the members that it is told of."""

    def __init__(self, seed: int, members: str) -> None:
        self.now = INTERVAL_NS
        self.table = Table()
        rumours = Rumours(most=10, retransmit_mult=4)
        counters = Counters()
        identity = Identity(b"testmesh", "me", 1, Address("me", 1))
        self.prober = Prober(
            "me",
            CONFIG,
            now_ns=0,
            table=self.table,
            links=Links(me="me", table=self.table, neighbours=3),
            health=Health(8),
            outbox=Outbox(identity, CONFIG, rumours, counters),
            counters=counters,
            rng=random.Random(seed),
        )
        for node in members:
            self.meet(node)

    def meet(self, node: str) -> None:
        self.table.put(alive(Statement(node, 1, 1, Address(node, 1), b"")), 0)
        self.prober.welcome(node)

    def probed(self, count: int) -> list[str | None]:
        """The next targets, one an interval."""
        targets = []
        for _ in range(count):
            self.now += INTERVAL_NS
            targets.append(self.prober.next_target(self.now))
        return targets


@pytest.mark.parametrize("seed", range(10))
def test_nobody_is_probed_twice_in_a_round_that_newcomers_join(seed: int) -> None:
    """Who was probed last was probed again if the newcomer's place was before its own."""
    mesh = Round(seed, "abcdef")
    probed = mesh.probed(3)
    mesh.meet("z")
    probed += mesh.probed(4)
    assert sorted(filter(None, probed)) == list("abcdefz")


def test_members_that_come_and_go_do_not_crowd_out_the_others() -> None:
    """Each return was one more place in the round, however often they returned before it was over."""
    mesh = Round(1, "abcdef")
    for _ in range(100):
        mesh.meet("a")
    assert set(mesh.probed(2 * 6 - 1)) == set("abcdef")


def test_who_says_something_while_it_is_probed_is_not_accused_of_the_silence_before(lockstep: Any) -> None:
    """An accusation of the incarnation that has just been said had to be refuted by one more."""
    net = lockstep(CONFIG, monitored=False)
    for number in range(2):
        net.start(f"n{number}", *(["n0"] if number else []))
    net.run(3)
    probes = net.cores["n0"].counters.probes
    net.cut(lambda a, _b: a != "n1")
    while net.cores["n0"].counters.probes == probes:
        net.run(0.001)
    net.cut(lambda _a, _b: True)
    net.give("n1", MetaChanged(b"here"))
    net.run(0.1)
    net.cut(lambda a, _b: a != "n1")
    net.run(0.2)
    assert net.sees("n0", "n1") is Condition.ALIVE
    net.run(2)
    assert net.sees("n0", "n1") in {Condition.SUSPECT, Condition.DEAD}
