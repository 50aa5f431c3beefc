"""Runs of whole nodes with clients, looked into afterwards."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from hubless.effects import Log, Serving
from hubless.node import LeaveMesh, Node
from hubless.placement import shard_of_task
from hubless.shard.records import Recovered
from hubless.shard.settings import ReplicasSettings
from hubless.tasks.machine import Machine
from hubless.wire import Ask, Told
from hubless_agents import Contract, SupervisorConfig
from hubless_gossip import Condition, JoinRequested
from hubless_sim.checkers.bounds import Overfull, overfull
from hubless_sim.checkers.deadlines import Overrun, overrun
from hubless_sim.faults import MS, Misconfigured, index_of
from hubless_sim.gossip.host import configured
from hubless_sim.mesh import checks as mesh_checks
from hubless_sim.mesh.beliefs import Health, told_dead, wrong_beliefs
from hubless_sim.mesh.black_holes import Began, Process, black_holes, outcomes, until_ns
from hubless_sim.mesh.breaker_audit import BreakerAudit, unprobed
from hubless_sim.mesh.client import MeshClient, Question
from hubless_sim.mesh.host import Halted, MeshHost, MeshSetting, RefusingHost, WorkerPool
from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Misled, Queried, Receipt, Started, Stray
from hubless_sim.mesh.observed import Heard, Start
from hubless_sim.mesh.scripted_pool import Outside, ScriptedPool
from hubless_sim.mesh.store import Store, unfenced
from hubless_sim.names import name_of
from hubless_sim.run import Run
from hubless_sim.tapes.operations import Call, Leave, Operation, Query
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Tape, TapeError
from hubless_sim.verdict import Violation, breaches
from hubless_sim.world.hosts import Birth, Host
from hubless_sim.world.recorder import Recorder

_SETTLED_MS = 500
"""Beats have told by then what was decided last."""


def client_of(tape: Tape, system: MeshSystem, birth: Birth, mesh: bytes) -> MeshClient:
    """A client of the tape, with its share of the calls and queries."""
    turn = birth.node - tape.nodes
    calls = [each for each in tape.operations if isinstance(each, Call)]
    queries = [each for each in tape.operations if isinstance(each, Query)]
    return MeshClient(
        birth,
        calls=tuple(each for each in enumerate(calls) if each[0] % tape.clients == turn),
        queries=tuple(each for each in enumerate(queries) if each[1].call % tape.clients == turn),
        nodes=tape.nodes,
        mesh=mesh,
        shards=system.shards,
        patience_ms=system.patience_ms,
    )


def _other_mesh(mesh: bytes) -> bytes:
    return bytes(each ^ 0xFF for each in mesh)


def _other_contract(contract: Contract) -> Contract:
    """Of another version, which forbids what the agent answers."""
    return msgspec.structs.replace(contract, version="other", output_schema=b'{"type":"string"}')


class MeshRun(Run, Heard):
    """A run of a tape, advanced by hand. What was observed is kept by the number of the call."""

    def __init__(self, tape: Tape, recorder: Recorder | None = None) -> None:
        system = tape.system
        if not isinstance(system, MeshSystem):
            raise TypeError(f"the tape's system is {system!r}; see hubless_sim.play for any system")
        Heard.__init__(self)
        self.system = system
        self.calls = tuple(each for each in tape.operations if isinstance(each, Call))
        if self.calls and not tape.clients:
            raise TapeError("tape: calls and no clients at `$.clients`; give it one or more.")
        self.queries = tuple(each for each in tape.operations if isinstance(each, Query))
        self.unowned: dict[int, tuple[str, ...]] = {}
        """Shards that did not have one owner when they had to, and who took himself for one."""
        self.starts: dict[bytes, list[Start]] = {}
        self.misled: set[tuple[bytes, int, bytes]] = set()
        self.agent_of: dict[bytes, str] = {}
        self.store = Store()
        """What agents write to that have a ``store``."""
        self.halted: dict[str, str] = {}
        self.overfull: list[tuple[int, str, Overfull]] = []
        self.overrun: list[tuple[int, str, Overrun]] = []
        self.serving: dict[str, int] = {}
        self.condition_told: list[tuple[int, str, str, str]] = []
        self.log: list[tuple[int, str, str]] = []
        try:
            gossip = configured(system.preset, system.knobs)
            supervisor = SupervisorConfig(
                workers=system.workers, queue_per_agent=system.queue, max_kills=system.max_kills
            )
        except (ValueError, TypeError) as error:
            raise TapeError(f"tape: {error} at `$.system`.") from error
        try:
            replicas = ReplicasSettings.local() if system.replicas is None else system.replicas.to_settings()
        except ValueError as error:
            raise TapeError(f"tape: {error} at `$.system.replicas`.") from error
        self._setting = MeshSetting(
            mesh=tape.seed.to_bytes(8, "big"),
            gossip=gossip,
            supervisor=supervisor,
            shards=system.shards,
            ring_ms=system.ring_ms,
            replicas=replicas,
        )
        self._last_ms = max([system.owned_ms or 0, *(operation.at_ms for operation in tape.operations)])
        names = [f"n{index}" for index in range(tape.nodes)]
        self._breakers = BreakerAudit(tape.faults, self.calls, names)
        self._began: list[Began] = []
        self._began_until_ns = until_ns(tape.faults, tape.operations)
        self._health = Health(tape.faults, system, names)
        super().__init__(tape, recorder)
        if system.owned_ms is not None and not system.core:
            self.world.at(system.owned_ms * MS, self._look_for_owners)

    def node(self, name: str) -> Node:
        """The core that runs on a node; raises LookupError while the node is down."""
        node: Node = self.host(name).node
        return node

    def ask(
        self, node: str, what: str, argument: str = "", *, client: int = 0, patience_ms: int = 8_000
    ) -> Told:
        """Has a client ask a node what an operator would, and runs until the answer is there.

        Raises LookupError if none comes in time.
        """
        request = len(self.told) + 1
        question = Question(index_of(node), Ask(request, what, argument))
        self.command_now(self.tape.nodes + client, question)
        ends_ms = self.world.now_ns // MS + patience_ms
        while request not in self.told:
            if self.world.now_ns >= ends_ms * MS:
                raise LookupError(f"{node} did not answer {what!r} within {patience_ms} ms")
            self.advance_to_ms(self.world.now_ns // MS + 10)
        return self.told[request]

    def found(self) -> dict[str, Any]:
        """How the calls ended, how many attempts began, and what became of shards and results."""
        return mesh_checks.figures(self)

    def violations(self) -> list[Violation]:
        """What does not hold after the calm, of tapes that have one."""
        if self.system.owned_ms is None:
            return []
        return [
            *mesh_checks.violations(self),
            *self._breakers.violations,
            *self._unprobed(),
            *self._black_holes(),
            *breaches("fencing", self._unfenced()),
            *wrong_beliefs(self._core(), self.system),
            *told_dead(self.condition_told, self._core(), self._health),
            *overfull(self.overfull),
            *overrun(self.overrun),
        ]

    def _unfenced(self) -> Iterator[str]:
        """Of tasks whose attempts are counted by their shard alone."""
        counted = {
            agent.name
            for agent in self.system.agents
            if agent.durability == "replicated" and agent.partition == "wait"
        }
        return unfenced([each for each in self.store.accesses if self.agent_of[each.task] in counted])

    def _unprobed(self) -> Iterator[Violation]:
        """Where one node decides about all tasks, and runs none of them itself."""
        owners = self.owners()
        if len(owners) == 1 and len(owners[0]) == 1:
            (name,) = owners[0]
            if all(agent.nodes and name not in agent.nodes for agent in self.system.agents):
                starts = (start.at_ns for starts in self.starts.values() for start in starts)
                yield from unprobed(name, self.node(name).breakers, self.world.now_ns, starts)

    def _black_holes(self) -> Iterator[Violation]:
        deadlines_ns = {agent.name: agent.deadline_ms * MS for agent in self.system.agents}
        return black_holes(outcomes(self._began, mesh_checks.rows_of(self), deadlines_ns))

    def is_over(self) -> bool:
        """Whether, in the calm, nobody has anything left to do."""
        at_ms = self.world.now_ns // MS
        if self.system.owned_ms is None or at_ms < self._last_ms + _SETTLED_MS:
            return False
        clients = (self.world.host(self.tape.nodes + turn) for turn in range(self.tape.clients))
        if not all(client is None or client.is_idle for client in clients):
            return False
        return not mesh_checks.in_core(self, self.unfinished()) and self._is_settled()

    def _is_settled(self) -> bool:
        """Whether all is known; and while something is wrong for ever, a shard may change hands at any moment."""
        owners = self.owners().values() if self.system.core else ()
        if not all(len(mesh_checks.owners_that_count(self, names)) == 1 for names in owners):
            return False
        return not any(wrong_beliefs(self._core(), self.system))

    def _core(self) -> dict[str, MeshHost]:
        """The processes of the core that run, by the names of their nodes."""
        machines = mesh_checks.in_core(self, self.running())
        return {
            name_of(index_of(name), self.world.disk(index_of(name)).formats): self.host(name)
            for name in machines
        }

    def make(self, birth: Birth) -> Host:
        """A whole node, or a client with its share of the calls."""
        if birth.node < self.tape.nodes:
            return self._node(birth)
        self.command_now(birth.node, None)
        return client_of(self.tape, self.system, birth, self._setting.mesh)

    def _node(self, birth: Birth) -> Host:
        self.command_now(birth.node, JoinRequested(self.seeds(birth.node)))
        setting = self._setting
        for ill in self.world.ills(birth.node):
            match ill:
                case Misconfigured(does="mesh"):
                    setting = msgspec.structs.replace(setting, mesh=_other_mesh(setting.mesh))
                case Misconfigured(does="shards"):
                    setting = msgspec.structs.replace(setting, shards=setting.shards + 1)
                case _:
                    pass
        if birth.recovered and setting.mesh != self._setting.mesh:
            return RefusingHost("the journal is of another mesh")
        return MeshHost(birth, setting=setting, pool=self.pool_of(birth.node), joins=self.tape.nodes > 1)

    def pool_of(self, node: int) -> WorkerPool | None:
        """The workers of a process that starts on a node; None if no agents are offered there."""
        contracts = tuple(
            agent.to_contract()
            for agent in self.system.agents
            if not agent.nodes or f"n{node}" in agent.nodes
        )
        if not contracts:
            return None
        if any(isinstance(ill, Misconfigured) and ill.does == "contract" for ill in self.world.ills(node)):
            contracts = tuple(_other_contract(contract) for contract in contracts)
        users = frozenset(agent.name for agent in self.system.agents if agent.store)
        return ScriptedPool(
            seed=self.tape.seed,
            contracts=contracts,
            profile=self._setting.pool,
            slowness=functools.partial(self.world.slowness, node),
            ills=functools.partial(self.world.ills, node),
            outside=Outside(self.store, users, f"n{node}/{self.world.boot(node)}") if users else None,
        )

    def order(self, operation: Operation) -> LeaveMesh | None:
        """A node is asked to leave; calls are the clients' own."""
        return LeaveMesh() if isinstance(operation, Leave) else None

    def observe(self, now_ns: int, node: int, value: Any) -> None:
        """Hear what nodes and clients note."""
        name = f"n{node}"
        match value:
            case Started(task=task, attempt=attempt, agent=agent):
                self.agent_of[task] = agent
                start = Start(now_ns, name, self.world.boot(node), attempt)
                self.starts.setdefault(task, []).append(start)
                if now_ns < self._began_until_ns:
                    self._note_owner(start, task, agent)
            case Misled(task=task, attempt=attempt, payload=payload):
                self.misled.add((task, attempt, payload))
            case Answered() | Handed() | Receipt() | Queried() | Told() | Stray() | GaveUp():
                self.client_said(now_ns, value)
            case Halted(problem=problem):
                self.halted[name] = problem
                self.world.at(now_ns, functools.partial(self.world.crash, node))
            case Serving():
                self.serving[name] = now_ns
            case Overfull():
                self.overfull.append((now_ns, name, value))
            case Overrun():
                self.overrun.append((now_ns, name, value))
            case Log(text=text, member=member, condition=condition):
                self.log.append((now_ns, name, text))
                if self.world.host(node) is not None:
                    self._breakers.look(now_ns, name, self.world.boot(node), self.node(name).breakers)
                if member:
                    self.condition_told.append((now_ns, name, member, condition))
            case _:
                raise TypeError(f"nobody here tells {value!r}")

    def _note_owner(self, start: Start, task: bytes, agent: str) -> None:
        shard = shard_of_task(task)
        owners = [name for name in self.running() if shard in self.node(name).keeping.owned]
        if len(owners) == 1:
            owner = Process(owners[0], self.world.boot(index_of(owners[0])))
            executor = Process(start.node, start.boot)
            self._began.append(Began(start.at_ns, task, start.attempt, agent, owner, executor))

    def owners(self) -> dict[int, tuple[str, ...]]:
        """By shard, the nodes that take themselves for its owner just now."""
        found: dict[int, list[str]] = {shard: [] for shard in range(self.system.shards)}
        for name in self.running():
            for shard in self.node(name).keeping.owned:
                found[shard].append(name)
        return {shard: tuple(names) for shard, names in found.items()}

    def machine(self, node: str, shard: int) -> Machine | None:
        """The tasks of a shard as a node has them, if it replicates it; raises LookupError while the node is down."""
        return self.node(node).keeping.machine(shard)

    def journals(self) -> Iterator[tuple[str, Sequence[Recovered]]]:
        """By the id of each running node, what its disk holds."""
        for name in self.running():
            disk = self.world.disk(index_of(name))
            yield name_of(index_of(name), disk.formats), disk.contents.recovered()

    def unfinished(self) -> dict[str, Any]:
        """The running nodes that have something under way just now, and what."""
        found = {name: self.node(name).counters()["unfinished"] for name in self.running()}
        return {name: each for name, each in found.items() if any(msgspec.structs.astuple(each))}  # type: ignore[arg-type]

    def _look_for_owners(self) -> None:
        self.unowned = {shard: names for shard, names in self.owners().items() if len(names) != 1}

    def deaths_told(self, member: str, after_ms: int) -> dict[str, int]:
        """When each node first said, after a time, that a member is dead; in ns."""
        dead = Condition.DEAD.name.lower()
        told: dict[str, int] = {}
        for at_ns, teller, who, condition in self.condition_told:
            if who == member and condition == dead and at_ns >= after_ms * MS:
                told.setdefault(teller, at_ns)
        return told
