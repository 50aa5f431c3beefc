"""What operators are told, as JSON."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hubless.guard import Breakers
from hubless.inspection import Inspection
from hubless.meta import Meta
from hubless.station import Station
from hubless.view import View
from hubless.wire import Ask, Limits
from hubless_gossip import Address, Condition, Identity, Member

S = 1_000_000_000


@pytest.fixture
def inspection(view_of: Callable[..., View], member: Callable[..., Member]) -> Inspection:
    view = view_of(member("n0"), member("n1", condition=Condition.BUSY), member("n2", meta=b"?"))
    station = Station(
        identity=Identity(mesh=b"\1" * 8, node="n0", boot=3, address=Address("127.0.0.1", 10_000)),
        meta=Meta("name-n0", Address("127.0.0.1", 20_000), "", 1, ()),
        shards=16,
        limits=Limits(),
        workers=1,
        joins=False,
        epoch_ns=0,
    )
    view.learn_owner(4, 1, "n0")
    breakers = Breakers(rng=random.Random(1))
    return Inspection(
        station=station,
        view=view,
        breakers=breakers,
        counters=lambda: {"gateway": {"accepted": 5}},
        members=lambda: [msgspec.structs.replace(member("n1"), load=7)],
    )


def told(inspection: Inspection, what: str, argument: str = "") -> Any:
    answer = inspection.told(2 * S, Ask(7, what, argument))
    assert answer.request == 7
    assert answer.failure is None
    return msgspec.json.decode(answer.body)


def test_members_with_what_is_known_of_each(inspection: Inspection) -> None:
    body = told(inspection, "members")
    assert (body["mesh"], body["node"]) == ("01" * 8, "n0")
    first, second, third = body["members"]
    assert (first["node"], first["name"], first["condition"]) == ("n0", "name-n0", "alive")
    assert first["work"] == "127.0.0.1:20000"
    assert first["agents"][0] == {"name": "echo", "version": "1", "slots": 2}
    assert first["since_s"] == 2.0
    assert second["condition"] == "busy"
    assert [row["load"] for row in body["members"]] == [0, 7, 0]  # as gossip knows it now, which is no news
    assert (third["work"], third["agents"]) == ("", [])


def test_the_ring_has_the_owners_of_every_shard(inspection: Inspection) -> None:
    body = told(inspection, "ring")
    assert body["shards"] == 16
    assert set(body["owners"]) == {str(shard) for shard in range(16)}
    assert set(body["owners"]["3"]) == {"n0", "n1"}


def test_a_key_has_a_shard_and_perhaps_an_owner(inspection: Inspection) -> None:
    bodies = [told(inspection, "ring", f"customer-{number}") for number in range(100)]
    assert all(set(body["preference"]) == {"n0", "n1"} for body in bodies)
    assert {body["owner"] for body in bodies if body["shard"] == 4} == {"n0"}
    assert {body["owner"] for body in bodies if body["shard"] != 4} == {None}


def test_breakers_of_quiet_times(inspection: Inspection) -> None:
    body = told(inspection, "breakers")
    assert body["breakers"] == []
    assert body["panic"] is False


def test_the_node_tells_of_itself(inspection: Inspection) -> None:
    body = told(inspection, "node")
    assert (body["node"], body["boot"], body["gossip"]) == ("n0", 3, "127.0.0.1:10000")
    assert body["agents"] == ["echo", "once"]
    assert body["counters"] == {"gateway": {"accepted": 5}}


@pytest.mark.parametrize("what", ["leave", "drain"])
def test_leaving_names_who_leaves(inspection: Inspection, what: str) -> None:
    assert told(inspection, what, "name-n1") == {"node": "n1"}


@pytest.mark.parametrize(
    ("what", "argument", "remedy"),
    [("leave", "nobody", "mesh members"), ("leave", "", "mesh members"), ("weather", "", "ask for members")],
)
def test_what_cannot_be_answered_is_told_with_the_remedy(
    inspection: Inspection, what: str, argument: str, remedy: str
) -> None:
    answer = inspection.told(0, Ask(1, what, argument))
    assert answer.body == b""
    assert answer.failure is not None
    assert remedy in answer.failure.message
