"""What a node tells of itself fits, is read back, and cannot hurt who reads it."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from hubless.meta import META_BYTES, Meta, MetaTooLargeError, Offer, offers_of, pack_meta, unpack_meta
from hubless_agents import Contract
from hubless_gossip import Address

PLAIN = Meta("n1", Address("127.0.0.1", 7000), "zone-a", 1, (Offer("echo", "1", 4, 30_000, 2),))


def test_a_description_is_read_back() -> None:
    for plain in (PLAIN, structs.replace(PLAIN, aside=("slow",), since_ms=1_800_000_000_000)):
        assert unpack_meta(pack_meta(plain)) == plain


def test_a_description_of_an_earlier_release_sets_nothing_aside_and_has_no_age() -> None:
    raw = msgpack.packb(["n1", ["h", 1], "", 1, [], 5])
    read = unpack_meta(raw)
    assert read is not None
    assert (read.aside, read.since_ms) == ((), 0)


def test_slots_are_those_of_all_workers_and_offers_are_in_order() -> None:
    contracts = (
        Contract(name="b", concurrency=5, runtime="asyncio"),
        Contract(name="a", retries=0, deadline_ms=7),
    )
    assert offers_of(contracts, workers=3) == (Offer("a", "1", 3, 7, 0), Offer("b", "1", 15, 30_000, 2))


def test_an_offer_says_where_tasks_are_kept_and_what_a_lonely_node_does() -> None:
    contracts = (
        Contract(name="a", durability="none"),
        Contract(name="b", partition="run"),
        Contract(name="c"),
    )
    offers = offers_of(contracts, workers=1)
    assert [(offer.is_kept, offer.runs_apart) for offer in offers] == [
        (False, False),
        (True, True),
        (True, False),
    ]
    plain = Meta("n1", Address("127.0.0.1", 7000), "", 1, offers)
    assert unpack_meta(pack_meta(plain)) == plain


def test_the_offer_of_an_earlier_release_means_the_defaults() -> None:
    raw = msgpack.packb(["n1", ["h", 1], "", 1, [["echo", "1", 1, 5, 0]]])
    read = unpack_meta(raw)
    assert read is not None
    assert read.offers == (Offer("echo", "1", 1, 5, 0, True, False),)


def test_too_many_agents_are_refused_with_the_remedy() -> None:
    offers = tuple(Offer(f"an-agent-with-a-long-name-{number}", "1", 1, 1, 0) for number in range(40))
    with pytest.raises(MetaTooLargeError, match="40 agents"):
        pack_meta(Meta("n1", Address("127.0.0.1", 7000), "", 1, offers))


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        ["n1", ["h", 1], "", -1, []],
        ["n1", ["h", 1], "", 65, []],
        ["n1", ["h", 1], "", 1, [["echo", "1", 1, -5, 0]]],
        ["n1", ["h", 1], "", 1, [["echo", "1", 1, 5, -1]]],
        ["n1", "h:1", "", 1, []],
    ],
)
def test_what_is_no_description_is_none(plain: object) -> None:
    assert unpack_meta(msgpack.packb(plain)) is None


def test_a_description_beyond_the_limit_is_none() -> None:
    raw = msgpack.packb(["n" * META_BYTES, ["h", 1], "", 1, []])
    assert unpack_meta(raw) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=900))
def test_no_bytes_raise(raw: bytes) -> None:
    unpack_meta(raw)
