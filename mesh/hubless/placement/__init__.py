"""Where work goes: the hash ring, preference lists, and the choice of an executor."""

from hubless.placement.preference import (
    AgentRing,
    Preferences,
    is_task_id,
    mint_task_id,
    preference_list,
    shard_of_key,
    shard_of_task,
)
from hubless.placement.ring import VNODES, Ring, RingMember, ring_hash
from hubless.placement.routing import (
    MAX_HOPS,
    Chosen,
    HopRefused,
    Loads,
    NoExecutor,
    choose_executor,
    load_bound,
    take_hop,
)

__all__ = [
    "MAX_HOPS",
    "VNODES",
    "AgentRing",
    "Chosen",
    "HopRefused",
    "Loads",
    "NoExecutor",
    "Preferences",
    "Ring",
    "RingMember",
    "choose_executor",
    "is_task_id",
    "load_bound",
    "mint_task_id",
    "preference_list",
    "ring_hash",
    "shard_of_key",
    "shard_of_task",
    "take_hop",
]
