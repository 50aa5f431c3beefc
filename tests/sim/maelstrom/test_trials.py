"""The cores behind Maelstrom's protocol keep each workload's promise, whatever happens to the network meanwhile."""

import pytest
from msgspec.structs import replace

from hubless_sim.faults import Fault, Isolate, Loss, Partition, Pause
from hubless_sim.maelstrom import checks
from hubless_sim.maelstrom.clients import Done, Timing
from hubless_sim.maelstrom.node import WORKLOADS, Workload
from hubless_sim.maelstrom.protocol import Body
from hubless_sim.maelstrom.trial import trial

SHORT = Timing(until_ms=5_000, final_ms=8_000)
FAULTS: dict[str, tuple[Fault, ...]] = {
    "calm": (),
    "partition and loss": (
        Partition(at_ms=2_000, until_ms=4_500, sides=(("n0", "n1"), ("n2", "n3", "n4"))),
        Loss(at_ms=1_500, until_ms=5_000, rate=0.2),
    ),
    "the founder is cut off": (Isolate(at_ms=2_000, until_ms=4_500, nodes=("n0",)),),
    "the founder stands still": (Pause(at_ms=2_000, until_ms=4_500, nodes=("n0",)),),
}


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_holds(workload: Workload, faults: str) -> None:
    result = trial(workload, faults=FAULTS[faults], timing=SHORT, seed=len(faults))
    assert result.violations == ()
    assert result.answered > 10


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_few_nodes_will_do(nodes: int) -> None:
    assert trial("lin-kv", nodes=nodes, timing=SHORT).verdict == "held"


def test_keys_have_another_owner_while_the_first_is_cut_off() -> None:
    """It is cut off to the end: what is answered then, the others have agreed on."""
    cut = Isolate(at_ms=2_000, until_ms=None, nodes=("n0",))
    result = trial("lin-kv", faults=(cut,), timing=SHORT)
    assert (result.verdict, result.answered > 100) == ("held", True)


def test_a_trial_is_the_same_twice() -> None:
    assert trial("lin-kv", timing=SHORT, seed=3) == trial("lin-kv", timing=SHORT, seed=3)
    assert trial("lin-kv", timing=SHORT, seed=3).digest != trial("lin-kv", timing=SHORT, seed=4).digest


def done(request: Body, answer: Body | None, at: int = 0, *, node: int = 0, is_final: bool = False) -> Done:
    return Done(5, node, at, None if answer is None else at + 1, request, answer, is_final)


OK: Body = {"type": "add_ok"}
ADD, READ = {"type": "add", "element": 1}, {"type": "read"}
PLUS = {"type": "add", "delta": 3}


def values(*found: int) -> Body:
    return {"type": "read_ok", "value": list(found)}


@pytest.mark.parametrize(
    ("workload", "history", "rule"),
    [
        ("echo", [done({"type": "echo", "echo": "a"}, {"type": "echo_ok", "echo": "b"})], "came back"),
        (
            "unique-ids",
            [done({"type": "generate"}, {"type": "generate_ok", "id": "x"}, n) for n in (1, 2)],
            "twice",
        ),
        ("g-set", [done(ADD, OK), done(READ, values(), is_final=True)], "lacks 1 of 1"),
        ("g-set", [done(ADD, OK), done(READ, values(1, 2))], "nobody added"),
        ("g-set", [done(ADD, OK), done(READ, values(1, 1))], "twice"),
        (
            "pn-counter",
            [done(PLUS, OK), done(READ, {"type": "read_ok", "value": 2}, is_final=True)],
            "counts 2",
        ),
        (
            "pn-counter",
            [
                done(PLUS, None),
                *(done(READ, {"type": "read_ok", "value": n}, node=n, is_final=True) for n in (0, 3)),
            ],
            "differently",
        ),
        ("g-set", [done(ADD, OK)], "did not answer"),
        ("echo", [], "no request was answered"),
        (
            "lin-kv",
            [
                done({"type": "write", "key": 1, "value": 4}, {"type": "write_ok"}, 0),
                done({"type": "read", "key": 1}, {"type": "error", "code": 20}, 9),
            ],
            "not linearizable",
        ),
        (
            "lin-kv",
            [
                done({"type": "write", "key": 1, "value": 4}, {"type": "write_ok"}, 0),
                done({"type": "cas", "key": 1, "from": 3, "to": 2}, {"type": "cas_ok"}, 9),
            ],
            "not linearizable",
        ),
    ],
)
def test_what_is_wrong_is_seen(workload: Workload, history: list[Done], rule: str) -> None:
    assert rule in " ".join(violation.text for violation in checks.violations(workload, history, 1))


def test_what_may_or_may_not_have_been_done_is_either() -> None:
    write = done({"type": "write", "key": 1, "value": 4}, None)
    for answer in ({"type": "read_ok", "value": 4}, {"type": "error", "code": 20}):
        read = done({"type": "read", "key": 1}, answer, 9)
        assert checks.violations("lin-kv", [write, read], 1) == []
        assert checks.violations("lin-kv", [write, read, replace(read, call_ns=20, return_ns=21)], 1) == []
