"""What owners and gateways count."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class OwnerCounters:
    """What became of the tasks that gateways placed here.

    `recognised` counts placements of a task that is here already, `fenced` outcomes of another attempt than the
    current one, `redispatched` attempts that were lost with their node, `taken_over` unfinished tasks of shards that
    this node came to own, `given_up` those of shards that it lost.
    """

    placed: int = 0
    recognised: int = 0
    attempts: int = 0
    fenced: int = 0
    refused: int = 0
    redispatched: int = 0
    settled: int = 0
    expired: int = 0
    taken_over: int = 0
    given_up: int = 0


@dataclass(slots=True)
class GatewayCounters:
    """What became of the tasks that clients handed in. `placed_again` counts every repetition towards an owner,
    `steered` the tasks that were sent back to be given an id of another shard, `apart` those that this node took on
    by itself.
    """

    accepted: int = 0
    answered: int = 0
    refused: int = 0
    placed_again: int = 0
    expired: int = 0
    steered: int = 0
    apart: int = 0
