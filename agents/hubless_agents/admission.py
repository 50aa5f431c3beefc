"""Whether a task may enter: bounds first, its content last, so that an overloaded node does not parse."""

from .catalogue import Agent, Catalogue
from .config import SupervisorConfig
from .events import Assignment
from .failure import Failure, failure
from .marks import sometimes
from .rungs import MS, Standing, StartBackoff

_RETRY_FLOOR_MS = 10
_RETRY_CEILING_MS = 10_000
_STARTING_RETRY_MS = 250


class Admission:
    """The gate of one node's supervisor. The offering sets `failing`, the supervisor `draining`."""

    __slots__ = ("_backoff", "_catalogue", "_config", "_node", "draining", "failing")

    def __init__(
        self, config: SupervisorConfig, catalogue: Catalogue, backoff: StartBackoff, *, node: str
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._backoff = backoff
        self._node = node
        self.draining = False
        self.failing = False

    def refusal(self, now_ns: int, assignment: Assignment) -> Failure | None:
        """Why this task is not taken (its effect is then "none"), or None: its agent exists and has room."""
        where = f"{self._node}/{assignment.agent}"
        agent = self._catalogue.agents.get(assignment.agent)
        if agent is None:
            return self._refusal_of_unknown(assignment, where)
        return self._refusal_of_state(now_ns, agent) or self._refusal_of_task(now_ns, agent, assignment)

    def _refusal_of_state(self, now_ns: int, agent: Agent) -> Failure | None:
        name = agent.contract.name
        where = f"{self._node}/{name}"
        if self.draining:
            sometimes("refused a task, as this node is leaving")
            return failure("no_executor", "this node is leaving and takes no new tasks", where=where)
        if agent.intensity.standing is Standing.QUARANTINED:
            sometimes("refused a task, as its agent is set aside")
            return self.quarantined(now_ns, agent)
        if self.failing:
            return self.unstartable(now_ns, name)
        if len(agent.queue) >= self._config.queue_per_agent:
            sometimes("refused a task, as too many wait for its agent here")
            text = f"{len(agent.queue)} tasks of agent {name} wait on this node already"
            return failure("overloaded", text, where=where, retry_after_ms=self._queue_wait_ms(agent))
        return None

    def _refusal_of_task(self, now_ns: int, agent: Agent, assignment: Assignment) -> Failure | None:
        where = f"{self._node}/{assignment.agent}"
        if assignment.deadline_ns <= now_ns:
            return failure("expired", "the deadline had passed before the task could start", where=where)
        limit = self._config.max_payload_bytes
        if len(assignment.payload) > limit:
            text = f"the input has {len(assignment.payload)} bytes; the limit is {limit} bytes"
            return failure("payload_too_large", text, where=where)
        fault = agent.input.fault(assignment.payload)
        if fault is not None:
            return failure("bad_input", f"the input does not fit the contract: {fault}", where=where)
        return None

    def quarantined(self, now_ns: int, agent: Agent) -> Failure:
        """What tasks of an agent hear while it is set aside."""
        name = agent.contract.name
        return failure(
            "quarantined",
            f"agent {name} is set aside on this node: too many of its workers had to be killed",
            where=f"{self._node}/{name}",
            retry_after_ms=ms_until(now_ns, agent.intensity.until_ns),
        )

    def unstartable(self, now_ns: int, agent: str) -> Failure:
        """What tasks hear while no worker can be started."""
        return failure(
            "no_executor",
            "this node cannot start its workers",
            where=f"{self._node}/{agent}",
            retry_after_ms=ms_until(now_ns, self._backoff.not_before_ns),
        )

    def _refusal_of_unknown(self, assignment: Assignment, where: str) -> Failure:
        if not self._catalogue.known:
            text = "the workers of this node are still starting"
            return failure("no_executor", text, where=where, retry_after_ms=_STARTING_RETRY_MS)
        names = ", ".join(self._catalogue.agents)
        return failure(
            "unknown_agent", f"no agent {assignment.agent!r} here; this node offers: {names}", where=where
        )

    def _queue_wait_ms(self, agent: Agent) -> int:
        """Expected time until the queue has moved by half."""
        if agent.mean_ns == float("inf"):
            return _STARTING_RETRY_MS
        slots = self._config.workers * agent.contract.concurrency
        wait_ms = int(len(agent.queue) * agent.mean_ns / slots / 2 / MS)
        return min(max(wait_ms, _RETRY_FLOOR_MS), _RETRY_CEILING_MS)


def ms_until(now_ns: int, then_ns: int) -> int:
    """Whole milliseconds from now until then, at least the floor that keeps callers from spinning."""
    return max((then_ns - now_ns) // MS, _RETRY_FLOOR_MS)
