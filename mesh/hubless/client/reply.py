"""The outcome of one task, as a value."""

from __future__ import annotations

from typing import Any

import msgspec

from hubless.client.errors import UnreachableError, failed
from hubless_agents import Effect, Failure


class Reply(msgspec.Struct, frozen=True):
    """How a task ended: an answer or a failure.

    Fields: `raw` is the agent's answer as JSON bytes (b"" for a failure); `failure` is None for an answer;
    `node` ran the last attempt ("" when none ran), `attempt` counts from 1; `index` is the place of the
    task's item in `stream` and `map`, counting from 0; `reached` is False when no node could be told of the task,
    or asked about it again: then the failure is not the mesh's word but this client's; `provisional` is True when a
    node that reached no majority of the task's shard ran it by itself: the task's result is decided after the
    partition, and may be another one.
    """

    raw: bytes
    failure: Failure | None = None
    node: str = ""
    attempt: int = 0
    index: int = 0
    reached: bool = True
    provisional: bool = False

    @property
    def ok(self) -> bool:
        """Whether the agent answered."""
        return self.failure is None

    @property
    def value(self) -> Any:
        """The agent's answer, decoded.

        Raises:
            TaskFailed: the task failed; `UnreachableError` if no node could be asked.
        """
        return msgspec.json.decode(self.answer())

    def answer(self) -> bytes:
        """The agent's answer as JSON bytes.

        Raises:
            TaskFailed: the task failed; `UnreachableError` if no node could be asked.
        """
        if self.failure is None:
            return self.raw
        if not self.reached:
            raise UnreachableError(self.failure.message, effect=self.failure.effect)
        raise failed(self.failure)


def unreachable_reply(text: str, *, effect: Effect) -> Reply:
    """The reply to a task that no node of the mesh could be told of, or asked about again."""
    failure = Failure(code="unreachable", message=text, where="client", effect=effect)
    return Reply(b"", failure, reached=False)
