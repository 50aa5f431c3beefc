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
    members = [RingMember(f"node-{i}", 1, f"zone-{i % 3}") for i in range(NODES)]
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
    known = _us_per_call(lambda: [preferences.of_key(key) for key in keys], LOOKUPS)
    return [
        bounded("lookup_us", median(owners), 10.0, unit="us", note="three distinct owners of a fresh key"),
        shown("lookup_max_us", max(owners), unit="us", note=f"slowest of {ROUNDS} rounds"),
        bounded("lookup_zones_us", median(spread), 10.0, unit="us", note="three owners in three zones"),
        shown("lookup_shard_us", median(known), unit="us", note="key to shard to its known list"),
        bounded("change_ms", max(changes), 60.0, unit="ms", note="slowest of 20 joins and 20 leaves"),
        shown("change_p50_ms", percentile(changes, 0.5), unit="ms"),
        shown("build_ms", median(builds), unit="ms", note="from nothing"),
    ]


def movement() -> list[Figure]:
    """Places (shard, replica) that move when a node joins, as a multiple of the fair share 1 / (N + 1)."""
    figures: list[Figure] = []
    for nodes in (5, 50):
        ring = Ring.built([RingMember(f"node-{i}") for i in range(nodes)])
        before = Preferences(ring, shards=SHARDS, replicas=REPLICAS)
        moved: list[float] = []
        for i in range(60):
            after = Preferences(
                ring.with_member(RingMember(f"newcomer-{i}")), shards=SHARDS, replicas=REPLICAS
            )
            places = sum(
                len(set(after.of_shard(shard)) - set(before.of_shard(shard))) for shard in range(SHARDS)
            )
            moved.append(places / (SHARDS * REPLICAS) * (nodes + 1))
        name = "moved_share" if nodes == 5 else f"moved_share_{nodes}"
        mean = sum(moved) / len(moved)
        note = f"of 1 / N, one node joins {nodes}; mean of {len(moved)} newcomers"
        figures.append(bounded(name, mean, 1.2, note=note))
        figures.append(shown(f"{name}_max", max(moved)))
        owned = [len(before.owned_by(node)) for node in ring.members]
        figures.append(
            shown(f"owned_max_of_mean_{nodes}", max(owned) * nodes / SHARDS, note="shards per owner")
        )
    return figures


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
