"""The ring and the choices made on it: lookups, a node that joins or leaves, and how much moves.

`python -m benchmarks.ring --json` prints one document with a field per figure, and the bounds beside them under
`figures`. Exit code 0 if all bounds are met, else 1.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks._figures import Figure, Report, bounded, concluded, median, percentile, shown
from hubless.guard import Breakers, Permit
from hubless.placement import (
    AgentRing,
    Chosen,
    Loads,
    Preferences,
    Ring,
    RingMember,
    choose_executor,
    preference_list,
)

NODES = 1_000
REPLICAS = 3
SHARDS = 64
LOOKUPS = 20_000
ROUNDS = 9
MESHES = 25
LARGEST = 40
SEED = 1


def main() -> int:
    """Measure, print, and say by the exit code whether all bounds are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ring", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    chosen = parser.parse_args()
    start = time.perf_counter()
    figures = [*large_ring(), *movement(), *hot_path()]
    report = Report("ring", figures, ROUNDS, [SEED], round(time.perf_counter() - start, 1))
    return concluded(report, as_json=chosen.json, nodes=NODES)


def large_ring() -> list[Figure]:
    """Build, change and ask a ring of 1,000 nodes in three zones."""
    rng = random.Random(SEED)
    members = [RingMember(f"node-{i}", 1, f"zone-{i % 3}", 1 + i) for i in range(NODES)]
    builds = [_ms(lambda: Ring.built(members)) for _ in range(3)]
    ring = Ring.built(members)
    changes: list[float] = []
    for i in range(20):
        newcomer = RingMember(f"newcomer-{i}", 1, "zone-0")
        changes.append(_ms(partial(ring.with_member, newcomer)))
        leaver = rng.choice(members).node
        changes.append(_ms(partial(ring.without, leaver)))
    keys = [rng.randbytes(16) for _ in range(LOOKUPS)]
    owners = _us_per_call(lambda: [ring.owners(key, REPLICAS) for key in keys], LOOKUPS)
    spread = _us_per_call(lambda: [preference_list(ring, key, REPLICAS) for key in keys], LOOKUPS)
    preferences = Preferences(ring, shards=SHARDS, replicas=REPLICAS)
    shares = [_ms(partial(Preferences, ring, shards=SHARDS, replicas=REPLICAS)) for _ in range(ROUNDS)]
    small = Ring.built(members[:5])
    few = [_ms(partial(Preferences, small, shards=SHARDS, replicas=REPLICAS)) for _ in range(ROUNDS)]
    known = _us_per_call(lambda: [preferences.of_key(key) for key in keys], LOOKUPS)
    return [
        bounded("lookup_us", median(owners), 10.0, unit="us", note="three distinct owners of a fresh key"),
        shown("lookup_max_us", max(owners), unit="us", note=f"slowest of {ROUNDS} rounds"),
        bounded("lookup_zones_us", median(spread), 10.0, unit="us", note="three owners in three zones"),
        shown("lookup_shard_us", median(known), unit="us", note="key to shard to its known list"),
        bounded("change_ms", max(changes), 60.0, unit="ms", note="slowest of 20 joins and 20 leaves"),
        shown("change_p50_ms", percentile(changes, 0.5), unit="ms"),
        bounded(
            "shares_ms", median(shares), 60.0, unit="ms", note="who declines which shard, after a change"
        ),
        bounded("shares_5_ms", median(few), 2.0, unit="ms", note="the same of five nodes"),
        shown("build_ms", median(builds), unit="ms", note="from nothing"),
    ]


def movement() -> list[Figure]:
    """Places (shard, replica) that move when a node joins or leaves, as a multiple of the fair share K / N.

    K are all places, N the nodes after a join or before a leave.
    """
    figures: list[Figure] = []
    for nodes in (5, 50):
        ring = Ring.built(_grown(nodes, SEED))
        before = Preferences(ring, shards=SHARDS, replicas=REPLICAS)
        moved: list[float] = []
        for i in range(60):
            newcomer = RingMember(f"newcomer-{i}", since_ms=nodes + 1)
            after = before.changed([*ring.members.values(), newcomer])
            moved.append(_gained(before, after) / _fair(nodes + 1))
        name = "moved_share" if nodes == 5 else f"moved_share_{nodes}"
        mean = sum(moved) / len(moved)
        note = f"of K / N, one node joins {nodes}; mean of {len(moved)} newcomers"
        figures.append(bounded(name, mean, 1.2, note=note))
        figures.append(bounded(f"{name}_max", max(moved), 1.2))
        owned = [len(before.owned_by(node)) for node in ring.members]
        figures.append(
            shown(f"owned_max_of_mean_{nodes}", max(owned) * nodes / SHARDS, note="shards per owner")
        )
    return [*figures, *_growth()]


def _growth() -> list[Figure]:
    """Meshes that grow to 40 nodes one by one: every join of each, and a leave of anybody at every size."""
    rng = random.Random(SEED)
    joins, ageless, leaves = [], [], []
    for mesh in range(MESHES):
        members = _grown(LARGEST, mesh)
        before = Preferences(Ring.built(members[:REPLICAS]), shards=SHARDS, replicas=REPLICAS)
        for count in range(REPLICAS + 1, LARGEST + 1):
            after = before.changed(members[:count])
            joins.append(_gained(before, after) / _fair(count))
            ageless.append(_gained_by_ring(before.ring, after.ring) / _fair(count))
            leaver = rng.choice(members[:count])
            left = after.changed(member for member in members[:count] if member != leaver)
            held = sum(leaver.node in after.of_shard(shard) for shard in range(SHARDS))
            leaves.append((_gained(after, left) - held) / _fair(count))
            before = after
    note = f"of K / N, {len(joins)} joins, {REPLICAS + 1} to {LARGEST} nodes"
    return [
        bounded("join_max", max(joins), 1.2, note=note),
        shown("join_p50", percentile(joins, 0.5)),
        shown("join_max_of_ring", max(ageless), note="the same joins, if nobody declined a shard"),
        shown(
            "joins_above_of_ring", sum(share > 1.2 for share in ageless) / len(ageless), note="of all joins"
        ),
        shown("leave_extra_p50", percentile(leaves, 0.5), note="besides what the leaver had"),
        shown("leave_extra_p99", percentile(leaves, 0.99)),
    ]


def _grown(nodes: int, seed: int) -> list[RingMember]:
    """Members, oldest first."""
    rng = random.Random(f"grown:{seed}")
    return [RingMember(f"{rng.getrandbits(48):012x}", since_ms=1 + i) for i in range(nodes)]


def _fair(nodes: int) -> float:
    return SHARDS * REPLICAS / nodes


def _gained(before: Preferences, after: Preferences) -> int:
    return sum(len(set(after.of_shard(shard)) - set(before.of_shard(shard))) for shard in range(SHARDS))


def _gained_by_ring(before: Ring, after: Ring) -> int:
    keys = [f"shard-{shard}" for shard in range(SHARDS)]
    return sum(len(set(after.owners(key, REPLICAS)) - set(before.owners(key, REPLICAS))) for key in keys)


def hot_path() -> list[Figure]:
    """What every dispatched task pays on five nodes: the choice of an executor, and its breakers."""
    rng = random.Random(SEED)
    nodes = [f"node-{i}" for i in range(5)]
    agent_ring = AgentRing(Ring.built([RingMember(node) for node in nodes]), "echo", nodes)
    breakers = Breakers(rng=random.Random(SEED))
    breakers.watch(nodes[1:], {"echo": nodes})
    takers = set(nodes)
    tasks = [rng.randbytes(16) for _ in range(LOOKUPS)]
    permits = {node: Permit(1, node, "echo") for node in nodes}

    def choose() -> None:
        loads = Loads()
        for task in tasks:
            choice = choose_executor(
                agent_ring,
                task,
                own="node-0",
                loads=loads,
                takes_work=takers,
                allows=permits.__getitem__,
            )
            assert isinstance(choice, Chosen)
            loads.started("echo", choice.node)

    def judge() -> None:
        now_ns = 0
        for _ in tasks:
            now_ns += 100_000
            answer = breakers.allows("node-1", "echo", now_ns)
            assert isinstance(answer, Permit)
            breakers.started(answer, now_ns, now_ns + 30_000_000_000)
            breakers.record_success(answer, now_ns)

    return [
        bounded(
            "choose_us", median(_us_per_call(choose, LOOKUPS)), 5.0, unit="us", note="executor, five nodes"
        ),
        bounded(
            "breaker_us", median(_us_per_call(judge, LOOKUPS)), 3.0, unit="us", note="allow, start, success"
        ),
    ]


def _ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def _us_per_call(work: Callable[[], object], calls: int) -> list[float]:
    gc.collect()
    return [_ms(work) * 1e3 / calls for _ in range(ROUNDS)]


if __name__ == "__main__":
    sys.exit(main())
