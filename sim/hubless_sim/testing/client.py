"""The client of a simulated mesh, as a test uses it: each method runs the world until what it waits for is there.

What happens on the way is done by the core of the real client library: the choice of a node, patience, fail-over, and
what an error says about its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hubless.client.arguments import DurabilityName, durability_of, patience_ms
from hubless.client.errors import TaskFailed, UnreachableError, failed
from hubless.client.ids import checked_task_id
from hubless.client.questions import ORDERS
from hubless.client.reply import Reply
from hubless.client.rows import is_whole, reply_of
from hubless_agents import Effect, Failure
from hubless_sim.testing.client_host import address_of
from hubless_sim.testing.run import AgentsRun

_NS = 1_000_000_000
_LONGEST_S = 24 * 3600.0
_ASK_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_encode = msgspec.json.Encoder().encode

RunUntil = Callable[[Callable[[], bool], float], bool]
"""Runs the world until something holds, at most for so many virtual seconds; whether it holds."""


class Pending:
    """A call that is under way while the test does other things."""

    def __init__(self, run: AgentsRun, number: int, run_until: RunUntil) -> None:
        self._run = run
        self._number = number
        self._run_until = run_until

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._number in self._run.settled

    def reply(self, timeout: float | None = None) -> Reply:
        """Run until it has ended; a failure is a value here. Raises TimeoutError after ``timeout`` virtual seconds."""
        wait_s = _LONGEST_S if timeout is None else timeout
        if not self._run_until(lambda: self.is_done, wait_s):
            raise TimeoutError(
                f"the call of {self._run.calls[self._number].agent} has no answer after {wait_s:g} s"
            )
        return self._run.settled[self._number].reply

    def result(self, timeout: float | None = None) -> Any:
        """Run until it has ended, and return the answer. Raises TaskFailed, or TimeoutError as ``reply``."""
        return self.reply(timeout).value


class Receipt:
    """A task that the mesh keeps. ``id`` is what any client can ask for it by."""

    def __init__(self, task: str, client: SimulatedClient) -> None:
        self.id = task
        self._client = client

    def result(self, timeout: float | None = None) -> Any:
        """As ``SimulatedClient.result``."""
        return self._client.result(self.id, timeout)

    def status(self) -> dict[str, Any]:
        """As ``SimulatedClient.status``."""
        return self._client.status(self.id)

    def cancel(self) -> dict[str, Any]:
        """As ``SimulatedClient.cancel``."""
        return self._client.cancel(self.id)


class SimulatedClient:
    """One client process. Arguments and errors are those of `hubless.Mesh`; times are in virtual seconds."""

    def __init__(self, run: AgentsRun, name: str, place: int, run_until: RunUntil) -> None:
        self.name = name
        """What it is called where nodes are named."""
        self._run = run
        self._place = place
        self._run_until = run_until

    def begin(
        self,
        agent: str,
        payload: Any = None,
        *,
        key: str = "",
        timeout: float | None = None,
        durability: DurabilityName | None = None,
        idempotency_key: str = "",
        wait_for_quorum: bool = True,
    ) -> Pending:
        """Call an agent and go on at once; what is returned tells how the call ended."""
        number = self._place_one(
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=durability,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
        )
        return Pending(self._run, number, self._run_until)

    def call(self, agent: str, payload: Any = None, **options: Any) -> Any:
        """Call an agent and return its answer; options are those of ``begin``.

        Raises TaskFailed (TaskTimedOut) if the mesh answers with a failure, UnreachableError if no node answers.
        """
        return self.begin(agent, payload, **options).result()

    def map(self, agent: str, items: Iterable[Any], **options: Any) -> list[Any]:
        """Call the agent with all items at once; the answers in their order. Raises what the first failure raises."""
        return [reply.value for reply in self.stream(agent, items, **options)]

    def stream(self, agent: str, items: Iterable[Any], **options: Any) -> list[Reply]:
        """The same, with failures as values."""
        pending = [self.begin(agent, item, **options) for item in items]
        return [each.reply() for each in pending]

    def submit(
        self,
        agent: str,
        payload: Any = None,
        *,
        key: str = "",
        idempotency_key: str = "",
        timeout: float = 10.0,
        deadline: float | None = None,
        wait_for_quorum: bool = True,
    ) -> Receipt:
        """Hand a task in, and return once a majority of its shard has it on disk. Raises as `hubless.Mesh.submit`."""
        number = self._place_one(
            agent,
            payload,
            key=key,
            timeout=timeout,
            durability=None,
            idempotency_key=idempotency_key,
            wait_for_quorum=wait_for_quorum,
            deadline=deadline,
            wants_receipt=True,
        )
        taken, settled = self._run.taken, self._run.settled
        self._run_until(lambda: number in taken or number in settled, timeout + 1)
        if number in taken:
            return Receipt(taken[number].hex(), self)
        settled[number].reply.answer()  # raises, but for a task whose answer came before its receipt
        task = next(task for task, handed in self._run.handed.items() if handed[0][1] == number)
        return Receipt(task.hex(), self)

    def result(self, task: str, timeout: float | None = None) -> Any:
        """Wait for the answer of a task that the mesh keeps, by its id.

        Raises TaskFailed (it failed, or the mesh does not know it), TaskTimedOut (not within ``timeout``),
        UnreachableError (for ten seconds, or until ``timeout``, nobody could say).
        """
        task = checked_task_id(task)
        now_s = self._run.world.now_ns / _NS
        ends_s = now_s + (_LONGEST_S if timeout is None else timeout)
        silent_s, pause_s = now_s, _FIRST_PAUSE_S
        while True:
            try:
                row = self.ask("status", task)
                if not is_whole(row):
                    row = self.ask("result", task)
            except (UnreachableError, TaskFailed) as problem:
                is_passing = isinstance(problem, UnreachableError) or problem.failure.code == "unreachable"
                now_s = self._run.world.now_ns / _NS
                if not is_passing or now_s >= ends_s or (timeout is None and now_s >= silent_s + 10):
                    raise
            else:
                reply = reply_of(row)
                if reply is not None:
                    return reply.value
                silent_s = now_s = self._run.world.now_ns / _NS
                if now_s >= ends_s:
                    text = (
                        f"task {task} has not ended in time, its state is {row['state']}: the mesh keeps it"
                    )
                    raise failed(Failure(code="expired", message=text, where="client", effect=Effect.MAYBE))
            self._run_until(lambda: False, min(pause_s, max(ends_s - now_s, 0.001)))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def status(self, task: str) -> dict[str, Any]:
        """What the mesh says of a task: its state, agent, attempts, failures, result."""
        return self.ask("status", checked_task_id(task))

    def cancel(self, task: str) -> dict[str, Any]:
        """Cancel a task."""
        return self.ask("cancel", checked_task_id(task))

    def retry(self, task: str) -> dict[str, Any]:
        """Queue a task that has failed once more."""
        return self.ask("retry", checked_task_id(task))

    def ask(self, what: str, argument: str = "", *, at: str | None = None) -> dict[str, Any]:
        """Ask a node (any, or the one named ``at``) what `mesh` commands ask: members, ring, shards, node, tasks, ...

        Raises TaskFailed if it refuses, UnreachableError if it does not answer within five virtual seconds.
        """
        address = "" if at is None else address_of(int(at.removeprefix("n")))
        number = self._run.enquire(self._place, what, argument, address)
        effect = Effect.MAYBE if what in ORDERS else Effect.NONE
        if not self._run_until(lambda: number in self._run.replied, _ASK_S):
            raise UnreachableError(f"no answer to {what!r} in {_ASK_S:g} s", effect=effect)
        replied = self._run.replied[number]
        if replied.told is None:
            raise UnreachableError(replied.trouble, effect=effect)
        if replied.told.failure is not None:
            raise failed(replied.told.failure)
        body: dict[str, Any] = msgspec.json.decode(replied.told.body)
        return body

    def _place_one(
        self,
        agent: str,
        payload: Any,
        *,
        key: str,
        timeout: float | None,
        durability: DurabilityName | None,
        idempotency_key: str,
        wait_for_quorum: bool,
        deadline: float | None = None,
        wants_receipt: bool = False,
    ) -> int:
        return self._run.place(
            self._place,
            agent=agent,
            payload=_encode(payload),
            key=key,
            idempotency_key=idempotency_key,
            timeout_ms=patience_ms(timeout),
            deadline_ms=patience_ms(deadline),
            durability=durability_of(durability),
            waits_for_quorum=wait_for_quorum,
            wants_receipt=wants_receipt,
        )
