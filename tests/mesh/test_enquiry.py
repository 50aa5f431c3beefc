"""A question about one task finds the owner of its shard, wherever that has gone; an order is never followed twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import pytest

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.enquiry import Enquiries
from hubless.placement import mint_task_id
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, Told, Whose
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
PATIENCE_NS = 2_000 * MS
SHARD = 3
TASK = mint_task_id(SHARD, bytes(14)).hex()
ELSEWHERE = mint_task_id(4, bytes(14)).hex()
MOVES = Failure(code="unreachable", message="the shard of this task moves just now: try again", where="n1")
UNDECIDED = Failure(code="unreachable", message="it may have been done", where="n1", effect=Effect.MAYBE)
UNKNOWN = Failure(code="refused", message="no task with this id is known", where="n1")

READS = pytest.mark.parametrize("what", ["status", "result"])
ORDERS = pytest.mark.parametrize("what", ["cancel", "retry"])
ALL = pytest.mark.parametrize("what", ["status", "result", "cancel", "retry"])


class Room:
    """n0, asked by clients, in a mesh of n0 to n3. Time passes from one deadline to the next."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.now_ns = 0
        self.term = 0
        self.enquiries = Enquiries(me="n0", view=view, numbers=count(1), patience_ns=PATIENCE_NS)

    def ask(self, what: str, task: str = TASK, client: str = "operator") -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.enquiries.begin(self.now_ns, client.encode(), Ask(7, what, task), out)
        return out

    def owned_by(self, node: str, shard: int = SHARD) -> None:
        """Word comes that another node owns the shard."""
        self.term += 1
        assert self.view.learn_owner(shard, self.term, node)

    def answer(
        self, node: str, body: Any = None, failure: Failure | None = None, *, number: int = 1
    ) -> list[NodeEffect]:
        raw = b"" if body is None else msgspec.json.encode(body)
        out: list[NodeEffect] = []
        self.enquiries.consulted(self.now_ns, node, Consulted(number, raw, failure), out)
        return out

    def lost(self, node: str) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.enquiries.peer_lost(self.now_ns, node, out)
        return out

    def tick(self) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.enquiries.tick(self.now_ns, out)
        return out

    def advance_to_ms(self, now_ms: int) -> list[NodeEffect]:
        """Whatever is done until then, at the deadlines alone."""
        out: list[NodeEffect] = []
        while (due_ns := self.enquiries.next_deadline_ns()) is not None and due_ns <= now_ms * MS:
            assert due_ns >= self.now_ns, "what is due has been done"
            self.now_ns = due_ns
            out += self.tick()
            next_ns = self.enquiries.next_deadline_ns()
            assert next_ns is None or next_ns > due_ns, "a tick moves the deadline on"
        self.now_ns = now_ms * MS
        return out


def put(effects: list[NodeEffect]) -> list[tuple[str, str]]:
    """To whom questions and orders are put."""
    return [
        (effect.node, effect.message.what)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Consult)
    ]


def looked_for(effects: list[NodeEffect]) -> list[tuple[str, int]]:
    """Who is asked for the owner of which shard."""
    return [
        (effect.node, effect.message.shard)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Whose)
    ]


def answered(effects: list[NodeEffect], client: str = "operator") -> list[Told]:
    """What a client is told."""
    return [
        effect.message
        for effect in effects
        if isinstance(effect, ToClient)
        and effect.route == client.encode()
        and isinstance(effect.message, Told)
    ]


def told(effects: list[NodeEffect], client: str = "operator") -> Any:
    (answer,) = answered(effects, client)
    assert (answer.request, answer.failure) == (7, None)
    return msgspec.json.decode(answer.body)


def refused(effects: list[NodeEffect]) -> Failure:
    (answer,) = answered(effects)
    assert answer.request == 7
    assert answer.failure is not None
    return answer.failure


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(*(member(f"n{number}") for number in range(4))))


def replicas(room: Room) -> list[tuple[str, int]]:
    return [(node, SHARD) for node in room.view.preference(SHARD)]


# -- nobody is known ----------------------------------------------------------------------------------


@ALL
def test_while_nobody_is_known_to_own_the_shard_its_replicas_are_asked(room: Room, what: str) -> None:
    effects = room.ask(what)
    assert looked_for(effects) == replicas(room) != []
    assert (put(effects), answered(effects)) == ([], [])


@ALL
def test_when_the_owner_is_found_it_is_asked_and_its_answer_told_at_once(room: Room, what: str) -> None:
    room.ask(what)
    room.owned_by("n2")
    effects = room.advance_to_ms(100)
    assert (put(effects), looked_for(effects), answered(effects)) == ([("n2", what)], [], [])
    assert told(room.answer("n2", {"state": "queued"})) == {"state": "queued"}
    assert (len(room.enquiries), room.advance_to_ms(5_000)) == (0, [])
    assert room.enquiries.next_deadline_ns() is None


def test_an_owner_that_is_known_is_asked_at_once(room: Room) -> None:
    room.owned_by("n2")
    assert room.ask("status") == [ToPeer("n2", Consult(1, "status", TASK))]


def test_as_long_as_nobody_is_found_replicas_are_asked_again_and_ever_less_often(room: Room) -> None:
    effects = room.ask("status") + room.advance_to_ms(1_999)
    assert (put(effects), answered(effects)) == ([], [])
    assert looked_for(effects) == 5 * replicas(room)


@ALL
def test_what_nobody_could_answer_in_time_has_changed_nothing(room: Room, what: str) -> None:
    room.ask(what)
    assert answered(room.advance_to_ms(1_999)) == []
    failure = refused(room.advance_to_ms(2_000))
    assert (failure.code, failure.effect, failure.where) == ("unreachable", Effect.NONE, "n0")
    assert failure.message.startswith("nobody within reach owns shard 3 just now: see `mesh shards`")
    assert room.advance_to_ms(9_000) == [], "nor does anybody look for the owner any more"


def test_an_order_whose_time_is_up_is_not_given_to_an_owner_that_was_found_too_late(room: Room) -> None:
    """A node that has been held up may find both in one tick."""
    room.ask("cancel")
    room.owned_by("n2")
    room.now_ns = PATIENCE_NS
    effects = room.tick()
    assert put(effects) == []
    assert refused(effects).effect is Effect.NONE


def test_one_search_is_for_all_who_ask_about_a_shard(room: Room) -> None:
    room.ask("status", client="first")
    assert looked_for(room.ask("cancel", client="second")) == []
    assert looked_for(room.ask("status", ELSEWHERE, client="third")) != []
    room.owned_by("n2")
    assert put(room.advance_to_ms(100)) == [("n2", "status"), ("n2", "cancel")]
    assert told(room.answer("n2", 1, number=2), "second") == 1
    assert told(room.answer("n2", 2), "first") == 2


def test_each_shard_has_a_search_of_its_own(room: Room) -> None:
    room.owned_by("n1", 4)
    room.ask("status", ELSEWHERE)
    room.ask("status", client="other")
    room.advance_to_ms(50)
    room.answer("n1", failure=MOVES)
    room.owned_by("n2")
    assert put(room.advance_to_ms(149)) == [("n2", "status")]
    assert put(room.advance_to_ms(150)) == [("n1", "status")]


def test_nobody_is_looked_for_when_nobody_asks_any_more(room: Room) -> None:
    room.owned_by("n1")
    room.ask("status")
    room.view.doubt_owner(SHARD, "n1")
    room.advance_to_ms(550)
    room.answer("n1", 1)
    room.ask("status", ELSEWHERE)
    assert {shard for _, shard in looked_for(room.advance_to_ms(2_000))} == {4}


# -- refused ------------------------------------------------------------------------------------------


@ALL
def test_who_is_sent_away_by_a_former_owner_asks_the_next(room: Room, what: str) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.owned_by("n2")
    assert room.answer("n1", failure=MOVES) == [ToPeer("n2", Consult(1, what, TASK))]
    assert told(room.answer("n2", {"state": "queued"})) == {"state": "queued"}


def test_who_is_sent_away_and_not_told_where_to_asks_the_replicas(room: Room) -> None:
    room.owned_by("n1")
    room.ask("cancel")
    room.view.doubt_owner(SHARD, "n1")
    effects = room.answer("n1", failure=MOVES)
    assert (looked_for(effects), put(effects), answered(effects)) == (replicas(room), [], [])
    room.owned_by("n3")
    assert put(room.advance_to_ms(100)) == [("n3", "cancel")]


@ALL
def test_an_owner_that_is_still_named_is_asked_again_a_little_later(room: Room, what: str) -> None:
    """It takes no orders for a moment, say, or a message has overtaken another."""
    room.owned_by("n1")
    room.ask(what)
    assert put(room.answer("n1", failure=MOVES)) == []
    assert put(room.advance_to_ms(99)) == []
    assert put(room.advance_to_ms(100)) == [("n1", what)]
    assert told(room.answer("n1", 1)) == 1


def test_what_is_refused_until_its_time_is_up_is_told_as_it_was_refused(room: Room) -> None:
    room.owned_by("n1")
    room.ask("cancel")
    tries, effects = 1, room.answer("n1", failure=MOVES)
    for now_ms in range(10, 2_001, 10):
        effects = room.advance_to_ms(now_ms)
        if put(effects):
            tries += 1
            effects += room.answer("n1", failure=MOVES)
    assert refused(effects) == MOVES
    assert tries == 20


def test_two_that_name_each_other_are_not_asked_in_turn_without_end(room: Room) -> None:
    """As fast as they answer a few times, then as often as anybody is; who owns the shard in the end answers."""
    room.owned_by("n1")
    effects = room.ask("status")
    tries = []
    for now_ms in range(1_500):
        while put(effects):
            tries.append(now_ms)
            assert len(tries) <= 20
            ((node, _),) = put(effects)
            room.owned_by("n2" if node == "n1" else "n1")
            effects = room.answer(node, failure=MOVES)
        effects = room.advance_to_ms(now_ms)
    effects = room.advance_to_ms(1_700)
    assert told(room.answer(put(effects)[0][0], 1)) == 1


@ALL
@pytest.mark.parametrize("failure", [UNKNOWN, UNDECIDED])
def test_what_an_owner_has_decided_is_told(room: Room, what: str, failure: Failure) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.owned_by("n2")
    assert refused(room.answer("n1", failure=failure)) == failure
    assert room.advance_to_ms(5_000) == []


@ALL
def test_who_was_not_asked_is_not_heard(room: Room, what: str) -> None:
    room.ask(what)
    assert room.answer("n2", 1) == [], "nobody was"
    room.owned_by("n1")
    room.advance_to_ms(100)
    assert room.answer("n2", 1) == []
    assert room.answer("n2", failure=MOVES) == []
    assert room.answer("n1", 1, number=2) == [], "that is the answer to something else"
    assert told(room.answer("n1", 2)) == 2


# -- silent -------------------------------------------------------------------------------------------


@READS
def test_after_half_a_second_of_silence_a_question_goes_to_whoever_owns_the_shard_now(
    room: Room, what: str
) -> None:
    room.owned_by("n1")
    room.ask(what)
    assert room.advance_to_ms(499) == []
    effects = room.advance_to_ms(500)
    assert (looked_for(effects), put(effects)) == (replicas(room), [])
    room.owned_by("n2")
    assert put(room.advance_to_ms(600)) == [("n2", what)]
    assert room.answer("n1", 1) == [], "it is asked no more"
    assert told(room.answer("n2", 2)) == 2


def test_a_silent_owner_that_is_still_named_may_answer_until_time_is_up(room: Room) -> None:
    room.owned_by("n1")
    room.ask("status")
    assert put(room.advance_to_ms(1_999)) == []
    assert told(room.answer("n1", 1)) == 1


def test_a_new_owner_is_found_that_comes_long_after_the_old_one_fell_silent(room: Room) -> None:
    room.owned_by("n1")
    room.ask("status")
    assert put(room.advance_to_ms(1_300)) == []
    room.owned_by("n2")
    assert put(room.advance_to_ms(1_900)) == [("n2", "status")]


def test_replicas_are_asked_until_they_name_one_when_a_silent_owner_is_named_no_more(room: Room) -> None:
    room.owned_by("n1")
    room.ask("status")
    room.view.doubt_owner(SHARD, "n1")
    assert looked_for(room.advance_to_ms(1_199)) == 3 * replicas(room), "after 500, 600 and 800 ms"
    room.owned_by("n2")
    assert put(room.advance_to_ms(1_200)) == [("n2", "status")]


@ORDERS
def test_an_order_is_given_to_nobody_else_while_it_may_have_been_followed(room: Room, what: str) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.owned_by("n2")
    assert room.advance_to_ms(1_999) == []
    failure = refused(room.advance_to_ms(2_000))
    assert (failure.code, failure.effect) == ("unreachable", Effect.MAYBE)
    assert "name-n1 (n1), did not answer in time: see `mesh status`" in failure.message


@READS
def test_a_question_that_a_silent_owner_was_asked_has_changed_nothing(room: Room, what: str) -> None:
    room.owned_by("n2")
    room.ask(what)
    failure = refused(room.advance_to_ms(2_000))
    assert (failure.code, failure.effect) == ("unreachable", Effect.NONE)
    assert failure.message.endswith("name-n2 (n2), did not answer in time: try again")


def test_an_order_that_waits_for_its_answer_is_not_given_again_when_others_find_another_owner(
    room: Room,
) -> None:
    room.owned_by("n1")
    room.ask("cancel")
    room.view.doubt_owner(SHARD, "n1")
    room.ask("status", client="other")
    room.owned_by("n2")
    assert room.advance_to_ms(100) == [ToPeer("n2", Consult(2, "status", TASK))]


def test_a_question_that_was_put_late_is_answered_in_time_all_the_same(room: Room) -> None:
    room.ask("status")
    room.advance_to_ms(1_400)
    room.owned_by("n1")
    assert put(room.advance_to_ms(1_500)) == [("n1", "status")]
    room.answer("n1", failure=MOVES)
    assert put(room.advance_to_ms(1_600)) == [("n1", "status")]
    assert "did not answer in time" in refused(room.advance_to_ms(2_000)).message


# -- dead, or suspected -------------------------------------------------------------------------------


@READS
def test_a_question_to_the_dead_goes_on_to_the_next_owner(
    room: Room, member: Callable[..., Member], what: str
) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.view.learn(member("n1", condition=Condition.DEAD))
    effects = room.lost("n1")
    assert looked_for(effects) == [(node, SHARD) for node, _ in replicas(room) if node != "n1"]
    assert (put(effects), answered(effects)) == ([], [])
    room.owned_by("n2")
    assert put(room.advance_to_ms(100)) == [("n2", what)]
    assert room.lost("n1") == [], "it is not asked any more"
    assert told(room.answer("n2", 1)) == 1


@READS
def test_a_question_to_the_dead_that_nobody_else_answers_names_them(
    room: Room, member: Callable[..., Member], what: str
) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.lost("n1")
    failure = refused(room.advance_to_ms(2_000))
    assert (failure.code, failure.effect) == ("unreachable", Effect.NONE)
    assert "name-n1 (n1), did not answer in time" in failure.message


@ORDERS
@pytest.mark.parametrize("condition", [Condition.DEAD, Condition.SUSPECT])
def test_what_the_dead_were_told_they_may_have_done(
    room: Room, member: Callable[..., Member], what: str, condition: Condition
) -> None:
    room.owned_by("n1")
    room.ask(what)
    room.view.learn(member("n1", condition=condition))
    failure = refused(room.lost("n1"))
    assert (failure.code, failure.effect) == ("unreachable", Effect.MAYBE)
    room.owned_by("n2")
    assert room.advance_to_ms(5_000) == []


@ALL
def test_who_is_suspected_is_asked_when_it_is_heard_of_again(
    room: Room, member: Callable[..., Member], what: str
) -> None:
    """Whatever it was told would be lost, and an order then might have been followed, for all that one knows."""
    room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.SUSPECT))
    effects = room.ask(what) + room.advance_to_ms(1_000)
    assert (put(effects), answered(effects)) == ([], [])
    room.view.learn(member("n1"))
    assert put(room.advance_to_ms(1_100)) == [("n1", what)]
    assert told(room.answer("n1", 1)) == 1


@ALL
def test_who_is_suspected_is_not_waited_for_when_another_owns_the_shard(
    room: Room, member: Callable[..., Member], what: str
) -> None:
    room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.SUSPECT))
    room.ask(what)
    room.owned_by("n2")
    assert put(room.advance_to_ms(100)) == [("n2", what)]
