"""What a gateway owes its clients: one answer for each task, whatever becomes of owners."""

from collections.abc import Callable

import pytest

from hubless.effects import NodeEffect, ToClient, ToPeer
from hubless.guard import Admission
from hubless.guard.admission import AdmissionConfig
from hubless.meta import Offer
from hubless.placement import mint_task_id, shard_of_key, shard_of_task
from hubless.tasks import Gateway
from hubless.view import View
from hubless.wire import (
    Accepted,
    Answer,
    Durability,
    Moved,
    OwnedBy,
    Place,
    Refused,
    Settled,
    Submit,
    Taken,
    Whose,
    Withdraw,
)
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
ROUTE = b"client"


def task_of(shard: int, number: int = 0) -> bytes:
    return mint_task_id(shard, number.to_bytes(14, "big"))


class Room:
    """A gateway on n0. Of the sixteen shards the first is owned by n0, the next by n1, and so on round the members."""

    def __init__(self, view: View, admission: Admission | None = None, *, term: int = 1) -> None:
        self.view = view
        nodes = [known.member.node for known in view.known()]
        for shard in range(16 if term else 0):
            view.learn_owner(shard, term, nodes[shard % len(nodes)])
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
        return task_of(self.view.owned(node)[0], number)

    def owns(self, node: str, term: int, *tasks: bytes, now_ns: int = 0) -> list[NodeEffect]:
        """A node has become the owner of these tasks' shards, as it says itself."""
        out: list[NodeEffect] = []
        shards = [shard_of_task(task) for task in tasks]
        news = [shard for shard in shards if self.view.learn_owner(shard, term, node)]
        self.gateway.owners_changed(now_ns, news, out)
        return out

    def moved(self, node: str, task: bytes, term: int = 0, owner: str = "") -> list[NodeEffect]:
        """A node that was asked says that it is not the owner."""
        out: list[NodeEffect] = []
        self.gateway.moved(0, node, Moved(task, term, owner), out)
        return out

    def hint(self, node: str, task: bytes, term: int, owner: str) -> list[NodeEffect]:
        """A node that was asked says who owns the task's shard."""
        out: list[NodeEffect] = []
        self.gateway.owned_by(0, node, OwnedBy(shard_of_task(task), term, owner), out)
        return out

    def taken(self, owner: str, task: bytes) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.gateway.taken(owner, Taken(task), out)
        return out

    def cancel(self, task: bytes) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.gateway.cancel(task, out)
        return out

    def tick(self, now_ns: int) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.gateway.tick(now_ns, out)
        return out

    def settle(self, task: bytes, failure: Failure | None = None, attempt: int = 1) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        payload = b"2" if failure is None else None
        self.gateway.settled(Settled(task, payload, failure, "n1", attempt), out)
        return out


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0"), member("n1"), member("n2")))


def places(effects: list[NodeEffect]) -> list[tuple[str, Place]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Place)
    ]


def questions(effects: list[NodeEffect]) -> list[tuple[str, Whose]]:
    return [
        (effect.node, effect.message)
        for effect in effects
        if isinstance(effect, ToPeer) and isinstance(effect.message, Whose)
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


def test_every_connection_that_a_task_was_submitted_over_is_told(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"other", Submit(task, "echo", "", b"1", 30_000), out)
    assert out == []
    told = [effect.route for effect in room.settle(task) if isinstance(effect, ToClient)]
    assert told == [ROUTE, b"other"]


def test_a_task_is_withdrawn_when_the_last_of_its_clients_goes(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"other", Submit(task, "echo", "", b"1", 30_000), out)
    room.gateway.cancel(task, out, route=ROUTE)
    assert out == []
    room.gateway.cancel(task, out, route=b"other")
    assert out == [ToPeer("n1", Withdraw(task))]


def test_who_has_the_id_alone_withdraws_it_over_whatever_connection(room: Room) -> None:
    """The others are connections that it lost, here and to other gateways."""
    task = room.owned_by("n1")
    room.submit(task)
    out: list[NodeEffect] = []
    room.gateway.submit(S, b"again", Submit(task, "echo", "", b"1", 30_000), out)
    room.gateway.cancel(task, out, route=b"again", alone=True)
    assert out == [ToPeer("n1", Withdraw(task, alone=True))]
    assert len(room.gateway) == 0


def test_an_owner_that_says_nothing_is_asked_again_at_growing_intervals(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=60_000)
    asked_s = [second for second in range(40) if places(room.tick(second * S))]
    assert asked_s == [1, 3, 7, 15, 23, 31, 39]


def test_how_long_ago_an_owner_may_have_had_it_travels(room: Room) -> None:
    first, other, third = (room.owned_by("n1", number) for number in range(3))
    ((_, place),) = places(room.submit(first))
    assert place.age_ms == 0
    ((_, again),) = places(room.tick(1 * S))
    assert again.age_ms == 1_000
    ((_, place),) = places(room.submit(other, now_ns=2 * S, again=True, age_ms=700))
    assert place.age_ms == 700
    room.submit(third, now_ns=3 * S)
    room.moved("n1", third)
    ages = {place.task: place.age_ms for _, place in places(room.owns("n1", 2, third, now_ns=4 * S))}
    assert (ages[first], ages[other], ages[third]) == (4_000, 2_700, 0)


def test_a_task_that_comes_round_to_its_own_gateway_is_not_sent_the_same_way_at_once(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.moved("n0", task, 1, "n1")) == []


def test_what_remains_of_the_deadline_travels(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    ((_, again),) = places(room.tick(1_000 * MS))
    assert again.deadline_ms == 29_000


@pytest.mark.parametrize(
    ("durability", "withdrawn"), [(Durability.REPLICATED, 0), (Durability.NONE, 1)], ids=["kept", "not kept"]
)
def test_a_task_without_outcome_expires_and_a_shard_sees_that_by_itself(
    room: Room, durability: Durability, withdrawn: int
) -> None:
    task = room.owned_by("n1")
    room.submit(task, deadline_ms=500, durability=durability)
    *others, told = room.tick(500 * MS)
    assert others == withdrawn * [ToPeer("n0", Withdraw(task))]
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
    assert room.cancel(task) == [ToPeer("n1", Withdraw(task))]
    assert room.settle(task) == []
    assert room.cancel(task) == []


def test_a_task_that_no_shard_keeps_is_owned_here(room: Room) -> None:
    task = room.owned_by("n1")
    ((node, place),) = places(room.submit(task, durability=Durability.NONE))
    assert (node, place.is_kept) == ("n0", False)
    assert room.owns("n2", 2, task) == [], "whoever owns the shard"
    assert room.moved("n1", task, 3, "n2") == []
    assert room.cancel(task) == [ToPeer("n0", Withdraw(task))]


@pytest.mark.parametrize(
    ("durability", "agent", "expected"),
    [
        (Durability.OF_AGENT, "echo", True),
        (Durability.OF_AGENT, "fleeting", False),
        (Durability.REPLICATED, "fleeting", True),
        (Durability.NONE, "echo", False),
    ],
)
def test_who_keeps_a_task_says_the_call_or_else_its_agent(
    view_of: Callable[..., View],
    member: Callable[..., Member],
    durability: Durability,
    agent: str,
    expected: bool,
) -> None:
    offers = (Offer("echo", "1", 1, 5_000, 2), Offer("fleeting", "1", 1, 5_000, 2, is_kept=False))
    room = Room(view_of(member("n0", offers=offers)))
    ((_, place),) = places(room.submit(task_of(1), agent=agent, durability=durability))
    assert place.is_kept is expected


def test_tasks_of_a_shard_are_placed_with_its_next_owner_as_soon_as_there_is_one(
    room: Room, member: Callable[..., Member]
) -> None:
    task, other = room.owned_by("n1"), room.owned_by("n2")
    room.submit(task)
    room.submit(other)
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.gateway.owner_gone("n1")
    ((node, place),) = places(room.owns("n2", 2, task))
    assert (node, place.task, place.again, place.once) == ("n2", task, False, False)


def test_news_that_are_old_place_nothing(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.owns("n2", 2, task))
    assert room.owns("n1", 2, task) == []
    assert room.owns("n1", 1, task) == []


def test_an_owner_that_was_deposed_and_owns_again_is_told_again(room: Room) -> None:
    """It has forgotten meanwhile who waits for the outcome."""
    task = room.owned_by("n1")
    room.submit(task)
    assert [node for node, _ in places(room.owns("n1", 2, task))] == ["n1"]


def test_a_task_stays_with_its_owner_when_the_ring_changes(
    room: Room, view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    bigger = view_of(*(member(f"n{number}") for number in range(12)))
    for number in range(3, 12):
        room.view.learn(member(f"n{number}"))
    room.view.ring_built(bigger.ring)
    assert [node for node, _ in places(room.tick(1 * S))] == ["n1"]


def test_who_handed_a_task_on_is_replaced_by_who_took_it(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.taken("n2", task)
    assert room.cancel(task) == [ToPeer("n2", Withdraw(task))]


def test_a_task_moves_to_the_owner_that_the_asked_node_knows(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert [node for node, _ in places(room.moved("n1", task, 2, "n2"))] == ["n2"]


def test_all_tasks_of_a_shard_move_when_one_of_them_finds_its_next_owner(room: Room) -> None:
    """The owner's own word comes later, or not at all, and is no news then."""
    tasks = [room.owned_by("n1", number) for number in range(3)]
    for task in tasks:
        room.submit(task)
    moved = places(room.moved("n1", tasks[0], 2, "n2"))
    assert {(node, place.task) for node, place in moved} == {("n2", task) for task in tasks}


def test_nodes_that_point_at_each_other_are_not_asked_in_a_circle(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    asked = [node for node, _ in places(room.moved("n1", task, 2, "n2"))]
    asked += [node for node, _ in places(room.moved("n2", task, 1, "n1"))]
    asked += [node for node, _ in places(room.moved("n1", task, 1, "n2"))]
    assert asked == ["n2"]
    assert {node for node, _ in questions(room.tick(100 * MS))} == {"n0", "n1", "n2"}, "others may know"


def test_an_owner_that_is_not_ready_yet_is_asked_again_when_it_is(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    assert places(room.moved("n1", task)) == []
    assert [node for node, _ in places(room.owns("n1", 1, task))] == ["n1"]


def test_who_points_at_the_dead_points_at_nobody(room: Room, member: Callable[..., Member]) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    room.view.learn(member("n2", condition=Condition.DEAD))
    assert places(room.moved("n1", task, 2, "n2")) == []


# -- nobody is known to own a shard --------------------------------------------------------------------

KEYED = task_of(shard_of_key("k", 16))
OTHER_KEYED = task_of(shard_of_key("k", 16), 1)


@pytest.fixture
def ignorant(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    """A gateway that knows of no owner."""
    return Room(view_of(member("n0"), member("n1"), member("n2")), term=0)


def test_its_replicas_are_asked_until_one_knows(ignorant: Room) -> None:
    asked = questions(ignorant.submit(KEYED, key="k"))
    assert {node for node, _ in asked} == {"n0", "n1", "n2"}
    assert {question for _, question in asked} == {Whose(shard_of_task(KEYED))}
    again = [tenth for tenth in range(1, 40) if questions(ignorant.tick(tenth * 100 * MS))]
    assert again == [1, 3, 7, 15, 25, 35]
    assert [node for node, _ in places(ignorant.hint("n1", KEYED, 4, "n2"))] == ["n2"]
    assert questions(ignorant.tick(5 * S)) == []


def test_they_are_asked_once_for_all_who_wait(ignorant: Room) -> None:
    assert len(questions(ignorant.submit(KEYED, key="k"))) == 3
    assert ignorant.submit(OTHER_KEYED, key="k") == []
    told = places(ignorant.hint("n2", KEYED, 4, "n2"))
    assert [(node, place.task) for node, place in told] == [("n2", KEYED), ("n2", OTHER_KEYED)]


def test_who_knows_nobody_changes_nothing(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k")
    assert ignorant.hint("n1", KEYED, 0, "") == []


def test_who_is_asked_and_was_thought_to_be_the_owner_is_believed(room: Room) -> None:
    task = room.owned_by("n1")
    assert room.hint("n1", task, 0, "") == []
    assert room.view.owner_of_shard(shard_of_task(task)) is None


def test_they_are_not_asked_for_what_nobody_waits_for(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k")
    ignorant.cancel(KEYED)
    assert ignorant.tick(60 * S) == []
    assert ignorant.gateway.next_deadline_ns() is None


def test_an_owner_that_is_there_again_needs_no_answer(room: Room, member: Callable[..., Member]) -> None:
    task = room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.submit(task, again=True)
    room.view.learn(member("n1"))
    assert [node for node, _ in places(room.tick(100 * MS))] == ["n1"]


def test_what_was_only_asked_for_expires_without_effect(ignorant: Room) -> None:
    ignorant.submit(KEYED, key="k", deadline_ms=500)
    (told,) = [effect for effect in ignorant.tick(500 * MS) if isinstance(effect, ToClient)]
    failure = answer([told]).failure
    assert failure is not None
    assert (failure.code, failure.effect) == ("expired", Effect.NONE)


# -- nobody waits any more ------------------------------------------------------------------------------


@pytest.fixture
def bereft(room: Room, member: Callable[..., Member]) -> bytes:
    """A task whose owner has died."""
    task = room.owned_by("n1")
    room.submit(task)
    room.view.learn(member("n1", condition=Condition.DEAD))
    room.gateway.owner_gone("n1")
    return task


def test_a_cancellation_reaches_the_next_owner(room: Room, bereft: bytes) -> None:
    """Who lets withdraw but those who asked it for the task."""
    assert room.cancel(bereft) == []
    place, withdraw = room.owns("n2", 2, bereft)
    assert [to for to, _ in places([place])] == ["n2"]
    assert withdraw == ToPeer("n2", Withdraw(bereft))
    assert len(room.gateway) == 0
    assert room.settle(bereft) == []


def test_so_does_one_that_nobody_else_can_undo(room: Room, bereft: bytes) -> None:
    room.gateway.cancel(bereft, [], alone=True)
    _, withdraw = room.owns("n2", 2, bereft)
    assert withdraw == ToPeer("n2", Withdraw(bereft, alone=True))


def test_who_wants_it_again_before_that_gets_it(room: Room, bereft: bytes) -> None:
    room.cancel(bereft)
    room.submit(bereft)
    assert [type(effect.message) for effect in room.owns("n2", 2, bereft)] == [Place]  # type: ignore[union-attr]
    assert answer(room.settle(bereft)).payload == b"2"


def test_a_cancellation_that_reaches_nobody_ends_with_the_deadline(room: Room, bereft: bytes) -> None:
    room.cancel(bereft)
    for second in range(1, 40):
        assert [effect for effect in room.tick(second * S) if isinstance(effect, ToClient)] == []
    assert len(room.gateway) == 0


# -- steering -------------------------------------------------------------------------------------------


def test_a_task_without_a_key_is_steered_to_a_shard_that_can_be_reached(
    room: Room, member: Callable[..., Member]
) -> None:
    task = room.owned_by("n1")
    room.view.learn(member("n1", condition=Condition.DEAD))
    (effect,) = room.submit(task)
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Refused)
    assert (effect.message.code, effect.message.task) == ("no_quorum", task)
    assert (len(room.gateway), room.gateway.counters.steered) == (0, 1)


def test_steered_tasks_take_no_room(view_of: Callable[..., View], member: Callable[..., Member]) -> None:
    room = Room(view_of(member("n0")), Admission(AdmissionConfig(total=1)), term=0)
    for number in range(5):
        room.submit(task_of(1, number))
    assert room.gateway.counters.steered == 5


@pytest.mark.parametrize("fields", [{"again": True}, {"durability": Durability.NONE}])
def test_what_may_be_somewhere_or_needs_no_shard_is_not_steered(
    view_of: Callable[..., View], member: Callable[..., Member], fields: dict[str, object]
) -> None:
    room = Room(view_of(member("n0")), term=0)
    room.submit(task_of(1), **fields)
    assert len(room.gateway) == 1


def test_a_task_that_nobody_could_be_asked_about_expires_without_effect(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0", weight=0)), term=0)
    assert room.submit(task_of(shard_of_key("k", 16)), key="k", deadline_ms=100) == []
    told = answer(room.tick(200 * MS))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("expired", Effect.NONE)


def test_a_receipt_is_given_once_when_the_owner_has_given_its_own(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task, receipt=True))
    assert place.receipt
    assert room.taken("n1", task) == [ToClient(ROUTE, Accepted(task))]
    assert room.taken("n1", task) == []
    ((_, again),) = places(room.owns("n2", 2, task))
    assert not again.receipt


def test_a_receipt_is_given_to_none_who_did_not_ask(room: Room) -> None:
    task = room.owned_by("n1")
    ((_, place),) = places(room.submit(task))
    assert not place.receipt
    assert room.taken("n1", task) == []
    assert room.taken("n1", task_of(7)) == []


def test_a_client_that_comes_back_gets_its_receipt(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, receipt=True)
    assert room.submit(task, receipt=True) == []
    assert room.taken("n1", task) == [ToClient(ROUTE, Accepted(task))]
    assert room.submit(task, receipt=True) == [ToClient(ROUTE, Accepted(task))]
    assert room.submit(task) == []


def test_a_receipt_is_still_wanted_from_the_next_owner(room: Room) -> None:
    task = room.owned_by("n1")
    room.submit(task, receipt=True)
    ((_, place),) = places(room.owns("n2", 2, task))
    assert place.receipt


@pytest.mark.parametrize("fields", [{"payload": b"3"}, {"agent": "once"}])
def test_another_task_under_the_same_id_does_not_get_its_outcome(
    room: Room, fields: dict[str, object]
) -> None:
    task = room.owned_by("n1")
    room.submit(task)
    told = answer(room.submit(task, **fields))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect) == ("bad_input", Effect.NONE)
    assert answer(room.settle(task)).payload == b"2"


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
        ({"receipt": True, "durability": Durability.NONE}, "bad_input"),
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
    told = answer(room.settle(task, Failure(code="overloaded", message="full", retry_after_ms=7), attempt=0))
    assert told.failure is not None
    assert (told.failure.effect, told.failure.retry_after_ms) == (Effect.MAYBE, 7)


def test_a_log_that_has_attempts_of_a_task_has_all_of_them(room: Room) -> None:
    """So its word on their effects is good, wherever the task was before; nobody's memory is as good."""
    failure = Failure(code="overloaded", message="full")
    kept, fleeting = room.owned_by("n1", 1), room.owned_by("n1", 2)
    room.submit(kept, again=True)
    room.submit(fleeting, again=True, durability=Durability.NONE)
    told = [answer(room.settle(task, failure)).failure for task in (kept, fleeting)]
    assert [failure and failure.effect for failure in told] == [Effect.NONE, Effect.MAYBE]


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
