"""The log of an owner's tasks is that of each task's shard."""

from __future__ import annotations

from typing import Any

import pytest

from hubless.placement import mint_task_id
from hubless.tasks.entries import Cancelled, Submitted, decode_entry, encode_entry
from hubless.tasks.machine import Machine
from hubless.tasks.shards import ShardTasks
from hubless.wire.replication import Entry


def task_of(shard: int) -> bytes:
    return mint_task_id(shard, bytes(14))


def submitted(shard: int) -> Submitted:
    return Submitted(task_of(shard), "echo", "", b"1", 1, 1_000, 2)


class Replicas:
    def __init__(self) -> None:
        self.proposed: list[tuple[int, bytes]] = []
        self.is_open = True
        self.large: tuple[int, ...] = ()
        self.compacted: dict[int, bytes] = {}

    def propose(self, now_ns: int, shard: int, body: bytes) -> bool:
        self.proposed.append((shard, body))
        return self.is_open

    def wants_compaction(self) -> tuple[int, ...]:
        return self.large

    def compact(self, shard: int, state: bytes) -> None:
        self.compacted[shard] = state


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


@pytest.fixture
def tasks(replicas: Any) -> ShardTasks:
    return ShardTasks(replicas)


def commit(tasks: ShardTasks, shard: int, *bodies: bytes) -> list[Any]:
    return tasks.committed(shard, tuple(Entry(place, 1, 1, body) for place, body in enumerate(bodies)))


def test_only_the_owner_of_a_shard_proposes(tasks: ShardTasks, replicas: Replicas) -> None:
    entry = submitted(3)
    assert not tasks.propose(0, entry.task, entry)
    assert (replicas.proposed, tasks.term(entry.task)) == ([], 0)
    assert tasks.owning(3, 7) == []
    assert tasks.propose(0, entry.task, entry)
    ((shard, body),) = replicas.proposed
    assert (shard, decode_entry(body), tasks.term(entry.task)) == (3, entry, 7)
    replicas.is_open = False
    assert not tasks.propose(0, entry.task, entry)
    tasks.disowned(3)
    assert not tasks.propose(0, entry.task, entry)
    assert len(replicas.proposed) == 2


def test_what_is_proposed_changes_nothing_until_it_is_committed(tasks: ShardTasks) -> None:
    tasks.owning(3, 1)
    tasks.propose(0, task_of(3), submitted(3))
    assert tasks.row(task_of(3)) is None
    ((entry, row),) = commit(tasks, 3, encode_entry(submitted(3)))
    assert entry == submitted(3)
    assert row is tasks.row(task_of(3))


def test_shards_do_not_know_one_another(tasks: ShardTasks) -> None:
    commit(tasks, 3, encode_entry(submitted(3)))
    commit(tasks, 4, encode_entry(submitted(4)))
    assert [row.task for row in tasks.owning(3, 1)] == [task_of(3)]
    assert [shard for shard, _ in tasks.owned_machines()] == [3]
    assert (tasks.owns(3), tasks.owns(4), dict(tasks.owned)) == (True, False, {3: 1})


def test_what_does_not_fit_is_told_as_such_and_what_is_unknown_is_not(tasks: ShardTasks) -> None:
    changes = commit(tasks, 3, encode_entry(Cancelled(task_of(3), 1)), b"\xc1", encode_entry(submitted(3)))
    assert [(type(entry), row is None) for entry, row in changes] == [(Cancelled, True), (Submitted, False)]


def test_the_log_s_own_entries_change_no_task(tasks: ShardTasks) -> None:
    body = encode_entry(submitted(3))
    assert tasks.committed(3, (Entry(1, 1, 0, body), Entry(2, 1, 2, body))) == []
    assert tasks.row(task_of(3)) is None


def test_snapshots_replace_what_was_there(tasks: ShardTasks) -> None:
    commit(tasks, 3, encode_entry(submitted(3)))
    tasks.restored(3, Machine().state())
    assert tasks.row(task_of(3)) is None
    with pytest.raises(ValueError, match="snapshot"):
        tasks.restored(3, b"?")


def test_a_log_that_grew_too_long_starts_from_the_machine_s_state(
    tasks: ShardTasks, replicas: Replicas
) -> None:
    commit(tasks, 3, encode_entry(submitted(3)))
    tasks.compact()
    assert replicas.compacted == {}
    replicas.large = (3, 4)
    tasks.compact()
    assert list(Machine.from_state(replicas.compacted[3]).rows) == [task_of(3)]
    assert list(Machine.from_state(replicas.compacted[4]).rows) == []


def test_a_replica_that_goes_takes_its_tasks_along(tasks: ShardTasks) -> None:
    commit(tasks, 3, encode_entry(submitted(3)))
    tasks.forgotten(3)
    tasks.forgotten(3)
    assert (tasks.row(task_of(3)), tasks.machine(3)) == (None, None)
