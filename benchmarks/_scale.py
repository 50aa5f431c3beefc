"""What a mesh costs when nothing happens, how fast it is simulated, and a crash on one host."""

import time

from benchmarks._figures import Report, Size, bounded, percentile, shown
from benchmarks._meshes import LOCAL_LINKS, deaths, mesh, messages, subject
from hubless_sim.faults import Crash
from hubless_sim.gossip.run import GossipRun

_PACKET_OVERHEAD = 54
"""Ethernet is left out: IPv4 and TCP headers with timestamps (52 B) and the ZMTP frame header (2 B)."""


def idle(size: Size) -> Report:
    """Bytes per second and node in a calm mesh of 1,000 (``lan``), and simulated seconds per second."""
    nodes = 200 if size == "quick" else 1000
    calm_s, measured_s = 120, 60
    run = GossipRun(mesh(seed=1, nodes=nodes, duration_s=calm_s + measured_s))
    start = time.perf_counter()
    run.advance_to_ms(calm_s * 1000)
    joined_s = time.perf_counter() - start
    full = all(len(run.view(name)) == nodes for name in run.names())
    before = [(run.traffic(name).bytes_out, run.traffic(name).messages_out) for name in run.names()]
    start, cpu_start = time.perf_counter(), time.process_time()
    run.advance_to_ms((calm_s + measured_s) * 1000)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    rates = [
        (run.traffic(name).bytes_out - earlier) / measured_s
        for name, (earlier, _) in zip(run.names(), before, strict=True)
    ]
    sent = messages(run) - sum(count for _, count in before)
    per_node = sent / measured_s / nodes
    mean = sum(rates) / nodes
    return Report(
        name="idle",
        figures=[
            bounded("idle_bytes_per_s", mean, 300, unit="B/s", note="packets sent per node, mean"),
            shown("idle_bytes_per_s_max", max(rates), unit="B/s", note="the busiest node"),
            shown(
                "idle_bytes_per_s_with_headers",
                mean + per_node * _PACKET_OVERHEAD,
                unit="B/s",
                note="54 B of TCP/IP and frame headers for each packet",
            ),
            shown("idle_messages_per_s", per_node, unit="1/s", note="per node"),
            bounded(
                "x_realtime_1000" if nodes == 1000 else f"x_realtime_{nodes}",
                measured_s / wall_s,
                1.0,
                unit="x",
                sense=">=",
            ),
            shown("x_realtime_by_processor_time", measured_s / cpu_s, unit="x"),
            shown("messages_per_processor_s", sent / cpu_s, unit="1/s"),
            shown("full_views", float(full), note="1: every node knew every other before the measurement"),
            shown("joining_wall_s", joined_s, unit="s", note=f"{calm_s} virtual s from nothing"),
        ],
        runs=1,
        seeds=[1],
    )


def local_crash(size: Size) -> Report:
    """The ``local`` preset with link evidence: a crash becomes known dead everywhere."""
    count = {"quick": 3, "default": 20, "full": 200}[size]
    times: list[float] = []
    silent: list[float] = []
    false, unknown = 0, 0
    for seed in range(1, count + 1):
        for quiet, out in ((False, times), (True, silent)):
            victim = f"n{seed % 10}"
            run = GossipRun(
                mesh(
                    seed=seed,
                    nodes=10,
                    duration_s=30,
                    preset="local",
                    monitored=LOCAL_LINKS,
                    faults=(Crash(at_ms=10_000, nodes=(victim,), silent=quiet),),
                )
            )
            run.advance_to_ms(30_000)
            first: dict[str, float] = {}
            for told in deaths(run):
                if subject(told) == victim and told.at_ns >= 10 * 10**9:
                    first.setdefault(told.node, told.at_ns / 1e9 - 10)
                else:
                    false += 1
            out.extend(first.values())
            unknown += 9 - len(first)
    return Report(
        name="local_crash",
        figures=[
            bounded("known_p50", percentile(times, 0.5), 0.3, unit="s"),
            bounded("known_p99", percentile(times, 0.99), 1.0, unit="s"),
            bounded("silent_p99", percentile(silent, 0.99), 8.0, unit="s"),
            shown("silent_p50", percentile(silent, 0.5), unit="s"),
            bounded("unknown_at_live_nodes", unknown, 0),
            bounded("false_deaths", false, 0),
        ],
        runs=2 * count,
        seeds=list(range(1, count + 1)),
    )
