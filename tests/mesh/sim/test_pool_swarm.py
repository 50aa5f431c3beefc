"""Executors that fail, are too slow or have no room: whom the owner of their tasks cuts off, and takes back."""

import random

import pytest

from hubless.guard import Breakers, Evidence, Permit
from hubless_sim.faults import Fault, Pause
from hubless_sim.mesh.breaker_audit import BreakerAudit, unprobed
from hubless_sim.mesh.pool_swarm import drawn_tape
from hubless_sim.mesh.run import MeshRun
from hubless_sim.search.sweep import violations_of
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script

S = 1_000_000_000
POOL = ("n1", "n2", "n3")
NAMES = ("n0", *POOL)


@pytest.mark.parametrize("seed", range(8))
def test_the_standing_seeds_hold(seed: int) -> None:
    assert violations_of(seed, "pools") == ()


def test_the_seeds_make_breakers_move_and_executors_refuse() -> None:
    texts: list[str] = []
    for seed in range(6):
        run = MeshRun(drawn_tape(seed))
        run.finish()
        texts += [text for _, _, text in run.log]
    assert any("breaker" in text and "is open" in text for text in texts)
    assert any("breaker" in text and "is closed" in text for text in texts)


def failing(*peers: str) -> Breakers:
    """Breakers of n0, whose pool is POOL, after ten calls to each of these peers in the first second failed."""
    breakers = Breakers(rng=random.Random("breakers"))
    breakers.watch(POOL, {"square": POOL})
    for peer in peers:
        for number in range(10):
            permit = breakers.allows(peer, "square", number)
            if isinstance(permit, Permit):
                breakers.record_failure(permit, "worker_died", S)
    return breakers


def gone(*peers: str) -> Breakers:
    """Breakers of n0, after it was refused by these peers."""
    breakers = failing()
    for peer in peers:
        breakers.record_hard(peer, Evidence.REFUSED, S)
    return breakers


def rules(breakers: Breakers, *, deed: str = "answer", faults: tuple[Fault, ...] = ()) -> list[str]:
    call = Call(at_ms=0, agent="square", script=Script(1, (deed,)), gateway="n0")  # type: ignore[arg-type]
    audit = BreakerAudit(faults, (call,), NAMES)
    audit.look(S, "n0", 1, breakers)
    audit.look(S, "n0", 1, breakers)
    return [violation.checker for violation in audit.violations]


def test_a_breaker_that_opens_on_a_healthy_peer_is_blamed_once() -> None:
    assert rules(failing("n2")) == ["nobody healthy is cut off"]


def test_a_peer_in_the_hands_of_a_fault_or_of_a_bad_task_may_be_cut_off() -> None:
    assert rules(failing("n2"), faults=(Pause(at_ms=500, nodes=("n2",)),)) == []
    assert rules(failing("n2"), faults=(Pause(at_ms=500, nodes=("n0",)),)) == []
    assert rules(failing("n2"), deed="crash") == []
    assert rules(failing("n2"), faults=(Pause(at_ms=1_500, nodes=("n2",)),)) != []


def test_a_pool_that_is_cut_off_by_more_than_half_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pools keep their share" not in rules(gone(*POOL))
    monkeypatch.setattr("hubless.guard.pools.Pools.hindrance", lambda _self, _pool, _peer: "")
    assert "pools keep their share" in rules(gone(*POOL))


def test_who_waits_for_a_probe_must_get_one_if_there_are_calls() -> None:
    breakers = failing("n2")
    breakers.tick(3 * S)
    assert list(unprobed("n0", breakers, 9 * S, [4 * S] * 20)) == []
    assert list(unprobed("n0", breakers, 9 * S, [2 * S] * 100)) == []
    (found,) = unprobed("n0", breakers, 9 * S, [4 * S] * 100)
    assert (found.checker, found.nodes) == ("probes are made", ("n0",))
