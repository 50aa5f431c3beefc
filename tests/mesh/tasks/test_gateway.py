"""What a gateway owes its clients: one answer for each task, whatever becomes of owners."""

from collections.abc import Callable

import pytest

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission
from hubless.guard.admission import AdmissionConfig
from hubless.placement import mint_task_id, shard_of_key
from hubless.tasks import Gateway
from hubless.view import View
from hubless.wire import Answer, Place, Settled, Submit, Withdraw
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
ROUTE = b"client"


def task_of(shard: int, number: int = 0) -> bytes:
    return mint_task_id(shard, number.to_bytes(14, "big"))


class Room:
    """A gateway on n0 in a mesh of n0, n1, n2, and what it said last."""

    def __init__(self, view: View, admission: Admission | None = None) -> None:
        self.view = view
        self.gateway = Gateway(
            me="n0", view=view, shards=16, payload_bytes=100, admission=admission or Admission()
        )

    def submit(self, task: bytes, now_ns: int = 0, **fields: object) -> list[NodeEffect]:
        values: dict[str, object] = {
            "agent": "echo",
            "key": "",
            "payload": b"1",
            "deadline_ms": 30_000,
            **fields,
        }
        out: list[NodeEffect] = []
        self.gateway.submit(now_ns, ROUTE, Submit(task, **values), out)  # type: ignore[arg-type]
        return out

    def owned_by(self, node: str, number: int = 0) -> bytes:
        shard = next(shard for shard in range(16) if self.view.owner_of_shard(shard) == node)
        return task_of(shard, number)

    def tick(self, now_ns: int) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.gateway.tick(now_ns, out)
        return out

    def settle(self, task: bytes, failure: Failure | None = None) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        payload = b"2" if failure is None else None
        self.gateway.settled(Settled(task, payload, failure, "n1", 1), out)
        return out

    def gone(self, node: str, now_ns: int = 0) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.gateway.place_again(now_ns, node, out)
        return out


def test_similar_names_are_looked_for_once_per_unknown_agent(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def looked(agent: str, known: list[str], n: int) -> list[str]:
        looks.append(agent)
        return known[:n]

    monkeypatch.setattr("difflib.get_close_matches", looked)
    for number in range(10):
        room.submit(room.owned_by("n1", number), agent="ecko")
    assert looks == ["ecko"]


def test_a_repetition_is_meant_for_the_process_that_was_asked_first(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, first),) = places(room.submit(task))
    ((_, second),) = places(room.tick(2_000 * MS))
    assert (first.boot, second.boot) == (0, 1)


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0"), member("n1"), member("n2")))


def places(effects: list[NodeEffect]) -> list[tuple[str, Place]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Place)
    ]


def answer(effects: list[NodeEffect]) -> Answer:
    (effect,) = effects
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Answer)
    return effect.message


def test_a_task_goes_to_the_owner_of_its_shard_and_its_outcome_to_the_client(room: Room) -> None:
    task = room.owned_by("n1")
    assert places(room.submit(task)) == [("n1", Place(task, "echo", "", b"1", 30_000, "n0"))]
    told = answer(room.settle(task))
    assert (told.payload, told.failure, told.node, told.attempt) == (b"2", None, "n1", 1)
    assert len(room.gateway) == 0


def test_an_outcome_is_told_once(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.settle(task)
    assert room.settle(task) == []


def test_a_submission_that_comes_again_moves_to_the_new_connection(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"other", Submit(task, "echo", "", b"1", 30_000), out)
    assert out == []
    (effect,) = room.settle(task)
    assert isinstance(effect, ToClient)
    assert effect.route == b"other"


def test_an_owner_that_says_nothing_is_asked_again_at_growing_intervals(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=60_000)
    asked_s = [second for second in range(40) if places(room.tick(second * S))]
    assert asked_s == [1, 3, 7, 15, 23, 31, 39]


def test_what_remains_of_the_deadline_travels(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    ((_, again),) = places(room.tick(1_000 * MS))
    assert again.deadline_ms == 29_000


def test_a_task_without_outcome_expires_and_is_withdrawn(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=500)
    withdrawn, told = room.tick(500 * MS)
    assert withdrawn == ToPeer("n1", Withdraw(task))
    assert answer([told]).failure.code == "expired"  # type: ignore[union-attr]
    assert answer([told]).failure.effect is Effect.MAYBE  # type: ignore[union-attr]
    assert len(room.gateway) == 0
    assert room.tick(60 * S) == []


def test_a_submission_without_deadline_gets_that_of_all_attempts_of_the_agent(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task, deadline_ms=0))
    assert place.deadline_ms == 3 * 5_000


def test_a_cancelled_task_is_withdrawn_and_never_answered(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.cancel(task, out)
    assert out == [ToPeer("n1", Withdraw(task))]
    assert room.settle(task) == []


def test_tasks_of_a_dead_owner_are_placed_with_the_next_at_once(
    room: Room, member: Callable[..., Member]
) -> None:
    task, other = room.owned_by("n1"), room.owned_by("n2")
    room.submit(task)
    room.submit(other)
    room.view.learn(member("n1", condition=Condition.DEAD))
    ((node, place),) = places(room.gone("n1"))
    assert node in ("n0", "n2")
    assert (place.task, place.again, place.once) == (task, True, False)


def test_a_task_stays_with_an_owner_that_is_well_when_the_ring_changes(
    room: Room, view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    bigger = view_of(*(member(f"n{number}") for number in range(12)))
    for number in range(3, 12):
        room.view.learn(member(f"n{number}"))
    room.view.ring_built(bigger.ring)
    assert [node for node, _ in places(room.tick(1 * S))] == ["n1"]


@pytest.mark.parametrize(("agent", "stays"), [("echo", False), ("once", True)])
def test_a_task_of_an_owner_in_doubt_moves_unless_it_may_run_only_once(
    room: Room, member: Callable[..., Member], agent: str, stays: bool
) -> None:
    task = room.owned_by("n1")
    room.submit(task, agent=agent)
    room.view.learn(member("n1", condition=Condition.BUSY))
    ((node, place),) = places(room.tick(1 * S))
    assert (node == "n1") is stays
    assert place.again is not stays
    assert place.once is stays


def test_an_owner_that_handed_the_task_on_is_replaced_by_the_one_that_took_it(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.gateway.taken("n2", task)
    ((node, place),) = places(room.tick(1 * S))
    assert (node, place.again) == ("n2", False)


def test_without_any_owner_a_task_waits_for_a_ring(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    leaving = view_of(member("n0", weight=0), member("n1", weight=0))
    room = Room(leaving)
    task = task_of(3)
    assert room.submit(task) == []
    leaving.learn(member("n1"))
    leaving.ring_built(view_of(member("n1")).ring)
    assert [node for node, _ in places(room.gone(""))] == ["n1"]


def test_without_any_owner_a_task_expires_without_effect(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0", weight=0)))
    room.submit(task_of(3), deadline_ms=100)
    told = answer(room.tick(200 * MS))
    assert told.failure is not None
    assert told.failure.effect is Effect.NONE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"task": b"short"}, "bad_input"),
        ({"task": task_of(16)}, "bad_input"),
        ({"key": "k" * 201}, "bad_input"),
        ({"agent": "a" * 201}, "bad_input"),
        ({"deadline_ms": -1}, "bad_input"),
        ({"payload": b"x" * 101}, "payload_too_large"),
        ({"agent": "ecoh"}, "unknown_agent"),
    ],
)
def test_what_cannot_run_is_refused_at_once_and_without_effect(
    room: Room, fields: dict[str, object], code: str
) -> None:
    told = answer(room.submit(**{"task": task_of(1), **fields}))  # type: ignore[arg-type]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect, told.attempt) == (code, Effect.NONE, 0)
    assert len(room.gateway) == 0


def test_a_key_decides_the_shard(room: Room) -> None:
    shard = shard_of_key("customer-7", 16)
    assert places(room.submit(task_of(shard), key="customer-7"))
    told = answer(room.submit(task_of((shard + 1) % 16), key="customer-7"))
    assert told.failure is not None
    assert told.failure.code == "bad_input"


def test_a_refusal_names_what_was_probably_meant(room: Room) -> None:
    told = answer(room.submit(task_of(1), agent="ecoh"))
    assert told.failure is not None
    assert "did you mean 'echo'?" in told.failure.message


def test_a_submission_that_was_taken_before_is_placed_though_nobody_offers_its_agent(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    """Its owner may have it, or wait for somebody who offers it."""
    room = Room(view_of(member("n0", offers=())))
    ((_, place),) = places(room.submit(task_of(1), agent="rare", again=True))
    assert (place.again, place.once) == (True, True)


def test_a_failure_of_a_task_that_was_with_another_owner_is_never_without_effect(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, again=True)
    told = answer(room.settle(task, Failure(code="overloaded", message="full", retry_after_ms=7)))
    assert told.failure is not None
    assert (told.failure.effect, told.failure.retry_after_ms) == (Effect.MAYBE, 7)


def test_too_many_tasks_are_refused_with_a_time_to_come_back(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0")), Admission(AdmissionConfig(total=2)))
    for number in range(2):
        room.submit(task_of(1, number))
    told = answer(room.submit(task_of(1, 2)))
    assert told.failure is not None
    assert told.failure.code == "overloaded"
    assert told.failure.retry_after_ms
    room.settle(task_of(1, 0))
    assert places(room.submit(task_of(1, 2)))
