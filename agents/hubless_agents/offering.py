"""What this node offers: its agents without those that are set aside, and none while no worker can be started.

This is the third rung. What is not offered any more is turned away from its queue, with the reason.
"""

from .admission import Admission
from .catalogue import Agent, Catalogue, Held
from .contract import Contract
from .desk import Desk
from .events import AgentQuarantined, AgentReleased, OffersChanged
from .failure import Failure, failure
from .marks import sometimes
from .rungs import Standing
from .timers import Due, Timers


class Offering:
    """Says what has changed of it among the effects of the desk."""

    __slots__ = ("_catalogue", "_desk", "_gate", "_timers", "_told")

    def __init__(self, catalogue: Catalogue, gate: Admission, desk: Desk, timers: Timers[Held | Due]) -> None:
        self._catalogue = catalogue
        self._gate = gate
        self._desk = desk
        self._timers = timers
        self._told: tuple[Contract, ...] = ()

    def startable(self) -> None:
        """A worker is ready: what it runs is offered."""
        self._gate.failing = False
        self._tell()

    def unstartable(self, now_ns: int) -> None:
        """There is no worker, and none can be started: nothing is offered until one is ready."""
        self._gate.failing = True
        self._tell()
        for agent in self._catalogue.agents.values():
            self._turn_away(agent, self._gate.unstartable(now_ns, agent.contract.name))

    def charge(self, now_ns: int, agent: Agent, reason: str, *, at_once: bool = False) -> None:
        """A process died of this agent: count it, and set the agent aside when it was one too many."""
        if not agent.intensity.kill(now_ns, at_once=at_once):
            return
        name, until_ns = agent.contract.name, agent.intensity.until_ns
        self._desk.counters.quarantines += 1
        sometimes("set an agent aside that had cost too many workers")
        self._timers.arm(Due("quarantine", agent=name), until_ns)
        told = self._gate.quarantined(now_ns, agent)
        last = failure(
            "quarantined",
            f"{told.message}; last: {reason}",
            where=told.where,
            retry_after_ms=told.retry_after_ms,
        )
        self._desk.out.append(AgentQuarantined(name, until_ns, last))
        self._tell()
        self._turn_away(agent, told)

    def unharmed(self, agent: Agent) -> None:
        """A task of this agent has ended without harm to its process."""
        if agent.intensity.survived():
            sometimes("an agent was trusted again after its trial")
            self._desk.out.append(AgentReleased(agent.contract.name, trial=False))

    def quarantine_over(self, name: str) -> None:
        """An agent has been set aside for long enough: it gets its trial."""
        self._catalogue.agents[name].intensity.expired()
        self._desk.out.append(AgentReleased(name, trial=True))
        self._tell()

    def requeue(self, now_ns: int, held: Held) -> None:
        """A task that was given goes back to the front of its queue, if its agent has not been set aside meanwhile."""
        self._desk.requeue(held)
        if held.agent.intensity.standing is Standing.QUARANTINED:
            self._turn_away(held.agent, self._gate.quarantined(now_ns, held.agent))

    def _turn_away(self, agent: Agent, told: Failure) -> None:
        while agent.queue:
            self._desk.end(agent.queue.popitem(last=False)[1], told)

    def _tell(self) -> None:
        offers = () if self._gate.failing else self._catalogue.offers()
        if offers != self._told:
            self._told = offers
            self._desk.out.append(OffersChanged(offers))
