"""Runs a mesh of whole nodes with clients: a run is a function of its tape, and is looked into afterwards."""

import functools

import msgspec

from hubless.effects import Log, Serving
from hubless.node import LeaveMesh, Node
from hubless_agents import Contract, SupervisorConfig
from hubless_gossip import Condition, GossipConfig, JoinRequested
from hubless_sim.faults import MS, Fault, index_of
from hubless_sim.gossip_host import address_of
from hubless_sim.hosts import Birth, Host
from hubless_sim.links import LinkProfile
from hubless_sim.mesh_client import Answered, Call, GaveUp, MeshClient, Stray
from hubless_sim.mesh_host import Halted, MeshHost, MeshSetting
from hubless_sim.network import Layer
from hubless_sim.scripted_pool import Started
from hubless_sim.tape import Conditions
from hubless_sim.world import World


class Offering(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent of the simulated mesh; ``nodes`` empty: every node offers it."""

    name: str
    retries: int = 2
    deadline_ms: int = 2_000
    concurrency: int = 1
    nodes: tuple[int, ...] = ()

    def to_contract(self) -> Contract:
        """As a worker declares it. Answers must be objects, so that garbled ones break the contract."""
        return Contract(
            name=self.name,
            retries=self.retries,
            deadline_ms=self.deadline_ms,
            concurrency=self.concurrency,
            output_schema=b'{"type":"object"}',
            runtime="thread" if self.concurrency == 1 else "asyncio",
        )


class Leaving(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node is asked to leave the mesh in order."""

    at_ms: int
    node: int


class MeshTape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a run depends on. Nodes are ``n0`` ... in faults; clients have the numbers after them."""

    seed: int
    nodes: int = 5
    clients: int = 2
    duration_ms: int
    agents: tuple[Offering, ...]
    calls: tuple[Call, ...]
    faults: tuple[Fault, ...] = ()
    leaves: tuple[Leaving, ...] = ()
    links: Conditions = msgspec.field(default_factory=Conditions)
    gossip: str = "local"
    workers: int = 2
    queue: int = 256
    shards: int = 64
    ring_ms: int = 0
    patience_ms: int = 1_500
    stagger_ms: int = 10


class Start(msgspec.Struct, frozen=True):
    """One start of an attempt, as a worker's node saw it."""

    at_ns: int
    node: str
    boot: int
    attempt: int


class MeshRun:
    """A run of a tape, advanced by hand. What was observed is kept by the number of the call."""

    def __init__(self, tape: MeshTape) -> None:
        self.tape = tape
        self.answers: dict[int, tuple[int, Answered]] = {}
        self.strays: list[Stray] = []
        self.given_up: dict[int, int] = {}
        self.starts: dict[bytes, list[Start]] = {}
        self.agent_of: dict[bytes, str] = {}
        self.halted: dict[str, str] = {}
        self.serving: dict[str, int] = {}
        self.condition_told: list[tuple[int, str, str, str]] = []
        self.log: list[tuple[int, str, str]] = []
        presets = {"local": GossipConfig.local, "lan": GossipConfig.lan}
        self._setting = MeshSetting(
            mesh=tape.seed.to_bytes(8, "big"),
            gossip=presets[tape.gossip](),
            supervisor=SupervisorConfig(workers=tape.workers, queue_per_agent=tape.queue),
            shards=tape.shards,
            ring_ms=tape.ring_ms,
        )
        links = tape.links
        monitored = links.monitored
        self.world = World(
            nodes=tape.nodes + tape.clients,
            seed=tape.seed,
            make=self._make,
            base=Layer(
                loss=links.loss,
                duplicate=links.duplicate,
                base_ns=links.base_us * 1000,
                jitter_ns=links.jitter_us * 1000,
            ),
            links=None
            if monitored is None
            else LinkProfile(
                heartbeat_interval_ns=monitored.heartbeat_interval_ms * MS,
                heartbeat_timeout_ns=monitored.heartbeat_timeout_ms * MS,
                reconnect_ns=monitored.reconnect_ms * MS,
            ),
            observe=self._observe,
        )
        self._schedule()

    def advance_to_ms(self, at_ms: int) -> None:
        """Run up to and including this virtual time."""
        self.world.run_until(at_ms * MS)

    def finish(self) -> "MeshRun":
        """Run to the end of the tape."""
        self.advance_to_ms(self.tape.duration_ms)
        return self

    def running(self) -> list[str]:
        """The nodes (not clients) on which a process runs."""
        return [f"n{index}" for index in range(self.tape.nodes) if self.world.host(index) is not None]

    def node(self, name: str) -> Node:
        """The core that runs on a node; raises LookupError while the node is down."""
        host: MeshHost | None = self.world.host(index_of(name))
        if host is None:
            raise LookupError(f"{name} is down at {self.world.now_ns} ns; see running()")
        return host.node

    def _make(self, birth: Birth) -> Host:
        tape = self.tape
        if birth.node < tape.nodes:
            seeds = tuple(address_of(index) for index in range(tape.nodes) if index != birth.node)
            order = functools.partial(self.world.command, birth.node, JoinRequested(seeds))
            contracts = tuple(
                agent.to_contract() for agent in tape.agents if not agent.nodes or birth.node in agent.nodes
            )
            self.world.at(self.world.now_ns, order)
            return MeshHost(
                birth, setting=self._setting, contracts=contracts, joins=tape.nodes > 1, seed=tape.seed
            )
        self.world.at(self.world.now_ns, functools.partial(self.world.command, birth.node, None))
        turn = birth.node - tape.nodes
        calls = tuple(
            (number, call) for number, call in enumerate(tape.calls) if number % tape.clients == turn
        )
        return MeshClient(
            birth,
            calls=calls,
            nodes=tape.nodes,
            mesh=self._setting.mesh,
            shards=tape.shards,
            patience_ms=tape.patience_ms,
        )

    def _observe(self, now_ns: int, node: int, value: object) -> None:
        name = f"n{node}"
        match value:
            case Started(task=task, attempt=attempt, agent=agent):
                self.agent_of[task] = agent
                start = Start(now_ns, name, self.world.boot(node), attempt)
                self.starts.setdefault(task, []).append(start)
            case Answered(call=call):
                self.answers[call] = (now_ns, value)
            case Stray():
                self.strays.append(value)
            case GaveUp(call=call):
                self.given_up[call] = now_ns
            case Halted(problem=problem):
                self.halted[name] = problem
                self.world.at(now_ns, functools.partial(self.world.crash, node))
            case Serving():
                self.serving[name] = now_ns
            case Log(text=text, member=member, condition=condition):
                self.log.append((now_ns, name, text))
                if member:
                    self.condition_told.append((now_ns, name, member, condition))
            case _:
                raise TypeError(f"nobody here tells {value!r}")

    def _schedule(self) -> None:
        tape, world = self.tape, self.world
        for index in range(tape.nodes + tape.clients):
            world.at(index * tape.stagger_ms * MS, functools.partial(world.start, index))
        for leaving in tape.leaves:
            world.at(leaving.at_ms * MS, functools.partial(world.command, leaving.node, LeaveMesh()))
        for fault in tape.faults:
            fault.impose(world)

    def deaths_told(self, member: str, after_ms: int) -> dict[str, int]:
        """When each node first said, after a time, that a member is dead; in ns."""
        dead = Condition.DEAD.name.lower()
        told: dict[str, int] = {}
        for at_ns, teller, who, condition in self.condition_told:
            if who == member and condition == dead and at_ns >= after_ms * MS:
                told.setdefault(teller, at_ns)
        return told
