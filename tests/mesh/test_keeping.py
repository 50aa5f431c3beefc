"""What a node keeps: placements find their owners, logs are followed, ownership is made known."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hubless.effects import Log, NodeEffect, ToPeer
from hubless.guard import Breakers
from hubless.keeping import Keeping
from hubless.placement import MAX_HOPS, mint_task_id
from hubless.shard.events import (
    Committed,
    Disowned,
    Flushed,
    Forgotten,
    JournalFailed,
    JournalFull,
    JournalHasRoom,
    Owning,
    ReadReady,
    Restored,
)
from hubless.tasks import Dispatch
from hubless.tasks.entries import Submitted, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.row import State
from hubless.view import View
from hubless.wire import Assign, Ended, Moved, OwnedBy, Owns, Place, Settled, Taken
from hubless.wire.replication import Config, Entry
from hubless_gossip import Condition, Member

TASK = mint_task_id(3, bytes(14))
OTHER = mint_task_id(4, bytes(14))


class Replicas:
    """What is proposed is kept until the test says that it is committed."""

    def __init__(self) -> None:
        self.proposed: list[tuple[int, bytes]] = []
        self.owners: dict[int, tuple[str, int]] = {}
        self.is_full = False
        self.is_open = True
        self.large: tuple[int, ...] = ()
        self.compacted: list[tuple[int, bytes]] = []
        self.heard: list[object] = []
        self.configs: list[Config] = []
        self.counters = object()

    def owner(self, shard: int) -> tuple[str, int] | None:
        return self.owners.get(shard)

    def propose(self, now_ns: int, shard: int, body: bytes) -> bool:
        if self.is_open:
            self.proposed.append((shard, body))
        return self.is_open

    def read(self, now_ns: int, shard: int, ticket: int, out: list[NodeEffect]) -> None:
        self.heard.append(("read", shard, ticket))

    def wants_compaction(self) -> tuple[int, ...]:
        return self.large

    def compact(self, shard: int, state: bytes) -> None:
        self.compacted.append((shard, state))

    def conditions_changed(self, now_ns: int, **conditions: object) -> None:
        self.heard.append(conditions)

    def flushed(self, now_ns: int, mark: int, out: list[NodeEffect]) -> None:
        self.heard.append(("flushed", mark))

    def distrust(self, now_ns: int, shard: int, problem: str, out: list[NodeEffect]) -> None:
        self.heard.append(("distrust", shard))

    def failed(self, now_ns: int, problem: str, out: list[NodeEffect]) -> None:
        self.heard.append(("failed", problem))

    def full(self, *_: object) -> None:
        self.is_full = True

    def has_room(self) -> None:
        self.is_full = False

    def rows(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(config=config) for config in self.configs]

    def tick(self, now_ns: int, out: list[NodeEffect]) -> None: ...

    def tick_ended(self, now_ns: int, out: list[NodeEffect]) -> None: ...

    def start(self, now_ns: int, out: list[NodeEffect]) -> None: ...

    def receive(self, now_ns: int, node: str, message: object, out: list[NodeEffect]) -> None:
        self.heard.append((node, message))

    def next_deadline_ns(self) -> int | None:
        return None


class Room:
    """What n0 keeps in a mesh of n0 to n3; n0 runs no agents."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.replicas = Replicas()
        breakers = Breakers(rng=random.Random(1))
        breakers.watch(*view.pools())
        self.keeping = Keeping(
            me="n0",
            view=view,
            replicas=self.replicas,  # type: ignore[arg-type]
            dispatch=Dispatch(me="n0", view=view, breakers=breakers),
            epoch_ns=0,
        )
        self.index = 0

    def said(self, effect: object) -> list[tuple[str, object]]:
        """What is sent when the replicas say something."""
        out: list[NodeEffect] = []
        self.keeping.replicas_said(0, effect, out)  # type: ignore[arg-type]
        return sent(out)

    def place(self, task: bytes = TASK, **fields: Any) -> list[tuple[str, object]]:
        out: list[NodeEffect] = []
        place = {"deadline_ms": 30_000, "gateway": "n1", **fields}
        self.keeping.place(0, Place(task, "echo", "", b"1", **place), out)
        return sent(out)

    def own(self, shard: int = 3, term: int = 1) -> list[tuple[str, object]]:
        return self.said(Owning(shard, term))

    def commit(self, *bodies: bytes, shard: int = 3) -> list[tuple[str, object]]:
        entries = tuple(Entry(self.index + place, 1, 1, body) for place, body in enumerate(bodies))
        self.index += len(bodies)
        return self.said(Committed(shard, entries))

    def commit_all(self) -> list[tuple[str, object]]:
        """Everything that was proposed is committed."""
        proposed, self.replicas.proposed = self.replicas.proposed, []
        return [effect for shard, body in proposed for effect in self.commit(body, shard=shard)]

    def end_tick(self) -> tuple[list[tuple[str, object]], frozenset[int]]:
        out: list[NodeEffect] = []
        news = self.keeping.tick_ended(0, out)
        return sent(out), news


def sent(effects: list[NodeEffect]) -> list[tuple[str, object]]:
    return [(effect.node, effect.message) for effect in effects if isinstance(effect, ToPeer)]


def submitted(task: bytes = TASK, executor: str = "") -> bytes:
    return encode_entry(Submitted(task, "echo", "", b"1", 0, 30_000, 2, executor))


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0", offers=()), member("n1"), member("n2"), member("n3")))


# -- placements ---------------------------------------------------------------------------------------


def test_a_task_of_an_owned_shard_is_owned(room: Room) -> None:
    room.own()
    assert room.place(receipt=True) == []
    taken, (executor, order) = room.commit_all()
    assert taken == ("n1", Taken(TASK))
    assert isinstance(order, Assign)
    assert order.term == 1
    out: list[NodeEffect] = []
    room.keeping.owner.ended(0, executor, Ended(TASK, 1, b"2", None), out)
    assert room.commit_all() == [("n1", Settled(TASK, b"2", None, executor, 1))]


def test_a_task_of_another_s_shard_is_handed_on(room: Room) -> None:
    room.view.learn_owner(3, 4, "n2")
    ((node, place),) = room.place(receipt=True)
    assert node == "n2"
    assert isinstance(place, Place)
    assert (place.trail, place.receipt, place.gateway) == (("n0",), True, "n1")


def test_this_node_s_own_gateway_places_it_itself(room: Room) -> None:
    room.view.learn_owner(3, 4, "n2")
    assert room.place(gateway="n0") == [("n0", Moved(TASK, 4, "n2"))]


def test_when_nobody_is_known_to_own_the_shard_the_gateway_hears_so(room: Room) -> None:
    assert room.place() == [("n1", Moved(TASK, 0, ""))]
    room.view.learn_owner(3, 4, "n0")
    assert room.place() == [("n1", Moved(TASK, 0, ""))], "this node is not it any more, or not yet"


def test_who_is_asked_for_an_owner_says_what_it_knows(room: Room) -> None:
    def answer() -> list[tuple[str, object]]:
        out: list[NodeEffect] = []
        room.keeping.whose("n1", 3, out)
        return sent(out)

    assert answer() == [("n1", OwnedBy(3, 0, ""))]
    room.view.learn_owner(3, 4, "n2")
    assert answer() == [("n1", OwnedBy(3, 4, "n2"))]
    room.replicas.owners[3] = ("n3", 5)
    assert answer() == [("n1", OwnedBy(3, 5, "n3"))]
    room.own(term=6)
    assert answer() == [("n1", OwnedBy(3, 6, "n0"))]


@pytest.mark.parametrize("trail", [("n0",), tuple(f"m{number}" for number in range(MAX_HOPS))])
def test_a_task_that_went_in_a_circle_or_too_far_goes_back_to_its_gateway(
    room: Room, trail: tuple[str, ...]
) -> None:
    room.view.learn_owner(3, 4, "n2")
    assert room.place(trail=trail) == [("n1", Moved(TASK, 4, "n2"))]


def test_the_replica_here_may_know_the_owner_before_it_has_said_so(room: Room) -> None:
    room.view.learn_owner(3, 4, "n2")
    room.replicas.owners[3] = ("n3", 5)
    assert [node for node, _ in room.place()] == ["n3"]
    assert room.place(gateway="n0") == [("n0", Moved(TASK, 5, "n3"))]
    assert room.view.learn_owner(3, 5, "n3"), "for the gateway it is news: other tasks wait for it, too"


@pytest.mark.parametrize("known", [("n3", 4), ("n3", 3), ("n0", 5)])
def test_nor_is_it_asked_when_it_knows_less(room: Room, known: tuple[str, int]) -> None:
    room.view.learn_owner(3, 4, "n2")
    room.replicas.owners[3] = known
    assert [node for node, _ in room.place()] == ["n2" if known[1] <= 4 else "n1"]


def test_on_a_full_disk_only_what_is_kept_already_is_recognised(room: Room) -> None:
    room.own()
    room.place()
    room.commit_all()
    out: list[NodeEffect] = []
    room.keeping.journal(0, JournalFull("no space left"), out)
    assert [effect.level for effect in out if isinstance(effect, Log)] == ["error"]
    assert room.place() == [("n1", Taken(TASK))]
    ((_, told),) = room.place(mint_task_id(3, b"x" * 14))
    assert isinstance(told, Settled)
    assert told.failure is not None
    assert (told.failure.code, bool(told.failure.retry_after_ms)) == ("overloaded", True)
    room.keeping.journal(0, JournalHasRoom(), out)
    assert room.place(mint_task_id(3, b"x" * 14)) == []
    assert len(room.replicas.proposed) == 1


# -- logs ---------------------------------------------------------------------------------------------


def test_a_replica_follows_its_log_and_says_nothing(room: Room) -> None:
    assert room.commit(submitted(executor="n1/1")) == []
    row = room.keeping.row(TASK)
    assert row is not None
    assert row.state is State.RUNNING
    assert not room.keeping.owns(TASK)


def test_who_comes_to_own_a_shard_goes_on_with_what_runs(room: Room) -> None:
    room.commit(submitted(executor="n1/1"))
    ((node, order),) = room.own(term=7)
    assert node == "n1"
    assert isinstance(order, Assign)
    assert (order.attempt, order.term) == (1, 7)
    assert room.keeping.owned == (3,)


def test_who_lost_a_shard_follows_it_and_decides_nothing(room: Room) -> None:
    room.own()
    room.place(receipt=True)
    room.said(Disowned(3))
    assert room.commit_all() == [], "its successor tells"
    assert room.keeping.row(TASK) is not None
    assert (len(room.keeping.owner), room.keeping.owned) == (0, ())
    assert room.place() == [("n1", Moved(TASK, 0, ""))]


def test_entries_of_the_log_s_own_are_not_the_machine_s(room: Room) -> None:
    body = submitted()
    entries = (Entry(1, 1, 0, b""), Entry(2, 1, 2, b"config"), Entry(3, 1, 1, body), Entry(4, 1, 1, b"\xc1"))
    room.own()
    assert room.said(Committed(3, entries)) == []
    assert room.keeping.row(TASK) is not None


def test_a_machine_starts_anew_from_a_snapshot_and_goes_with_its_replica(room: Room) -> None:
    machine = Machine()
    machine.apply(submitted(executor="n1/1"))
    room.said(Restored(3, machine.state()))
    row = room.keeping.row(TASK)
    assert row is not None
    assert row.executor == "n1/1"
    room.said(Forgotten(3))
    assert room.keeping.row(TASK) is None


def test_a_state_that_cannot_be_read_costs_the_replica_and_nothing_else(room: Room) -> None:
    out: list[NodeEffect] = []
    room.keeping.replicas_said(0, Restored(3, b"of a later release"), out)
    (told,) = out
    assert isinstance(told, Log)
    assert told.level == "error"
    assert "shard 3" in told.text
    assert room.replicas.heard == [("distrust", 3)]


def test_a_log_that_has_grown_too_long_starts_from_its_machine(room: Room) -> None:
    room.commit(submitted(executor="n1/1"))
    room.replicas.large = (3,)
    room.end_tick()
    ((shard, state),) = room.replicas.compacted
    assert shard == 3
    assert list(Machine.from_state(state).rows) == [TASK]


def test_a_failed_journal_is_told_to_people(room: Room) -> None:
    out: list[NodeEffect] = []
    room.keeping.journal(0, Flushed(7), out)
    assert out == []
    room.keeping.journal(0, JournalFailed("bad checksum"), out)
    (log,) = out
    assert isinstance(log, Log)
    assert (log.level, "bad checksum" in log.text) == ("error", True)
    assert room.replicas.heard == [("flushed", 7), ("failed", "bad checksum")]


# -- making it known ----------------------------------------------------------------------------------


def test_everybody_present_hears_of_new_ownerships_once(room: Room, member: Callable[..., Member]) -> None:
    room.view.learn(member("n3", condition=Condition.DEAD))
    room.own(3, 5)
    room.own(4, 6)
    told, news = room.end_tick()
    assert told == [(node, Owns(((3, 5), (4, 6)))) for node in ("n1", "n2")]
    assert news == {3, 4}
    assert room.end_tick() == ([], frozenset())


def test_what_was_lost_within_the_tick_is_not_told(room: Room) -> None:
    room.own()
    room.said(Disowned(3))
    assert room.end_tick() == ([], frozenset())


def test_newcomers_hear_of_all(room: Room) -> None:
    room.own(3, 5)
    room.end_tick()
    room.keeping.met("n2")
    room.own(4, 6)
    told, _ = room.end_tick()
    assert dict(told) == {"n1": Owns(((4, 6),)), "n3": Owns(((4, 6),)), "n2": Owns(((3, 5), (4, 6)))}


def test_this_node_knows_what_it_owns(room: Room) -> None:
    room.own(3, 5)
    assert (room.view.owner_of_shard(3), room.view.term_of_shard(3)) == ("n0", 5)


def test_the_replicas_hear_who_is_well(room: Room, member: Callable[..., Member]) -> None:
    room.view.learn(member("n1", condition=Condition.SUSPECT))
    room.view.learn(member("n2", condition=Condition.DEAD))
    room.view.learn(member("n3", weight=0))
    room.keeping.conditions_changed(0)
    (heard,) = room.replicas.heard
    assert isinstance(heard, dict)
    assert (heard["well"], heard["doubtful"], heard["gone"]) == ({"n0", "n3"}, {"n1"}, {"n2"})
    assert heard["draining"] == {"n3"}


def test_replicas_are_handed_over_while_there_is_somebody_to_take_them(
    room: Room, member: Callable[..., Member]
) -> None:
    room.replicas.configs = [Config(("n0", "n1")), Config(("n1",), ("n0",)), Config(("n1",), (), ("n0",))]
    assert room.keeping.to_hand_over == 2
    for node in ("n1", "n2", "n3"):
        room.view.learn(member(node, condition=Condition.DEAD))
    assert room.keeping.to_hand_over == 0


def test_a_read_is_answered_under_its_number(room: Room) -> None:
    told: list[tuple[int, bool]] = []
    room.keeping.on_read = lambda ticket, is_owner, out: told.append((ticket, is_owner))
    tickets = [room.keeping.read(0, TASK, []), room.keeping.read(0, OTHER, [])]
    assert room.replicas.heard == [("read", 3, tickets[0]), ("read", 4, tickets[1])]
    room.said(ReadReady(4, tickets[1], is_owner=False))
    room.said(ReadReady(3, tickets[0], is_owner=True))
    assert told == [(tickets[1], False), (tickets[0], True)]
