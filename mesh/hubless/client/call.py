"""A task that a caller waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hubless.client.gateways import Gateway
from hubless.client.reply import Reply
from hubless.wire import Submit

_GIVE_UP_AFTER_NS = 500_000_000


@dataclass(slots=True, eq=False)
class Call:
    """One caller and one task.

    `settle` is called once, with the task's reply; of a caller with `accepted`, which wants a receipt, that is called
    before, unless there is an outcome first.

    `due_ns` is when the caller's patience ends, `ends_ns` when the task's own time does (None: the agent's own deadline
    rules). `may_move`: the id was drawn, and another shard's would do as well. `is_shared`: other clients may know the
    id, so nobody withdraws it. `waits_for_quorum`: a shard without one is asked again until the patience ends.

    `gateway` is where the task is now, None while nobody could be given it; `sent` whether any gateway that did not
    refuse it ever was. `refusals` counts for how often in a row no quorum was reached, since `refused_ns`. The task
    came at `begun_ns`. `others` are callers that gave the same task to this client while it was on its way: they
    have no gateway of their own.
    """

    submit: Submit
    settle: Callable[[Reply], None]
    due_ns: int | None
    accepted: Callable[[], None] | None = None
    ends_ns: int | None = None
    may_move: bool = True
    is_shared: bool = False
    waits_for_quorum: bool = True
    gateway: Gateway | None = None
    sent: bool = False
    is_over: bool = False
    refusals: int = 0
    refused_ns: int = 0
    begun_ns: int = 0
    others: tuple[Call, ...] = ()

    @property
    def gives_up_ns(self) -> int | None:
        """When the client no longer waits for the mesh to say that the time is over."""
        return None if self.due_ns is None else self.due_ns + _GIVE_UP_AFTER_NS

    def waiting(self) -> Iterator[Call]:
        """Everybody who still waits for this task."""
        return (call for call in (self, *self.others) if not call.is_over)

    def end(self, reply: Reply) -> None:
        """Gives everybody who waits the reply."""
        if self.others:
            for call in list(self.waiting()):
                call.is_over = True
                call.settle(reply)
        elif not self.is_over:
            self.is_over = True
            self.settle(reply)
