"""The outcome of one task, as a value."""

from __future__ import annotations

from typing import Any

import msgspec

from hubless.client.errors import failed
from hubless_agents import Effect, Failure


class Reply(msgspec.Struct, frozen=True):
    """How a task ended: an answer or a failure.

    Fields: `raw` is the agent's answer as JSON bytes (b"" for a failure); `failure` is None for an answer;
    `node` ran the last attempt ("" when none ran), `attempt` counts from 1; `index` is the place of the
    task's item in `stream` and `map`, counting from 0.
    """

    raw: bytes
    failure: Failure | None = None
    node: str = ""
    attempt: int = 0
    index: int = 0

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
        if self.failure is not None:
            raise failed(self.failure)
        return self.raw


def unreachable_reply(text: str, *, effect: Effect) -> Reply:
    """The reply to a task that no node of the mesh could be told of, or asked about again."""
    return Reply(b"", Failure(code="unreachable", message=text, where="client", effect=effect))
