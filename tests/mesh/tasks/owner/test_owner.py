"""An owner gives each attempt to one executor, decides one outcome, and tells every gateway that asked.

All of it over both kinds of log, as long as they decide promptly; the other files have those that do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from owner_desk import SUBMITTED_MS, TASK, Desk, LateLog, order, task_of

from hubless.effects import ToPeer
from hubless.placement import AgentRing
from hubless.tasks import Unlogged
from hubless.view import View
from hubless.wire import Assign, Recall, Settled, Taken
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS


def settled(effects: list[ToPeer]) -> dict[str, Settled]:
    told: dict[str, Settled] = {}
    for effect in effects:
        assert isinstance(effect.message, Settled)
        told[effect.node] = effect.message
    return told


def refusal(code: str) -> Failure:
    return Failure(code=code, message="no", effect=Effect.NONE)  # type: ignore[arg-type]


@pytest.fixture(params=["unlogged", "late"])
def log(request: pytest.FixtureRequest) -> LateLog | Unlogged:
    """Both kinds of log, for what must hold over each."""
    return Unlogged() if request.param == "unlogged" else LateLog()


@pytest.fixture
def room_of(log: LateLog | Unlogged, view_of: Callable[..., View]) -> Callable[..., Desk]:
    """An owner on n0 among these members, over either kind of log."""
    return lambda *members, **options: Desk(view_of(*members), log, **options)


def test_a_task_is_given_to_an_executor_and_its_outcome_to_the_gateway(room: Desk) -> None:
    executor, assign = order(room.place())
    assert executor in ("n1", "n2", "n3")
    assert assign == Assign(TASK, 1, "echo", b"1", 30_000, (), room.log.term(TASK), SUBMITTED_MS, 1)
    assert settled(room.ended(executor)) == {"g1": Settled(TASK, b"2", None, executor, 1)}
    assert room.held() == (0, 0, 0)


def test_a_known_task_is_recognised(room: Desk) -> None:
    executor, _ = order(room.place())
    assert room.place() == [ToPeer("g1", Taken(TASK))], "it is not started again"
    room.ended(executor)
    assert settled(room.place(gateway="g2")) == {"g2": Settled(TASK, b"2", None, executor, 1)}
    assert room.owner.counters.recognised == 2


def test_all_gateways_that_asked_are_told(room: Desk) -> None:
    executor, _ = order(room.place())
    room.place(gateway="g2")
    room.place(gateway="g1")
    assert set(settled(room.ended(executor))) == {"g1", "g2"}


def test_a_task_is_cancelled_at_once_when_nobody_else_can_want_it(room: Desk) -> None:
    """Its client came over another gateway before, which has not noticed that it went."""
    room.place(gateway="g1")
    room.place(gateway="g2")
    (recall,) = room.said(lambda now_ns, out: room.owner.withdraw(now_ns, "g2", TASK, out, alone=True))
    assert isinstance(recall.message, Recall)
    assert len(room.owner) == 0


def test_a_task_is_cancelled_when_the_last_gateway_withdraws(room: Desk) -> None:
    executor, _ = order(room.place())
    room.place(gateway="g2")
    assert room.withdraw("g1") == []
    assert room.withdraw("nobody") == []
    assert room.withdraw("g2") == [ToPeer(executor, Recall(TASK, 1, room.log.term(TASK)))]
    assert room.held() == (0, 0, 0)


def test_who_asks_for_a_cancelled_task_is_told_so(room: Desk) -> None:
    room.place()
    room.withdraw("g1")
    told = settled(room.place(gateway="g2"))["g2"]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("cancelled", Effect.MAYBE)


@pytest.mark.parametrize("asked", [{"trail": ("n9",)}, {"receipt": True}])
def test_who_wants_a_receipt_or_was_not_asked_itself_gets_one(room: Desk, asked: dict[str, Any]) -> None:
    taken, assign = room.place(**asked)
    assert taken == ToPeer("g1", Taken(TASK))
    assert isinstance(assign.message, Assign)
    assert room.place(**asked) == [ToPeer("g1", Taken(TASK))]


def test_another_task_under_the_same_id_is_refused(room: Desk) -> None:
    """Before and after the first one has ended: an idempotency key names one call."""
    executor, _ = order(room.place())
    for _ in range(2):
        for fields in ({"payload": b"other"}, {"agent": "once"}):
            told = settled(room.place(gateway="g2", **fields))["g2"]
            assert told.failure is not None
            assert (told.failure.code, told.failure.effect) == ("bad_input", Effect.NONE)
        room.ended(executor)
    assert room.owner.counters.refused == 4


def test_an_outcome_of_another_attempt_or_executor_is_fenced_off(room: Desk) -> None:
    executor, _ = order(room.place())
    other = next(node for node in ("n1", "n2", "n3") if node != executor)
    assert room.ended(other) == []
    assert room.ended(executor, attempt=2) == []
    room.gone(executor)
    assert room.ended(executor, attempt=1) == []
    assert room.owner.counters.fenced == 3


def test_a_dead_node_s_attempts_go_elsewhere_at_once(room: Desk, member: Callable[..., Member]) -> None:
    executor, _ = order(room.place())
    room.view.learn(member(executor, condition=Condition.DEAD))
    second, assign = order(room.gone(executor))
    assert second != executor
    assert assign.attempt == 2
    assert [failure.code for failure in assign.failures] == ["unreachable"]


def test_an_agent_without_retries_is_not_started_again(room: Desk) -> None:
    executor, _ = order(room.place(agent="once"))
    told = settled(room.gone(executor))["g1"]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("unreachable", Effect.MAYBE)


def test_a_task_that_may_have_run_and_runs_only_once_is_not_taken(room: Desk) -> None:
    told = settled(room.place(agent="once", again=True, once=True, is_kept=False))["g1"]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("unreachable", Effect.MAYBE)
    order(room.place(task_of(1), again=True, is_kept=False))
    order(room.place(task_of(2), agent="once", again=True, once=True, is_kept=True))


def test_an_agent_without_retries_may_be_refused_and_go_elsewhere(room: Desk) -> None:
    executor, _ = order(room.place(agent="once"))
    second, assign = order(room.ended(executor, failure=refusal("overloaded")))
    assert second != executor
    assert assign.attempt == 2


@pytest.mark.parametrize("code", ["overloaded", "quarantined", "unknown_agent"])
def test_a_refusal_by_all_is_final(room: Desk, code: str) -> None:
    executor, _ = order(room.place())
    asked = {executor}
    for attempt in (1, 2):
        executor, _ = order(room.ended(executor, attempt, refusal(code)))
        asked.add(executor)
    told = settled(room.ended(executor, 3, refusal(code)))["g1"]
    assert asked == {"n1", "n2", "n3"}
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == (code, Effect.NONE)


def test_a_refusal_after_a_lost_attempt_is_not_without_effect(room: Desk) -> None:
    executor, _ = order(room.place())
    executor, _ = order(room.gone(executor))
    executor, _ = order(room.ended(executor, 2, refusal("overloaded")))
    told = settled(room.ended(executor, 3, refusal("overloaded")))["g1"]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("overloaded", Effect.MAYBE)


def test_when_all_are_leaving_the_task_waits_and_asks_again(room: Desk) -> None:
    executor, _ = order(room.place())
    for attempt in (1, 2):
        executor, _ = order(room.ended(executor, attempt, refusal("no_executor")))
    assert room.ended(executor, 3, refusal("no_executor")) == []
    assert len(room.owner) == 1
    _, assign = order(room.tick(300 * MS))
    assert assign.attempt == 4


def test_a_broken_attempt_is_repeated_at_once_where_there_is_no_other_node(
    room_of: Callable[..., Any], member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()), member("n1"))
    broken = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    order(room.place())
    assert order(room.ended("n1", 1, broken))[0] == "n1"
    assert order(room.ended("n1", 2, broken))[0] == "n1"
    told = settled(room.ended("n1", 3, broken))["g1"]
    assert told.failure == broken


def test_a_task_of_an_agent_that_nobody_offers_yet_waits_for_one(
    room_of: Callable[..., Any], member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()), member("n1", offers=()))
    assert room.place(agent="echo") == []
    room.view.learn(member("n1"))
    executor, _ = order(room.view_changed())
    broken = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    assert order(room.ended(executor, 1, broken)), "its retries are those on offer by now"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The agents that executors were looked for."""
    looks: list[str] = []
    look = View.agent_ring

    def counted(view: View, agent: str) -> AgentRing:
        looks.append(agent)
        return look(view, agent)

    monkeypatch.setattr(View, "agent_ring", counted)
    return looks


def test_a_parked_task_is_seldom_looked_at_however_often_the_view_changes(
    room: Desk, member: Callable[..., Member], looks: list[str]
) -> None:
    """As long as nobody takes work, it is the view that will say when somebody does."""
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node, condition=Condition.BUSY))
    room.place()
    for now_ms in range(100):
        room.now_ns = now_ms * MS
        room.view_changed()
    looks.clear()
    for now_ms in range(100, 10_100, 50):
        room.tick(now_ms * MS)
    assert len(looks) == 5


def test_a_change_of_the_view_costs_one_look_for_all_who_wait_for_an_agent(
    room: Desk, member: Callable[..., Member], looks: list[str]
) -> None:
    busy = [member(node, condition=Condition.BUSY) for node in ("n1", "n2", "n3")]
    for each in busy:
        room.view.learn(each)
    for number in range(100):
        room.place(task_of(number), agent="once" if number % 2 else "echo")
    looks.clear()
    assert room.view_changed() == []
    assert sorted(looks) == ["echo", "once"]
    room.view.learn(member("n2"))
    assert len(room.view_changed()) == 100


def test_a_task_that_nobody_offers_waits_for_the_view_alone(
    room_of: Callable[..., Any], member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()))
    room.place()
    assert room.owner.next_deadline_ns() == 30 * S


@pytest.mark.parametrize(("room_left", "others", "expected"), [(1, 1, "n0"), (0, 1, "n1"), (0, 0, "n0")])
def test_a_node_without_room_asks_others_first(
    room_of: Callable[..., Any],
    member: Callable[..., Member],
    room_left: int,
    others: int,
    expected: str,
) -> None:
    room = room_of(member("n0"), *[member("n1")][:others], own_room=room_left)
    assert order(room.place(deadline_ms=1_000))[0] == expected


def test_a_payload_goes_only_to_nodes_that_take_its_size(
    room_of: Callable[..., Any], member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()), member("n1", payload_bytes=0), member("n2"), member("n3"))
    assert {order(room.place(task_of(number)))[0] for number in range(20)} == {"n2", "n3"}
    for node in ("n2", "n3"):
        room.view.learn(member(node, payload_bytes=0))
    failure = settled(room.place(task_of(20)))["g1"].failure
    assert failure is not None
    assert (failure.code, failure.effect) == ("payload_too_large", Effect.NONE)


def test_a_parked_task_expires_without_effect(
    room_of: Callable[..., Any], member: Callable[..., Member]
) -> None:
    room = room_of(member("n0", offers=()))
    room.place(deadline_ms=400)
    told = settled(room.tick(500 * MS))["g1"]
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)


def test_a_running_task_expires_and_is_taken_from_its_executor(room: Desk) -> None:
    executor, _ = order(room.place(deadline_ms=400))
    recalled, told = room.tick(500 * MS)
    assert recalled == ToPeer(executor, Recall(TASK, 1, room.log.term(TASK)))
    failure = settled([told])["g1"].failure
    assert failure is not None
    assert (failure.code, failure.effect) == ("expired", Effect.MAYBE)
    assert room.held() == (0, 0, 0)


def test_an_executor_that_says_nothing_is_asked_again_for_the_same_attempt(room: Desk) -> None:
    executor, assign = order(room.place(deadline_ms=60_000))
    asked: dict[int, int] = {}
    for second in range(40):
        for effect in room.tick(second * S):
            assert effect.node == executor
            assert isinstance(effect.message, Assign)
            asked[second] = effect.message.attempt
    assert asked == dict.fromkeys([1, 3, 7, 15, 23, 31, 39], assign.attempt)


def test_nothing_is_tried_for_ever(room: Desk) -> None:
    gone = Failure(code="unreachable", message="gone", effect=Effect.MAYBE)
    effects = room.place(deadline_ms=600_000)
    for attempt in range(1, 100):
        if not effects:
            effects = room.tick(attempt * S)
        if isinstance(effects[0].message, Settled):
            break
        executor, assign = order(effects)
        effects = room.ended(executor, assign.attempt, gone)
    assert attempt == 17
    assert settled(effects)["g1"].failure is not None


@pytest.fixture
def unlogged(view_of: Callable[..., View], member: Callable[..., Member]) -> Desk:
    return Desk(view_of(member("n0", offers=()), member("n1"), member("n2"), member("n3")), Unlogged())


def test_what_nobody_keeps_is_remembered_for_a_minute(unlogged: Desk) -> None:
    room = unlogged
    executor, _ = order(room.place())
    room.ended(executor)
    room.now_ns = 60 * S
    room.place(task_of(1))
    assert room.owner.knows(TASK)
    room.now_ns = 61 * S
    room.place(task_of(2))
    assert not room.owner.knows(TASK)


def test_what_nobody_keeps_is_remembered_within_bounds_of_memory(unlogged: Desk) -> None:
    """Many small results are dropped for few large ones, as many as it takes."""
    room = unlogged
    for number in range(1_000):
        executor, _ = order(room.place(task_of(number)))
        room.ended(executor, task=task_of(number), payload=b"small")
    for number in range(1_000, 1_040):
        executor, _ = order(room.place(task_of(number)))
        room.ended(executor, task=task_of(number), payload=b"x" * 1024 * 1024)
    remembered = [number for number in range(1_040) if room.owner.knows(task_of(number))]
    assert remembered == list(range(1_025, 1_040))


def test_a_deadline_beyond_all_reason_is_cut(room: Desk) -> None:
    room.place(deadline_ms=2**60)
    _, assign = order(room.tick(1 * S))
    assert assign.deadline_ms < 8 * 24 * 3600 * 1000
