"""What a client has under way, and what its core asks of the shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from hubless.client.gateways import Gateway, Trouble
from hubless.client.reply import Reply
from hubless.wire import Submit, Told

_GIVE_UP_AFTER_NS = 500_000_000


class Dial(Struct, frozen=True):
    """Open a connection to `address` and greet it; report `welcomed` or `lost`."""

    address: str


class HangUp(Struct, frozen=True):
    """Close the connection to `address`, with whatever is queued for it."""

    address: str


LinkEffect = Dial | HangUp


@dataclass(slots=True, eq=False)
class Call:
    """A task that the caller waits for. `settle` is called once, with its one reply.

    `due_ns` is when the caller's patience ends (None: the agent's own deadline rules); `gateway` is where the
    task is now, None while nobody could be given it; `sent` whether any gateway ever was.
    """

    submit: Submit
    settle: Callable[[Reply], None]
    due_ns: int | None
    gateway: Gateway | None = None
    sent: bool = False

    @property
    def gives_up_ns(self) -> int | None:
        """When the client no longer waits for the mesh to say that the time is over."""
        return None if self.due_ns is None else self.due_ns + _GIVE_UP_AFTER_NS


@dataclass(slots=True, eq=False)
class Question:
    """An operator's question on its way. `settle` gets the answer, or why there is none."""

    gateway: Gateway
    settle: Callable[[Told | Trouble], None]
