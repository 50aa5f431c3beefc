"""Single things that happen to a mesh of whole nodes, and what its callers and its nodes must see."""

from collections.abc import Sequence

import msgspec
import pytest

from hubless.placement import shard_of_task
from hubless_agents.contract import OnBreach
from hubless_sim.faults import Crash, Fault, OneWay, Partition, Pause, Restart
from hubless_sim.mesh.notes import Answered
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.operations import Call, Leave
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Start, Tape

MS = 1_000_000
PATIENT = Offering(name="square", deadline_ms=30_000)


def ran(
    operations: Sequence[Call | Leave],
    *faults: Fault,
    agents: tuple[Offering, ...] = (Offering(name="square"),),
    duration_ms: int = 12_000,
    workers: int = 8,
    ring_ms: int = 0,
    nodes: int = 5,
    queue: int = 256,
    seed: int = 7,
) -> MeshRun:
    system = MeshSystem(agents=agents, workers=workers, ring_ms=ring_ms, queue=queue, patience_ms=60_000)
    tape = Tape(
        seed=seed,
        nodes=nodes,
        clients=2,
        duration_ms=duration_ms,
        system=system,
        operations=tuple(operations),
        faults=faults,
        links=Conditions(jitter_us=50),
        start=Start(join=()),
    )
    run = MeshRun(tape)
    run.finish()
    return run


def steady(count: int, *, every_ms: int = 20, agent: str = "square", gateways: int = 5) -> list[Call]:
    """Calls at an even pace from 1 s on, through all gateways in turn, half of them for anybody's shards."""
    return [
        Call(
            at_ms=1_000 + every_ms * number,
            agent=agent,
            script=Script(number),
            gateway=f"n{number % gateways}",
            own_shard=number % 2 == 0,
        )
        for number in range(count)
    ]


def codes(run: MeshRun) -> set[str]:
    return {answer.code for _, answer in run.answers.values()}


def unfinished(run: MeshRun) -> dict[str, tuple[int, ...]]:
    states = {name: run.node(name).counters()["unfinished"] for name in run.running()}
    return {name: msgspec.structs.astuple(state) for name, state in states.items()}


def total(run: MeshRun, role: str, counter: str) -> int:
    return sum(getattr(run.node(name).counters()[role], counter) for name in run.running())


def starts_of_call(run: MeshRun, number: int) -> list[tuple[int, str]]:
    _, answer = run.answers[number]
    return [(start.at_ns, start.node) for start in run.starts[answer.task]]


def test_in_quiet_every_task_runs_once_and_is_answered_once() -> None:
    run = ran(steady(300), seed=1)
    assert len(run.answers) == 300
    assert codes(run) == {""}
    assert run.strays == []
    assert {len(starts) for starts in run.starts.values()} == {1}
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}
    shares = {starts[0].node for starts in run.starts.values()}
    assert shares == {"n0", "n1", "n2", "n3", "n4"}


@pytest.mark.parametrize("victim", [1, 2, 3, 4])
def test_what_a_killed_node_had_starts_elsewhere_as_soon_as_its_death_is_told(victim: int) -> None:
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=2_000.0), gateway="n0", own_shard=False)
        for n in range(20)
    ]
    run = ran(calls, Crash(at_ms=2_500, nodes=(f"n{victim}",)), agents=(PATIENT,))
    assert codes(run) == {""}
    told = run.deaths_told(f"n{victim}", 2_500)
    assert len(told) == 4
    assert max(told.values()) < 2_700 * MS
    again = {task: starts for task, starts in run.starts.items() if len(starts) > 1}
    assert again, "some task must have been with the node that was killed"
    for starts in again.values():
        assert starts[1].at_ns <= max(told.values()) + 10 * MS
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


@pytest.mark.parametrize("agent", ["square", "once"])
def test_a_node_that_leaves_loses_nothing_and_repeats_nothing(agent: str) -> None:
    agents = (Offering(name="square"), Offering(name="once", retries=0))
    run = ran([*steady(400, agent=agent), Leave(at_ms=4_000, nodes=("n2",))], agents=agents)
    assert len(run.answers) == 400
    assert codes(run) == {""}
    assert {len(starts) for starts in run.starts.values()} == {1}
    assert run.halted == {"n2": ""}
    last_ns = max(start.at_ns for starts in run.starts.values() for start in starts if start.node == "n2")
    assert last_ns < 4_200 * MS


def test_all_nodes_but_one_may_leave_one_after_the_other() -> None:
    leaves = [Leave(at_ms=3_000 + 1_500 * node, nodes=(f"n{node}",)) for node in range(4)]
    run = ran([*steady(400), *leaves])
    assert len(run.answers) == 400
    assert codes(run) == {""}
    assert run.running() == ["n4"]
    assert set(run.owners().values()) == {("n4",)}
    assert "quorum_lost" not in {row["condition"] for row in run.node("n4").keeping.shard_rows()}


def test_long_work_of_a_leaving_node_is_waited_for() -> None:
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=1_800.0), gateway=f"n{n % 5}")
        for n in range(20)
    ]
    run = ran([*calls, Leave(at_ms=2_500, nodes=("n3",))], agents=(PATIENT,))
    assert codes(run) == {""}
    assert {len(starts) for starts in run.starts.values()} == {1}


def test_a_ring_that_is_late_delays_and_loses_nothing() -> None:
    run = ran(steady(300), Restart(at_ms=3_000, nodes=("n1",)), ring_ms=400)
    assert len(run.answers) == 300
    assert codes(run) == {""}


def test_tasks_stay_with_their_owner_when_a_node_joins() -> None:
    """A newcomer takes shards over, and not the tasks that run: these are not started again."""
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=1_900.0), gateway=f"n{n % 4}")
        for n in range(40)
    ]
    run = ran(calls, Crash(at_ms=500, nodes=("n4",)), Restart(at_ms=2_500, nodes=("n4",)), agents=(PATIENT,))
    assert codes(run) == {""}
    assert {len(starts) for starts in run.starts.values()} == {1}


def test_an_agent_that_nobody_offers_is_refused_at_once() -> None:
    run = ran([Call(at_ms=2_000, agent="sqare", script=Script(1), gateway="n0")])
    at_ns, answer = run.answers[0]
    assert answer.code == "unknown_agent"
    assert at_ns < 2_005 * MS
    assert run.starts == {}


def moved_from(run: MeshRun, node: str, count: int) -> list[Answered]:
    """The answers to the calls that began on a node and began again elsewhere."""
    starts = [(number, starts_of_call(run, number)) for number in range(count)]
    return [run.answers[number][1] for number, begun in starts if len(begun) > 1 and begun[0][1] == node]


def test_an_attempt_that_was_given_up_is_stopped_when_its_node_awakes() -> None:
    """n1 sleeps long enough to be declared dead; its tasks run elsewhere; awake, it hears first that nobody waits."""
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=6_000.0), gateway="n0", own_shard=True)
        for n in range(60)
    ]
    run = ran(
        calls,
        Pause(at_ms=2_300, until_ms=7_000, nodes=("n1",)),
        agents=(PATIENT,),
        duration_ms=30_000,
    )
    assert codes(run) == {""}
    moved = moved_from(run, "n1", 60)
    assert moved, "some task must have been on the node that slept"
    assert {answer.attempt for answer in moved} == {2}
    assert total(run, "executor", "withdrawn") > 0
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


def test_the_answer_of_an_attempt_that_was_given_up_is_refused() -> None:
    """n1 hears nobody and is taken for dead; it never hears that its tasks run elsewhere, and reports what it had."""
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=3_000.0), gateway="n0", own_shard=True)
        for n in range(60)
    ]
    run = ran(
        calls,
        OneWay(at_ms=2_300, until_ms=7_000, sources=("n0", "n2", "n3", "n4"), targets=("n1",)),
        agents=(PATIENT,),
        duration_ms=30_000,
    )
    assert codes(run) == {""}
    moved = moved_from(run, "n1", 60)
    assert moved, "some task must have been on the node that heard nobody"
    assert min(answer.attempt for answer in moved) >= 2
    assert "n1" not in {answer.executor for answer in moved}
    assert total(run, "owner", "fenced") > 0
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


def test_both_sides_of_a_partition_go_on() -> None:
    sides = (("n0", "n1", "n5"), ("n2", "n3", "n4", "n6"))
    calls = [
        Call(at_ms=4_000 + 20 * n, agent="square", script=Script(n), gateway=f"n{2 * (n % 2)}")
        for n in range(100)
    ]
    run = ran(calls, Partition(sides=sides, at_ms=2_000, until_ms=8_000), duration_ms=20_000)
    assert codes(run) == {""}
    assert {answer.gateway for _, answer in run.answers.values()} >= {0, 2}
    assert max(at_ns for at_ns, _ in run.answers.values()) < 6_500 * MS


def test_a_task_that_nobody_waits_for_is_stopped_everywhere() -> None:
    calls = [
        Call(
            at_ms=2_000, agent="square", script=Script(n, ("hang",)), gateway=f"n{n % 5}", cancel_after_ms=300
        )
        for n in range(30)
    ]
    run = ran(calls, agents=(PATIENT,), duration_ms=3_000)
    assert run.answers == {}
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


def test_what_is_too_much_for_all_is_refused_and_said_so() -> None:
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=500.0), gateway="n0", own_shard=True)
        for n in range(300)
    ]
    run = ran(calls, workers=1, queue=4, nodes=3, duration_ms=20_000)
    assert codes(run) == {"", "overloaded"}
    refused = [at_ns for at_ns, answer in run.answers.values() if answer.code == "overloaded"]
    assert max(refused) < 2_100 * MS
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


def test_a_mesh_of_one_restarts_its_worker_and_tries_again_at_once() -> None:
    calls = [Call(at_ms=2_000, agent="square", script=Script(3, ("crash",), ms=5.0), gateway="n0")]
    run = ran(calls, nodes=1)
    at_ns, answer = run.answers[0]
    assert (answer.code, answer.attempt) == ("", 2)
    assert at_ns < 2_050 * MS


def far_calls(*faults: Fault) -> MeshRun:
    calls = [
        Call(at_ms=2_000, agent="square", script=Script(n, ms=1_000.0), gateway="n0", own_shard=False)
        for n in range(12)
    ]
    agents = (Offering(name="square", deadline_ms=30_000, nodes=("n2", "n3", "n4")),)
    return ran(calls, *faults, agents=agents)


@pytest.mark.parametrize(("is_order_lost", "cut_at_ms"), [(True, 1_990), (False, 2_100)])
def test_an_executor_that_only_the_owner_of_its_task_does_not_reach_is_not_waited_for(
    is_order_lost: bool, cut_at_ms: int
) -> None:
    """A cut for ever, in one direction: of orders, or of outcomes."""
    quiet = far_calls()
    pairs = {
        number: (
            str(quiet.node("n0").view.owner_of_shard(shard_of_task(answer.task))),
            starts_of_call(quiet, number)[0][1],
        )
        for number, (_, answer) in quiet.answers.items()
    }
    number, owner, executor = next((n, o, e) for n, (o, e) in sorted(pairs.items()) if o not in ("n0", e))
    source, target = (owner, executor) if is_order_lost else (executor, owner)
    run = far_calls(OneWay(at_ms=cut_at_ms, sources=(source,), targets=(target,)))
    assert len(run.answers) == len(quiet.answers)
    assert codes(run) == {""}
    assert starts_of_call(run, number)[-1][1] != executor
    assert set(unfinished(run).values()) == {(0, 0, 0, 0, 0, 0)}


def test_an_agent_that_is_set_aside_everywhere_is_not_unknown() -> None:
    hang, fine = Script(1, ("hang",)), Script(2)
    strict = Offering(
        name="strict", deadline_ms=300, retries=0, on_breach=OnBreach(deadline="quarantine"), nodes=("n1",)
    )
    times = {2_000: hang, 3_500: fine, 11_000: fine}
    calls = [Call(at_ms=at_ms, agent="strict", script=does, gateway="n0") for at_ms, does in times.items()]
    run = ran(calls, agents=(Offering(name="square"), strict), duration_ms=14_000)
    assert [run.answers[number][1].code for number in range(3)] == ["deadline", "quarantined", ""]
