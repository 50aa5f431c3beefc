"""What a gateway refuses at the door, and how it says so."""

from __future__ import annotations

import difflib

from hubless.placement import is_task_id, shard_of_key, shard_of_task
from hubless.view import View
from hubless.wire import Submit
from hubless_agents import Effect, Failure, failure
from hubless_agents.failure import Code

_NAME_CHARS = 200
_MOST_UNKNOWN = 256
_MOST_NAMED = 5
_ASIDE_RETRY_MS = 5_000
"""What the first pause of an agent lasts that is set aside, if its node was not told otherwise."""


class Screening:
    """Looks over submissions.

    Args:
        me: this node's id, named in failures.
        shards: number of shards of the mesh.
        payload_bytes: largest payload accepted.
    """

    def __init__(self, *, me: str, view: View, shards: int, payload_bytes: int) -> None:
        self._me = me
        self._view = view
        self._shards = shards
        self._payload_bytes = payload_bytes
        self._known_agents: list[str] = []
        self._unknown_texts: dict[str, str] = {}

    def refusal(self, submit: Submit, *, is_kept: bool) -> Failure | None:
        """Why a submission can never run, or None. One that was taken before may be running already."""
        if text := self._contradiction(submit, is_kept=is_kept):
            return self.failure("bad_input", text)
        owner = self._view.owner_of_shard(shard_of_task(submit.task)) if is_kept else None
        if len(submit.payload) > self._payload_bytes or owner in self._view.too_small_for(submit.payload):
            size = f"{len(submit.payload)} bytes, the limit here is {self._payload_bytes}"
            if len(submit.payload) <= self._payload_bytes:
                size = f"{len(submit.payload)} bytes, the node that owns it takes less"
            return self.failure(
                "payload_too_large", f"the payload has {size}: send a reference instead of the content"
            )
        if not submit.again and not self._view.is_offered(submit.agent):
            return self._not_offered(submit.agent)
        return None

    def _not_offered(self, agent: str) -> Failure:
        nodes = self._view.set_aside_by(agent)
        if not nodes:
            return self.failure("unknown_agent", self._unknown_agent_text(agent))
        named = ", ".join(self._view.label(node) for node in nodes[:_MOST_NAMED])
        return self.failure(
            "quarantined",
            f"agent {agent!r} is set aside on every node that runs it ({named}), as too many of its workers had to be "
            "killed: it is tried again there after a pause, and the logs of these nodes say what it did",
            _ASIDE_RETRY_MS,
        )

    def _contradiction(self, submit: Submit, *, is_kept: bool) -> str:
        """What no client should have sent."""
        if not is_task_id(submit.task, self._shards):
            return f"a task id is 16 bytes and begins with a shard below {self._shards}"
        if submit.key and shard_of_key(submit.key, self._shards) != shard_of_task(submit.task):
            return f"the task id does not belong to the shard of key {submit.key[:80]!r}"
        if submit.deadline_ms < 0 or len(submit.agent) > _NAME_CHARS or len(submit.key) > _NAME_CHARS:
            return f"deadlines are not negative, names and keys have at most {_NAME_CHARS} characters"
        if submit.receipt and not is_kept:
            return "a task that no shard keeps gets no receipt: ask for one or the other"
        return ""

    def failure(
        self, code: Code, message: str, retry_after_ms: int | None = None, *, effect: Effect = Effect.NONE
    ) -> Failure:
        """A failure that this gateway is the origin of."""
        where = f"gateway {self._me}"
        return failure(code, message, where=where, effect=effect, retry_after_ms=retry_after_ms)

    def _unknown_agent_text(self, agent: str) -> str:
        known = self._view.agents()
        if known != self._known_agents or len(self._unknown_texts) >= _MOST_UNKNOWN:
            self._known_agents = known
            self._unknown_texts.clear()
        text = self._unknown_texts.get(agent)
        if text is None:
            text = self._unknown_texts[agent] = _unknown_agent_text(agent, known)
        return text


def _unknown_agent_text(agent: str, known: list[str]) -> str:
    """Looks for similar names, which is slow: its answers are kept until the offers change."""
    if not known:
        return f"no live node offers any agent, so not {agent!r} either: start one with `mesh up AGENTS.py`"
    near = difflib.get_close_matches(agent, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known agents: {', '.join(known[:20])}"
    return f"no live node offers the agent {agent!r}; {hint}"
