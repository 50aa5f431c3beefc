"""`mesh submit --detach`: each line becomes a task that the mesh keeps, and nobody waits for the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
import trio

from hubless.cli.exits import CommandError, Exit, of_failure
from hubless.cli.ledger import Inputs
from hubless.client import Mesh, TaskFailed, connect
from hubless_agents import Failure

_RECEIPT_S = 30.0
_MOST_PAUSE_S = 5.0
_TELL_AFTER_S = 2.0
_TELL_EVERY_S = 10.0


class Detached:
    """Hands the inputs in, many at a time, and says the id of each once it is accepted, in the order of the lines.

    People are told when receipts are late, from whom, and why if that is known.

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
        self._under_way: dict[int, float] = {}
        self._refusal: Failure | None = None
        self._said = 0
        self.accepted = 0

    async def run(self, at: tuple[str, ...], in_flight: int) -> Exit:
        """Submits all lines. Exit code 1 if some were refused."""
        try:
            async with connect(*at) as mesh, trio.open_nursery() as nursery:
                if not self._as_json:
                    nursery.start_soon(self._tell_of_waiting, mesh)
                await self._hand_all_in(mesh, in_flight)
                nursery.cancel_scope.cancel()
        finally:
            for place in sorted(self._told):  # an interrupted run: what is accepted shall be known
                self._say(place, self._told[place])
            self._say_how_many()
        return Exit.OK if self.accepted == len(self._inputs) else Exit.FAILED

    async def _hand_all_in(self, mesh: Mesh, in_flight: int) -> None:
        lines = enumerate(self._inputs.after(0))
        async with trio.open_nursery() as nursery:
            for _ in range(min(in_flight, len(self._inputs))):
                nursery.start_soon(self._work, mesh, lines)

    async def _work(self, mesh: Mesh, lines: Iterator[tuple[int, bytes]]) -> None:
        for place, line in lines:
            self._under_way[place] = trio.current_time()
            try:
                self._told[place] = await self._hand_in(mesh, place, line)
            except TaskFailed as problem:
                self._told[place] = of_failure(problem.failure)
            del self._under_way[place]
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
                self._refusal = problem.failure
                await trio.sleep(pause_s)
            else:
                self._refusal = None
                return handle.id

    async def _tell_of_waiting(self, mesh: Mesh) -> None:
        """Says, soon and then now and again, that receipts are late."""
        while True:
            oldest = min(self._under_way.values(), default=trio.current_time())
            await trio.sleep_until(oldest + _TELL_AFTER_S)
            late = [
                place
                for place, since in sorted(self._under_way.items())
                if trio.current_time() >= since + _TELL_AFTER_S
            ]
            if late:
                click.echo(self._waiting(late, mesh.connected()), err=True)
                await trio.sleep(_TELL_EVERY_S)

    def _waiting(self, late: list[int], asked: list[str]) -> str:
        first = self._inputs.number(late[0])
        which = f"line {first}" if len(late) == 1 else f"{len(late)} lines, the first is line {first}"
        refusal = self._refusal
        why = (
            f"no receipt from {', '.join(asked) or 'any node: none is connected'}"
            if refusal is None
            else f"refused by {refusal.where}, {refusal.code}: {refusal.message}"
        )
        return (
            f"waiting for {which}: {why}. Each line has {_RECEIPT_S:g} s; see `mesh status` for what is wrong, "
            "or stop with Ctrl-C"
        )

    def _say_how_many(self) -> None:
        if self._as_json:
            return
        told = f"{self.accepted} of {len(self._inputs)} lines are accepted"
        if self._under_way:
            told += f"; {len(self._under_way)} under way, which may be accepted without your knowing"
        click.echo(told, err=True)

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
