"""A runner for those who have no Maelstrom: the same messages, between nodes and clients in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from hubless_sim.faults import Fault
from hubless_sim.maelstrom.checks import violations
from hubless_sim.maelstrom.clients import ClientHost, Done, NodeHost, Timing, name_of
from hubless_sim.maelstrom.node import Workload
from hubless_sim.maelstrom.protocol import Envelope
from hubless_sim.verdict import Verdict, Violation
from hubless_sim.world.hosts import Birth, Host
from hubless_sim.world.network import Layer
from hubless_sim.world.world import World

_MS = 1_000_000
_CLIENTS = 5
_TAIL_MS = 6_000


class Trial(msgspec.Struct, frozen=True):
    """What a trial came to.  ``unknown`` requests may or may not have been done."""

    digest: str
    verdict: Verdict
    violations: tuple[Violation, ...]
    requests: int
    answered: int
    unknown: int
    messages: int
    virtual_s: float


def trial(
    workload: Workload,
    *,
    nodes: int = 5,
    seed: int = 0,
    faults: Sequence[Fault] = (),
    timing: Timing | None = None,
) -> Trial:
    """Runs a workload on nodes ``n0`` ..., with five clients, under these faults.

    Faults should end before ``timing.until_ms``: what was acknowledged must be there at the last reads.
    """
    timing = timing or Timing()
    done: list[Done] = []
    world = World(
        nodes=nodes + _CLIENTS,
        seed=seed,
        make=partial(_host, workload=workload, nodes=nodes, timing=timing),
        base=Layer(base_ns=500_000, jitter_ns=2 * _MS),
        observe=lambda _now_ns, _node, value: done.append(value),
    )
    for fault in faults:
        fault.impose(world)
    names = [name_of(index, nodes) for index in range(nodes)]
    for index in range(len(world)):
        world.start(index)
        if index < nodes:
            init = {"type": "init", "msg_id": 1, "node_id": names[index], "node_ids": names}
            world.at(0, partial(world.command, index, Envelope("c0", names[index], init)))
    world.run_until((timing.final_ms + _TAIL_MS) * _MS)
    found = tuple(violations(workload, done, nodes))
    return Trial(
        digest=world.digest(),
        verdict="violated" if found else "held",
        violations=found,
        requests=len(done),
        answered=sum(each.answer is not None and each.answer["type"] != "error" for each in done),
        unknown=sum(each.answer is None for each in done),
        messages=sum(world.traffic(index).messages_out for index in range(len(world))),
        virtual_s=world.now_ns / 1e9,
    )


def _host(birth: Birth, *, workload: Workload, nodes: int, timing: Timing) -> Host:
    if birth.node < nodes:
        return NodeHost(birth, workload, nodes=nodes)
    mine = list(range(birth.node - nodes, nodes, _CLIENTS))
    return ClientHost(birth, workload, nodes=nodes, final=mine, timing=timing)
