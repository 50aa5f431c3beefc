"""`mesh submit --detach`: each line becomes a task that the mesh keeps, and nobody waits for the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import trio

from hubless.cli.exits import CommandError, Exit, of_failure
from hubless.cli.ledger import Inputs
from hubless.client import Mesh, TaskFailed, connect

_RECEIPT_S = 30.0
_MOST_PAUSE_S = 5.0


class Detached:
    """Hands the inputs in, many at a time, and says the id of each once it is accepted, in the order of the lines.

    Args:
        deadline: seconds that each task has; None leaves it to the agent.
        prefix: begins the idempotency keys of the lines; "" for tasks without.
    """

    def __init__(
        self, agent: str, inputs: Inputs, *, deadline: float | None, prefix: str, as_json: bool
    ) -> None:
        self._agent = agent
        self._inputs = inputs
        self._deadline = deadline
        self._prefix = prefix
        self._as_json = as_json
        self._told: dict[int, str | CommandError] = {}
        self._said = 0
        self.accepted = 0

    async def run(self, at: tuple[str, ...], in_flight: int) -> Exit:
        """Submits all lines. Exit code 1 if some were refused."""
        lines = enumerate(self._inputs.after(0))
        try:
            async with connect(*at) as mesh, trio.open_nursery() as nursery:
                for _ in range(min(in_flight, len(self._inputs))):
                    nursery.start_soon(self._work, mesh, lines)
        finally:
            for place in sorted(self._told):  # an interrupted run: what is accepted shall be known
                self._say(place, self._told[place])
        if not self._as_json:
            click.echo(f"{self.accepted} of {len(self._inputs)} lines are accepted", err=True)
        return Exit.OK if self.accepted == len(self._inputs) else Exit.FAILED

    async def _work(self, mesh: Mesh, lines: Iterator[tuple[int, bytes]]) -> None:
        for place, line in lines:
            try:
                self._told[place] = await self._hand_in(mesh, place, line)
            except TaskFailed as problem:
                self._told[place] = of_failure(problem.failure)
            while self._said in self._told:
                self._say(self._said, self._told.pop(self._said))
                self._said += 1

    async def _hand_in(self, mesh: Mesh, place: int, line: bytes) -> str:
        """The id of the accepted task. A mesh that is overloaded is asked again, for as long as a receipt may take."""
        ends = trio.current_time() + _RECEIPT_S
        while True:
            try:
                handle = await mesh.submit(
                    self._agent,
                    line,
                    idempotency_key=self._inputs.name(place, self._prefix),
                    timeout=max(1.0, ends - trio.current_time()),
                    deadline=self._deadline,
                    raw=True,
                )
            except TaskFailed as problem:
                pause_s = min(_MOST_PAUSE_S, (problem.failure.retry_after_ms or 100) / 1000)
                if problem.failure.code != "overloaded" or trio.current_time() + pause_s >= ends:
                    raise
                await trio.sleep(pause_s)
            else:
                return handle.id

    def _say(self, place: int, told: str | CommandError) -> None:
        line = self._inputs.number(place)
        if isinstance(told, str):
            self.accepted += 1
            click.echo(json.dumps({"line": line, "task": told}) if self._as_json else told)
        elif self._as_json:
            error = {"code": told.kind, "message": told.message} | told.more
            click.echo(json.dumps({"line": line, "error": error}, ensure_ascii=False))
        else:
            click.echo(f"line {line}: {told.message}", err=True)
