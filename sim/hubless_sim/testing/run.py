"""A run of whole nodes with users' agents in their workers and the core of the client library in their clients."""

from __future__ import annotations

import functools
import sys
from typing import Any

import msgspec

from hubless.wire import Durability
from hubless_sim.faults import MAX_MS, MS
from hubless_sim.mesh import checks
from hubless_sim.mesh.host import WorkerPool
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.operations import Call, Query
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Start, Tape
from hubless_sim.testing.client_host import ClientHost, Enquire, Place, Replied, Settled, Taken
from hubless_sim.testing.pool import AgentPool, Logged
from hubless_sim.testing.process import WorkerProcess
from hubless_sim.testing.profiles import Profile
from hubless_sim.testing.targets import Agents
from hubless_sim.world.clock import WALL_START_NS
from hubless_sim.world.hosts import Birth, Host

CLIENTS = 8
"""Places for clients; the first one is connected to all nodes."""


def tape_of(agents: Agents, profile: Profile, *, seed: int, nodes: int, workers: int, shards: int) -> Tape:
    """What the world of a user's test is made from; the test is its workload and its faults."""
    system = MeshSystem(
        agents=tuple(_offering(contract) for contract in agents.contracts),
        preset=profile.preset,
        knobs=profile.knobs,
        workers=workers,
        shards=shards,
    )
    absent = tuple(f"n{nodes + turn}" for turn in range(CLIENTS))
    return Tape(
        seed=seed,
        nodes=nodes,
        clients=CLIENTS,
        duration_ms=MAX_MS,
        system=system,
        links=profile.links,
        start=Start(join=(), absent=absent),
    )


def _offering(contract: Any) -> Offering:
    return Offering(
        name=contract.name,
        retries=contract.retries,
        deadline_ms=contract.deadline_ms,
        concurrency=contract.concurrency,
        durability=contract.durability,
        partition=contract.partition,
    )


class AgentsRun(MeshRun):
    """What a test sees of its mesh, by the numbers that its submissions and questions have."""

    def __init__(self, tape: Tape, agents: Agents, profile: Profile, *, busy_s: float) -> None:
        self._agents = agents
        self._busy_s = busy_s
        self._durability = {contract.name: contract.durability for contract in agents.contracts}
        self._gateways: dict[int, tuple[int, ...]] = {0: tuple(range(tape.nodes))}
        self.processes: list[WorkerProcess] = []
        """All worker processes that there ever were, for who unwinds them."""
        self.taken: dict[int, bytes] = {}
        self.settled: dict[int, Settled] = {}
        self.replied: dict[int, Replied] = {}
        self.lines: list[tuple[int, str, Logged]] = []
        """What agents logged: when, on which node, and what."""
        self.sizes: dict[int, int] = {}
        """How large each submission's payload was, in bytes."""
        self._asked = 0
        super().__init__(tape)
        self._setting = msgspec.structs.replace(self._setting, replicas=profile.replicas)

    # What runs

    def make(self, birth: Birth) -> Host:
        """A whole node, or a client."""
        if birth.node < self.tape.nodes:
            return super().make(birth)
        return ClientHost(birth, gateways=self._gateways[birth.node - self.tape.nodes], nodes=self.tape.nodes)

    def pool_of(self, node: int) -> WorkerPool:
        """Workers that run the user's agents."""
        return AgentPool(
            f"n{node}",
            self._agents.bounds,
            seed=self.tape.seed,
            epoch_ns=self.world.clock(node).wall_offset_ns + WALL_START_NS,
            max_payload_bytes=self._setting.supervisor.max_payload_bytes,
            busy_s=self._busy_s,
            slowness=functools.partial(self.world.slowness, node),
            ills=functools.partial(self.world.ills, node),
            processes=self.processes,
        )

    def observe(self, now_ns: int, node: int, value: Any) -> None:
        """Hear what agents, clients and nodes note."""
        match value:
            case Logged(worker=worker, line=line):
                self.lines.append((now_ns, f"n{node}", value))
                sys.stderr.write(f"{now_ns / 1e9:9.3f} s  n{node}  worker {worker}  {line}\n")
            case Settled(number=number):
                self.settled[number] = value
            case Taken(number=number, task=task):
                self.taken[number] = task
            case Replied(number=number):
                self.replied[number] = value
            case _:
                super().observe(now_ns, node, value)

    def unwind(self) -> None:
        """Let go of all that agents have on their stacks, now that the world has ended."""
        for process in self.processes:
            process.unwind()

    # What is asked of it

    def connect(self, gateways: tuple[int, ...]) -> int:
        """Start one more client; returns its place."""
        place = len(self._gateways)
        if place >= CLIENTS:
            raise ValueError(
                f"a simulated mesh has room for {CLIENTS} clients; use one of those that there are"
            )
        self._gateways[place] = gateways
        self.start_client(place)
        return place

    def client_names(self) -> dict[str, int]:
        """The clients that there are, and their numbers among the nodes."""
        return {f"client-{place}" if place else "client": self.tape.nodes + place for place in self._gateways}

    def start_client(self, place: int) -> None:
        """Start the client in a place."""
        self.world.start(self.tape.nodes + place)
        self.world.command(self.tape.nodes + place, None)

    def place(self, client: int, **options: Any) -> int:
        """Have a client submit a task; returns the number of the submission."""
        number = len(self.calls)
        agent, durability = options["agent"], options["durability"]
        is_kept = (
            durability is Durability.REPLICATED
            or options["wants_receipt"]
            or bool(options["idempotency_key"])
        )
        if durability is Durability.OF_AGENT:
            is_kept = is_kept or self._durability.get(agent) == "replicated"
        call = Call(at_ms=self.world.now_ns // MS, agent=agent, script=Script(number), gateway="n0")
        self.calls = (*self.calls, call)
        self.sizes[number] = len(options["payload"])
        order = Place(number=number, is_kept=is_kept and agent in self._durability, **options)
        self.world.command(self.tape.nodes + client, order)
        return number

    def enquire(self, client: int, what: str, argument: str, address: str) -> int:
        """Have a client ask a question; returns its number."""
        self._asked += 1
        if what == "retry":
            query = Query(at_ms=self.world.now_ns // MS, what="retry", gateway="n0")
            self.queried[len(self.queries)] = (self.world.now_ns, bytes.fromhex(argument))
            self.queries = (*self.queries, query)
        self.world.command(self.tape.nodes + client, Enquire(self._asked, what, argument, address))
        return self._asked

    # What holds

    def is_calm(self) -> bool:
        """Whether every shard that can be owned has one owner, and nobody has anything left to do."""
        lost = checks.lost_shards(self)
        if any(len(names) != 1 for shard, names in self.owners().items() if shard not in lost):
            return False
        clients = (self.world.host(self.tape.nodes + turn) for turn in range(CLIENTS))
        return all(client is None or client.is_idle for client in clients) and not self.unfinished()
