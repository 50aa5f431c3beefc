"""The audit of replicas: it accepts what a sound shard does, and names what an unsound one does."""

import pytest

from hubless.effects import ToPeer
from hubless.shard import configs
from hubless.shard.records import Entries, Forget, HardState, Record, Recovered, Snapshot
from hubless.wire.replication import (
    Append,
    Appended,
    AskVote,
    Config,
    Entry,
    Install,
    RaftMessage,
    TimeoutNow,
    Vote,
)
from hubless_sim.shards.audit import Audit, has_majority
from hubless_sim.world.disk import Contents

TRIO = Config(("n0", "n1", "n2"))
FOUNDING = Entry(1, 1, configs.CONFIG, configs.encode(TRIO))


def put(index: int, term: int, body: bytes = b"x") -> Entry:
    return Entry(index, term, 1, body)


class Scene:
    """Three machines whose disks hold what was written to them."""

    def __init__(self) -> None:
        self.disks = [Contents() for _ in range(3)]
        self.audit = Audit(
            disk_of=self.disks.__getitem__, name_of=lambda index: f"n{index}", clock=lambda: 7, nodes=3
        )

    @property
    def found(self) -> list[str]:
        """What the audit found wrong."""
        return [violation.text for violation in self.audit.violations]

    def write(self, node: int, *records: Record) -> None:
        """On the disk at once."""
        self.audit.wrote(node, records)
        self.disks[node].apply(records)

    def say(self, node: int, to: str, message: RaftMessage) -> None:
        self.audit.said(node, f"n{node}", ToPeer(to, message))

    def logs(self, *nodes: int, entries: tuple[Entry, ...]) -> None:
        for node in nodes:
            self.write(node, HardState(0, entries[-1].term, ""), Entries(0, entries))


def test_a_sound_shard_is_accepted() -> None:
    scene = Scene()
    scene.write(0, HardState(0, 1, "n0"))
    scene.write(1, HardState(0, 1, "n0"))
    scene.say(0, "n1", AskVote(0, 1, 0, 0))
    scene.say(1, "n0", Vote(0, 1, granted=True))
    scene.say(1, "n0", Vote(0, 1, granted=True))
    scene.say(0, "n1", Append(0, 1, 0, 0, 0, (FOUNDING, put(2, 1))))
    scene.logs(0, 1, entries=(FOUNDING, put(2, 1)))
    scene.say(1, "n0", Appended(0, 1, 2))
    scene.audit.owns(0, "n0", 0, 1)
    for node in (0, 1):
        scene.audit.committed(node, 0, (FOUNDING, put(2, 1)))
    scene.write(1, Snapshot(0, 2, 1, TRIO, b"state"))
    scene.say(0, "n2", Install(0, 1, 2, 1, TRIO, 0, 5, b"state"))
    scene.write(2, Snapshot(0, 2, 1, TRIO, b"state", keeps_log=False))
    scene.say(0, "n2", TimeoutNow(0, 1))
    scene.write(2, HardState(0, 2, "n2"))
    scene.audit.owns(2, "n2", 0, 2)
    assert scene.found == []
    assert (scene.audit.elections, scene.audit.commits) == (2, 2)
    assert scene.audit.config(0) == TRIO


def test_two_owners_in_one_term() -> None:
    scene = Scene()
    scene.say(0, "n1", Append(0, 3, 0, 0, 0))
    scene.say(2, "n1", Append(0, 3, 0, 0, 0))
    assert "n0 and n2 both own shard 0 in term 3" in scene.found[0]


def test_two_votes_in_one_term_even_over_a_restart() -> None:
    scene = Scene()
    scene.write(1, HardState(0, 3, "n0"))
    scene.say(1, "n0", Vote(0, 3, granted=True))
    scene.audit.born(1, (Recovered(shard=0, term=3),))
    scene.write(1, HardState(0, 3, "n2"))
    scene.say(1, "n2", Vote(0, 3, granted=True))
    assert scene.found == ["n1 voted for n0 and for n2 in term 3 of shard 0"]


@pytest.mark.parametrize(
    ("message", "promised"),
    [
        (Vote(0, 3, granted=True), "voted"),
        (AskVote(0, 3, 0, 0), "voted"),
        (Appended(0, 3, 2), "acknowledged 2"),
    ],
)
def test_a_promise_that_is_not_on_the_disk(message: RaftMessage, promised: str) -> None:
    scene = Scene()
    scene.audit.wrote(1, (HardState(0, 3, "n0"), Entries(0, (FOUNDING, put(2, 3)))))
    scene.say(1, "n0", message)
    assert promised in scene.found[0]


@pytest.mark.parametrize(
    "message",
    [
        Vote(0, 3, granted=True, trial=True),
        AskVote(0, 3, 0, 0, trial=True),
        Vote(0, 3, granted=False),
        Appended(0, 3, 2, refused=True),
    ],
)
def test_what_promises_nothing_needs_no_disk(message: RaftMessage) -> None:
    scene = Scene()
    scene.say(1, "n0", message)
    assert scene.found == []


def test_one_index_and_term_with_two_values_or_two_predecessors() -> None:
    scene = Scene()
    scene.logs(0, entries=(FOUNDING, put(2, 1), put(3, 2)))
    scene.logs(1, entries=(FOUNDING, put(2, 1, b"other")))
    assert "entry 2 of term 1" in scene.found[0]
    scene.logs(2, entries=(FOUNDING, put(2, 2), put(3, 2)))
    assert "entry 3 of term 2" in scene.found[1]


def test_two_values_committed_at_one_index() -> None:
    scene = Scene()
    scene.logs(0, 1, entries=(FOUNDING, put(2, 1)))
    scene.audit.committed(0, 0, (FOUNDING, put(2, 1)))
    scene.audit.committed(1, 0, (FOUNDING, put(2, 2)))
    assert "two values are committed at 2" in scene.found[0]


def test_an_owner_without_what_was_committed_before() -> None:
    scene = Scene()
    scene.logs(0, 1, entries=(FOUNDING, put(2, 1)))
    scene.audit.committed(0, 0, (FOUNDING, put(2, 1)))
    scene.logs(2, entries=(FOUNDING,))
    scene.audit.owns(2, "n2", 0, 2)
    assert "n2 owns shard 0 in term 2 without the entry 2 of term 1" in scene.found[0]


@pytest.mark.parametrize(("holders", "is_sound"), [((0,), False), ((0, 2), True), ((0, 1, 2), True)])
def test_a_commit_is_on_the_disks_of_a_quorum(holders: tuple[int, ...], is_sound: bool) -> None:
    scene = Scene()
    scene.audit.wrote(0, (Entries(0, (FOUNDING, put(2, 1))),))
    for node in holders:
        scene.disks[node].apply((Entries(0, (FOUNDING, put(2, 1))),))
    scene.audit.committed(0, 0, (FOUNDING,))
    assert (scene.found == []) is is_sound


def test_a_machine_is_handed_every_entry_once_and_in_order() -> None:
    scene = Scene()
    scene.logs(0, 1, entries=(FOUNDING, put(2, 1), put(3, 1)))
    scene.audit.committed(0, 0, (FOUNDING, put(2, 1)))
    scene.audit.committed(0, 0, (put(2, 1),))
    assert "n0 was handed 2 of shard 0 after 2" in scene.found[0]
    scene.audit.restored(0, 0)
    scene.audit.committed(0, 0, (put(3, 1),))
    assert len(scene.found) == 1


def test_a_forgotten_replica_may_come_back_with_nothing() -> None:
    scene = Scene()
    scene.logs(0, 1, 2, entries=(FOUNDING, put(2, 1)))
    scene.audit.committed(2, 0, (FOUNDING, put(2, 1)))
    scene.write(2, Forget(0))
    scene.write(2, Entries(0, (FOUNDING,)))
    scene.audit.committed(2, 0, (FOUNDING,))
    assert scene.found == []
    assert scene.audit.last_entry(2, 0) == (1, 1)
    assert scene.audit.latest_config(2, 0) == TRIO


def test_what_is_wrong_is_said_a_bounded_number_of_times() -> None:
    scene = Scene()
    for term in range(100):
        for node in (0, 1):
            scene.say(node, "n2", Append(0, term, 0, 0, 0))
    assert len(scene.found) == 20


@pytest.mark.parametrize(
    ("config", "holders", "is_majority"),
    [
        (TRIO, {"n0", "n1"}, True),
        (TRIO, {"n0"}, False),
        (Config(("n0", "n1"), ("n2", "n3", "n4")), {"n0", "n1", "n2"}, False),
        (Config(("n0", "n1"), ("n2", "n3", "n4")), {"n0", "n1", "n2", "n4"}, True),
        (Config(("n0", "n1")), {"n0"}, False),
    ],
)
def test_a_majority_is_one_of_both_halves(config: Config, holders: set[str], is_majority: bool) -> None:
    assert has_majority(config, holders) is is_majority
