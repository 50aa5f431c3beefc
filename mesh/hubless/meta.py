"""What a node tells about itself through gossip: small, since every member carries it for every other."""

from __future__ import annotations

from typing import Annotated

import msgpack
import msgspec

from hubless_agents import Contract
from hubless_gossip import Address

META_BYTES = 768
MAX_WEIGHT = 64


Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Offer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One agent that a node runs. `slots` is how many tasks of it run at the same time on that node.

    `is_kept`: its shard's replicas keep a task unless the call says otherwise (contract: durability "replicated").
    `runs_apart`: a node that reaches no quorum runs it all the same (contract: partition "run").
    """

    name: str
    version: str
    slots: Count
    deadline_ms: Count
    retries: Count
    is_kept: bool = True
    runs_apart: bool = False


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """A node's own description. `work` is where it takes work; `weight` its share of the keys, 0 while it leaves.

    Payloads above `payload_bytes` are dropped there unread. `aside` are agents that it runs and does not offer just
    now, as they cost too many workers. `since_ms` is when the node was made, in unix time; 0 if it does not say.
    """

    name: str
    work: Address
    zone: str
    weight: Annotated[int, msgspec.Meta(ge=0, le=MAX_WEIGHT)]
    offers: tuple[Offer, ...]
    payload_bytes: Count = 1024 * 1024
    aside: tuple[str, ...] = ()
    since_ms: Count = 0


class MetaTooLargeError(ValueError):
    """A node offers more than fits into its gossip entry. The text says what to do."""


def offers_of(contracts: tuple[Contract, ...], *, workers: int) -> tuple[Offer, ...]:
    """The offers that go with the contracts of a node that has so many workers."""
    return tuple(
        Offer(
            contract.name,
            contract.version,
            workers * contract.concurrency,
            contract.deadline_ms,
            contract.retries,
            contract.durability == "replicated",
            contract.partition == "run",
        )
        for contract in sorted(contracts, key=lambda contract: contract.name)
    )


def pack_meta(meta: Meta) -> bytes:
    """Encodes a description.

    Raises:
        MetaTooLargeError: it takes more than 768 bytes.
    """
    packed: bytes = msgpack.packb(msgspec.to_builtins(meta))
    if len(packed) > META_BYTES:
        raise MetaTooLargeError(
            f"the {len(meta.offers)} agents of this node take {len(packed)} bytes of its gossip entry, which may have "
            f"{META_BYTES}: shorten agent names, or spread the agents over several nodes"
        )
    return packed


def unpack_meta(raw: bytes) -> Meta | None:
    """Decodes a peer's description; None when it is not one, which is that peer's fault and hurts nobody."""
    try:
        plain = msgpack.unpackb(raw[: META_BYTES + 1], raw=False)
        return msgspec.convert(plain, Meta)
    except Exception:  # noqa: BLE001 - msgpack raises a dozen types for bad bytes
        return None
