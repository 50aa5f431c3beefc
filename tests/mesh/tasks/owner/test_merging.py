"""An owner has the results of a task merged, and the next owner goes on with it: none is lost, none is taken twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from owner_desk import Desk, another_owner, order

from hubless.effects import ToPeer
from hubless.meta import Offer
from hubless.placement import mint_task_id, shard_of_task
from hubless.tasks.entries import AttemptEnded, Entered, Merged, Submitted
from hubless.tasks.row import State, digest_of
from hubless.wire import Assign
from hubless_agents import Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
TASK = mint_task_id(3, bytes(14))
RUN = Offer("run", "1", 2, 5_000, 2, True, True)
MERGE = Offer("run.merge", "1", 2, 5_000, 1)
APART = Entered(TASK, "run", "", b"", b"2", None, "n5", 5_000, digest_of(b"1"))
REFUSED = Failure(code="raised", message="they do not fit")


@pytest.fixture
def room(room_of: Callable[..., Desk], member: Callable[..., Member]) -> Desk:
    """n0 owns and runs no agents; n1 and n2 offer `run` and its merge; nothing is decided by itself."""
    offers = (RUN, MERGE)
    return room_of(member("n0", offers=()), member("n1", offers=offers), member("n2", offers=offers))


def enter(room: Desk, result: bytes = b"2", node: str = "n5") -> None:
    """A node is heard that ran the task apart."""
    entered = Entered(TASK, "run", "", b"", result, None, node, 5_000, digest_of(b"1"))
    assert room.log.propose(room.now_ns, TASK, entered)


def finished(room: Desk) -> None:
    """The task has the result 7."""
    room.place(TASK, agent="run")
    executor, _ = order(room.decide())
    room.ended(executor, task=TASK, payload=b"7")
    room.decide()


def asked(room: Desk) -> tuple[str, Assign]:
    """The task has two results, and a merge of them is ordered: where, and what."""
    finished(room)
    enter(room)
    assert room.decide() == []
    (submitted,) = room.log.waiting
    assert isinstance(submitted, Submitted)
    return order(room.decide())


def result(room: Desk) -> tuple[bytes, int]:
    row = room.log.row(TASK)
    assert row.state is State.SUCCEEDED
    return row.result, row.merged


def applied(room: Desk) -> int:
    machine = room.log.machine
    return int(machine.applied - machine.counters.unfit)


def test_the_merged_result_is_the_result(room: Desk) -> None:
    node, merge = asked(room)
    assert (merge.agent, merge.payload) == ("run.merge", b'{"first":7,"second":2}')
    assert shard_of_task(merge.task) == shard_of_task(TASK)
    row = room.log.row(merge.task)
    assert row.key == TASK.hex()
    assert row.deadline_ms - row.submitted_ms == 600_000, (
        "as long as the task is kept, as nobody waits for it"
    )
    room.ended(node, task=merge.task, payload=b"72")
    assert room.decide() == []
    assert room.log.waiting == [Merged(TASK, 0, b"72", room.log.waiting[0].at_ms)]
    assert result(room) == (b"7", 0)
    assert room.decide() == []
    assert result(room) == (b"72", 1)
    assert room.log.waiting == []
    assert room.held() == (0, 0, 0)


def test_several_results_are_merged_one_after_the_other(room: Desk) -> None:
    finished(room)
    enter(room, b"2", "n5")
    enter(room, b"3", "n6")
    enter(room, b"4", "n7")
    said = room.decide()
    assert len(room.log.waiting) == 1
    payloads = []
    while said or room.log.waiting:
        for effect in said:
            payloads.append(effect.message.payload)
            room.ended(effect.node, task=effect.message.task, payload=b"1%d" % len(payloads))
        said = room.decide()
    assert payloads == [
        b'{"first":7,"second":2}',
        b'{"first":11,"second":3}',
        b'{"first":12,"second":4}',
    ]
    assert result(room) == (b"13", 3)


def test_a_merge_that_fails_leaves_the_first_result_and_is_seen(room: Desk) -> None:
    node, merge = asked(room)
    for _ in range(2):
        room.ended(node, room.log.row(merge.task).attempt, REFUSED, merge.task)
        effects = room.decide()
        if effects:
            node, merge = order(effects)
    assert room.log.waiting == []
    assert result(room) == (b"7", 0)
    row = room.log.row(merge.task)
    assert (row.state, row.failure.code) == (State.FAILED, "raised")
    another_owner(room)
    assert room.log.waiting == []
    assert room.retry(merge.task)
    room.decide()
    node, again = order(room.decide())
    room.ended(node, again.attempt, task=again.task, payload=b"72")
    room.decide()
    room.decide()
    assert result(room) == (b"72", 1)


def test_a_result_after_one_whose_merge_failed_is_merged(room: Desk) -> None:
    _, first = asked(room)
    enter(room, b"3", "n6")
    room.decide()
    assert room.log.waiting == []
    room.cancel(first.task)
    room.decide()
    (submitted,) = room.log.waiting
    assert submitted.payload == b'{"first":7,"second":3}'


def test_a_late_merge_of_a_result_that_has_changed_does_not_undo_the_change(room: Desk) -> None:
    node, first = asked(room)
    room.cancel(first.task)
    room.decide()
    enter(room, b"3", "n6")
    room.decide()
    node, second = order(room.decide())
    room.ended(node, task=second.task, payload=b"73")
    room.decide()
    room.decide()
    assert result(room) == (b"73", 1)
    node, third = order(room.decide())
    assert third.payload == b'{"first":73,"second":2}'
    assert room.retry(first.task)
    room.decide()
    for effect in room.decide():
        room.ended(effect.node, effect.message.attempt, task=effect.message.task, payload=b"72")
    room.decide()
    room.decide()
    assert result(room) == (b"73", 1)
    room.ended(node, task=third.task, payload=b"732")
    room.decide()
    room.decide()
    assert result(room) == (b"732", 2)


@pytest.mark.parametrize("lost_at", range(6))
def test_another_owner_in_between_neither_loses_nor_doubles_it(room: Desk, lost_at: int) -> None:
    """A change of the owner after each step, before and after what was proposed then has been decided."""
    finished(room)
    enter(room)
    orders: dict[bytes, int] = {}
    said: list[ToPeer] = []
    for step in range(20):
        if step // 2 == lost_at // 2 and (step % 2 or lost_at % 2 == 0):
            said = another_owner(room)
        for effect in said:
            assert isinstance(effect.message, Assign)
            orders[effect.message.task] = effect.message.attempt
            room.ended(effect.node, effect.message.attempt, task=effect.message.task, payload=b"72")
        said = room.decide()
        if room.log.row(TASK).superseded == () and not room.log.waiting:
            enter(room)  # the node repeats itself until it is heard
    assert result(room) == (b"72", 1)
    assert list(orders.values()) == [1]
    merged = [row for row in room.log.machine.rows.values() if row.agent == "run.merge"]
    assert [(row.state, row.attempt) for row in merged] == [(State.SUCCEEDED, 1)]


def test_what_was_decided_twice_is_merged_once(room: Desk) -> None:
    node, merge = asked(room)
    room.ended(node, task=merge.task, payload=b"72")
    room.decide()
    proposed = list(room.log.proposed)
    another_owner(room)
    room.log.proposed = proposed + room.log.proposed
    assert len(room.log.waiting) == 2
    room.decide()
    assert result(room) == (b"72", 1)


def test_an_agent_without_a_merge_has_none(room: Desk, member: Callable[..., Member]) -> None:
    for node in ("n1", "n2"):
        room.view.learn(member(node, offers=(RUN,)))
    finished(room)
    enter(room)
    assert room.decide() == []
    assert room.log.waiting == []
    assert room.owner.next_deadline_ns() is None or not room.tick(10_000 * MS)
    assert room.log.waiting == []


def test_while_nobody_knows_the_agent_it_is_looked_at_again(
    room: Desk, member: Callable[..., Member]
) -> None:
    finished(room)
    for node in ("n1", "n2"):
        room.view.learn(member(node, condition=Condition.DEAD))
    enter(room)
    room.decide()
    assert room.log.waiting == []
    room.view.learn(member("n1", boot=2, offers=(RUN, MERGE)))
    room.tick(2_000 * MS)
    assert [type(entry) for entry in room.log.waiting] == [Submitted]


def test_what_the_log_does_not_take_is_tried_again(room: Desk) -> None:
    finished(room)
    enter(room)
    room.log.decide()
    room.log.is_open = False
    room.decide()
    room.log.is_open = True
    assert room.log.waiting == []
    assert room.held() == (0, 0, 0)
    room.tick(1_000 * MS)
    node, merge = order(room.decide())
    room.ended(node, task=merge.task, payload=b"72")
    room.log.decide()
    room.log.is_open = False
    room.decide()
    room.log.is_open = True
    room.tick(2_000 * MS)
    assert [type(entry) for entry in room.log.waiting] == [Merged]
    room.log.lose()


def test_a_shard_that_was_lost_is_the_next_owners_business(room: Desk) -> None:
    finished(room)
    enter(room)
    room.log.decide()
    room.log.is_open = False
    room.decide()
    room.log.is_open = True
    room.gave_up(3)
    room.tick(2_000 * MS)
    assert room.log.waiting == []


@pytest.mark.parametrize("key", ["", "k", "ff", mint_task_id(9, bytes(14)).hex(), TASK.hex()])
def test_a_call_of_the_companion_itself_is_a_task_like_any_other(room: Desk, key: str) -> None:
    finished(room)
    other = mint_task_id(3, b"\1" * 14)
    submitted = Submitted(other, "run.merge", key, b'{"first":7,"second":7}', 5, 90_000, 1, "n1/1")
    room.log.propose(room.now_ns, other, submitted)
    room.log.propose(room.now_ns, other, AttemptEnded(other, 1, b"77", None, 6))
    room.decide()
    assert room.log.waiting == []
    assert result(room) == (b"7", 0)


def test_a_call_of_the_companion_in_another_shard_is_nothing_to_this_one(room: Desk) -> None:
    finished(room)
    enter(room)
    room.log.decide()
    room.log.take_decided()
    other = mint_task_id(9, bytes(14))
    room.log.propose(
        room.now_ns, other, Submitted(other, "run.merge", TASK.hex(), b"[]", 5, 90_000, 1, "n1/1")
    )
    room.log.propose(room.now_ns, other, AttemptEnded(other, 1, b"77", None, 6))
    room.decide()
    assert room.log.waiting == []
