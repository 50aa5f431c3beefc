"""How fast the simulator is: messages and seeds a second, and a thousand gossiping nodes against the wall's clock.

    python -m benchmarks.sim --json

    messages_per_s      frames of the wire's codec bounced between hosts that do nothing else, on one core: each is
                        encoded, given its fate by the network, digested, delivered and decoded
    *_messages_per_s    the same of runs with whole cores, where handling a message is most of the cost
    seeds_per_s         five replicas of bare shards under drawn faults, audited after every event, in all processes;
    mesh_seeds_per_s    five whole nodes with clients under drawn faults
    x_realtime_1000     virtual seconds a second, of 1,000 idle nodes that know each other

Rates of messages are by processor time, those of seeds by the wall, with --jobs processes. Medians of the rounds with
the lowest and highest. Exit code 1 if a bound is not met.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks._local import conclude
from benchmarks._meshes import mesh
from hubless.wire import Limits, decode, encode
from hubless.wire.replication import Appended
from hubless_sim.gossip.run import GossipRun
from hubless_sim.play import open_run
from hubless_sim.search.swarms import SWARMS
from hubless_sim.search.sweep import swept
from hubless_sim.world.hosts import Birth, Command, Delivered, HostEffect, HostEvent, Send
from hubless_sim.world.network import Layer
from hubless_sim.world.world import World

BOUNDS = {"messages_per_s": 150_000, "x_realtime_1000": 1.0, "seeds_per_s": 10_000 / 300}
_HOSTS = 5
_IN_FLIGHT = 64
_HEADER = 6
_LIMITS = Limits()


class Bouncer:
    """Decodes what comes, and sends a message of the same kind to the next host."""

    def __init__(self, birth: Birth) -> None:
        self._next = (birth.node + 1) % _HOSTS
        self._name = birth.name
        self._count = 0

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:  # noqa: ARG002 that of all hosts
        """See the class; a command is the first message."""
        match event:
            case Delivered(packet=packet):
                envelope = decode([packet[:_HEADER], packet[_HEADER:]], _LIMITS)
                self._count += len(envelope.messages)
            case Command():
                pass
            case _:
                return []
        header, body = encode(b"simulate", self._name, 1, [Appended(3, 7, self._count)])
        return [Send(self._next, header + body)]

    def next_deadline_ns(self) -> int | None:
        """None: it waits for messages only."""
        return None


def main() -> None:
    """Parses the command line and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=400, help="seeds of bare shards in a round")
    parser.add_argument("--mesh-seeds", type=int, default=40, help="seeds of whole nodes in a round")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=1_000, help="of the idle mesh")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured: dict[str, Callable[[int], float]] = {
        "messages_per_s": lambda _turn: _bounced(),
        "gossip_messages_per_s": lambda turn: _messages("gossip", 20 * turn, 20),
        "shards_messages_per_s": lambda turn: _messages("shards", 20 * turn, 20),
        "mesh_messages_per_s": lambda turn: _messages("mesh", 4 * turn, 4),
        "seeds_per_s": lambda turn: _seeds("shards", turn * arguments.seeds, arguments.seeds, arguments.jobs),
        "mesh_seeds_per_s": lambda turn: _seeds(
            "mesh", turn * arguments.mesh_seeds, arguments.mesh_seeds, arguments.jobs
        ),
    }
    values: dict[str, list[float]] = {name: [] for name in measured}
    for turn in range(arguments.rounds):
        for name, measure in measured.items():
            values[name].append(measure(turn))
    figures: dict[str, Any] = {name: round(statistics.median(each), 1) for name, each in values.items()}
    figures[f"x_realtime_{arguments.nodes}"] = round(_realtime(arguments.nodes), 1)
    figures["minutes_for_10000_seeds"] = round(10_000 / figures["seeds_per_s"] / 60, 1)
    spread = {name: [round(min(each), 1), round(max(each), 1)] for name, each in values.items()}
    met = {name: figures[name] >= bound for name, bound in BOUNDS.items() if name in figures}
    document = figures | {"met": met, "spread": spread, "rounds": arguments.rounds, "jobs": arguments.jobs}
    conclude(document, as_json=arguments.json)


def _bounced() -> float:
    world = World(nodes=_HOSTS, seed=1, make=Bouncer, base=Layer(base_ns=250_000, jitter_ns=250_000))
    for index in range(_HOSTS):
        world.start(index)
        for _ in range(_IN_FLIGHT):
            world.command(index, None)
    began = time.process_time()
    world.run_until(100_000_000)
    took_s = time.process_time() - began
    return sum(world.traffic(index).messages_out for index in range(_HOSTS)) / took_s


def _messages(system: str, first: int, count: int) -> float:
    runs = [open_run(SWARMS[system](seed)) for seed in range(first, first + count)]
    began = time.process_time()
    sent = sum(run.finish().messages for run in runs)
    return sent / (time.process_time() - began)


def _seeds(system: str, first: int, count: int, jobs: int) -> float:
    began = time.perf_counter()
    failed = [seed for seed, violations in swept(first, count, jobs, system) if violations]
    if failed:
        raise SystemExit(f"seeds {failed} of {system} fail: see `mesh sim sweep --system {system}`")
    return count / (time.perf_counter() - began)


def _realtime(nodes: int) -> float:
    joining_s, measured_s = 120, 60
    run = GossipRun(mesh(seed=1, nodes=nodes, duration_s=joining_s + measured_s))
    run.advance_to_ms(joining_s * 1_000)
    if any(len(run.view(name)) != nodes for name in run.names()):
        raise SystemExit("not all nodes know each other after the time for joining")
    began = time.perf_counter()
    run.advance_to_ms((joining_s + measured_s) * 1_000)
    return measured_s / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
