"""The client's core: who has which task, and what happens to it when a node is lost."""

from __future__ import annotations

import itertools

import pytest

from hubless.client.errors import TaskFailed, UnreachableError
from hubless.client.gateways import Dial, HangUp, Trouble, TroubleKind
from hubless.client.reply import Reply
from hubless.placement import shard_of_key, shard_of_task
from hubless.wire import Answer, Cancel, Envelope, Hello, Refused, Submit, Told
from hubless_agents import Effect, Failure

MESH = bytes(range(8))
MS = 1_000_000
S = 1_000 * MS
A, B, C = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"
GONE = Trouble(TroubleKind.GONE, "the connection was lost")


def envelope(*messages) -> Envelope:
    return Envelope(MESH, "n", 1, list(messages))


def test_all_given_addresses_are_dialled_and_calls_are_spread_over_those_that_answer(Desk):
    desk = Desk(A, B, C)
    assert desk.effects == [Dial(A), Dial(B), Dial(C)]
    desk.up(A, B)
    for number in range(10):
        desk.submit(str(number))
    assert {address: len(submits) for address, submits in desk.submits().items()} == {A: 5, B: 5}


def test_an_unkeyed_id_is_minted_for_a_shard_that_its_gateway_owns(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3, 7))
    for number in range(48):
        desk.submit(str(number))
    runs = [(shard, len(list(run))) for shard, run in itertools.groupby(shards(desk.submits()[A]))]
    assert {shard for shard, _ in runs} == {3, 7}
    assert all(
        count == 16 for _, count in runs[1:-1]
    )  # a whole run goes to one shard: it is replicated as one


def shards(submits: list[Submit]) -> list[int]:
    return [shard_of_task(submit.task) for submit in submits]


def test_the_key_decides_the_shard(Desk):
    desk = Desk(A)
    desk.up(A, owned=(3,))
    desk.submit("keyed", key="customer-7")
    (submit,) = desk.submits()[A]
    assert shard_of_task(submit.task) == shard_of_key("customer-7", 16)
    assert submit.key == "customer-7"


def test_unanswered_tasks_of_a_lost_node_go_with_the_same_id_to_another(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    for name in "abcd":
        desk.submit(name)
    before = desk.submits()
    desk.answer(A, before[A][0].task)
    desk.effects += desk.session.lost(1, A, GONE)
    assert [submit.task for submit in desk.submits()[B]] == [submit.task for submit in before[A][1:]]


def test_a_second_answer_to_the_same_id_changes_nothing(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.submit("once")
    (submit,) = desk.submits()[A]
    desk.session.lost(1, A, GONE)
    desk.up(B, now_ns=2)
    desk.answer(B, submit.task, payload=b"2")
    desk.answer(A, submit.task, payload=b"3")
    assert [reply.raw for reply in desk.replies["once"]] == [b"2"]


def test_a_task_sent_again_carries_what_is_left_of_the_callers_patience(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.submit("late", timeout_ms=1000)
    desk.sent()
    desk.session.lost(400 * MS, A, GONE)
    desk.up(B, now_ns=400 * MS)
    (again,) = desk.submits()[B]
    assert (again.deadline_ms, again.again, again.age_ms) == (600, True, 400)


def test_learned_members_serve_only_while_no_given_one_does(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A, B))
    assert Dial(B) not in desk.effects
    desk.submit("task")
    (submit,) = desk.submits()[A]
    effects = desk.session.lost(1, A, GONE)
    assert Dial(B) in effects
    desk.up(B, now_ns=2)
    assert [again.task for again in desk.submits()[B]] == [submit.task]
    desk.answer(B, submit.task)
    later = 200 * MS
    assert Dial(A) in desk.session.due(later)
    desk.up(A, now_ns=later)
    desk.submit("next", now_ns=later)
    desk.submit("and next", now_ns=later)
    assert {address: len(submits) for address, submits in desk.submits().items() if submits} == {A: 2}
    assert HangUp(B) in desk.session.due(later + 1)


def test_without_any_node_the_patience_ends_and_says_whether_the_task_was_ever_sent(Desk):
    desk = Desk(A, patience_ns=2 * S)
    desk.up(A)
    desk.submit("sent")
    desk.sent()
    desk.session.lost(1 * S, A, GONE)
    desk.submit("never sent", now_ns=1 * S)
    desk.session.due(2 * S)
    assert not desk.replies
    desk.session.due(3 * S)
    effects = {name: reply.failure.effect for name, (reply,) in desk.replies.items()}
    assert effects == {"sent": Effect.MAYBE, "never sent": Effect.NONE}
    assert {reply.failure.code for (reply,) in desk.replies.values()} == {"unreachable"}
    assert len(desk.session.calls) == 0


def test_the_client_gives_up_a_little_after_the_deadline_and_tells_the_mesh(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("slow", timeout_ms=1000)
    (submit,) = desk.submits()[A]
    desk.session.due(1 * S + 100 * MS)
    assert not desk.replies  # the mesh's own word comes first
    assert desk.session.next_deadline_ns() <= 2 * S
    desk.session.due(2 * S)
    (reply,) = desk.replies["slow"]
    assert (reply.failure.code, reply.failure.effect) == ("expired", Effect.MAYBE)
    assert Cancel(submit.task, alone=True) in desk.sent()[A]


def test_a_cancelled_call_is_withdrawn_and_its_answer_dropped(Desk):
    desk = Desk(A)
    desk.up(A)
    call = desk.submit("gone")
    (submit,) = desk.submits()[A]
    desk.session.calls.cancel(call)
    assert desk.sent()[A] == [Cancel(submit.task, alone=True)]
    desk.answer(A, submit.task)
    assert not desk.replies


def test_an_oversized_payload_is_refused_before_it_is_sent(Desk):
    desk = Desk(A)
    desk.up(A, payload_bytes=10)
    assert desk.submit("big", payload=b"x" * 11).is_over
    (reply,) = desk.replies["big"]
    assert reply.failure.code == "payload_too_large"
    assert "11 bytes" in reply.failure.message and "10" in reply.failure.message
    assert desk.sent() == {}


@pytest.mark.parametrize(
    ("agent", "options", "words"),
    [
        ("", {}, "agent is empty"),
        ("a" * 201, {}, "agent has 201 characters; at most 200"),
        ("\ud800", {}, "agent is .* cannot be encoded"),
        ("echo", {"key": "k" * 201}, "key has 201 characters"),
        ("echo", {"key": "\udcff"}, "key is .* cannot be encoded"),
        ("echo", {"timeout_ms": 0}, "timeout is 0.0 s"),
    ],
)
def test_misuse_is_named_and_costs_no_other_call(Desk, agent, options, words):
    desk = Desk(A)
    desk.up(A)
    desk.submit("good")
    with pytest.raises(ValueError, match=words):
        desk.submit("wrong", agent=agent, **options)
    with pytest.raises(TypeError, match="payload is a str"):
        desk.submit("wrong", payload="1")
    with pytest.raises(ValueError, match="argument"):
        desk.session.questions.ask("ring", "\ud800", settle=lambda _: None)
    assert [type(message) for message in desk.sent()[A]] == [Submit]
    assert len(desk.session.calls) == 1


def test_patience_without_an_end_is_the_longest_that_a_mesh_has(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("patient", timeout_ms=10**20)
    assert [submit.deadline_ms for submit in desk.submits()[A]] == [7 * 24 * 3600 * 1000]


def test_a_node_of_another_mesh_is_not_used(Desk):
    desk = Desk(A, B)
    desk.up(A)
    desk.up(B, mesh=b"otherone")
    assert HangUp(B) in desk.effects
    assert desk.session.gateways[B].trouble.kind is TroubleKind.MESH
    desk.submit("task")
    assert set(desk.sent()) == {A}


def leaving(task: bytes) -> Refused:
    return Refused("leaving", "this node is leaving", task)


def test_a_leaving_node_gives_back_the_task_that_it_refused_and_answers_the_others(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    for name in "abcd":
        desk.submit(name)
    before = desk.submits()
    refused, kept = before[A]
    assert desk.session.received(1, A, envelope(leaving(refused.task))) == []
    (again,) = desk.submits()[B]
    assert (again.task, again.again) == (refused.task, False)  # nothing has taken it before
    desk.answer(A, kept.task, payload=b"2", now_ns=2)
    assert [reply.raw for (reply,) in desk.replies.values()] == [b"2"]


def test_messages_behind_a_refusal_are_read_too(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    for name in "abcd":
        desk.submit(name)
    first, second = desk.submits()[A]
    desk.session.received(1, A, envelope(leaving(first.task), Answer(second.task, b"42", None, "n", 1)))
    assert [reply.raw for (reply,) in desk.replies.values()] == [b"42"]
    assert len(desk.session.calls) == 3


def test_nothing_new_goes_to_a_node_that_leaves_until_it_is_back(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    desk.submit("one")
    desk.submit("two")
    (refused,) = desk.submits()[A]
    desk.session.received(1, A, envelope(leaving(refused.task)))
    desk.up(A, now_ns=2)  # it still greets, and leaves all the same
    for number in range(4):
        desk.submit(str(number), now_ns=2)
    assert set(desk.sent()) == {B}
    desk.session.lost(3, A, GONE)
    assert Dial(A) in desk.session.due(1 * S)
    desk.up(A, now_ns=1 * S)
    desk.submit("more", now_ns=1 * S)
    assert set(desk.sent()) == {A}


def test_what_a_leaving_node_has_not_answered_when_it_goes_is_sent_again(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    for name in "abcd":
        desk.submit(name)
    refused, kept = desk.submits()[A]
    desk.session.received(1, A, envelope(leaving(refused.task)))
    desk.sent()
    desk.session.lost(2, A, GONE)
    assert [(submit.task, submit.again) for submit in desk.submits()[B]] == [(kept.task, True)]


def test_when_the_only_given_node_leaves_a_learned_one_is_dialled_for_the_refused_task(Desk):
    desk = Desk(A, patience_ns=2 * S)
    desk.up(A, peers=(A, B))
    desk.submit("task", now_ns=5 * S)
    (submit,) = desk.submits()[A]
    assert desk.session.received(5 * S, A, envelope(leaving(submit.task))) == [Dial(B)]
    desk.session.due(6 * S)
    assert not desk.replies  # patience is counted from when nobody took tasks any more
    desk.up(B, now_ns=6 * S)
    assert [again.task for again in desk.submits()[B]] == [submit.task]


def test_a_node_that_starts_is_asked_again_soon_and_then_gets_the_task(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("early")
    (submit,) = desk.submits()[A]
    starting = Refused("starting", "this node has not found its mesh yet", submit.task)
    assert desk.session.received(0, A, envelope(starting)) == []
    assert desk.sent() == {}
    soon = desk.session.next_deadline_ns()
    assert soon <= 1 * S
    desk.session.due(soon)
    assert desk.sent() == {A: [Hello("client")]}
    desk.up(A, now_ns=soon)
    assert [again.task for again in desk.submits()[A]] == [submit.task]


def test_a_refusal_of_another_kind_ends_the_connection(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    desk.submit("one")
    desk.submit("two")
    (submit,) = desk.submits()[A]
    effects = desk.session.received(1, A, envelope(Refused("mesh_mismatch", "another mesh")))
    assert effects == [HangUp(A)]
    assert desk.session.gateways[A].trouble == Trouble(TroubleKind.MESH, "another mesh")
    assert [again.task for again in desk.submits()[B]] == [submit.task]


def test_a_lost_node_is_dialled_again_after_growing_pauses(Desk):
    desk = Desk(A, B)
    desk.up(B)
    now, pauses = 0, []
    for _ in range(7):
        desk.session.lost(now, A, GONE)
        due = desk.session.gateways.next_redial_ns()
        pauses.append((due - now) // MS)
        now = due
        assert desk.session.due(now) == [Dial(A)]
    assert pauses == [100, 200, 400, 800, 1600, 2000, 2000]


def run_until(desk, until_ns: int) -> list[Dial | HangUp]:
    """Lets time pass with nobody saying a word."""
    effects = []
    now_ns = 0
    while (now_ns := max(now_ns + 1, desk.session.next_deadline_ns())) <= until_ns:
        effects += desk.session.due(now_ns)
        desk.sent()
    return effects


def test_the_tasks_of_a_node_that_says_nothing_move_to_a_learned_one(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A, B))
    desk.submit("task")
    (submit,) = desk.submits()[A]
    effects = run_until(desk, 15 * S)
    assert effects == [HangUp(A), Dial(B)]
    assert desk.session.gateways[A].trouble.kind is TroubleKind.SILENT
    desk.up(B, now_ns=15 * S)
    assert [(again.task, again.again) for again in desk.submits()[B]] == [(submit.task, True)]


def test_the_only_node_that_is_known_may_be_silent_for_long(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A,))
    desk.submit("task")
    assert run_until(desk, 300 * S) == []
    assert len(desk.session.calls) == 1 and not desk.replies


def test_a_node_that_answers_greetings_is_not_silent(Desk):
    desk = Desk(A)
    desk.up(A, peers=(A, B))
    for second in range(5, 60, 5):
        assert desk.session.due(second * S) == []
        desk.up(A, now_ns=second * S + 1, peers=(A, B))


def test_a_program_that_blocked_its_own_loop_leaves_no_node(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    assert desk.session.due(60 * S) == []


def test_an_operators_question_is_answered_or_said_to_be_lost(Desk):
    desk = Desk(A, B)
    desk.up(A, B)
    heard: list[Told | Trouble] = []
    first = desk.session.questions.ask("members", "", settle=heard.append, address=A)
    desk.session.questions.ask("ring", "", settle=heard.append, address=B)
    told = Told(first, b"{}")
    desk.session.received(1, A, envelope(told))
    desk.session.lost(2, B, GONE)
    assert heard == [told, GONE]


def test_a_node_that_restarts_gets_its_tasks_again_with_their_ids(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("task")
    (submit,) = desk.submits()[A]
    assert desk.session.lost(1 * S, A, GONE) == []
    now = desk.session.gateways.next_redial_ns()
    assert desk.session.due(now) == [Dial(A)]
    desk.session.lost(now, A, GONE)  # it is not back yet
    now = desk.session.gateways.next_redial_ns()
    assert desk.session.due(now) == [Dial(A)]
    assert desk.sent() == {}
    desk.up(A, now_ns=now)
    assert [(again.task, again.again) for again in desk.submits()[A]] == [(submit.task, True)]
    desk.submit("next", now_ns=now)
    (following,) = desk.submits()[A]
    desk.answer(A, submit.task, now_ns=now)
    desk.answer(A, following.task, now_ns=now)
    assert [len(replies) for replies in desk.replies.values()] == [1, 1]


def test_who_could_not_be_reached_is_told_from_a_task_that_failed_as_unreachable(Desk):
    desk = Desk(A, patience_ns=2 * S)
    desk.up(A)
    desk.submit("failed")
    (submit,) = desk.submits()[A]
    failure = Failure(code="unreachable", message="the executor died", where="client", effect=Effect.MAYBE)
    desk.session.received(1, A, envelope(Answer(submit.task, None, failure, "n", 1)))
    desk.session.lost(1, A, GONE)
    desk.submit("never sent", now_ns=1)
    desk.session.due(3 * S)
    (failed,), (unreached,) = desk.replies["failed"], desk.replies["never sent"]
    with pytest.raises(TaskFailed, match="the executor died"):
        failed.answer()
    with pytest.raises(UnreachableError, match="no node of the mesh"):
        unreached.answer()
    assert (failed.reached, unreached.reached) == (True, False)


def test_a_failure_comes_as_a_value(Desk):
    desk = Desk(A)
    desk.up(A)
    desk.submit("bad")
    (submit,) = desk.submits()[A]
    failure = Failure(code="raised", message="ValueError: no", where="n/echo", effect=Effect.MAYBE)
    desk.session.received(1, A, envelope(Answer(submit.task, None, failure, "n", 2)))
    assert desk.replies["bad"] == [Reply(b"", failure, "n", 2)]
