"""What a mesh must still know: nodes keep ended tasks for a while only, and checkers may ask for no more."""

from __future__ import annotations

from typing import Any, cast

from hubless_agents import MERGE
from hubless_sim.mesh.observed import Observed
from hubless_sim.testing.run import AgentsRun

_AGE_NS = 300 * 1_000_000_000
_TASKS = 1_000
_BYTES = 512 * 1024


class _Recent:
    """A run as it was observed, without what has become too old, too many or too large to be kept."""

    def __init__(self, run: AgentsRun) -> None:
        self._run = run
        tasks = _recent_tasks(run)
        decided = {task for task in tasks if run.calls[run.handed[task][0][1]].agent not in _merging(run)}
        self.handed = {task: handed for task, handed in run.handed.items() if task in tasks}
        self.receipts = {task: at_ns for task, at_ns in run.receipts.items() if task in tasks}
        self.answers = {number: each for number, each in run.answers.items() if each[1].task in decided}
        self.repeats = [each for each in run.repeats if each[1].task in decided]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


def _merging(run: AgentsRun) -> set[str]:
    """Agents whose results may change once, into what both sides of a partition came to."""
    return {agent.name.removesuffix(MERGE) for agent in run.system.agents if agent.name.endswith(MERGE)}


def recent(run: AgentsRun) -> Observed:
    """What checkers may look at."""
    return cast("Observed", _Recent(run))


def _recent_tasks(run: AgentsRun) -> set[bytes]:
    sizes = {answer.task: len(answer.payload) for _, answer in run.answers.values()}
    newest = sorted(run.handed.items(), key=lambda each: each[1][-1][0], reverse=True)[:_TASKS]
    chosen: set[bytes] = set()
    size_bytes = 0
    for task, handed in newest:
        size_bytes += sizes.get(task, 0) + sum(run.sizes.get(number, 0) for _, number in handed)
        if handed[0][0] < run.world.now_ns - _AGE_NS or size_bytes > _BYTES:
            break
        chosen.add(task)
    return chosen
