"""What a gateway refuses, and what it says then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gateway_room import Room, answer, places, task_of

from hubless.guard import Admission
from hubless.guard.admission import AdmissionConfig
from hubless.meta import Meta, pack_meta
from hubless.placement import shard_of_key
from hubless.view import View
from hubless.wire import Durability
from hubless_agents import Effect
from hubless_gossip import Address, Member


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


def test_what_is_set_aside_wherever_it_runs_is_not_unknown(room: Room, member: Callable[..., Member]) -> None:
    described = Meta("two", Address("127.0.0.1", 20_002), "", 1, (), aside=("fragile",))
    room.view.learn(member("n2", meta=pack_meta(described)))
    told = answer(room.submit(task_of(1), agent="fragile"))
    assert told.failure is not None
    assert (told.failure.code, told.failure.effect, told.failure.retry_after_ms) == (
        "quarantined",
        Effect.NONE,
        5_000,
    )
    assert "two (n2)" in told.failure.message


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
