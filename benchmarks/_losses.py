"""Packet loss, starved nodes and one silent crash: who is held dead, and how fast the crash is known.

A starved node is blocked for 1 to 8 s and awake for 0.25 to 2 s in turns (drawn by the seed), with
everything in its process; its I/O thread lives.  The crash at 60 s takes its machine along: no reset
and no refusal reaches anybody.
"""

import random

from benchmarks._figures import Report, Size, bounded, percentile, shown
from benchmarks._meshes import LAN_LINKS, deaths, mesh, subject
from hubless_sim.faults import Crash, Fault, Starve
from hubless_sim.gossip.run import GossipRun

CRASH_S = 60
DURATION_S = 120
LOSSES = (0.01, 0.03, 0.05)
STARVED = (0.0, 0.01, 0.05, 0.10)
SEEDS: dict[Size, dict[int, int]] = {
    "quick": {50: 1},
    "default": {50: 3, 200: 1},
    "full": {50: 40, 200: 12},
}


class _Outcomes:
    """What was seen over all runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.with_false_death = 0
        self.with_healthy_false_death = 0
        self.undetected = 0
        self.detections_s: list[float] = []


def loss_grid(size: Size) -> Report:
    """Run every cell of nodes x loss x starved, with link evidence (heartbeats) and without it."""
    linked, alone = _Outcomes(), _Outcomes()
    most = max(SEEDS[size].values())
    for nodes, seeds in SEEDS[size].items():
        for seed in range(1, seeds + 1):
            for loss in LOSSES:
                for starved in STARVED:
                    _run(seed, nodes, loss, starved, linked, links=True)
                    if nodes == 50 and seed == 1:
                        _run(seed, nodes, loss, starved, alone, links=False)
    return Report(
        name="loss_grid",
        figures=[
            bounded("runs_with_false_death", 100 * linked.with_false_death / linked.runs, 0.6, unit="%"),
            bounded("detection_p50", percentile(linked.detections_s, 0.5), 9.0, unit="s"),
            shown("detection_p99", percentile(linked.detections_s, 0.99), unit="s"),
            shown(
                "undetected_at_live_nodes",
                linked.undetected,
                note="live, never starved, 60 s after the crash",
            ),
            shown("runs", linked.runs),
            shown(
                "runs_with_healthy_false_death", 100 * linked.with_healthy_false_death / linked.runs, unit="%"
            ),
            shown(
                "no_links_runs_with_false_death",
                100 * alone.with_false_death / alone.runs,
                unit="%",
                note="application level alone: starved nodes cannot be told from dead ones",
            ),
            shown(
                "no_links_runs_with_healthy_false_death",
                100 * alone.with_healthy_false_death / alone.runs,
                unit="%",
            ),
            shown("no_links_detection_p50", percentile(alone.detections_s, 0.5), unit="s"),
        ],
        runs=linked.runs + alone.runs,
        seeds=list(range(1, most + 1)),
    )


def _run(seed: int, nodes: int, loss: float, share: float, outcomes: _Outcomes, *, links: bool) -> None:
    chance = random.Random(f"{seed}:{nodes}:{loss}:{share}")
    names = [f"n{index}" for index in range(nodes)]
    starved = sorted(chance.sample(names, round(share * nodes + 0.499) if share else 0))
    victim = chance.choice([name for name in names if name not in starved])
    turns: list[Fault] = [
        Starve(
            at_ms=15_000 + chance.randrange(2000),
            nodes=(name,),
            blocked_ms=chance.randrange(1000, 8000),
            awake_ms=chance.randrange(250, 2000),
        )
        for name in starved
    ]
    tape = mesh(
        seed=seed,
        nodes=nodes,
        duration_s=DURATION_S,
        loss=loss,
        monitored=LAN_LINKS if links else None,
        faults=(*turns, Crash(at_ms=CRASH_S * 1000, nodes=(victim,), silent=True)),
    )
    run = GossipRun(tape)
    run.advance_to_ms(tape.duration_ms)
    _count(run, victim, starved, outcomes)


def _count(run: GossipRun, victim: str, starved: list[str], outcomes: _Outcomes) -> None:
    crash_ns = CRASH_S * 10**9
    everything = deaths(run)
    false = [told for told in everything if subject(told) != victim or told.at_ns < crash_ns]
    outcomes.runs += 1
    outcomes.with_false_death += bool(false)
    outcomes.with_healthy_false_death += any(
        subject(told) not in starved and told.node not in starved for told in false
    )
    first: dict[str, float] = {}
    for told in everything:
        if subject(told) == victim and told.at_ns >= crash_ns:
            first.setdefault(told.node, (told.at_ns - crash_ns) / 1e9)
    observers = [name for name in run.running() if name not in starved]
    outcomes.detections_s += [first[name] for name in observers if name in first]
    outcomes.undetected += sum(name not in first for name in observers)
