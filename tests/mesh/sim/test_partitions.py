"""Meshes that are cut in two: what goes on where, what waits, and what becomes of it when they are whole again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import pytest

from hubless_agents import Effect
from hubless_sim.faults import Crash, Fault, Partition, Restart
from hubless_sim.mesh.notes import Answered
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Reply, Script, answer_of
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Start, Tape

MS = 1_000_000
SHARDS = 16
RUN = Offering(name="run", partition="run", deadline_ms=10_000)
ONCE = Offering(name="once", partition="run", retries=0, deadline_ms=10_000)
WAIT = Offering(name="wait", deadline_ms=10_000)
MERGES = (Offering(name="sum", partition="run", deadline_ms=10_000), Offering(name="sum.merge"))
"""An agent whose merge adds up the two results that it is given."""
LONELY = (("n0", "n3"), ("n1", "n2", "n4"))
"""n0 and the client n3 on one side of the cut; n1, n2 and the client n4 on the other."""


def ran(
    calls: Sequence[Call],
    *faults: Fault,
    nodes: int = 3,
    until_ms: int = 30_000,
    seed: int = 3,
    agents: tuple[Offering, ...] = (RUN, ONCE, WAIT),
) -> MeshRun:
    tape = Tape(
        seed=seed,
        nodes=nodes,
        clients=2,
        duration_ms=200_000,
        system=MeshSystem(agents=agents, workers=4, shards=SHARDS, patience_ms=60_000),
        operations=tuple(calls),
        faults=faults,
        links=Conditions(jitter_us=50),
        start=Start(join=()),
    )
    run = MeshRun(tape)
    run.advance_to_ms(until_ms)
    return run


def cut(at_ms: int = 4_000, until_ms: int = 16_000, sides: object = LONELY) -> Partition:
    return Partition(sides=sides, at_ms=at_ms, until_ms=until_ms)  # type: ignore[arg-type]


def calls(agent: str, count: int, *, at_ms: int = 9_000, key: str = "", **fields: Any) -> list[Call]:
    """Calls of the first client through n0, and as many of the second through n1."""
    made = []
    for n in range(2 * count):
        script = Script(n, ms=fields.get("ms"))
        named = f"{key}-{n // 2}" if key else ""
        made.append(
            Call(
                at_ms=at_ms + 10 * n,
                agent=agent,
                script=script,
                gateway=f"n{n % 2}",
                key=named,
                deadline_ms=fields.get("deadline_ms", 20_000),
            )
        )
    return made


def answers(run: MeshRun, *, client: int) -> list[Answered]:
    """What the first client was answered, or the second."""
    return [answer for number, (_, answer) in sorted(run.answers.items()) if number % 2 == client]


def told(run: MeshRun, node: str, what: str, argument: str = "") -> Any:
    answer = run.ask(node, what, argument, client=int(node != "n0"))
    assert answer.failure is None, answer.failure
    return msgspec.json.decode(answer.body)


def tasks(run: MeshRun, node: str = "n1") -> dict[str, dict[str, Any]]:
    """All tasks that the owners of shards know of, by id."""
    body = told(run, node, "tasks", '{"limit": 1000}')
    assert body["silent"] == []
    by_id = {row["task"]: row for row in body["tasks"]}
    assert len(by_id) == len(body["tasks"]), "two owners know the same task"
    return by_id


def count(run: MeshRun, node: str, core: str, counter: str) -> int:
    return int(getattr(run.node(node).counters()[core], counter))


def is_right(run: MeshRun, number: int, answer: Answered) -> bool:
    n = run.calls[number].script.n
    return msgspec.json.decode(answer.payload, type=Reply) == Reply(n, answer_of(n))


def test_a_node_that_is_alone_goes_on_and_its_outcomes_are_entered_once() -> None:
    run = ran(calls("run", 20), cut(), until_ms=15_000)
    lonely = answers(run, client=0)
    assert {(answer.code, answer.provisional, answer.executor) for answer in lonely} == {("", True, "n0")}
    assert len(lonely) == 20
    assert all(is_right(run, answer.call, answer) for answer in lonely)
    others = answers(run, client=1)
    assert {(answer.code, answer.provisional) for answer in others} == {("", False)}
    assert len(others) == 20
    run.advance_to_ms(30_000)
    known = tasks(run)
    for answer in lonely:
        row = known[answer.task.hex()]
        assert (row["state"], row["provisional"]) == ("succeeded", "n0")
    assert all(known[answer.task.hex()]["provisional"] == "" for answer in others)
    assert count(run, "n0", "apart", "entered") == 20
    assert {len(starts) for starts in run.starts.values()} == {1}


def test_a_conflict_ends_as_superseded() -> None:
    """Tasks that were under way when the mesh was cut run on both sides: the shard's own outcome came first."""
    run = ran(calls("run", 20, at_ms=3_700, ms=2_000.0), cut(until_ms=20_000), until_ms=19_900)
    assert len(run.answers) == 40
    lonely = [answer for answer in answers(run, client=0) if answer.provisional]
    twice = [answer for answer in lonely if len(run.starts[answer.task]) > 1]
    assert len(twice) >= 5
    assert {answer.code for answer in answers(run, client=0)} == {""}
    run.advance_to_ms(35_000)
    known = tasks(run)
    conflicts = 0
    for answer in lonely:
        row = told(run, "n1", "status", answer.task.hex())
        assert row["state"] == "succeeded"
        others = [other["node"] for other in row["superseded"]]
        assert (row["provisional"], others) in (("n0", []), ("", ["n0"]))
        conflicts += bool(others)
    assert conflicts >= 5
    assert count(run, "n0", "apart", "entered") == len(lonely)
    assert len(known) == 40


def cut_while_it_adds_up(*faults: Fault, until_ms: int) -> MeshRun:
    """The mesh is cut while tasks are under way whose results are merged when it is whole again."""
    under_way = calls("sum", 20, at_ms=3_700, ms=2_000.0, deadline_ms=60_000)
    return ran(under_way, cut(until_ms=20_000), *faults, agents=MERGES, until_ms=until_ms)


@cache
def merging_begins_ms() -> int:
    """When the first merge begins to run if nobody dies."""
    run = cut_while_it_adds_up(until_ms=30_000)
    starts = (start.at_ns // MS for starts in run.starts.values() for start in starts)
    return min(at_ms for at_ms in starts if at_ms >= 20_000)


@pytest.mark.parametrize("crash_after_ms", [None, -5, 0, 2, 3, 4, 5, 6, 8, 12, 30])
def test_results_of_both_sides_are_merged(crash_after_ms: int | None) -> None:
    """Each result counts once in the end, on every replica, also if an owner dies while results are merged."""
    crash: list[Fault] = []
    if crash_after_ms is not None:
        at_ms = merging_begins_ms() + crash_after_ms
        crash = [Crash(at_ms=at_ms, nodes=("n1",)), Restart(at_ms=at_ms + 2_000, nodes=("n1",))]
    run = cut_while_it_adds_up(*crash, until_ms=19_900)
    lonely = [answer for answer in answers(run, client=0) if answer.provisional]
    run.advance_to_ms(45_000)
    known = tasks(run, "n2")
    conflicts = 0
    for answer in lonely:
        row = told(run, "n2", "status", answer.task.hex())
        others = row["superseded"]
        conflicts += bool(others)
        one = answer_of(run.calls[answer.call].script.n)
        assert (row["state"], row["merged"]) == ("succeeded", len(others))
        results = {run.node(node).keeping.row(answer.task).result for node in ("n0", "n1", "n2")}  # type: ignore[union-attr]
        assert [msgspec.json.decode(result, type=Reply).out for result in results if result] == [
            one * (1 + len(others))
        ]
    assert conflicts >= 5
    merges = [row for row in known.values() if row["agent"] == "sum.merge"]
    assert len(merges) == conflicts
    assert {row["state"] for row in merges} == {"succeeded"}
    if crash_after_ms is None:
        assert {len(run.starts[bytes.fromhex(row["task"])]) for row in merges} == {1}


def test_what_must_not_start_twice_does_not() -> None:
    """An agent without retries goes on apart with what nobody else can have begun, and with nothing else."""
    begun = calls("once", 10, at_ms=3_700, ms=3_000.0, deadline_ms=12_000)
    run = ran([*begun, *calls("once", 10, at_ms=10_000, key="k")], cut(until_ms=25_000), until_ms=24_000)
    assert max(len(starts) for starts in run.starts.values()) == 1
    for answer in answers(run, client=0):
        if answer.call < len(begun):
            is_known = answer.code == "" or answer.effect is not Effect.NONE
            assert is_known, answer
        else:
            assert (answer.code, answer.provisional) == ("", True)


def test_a_crash_of_the_lonely_node_loses_nothing_that_it_took_on() -> None:
    run = ran(
        calls("run", 30, ms=1_500.0, key="k"),
        cut(until_ms=30_000),
        Crash(at_ms=12_700, nodes=("n0",)),
        Restart(at_ms=13_500, nodes=("n0",)),
        until_ms=12_600,
    )
    taken = count(run, "n0", "apart", "taken")
    assert taken > 20
    begun = {task for task, starts in run.starts.items() if starts[0].node == "n0"}
    assert 0 < len(begun) < taken
    run.advance_to_ms(45_000)
    known = tasks(run)
    assert sum(row["provisional"] == "n0" for row in known.values()) >= taken
    assert len(answers(run, client=0)) == 30
    assert {row["state"] for row in known.values()} == {"succeeded"}
    assert {task.hex() for task in begun} <= known.keys()


def test_those_who_wait_are_not_answered_by_a_minority() -> None:
    run = ran(
        [
            *calls("wait", 10, at_ms=12_000, key="k", deadline_ms=3_000),
            *calls("wait", 10, at_ms=12_005, key="late"),
        ],
        cut(),
        until_ms=15_900,
    )
    assert answers(run, client=0) == []  # they went back to their client, which knows no other node
    assert {answer.code for answer in answers(run, client=1)} == {""}
    before = {task for task, starts in run.starts.items() if any(start.node == "n0" for start in starts)}
    assert before == set()
    run.advance_to_ms(30_000)
    assert [answer.code for answer in answers(run, client=0)].count("") == 10
    assert not any(answer.provisional for _, answer in run.answers.values())
    assert {len(starts) for starts in run.starts.values()} == {1}


def test_a_minority_tells_nothing_of_a_task_that_it_might_know_wrongly() -> None:
    run = ran(calls("wait", 10, at_ms=2_000), cut(until_ms=60_000), until_ms=3_500)
    ids = [answer.task.hex() for answer in answers(run, client=0)]
    assert len(ids) == 10
    run.advance_to_ms(12_000)
    for task in ids:
        told_here = run.ask("n0", "status", task)
        assert told_here.failure is not None
        assert told_here.failure.code == "unreachable"
        assert told(run, "n1", "status", task)["state"] == "succeeded"


def test_both_sides_go_on_with_tasks_that_have_no_key() -> None:
    """Two and three nodes: each side has the quorum of some shards, and new tasks are given ids of those."""
    sides = (("n0", "n2", "n5"), ("n1", "n3", "n4", "n6"))
    made = calls("wait", 40, at_ms=10_000)
    run = ran(made, cut(until_ms=25_000, sides=sides), nodes=5, until_ms=24_000)
    assert len(run.answers) == 80
    assert {(answer.code, answer.provisional) for _, answer in run.answers.values()} == {("", False)}
    for answer in answers(run, client=0):
        assert answer.executor in ("n0", "n2")
    run.advance_to_ms(40_000)
    known = tasks(run)
    assert len(known) == 80
    assert {row["state"] for row in known.values()} == {"succeeded"}


def test_what_nobody_waits_for_is_not_entered() -> None:
    quitters = [
        msgspec.structs.replace(call, cancel_after_ms=3_500) for call in calls("run", 10, ms=8_000.0, key="k")
    ]
    run = ran(quitters, cut(), until_ms=30_000)
    assert count(run, "n0", "apart", "taken") == 10
    assert count(run, "n0", "apart", "withdrawn") == 10
    assert not any(row["provisional"] for row in tasks(run).values())


def test_fork_brings_a_shard_back() -> None:
    """Two of three nodes are lost with their disks: what the third has goes on, and what was under way is marked."""
    made = [
        *calls("wait", 10, at_ms=2_000),
        *calls("wait", 10, at_ms=4_900, ms=3_000.0, key="k", deadline_ms=60_000),
    ]
    run = ran(
        made,
        Crash(at_ms=5_200, nodes=("n1", "n2")),
        Restart(at_ms=30_000, nodes=("n1", "n2"), wipe=True),
        until_ms=16_000,
    )
    rows = told(run, "n0", "shards")["shards"]
    assert {row["condition"] for row in rows} == {"quorum_lost"}
    assert {row["shard"] for row in rows} == set(range(SHARDS))
    refused = run.ask("n0", "fork", "99").failure
    assert refused is not None
    assert refused.code == "bad_input"
    for shard in range(SHARDS):
        body = told(run, "n0", "fork", str(shard))
        assert (body["shard"], body["replicas"]) == (shard, ["n0"])
        assert body["index"] > 0
    refused = run.ask("n0", "fork", "0").failure
    assert refused is not None
    assert "has an owner" in refused.message
    rows = told(run, "n0", "shards")["shards"]
    assert {(row["owner"], row["forks"]) for row in rows} == {("n0", 1)}
    known = tasks(run, "n0")
    assert any(row["forked"] for row in known.values())
    for answer in answers(run, client=0)[:10]:
        assert known[answer.task.hex()]["state"] == "succeeded"
        assert not known[answer.task.hex()]["forked"]
    run.advance_to_ms(60_000)
    rows = told(run, "n1", "shards")["shards"]
    assert {(row["condition"], len(row["voters"]), row["forks"]) for row in rows} == {("healthy", 3, 1)}
    known = tasks(run)
    assert {row["state"] for row in known.values() if row["forked"]} == {"succeeded"}
    assert {answer.code for answer in answers(run, client=0)} == {""}


def test_a_shard_that_might_have_a_majority_is_not_forked() -> None:
    run = ran([], cut(until_ms=40_000), until_ms=6_000)
    row = next(row for row in told(run, "n0", "shards")["shards"] if not row["is_owner"])
    refused = run.ask("n0", "fork", str(row["shard"])).failure
    assert refused is not None
    assert refused.code == "refused"
    assert "force" in refused.message
    forced = told(run, "n0", "fork", f"{row['shard']} force")
    assert forced["replicas"] == ["n0"]
    run.advance_to_ms(60_000)
    healed = next(other for other in told(run, "n1", "shards")["shards"] if other["shard"] == row["shard"])
    assert (healed["condition"], healed["forks"], len(healed["voters"])) == ("healthy", 1, 3)


FOUND = [
    108,  # a node that had been away for a moment knew of no owner, and waited for one to say that it is
    111,  # what had begun apart, on a node that died then, was begun a second time by its shard
]


@pytest.mark.parametrize("seed", [*range(12), *FOUND])
def test_every_provisional_answer_is_in_its_shard_in_the_end(seed: int) -> None:
    """Cuts, crashes and returns at drawn times: what was answered provisionally is found, once, with what was said."""
    chance = random.Random(f"partitions:{seed}")
    faults: list[Fault] = []
    for _ in range(2):
        alone = f"n{chance.randrange(3)}"
        at_ms = chance.randrange(3_000, 20_000)
        others = tuple(f"n{node}" for node in range(5) if f"n{node}" != alone)
        client = "n3" if alone == "n0" else "n4"
        sides = ((alone, client), tuple(node for node in others if node != client))
        faults.append(cut(at_ms, at_ms + chance.randrange(3_000, 15_000), sides))
    for _ in range(chance.randrange(3)):
        node = f"n{chance.randrange(3)}"
        at_ms = chance.randrange(6_000, 25_000)
        faults += [Crash(at_ms=at_ms, nodes=(node,)), Restart(at_ms=at_ms + 700, nodes=(node,))]
    made = [
        Call(
            at_ms=2_500 + 300 * n,
            agent=chance.choice(["run", "run", "once", "wait"]),
            script=Script(n, ms=chance.choice([5.0, 5.0, 400.0, 3_000.0])),
            gateway=f"n{n % 2}",
            key=chance.choice(["", f"k{n % 7}"]),
            deadline_ms=chance.choice([6_000, 40_000]),
        )
        for n in range(100)
    ]
    run = ran(made, *faults, seed=seed, until_ms=100_000)
    assert len(run.answers) + len(run.given_up) == 100
    known = tasks(run)
    for _, answer in run.answers.values():
        if run.agent_of.get(answer.task) == "once":
            assert len(run.starts[answer.task]) == 1
        if not answer.provisional:
            continue
        row = told(run, "n1", "status", answer.task.hex())
        outcomes = [row["result"], *(other["result"] for other in row["superseded"])]
        if answer.code == "":
            assert answer.payload.decode() in outcomes
        assert answer.task.hex() in known
    for name in run.running():
        unfinished = run.node(name).counters()["unfinished"]
        assert not any(msgspec.structs.astuple(unfinished)), (name, unfinished)  # type: ignore[type-var]
        assert count(run, name, "apart", "held") == 0
