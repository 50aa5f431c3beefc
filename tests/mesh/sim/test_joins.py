"""Nodes that join a mesh one after the other: it settles after each, and little has moved."""

from collections import defaultdict
from math import floor

from hubless_sim.faults import Restart
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Start, Tape

FOUNDERS, NODES, SHARDS, REPLICAS = 3, 10, 16, 3
PAUSE_MS = 8_000


def replicas(run: MeshRun) -> dict[int, set[str]]:
    """Who keeps which shard, by what is on the disks."""
    kept: dict[int, set[str]] = defaultdict(set)
    for node, journal in run.journals():
        for each in journal:
            if each.entries or each.snapshot:  # of one that was given up the vote is left
                kept[each.shard].add(node)
    return dict(kept)


def test_each_join_moves_at_most_a_fifth_more_than_the_fair_share_and_only_to_the_newcomer() -> None:
    """Of whole nodes; the fifth and the tenth would take more than that by the ring alone."""
    names = [f"n{number}" for number in range(NODES)]
    late = names[FOUNDERS:]
    joins = [Restart(at_ms=PAUSE_MS * (1 + at), nodes=(name,)) for at, name in enumerate(late)]
    tape = Tape(
        seed=3,
        nodes=NODES,
        duration_ms=PAUSE_MS * (1 + len(joins)),
        system=MeshSystem(agents=(Offering(name="square"),), shards=SHARDS),
        faults=tuple(joins),
        links=Conditions(jitter_us=50),
        start=Start(join=(), absent=tuple(late)),
    )
    run = MeshRun(tape)
    run.advance_to_ms(PAUSE_MS - 1)
    before = replicas(run)
    for count, newcomer in enumerate(late, FOUNDERS + 1):
        run.advance_to_ms(PAUSE_MS * (count - FOUNDERS + 1) - 1)
        after = replicas(run)
        wished = run.host("n0").node.view.preferences
        assert after == {shard: set(wished.of_shard(shard)) for shard in range(SHARDS)}
        gained = [after[shard] - before[shard] for shard in range(SHARDS)]
        assert set().union(*gained) == {newcomer}
        moved = sum(map(len, gained))
        assert moved <= floor(1.2 * SHARDS * REPLICAS / count)
        before = after
    assert run.finish().violations == ()
