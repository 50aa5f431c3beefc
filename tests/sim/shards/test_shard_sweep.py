"""Bare shards under faults of every kind: safe after every event, linearizable, and alive after the faults."""

import pytest

from hubless_sim.faults import MESH_KINDS, Crash
from hubless_sim.play import open_run, play
from hubless_sim.search.sweep import swept, violations_of
from hubless_sim.shards.registers import Put, Registers
from hubless_sim.shards.swarm import NAMES, drawn_tape
from hubless_sim.tapes.systems import ShardSystem, Workload
from hubless_sim.tapes.tape import Tape

STANDING = range(100, 200)
LOCKSTEP = (57, 2213)
"""Two voters that had been started at one instant asked for votes in step, again and again, and neither won."""
LONG = 10_000


@pytest.mark.parametrize("first", STANDING[::10])
def test_the_standing_seeds_hold(first: int) -> None:
    failed = {seed: found for seed in range(first, first + 10) if (found := violations_of(seed))}
    assert failed == {}


@pytest.mark.parametrize("seed", LOCKSTEP)
def test_seeds_that_once_went_wrong_hold(seed: int) -> None:
    assert violations_of(seed) == ()


@pytest.mark.long
def test_ten_thousand_seeds_hold() -> None:
    failed = {seed: violations for seed, violations in swept(0, LONG, 2) if violations}
    assert failed == {}


def test_the_seeds_draw_every_kind_of_fault_that_concerns_a_shard() -> None:
    drawn = {fault.__struct_config__.tag for seed in range(300) for fault in drawn_tape(seed).faults}
    assert drawn == set(MESH_KINDS) - {"size_limit"}  # which swarms of whole nodes and of membership draw


def test_a_machine_that_applies_a_repeated_request_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Registers.apply

    def again(self: Registers, body: bytes) -> Put:
        self._done.clear()
        return apply(self, body)

    monkeypatch.setattr(Registers, "apply", again)
    assert any("not linearizable" in text for seed in range(60) for text in violations_of(seed))


def test_a_quiet_run_elects_once_a_term_and_answers_everything() -> None:
    result = play(Tape(seed=1, nodes=5, clients=3, duration_ms=8_000, system=ShardSystem(shards=4)))
    assert result.violations == ()
    assert result.found["given_up"] == 0
    assert result.found["answered"] > 300
    assert result.found["lost_shards"] == []
    assert result.written_bytes > 10_000


def test_shards_at_rest_say_nothing_but_beats() -> None:
    """Two beats and their answers between an owner and each of its two followers in a tenth of a second."""
    quiet = Workload(until_ms=500, probe_ms=900)
    tape = Tape(seed=1, nodes=3, clients=1, duration_ms=9_000, system=ShardSystem(shards=8, workload=quiet))
    run = open_run(tape)
    run.advance_to_ms(5_000)
    before = [run.traffic(name).messages_out for name in run.names()]
    written = [run.world.disk(index).use.writes for index in range(3)]
    run.advance_to_ms(8_000)
    sent = sum(run.traffic(name).messages_out for name in run.names()) - sum(before)
    assert sent <= 3 * 2 * 2 * 3_000 / 50
    assert [run.world.disk(index).use.writes for index in range(3)] == written


def test_a_shard_whose_voters_are_gone_for_good_is_lost_and_not_blamed() -> None:
    tape = Tape(
        seed=1,
        nodes=5,
        clients=1,
        duration_ms=6_000,
        system=ShardSystem(shards=3),
        faults=(Crash(at_ms=2_000, nodes=NAMES[:3]),),
    )
    result = play(tape)
    assert result.violations == ()
    assert result.found["lost_shards"]
