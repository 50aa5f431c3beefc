"""Which tasks a gateway has its own node take on, and when; which ones go on waiting for their shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission
from hubless.meta import Offer
from hubless.placement import mint_task_id, shard_of_key
from hubless.tasks import Gateway
from hubless.view import View
from hubless.wire import (
    Accepted,
    Answer,
    Moved,
    Place,
    Refused,
    Settled,
    ShardChoice,
    Submit,
    Taken,
    Whose,
    Withdraw,
)
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
OFFERS = (
    Offer("run", "1", 2, 5_000, 2, True, True),
    Offer("once", "1", 2, 5_000, 0, True, True),
    Offer("wait", "1", 2, 5_000, 2),
)
KEY = "order-1"
KEYED = mint_task_id(shard_of_key(KEY, 16), bytes(14))
PLAIN = mint_task_id(5, bytes(14))


class Log:
    """Stands for `Apart`."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        self.is_open = True

    def knows(self, task: bytes) -> bool:
        return task in self.known

    def takes(self, now_ns: int) -> bool:
        return self.is_open


class Room:
    """A gateway on n0 that waits two seconds for an owner. n1 and n2 are alive at first, and nobody owns anything."""

    def __init__(self, view: View, member: Callable[..., Member]) -> None:
        self.view = view
        self.member = member
        self.log = Log()
        self.gateway = Gateway(
            me="n0",
            view=view,
            shards=16,
            payload_bytes=100,
            admission=Admission(),
            apart=self.log,  # type: ignore[arg-type]
            patience_ns=2 * S,
        )
        self.now_ns = 0

    def said(self, do: Callable[..., object], *arguments: Any) -> list[Any]:
        out: list[NodeEffect] = []
        do(*arguments, out)
        return [
            (effect.node if isinstance(effect, ToPeer) else "client", effect.message)
            for effect in out
            if isinstance(effect, ToPeer | ToClient)
        ]

    def submit(self, agent: str = "run", key: str = KEY, task: bytes = b"", **fields: Any) -> list[Any]:
        task = task or (KEYED if key else PLAIN)
        submit = Submit(task, agent, key, b"1", fields.pop("deadline_ms", 30_000), **fields)
        return self.said(self.gateway.submit, self.now_ns, b"route", submit)

    def until(self, at_ns: int) -> list[Any]:
        said = []
        while self.now_ns < at_ns:
            self.now_ns += 50 * MS
            said += self.said(self.gateway.tick, self.now_ns)
        return said

    def apart(self, said: list[Any]) -> list[Place]:
        return [message for node, message in said if isinstance(message, Place) and message.apart]

    def condition(self, condition: Condition) -> None:
        for node in ("n1", "n2"):
            self.view.learn(self.member(node, offers=OFFERS, condition=condition))


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    members = [member(node, offers=OFFERS) for node in ("n0", "n1", "n2")]
    return Room(view_of(*members), member)


@pytest.fixture
def alone(room: Room) -> Room:
    room.condition(Condition.DEAD)
    return room


def test_a_task_waits_for_an_owner_before_its_node_takes_it_on(alone: Room) -> None:
    assert alone.apart(alone.submit() + alone.until(1_950 * MS)) == []
    (place, *_) = alone.apart(alone.until(2_300 * MS))
    assert (place.task, place.gateway, place.deadline_ms) == (KEYED, "n0", 28_000)
    assert alone.gateway.counters.apart == 1


def test_the_next_one_of_that_shard_does_not_wait(alone: Room) -> None:
    alone.submit()
    alone.until(3 * S)
    other = KEYED[:2] + b"another task.."
    assert len(alone.apart(alone.submit(task=other))) == 1


def test_a_short_change_of_owners_is_waited_for(alone: Room) -> None:
    alone.submit()
    alone.until(1_500 * MS)
    alone.condition(Condition.ALIVE)
    alone.view.learn_owner(KEYED[1], 3, "n1")
    alone.until(1_600 * MS)
    alone.condition(Condition.DEAD)
    assert alone.apart(alone.until(3_500 * MS)) == []
    assert alone.apart(alone.until(6 * S)) != []


def test_an_agent_that_waits_is_never_run_apart(alone: Room) -> None:
    said = alone.submit("wait", deadline_ms=10_000) + alone.until(10_200 * MS)
    assert alone.apart(said) == []
    (refused,) = [message for _, message in said if isinstance(message, Refused)]
    assert (refused.code, refused.may_be_known) == ("no_quorum", False)


def test_a_task_that_waits_in_vain_expires_as_one_whose_shard_has_no_owner(alone: Room) -> None:
    said = alone.submit("wait", deadline_ms=1_500) + alone.until(1_700 * MS)
    (answer,) = [message for _, message in said if isinstance(message, Answer)]
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.effect.value) == ("expired", "none")
    assert f"no owner of shard {KEYED[1]}" in answer.failure.message


def test_an_owner_that_answers_nobody_is_as_good_as_none(room: Room) -> None:
    room.view.learn_owner(KEYED[1], 3, "n1")
    room.condition(Condition.SUSPECT)
    assert room.submit()[0][0] == "n1"
    assert room.apart(room.until(1_900 * MS)) == []
    assert len(room.apart(room.until(2_200 * MS))) == 1


def test_what_may_have_begun_is_not_begun_again_unless_its_agent_allows_it(room: Room) -> None:
    room.view.learn_owner(KEYED[1], 3, "n1")
    room.submit("once")
    room.condition(Condition.DEAD)
    room.gateway.owner_gone("n1")
    assert room.apart(room.until(10 * S)) == []


def test_what_its_owner_has_denied_has_not_begun(room: Room) -> None:
    room.view.learn_owner(KEYED[1], 3, "n1")
    room.submit("once")
    room.said(room.gateway.moved, 0, "n1", Moved(KEYED, 0, ""))
    room.condition(Condition.DEAD)
    assert len(room.apart(room.until(2_500 * MS))) == 1


def test_what_came_from_another_gateway_may_have_begun(alone: Room) -> None:
    assert alone.apart(alone.submit("once", again=True) + alone.until(5 * S)) == []


def test_without_any_shard_tasks_without_key_are_taken_on_too(alone: Room) -> None:
    assert alone.apart(alone.submit(key="")) == []
    assert len(alone.apart(alone.until(2_300 * MS))) >= 1


@pytest.mark.parametrize("choice", [ShardChoice.FIXED, ShardChoice.AT_ONCE])
def test_what_a_name_ties_to_its_shard_is_taken_on_whatever_other_shards_there_are(
    alone: Room, choice: ShardChoice
) -> None:
    alone.view.learn_owner(7, 3, "n0")
    said = alone.submit(key="", shard=choice) + alone.until(2_300 * MS)
    assert not [message for _, message in said if isinstance(message, Refused)]
    assert len(alone.apart(said)) == 1


def test_with_another_shard_they_are_sent_there(alone: Room) -> None:
    alone.view.learn_owner(7, 3, "n0")
    ((to, refused),) = alone.submit(key="")
    assert (to, type(refused), refused.code) == ("client", Refused, "no_quorum")


def test_what_no_owner_took_can_still_be_sent_elsewhere(room: Room) -> None:
    """The owner was thought to be there when the task came, but had lost its shard."""
    room.view.learn_owner(PLAIN[1], 3, "n0")
    room.view.learn_owner(7, 3, "n2")
    assert room.submit("wait", key="")[0][0] == "n0"
    denied = room.said(room.gateway.moved, 0, "n0", Moved(PLAIN, 0, ""))
    assert {message for _, message in denied} == {Whose(5)}
    refused: list[Any] = []
    while not refused and room.now_ns < 5 * S:
        said = room.until(room.now_ns + 50 * MS)
        refused = [message for _, message in said if isinstance(message, Refused)]
        for node, message in said:
            if isinstance(message, Place):
                room.said(room.gateway.moved, room.now_ns, node, Moved(PLAIN, 0, ""))
    assert [each.code for each in refused] == ["no_quorum"]
    assert room.now_ns >= 2 * S
    assert len(room.gateway) == 0


@pytest.mark.parametrize("knows_another", [False, True])
def test_what_somebody_may_have_is_sent_elsewhere_as_the_same_task(room: Room, knows_another: bool) -> None:
    """Of those who were asked one never answers."""
    room.view.learn_owner(PLAIN[1], 3, "n1")
    if knows_another:
        room.view.learn_owner(7, 3, "n2")
    room.submit("wait", key="")
    room.condition(Condition.DEAD)
    room.gateway.owner_gone("n1")
    (refused,) = [message for _, message in room.until(6 * S) if isinstance(message, Refused)]
    assert (refused.code, refused.task, refused.may_be_known) == ("no_quorum", PLAIN, True)


def test_what_nobody_waits_for_is_kept_to_be_withdrawn(room: Room) -> None:
    room.view.learn_owner(PLAIN[1], 3, "n1")
    room.submit("wait", key="")
    room.condition(Condition.DEAD)
    room.gateway.owner_gone("n1")
    room.said(room.gateway.cancel, PLAIN)
    room.until(6 * S)
    assert len(room.gateway) == 1


def test_the_outcome_is_provisional_and_gives_no_receipt(alone: Room) -> None:
    alone.submit(receipt=True)
    alone.until(2_300 * MS)
    assert alone.said(alone.gateway.taken, "n0", Taken(KEYED, provisional=True)) == []
    settled = Settled(KEYED, b"2", None, "n0", 1, provisional=True)
    ((_, answer),) = alone.said(alone.gateway.settled, settled)
    assert isinstance(answer, Answer)
    assert (answer.payload, answer.provisional) == (b"2", True)


def test_the_word_of_the_shard_counts_if_it_comes_first(alone: Room) -> None:
    alone.submit(receipt=True)
    alone.until(2_300 * MS)
    assert [type(each) for _, each in alone.said(alone.gateway.taken, "n1", Taken(KEYED))] == [Accepted]
    said = alone.said(alone.gateway.settled, Settled(KEYED, b"3", None, "n1", 1))
    assert ("n0", Withdraw(KEYED)) in said
    (answer,) = [message for _, message in said if isinstance(message, Answer)]
    assert not answer.provisional


def test_what_is_under_way_apart_stays_so_when_its_shard_is_back(alone: Room) -> None:
    alone.submit()
    alone.until(2_300 * MS)
    alone.condition(Condition.ALIVE)
    alone.view.learn_owner(KEYED[1], 3, "n1")
    assert alone.said(alone.gateway.owners_changed, alone.now_ns, (KEYED[1],)) == []
    said = alone.until(9 * S)
    assert {node for node, _ in said} == {"n0"}
    alone.said(alone.gateway.cancel, KEYED)


def test_a_task_that_the_node_has_is_asked_for_there_at_once(room: Room) -> None:
    room.view.learn_owner(KEYED[1], 3, "n1")
    room.log.known.add(KEYED)
    said = room.submit("once", again=True)
    assert [node for node, _ in said] == ["n0"]
    assert len(room.apart(said)) == 1


def test_a_node_that_cannot_write_it_down_lets_it_wait(alone: Room) -> None:
    alone.log.is_open = False
    alone.submit()
    assert alone.apart(alone.until(5 * S)) == []
    alone.log.is_open = True
    assert len(alone.apart(alone.until(5_300 * MS))) >= 1


def test_who_gives_up_withdraws_it_here(alone: Room) -> None:
    alone.submit()
    alone.until(2_300 * MS)
    assert alone.said(alone.gateway.cancel, KEYED) == [("n0", Withdraw(KEYED))]
