"""Tasks whose shard has no quorum within reach of the node that was asked."""

from __future__ import annotations

import itertools

import pytest

from hubless.client.gateways import Dial, HangUp, Trouble, TroubleKind
from hubless.placement import shard_of_key, shard_of_task
from hubless.wire import Hello, Refused, ShardChoice, Submit
from hubless_agents import Effect

A, B = "127.0.0.1:1", "127.0.0.1:2"
MS = 1_000_000
S = 1_000 * MS
GONE = Trouble(TroubleKind.GONE, "the connection was lost")
KEY = "customer-7"
SHARD = shard_of_key(KEY, 16)


def refused(task: bytes) -> Refused:
    return Refused("no_quorum", "no quorum", task)


def test_a_drawn_id_is_exchanged_for_one_of_a_shard_that_is_reachable(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    desk.submit("task", timeout_ms=1000)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    assert desk.sent() == {A: [Hello("client")]}  # which shards are reachable now?
    desk.up(A, reachable=(5,), now_ns=400 * MS)
    (moved,) = desk.submits()[A]
    assert shard_of_task(moved.task) == 5
    assert (moved.again, moved.payload, moved.deadline_ms) == (False, submit.payload, 600)
    desk.answer(A, submit.task, payload=b"old")
    desk.answer(A, moved.task, payload=b"new")
    assert [reply.raw for reply in desk.replies["task"]] == [b"new"]


def test_a_moved_task_still_expires_in_time(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    desk.submit("task", timeout_ms=1000)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    desk.up(A, reachable=(5,))
    desk.sent()
    desk.let_pass(0, 2 * S)
    (reply,) = desk.replies["task"]
    assert (reply.failure.code, reply.failure.effect) == ("expired", Effect.MAYBE)


def test_many_refusals_at_a_time_ask_for_news_once(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    for number in range(20):
        desk.submit(str(number))
    desk.hear(A, *(refused(submit.task) for submit in desk.submits()[A]))
    assert desk.sent() == {A: [Hello("client")]}
    desk.up(A, reachable=(5,))
    assert {shard_of_task(submit.task) for submit in desk.submits()[A]} == {5}


def test_new_ids_avoid_a_shard_that_was_refused(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3, 4))
    desk.submit("first", key="")
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    for number in range(40):
        desk.submit(str(number))
    assert shard_of_task(submit.task) not in {shard_of_task(sent.task) for sent in desk.submits()[A]}


def test_a_task_that_another_gateway_may_have_taken_keeps_its_id(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.submit("task")
    (submit,) = desk.submits()[A]
    desk.session.lost(1, A, GONE)
    desk.up(B, now_ns=2, owned=(5,))
    desk.sent()
    desk.hear(B, refused(submit.task), now_ns=3)
    desk.up(B, now_ns=4, owned=(5,))
    desk.let_pass(4, 1 * S)
    (again, *_) = desk.submits()[B]
    assert (again.task, again.again) == (submit.task, True)


def test_a_keyed_task_waits_and_asks_again_after_growing_pauses(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("task", key=KEY, timeout_ms=5000)
    now, times = 0, []
    while not desk.replies and now < 20 * S:
        for message in desk.sent().get(A, []):
            if isinstance(message, Submit):
                times.append(now // MS)
                desk.hear(A, refused(message.task), now_ns=now)
        now = max(now + 1, desk.session.next_deadline_ns())
        desk.session.due(now)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:5] == [50, 100, 200, 400, 800]
    assert max(pauses) <= 1_010
    (reply,) = desk.replies["task"]
    assert now == 5 * S
    assert (reply.failure.code, reply.failure.effect, reply.reached) == ("unreachable", Effect.NONE, True)
    assert reply.failure.retry_after_ms is not None
    assert f"shard {SHARD}" in reply.failure.message and "mesh shards" in reply.failure.message
    assert len(desk.session.calls) == 0


def test_without_a_timeout_the_wait_for_a_quorum_is_the_clients_patience(Desk):
    desk = Desk(A, patience_ns=2 * S)
    desk.up(A)
    desk.submit("task", key=KEY)
    now = 0
    while not desk.replies and now < 20 * S:
        for submit in desk.submits().get(A, []):
            desk.hear(A, refused(submit.task), now_ns=now)
        now = max(now + 1, desk.session.next_deadline_ns())
        desk.session.due(now)
    assert desk.replies["task"][0].failure.code == "unreachable"
    assert now == 2 * S


def test_a_quorum_that_comes_back_takes_the_waiting_task(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("task", key=KEY, timeout_ms=5000)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    desk.let_pass(0, 100 * MS)
    (again,) = desk.submits()[A]
    assert (again.task, again.again) == (submit.task, False)
    desk.answer(A, again.task, now_ns=100 * MS)
    assert desk.replies["task"][0].ok


@pytest.mark.parametrize(
    ("named", "waits", "choice"),
    [
        ({}, True, ShardChoice.FREE),
        ({}, False, ShardChoice.FREE),
        ({"key": KEY}, True, ShardChoice.FIXED),
        ({"idempotency_key": "order-17"}, True, ShardChoice.FIXED),
        ({"key": KEY}, False, ShardChoice.AT_ONCE),
        ({"idempotency_key": "order-17"}, False, ShardChoice.AT_ONCE),
    ],
)
def test_a_gateway_hears_whether_the_shard_is_fixed_and_worth_waiting_for(Desk, named, waits, choice):
    desk = Desk(A)
    desk.up(A)
    desk.submit("task", waits_for_quorum=waits, **named)
    (submit,) = desk.submits()[A]
    assert submit.shard is choice


def test_who_does_not_want_to_wait_is_told_at_once(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("task", key=KEY, timeout_ms=5000, waits_for_quorum=False)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    assert [reply.failure.code for reply in desk.replies["task"]] == ["unreachable"]


def test_who_does_not_want_to_wait_may_still_get_another_shard(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    desk.submit("task", waits_for_quorum=False)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    desk.up(A, reachable=(5,))
    (moved,) = desk.submits()[A]
    assert shard_of_task(moved.task) == 5
    desk.answer(A, moved.task)
    assert desk.replies["task"][0].ok


def test_what_was_sent_before_and_finds_no_quorum_may_have_happened(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.submit("task", key=KEY, waits_for_quorum=False)
    desk.sent()
    desk.session.lost(1, A, GONE)
    desk.up(B, now_ns=2)
    (submit,) = desk.submits()[B]
    desk.hear(B, refused(submit.task), now_ns=3)
    assert desk.replies["task"][0].failure.effect == Effect.MAYBE


@pytest.mark.parametrize("key", ["", KEY])
def test_a_node_that_reaches_the_shard_is_preferred(Desk, key):
    desk = Desk(A, B)
    desk.up(A, B)
    desk.submit("task", key=key)
    ((at, (submit,)),) = [(address, sent) for address, sent in desk.submits().items() if sent]
    other = B if at == A else A
    desk.up(other, reachable=(SHARD,))
    desk.hear(at, refused(submit.task))
    desk.let_pass(0, 100 * MS)
    (again,) = desk.submits()[other]
    assert shard_of_task(again.task) == SHARD


def test_when_no_given_node_reaches_the_shard_members_are_dialled_and_left_again(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A, B))
    desk.submit("task", key=KEY, timeout_ms=5000)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    assert Dial(B) in desk.effects
    desk.up(B, peers=(A, B), reachable=(SHARD,), now_ns=1)
    desk.let_pass(1, 100 * MS)
    (again,) = desk.submits()[B]
    assert again.task == submit.task
    assert HangUp(B) not in desk.session.due(101 * MS)  # it has the task
    desk.answer(B, again.task, now_ns=102 * MS)
    assert HangUp(B) in desk.session.due(103 * MS)


def test_members_that_were_dialled_for_a_shard_are_kept_while_a_task_waits_for_it(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A, B))
    desk.submit("task", key=KEY, timeout_ms=5000)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    desk.up(B, now_ns=1)
    assert HangUp(B) not in desk.session.due(2)


def test_a_node_that_reaches_a_shard_by_its_own_word_only_is_not_asked_without_a_pause(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    desk.submit("task", timeout_ms=5000)
    tries = 0
    for now in range(0, 40 * MS, MS):
        for submit in desk.submits().get(A, []):
            tries += 1
            desk.hear(A, refused(submit.task), now_ns=now)
        desk.up(A, owned=(3,), reachable=(3, 4), now_ns=now)
    assert tries == 4  # once, and three times at once on its word


def test_a_task_that_ran_for_long_has_the_whole_patience_when_its_gateway_is_lost(Desk):
    desk = Desk(A, B, patience_ns=2 * S)
    desk.up(A)
    desk.submit("task", key=KEY)
    (submit,) = desk.submits()[A]
    desk.hear(A, refused(submit.task))
    desk.let_pass(0, 100 * MS)
    desk.sent()  # it is taken now
    desk.session.lost(60 * S, A, GONE)
    desk.up(B, now_ns=60 * S)
    desk.hear(B, refused(submit.task), now_ns=60 * S)
    assert not desk.replies
    assert len(desk.session.calls) == 1


def test_what_the_owner_may_have_keeps_its_id(Desk):
    desk = Desk(A, B)
    desk.up(A, B, reachable=(3, 5))
    desk.submit("task", timeout_ms=5000)
    ((at, (submit,)),) = [(address, sent) for address, sent in desk.submits().items() if sent]
    desk.hear(at, Refused("no_quorum", "out of reach", submit.task, may_be_known=True))
    desk.let_pass(0, 100 * MS)
    (again,) = desk.submits()[B if at == A else A]
    assert (again.task, again.again) == (submit.task, True)


def test_a_node_that_reaches_no_shard_gets_no_work_while_others_do(Desk):
    desk = Desk(A, B)
    desk.up(A, reachable=(3, 5))
    desk.up(B)
    for number in range(10):
        desk.submit(str(number))
    assert {address: len(sent) for address, sent in desk.submits().items() if sent} == {A: 10}
    desk.session.lost(1, A, GONE)
    assert len(desk.submits()[B]) == 10
