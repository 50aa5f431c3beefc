"""The first contact with a mesh: asking the named nodes until one of them answers."""

from __future__ import annotations

from collections.abc import Callable

import trio
import zmq

from hubless.config import ConfigError, format_address, parse_address
from hubless.driver.log import LogLine
from hubless.transport import GreetingRefusedError, greet
from hubless.wire import Welcome
from hubless_gossip import Address

_GREETING_S = 0.5
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class JoinError(ConfigError):
    """The mesh that this node was told to join will not have it. Nothing was changed."""


async def welcomed(
    context: zmq.Context[zmq.Socket[bytes]],
    addresses: tuple[Address, ...],
    *,
    mesh: bytes,
    log: Callable[[LogLine], None],
) -> Welcome:
    """Asks the nodes at `addresses`, in turn and with growing pauses, until one of them answers.

    Args:
        mesh: id of the mesh that it must be, or empty for any.

    Raises:
        JoinError: one of them refused; asking again would change nothing.
    """
    pause_s = _PAUSE_S
    while True:
        for address in addresses:
            try:
                welcome = await greet(context, address, mesh=mesh, timeout_s=_GREETING_S)
            except GreetingRefusedError as problem:
                raise JoinError(f"cannot join at {format_address(address)}: {problem}") from problem
            if welcome is not None:
                return welcome
        if pause_s > _PAUSE_S:
            names = ", ".join(format_address(address) for address in addresses)
            text = f"nobody answers at {names}; trying again until somebody does"
            log(LogLine("node", "warning", text))
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def gossip_address(welcome: Welcome) -> Address:
    """Where the node that answered gossips.

    Raises:
        JoinError: it said something else.
    """
    try:
        return parse_address(welcome.gossip)
    except ConfigError as problem:
        raise JoinError(
            f"node {welcome.node} answered with a gossip address that is none: {problem}"
        ) from problem
