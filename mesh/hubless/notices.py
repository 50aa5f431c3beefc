"""What people should read about what happened inside a node."""

from __future__ import annotations

from hubless.effects import Log
from hubless.guard import Link, Moved, State
from hubless.view import View
from hubless_agents import AgentQuarantined, AgentReleased, WorkersFailing
from hubless_gossip import Condition, Member


def of_member(view: View, member: Member) -> Log:
    """A member's new condition."""
    condition = member.condition.name.lower()
    level = "info" if member.condition in (Condition.ALIVE, Condition.LEFT) else "warning"
    return Log(level, f"{view.label(member.node)} is {condition}", member.node, condition)


def of_link(view: View, reporter: str, target: str, *, degraded: bool) -> Log:
    """A one-way link, or the end of it."""
    verb = "no longer reaches" if degraded else "reaches again"
    return Log(
        "warning" if degraded else "info", f"{view.label(reporter)} {verb} {view.label(target)} directly"
    )


def of_breaker(view: View, moved: Moved) -> Log:
    """A breaker that changed its state."""
    match moved.scope:
        case Link(peer=peer):
            what = f"link to {view.label(peer)}"
        case scope:
            what = f"agent {scope.agent} on {view.label(scope.peer)}"
    level = "info" if moved.state is State.CLOSED else "warning"
    return Log(level, f"breaker of {what} is {moved.state.value.replace('_', '-')}: {moved.reason}")


def of_workers(effect: AgentQuarantined | AgentReleased | WorkersFailing) -> Log:
    """What the supervisor did about its workers."""
    match effect:
        case AgentQuarantined(agent=agent, failure=failure):
            return Log("error", f"agent {agent} is quarantined on this node: {failure.message}")
        case AgentReleased(agent=agent, trial=True):
            return Log("info", f"agent {agent} may try once whether it works again")
        case AgentReleased(agent=agent):
            return Log("info", f"agent {agent} works again")
        case WorkersFailing(failure=failure, consecutive=consecutive):
            text = f"a worker did not start ({consecutive} in a row): {failure.message}\n{failure.detail}"
            return Log("error", text.rstrip())
