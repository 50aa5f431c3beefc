"""Lifeguard's interval experiment (arXiv 1707.00788, section V): healthy members held dead.

128 nodes come up and are left alone for 15 s.  Then C of them are blocked at the same times, for D
ms each, awake for I ms in between, for 120 s: a blocked node neither sends nor receives, its timers
run on.  Counted are deaths of members that were never blocked, told by members that were never
blocked (the paper's FP-), and all packets sent.  The baseline is the same core as plain SWIM with
the paper's alpha = 5 and beta = 1 (preset ``swim``); ours is the ``lan`` preset as shipped.
"""

import random
from collections.abc import Sequence

from benchmarks._figures import Figure, Report, Size, bounded, shown
from benchmarks._meshes import LAN_LINKS, deaths, mesh, messages, subject
from hubless_sim.faults import Starve
from hubless_sim.gossip.run import GossipRun
from hubless_sim.tapes.tape import Monitored

NODES = 128
QUIET_S = 15
BLOCKED_S = 120
CALM_S = 10

Cell = tuple[int, int, int]
"""How many nodes are blocked, for how many ms, and how many ms they are awake in between."""

CELLS: dict[Size, list[Cell]] = {
    "quick": [(16, 8192, 64)],
    "default": [
        (1, 32768, 64),
        (4, 8192, 64),
        (16, 2048, 64),
        (16, 16384, 1024),
        (32, 8192, 64),
        (32, 32768, 4096),
    ],
    "full": [
        (blocked, blocked_ms, awake_ms)
        for blocked in (1, 4, 8, 16, 24, 32)
        for blocked_ms in (512, 2048, 8192, 32768)
        for awake_ms in (4, 64, 1024, 16384)
    ],
}


class _Count:
    """Totals over the cells for one configuration."""

    def __init__(self) -> None:
        self.healthy_at_healthy = 0
        self.healthy_anywhere = 0
        self.blocked_at_healthy = 0
        self.messages = 0

    def add(self, run: GossipRun, blocked: Sequence[str], before: int) -> None:
        for told in deaths(run, since_s=QUIET_S):
            if subject(told) in blocked:
                self.blocked_at_healthy += told.node not in blocked
            else:
                self.healthy_anywhere += 1
                self.healthy_at_healthy += told.node not in blocked
        self.messages += messages(run) - before


def lifeguard(size: Size) -> Report:
    """Run the cells under plain SWIM, Lifeguard without link evidence, and Lifeguard with it."""
    seeds = [1, 2] if size == "full" else [1]
    plain, ours, linked = _Count(), _Count(), _Count()
    for seed in seeds:
        for cell in CELLS[size]:
            _cell(seed, cell, "swim", None, plain)
            _cell(seed, cell, "lan", None, ours)
            _cell(seed, cell, "lan", LAN_LINKS, linked)
    return Report(
        name="lifeguard",
        figures=_figures(plain, ours, linked),
        runs=3 * len(seeds) * len(CELLS[size]),
        seeds=seeds,
    )


def _figures(plain: _Count, ours: _Count, linked: _Count) -> list[Figure]:
    def share(count: _Count) -> float:
        if not plain.healthy_at_healthy:
            return float("nan")
        return 100 * count.healthy_at_healthy / plain.healthy_at_healthy

    return [
        bounded("false_deaths_percent_of_swim", share(ours), 1.9, unit="%", note="no link evidence"),
        bounded(
            "messages_times_swim", ours.messages / plain.messages, 1.11, unit="x", note="no link evidence"
        ),
        bounded("false_deaths_percent_of_swim_with_links", share(linked), 1.9, unit="%"),
        bounded("messages_times_swim_with_links", linked.messages / plain.messages, 1.11, unit="x"),
        *[
            shown(f"{field}_{name}", getattr(count, field))
            for field in ("healthy_at_healthy", "healthy_anywhere", "blocked_at_healthy", "messages")
            for name, count in (("swim", plain), ("ours", ours), ("with_links", linked))
        ],
    ]


def _cell(seed: int, cell: Cell, preset: str, monitored: Monitored | None, count: _Count) -> None:
    how_many, blocked_ms, awake_ms = cell
    chance = random.Random(f"{seed}:{cell}")
    blocked = sorted(chance.sample([f"n{index}" for index in range(NODES)], how_many))
    tape = mesh(
        seed=seed,
        nodes=NODES,
        duration_s=QUIET_S + BLOCKED_S + CALM_S,
        preset=preset,
        monitored=monitored,
        faults=(
            Starve(
                at_ms=QUIET_S * 1000,
                until_ms=(QUIET_S + BLOCKED_S) * 1000,
                nodes=tuple(blocked),
                blocks="messages",
                blocked_ms=blocked_ms,
                awake_ms=awake_ms,
            ),
        ),
    )
    run = GossipRun(tape)
    run.advance_to_ms(QUIET_S * 1000)
    before = messages(run)
    run.advance_to_ms(tape.duration_ms)
    count.add(run, blocked, before)
