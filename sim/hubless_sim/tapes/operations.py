"""What is asked of a mesh from outside, and when: by the shells of its nodes, and by its clients."""

from typing import Literal

import msgspec

from hubless_sim.tapes.script import Script


class Leave(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="leave", tag_field="kind"
):
    """The nodes are asked to leave in order.  Where gossip runs alone their processes run on."""

    at_ms: int
    nodes: tuple[str, ...]


class Meta(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="meta", tag_field="kind"
):
    """The nodes announce other metadata (gossip)."""

    at_ms: int
    nodes: tuple[str, ...]
    meta: str


class Load(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="load", tag_field="kind"
):
    """The shells of the nodes report this load, and whether they are busy (gossip)."""

    at_ms: int
    nodes: tuple[str, ...]
    load: int
    busy: bool = False


class Call(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="call", tag_field="kind"
):
    """A client submits a task (mesh): what, when, and through which node first.

    ``own_shard`` mints an id of a shard that the gateway said it owns (as the client library does), otherwise any
    shard will do.  ``cancel_after_ms`` gives the call up.  Clients take the calls of a tape in turn.
    """

    at_ms: int
    agent: str
    script: Script
    gateway: str
    key: str = ""
    deadline_ms: int = 20_000
    own_shard: bool = True
    cancel_after_ms: int | None = None
    receipt: bool = False
    repeat_after_ms: int | None = None
    idempotency: str = ""


class Query(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="query", tag_field="kind"
):
    """A client asks through a node what an operator would (mesh): ``what`` of the task of its call, a node or a shard.

    ``call`` is a call's place among the calls of the tape, and its client asks; one that was not made yet is nothing to
    ask about.  ``node`` names who is to be drained, ``shard`` which one is to be forked, with or without " force".
    """

    at_ms: int
    what: Literal["status", "result", "cancel", "retry", "drain", "fork"]
    gateway: str
    call: int = 0
    node: str = ""
    shard: str = ""


class Ring(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ring", tag_field="kind"
):
    """The nodes take these for the members of the ring, rightly or not (shards)."""

    at_ms: int
    nodes: tuple[str, ...]
    members: tuple[str, ...]


class Opinion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="opinion", tag_field="kind"
):
    """The nodes hold ``member`` to be in this condition, rightly or not, until a link tells them otherwise (shards)."""

    at_ms: int
    nodes: tuple[str, ...]
    member: str
    condition: Literal["well", "doubtful", "gone", "draining"]


Operation = Leave | Meta | Load | Call | Query | Ring | Opinion


def called(operation: Operation) -> tuple[str, ...]:
    """The nodes that are asked."""
    return (operation.gateway,) if isinstance(operation, Call | Query) else operation.nodes


def named_in(operation: Operation) -> tuple[str, ...]:
    """All nodes that an operation names."""
    match operation:
        case Ring(members=members):
            return (*operation.nodes, *members)
        case Query(gateway=gateway, node=node):
            return (gateway, node) if node else (gateway,)
        case Opinion(member=member):
            return (*operation.nodes, member)
        case _:
            return called(operation)
