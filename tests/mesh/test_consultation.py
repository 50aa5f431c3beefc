"""Operators ask any node, and are answered by those who know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hubless.consultation import Consultation
from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.placement import mint_task_id, shard_of_task
from hubless.tasks.entries import AttemptEnded, Cancelled, Entered, Entry, Follows, Submitted
from hubless.tasks.machine import Machine
from hubless.tasks.row import Row
from hubless.view import View
from hubless.wire import Ask, Consult, Consulted, OwnedBy, Told, Whose
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

S = 1_000_000_000
ROUTE = b"operator"
TASK = mint_task_id(3, bytes(14))


def task_of(number: int) -> bytes:
    return mint_task_id(3, number.to_bytes(14, "big"))


class Keeping:
    """One owned shard, 3, whose owner takes every order, and whose reads wait for the test."""

    def __init__(self) -> None:
        self.on_read: Callable[[int, bool, list[NodeEffect]], None]
        self.on_changed: Callable[[Row, list[NodeEffect]], None] | None = None
        self.on_disowned: Callable[[int, list[NodeEffect]], None]
        self.machine = Machine()
        self.reads: list[int] = []
        self.orders: list[tuple[str, bytes]] = []
        self.takes_orders = True
        self.owned = {3}
        self.owner = SimpleNamespace(
            cancel=lambda now_ns, task, out: self.order("cancel", task),
            retry=lambda now_ns, task: self.order("retry", task),
        )

    def order(self, what: str, task: bytes) -> bool:
        if self.takes_orders:
            self.orders.append((what, task))
        return self.takes_orders

    def owns(self, task: bytes) -> bool:
        return shard_of_task(task) in self.owned

    def whose(self, node: str, shard: int, out: list[NodeEffect]) -> None:
        out.append(ToPeer(node, OwnedBy(shard, 8, "n2")))

    def row(self, task: bytes) -> Row | None:
        return self.machine.rows.get(task)

    def read(self, now_ns: int, task: bytes, out: list[NodeEffect]) -> int:
        self.reads.append(len(self.reads) + 1)
        return self.reads[-1]

    def owned_machines(self) -> Iterator[tuple[int, Machine]]:
        return iter([(3, self.machine)])

    def shard_rows(self) -> list[dict[str, Any]]:
        return [{"shard": 3, "owner": "n0", "is_owner": True, "term": 7}]


class Room:
    """n0, asked by an operator, in a mesh of n0, n1 and n2."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.keeping = Keeping()
        self.restart(boot=0)

    def restart(self, boot: int) -> None:
        """Another process of n0 begins, which knows of no question."""
        self.consultation = Consultation(
            me="n0",
            boot=boot,
            view=self.view,
            keeping=self.keeping,  # type: ignore[arg-type]
            shards=16,
        )

    def ask(self, what: str, argument: str = "", *, now_ns: int = 0) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.consultation.ask(now_ns, ROUTE, Ask(7, what, argument), out)
        return out

    def consult(self, what: str, argument: str = "", node: str = "n1") -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.consultation.consult(0, node, Consult(1, what, argument), out)
        return out

    def answer(self, node: str, body: Any = None, failure: Failure | None = None) -> list[NodeEffect]:
        """A node answers the first question of the operator."""
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        out: list[NodeEffect] = []
        self.consultation.consulted(0, node, Consulted(1, raw, failure), out)
        return out

    def lost(self, node: str) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.consultation.peer_lost(0, node, out)
        return out

    def tick(self, now_ns: int) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.consultation.tick(now_ns, out)
        return out

    def follow(self, entry: Entry) -> list[NodeEffect]:
        """The log has decided something."""
        out: list[NodeEffect] = []
        row = self.keeping.machine.follow(entry)
        if row is not None and self.keeping.on_changed is not None:
            self.keeping.on_changed(row, out)
        return out


def submitted(number: int = 0, agent: str = "echo") -> Submitted:
    return Submitted(task_of(number), agent, "", b"1", 1_000 * (number + 1), 60_000, 2, "n1/1")


def told(effects: list[NodeEffect]) -> Any:
    (effect,) = effects
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Told)
    assert (effect.route, effect.message.request, effect.message.failure) == (ROUTE, 7, None)
    return msgspec.json.decode(effect.message.body)


def refused(effects: list[NodeEffect]) -> Failure:
    (effect,) = effects
    assert isinstance(effect, ToClient | ToPeer)
    assert isinstance(effect.message, Told | Consulted)
    assert effect.message.failure is not None
    return effect.message.failure


def consulted(effects: list[NodeEffect], node: str = "n1") -> Any:
    (effect,) = effects
    assert isinstance(effect, ToPeer)
    assert isinstance(effect.message, Consulted)
    assert (effect.node, effect.message.request, effect.message.failure) == (node, 1, None)
    return msgspec.json.decode(effect.message.body)


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0"), member("n1"), member("n2")))


# -- asking -------------------------------------------------------------------------------------------


def test_all_who_are_present_are_asked_about_all(room: Room, member: Callable[..., Member]) -> None:
    room.view.learn(member("n2", condition=Condition.DEAD))
    assert room.ask("shards") == [ToPeer(node, Consult(1, "shards", "")) for node in ("n0", "n1")]


def test_the_answers_of_all_are_one(room: Room) -> None:
    """Of a shard its owner knows best, and while it has none whoever knows the newest term."""

    def row(shard: int, term: int, owner: str = "", *, is_owner: bool = False) -> dict[str, Any]:
        return {"shard": shard, "owner": owner, "is_owner": is_owner, "term": term}

    room.ask("shards")
    assert room.answer("n1", {"shards": [row(3, 9), row(4, 1)]}) == []
    assert room.answer("n2", {"shards": [row(3, 7, "n2", is_owner=True), row(4, 2, "n1")]}) == []
    body = told(room.answer("n0", {"shards": [row(4, 1)]}))
    assert body["silent"] == []
    lost = [each["shard"] for each in body["shards"] if each.get("condition") == "quorum_lost"]
    assert lost == [shard for shard in range(16) if shard not in (3, 4)]  # nobody has a replica of these
    rows = [each for each in body["shards"] if each["shard"] not in lost]
    assert [(each["shard"], each["term"], each["owner_name"]) for each in rows] == [
        (3, 7, "name-n2 (n2)"),
        (4, 2, "name-n1 (n1)"),
    ]
    assert room.answer("n0", {"shards": []}) == [], "once"


def test_who_says_nothing_in_time_is_named(room: Room) -> None:
    room.ask("tasks")
    room.answer("n1", {"tasks": [], "counts": {"queued": 2}, "owned": []})
    assert room.tick(S) == []
    due_ns = room.consultation.next_deadline_ns()
    assert due_ns == 2 * S
    body = told(room.tick(due_ns))
    assert (body["counts"], body["silent"]) == ({"queued": 2}, ["n0", "n2"])
    assert room.consultation.next_deadline_ns() is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"tasks":7,"counts":{},"owned":[]}',
        b'{"tasks":[{}],"counts":{"a":"b"},"owned":[]}',
        b"[" * 9_999,
    ],
)
def test_who_says_nonsense_has_said_nothing(room: Room, body: bytes) -> None:
    room.ask("tasks")
    assert room.answer("n1", body) == []
    assert told(room.tick(2 * S))["silent"] == ["n0", "n1", "n2"]


def test_the_newest_tasks_of_all_nodes_are_listed(room: Room) -> None:
    room.ask("tasks", '{"limit": 3}')
    room.answer("n1", {"tasks": [{"submitted": at} for at in (1, 4)], "counts": {"queued": 2}, "owned": []})
    room.answer(
        "n2",
        {"tasks": [{"submitted": at} for at in (2, 3)], "counts": {"queued": 1, "failed": 1}, "owned": []},
    )
    body = told(room.answer("n0", {"tasks": [], "counts": {}, "owned": []}))
    assert [row["submitted"] for row in body["tasks"]] == [2, 3, 4]
    assert body["counts"] == {"queued": 3, "failed": 1}


def test_shards_that_nobody_owns_are_named_beside_the_tasks_of_the_others(room: Room) -> None:
    room.ask("tasks")
    for node, owned in (("n0", [0, 1, 2]), ("n1", []), ("n2", range(4, 16))):
        effects = room.answer(node, {"tasks": [], "counts": {}, "owned": list(owned)})
    assert told(effects)["unowned"] == [3]


@pytest.mark.parametrize("what", ["status", "cancel", "retry"])
def test_the_owner_of_its_shard_is_asked_about_a_task(room: Room, what: str) -> None:
    room.view.learn_owner(3, 1, "n2")
    assert room.ask(what, TASK.hex()) == [ToPeer("n2", Consult(1, what, TASK.hex()))]
    assert room.answer("n1", {"state": "wrong"}) == [], "nobody else"
    assert told(room.answer("n2", {"state": "queued"})) == {"state": "queued"}


def test_the_questions_of_an_earlier_process_are_not_those_of_the_next(room: Room) -> None:
    asked = []
    for boot in (1, 2):
        room.restart(boot)
        asked += [effect.message.request for effect in room.ask("shards")]
    assert len(set(asked)) == 2


def test_an_owner_s_refusal_is_told(room: Room) -> None:
    room.view.learn_owner(3, 1, "n2")
    room.ask("cancel", TASK.hex())
    failure = Failure(code="refused", message="no such task")
    assert refused(room.answer("n2", failure=failure)) == failure


def test_whose_owner_dies_waits_for_the_next(room: Room) -> None:
    room.view.learn_owner(3, 1, "n2")
    room.ask("status", TASK.hex())
    asked = room.lost("n2")
    assert {effect.message for effect in asked if isinstance(effect, ToPeer)} == {Whose(3)}
    due_ns = room.consultation.next_deadline_ns()
    assert due_ns is not None
    room.view.learn_owner(3, 2, "n1")
    assert room.tick(due_ns) == [ToPeer("n1", Consult(1, "status", TASK.hex()))]
    assert room.consultation.next_deadline_ns() is not None
    assert told(room.answer("n1", {"state": "queued"})) == {"state": "queued"}


def test_when_the_dead_are_the_last_to_answer_the_others_are_enough(room: Room) -> None:
    room.ask("tasks")
    for node in ("n0", "n1"):
        room.answer(node, {"tasks": [], "counts": {}, "owned": []})
    assert told(room.lost("n2"))["silent"] == ["n2"]


def test_who_is_lost_while_others_are_due_is_not_waited_for_in_the_end(room: Room) -> None:
    room.ask("tasks")
    assert room.lost("n2") == []
    assert room.answer("n0", {"tasks": [], "counts": {}, "owned": []}) == []
    assert told(room.answer("n1", {"tasks": [], "counts": {}, "owned": []}))["silent"] == ["n2"]
    assert room.consultation.next_deadline_ns() is None


@pytest.mark.parametrize(
    ("what", "argument"),
    [
        ("tasks", '{"limit": 0}'),
        ("tasks", '{"limit": -5}'),
        ("status", "zz"),
        ("status", ""),
        ("status", mint_task_id(16, bytes(14)).hex()),
        ("tasks", "all"),
        ("dead_letters", '{"colour": 1}'),
        ("fork", "16"),
        ("fork", "x force"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(room: Room, what: str, argument: str) -> None:
    failure = refused(room.ask(what, argument))
    assert (failure.code, failure.effect) == ("bad_input", Effect.NONE)
    assert room.consultation.next_deadline_ns() is None


def test_who_names_a_shard_that_there_is_not_is_told_which_there_are(room: Room) -> None:
    assert (
        refused(room.ask("fork", "16 force")).message
        == "there is no shard '16': this mesh has shards 0 to 15"
    )


def test_too_many_questions_at_a_time_are_refused(room: Room) -> None:
    for _ in range(128):
        assert len(room.ask("shards")) == 3
        room.ask("status", TASK.hex())
    for what in ("shards", "status"):
        assert refused(room.ask(what, TASK.hex())).code == "overloaded"


# -- answering ----------------------------------------------------------------------------------------


def test_a_task_is_told_when_it_is_certain_that_it_is_not_stale(room: Room) -> None:
    room.follow(submitted())
    assert room.consult("status", TASK.hex()) == []
    room.follow(AttemptEnded(TASK, 1, b"2", None, 2_000))
    out: list[NodeEffect] = []
    room.keeping.on_read(1, True, out)
    body = consulted(out)
    assert (body["state"], body["result"], body["executor"], body["ended"]) == ("succeeded", "2", "n1", 2.0)


@pytest.mark.parametrize(("is_owner", "code"), [(False, "unreachable"), (True, "refused")])
def test_a_task_that_is_unknown_or_elsewhere_is_refused(room: Room, is_owner: bool, code: str) -> None:
    room.consult("status", TASK.hex())
    out: list[NodeEffect] = []
    room.keeping.on_read(1, is_owner, out)
    assert refused(out).code == code
    room.keeping.on_read(1, is_owner, out)
    room.keeping.on_read(99, is_owner, out)
    assert len(out) == 1


@pytest.mark.parametrize("what", ["status", "cancel", "retry"])
def test_who_does_not_own_the_shard_says_so(room: Room, what: str) -> None:
    """And first who does, as far as it knows: who is sent away knows where to by then."""
    room.keeping.owned.clear()
    owned_by, *refusal = room.consult(what, TASK.hex())
    assert owned_by == ToPeer("n1", OwnedBy(3, 8, "n2"))
    failure = refused(refusal)
    assert (failure.code, failure.effect) == ("unreachable", Effect.NONE)
    assert (room.keeping.orders, room.keeping.reads) == ([], [])


def test_an_order_is_answered_when_it_is_decided(room: Room) -> None:
    room.follow(submitted())
    room.follow(submitted(1))
    assert room.consult("cancel", TASK.hex(), "n1") == []
    assert room.keeping.orders == [("cancel", TASK)]
    assert room.follow(Cancelled(task_of(1), 2_000)) == [], "that was another one"
    told = {"task": TASK.hex(), "state": "cancelled", "executor": "n1"}
    assert consulted(room.follow(Cancelled(TASK, 2_000))) == told
    assert room.keeping.on_changed is None, "and nobody listens any more"


def test_where_a_task_runs_on_is_told_only_of_one_that_ran_when_it_was_cancelled(room: Room) -> None:
    room.follow(submitted())
    broken = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    room.follow(AttemptEnded(TASK, 1, None, broken, 2_000, Follows.AGAIN))
    room.consult("cancel", TASK.hex())
    assert consulted(room.follow(Cancelled(TASK, 2_000)))["executor"] == ""


def test_of_a_task_that_ran_apart_nothing_is_told_that_its_shard_cannot_know(room: Room) -> None:
    """The shard first hears of it with the outcome: when it was handed in, and how often it was tried, nobody told."""
    room.follow(Entered(TASK, "echo", "", b"1", b"2", None, "n2", 5_000))
    room.follow(submitted(1))
    room.follow(Entered(task_of(1), "echo", "", b"1", b"2", None, "n2", 6_000))
    apart, known = consulted(room.consult("tasks"))["tasks"][::-1]
    whens = ("submitted", "entered", "ended", "deadline")
    assert [apart[when] for when in whens] == [None, 5.0, None, None]
    assert (apart["state"], apart["attempt"], apart["executor"], apart["provisional"]) == (
        "succeeded",
        None,
        "n2",
        "n2",
    )
    assert [known[when] for when in whens] == [2.0, None, 6.0, 60.0]
    assert (known["attempt"], known["executor"]) == (1, "n2")


def test_a_cancellation_is_answered_by_an_end_and_not_by_another_attempt(room: Room) -> None:
    room.follow(submitted())
    room.consult("cancel", TASK.hex())
    broken = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    assert room.follow(AttemptEnded(TASK, 1, None, broken, 2_000, Follows.AGAIN, "n2/1")) == []
    assert consulted(room.follow(Cancelled(TASK, 2_000)))["state"] == "cancelled"


def test_an_order_that_was_not_decided_before_the_shard_moved_may_have_been_followed(room: Room) -> None:
    room.follow(submitted())
    room.consult("cancel", TASK.hex())
    out: list[NodeEffect] = []
    room.keeping.on_disowned(4, out)
    assert out == [], "that is another shard"
    room.keeping.on_disowned(3, out)
    failure = refused(out)
    assert (failure.code, failure.effect) == ("unreachable", Effect.MAYBE)
    assert room.follow(Cancelled(TASK, 2_000)) == []
    assert room.keeping.on_changed is None


@pytest.mark.parametrize("what", ["cancel", "retry"])
def test_an_order_that_fits_no_task_is_refused(room: Room, what: str) -> None:
    room.keeping.takes_orders = False
    failure = refused(room.consult(what, TASK.hex()))
    assert (failure.code, failure.effect) == ("refused", Effect.NONE)
    assert "no task with this id is known" in failure.message


@pytest.mark.parametrize(
    ("what", "entries", "words"),
    [
        (
            "cancel",
            [Cancelled(TASK, 2_000)],
            f"has ended, its state is cancelled: see `mesh status {TASK.hex()}`",
        ),
        ("retry", [], "the state of this task is running: only one that ended without a result"),
        ("retry", [AttemptEnded(TASK, 1, b"2", None, 1_500)], "is succeeded: only one"),
    ],
)
def test_an_order_that_comes_too_late_or_too_early_says_what_the_task_is(
    room: Room, what: str, entries: list[Entry], words: str
) -> None:
    room.keeping.takes_orders = False
    for entry in (submitted(), *entries):
        room.follow(entry)
    failure = refused(room.consult(what, TASK.hex()))
    assert failure.code == "refused"
    assert words in failure.message


@pytest.mark.parametrize(("what", "entries"), [("cancel", []), ("retry", [Cancelled(TASK, 2_000)])])
def test_an_order_that_the_log_does_not_take_may_be_given_again(
    room: Room, what: str, entries: list[Entry]
) -> None:
    room.keeping.takes_orders = False
    for entry in (submitted(), *entries):
        room.follow(entry)
    failure = refused(room.consult(what, TASK.hex()))
    assert (failure.code, failure.effect) == ("unreachable", Effect.NONE)
    assert "try again" in failure.message


def test_an_unknown_question_of_another_release_is_refused(room: Room) -> None:
    assert refused(room.consult("weather")).code == "bad_input"
    assert refused(room.consult("status", "no id")).code == "bad_input"


@pytest.mark.parametrize("argument", ["", "ab", (bytes(17)).hex(), mint_task_id(16, bytes(14)).hex()])
@pytest.mark.parametrize("what", ["status", "result", "cancel", "retry"])
def test_what_no_task_can_be_called_is_refused(room: Room, what: str, argument: str) -> None:
    assert refused(room.consult(what, argument)).code == "bad_input"


def test_many_dead_letters_do_not_hide_the_tasks_that_run(room: Room) -> None:
    poison = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    for number in range(5):
        room.follow(submitted(number))
        room.follow(AttemptEnded(task_of(number), 1, None, poison, 2_000, Follows.DEAD))
    room.follow(submitted(9))
    body = consulted(room.consult("tasks", '{"limit": 2}'))
    assert [row["state"] for row in body["tasks"]] == ["dead", "running"]


def test_a_node_tells_of_the_tasks_that_it_owns(room: Room) -> None:
    for number in range(3):
        room.follow(submitted(number, "echo" if number else "once"))
    poison = Failure(code="worker_died", message="gone", effect=Effect.MAYBE)
    room.follow(AttemptEnded(task_of(2), 1, None, poison, 2_000, Follows.DEAD))
    body = consulted(room.consult("tasks"))
    assert [row["task"] for row in body["tasks"]] == [task_of(number).hex() for number in range(3)]
    assert (body["counts"]["running"], body["counts"]["dead"]) == (2, 1)
    chosen = consulted(room.consult("tasks", '{"agent": "echo", "state": "running"}'))
    assert [row["task"] for row in chosen["tasks"]] == [task_of(1).hex()]
    newest = consulted(room.consult("tasks", '{"limit": 1}'))
    assert [row["task"] for row in newest["tasks"]] == [task_of(2).hex()]
    (letter,) = consulted(room.consult("dead_letters"))["tasks"]
    assert (letter["task"], letter["failures"][0]["code"]) == (task_of(2).hex(), "worker_died")


def test_a_node_tells_of_the_shards_that_it_replicates(room: Room) -> None:
    assert consulted(room.consult("shards"))["shards"][0]["term"] == 7
