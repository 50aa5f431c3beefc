"""Tasks that outlive their callers: receipts, and tasks that are named by their callers."""

from __future__ import annotations

import pytest

from hubless.client.gateways import Trouble, TroubleKind
from hubless.client.ids import checked_task_id, derived_task_id
from hubless.client.receipts import Receipts
from hubless.client.reply import Reply
from hubless.placement import shard_of_key, shard_of_task
from hubless.wire import Accepted, Answer, Cancel, Durability, Refused
from hubless_agents import Effect, Failure

A, B = "127.0.0.1:1", "127.0.0.1:2"
MS = 1_000_000
S = 1_000 * MS
GONE = Trouble(TroubleKind.GONE, "the connection was lost")


def test_a_receipt_is_asked_for_and_ends_the_wait(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.hand_in("task", timeout_ms=1000, deadline_ms=60_000)
    (submit,) = desk.submits()[A]
    assert (submit.receipt, submit.durability, submit.deadline_ms) == (True, Durability.REPLICATED, 60_000)
    assert desk.receipts == []
    desk.hear(A, Accepted(submit.task))
    desk.hear(A, Accepted(submit.task))
    assert desk.receipts == ["task"]
    assert len(desk.session.calls) == 0
    desk.session.due(10 * S)
    assert desk.sent()[A] != [Cancel(submit.task, alone=True)] and not desk.replies


def test_the_outcome_of_an_accepted_task_is_heard_while_its_gateway_stays(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.hand_in("task")
    (submit,) = desk.submits()[A]
    desk.hear(A, Accepted(submit.task), Answer(submit.task, b"2", None, "n", 1))
    desk.answer(A, submit.task, payload=b"3")
    assert [reply.raw for reply in desk.replies["task"]] == [b"2"]


def test_a_receipt_that_is_lost_with_its_gateway_is_asked_for_under_the_same_id(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.hand_in("task", timeout_ms=5000, deadline_ms=60_000)
    (submit,) = desk.submits()[A]
    desk.session.lost(1 * S, A, GONE)
    desk.up(B, now_ns=1 * S)
    (again,) = desk.submits()[B]
    assert (again.task, again.again, again.receipt) == (submit.task, True, True)
    assert again.deadline_ms == 59_000  # of the task's own time, not of the patience for the receipt
    desk.hear(B, Accepted(submit.task), now_ns=1 * S)
    assert desk.receipts == ["task"]


def test_an_accepted_task_is_not_submitted_again_when_its_gateway_is_lost(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.hand_in("task")
    (submit,) = desk.submits()[A]
    desk.hear(A, Accepted(submit.task))
    desk.session.lost(1, A, GONE)
    desk.up(B, now_ns=2)
    assert desk.submits().get(B, []) == []


def test_a_task_that_is_over_before_its_receipt_has_its_outcome(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.hand_in("refused", agent="nobody")
    (submit,) = desk.submits()[A]
    failure = Failure(code="unknown_agent", message="no such agent")
    desk.hear(A, Answer(submit.task, None, failure, "", 0))
    assert desk.receipts == []
    assert [reply.failure for reply in desk.replies["refused"]] == [failure]


def test_no_receipt_in_time_says_which_task_may_be_there_all_the_same(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.hand_in("task", timeout_ms=1000)
    (submit,) = desk.submits()[A]
    desk.session.due(2 * S)
    (reply,) = desk.replies["task"]
    assert (reply.failure.code, reply.failure.effect) == ("expired", Effect.MAYBE)
    assert submit.task.hex() in reply.failure.message
    assert Cancel(submit.task, alone=True) in desk.sent()[A]


def test_of_too_many_accepted_tasks_the_oldest_is_no_longer_listened_for():
    receipts, heard = Receipts(most=2), []
    for task in (b"a", b"b", b"c"):
        receipts.add(task, lambda reply, task=task: heard.append(task))
    for task in (b"a", b"b", b"c"):
        receipts.settle(task, Reply(b"1"))
    assert heard == [b"b", b"c"]
    assert len(receipts) == 0


# -- idempotency keys -----------------------------------------------------------------------------------


def test_an_idempotency_key_names_one_task_on_every_client(Desk):
    one, other = Desk(A), Desk(B)
    for desk in (one, other):
        desk.up(A if desk is one else B, owned=(3,))
        desk.submit("first", idempotency_key="order-17")
    (submit,) = one.submits()[A]
    (elsewhere,) = other.submits()[B]
    assert submit.task == elsewhere.task
    assert shard_of_task(submit.task) == shard_of_key("order-17", 16)
    assert submit.key == ""
    assert submit.durability is Durability.REPLICATED  # what nobody keeps cannot be recognised


def test_the_agents_key_decides_the_shard_of_a_named_task():
    named = {derived_task_id("order-17", key, 16) for key in ("customer-1", "customer-4", "customer-9")}
    assert len(named) == 3
    assert {task[2:] for task in named} == {derived_task_id("order-17", "", 16)[2:]}
    assert {shard_of_task(task) for task in named} == {
        shard_of_key(key, 16) for key in ("customer-1", "customer-4", "customer-9")
    }


def test_two_callers_of_one_client_share_a_named_task(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("one", idempotency_key="k")
    desk.submit("two", idempotency_key="k")
    (submit,) = desk.submits()[A]
    assert len(desk.session.calls) == 1
    desk.answer(A, submit.task, payload=b"7")
    assert {name: [reply.raw for reply in replies] for name, replies in desk.replies.items()} == {
        "one": [b"7"],
        "two": [b"7"],
    }
    assert len(desk.session.calls) == 0


def test_a_caller_that_goes_takes_nothing_from_the_other(Desk):
    desk = Desk(A)
    desk.up(A)
    first = desk.submit("first", idempotency_key="k")
    second = desk.submit("second", idempotency_key="k")
    (submit,) = desk.submits()[A]
    desk.session.calls.cancel(first)
    desk.answer(A, submit.task)
    assert list(desk.replies) == ["second"]
    assert desk.sent() == {}
    assert second.is_over


def test_a_named_task_is_never_withdrawn(Desk):
    desk = Desk(A)
    desk.up(A)
    call = desk.submit("gone", idempotency_key="k")
    desk.submit("late", idempotency_key="late", timeout_ms=1000)
    desk.sent()
    desk.session.calls.cancel(call)
    desk.session.due(2 * S)
    assert desk.sent() == {}
    assert "same idempotency key" in desk.replies["late"][0].failure.message
    assert len(desk.session.calls) == 0


def test_each_caller_of_a_named_task_has_its_own_patience(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("patient", idempotency_key="k", timeout_ms=60_000)
    desk.submit("hasty", idempotency_key="k", timeout_ms=1000)
    (submit,) = desk.submits()[A]
    desk.session.due(2 * S)
    assert [reply.failure.code for reply in desk.replies["hasty"]] == ["expired"]
    desk.answer(A, submit.task, now_ns=3 * S)
    assert [reply.ok for reply in desk.replies["patient"]] == [True]


def test_a_receipt_for_a_task_that_is_called_already_is_asked_for(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("call", idempotency_key="k")
    desk.hand_in("receipt", idempotency_key="k")
    first, again = desk.submits()[A]
    assert (first.task, first.receipt, again.receipt) == (again.task, False, True)
    desk.hear(A, Accepted(first.task))
    assert desk.receipts == ["receipt"]
    assert len(desk.session.calls) == 1
    desk.answer(A, first.task)
    assert {name: len(replies) for name, replies in desk.replies.items()} == {"call": 1, "receipt": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"idempotency_key": "k"}, "durability is 'none', and idempotency_key"),
        ({"accepted": lambda: None}, "durability is 'none', and a receipt"),
    ],
)
def test_what_nobody_keeps_can_neither_be_named_nor_have_a_receipt(Desk, options, words):
    desk = Desk(A)
    desk.up(A)
    with pytest.raises(ValueError, match=words):
        desk.submit("task", durability=Durability.NONE, **options)
    with pytest.raises(ValueError, match="idempotency_key has 201 characters"):
        desk.submit("task", idempotency_key="k" * 201)
    assert len(desk.session.calls) == 0


def test_a_refused_named_task_is_given_to_another_gateway_once(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.submit("task", idempotency_key="k")
    desk.submit("more", idempotency_key="k")
    (submit,) = desk.submits()[A]
    desk.up(B)
    desk.hear(A, Refused("leaving", "this node is leaving", submit.task))
    assert [again.task for again in desk.submits()[B]] == [submit.task]


@pytest.mark.parametrize("text", ["", "17", "g" * 32, "0" * 31, "0" * 34])
def test_what_is_no_task_id_is_named(text):
    with pytest.raises(ValueError, match=r"task id is .* see `mesh tasks`"):
        checked_task_id(text)
    assert checked_task_id(" " + "AB" * 16) == "ab" * 16
