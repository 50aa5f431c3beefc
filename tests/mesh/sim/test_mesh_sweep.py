"""A few fixed seeds and some drawn ones: whole nodes under faults of every kind, then calm, then all is well."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_agents import Effect
from hubless_sim.faults import (
    Crash,
    Duplicate,
    Fault,
    Latency,
    Loss,
    OneWay,
    Partition,
    Pause,
    Restart,
    Starve,
)
from hubless_sim.mesh.notes import Answered
from hubless_sim.mesh.run import MeshRun
from hubless_sim.tapes.operations import Call, Leave
from hubless_sim.tapes.script import Reply, Script, answer_of
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Start, Tape

NODES = 5
NAMES = [f"n{index}" for index in range(NODES)]
CALLS = 200
FAULTS_END_MS = 12_000
CALM_MS = 30_000

SQUARE = Offering(name="square")
ONCE = Offering(name="once", retries=0)
WIDE = Offering(name="wide", concurrency=4)
RARE = Offering(name="rare", nodes=("n0", "n1"), retries=5)
AGENTS = (SQUARE, ONCE, WIDE, RARE)

BROKEN_BY = {
    "raised": {"raise"},
    "bad_output": {"garble"},
    "deadline": {"hang"},
    "worker_died": {"crash", "babble"},
}
"""Which deeds of a script lead to which failure."""


def drawn_fault(chance: random.Random) -> list[Fault]:
    """One fault that is over at FAULTS_END_MS; nodes that crash come back."""
    at_ms = chance.randrange(2_000, FAULTS_END_MS - 1_000)
    until_ms = chance.randrange(at_ms + 100, FAULTS_END_MS)
    nodes = tuple(sorted(chance.sample(NAMES, chance.randrange(1, 3))))
    others = tuple(name for name in NAMES if name not in nodes)
    match chance.randrange(10):
        case 0:
            crash = Crash(at_ms=at_ms, nodes=nodes[:1], silent=chance.random() < 0.3)
            return [crash, Restart(at_ms=until_ms, nodes=nodes[:1])]
        case 1:
            crash = Crash(at_ms=at_ms, nodes=nodes, silent=chance.random() < 0.5)
            return [crash, Restart(at_ms=until_ms, nodes=nodes, wipe=chance.random() < 0.3)]
        case 2:
            return [Pause(at_ms=at_ms, until_ms=until_ms, nodes=nodes)]
        case 3:
            return [Restart(at_ms=at_ms, nodes=nodes)]
        case 4:
            return [Partition(at_ms=at_ms, until_ms=until_ms, sides=(nodes, others))]
        case 5:
            return [OneWay(at_ms=at_ms, until_ms=until_ms, sources=nodes, targets=others[:1])]
        case 6:
            return [Partition(at_ms=at_ms, until_ms=until_ms, sides=(nodes, ()))]
        case 7:
            return [Latency(at_ms=at_ms, until_ms=until_ms, base_us=20_000, jitter_us=30_000, sources=nodes)]
        case 8:
            return [Starve(at_ms=at_ms, until_ms=until_ms, nodes=nodes, blocked_ms=600, awake_ms=200)]
        case _:
            duplicates = Duplicate(at_ms=at_ms, until_ms=until_ms, rate=0.3)
            return [Loss(at_ms=at_ms, until_ms=until_ms, rate=chance.random() / 2), duplicates]


def spared(faults: list[Fault]) -> tuple[Fault, ...]:
    """At most one disk is wiped: with a second one, shards would have lost their quorum for good."""
    unlucky: tuple[str, ...] = ()
    kept: list[Fault] = []
    for fault in faults:
        if isinstance(fault, Restart) and fault.wipe:
            unlucky = unlucky or fault.nodes[:1]
            is_wiped = fault.nodes == unlucky
            kept.append(msgspec.structs.replace(fault, wipe=is_wiped))
        else:
            kept.append(fault)
    return tuple(kept)


def drawn_call(chance: random.Random, number: int) -> Call:
    """One task; some break one or more of their attempts, some are long."""
    deeds = []
    while chance.random() < 0.06:
        deeds.append(chance.choice(["raise", "garble", "crash", "hang", "babble"]))
    return Call(
        at_ms=2_000 + number * 45,
        agent=chance.choice(["square", "square", "once", "wide", "rare"]),
        script=Script(number, tuple(deeds), chance.choice([None, None, None, None, 200.0, 1_500.0])),
        gateway=f"n{chance.randrange(NODES)}",
        own_shard=chance.random() < 0.6,
        key=chance.choice(["", "", "", f"key-{chance.randrange(9)}"]),
        deadline_ms=chance.choice([20_000, 20_000, 60_000]),
    )


def drawn_tape(seed: int) -> Tape:
    """The tape of a seed."""
    chance = random.Random(f"mesh:{seed}")
    leaves = chance.random() < 0.3
    calls = [drawn_call(chance, number) for number in range(CALLS)]
    faults = spared([fault for _ in range(chance.randrange(1, 5)) for fault in drawn_fault(chance)])
    left: list[Leave] = []
    if leaves:
        at_ms = chance.randrange(3_000, FAULTS_END_MS)
        left = [Leave(at_ms=at_ms, nodes=(f"n{chance.randrange(NODES)}",))]
    return Tape(
        seed=seed,
        nodes=NODES,
        clients=2,
        duration_ms=FAULTS_END_MS + CALM_MS,
        operations=(*calls, *left),
        faults=faults,
        links=Conditions(loss=chance.choice([0.0, 0.0, 0.01]), duplicate=chance.choice([0.0, 0.0, 0.05])),
        system=MeshSystem(agents=AGENTS, ring_ms=chance.choice([0, 0, 30])),
        start=Start(join=()),
    )


def wrong_answer(call: Call, answer: Answered) -> str:
    """What is wrong with the answer to a call, "" if nothing is."""
    if answer.code == "":
        reply = msgspec.json.decode(answer.payload, type=Reply)
        is_right = reply == Reply(call.script.n, answer_of(call.script.n))
        return "" if is_right else f"the answer {reply} is not that of {call.script.n}"
    if answer.code in BROKEN_BY and BROKEN_BY[answer.code] & set(call.script.does):
        return ""
    if call.agent == "wide" and answer.code in ("worker_died", "deadline"):
        return ""  # it shares its process with tasks that kill it
    if call.agent == "once" and answer.code == "unreachable":
        return "" if answer.effect is Effect.MAYBE else "a node was lost and the effect is said to be known"
    if call.agent == "rare" and answer.code in ("unknown_agent", "unreachable"):
        return ""  # both nodes that offer it may be away
    if call.agent == "rare" and answer.code in ("expired", "quarantined"):
        return ""  # or one of them has to work for five, or its tasks kill too many workers
    return f"failed with {answer.code} ({answer.effect}), attempt {answer.attempt}"


def violations(run: MeshRun) -> list[str]:
    """Everything that must hold after the calm and does not."""
    found = []
    for number, call in enumerate(run.calls):
        if number not in run.answers:
            found.append(f"call {number} of {call.agent} was never answered")
            continue
        at_ns, answer = run.answers[number]
        late_ms = at_ns // 1_000_000 - call.at_ms - call.deadline_ms
        if late_ms > 100:
            found.append(f"call {number} of {call.agent} was answered {late_ms} ms after its deadline")
        problem = wrong_answer(call, answer)
        if answer.effect is Effect.NONE and answer.task in run.starts:
            problem = f"{answer.code} is said to have had no effect, and it ran: {run.starts[answer.task]}"
        if problem:
            found.append(f"call {number} of {call.agent} via n{answer.gateway}: {problem}")
    for task, starts in run.starts.items():
        if run.agent_of[task] == "once" and len(starts) > 1:
            found.append(f"task {task.hex()} must run once at most: {starts}")
    for name in run.running():
        unfinished = run.node(name).counters()["unfinished"]
        if any(msgspec.structs.astuple(unfinished)):
            found.append(f"{name} has not let go: {unfinished}")
    return found


FOUND = [
    254,  # a task that was lost with one node expired with the next one, and was said to have had no effect
    752,  # a leaving node handed a task on, and its repetition to another node
    2186,  # an executor forgot an owner that was declared dead and was not, and ran its attempt again
    2710,  # a rumour of what a node offers missed one of five, who learned it from the next push-pull
    6932,  # what three nodes offer was told while their links to the others flapped, and not again after it
]


def violations_of(seed: int) -> list[str]:
    run = MeshRun(drawn_tape(seed))
    run.finish()
    return violations(run)


@pytest.mark.parametrize("seed", [*range(4), *FOUND])
def test_every_task_is_answered_and_nothing_is_left(seed: int) -> None:
    assert violations_of(seed) == []


@settings(max_examples=2, deadline=None, derandomize=True)
@given(st.integers(min_value=1_000, max_value=2**40))
def test_drawn_seeds_hold_the_same(seed: int) -> None:
    assert violations_of(seed) == []
