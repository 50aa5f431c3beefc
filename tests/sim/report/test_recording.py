"""A recording has every packet with its fate, and how everybody fared; the run is the one that it is without."""

from collections import Counter

import pytest

from hubless_sim.faults import Bandwidth, Loss, Pause, SizeLimit, SlowNode, Starve
from hubless_sim.play import open_run, play
from hubless_sim.report import Recording, html, looks, record, text
from hubless_sim.report import recording as recording_module
from hubless_sim.report.recording import NEVER, Spell
from hubless_sim.search.swarms import SWARMS
from hubless_sim.shards.run import ShardRun
from hubless_sim.tapes.tape import Tape
from hubless_sim.world.hosts import Delivered

MS = 1_000_000


@pytest.mark.parametrize("system", ["gossip", "shards", "mesh"])
def test_a_run_that_is_recorded_is_the_same_run(system: str) -> None:
    tape = SWARMS[system](2)
    assert record(tape).result == play(tape)


def test_every_packet_is_recorded_once(gossip: Recording) -> None:
    assert sum(not copy.again for copy in gossip.copies) == gossip.result.messages
    sent_lost = sum(copy.drop in ("cut", "lost") for copy in gossip.copies)
    assert sent_lost == gossip.result.lost > 0
    places = [(copy.source, copy.target, copy.nth) for copy in gossip.copies if not copy.again]
    assert len(places) == len(set(places))


def test_a_delivery_is_the_packet_that_its_cause_sent(gossip: Recording) -> None:
    delivered = [event for event in gossip.events if isinstance(event.what, Delivered)]
    assert delivered
    for event in delivered:
        copy = gossip.copies[event.copy]
        cause = gossip.events[copy.cause]
        assert (copy.packet, copy.source) == (event.what.packet, event.what.source)  # type: ignore[union-attr]
        assert copy.effect == event.number
        assert copy.number in cause.sent
        assert (cause.node, cause.at_ns) == (copy.source, copy.sent_ns)
        assert copy.sent_ns < copy.arrived_ns <= event.at_ns  # type: ignore[operator]


def test_what_does_not_arrive_has_a_reason(gossip: Recording) -> None:
    for copy in gossip.copies:
        is_cut = (copy.source in (0, 1)) != (copy.target in (0, 1)) and 3_000 <= copy.sent_ns / MS < 4_000
        assert (copy.drop == "cut") == is_cut
        if copy.drop == "nobody there":
            assert copy.target == 4
        if copy.drop is None and copy.effect == NEVER:
            assert copy.arrived_ns is None
            assert copy.sent_ns > gossip.end_ns - 10 * MS
    assert {copy.drop for copy in gossip.copies} == {None, "cut", "nobody there"}


def test_spells_say_how_a_node_fared(gossip: Recording) -> None:
    assert [each for each in gossip.spells if each.node == 4][1:] == [
        Spell(4, "running", 40 * MS, 1_000 * MS),
        Spell(4, "down", 1_000 * MS, 4_500 * MS),
        Spell(4, "running", 4_500 * MS, gossip.end_ns),
    ]
    assert Spell(3, "blocked", 1_500 * MS, 2_000 * MS) in gossip.spells


def test_slow_and_held_nodes_are_told_apart() -> None:
    faults = (
        SlowNode(at_ms=500, until_ms=700, nodes=("n0",), factor=20),
        Starve(at_ms=800, until_ms=900, nodes=("n1",), blocks="messages"),
    )
    recording = record(Tape(seed=1, nodes=3, duration_ms=1_000, faults=faults))
    odd = [each for each in recording.spells if each.condition not in ("running", "down")]
    assert odd == [Spell(0, "slow", 500 * MS, 700 * MS), Spell(1, "held", 800 * MS, 900 * MS)]


def test_a_crash_takes_what_waits_in_the_inbox() -> None:
    faults = (Pause(at_ms=500, nodes=("n1",)),)
    paused = record(Tape(seed=1, nodes=3, duration_ms=1_000, faults=faults))
    waiting = [copy for copy in paused.copies if copy.arrived_ns is not None and copy.effect == NEVER]
    assert {(copy.target, copy.drop) for copy in waiting} == {(1, None)}


def test_loss_and_a_full_line_are_told_apart() -> None:
    faults = (Loss(at_ms=0, rate=0.5, sources=("n0",)), Bandwidth(at_ms=0, bytes_per_s=40, sources=("n1",)))
    recording = record(Tape(seed=1, nodes=3, duration_ms=5_000, faults=faults))
    drops = Counter((copy.source, copy.drop) for copy in recording.copies if copy.drop)
    assert set(drops) == {(0, "lost"), (1, "line full")}


def test_what_is_too_large_is_told_apart_in_pictures_and_counted() -> None:
    tape = Tape(
        seed=1, nodes=3, duration_ms=1_000, faults=(SizeLimit(at_ms=0, most_bytes=60, sources=("n1",)),)
    )
    recording = record(tape)
    drops = Counter((copy.source, copy.drop) for copy in recording.copies if copy.drop)
    assert set(drops) == {(1, "too large")}
    assert recording.result.too_large == recording.result.lost == drops[1, "too large"]
    assert "too large" in text(recording)
    assert '"too large"' in html(recording)


def test_garbled_packets_are_marked_and_kept_as_they_were_sent(mesh: Recording) -> None:
    garbled = [copy for copy in mesh.copies if copy.is_garbled and copy.effect != NEVER]
    assert garbled
    for copy in garbled:
        assert mesh.events[copy.effect].what.packet != copy.packet  # type: ignore[union-attr]
        assert 3_500 <= copy.sent_ns / MS < 4_500


def test_layers_are_in_force_from_their_fault_to_its_end(gossip: Recording) -> None:
    cuts = [each for each in gossip.layers if each.layer.cut]
    assert [(each.from_ns, each.until_ns) for each in cuts] == [(3_000 * MS, 4_000 * MS)] * 2


def test_beliefs_are_those_that_the_cores_end_with(gossip: Recording) -> None:
    held = {(each.observer, each.subject): each.condition for each in gossip.looks.beliefs}
    run = open_run(gossip.tape)
    run.finish()
    views = run.found()["views"]
    alive = {
        (int(a[1:]), int(b[1:])) for a, view in views.items() for b, told in view.items() if told == "alive"
    }
    assert {pair for pair, condition in held.items() if condition == 0} == alive


def test_owners_of_all_shards_are_seen(mesh: Recording, dead: Recording) -> None:
    last = {each.shard: each.owners for each in mesh.looks.ownerships}
    assert sorted(last) == [0, 1, 2, 3]
    assert all(len(owners) == 1 for owners in last.values())
    assert dead.looks.ownerships
    assert not dead.looks.has_members


def test_owners_are_looked_up_when_something_has_just_been_broken(
    monkeypatch: pytest.MonkeyPatch, dead: Recording
) -> None:
    """Otherwise the picture has those of a moment before, and not the two that broke it."""
    monkeypatch.setattr(looks, "_LEAST_PAUSE_NS", 3_600_000 * MS)
    assert [each.at_ns for each in record(dead.tape).looks.ownerships] == []
    monkeypatch.setattr(ShardRun, "noticed", lambda run: int(run.world.now_ns >= 400 * MS))
    (seen,) = (each for each in record(dead.tape).looks.ownerships if each.owners)
    assert 300 * MS < seen.at_ns < 500 * MS
    assert seen.at_ns in {event.at_ns for event in dead.events}


def test_what_comes_after_the_bound_is_counted(monkeypatch: pytest.MonkeyPatch, gossip: Recording) -> None:
    monkeypatch.setattr(recording_module, "MOST_EVENTS", 1_000)
    short = record(gossip.tape)
    assert short.result == gossip.result
    assert len(short.events) + len(short.copies) == 1_000
    assert short.left_out == len(gossip.events) + len(gossip.copies) - 1_000
    assert f'"recorded":{short.left_out}' in html(short)
