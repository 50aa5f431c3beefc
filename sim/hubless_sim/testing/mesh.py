"""A whole mesh with users' own agents, in one thread's time: started, called, broken and looked at by a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from hubless.client.errors import MeshError
from hubless.client.settling import are_at_rest
from hubless.node import LeaveMesh
from hubless_gossip import Condition
from hubless_sim.mesh import checks
from hubless_sim.testing import standins
from hubless_sim.testing.breaking import Breaking
from hubless_sim.testing.chance import seeded
from hubless_sim.testing.client import Pending, Receipt, SimulatedClient
from hubless_sim.testing.profiles import PROFILES, ProfileName
from hubless_sim.testing.recent import recent
from hubless_sim.testing.run import AgentsRun, tape_of
from hubless_sim.testing.sights import Attempt, LogLine, TaskSight
from hubless_sim.testing.targets import Agents, Target
from hubless_sim.verdict import Violation

_NS = 1_000_000_000
_MS = 1_000_000
_READY_S = 600.0
_CALM_S = 60.0
_LONGEST_TASK_S = 120.0
_REST_S = 1.0
_REPLICAS = 3
_LONGEST_STEP_NS = 100 * _MS


class MeshBrokenError(AssertionError):
    """The mesh did not keep what it promises. ``violations`` are the rules that it broke."""

    def __init__(self, text: str, violations: Sequence[Violation]) -> None:
        super().__init__(text)
        self.violations = tuple(violations)


class SimulatedMesh(Breaking):
    """Nodes ``n0``, ``n1``, ... that all offer the same agents. Enter it, and it is up; leave it, and it is checked.

    Args:
        agents: a path to a file with @agent functions, a module, or such functions themselves; see ``Agents``.
        seed: what all chance follows from: the same seed and the same test are the same run.
        workers: worker processes of each node.
        shards: how many the mesh has; a real one has 64, fewer are quicker to simulate.
        profile: timing of nodes and network: processes of one machine ("local"), one data centre ("lan"), several sites
            ("wan"), or nodes that talk as little as they can ("quiet"), for tests that let hours pass.
        check: whether leaving it heals what is broken, lets the mesh come to rest and checks what must hold.
        busy_s: how long an agent may compute in one go, in real seconds; `math.inf` while you stop in a debugger.

    Leaving raises MeshBrokenError if something does not hold. Times are virtual seconds throughout.
    """

    def __init__(
        self,
        agents: Target,
        *,
        nodes: int = 5,
        seed: int = 1,
        workers: int = 2,
        shards: int = 8,
        profile: ProfileName = "local",
        check: bool = True,
        busy_s: float = 30.0,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"profile is {profile!r}; choose one of {', '.join(PROFILES)}")
        for field, value, most in (
            ("nodes", nodes, 200),
            ("workers", workers, 64),
            ("shards", shards, 1_024),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"{field} is {value}; choose from 1 to {most}")
        self._target = agents
        self._profile = PROFILES[profile]
        self._options = {"nodes": nodes, "workers": workers, "shards": shards}
        self._is_checked = check
        self._busy_s = busy_s
        self._undos: list[Callable[[], None]] = []
        self._run: AgentsRun | None = None
        self._client: SimulatedClient | None = None
        self.seed = seed
        self.story: list[tuple[float, str]] = []
        """What the test did to the mesh, and when."""
        self.nodes = tuple(f"n{index}" for index in range(nodes))
        super().__init__()

    # Life

    def __enter__(self) -> Self:
        standins.put_up()
        self._undos.append(standins.take_down)
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if problem is not None:
                problem.add_note(self.report())
            elif self._is_checked:
                self.check()
        finally:
            self._close()

    def _open(self) -> None:
        agents = Agents(self._target)
        self._undos.append(agents.release)
        self._undos.append(standins.put_into(agents.namespaces))
        with_trio = any(contract.runtime == "trio" for contract in agents.contracts)
        self._undos.append(seeded(self.seed, with_trio=with_trio))
        tape = tape_of(agents, self._profile, seed=self.seed, **self._options)
        self._run = run = AgentsRun(tape, agents, self._profile, busy_s=self._busy_s)
        self._undos.append(run.unwind)
        run.world.at(0, partial(run.start_client, 0))
        self._client = SimulatedClient(run, "client", 0, self._run_until)
        self.wait_until(self.is_settled, timeout=_READY_S, what="the new mesh to come to rest")

    def _close(self) -> None:
        while self._undos:
            self._undos.pop()()

    @property
    def run(self) -> AgentsRun:
        """The run behind it, with all that there is to look at. Raises RuntimeError before the mesh is entered."""
        if self._run is None:
            raise RuntimeError("the mesh is not up: use it in a with statement, or take it from the fixture")
        return self._run

    @property
    def client(self) -> SimulatedClient:
        """The test's own client, which is connected to all nodes. Raises RuntimeError before the mesh is entered."""
        if self._client is None:
            raise RuntimeError("the mesh is not up: use it in a with statement, or take it from the fixture")
        return self._client

    # Work

    def begin(self, agent: str, payload: Any = None, **options: Any) -> Pending:
        """Call an agent and go on at once; see ``SimulatedClient.begin``."""
        return self.client.begin(agent, payload, **options)

    def call(self, agent: str, payload: Any = None, **options: Any) -> Any:
        """Call an agent and return its answer; see ``SimulatedClient.call``."""
        return self.client.call(agent, payload, **options)

    def map(self, agent: str, items: Sequence[Any], **options: Any) -> list[Any]:
        """Call the agent with all items at once; see ``SimulatedClient.map``."""
        return self.client.map(agent, items, **options)

    def submit(self, agent: str, payload: Any = None, **options: Any) -> Receipt:
        """Hand a task in and return its receipt; see ``SimulatedClient.submit``."""
        return self.client.submit(agent, payload, **options)

    def result(self, task: str, timeout: float | None = None) -> Any:
        """Wait for the answer of a task by its id; see ``SimulatedClient.result``."""
        return self.client.result(task, timeout)

    def connect(self, *nodes: str) -> SimulatedClient:
        """One more client, which knows these nodes (none named: all); its ``name`` can be cut off like a node's."""
        run = self.run
        place = run.connect(tuple(self.indices(nodes or self.nodes)))
        client = SimulatedClient(run, f"client-{place}", place, self._run_until)
        gateways = run.world.host(run.tape.nodes + place).session.gateways
        self._run_until(lambda: bool(gateways.serving), 5.0)
        return client

    # Time

    @property
    def now(self) -> float:
        """Virtual seconds since the first node started."""
        return self.run.world.now_ns / _NS

    def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let time pass."""
        length_ns = round((seconds + 60 * minutes + 3600 * hours) * _NS)
        if length_ns < 0:
            raise ValueError(f"time does not go back: {length_ns / _NS:g} s")
        self.run.world.run_until(self.run.world.now_ns + length_ns)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60.0, *, what: str = "") -> None:
        """Let time pass until something holds. Raises TimeoutError if it does not within ``timeout``."""
        if not self._run_until(condition, timeout):
            name = what or getattr(condition, "__name__", "a condition")
            raise TimeoutError(f"waited {timeout:g} virtual seconds in vain for {name}")

    def _run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        world = self.run.world
        began_ns = world.now_ns
        ends_ns = began_ns + round(seconds * _NS)
        while not condition():
            if world.now_ns >= ends_ns:
                return False
            step_ns = min(_MS + (world.now_ns - began_ns) // 100, _LONGEST_STEP_NS)
            world.run_until(min(world.now_ns + step_ns, ends_ns))
        return True

    # Sights

    def running(self) -> list[str]:
        """The nodes that have a process now."""
        return self.run.running()

    def members(self, at: str = "n0") -> dict[str, str]:
        """Who is there in the eyes of a node: "alive", "busy", "suspect" or "dead", by node."""
        members = self.run.host(self.nodes[self.indices([at])[0]]).gossip.members()
        return {member.node: Condition(member.condition).name.lower() for member in members}

    def owners(self) -> dict[int, str]:
        """The owner of each shard; "" while there is none, or more than one takes himself for it."""
        return {shard: names[0] if len(names) == 1 else "" for shard, names in self.run.owners().items()}

    def tasks(self) -> list[TaskSight]:
        """All tasks as the owners of their shards know them, in the order of their submission."""
        rows = checks.rows_of(self.run).values()
        return [TaskSight.of(row) for row in sorted(rows, key=lambda row: (row.submitted_ms, row.task))]

    def attempts(self, task: str | Receipt | None = None) -> list[Attempt]:
        """Every run of an agent that began, of one task or of all, in order."""
        wanted = task.id if isinstance(task, Receipt) else task
        run = self.run
        found = [
            Attempt(key.hex(), run.agent_of[key], start.attempt, start.node, start.at_ns / _NS)
            for key, starts in run.starts.items()
            for start in starts
            if wanted is None or key.hex() == wanted
        ]
        return sorted(found, key=lambda each: each.at)

    def log(self) -> list[LogLine]:
        """What agents wrote with ``ctx.log``, in order."""
        return [LogLine(at_ns / _NS, node, each.worker, each.line) for at_ns, node, each in self.run.lines]

    def is_settled(self) -> bool:
        """Whether every shard is healthy and has all the replicas that the running nodes can give it."""
        try:
            told = self.client.ask("shards")
        except MeshError:
            return False
        count = len(self.running())
        return not told["silent"] and are_at_rest(told["shards"], min(count, _REPLICAS), count)

    def settle(self, timeout: float = 120.0) -> None:
        """Let time pass until ``is_settled``. Raises TimeoutError."""
        self.wait_until(self.is_settled, timeout, what="the mesh to come to rest")

    # Verdict

    @property
    def digest(self) -> str:
        """SHA-256 over all that has happened so far: equal for equal runs."""
        return self.run.world.digest()

    def check(self) -> None:
        """Heal what is broken, start what is down, wait for calm, and raise MeshBrokenError for what does not hold."""
        if self.standing() or len(self.running()) < len(self.nodes):
            self.heal()
            self.restart()
        longest_s = max((1 + agent.retries) * agent.deadline_ms for agent in self.run.system.agents) / 1_000
        is_calm = self._come_to_rest(_CALM_S + min(longest_s, _LONGEST_TASK_S))
        found = checks.of_any_agents(recent(self.run))
        if not is_calm and longest_s > _LONGEST_TASK_S:  # what is left may well have time to run
            found = [each for each in found if each.checker != "nothing left behind"]
        if found:
            raise MeshBrokenError(self.report(found), found)

    def _come_to_rest(self, seconds: float) -> bool:
        """Wait until all has been calm for a second: beats have told by then what was decided last.

        An owner that hands its shard on leaves it without one for a moment, so it ends in a moment that is calm.
        """
        ends = self.now + seconds
        while self.now < ends:
            if not self._run_until(self.run.is_calm, ends - self.now):
                return False
            since = self.now
            while self.run.is_calm():
                if self.now >= since + _REST_S:
                    return True
                self.advance(_REST_S / 10)
        return False

    def report(self, violations: Sequence[Violation] = ()) -> str:
        """What did not hold, what was done, and how to see it again."""
        lines = [f"the mesh broke its promise: {each.checker}: {each.text}" for each in violations]
        if self._run is None:
            return "\n".join([*lines, f"the mesh did not come up (seed {self.seed})"])
        lines += [f"{at:9.3f} s  {text}" for at, text in self.story]
        lines.append(f"{self.now:9.3f} s  end; seed {self.seed}, digest {self.digest[:16]}")
        lines.append(f"the same again: seed={self.seed}, or pytest --mesh-seed {self.seed}")
        return "\n".join(lines)

    def did(self, text: str) -> None:
        """Remember what was done to the mesh."""
        self.story.append((self.now, text))

    def leave(self, *nodes: str) -> None:
        """Ask nodes to leave in order: they hand over what they own, and their processes end."""
        for index in self.indices(nodes):
            self.run.world.command(index, LeaveMesh())
        self.did(f"asked to leave: {' '.join(nodes)}")
