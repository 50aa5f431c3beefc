"""Operators' questions on their way. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubless.client.arguments import check_name
from hubless.client.gateways import Gateway, Gateways, Phase, Trouble, TroubleKind
from hubless.wire import Ask, Told

_ARGUMENT_CHARS = 1_000

ORDERS = ("leave", "drain", "cancel", "retry", "fork")
"""Questions that change something: when the answer is lost, it may have happened."""


@dataclass(slots=True, eq=False)
class _Question:
    gateway: Gateway
    settle: Callable[[Told | Trouble], None]


class Questions:
    """What was asked and not yet told. Each is settled once: with the answer, or with why there is none."""

    def __init__(self, gateways: Gateways, post: Callable[[Gateway, Ask], None]) -> None:
        self._gateways = gateways
        self._post = post
        self._open: dict[int, _Question] = {}
        self._asked = 0

    def ask(
        self,
        what: str,
        argument: str = "",
        *,
        settle: Callable[[Told | Trouble], None],
        address: str | None = None,
    ) -> int:
        """Sends a question to the gateway at `address`, or to any; returns its number.

        Raises:
            ValueError: a question that no node could read.
        """
        check_name("what", what)
        check_name("argument", argument, most=_ARGUMENT_CHARS)
        gateway = self._gateways.choose() if address is None else self._gateways[address]
        self._asked += 1
        if gateway is None or gateway.phase is not Phase.UP:
            who = "no node of the mesh is" if address is None else f"node {address} is not"
            settle(Trouble(TroubleKind.ABSENT, f"{who} connected"))
        else:
            self._open[self._asked] = _Question(gateway, settle)
            self._post(gateway, Ask(self._asked, what, argument))
        return self._asked

    def forget(self, request: int) -> None:
        """Nobody waits for that answer any more."""
        self._open.pop(request, None)

    def told(self, told: Told) -> None:
        """Takes an answer; one that nobody waits for is dropped."""
        question = self._open.pop(told.request, None)
        if question is not None:
            question.settle(told)

    def lost(self, gateway: Gateway, trouble: Trouble) -> None:
        """That gateway will answer nothing any more."""
        for request, question in list(self._open.items()):
            if question.gateway is gateway:
                del self._open[request]
                question.settle(trouble)
