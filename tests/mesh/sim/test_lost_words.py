"""A node misses the word of a shard's new owner, and its clients ask it about a task of that shard all the same."""

import msgspec
import pytest

from hubless.placement import shard_of_task
from hubless_gossip import Condition
from hubless_sim.faults import Crash, OneWay
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Start, Tape

CUT_MS, WHOLE_MS = 6_000, 6_400
LONG_MS = 40_000
SQUARE = Offering(name="square", deadline_ms=2 * LONG_MS)


@pytest.fixture
def run() -> MeshRun:
    """n0, which owns all tasks, dies while nothing reaches n4: its word as an owner was the last that n4 heard."""
    calls = (
        Call(
            at_ms=3_000 + 20 * number,
            agent="square",
            script=Script(number, ms=LONG_MS),
            gateway="n0",
            deadline_ms=2 * LONG_MS,
            receipt=True,
        )
        for number in range(12)
    )
    tape = Tape(
        seed=5,
        nodes=5,
        clients=2,
        duration_ms=20_000,
        system=MeshSystem(agents=(SQUARE,), shards=16, patience_ms=60_000),
        operations=tuple(calls),
        faults=(
            OneWay(at_ms=CUT_MS, until_ms=WHOLE_MS, sources=("n0", "n1", "n2", "n3"), targets=("n4",)),
            Crash(at_ms=CUT_MS + 50, nodes=("n0",)),
        ),
        links=Conditions(jitter_us=50),
        start=Start(join=()),
    )
    return MeshRun(tape)


@pytest.mark.parametrize(
    ("at_ms", "condition", "named"), [(7_000, Condition.SUSPECT, "n0"), (12_000, Condition.DEAD, None)]
)
@pytest.mark.parametrize(
    ("what", "state"), [("status", "running"), ("result", "running"), ("cancel", "cancelled")]
)
def test_who_missed_the_word_of_the_new_owner_answers_for_its_shard(
    run: MeshRun, what: str, state: str, at_ms: int, condition: Condition, named: str | None
) -> None:
    """Whether it still takes the dead for the owner, or nobody: its answers are there within a virtual second."""
    run.advance_to_ms(at_ms)
    view = run.node("n4").view
    known = view.member("n0")
    assert known is not None
    assert known.condition is condition
    owners = run.owners()
    missed = [
        task
        for task in sorted(run.receipts)
        if owners[shard_of_task(task)] and view.owner_of_shard(shard_of_task(task)) == named
    ]
    task = missed[0]
    told = run.ask("n4", what, task.hex(), patience_ms=1_000)
    assert told.failure is None
    assert msgspec.json.decode(told.body)["state"] == state
    assert owners[shard_of_task(task)] == (view.owner_of_shard(shard_of_task(task)),), "and the word is known"
