"""Agents that misbehave, a store that fails them, late orders, wrong settings: what the mesh makes of it."""

from typing import Any, get_args

import msgspec
import pytest

from hubless_agents.contract import OnBreach
from hubless_sim.faults import (
    AgentAnswers,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    Crash,
    Fault,
    Isolate,
    Misconfigured,
    Restart,
    StaleOrders,
    StoreSevered,
    StoreSlow,
    StoreToken,
)
from hubless_sim.faults.agents import Answering
from hubless_sim.mesh.run import MeshRun
from hubless_sim.mesh.store import Access, Store, token_of, unfenced
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script, Signed, answer_of
from hubless_sim.tapes.systems import MeshSystem, Offering, ReplicaKnobs
from hubless_sim.tapes.tape import Start, Tape

MS = 1_000_000
ALL = ("n0", "n1", "n2", "n3")
FIRST_MS = 1_500
OWNED_MS = 6_000
WHILE: Any = {"at_ms": 1_000, "until_ms": 3_000, "nodes": ALL}
TASK = bytes(16)


def run_of(
    *faults: Fault,
    calls: int = 4,
    ms: float = 20.0,
    gateway: str = "n0",
    key: str = "",
    absent: tuple[str, ...] = (),
    max_kills: int = 100,
    **agent: Any,
) -> MeshRun:
    """Four nodes, and calls of one agent 100 ms apart; whatever must hold does, in the end."""
    offering = Offering(**{"name": "square", "deadline_ms": 300, **agent})
    operations = tuple(
        Call(
            at_ms=FIRST_MS + 100 * number,
            agent="square",
            script=Script(number, ms=ms),
            gateway=gateway,
            key=f"{key}{number}" if key else "",
            deadline_ms=3_000,
            receipt=True,
            own_shard=False,
        )
        for number in range(calls)
    )
    tape = Tape(
        seed=1,
        nodes=4,
        clients=1,
        duration_ms=12_000,
        start=Start(join=(), absent=absent),
        system=MeshSystem(
            agents=(offering,), shards=4, owned_ms=OWNED_MS, max_kills=max_kills, replicas=ReplicaKnobs()
        ),
        operations=operations,
        faults=faults,
    )
    run = MeshRun(tape)
    assert run.finish().violations == ()
    return run


def codes(run: MeshRun) -> list[str]:
    return [run.answers[number][1].code for number in range(len(run.calls))]


def attempts(run: MeshRun) -> list[int]:
    return [run.answers[number][1].attempt for number in range(len(run.calls))]


# -- answers --------------------------------------------------------------------------------------------

ENDS: dict[Answering, str] = {
    "garbled": "bad_output",
    "off_schema": "bad_output",
    "wrong": "",
    "repeated": "",
    "missing": "deadline",
    "oversized": "payload_too_large",
}


@pytest.mark.parametrize("does", get_args(Answering))
def test_calls_end_by_what_their_agent_answers(does: Answering) -> None:
    assert codes(run_of(AgentAnswers(**WHILE, does=does))) == [ENDS[does]] * 4


def test_a_wrong_answer_reaches_its_client_as_the_agent_gave_it() -> None:
    run = run_of(AgentAnswers(**WHILE, does="wrong"))
    replies = [msgspec.json.decode(answer.payload, type=Signed) for _, answer in run.answers.values()]
    assert [reply.out for reply in replies] == [answer_of(reply.n) + 1 for reply in replies]


def test_a_wrong_answer_that_no_agent_gave_is_found() -> None:
    run = run_of(AgentAnswers(**WHILE, does="wrong"))
    run.misled.clear()
    assert {violation.checker for violation in run.violations()} == {"right answers", "right results"}


def test_who_answers_twice_is_replaced() -> None:
    texts = [text for _, _, text in run_of(AgentAnswers(**WHILE, does="repeated"), calls=1).log]
    assert any("which it does not have" in text for text in texts)


@pytest.mark.parametrize("does", ["garbled", "off_schema"])
def test_an_answer_that_is_rejected_now_and_then_costs_an_attempt(does: Answering) -> None:
    run = run_of(AgentAnswers(**WHILE, does=does, rate=0.3), calls=8, retries=8)
    assert set(codes(run)) == {""}
    assert max(attempts(run)) > 1


def test_an_agent_that_misbehaves_too_often_is_set_aside_on_that_node() -> None:
    run = run_of(AgentHangs(**WHILE | {"nodes": ("n1",)}), nodes=("n1",), max_kills=1)
    assert any("set aside" in text for _, node, text in run.log if node == "n1")


# -- time and memory -------------------------------------------------------------------------------------


def test_a_slow_agent_has_its_contracts_deadline() -> None:
    assert codes(run_of(AgentSlow(**WHILE, factor=5))) == [""] * 4
    assert codes(run_of(AgentSlow(**WHILE, factor=50), retries=0)) == ["deadline"] * 4


def test_only_the_agents_that_are_named_are_slow() -> None:
    other = Offering(name="other", deadline_ms=300)
    run = run_of(AgentSlow(**WHILE, factor=50, agents=("square",)), retries=0)
    tape = msgspec.structs.replace(
        run.tape,
        system=msgspec.structs.replace(run.system, agents=(*run.system.agents, other)),
        operations=tuple(msgspec.structs.replace(call, agent="other") for call in run.calls),
    )
    again = MeshRun(tape)
    again.finish()
    assert codes(again) == [""] * 4


def test_a_process_that_leaks_is_replaced_when_it_has_used_up_its_memory() -> None:
    run = run_of(AgentLeaks(**WHILE, mb=40), ms=80.0, calls=9, memory_mb=96, retries=0, nodes=("n1",))
    assert codes(run).count("out_of_memory") == 3
    assert codes(run)[:2] == ["", ""]


def test_a_leak_that_no_contract_forbids_is_never_noticed() -> None:
    assert codes(run_of(AgentLeaks(**WHILE, mb=1_000), ms=80.0)) == [""] * 4


# -- an outside store ------------------------------------------------------------------------------------


def test_a_store_that_is_out_of_reach_for_a_moment_costs_a_repetition() -> None:
    cut: Any = WHILE | {"until_ms": FIRST_MS + 30}
    retrying = OnBreach(raised="retry")
    assert codes(run_of(StoreSevered(**cut), store=True, calls=1)) == ["raised"]
    assert codes(run_of(StoreSevered(**cut), store=True, calls=1, on_breach=retrying)) == [""]


def test_a_store_takes_a_random_time_to_be_read() -> None:
    run = run_of(StoreSlow(**WHILE, jitter_us=50_000), store=True, calls=8)
    begun = {each.task: each.at_ns for each in run.store.accesses if each.what == "read"}
    took = {(each.at_ns - begun[each.task]) // MS for each in run.store.accesses if each.what == "written"}
    assert len(took) > 4
    assert min(took) >= 20


@pytest.mark.parametrize(("does", "told"), [("corrupted", "no token"), ("replayed", "a token of attempt 0")])
def test_the_store_refuses_a_token_that_is_not_the_attempts_own(does: Any, told: str) -> None:
    run = run_of(StoreToken(**WHILE, does=does), store=True, calls=2)
    assert codes(run) == ["raised"] * 2
    assert [each.what for each in run.store.accesses] == ["read", "refused"] * 2
    store = Store()
    store.read(0, TASK, 1, "n1/1")
    token = token_of(TASK, 1)[::-1] if does == "corrupted" else token_of(TASK, 0)
    assert told in store.write(0, TASK, 1, "n1/1", token)


def test_an_attempt_that_has_been_given_up_cannot_write_any_more() -> None:
    """Its node is cut off while it runs; the next attempt begins elsewhere and writes first."""
    slow: Any = {"at_ms": 1_000, "until_ms": 1_550, "nodes": ("n1", "n2")}
    run = run_of(
        AgentSlow(**slow, factor=60),
        Isolate(at_ms=1_560, until_ms=2_400, nodes=("n2",)),
        store=True,
        calls=1,
        deadline_ms=2_500,
        nodes=("n1", "n2"),
        gateway="n1",
    )
    assert codes(run) == [""]
    accesses = [(each.what, each.attempt) for each in run.store.accesses]
    assert accesses == [("read", 1), ("read", 2), ("written", 2), ("refused", 1)]


def test_writes_that_nobody_fenced_off_are_named() -> None:
    def accesses(*made: tuple[Any, int, str]) -> list[Access]:
        return [Access(0, what, TASK, attempt, place) for what, attempt, place in made]

    sound = accesses(("read", 1, "n1/1"), ("read", 2, "n2/1"), ("written", 2, "n2/1"), ("refused", 1, "n1/1"))
    assert list(unfenced(sound)) == []
    late = accesses(("read", 1, "n1/1"), ("read", 2, "n2/1"), ("written", 1, "n1/1"))
    assert "has written after attempt 2 had begun" in next(unfenced(late))
    twice = accesses(("read", 1, "n1/1"), ("read", 1, "n2/1"))
    assert "is shown by n1/1 and n2/1" in next(unfenced(twice))


# -- orders and settings ---------------------------------------------------------------------------------


def test_an_order_of_a_deposed_owner_that_comes_late_starts_nothing_twice() -> None:
    """The owners of all shards give their orders a second late, and crash meanwhile; the next owners order anew."""
    late = StaleOrders(at_ms=1_400, until_ms=2_000, nodes=("n1", "n2", "n3"), late_ms=1_000)
    crash = Crash(at_ms=1_950, nodes=("n1", "n2"))
    run = run_of(late, crash, Restart(at_ms=3_500, nodes=("n1", "n2")), nodes=("n0", "n3"))
    assert codes(run) == [""] * 4
    for starts in run.starts.values():
        begun = [start.attempt for start in starts]
        assert len(begun) == len(set(begun))


def test_a_process_with_the_id_of_another_mesh_does_not_start_on_a_journal() -> None:
    wrong = Misconfigured(at_ms=1_000, until_ms=3_000, nodes=("n3",), does="mesh")
    run = run_of(wrong, Restart(at_ms=1_100, nodes=("n3",)), Restart(at_ms=3_001, nodes=("n3",)))
    assert run.halted == {"n3": "the journal is of another mesh"}
    assert codes(run) == [""] * 4


def test_a_newcomer_with_the_id_of_another_mesh_is_not_let_in() -> None:
    wrong = Misconfigured(at_ms=0, nodes=("n3",), does="mesh")
    tape = run_of(wrong, absent=("n3",)).tape
    run = MeshRun(msgspec.structs.replace(tape, faults=(wrong, Restart(at_ms=1_000, nodes=("n3",)))))
    run.advance_to_ms(OWNED_MS)
    assert all(run.host(name).gossip.member("n3") is None for name in ("n0", "n1", "n2"))
    assert [member.node for member in run.host("n3").gossip.members()] == ["n3"]
    assert codes(run) == [""] * 4


def test_a_gateway_with_another_number_of_shards_refuses_keys_and_says_why() -> None:
    wrong = Misconfigured(at_ms=1_000, until_ms=3_000, nodes=("n3",), does="shards")
    restarts = (Restart(at_ms=1_100, nodes=("n3",)), Restart(at_ms=3_001, nodes=("n3",)))
    run = run_of(wrong, *restarts, gateway="n3", key="key-", calls=12)
    assert set(codes(run)) == {"", "bad_input"}
    assert codes(run_of(wrong, *restarts, gateway="n0", key="key-", calls=12)) == [""] * 12


def test_a_contract_that_forbids_what_the_agent_answers_shows_where_it_is() -> None:
    wrong = Misconfigured(at_ms=1_000, until_ms=3_000, nodes=("n3",), does="contract")
    restarts = (Restart(at_ms=1_100, nodes=("n3",)), Restart(at_ms=3_001, nodes=("n3",)))
    run = run_of(wrong, *restarts, nodes=("n3",), calls=20)
    answers = [answer for _, answer in run.answers.values()]
    assert {answer.code for answer in answers} >= {"", "bad_output"}
    assert all("n3" in answer.where for answer in answers if answer.code == "bad_output")
