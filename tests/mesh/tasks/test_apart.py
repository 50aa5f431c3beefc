"""What a node takes on by itself: written down first, run, answered as provisional, offered until it is entered."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from hubless.effects import NodeEffect, ToPeer
from hubless.guard import Breakers
from hubless.meta import Offer
from hubless.placement import mint_task_id
from hubless.shard.events import Commit, Committed, Disowned, Owning, Restored
from hubless.shard.private import PRIVATE
from hubless.shard.records import Entries, HardState, Recovered, Snapshot
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.tasks import Dispatch
from hubless.tasks.apart import MOST_ROWS, Apart
from hubless.tasks.entering import MOST_OFFERED, Entering
from hubless.tasks.row import digest_of
from hubless.view import View
from hubless.wire import Assign, Ended, Enter, Moved, Place, Settled, Taken
from hubless_agents import Effect, Failure
from hubless_gossip import Condition, Member

MS = 1_000_000
S = 1_000 * MS
TAKEN_MS = 1_700_000_000_000
RUN = Offer("run", "1", 4, 5_000, 2, True, True)
BROKEN = Failure(code="raised", message="no", effect=Effect.MAYBE)


def task_of(number: int, shard: int = 3) -> bytes:
    return mint_task_id(shard, number.to_bytes(14, "big"))


TASK = task_of(0)


class Disk:
    """What the node's own log has on disk."""

    def __init__(self) -> None:
        self.hard = HardState(PRIVATE, 0, "")
        self.entries: list[Any] = []
        self.snapshot: Snapshot | None = None
        self.commits = 0

    def write(self, commit: Commit) -> None:
        self.commits += 1
        for record in commit.records:
            assert record.shard == PRIVATE
            match record:
                case HardState():
                    self.hard = record
                case Entries(entries=entries):
                    self.entries = [old for old in self.entries if old.index < entries[0].index] + list(
                        entries
                    )
                case Snapshot(index=index):
                    self.snapshot = record
                    self.entries = [old for old in self.entries if old.index > index]

    def recovered(self) -> list[Recovered]:
        if not self.hard.term:
            return []
        return [
            Recovered(
                shard=PRIVATE,
                term=self.hard.term,
                vote=self.hard.vote,
                snapshot=self.snapshot,
                entries=tuple(self.entries),
            )
        ]


class Room:
    """A node with an executor of its own, which the test plays, and a disk that is as quick as the test wants."""

    def __init__(self, view: View, **settings: Any) -> None:
        self.view = view
        self.disk = Disk()
        self.settings = settings
        self.now_ns = 0
        self.is_prompt = True
        self.boot()

    def boot(self) -> list[ToPeer]:
        """Another process of the node, with what is on disk."""
        breakers = Breakers(rng=random.Random(1))
        breakers.watch(*self.view.pools())
        self.replicas = Replicas(
            "n0",
            16,
            settings=ReplicasSettings(**self.settings),
            rng=random.Random(2),
            now_ns=self.now_ns,
            recovered=self.disk.recovered(),
        )
        self.apart = Apart(
            me="n0",
            view=self.view,
            replicas=self.replicas,
            dispatch=Dispatch(me="n0", view=self.view, breakers=breakers, own_room=lambda _: 4),
            epoch_ns=TAKEN_MS * MS,
        )
        return self.said(self.replicas.start)

    def said(self, do: Callable[..., object], *arguments: object) -> list[ToPeer]:
        """What is said to others when something happens, and all ticks that follow from it at once have ended."""
        out: list[NodeEffect] = []
        do(self.now_ns, *arguments, out)
        return self.flush(out)

    def flush(self, out: list[NodeEffect] | None = None) -> list[ToPeer]:
        said: list[ToPeer] = []
        pending = [] if out is None else out
        for _ in range(20):
            self.apart.compact()
            self.replicas.tick_ended(self.now_ns, pending)
            following: list[NodeEffect] = []
            for effect in pending:
                match effect:
                    case ToPeer():
                        said.append(effect)
                    case Commit() if self.is_prompt:
                        self.disk.write(effect)
                        self.replicas.flushed(self.now_ns, effect.mark, following)
                    case Committed(entries=entries):
                        self.apart.committed(self.now_ns, entries, following)
                    case Owning():
                        self.apart.opened(self.now_ns, following)
                    case Disowned():
                        self.apart.closed(self.now_ns, following)
                    case Restored(state=state):
                        self.apart.restored(state)
                    case _:
                        pass
            pending = following
        return said

    def open(self) -> None:
        assert not self.apart.takes(self.now_ns)
        self.flush()
        assert self.apart.takes(self.now_ns)

    def place(self, task: bytes = TASK, payload: bytes = b"1", **fields: Any) -> list[ToPeer]:
        values: dict[str, Any] = {"deadline_ms": 30_000, "apart": True, **fields}
        return self.said(
            self.apart.place, Place(task, "run", "", payload, values.pop("deadline_ms"), "n0", **values)
        )

    def ended(self, task: bytes = TASK, failure: Failure | None = None, attempt: int = 1) -> list[ToPeer]:
        ended = Ended(task, attempt, b"2" if failure is None else None, failure)
        return self.said(self.apart.ended, "n0", ended)

    def tick(self, after_ns: int = 300 * MS) -> list[ToPeer]:
        self.now_ns += after_ns
        return self.said(self.apart.tick)

    def entered(self, task: bytes = TASK) -> None:
        self.apart.entered(self.now_ns, task)
        self.flush()


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    room = Room(view_of(member("n0", offers=(RUN,)), member("n1", offers=())))
    room.open()
    return room


def messages(effects: list[ToPeer]) -> list[Any]:
    return [effect.message for effect in effects]


def test_nothing_starts_before_it_is_on_disk(room: Room) -> None:
    room.is_prompt = False
    assert room.place() == []
    room.boot()
    room.is_prompt = True
    room.flush()
    assert not room.apart.knows(TASK)


def test_a_task_runs_and_is_answered_as_provisional(room: Room) -> None:
    (order,) = messages(room.place(receipt=False))
    assert isinstance(order, Assign)
    assert (order.task, order.attempt, order.term) == (TASK, 1, 0)
    (outcome,) = messages(room.ended())
    assert isinstance(outcome, Settled)
    assert (outcome.payload, outcome.provisional) == (b"2", True)
    assert messages(room.place()) == [outcome]


def test_who_asks_again_is_told_that_it_is_taken_provisionally(room: Room) -> None:
    room.place()
    assert messages(room.place()) == [Taken(TASK, provisional=True)]


def test_an_outcome_is_offered_to_the_next_owner_until_that_has_it(
    room: Room, member: Callable[..., Member]
) -> None:
    room.view.learn(member("n1", offers=(), condition=Condition.SUSPECT))
    room.place()
    room.ended()
    assert room.tick() == []
    room.view.learn_owner(3, 5, "n1")
    offer = Enter(TASK, "run", "", b"", digest_of(b"1"), b"2", None, TAKEN_MS)
    assert room.tick() == [ToPeer("n1", offer)]
    assert room.tick() == []
    assert room.tick() == [ToPeer("n1", offer)]
    room.entered()
    assert room.tick(60 * S) == []
    assert not room.apart.knows(TASK)
    assert len(room.apart) == 0
    assert room.apart.counters.entered == 1


def test_while_no_owner_is_known_a_replica_is_asked_who_it_is(room: Room) -> None:
    room.place()
    room.ended()
    assert [effect.node for effect in room.tick()] == ["n1"]
    room.apart.moved("n1", Moved(TASK, 5, "n0"))
    assert [effect.node for effect in room.tick(500 * MS)] == ["n0"]


def test_a_failure_is_offered_with_what_a_retry_needs(room: Room) -> None:
    room.view.learn_owner(3, 5, "n1")
    room.place(payload=b"[1]")
    room.ended(failure=BROKEN)
    ((node, offer),) = [(effect.node, effect.message) for effect in room.tick()]
    assert node == "n1"
    assert offer == Enter(TASK, "run", "", b"[1]", 0, None, BROKEN, TAKEN_MS)


def test_a_node_that_does_not_own_the_shard_is_believed(room: Room) -> None:
    room.place()
    room.ended()
    room.view.learn_owner(3, 5, "n1")
    room.tick()
    room.apart.moved("n1", Moved(TASK, 6, "n0"))
    room.apart.moved("n1", Moved(task_of(9), 9, "n1"))  # nobody asked about that
    assert [effect.node for effect in room.tick(500 * MS)] == ["n0"]


def test_what_is_not_finished_is_not_offered(room: Room) -> None:
    room.view.learn_owner(3, 5, "n1")
    room.place()
    assert [each for each in messages(room.tick(2 * S)) if isinstance(each, Enter)] == []
    room.entered()  # a mistaken confirmation
    assert room.apart.knows(TASK)


def test_another_process_goes_on_with_what_the_last_one_took_on(
    room: Room, member: Callable[..., Member]
) -> None:
    other = task_of(1)
    room.place()
    room.place(other)
    room.ended()
    room.view.learn(member("n0", offers=(RUN,), boot=2))
    orders = [each for each in messages(room.boot()) if isinstance(each, Assign)]
    assert [(order.task, order.attempt) for order in orders] == [(other, 2)]
    room.ended(other, attempt=2)
    room.view.learn_owner(3, 5, "n1")
    offered = messages(room.tick())
    assert [(offer.task, offer.result) for offer in offered] == [(TASK, b"2"), (other, b"2")]


def test_an_outcome_that_was_entered_is_not_offered_by_the_next_process(room: Room) -> None:
    room.view.learn_owner(3, 5, "n1")
    room.place()
    room.ended()
    room.tick()
    room.entered()
    room.boot()
    assert room.tick(5 * S) == []
    assert len(room.apart) == 0


def test_a_task_that_nobody_wants_is_forgotten(room: Room) -> None:
    room.place()
    room.said(room.apart.withdraw, TASK)
    assert len(room.apart) == 0
    assert room.apart.counters.withdrawn == 1
    room.view.learn_owner(3, 5, "n1")
    assert room.tick(5 * S) == []


def test_what_expires_is_entered_as_that(room: Room) -> None:
    room.view.learn_owner(3, 5, "n1")
    room.place(deadline_ms=1_000)
    told = messages(room.tick(1_100 * MS))
    (settled,) = [each for each in told if isinstance(each, Settled)]
    assert settled.provisional
    assert settled.failure is not None
    (offer,) = [each for each in (*told, *messages(room.tick())) if isinstance(each, Enter)]
    assert offer.failure is not None
    assert (offer.failure.code, offer.failure.effect) == ("expired", Effect.MAYBE)


def test_a_full_disk_takes_nothing_on(room: Room) -> None:
    room.replicas.full("no room")
    assert not room.apart.takes(room.now_ns)
    assert room.apart.counters.refused == 2
    room.replicas.has_room()
    assert room.apart.takes(room.now_ns)


def test_a_failed_journal_takes_nothing_on_and_offers_nothing(room: Room) -> None:
    room.view.learn_owner(3, 5, "n1")
    room.place()
    room.place(task_of(1))
    room.ended()
    room.said(lambda now_ns, out: room.replicas.failed(now_ns, "checksum", out))
    assert not room.apart.takes(room.now_ns)
    assert room.tick(5 * S) == []


def test_what_is_taken_on_is_bounded(view_of: Callable[..., View], member: Callable[..., Member]) -> None:
    room = Room(view_of(member("n0", offers=()), member("n1", offers=())))
    room.open()
    out: list[NodeEffect] = []
    for number in range(MOST_ROWS):
        assert room.apart.takes(0)
        room.apart.place(0, Place(task_of(number), "run", "", b"1", 30_000, "n0", apart=True), out)
        if number % 1_000 == 999:
            room.flush(out)
            out = []
    room.flush(out)
    assert not room.apart.takes(0)


def test_its_log_does_not_grow_with_what_has_been_entered(
    view_of: Callable[..., View], member: Callable[..., Member]
) -> None:
    room = Room(view_of(member("n0", offers=(RUN,)), member("n1", offers=())), compact_bytes=20_000)
    room.open()
    room.view.learn_owner(3, 5, "n1")
    for number in range(300):
        task = task_of(number)
        room.place(task, b"[%d]" % number)
        room.ended(task)
        room.tick()
        room.entered(task)
    kept = sum(len(entry.body) for entry in room.disk.entries)
    assert room.disk.snapshot is not None
    assert kept < 30_000
    room.boot()
    assert len(room.apart) == 0


# -- who is offered when ----------------------------------------------------------------------------------


def test_outcomes_are_offered_a_few_at_a_time_in_the_order_in_which_they_came() -> None:
    entering = Entering()
    tasks = [task_of(number) for number in range(MOST_OFFERED + 10)]
    for task in tasks:
        entering.add(0, task)
        entering.add(0, task)
    offered = [task for _, task in entering.due(0, lambda _: "n1")]
    assert offered == tasks[:MOST_OFFERED]
    assert entering.due(1, lambda _: "n1") == []
    entering.drop(2, tasks[5])
    assert entering.next_deadline_ns() == 2
    assert entering.due(2, lambda _: "n1") == [("n1", tasks[MOST_OFFERED])]
    assert tasks[5] not in entering
    assert tasks[-1] in entering


def test_a_shard_without_an_owner_does_not_hold_up_the_others() -> None:
    entering = Entering()
    lost, found = task_of(1, shard=1), task_of(2, shard=2)
    owners: dict[int, str] = defaultdict(str, {2: "n2"})
    for task in (lost, found):
        entering.add(0, task)
    assert entering.due(0, lambda shard: owners[shard] or None) == [("n2", found)]
    owners[2] = ""
    owners[1] = "n1"
    assert entering.due(S, lambda shard: owners[shard] or None) == [("n1", lost)]
    owners[2] = "n3"
    assert ("n3", found) in entering.due(2 * S, lambda shard: owners[shard] or None)
    entering.clear()
    assert entering.next_deadline_ns() is None


def test_deadlines_are_never_in_the_past() -> None:
    entering = Entering()
    entering.add(7 * S, TASK)
    assert entering.next_deadline_ns() == 7 * S
    assert entering.due(7 * S, lambda _: None) == []
    deadline_ns = entering.next_deadline_ns()
    assert deadline_ns is not None
    assert deadline_ns > 7 * S
    entering.drop(7 * S, TASK)
    assert entering.next_deadline_ns() is None
