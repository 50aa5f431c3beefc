"""Raft's invariants after every event of whole nodes, too: what their replicas say, write and hand out is audited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from hubless.effects import ToPeer
from hubless.shard.events import Commit, Committed, Owning, Restored
from hubless.shard.private import PRIVATE
from hubless.shard.replicas import Replicas
from hubless_sim.mesh import host
from hubless_sim.mesh.run import MeshRun
from hubless_sim.mesh.swarm import NODES, drawn_tape
from hubless_sim.names import name_of, place_of
from hubless_sim.shards.audit import Audit
from hubless_sim.zoo import planted

SEEDS = 12
INPUTS = ("start", "heard_of", "read", "receive", "tick", "tick_ended", "flushed", "failed", "distrust")


def shared(records: Iterable[Any]) -> list[Any]:
    """Those of shards: each node has a log of its own besides, all with the same number."""
    return [record for record in records if record.shard != PRIVATE]


def looked_at(audit: Audit, me: str, effects: Iterable[Any]) -> None:
    """Has one node's replicas' effects audited."""
    node = place_of(me)
    for effect in effects:
        match effect:
            case ToPeer(message=message) if getattr(message, "shard", 0) != PRIVATE:
                audit.said(node, me, effect)
            case Commit(records=records):
                audit.wrote(node, shared(records))
            case Committed(shard=shard, entries=entries) if shard != PRIVATE:
                audit.committed(node, shard, entries)
            case Restored(shard=shard) if shard != PRIVATE:
                audit.restored(node, shard)
            case Owning(shard=shard, term=term) if shard != PRIVATE:
                audit.owns(node, me, shard, term)
            case _:
                pass


def audited(audit: Audit) -> type[Replicas]:
    """Replicas of which the audit sees everything, once: an input may be one inside another."""

    class Audited(Replicas):
        def __init__(self, me: str, *arguments: Any, **named: Any) -> None:
            super().__init__(me, *arguments, **named)
            self.name, self.depth = me, 0
            audit.born(place_of(me), shared(named["recovered"]))

    def watched(name: str) -> Any:
        ours = getattr(Replicas, name)

        def taken(self: Audited, *arguments: Any) -> None:
            out = arguments[-1]
            before = len(out)
            self.depth += 1
            ours(self, *arguments)
            self.depth -= 1
            if not self.depth:
                looked_at(audit, self.name, out[before:])

        return taken

    for name in INPUTS:
        setattr(Audited, name, watched(name))
    return Audited


def audit_of(seed: int) -> Audit:
    runs: list[MeshRun] = []
    audit = Audit(
        disk_of=lambda index: runs[0].world.disk(index).contents,
        name_of=lambda index: name_of(index, runs[0].world.disk(index).formats),
        clock=lambda: runs[0].world.now_ns,
        nodes=NODES,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "Replicas", audited(audit))
        runs.append(MeshRun(drawn_tape(seed)))
        runs[0].finish()
    return audit


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_standing_seeds_keep_raft_s_promises(seed: int) -> None:
    audit = audit_of(seed)
    assert audit.violations == []
    assert audit.elections > 0
    assert audit.commits > 0


@pytest.mark.long
def test_two_thousand_seeds_keep_raft_s_promises() -> None:
    assert {seed: found for seed in range(2_000) if (found := audit_of(seed).violations)} == {}


@pytest.mark.parametrize(
    ("plant", "checker"),
    [
        ("promises-before-the-flush", "order of promises"),
        ("commits-what-one-too-few-has", "leader completeness"),
    ],
)
def test_a_planted_bug_is_seen_in_whole_nodes(plant: str, checker: str) -> None:
    with planted(plant):
        assert checker in {violation.checker for violation in audit_of(0).violations}
