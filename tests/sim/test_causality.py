"""Removing a fault from a tape leaves every message outside its causal future as it was.

A tape is played with a fault and without it. On each node the first event that differs must have a cause: the fault
acts on that very node or link, or a packet has come, or a link has told of a peer, that had differed before.
"""

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubless_sim.faults import (
    Bandwidth,
    Crash,
    Fault,
    Isolate,
    Lasting,
    Latency,
    Restart,
    RingPartition,
    index_of,
    indices,
    named,
)
from hubless_sim.report.recording import Event, Recording, record
from hubless_sim.search.swarms import SWARMS
from hubless_sim.tapes.operations import Opinion
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Conditions, Disks, Monitored, Tape, replace
from hubless_sim.world.chance import draw, stream
from hubless_sim.world.hosts import Delivered, LinkDown, LinkRefused, LinkUp
from hubless_sim.world.network import Network

MS = 1_000_000
LINE_FULL_NS = 1_000 * MS


class Reach(NamedTuple):
    """What a fault acts on itself: nodes from a time on, and the messages sent on some links for a while."""

    nodes: frozenset[int]
    on_link: Callable[[int, int], bool]
    from_ns: int
    until_ns: float

    def changes(self, source: int, target: int, sent_ns: int) -> bool:
        return self.on_link(source, target) and self.from_ns <= sent_ns <= self.until_ns


def reach_of(fault: Fault, nodes: int) -> Reach:
    until_ms = fault.until_ms if isinstance(fault, Lasting) else None
    until_ns = math.inf if until_ms is None else until_ms * MS
    fields = dict(named(fault))
    reach = partial(Reach, from_ns=fault.at_ms * MS, until_ns=until_ns)
    everybody = frozenset(range(nodes))
    if "sides[0]" in fields:
        left, right = (frozenset(indices(fields[side])) for side in ("sides[0]", "sides[1]"))
        left, right = left or everybody - right, right or everybody - left
        return reach(frozenset(), lambda a, b: (a in left and b in right) or (a in right and b in left))
    if "sources" in fields:
        sources, targets = (frozenset(indices(fields[end])) or everybody for end in ("sources", "targets"))
        if isinstance(fault, Bandwidth):
            until_ns += LINE_FULL_NS
        return reach(frozenset(), lambda a, b: a in sources and b in targets, until_ns=until_ns)
    touched = frozenset(index_of(name) for names in fields.values() for name in names)
    if isinstance(fault, Isolate | RingPartition):
        return reach(frozenset(), lambda a, b: a in touched or b in touched)
    return reach(touched, lambda a, b: False)


def essence(recording: Recording, event: Event) -> tuple[Any, ...]:
    """What must be equal of an event and of all that followed from it."""
    copies = (recording.copies[number] for number in event.sent)
    sent = [(copy.target, copy.packet) for copy in copies if not copy.again]
    return event.at_ns, event.what, sent, event.notes, event.writes


class Divergence(NamedTuple):
    """The first place where two runs of a node differ, and the events there (None: there is none any more)."""

    at_ns: int
    events: tuple[tuple[Recording, Event], ...]


def divergences(one: Recording, other: Recording) -> dict[int, Divergence]:
    """By node; a node that is not named did the same in both runs, as long as both went on."""
    end_ns = min(one.end_ns, other.end_ns)
    found = {}
    for node, (left, right) in enumerate(zip(one.of_node, other.of_node, strict=True)):
        pairs = zip(left, right, strict=False)
        common = min(len(left), len(right))
        place = next(
            (place for place, (a, b) in enumerate(pairs) if essence(one, a) != essence(other, b)), common
        )
        here = [(run, of[place]) for run, of in ((one, left), (other, right)) if place < len(of)]
        at_ns = min((event.at_ns for _, event in here), default=math.inf)
        if at_ns <= end_ns:
            events = tuple((run, event) for run, event in here if event.at_ns == at_ns)
            found[node] = Divergence(int(at_ns), events)
    return found


def is_explained(node: int, found: dict[int, Divergence], reach: Reach) -> bool:
    mine = found[node]
    if node in reach.nodes and mine.at_ns >= reach.from_ns:
        return True

    def had_differed(other: int, at_ns: int) -> bool:
        return other in found and found[other].at_ns <= at_ns

    for recording, event in mine.events:
        match event.what:
            case Delivered(source=source):
                sent_ns = recording.copies[event.copy].sent_ns
                if had_differed(source, sent_ns) or reach.changes(source, node, sent_ns):
                    return True
            case LinkUp(peer=peer) | LinkDown(peer=peer) | LinkRefused(peer=peer):
                is_cut = reach.on_link(node, peer) or reach.on_link(peer, node)
                if had_differed(peer, mine.at_ns) or (is_cut and mine.at_ns >= reach.from_ns):
                    return True
            case _:
                pass
    return False


def unexplained(tape: Tape, place: int) -> list[str]:
    """The nodes that differ without a cause when a fault is taken off a tape."""
    fault = tape.faults[place]
    without = replace(tape, faults=tape.faults[:place] + tape.faults[place + 1 :])
    found = divergences(record(tape), record(without))
    reach = reach_of(fault, tape.nodes + tape.clients)
    return [
        f"n{node} at {found[node].at_ns} ns: {[event.what for _, event in found[node].events]}, without {fault}"
        for node in sorted(found)
        if not is_explained(node, found, reach)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("system", ["gossip", "shards", "mesh"])
def test_what_a_fault_changes_follows_from_it(system: str, seed: int) -> None:
    tape = SWARMS[system](seed)
    assert unexplained(tape, seed % len(tape.faults)) == []


@settings(max_examples=8, deadline=None)
@given(system=st.sampled_from(["gossip", "shards"]), seed=st.integers(0, 10_000), draws=st.integers(0, 99))
def test_what_any_fault_changes_follows_from_it(system: str, seed: int, draws: int) -> None:
    tape = SWARMS[system](seed)
    assume(tape.faults)
    assert unexplained(tape, draws % len(tape.faults)) == []


def test_a_wiped_disk_is_news_that_has_to_travel() -> None:
    """Hosts of bare shards once took the new name of a node from thin air, the moment that its disk was wiped."""
    names = ("n0", "n1", "n2", "n3", "n4")
    small = {"compact_bytes": 200, "keep_entries": 0, "most_append_bytes": 100, "most_append_entries": 3}
    work = Workload(from_ms=400, until_ms=2_600, probe_ms=3_100, pause_ms=20, keys=1, writes=0.4)
    tape = Tape(
        seed=358,
        nodes=5,
        clients=1,
        duration_ms=3_200,
        links=Conditions(
            jitter_us=2_000,
            duplicate=0.05,
            monitored=Monitored(heartbeat_interval_ms=50, heartbeat_timeout_ms=150),
        ),
        disks=Disks(base_us=100, jitter_us=100),
        system=ShardSystem(shards=1, ring=names, workload=work, chunk_bytes=20, **small),
        operations=(Opinion(at_ms=2_620, nodes=names, member="n1", condition="well"),),
        faults=(
            Restart(at_ms=2_546, nodes=("n1",), wipe=True),
            Latency(at_ms=770, until_ms=2_600, base_us=20_000, jitter_us=60_000),
            Restart(at_ms=2_467, nodes=("n1",)),
            Crash(at_ms=1_546, nodes=("n1",)),
            Restart(at_ms=2_344, nodes=("n1",), wipe=True),
        ),
    )
    assert unexplained(tape, 0) == []


def test_faults_do_change_something() -> None:
    tape = SWARMS["shards"](1)
    found = divergences(record(tape), record(replace(tape, faults=())))
    assert len(found) == tape.nodes + tape.clients


def test_a_shared_stream_of_chance_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug that the property is there to exclude: each message of a run takes the next draw, whoever sends it."""
    route = Network.route
    draws: Counter[Network] = Counter()

    def coupled(
        self: Network, source: int, target: int, size_bytes: int = 0, now_ns: int = 0
    ) -> tuple[int, ...]:
        draws[self] += 1
        jitter_ns = draw(stream(7), draws[self]) % MS
        return tuple(delay_ns + jitter_ns for delay_ns in route(self, source, target, size_bytes, now_ns))

    monkeypatch.setattr(Network, "route", coupled)
    tapes = [SWARMS["shards"](seed) for seed in range(16)]
    places = ((tape, place) for tape in tapes for place in range(len(tape.faults)))
    assert any(unexplained(tape, place) for tape, place in places)
