"""Views of small meshes, as the roles of a node see them."""

from collections.abc import Callable

import pytest

from hubless.meta import Meta, Offer, pack_meta
from hubless.view import View
from hubless_gossip import Address, Condition, Member

ECHO = Offer("echo", "1", 2, 5_000, 2)
ONCE = Offer("once", "1", 2, 5_000, 0)


def member(
    node: str,
    *,
    condition: Condition = Condition.ALIVE,
    boot: int = 1,
    offers: tuple[Offer, ...] = (ECHO, ONCE),
    weight: int = 1,
    name: str = "",
    meta: bytes | None = None,
    payload_bytes: int = 1024 * 1024,
    since_ms: int = 0,
) -> Member:
    """A member that takes work at port 20000 plus the number in its id."""
    number = int(node[1:])
    described = Meta(
        name or f"name-{node}",
        Address("127.0.0.1", 20_000 + number),
        "",
        weight,
        offers,
        payload_bytes,
        (),
        since_ms,
    )
    packed = pack_meta(described) if meta is None else meta
    return Member(node, boot, 0, condition, Address("127.0.0.1", 10_000 + number), packed, 0, 0)


def view_of(*members: Member, me: str = "n0", shards: int = 16) -> View:
    """The view of a node that knows these members, with their ring built."""
    view = View(me=me, shards=shards)
    for each in members:
        view.learn(each)
    view.ring_built(view.preferences.changed(view.ring_members()))
    return view


@pytest.fixture(name="member")
def member_fixture() -> Callable[..., Member]:
    return member


@pytest.fixture(name="view_of")
def view_fixture() -> Callable[..., View]:
    return view_of
