"""The agents of the user's module as the supervisor sees them: contract, compiled schemas, queue, standing."""

import random
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from .config import SupervisorConfig
from .contract import Contract
from .events import Assignment
from .failure import Failure
from .rungs import Intensity, Standing
from .schema import Checker, SchemaError

AGENTS_LIMIT = 256


class AgentLoad(msgspec.Struct, frozen=True):
    """`slots`: tasks that this node can run at once; `queued`: waiting here; `running`: with a worker."""

    slots: int
    queued: int
    running: int


class Held:
    """A task that this node holds: queued, or given to a worker under the number `give`.

    `ended`: its outcome has been reported; it may still occupy its worker.
    """

    __slots__ = (
        "agent",
        "assignment",
        "cost_ns",
        "ended",
        "failures",
        "give",
        "lane_agent",
        "lane_limit",
        "recalled",
        "run_due_ns",
        "serial",
        "worker",
    )

    def __init__(self, serial: int, assignment: Assignment, agent: "Agent") -> None:
        self.serial = serial
        self.assignment = assignment
        self.agent = agent
        self.lane_agent = agent.contract.name
        self.lane_limit = agent.contract.concurrency
        self.failures: tuple[Failure, ...] = ()
        self.worker: int | None = None
        self.give = 0
        self.cost_ns = 0.0
        self.run_due_ns: int | None = None
        self.recalled = False
        self.ended = False


class Agent:
    """One kind of agent on this node."""

    __slots__ = ("_mean_ns", "contract", "given", "input", "intensity", "output", "queue")

    def __init__(self, contract: Contract, config: SupervisorConfig, rng: random.Random) -> None:
        self.contract = contract
        self.input = Checker(contract.input_schema)
        self.output = Checker(contract.output_schema)
        self.intensity = Intensity(config, rng)
        self.queue: OrderedDict[int, Held] = OrderedDict()
        self.given = 0
        self._mean_ns: float | None = None

    @property
    def mean_ns(self) -> float:
        """Mean service time, in doubt too long: infinite before the first answer, quick up, slow down."""
        return float("inf") if self._mean_ns is None else self._mean_ns

    def took(self, sample_ns: int) -> None:
        """Learn from one task's service time."""
        sample = float(max(sample_ns, 1_000))
        if self._mean_ns is None:
            self._mean_ns = sample
        else:
            weight = 0.5 if sample > self._mean_ns else 0.1
            self._mean_ns += weight * (sample - self._mean_ns)

    def put_back(self, held: Held) -> None:
        """To the front of the queue: it was there before those that wait now."""
        self.queue[held.serial] = held
        self.queue.move_to_end(held.serial, last=False)


class Catalogue:
    """All agents of the module, by name. Adopted from the first worker that is ready; later ones must agree."""

    __slots__ = ("_adopted", "_config", "_rng_seed", "agents")

    def __init__(self, config: SupervisorConfig, rng: random.Random) -> None:
        self._config = config
        self._rng_seed = rng.getrandbits(64)
        self._adopted: tuple[Contract, ...] | None = None
        self.agents: dict[str, Agent] = {}

    @property
    def known(self) -> bool:
        return self._adopted is not None

    def adopt(self, contracts: Iterable[Contract]) -> str | None:
        """Take over a worker's contracts; returns what is wrong with them, or None.

        A contract does not change while a node runs: tasks were checked against it on their way in.
        """
        offered = tuple(sorted(contracts, key=lambda contract: contract.name))
        if self._adopted is not None:
            if offered == self._adopted:
                return None
            return (
                "the agents' contracts changed since this node started; restart the node to load the new file"
            )
        names = [contract.name for contract in offered]
        if not names or len(names) > AGENTS_LIMIT or len(set(names)) != len(names):
            return f"a module must have 1 to {AGENTS_LIMIT} agents of different names, not {len(names)}"
        agents: dict[str, Agent] = {}
        for contract in offered:
            rng = random.Random(f"{self._rng_seed}:{contract.name}")
            try:
                agents[contract.name] = Agent(contract, self._config, rng)
            except SchemaError as error:
                return f"agent {contract.name}: {error}"
        self.agents = agents
        self._adopted = offered
        return None

    def offers(self) -> tuple[Contract, ...]:
        """Contracts of the agents that may take tasks now, sorted by name."""
        return tuple(
            agent.contract
            for agent in self.agents.values()
            if agent.intensity.standing is not Standing.QUARANTINED
        )
