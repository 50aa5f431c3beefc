"""What a gateway knows of a task that clients wait for."""

from __future__ import annotations

from msgspec import Struct

from hubless.wire import Place, ShardChoice

_MS = 1_000_000
FIRST_RESEND_NS = 1_000_000_000


class Pending(Struct, gc=False):
    """A task that clients wait for, mostly one, since `begun_ns`, here or with another gateway. `owner` is "" while
    nobody is known to own its shard.

    `again`: another gateway may have taken it before. `is_repeatable`: its agent allows a second start. `is_kept`: by
    its shard. `placed` counts how often it was given to a node that may own its shard, `placed_with` names the last
    one. `wants_receipt` until it has been given. `shard` is one of `ShardChoice`. `runs_apart`: its agent goes
    on without an owner; `is_apart`: and this node has taken it on by itself. `is_unwanted`: nobody waits for it any
    more, which its next owner is to be told; `is_given_up`: nobody anywhere does.
    """

    routes: tuple[bytes, ...]
    agent: str
    key: str
    payload: bytes
    deadline_ns: int
    owner: str
    resend_ns: int
    again: bool
    is_repeatable: bool
    is_kept: bool
    wants_receipt: bool
    begun_ns: int = 0
    shard: ShardChoice = ShardChoice.FREE
    runs_apart: bool = False
    is_apart: bool = False
    is_taken: bool = False
    is_unwanted: bool = False
    is_given_up: bool = False
    placed: int = 0
    placed_with: str = ""
    resend_after_ns: int = FIRST_RESEND_NS

    @property
    def was_placed(self) -> bool:
        """Whether an owner may have taken it."""
        return self.placed > 0

    @property
    def may_be_known(self) -> bool:
        """Whether anybody beside this gateway may have begun it."""
        return self.was_placed or self.again

    @property
    def may_go_apart(self) -> bool:
        """Whether this node may take it on, as its agent allows that, and a second start if there may be one."""
        return self.runs_apart and not self.is_unwanted and (not self.may_be_known or self.is_repeatable)

    def placement(self, now_ns: int, task: bytes, gateway: str) -> Place:
        """What its owner is told, by this gateway."""
        return Place(
            task,
            self.agent,
            self.key,
            self.payload,
            max(1, (self.deadline_ns - now_ns) // _MS),
            gateway,
            receipt=self.wants_receipt,
            is_kept=self.is_kept,
            again=self.again,
            once=not self.is_repeatable,
            apart=self.is_apart,
            age_ms=max(1, (now_ns - self.begun_ns) // _MS) if self.may_be_known else 0,
        )

    def was_refused_by(self, node: str) -> None:
        """A node does not own the shard. If nobody else was asked, and it but once, nobody can have taken the task."""
        if self.placed == 1 and self.placed_with == node and not self.is_taken:
            self.placed = 0
