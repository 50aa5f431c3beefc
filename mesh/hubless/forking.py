"""Whether a shard may be given a new lineage, and from which of its replicas: judgement on what the nodes tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from hubless.shard.quorum import has_quorum
from hubless.wire.replication import Config
from hubless_gossip.marks import sometimes

_USELESS = frozenset({"damaged", "journal failed", "outlived"})


class Wish(NamedTuple):
    """What an operator asked for: "7", or "7 force"."""

    shard: int
    is_forced: bool


class Replica(msgspec.Struct, frozen=True):
    """What a node tells of its replica of a shard (see `Keeping.shard_rows`), as far as it matters here."""

    shard: int
    is_owner: bool
    term: int
    last_term: int
    index: int
    voters: tuple[str, ...]
    outgoing: tuple[str, ...]
    condition: str


class Founder(NamedTuple):
    """The best replica that is left is at `node`; the new lineage comes after all terms up to `above`."""

    node: str
    above: int


class Founding(msgspec.Struct, frozen=True):
    """The argument of the "fork" that a node with the best replica is given."""

    shard: int
    above: int


def founding_of(argument: str) -> Founding | None:
    """What the order to found a new lineage says; None if it cannot be read."""
    try:
        return msgspec.json.decode(argument, type=Founding)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def wish_of(argument: str, shards: int) -> Wish | None:
    """What the argument of "fork" says; None if it names no shard of the mesh."""
    number, _, force = argument.partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) < 6) or force not in ("", "force"):
        return None
    return Wish(int(number), bool(force)) if int(number) < shards else None


def replica_of(row: Mapping[str, Any]) -> Replica | None:
    """What a node said, None if that is no description of a replica."""
    try:
        return msgspec.convert(row, Replica)
    except msgspec.ValidationError:
        return None


def founder_of(
    wish: Wish,
    told: Mapping[str, Replica],
    *,
    silent: Collection[str],
    gone: Collection[str],
    term: int,
    label: Callable[[str], str],
) -> Founder | str:
    """Who founds the new lineage, or why nobody may.

    Args:
        told: what each node that has a replica of the shard says of it.
        silent: nodes that were asked and did not answer.
        gone: voters that are dead, have left, or are not known any more.
        term: the highest in which anybody was heard to own the shard.
        label: how people call a node.
    """
    shard = wish.shard
    owner = next((node for node, row in sorted(told.items()) if row.is_owner), None)
    if owner is not None:
        return f"shard {shard} has an owner, {label(owner)}, and with it a majority: there is nothing to fork"
    useful = {node: row for node, row in told.items() if row.condition not in _USELESS and row.voters}
    if not useful:
        return f"no node that answers has a replica of shard {shard} that can be used: nothing is left to fork from"
    if len(useful) < len(told):
        sometimes("a new lineage is not founded on a replica that is of no use")
    best = max(useful, key=lambda node: (useful[node].last_term, useful[node].index, node))
    config = Config(useful[best].voters, useful[best].outgoing)
    voters = {*config.voters, *config.outgoing}
    left = voters.difference(gone)
    if has_quorum(config, left) and not wish.is_forced:
        names = ", ".join(map(label, sorted(left)))
        return (
            f"shard {shard} may still have a majority with {names}, not known to be dead: wait until they are back, "
            "or use --force if you know that they never will be"
        )
    doubtful = voters.intersection(silent)
    if doubtful and not wish.is_forced:
        names = ", ".join(map(label, sorted(doubtful)))
        return (
            f"no answer from {names}, who may have more of shard {shard}: ask again, "
            "or use --force if you know that they are gone for ever"
        )
    return Founder(best, max(term, *(row.term for row in told.values())))
