"""What is fixed about a node for as long as its process lives."""

from __future__ import annotations

from dataclasses import dataclass

from hubless.meta import Meta
from hubless.wire import Limits
from hubless_gossip import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """Who a node is, and within what bounds.

    `meta` names its work address. `joins` says that there are others whom it has to find before it is ready.
    `epoch_ns` turns the node's clock into unix time, in ns. A member that has been dead for `replace_after_ns` loses
    its place in the shards to others.
    """

    identity: Identity
    meta: Meta
    shards: int
    limits: Limits
    workers: int
    joins: bool
    epoch_ns: int
    replace_after_ns: int = 30_000_000_000
