"""Partitions without seeds, restarts of everything, one-way cuts."""

import random

from benchmarks._figures import Figure, Report, Size, bounded, percentile, shown
from benchmarks._meshes import deaths, merged, mesh
from hubless_gossip import Condition
from hubless_sim.faults import Crash, OneWay, Partition, Restart
from hubless_sim.gossip.run import GossipRun

_STEP_MS = 100
_LIMIT_S = 60

PARTITIONS: dict[Size, list[tuple[str, int, int, int]]] = {
    # name, seconds, nodes in all (three of them seeds that go), seeds
    "quick": [("1min", 60, 13, 2)],
    "default": [("1min", 60, 23, 4), ("1h", 3600, 9, 2), ("48h", 48 * 3600, 7, 1)],
    "full": [("1min", 60, 53, 20), ("1h", 3600, 23, 10), ("48h", 48 * 3600, 9, 3)],
}


def partitions(size: Size) -> Report:
    """Cut a mesh in two halves, all seeds being gone; time from the repair to full views everywhere."""
    figures: list[Figure] = []
    most, runs = 0, 0
    for name, length_s, nodes, seeds in PARTITIONS[size]:
        times = [_partition(seed, length_s, nodes) for seed in range(1, seeds + 1)]
        figures.append(
            bounded(f"merged_after_{name}_max", max(times), 10.0, unit="s", note=f"{nodes - 3} nodes")
        )
        figures.append(shown(f"merged_after_{name}_p50", percentile(times, 0.5), unit="s"))
        most, runs = max(most, seeds), runs + seeds
    return Report(name="partitions", figures=figures, runs=runs, seeds=list(range(1, most + 1)))


def _partition(seed: int, length_s: int, nodes: int) -> float:
    names = [f"n{index}" for index in range(nodes)]
    seeds, rest = names[:3], names[3:]
    left = rest[: len(rest) // 2]
    cut_s, repair_s = 60, 60 + length_s
    tape = mesh(
        seed=seed,
        nodes=nodes,
        duration_s=repair_s + _LIMIT_S,
        join=tuple(seeds),
        faults=(
            Crash(at_ms=20_000, nodes=tuple(seeds), silent=True),
            Partition(
                at_ms=cut_s * 1000, until_ms=repair_s * 1000, sides=(tuple(left), tuple(rest[len(left) :]))
            ),
        ),
    )
    run = GossipRun(tape)
    run.advance_to_ms(repair_s * 1000)
    return _time_to_merge(run, rest, repair_s * 1000)


def _time_to_merge(run: GossipRun, names: list[str], since_ms: int) -> float:
    """Seconds from ``since_ms`` until everybody believes everybody present; infinite beyond the limit."""
    for at_ms in range(since_ms, since_ms + _LIMIT_S * 1000 + 1, _STEP_MS):
        run.advance_to_ms(at_ms)
        if merged(run, names):
            return (at_ms - since_ms) / 1000
    return float("inf")


def restart_all(size: Size) -> Report:
    """Restart every node at once; who is held dead 5 s later."""
    nodes = 100 if size == "quick" else 500
    seeds = [1, 2, 3] if size == "full" else [1]
    wrong, missing = 0, 0
    settle_s = 40
    for seed in seeds:
        names = tuple(f"n{index}" for index in range(nodes))
        tape = mesh(
            seed=seed,
            nodes=nodes,
            duration_s=settle_s + 5,
            faults=(Restart(at_ms=settle_s * 1000, nodes=names),),
        )
        run = GossipRun(tape)
        run.advance_to_ms(tape.duration_ms)
        for name in names:
            view = run.view(name)
            wrong += sum(condition is Condition.DEAD for condition in view.values())
            missing += nodes - len(view)
    return Report(
        name="restart_all",
        figures=[
            bounded("live_held_dead_after_5s", wrong, 0, note=f"pairs, of {nodes} x {nodes}"),
            shown("unknown_after_5s", missing, note="pairs"),
        ],
        runs=len(seeds),
        seeds=seeds,
    )


def one_way(size: Size) -> Report:
    """Ten one-way cuts between random pairs for five minutes: nobody may be removed."""
    nodes = 20
    count = {"quick": 1, "default": 5, "full": 40}[size]
    false = 0
    for seed in range(1, count + 1):
        chance = random.Random(f"{seed}:one-way")
        names = [f"n{index}" for index in range(nodes)]
        pairs = chance.sample([(a, b) for a in names for b in names if a != b], 10)
        cuts = tuple(OneWay(at_ms=20_000, sources=(a,), targets=(b,)) for a, b in pairs)
        run = GossipRun(mesh(seed=seed, nodes=nodes, duration_s=320, faults=cuts))
        run.advance_to_ms(320_000)
        false += len(deaths(run))
    return Report(
        name="one_way",
        figures=[
            bounded("removed", false, 0, note="deaths told by anybody of anybody"),
        ],
        runs=count,
        seeds=list(range(1, count + 1)),
    )
