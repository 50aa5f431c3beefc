"""One caller who waits for a receipt or a reply."""

from __future__ import annotations

import anyio

from hubless.client.reply import Reply


class Waiter:
    """Hears from `Calls`; `reply` is None until there is one. Wait for `heard`, or for `settled`."""

    __slots__ = ("heard", "is_accepted", "reply", "settled")

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.is_accepted = False
        self.heard = anyio.Event()
        self.settled = anyio.Event()

    def accept(self) -> None:
        """The receipt is there."""
        self.is_accepted = True
        self.heard.set()

    def settle(self, reply: Reply) -> None:
        """The outcome is there."""
        self.reply = reply
        self.settled.set()
        self.heard.set()
