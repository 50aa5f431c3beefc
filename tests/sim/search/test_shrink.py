"""Shrinking: what is left of tapes that fail, by rules that are known, and by bugs that were planted."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from hubless_sim.faults import (
    Crash,
    FailedFlush,
    Fault,
    Flapping,
    Isolate,
    Latency,
    Loss,
    Partition,
    Pause,
    Restart,
    Starve,
)
from hubless_sim.play import play
from hubless_sim.search.shrink import NothingToShrinkError, Shrunk, shrink, size_of
from hubless_sim.search.swarms import SWARMS
from hubless_sim.tapes.operations import Call, Opinion, Query, Ring
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, Offering, ShardSystem, Workload
from hubless_sim.tapes.tape import Start, Tape, TapeError, replace
from hubless_sim.verdict import Violation
from hubless_sim.zoo import planted

NAMES = ("n0", "n1", "n2", "n3", "n4")
WRONG = Violation("rule", "it is broken")


def failing_if(rule: Callable[[Tape], object]) -> Callable[[Tape], list[Violation]]:
    """Runs no tape, but says that those break the rule of which this is true."""
    return lambda tape: [WRONG] if rule(tape) else []


def shards(*faults: Fault, duration_ms: int = 6_000, **more) -> Tape:
    work = Workload(from_ms=400, until_ms=3_000, probe_ms=4_000)
    system = ShardSystem(shards=3, keep_entries=0, workload=work)
    return Tape(seed=1, nodes=5, clients=3, duration_ms=duration_ms, system=system, faults=faults, **more)


def has(tape: Tape, kind: type, node: str) -> bool:
    return any(isinstance(fault, kind) and node in fault.nodes for fault in tape.faults)


MUCH = (
    Loss(at_ms=500, until_ms=900, rate=0.3),
    Crash(at_ms=600, nodes=("n1", "n2"), silent=True),
    Pause(at_ms=650, until_ms=1_650, nodes=("n0", "n3")),
    Restart(at_ms=700, nodes=("n1", "n2"), wipe=True),
    Flapping(at_ms=800, until_ms=1_500, sides=(("n0",), ("n3", "n4")), down_ms=50, up_ms=50),
    Starve(at_ms=900, until_ms=1_500, nodes=("n4",), blocks="messages", blocked_ms=100, awake_ms=50),
    Latency(at_ms=1_000, until_ms=1_100, base_us=2_000, jitter_us=100),
)


def test_what_has_nothing_to_do_with_the_failure_goes():
    shrunk = shrink(shards(*MUCH), fails=failing_if(lambda tape: has(tape, Pause, "n3")))
    assert shrunk.ended == "smallest"
    (fault,) = shrunk.tape.faults
    assert isinstance(fault, Pause)
    assert fault.nodes == ("n3",)
    assert fault.until_ms == fault.at_ms + 1
    assert (shrunk.after.nodes, shrunk.after.clients) == (4, 1)
    assert shrunk.before == size_of(shards(*MUCH))
    assert shrunk.violations == (WRONG,)


def test_settings_go_back_to_their_defaults_and_shards_to_one():
    shrunk = shrink(shards(*MUCH), fails=failing_if(lambda tape: tape.faults))
    assert shrunk.after.faults == 1
    assert isinstance(shrunk.tape.system, ShardSystem)
    assert (shrunk.tape.system.shards, shrunk.tape.system.keep_entries) == (1, 8)


def test_values_become_plain():
    shrunk = shrink(
        shards(*MUCH), fails=failing_if(lambda tape: any(isinstance(f, Starve) for f in tape.faults))
    )
    (fault,) = shrunk.tape.faults
    assert isinstance(fault, Starve)
    assert (fault.blocks, fault.blocked_ms, fault.awake_ms) == ("all", 0, 0)


def test_all_that_the_failure_needs_stays():
    def rule(tape: Tape) -> bool:
        return sum(isinstance(fault, Loss | Latency) for fault in tape.faults) == 2

    shrunk = shrink(shards(*MUCH), fails=failing_if(rule))
    assert [type(fault) for fault in shrunk.tape.faults] == [Loss, Latency]


def test_who_is_left_moves_up_wherever_the_tape_names_them():
    tape = shards(
        Crash(at_ms=500, nodes=("n1", "n4")),
        Partition(at_ms=600, until_ms=700, sides=(("n3",), ("n4",))),
        Restart(at_ms=800, nodes=("n4",)),
        duration_ms=3_900,
        operations=(
            Opinion(at_ms=900, nodes=("n0", "n4"), member="n3", condition="gone"),
            Ring(at_ms=950, nodes=("n4",), members=("n0", "n3", "n4")),
        ),
        start=Start(absent=("n1",)),
    )

    def rule(tape: Tape) -> bool:
        opinions = [each for each in tape.operations if isinstance(each, Opinion)]
        parted = [fault for fault in tape.faults if isinstance(fault, Partition)]
        return bool(opinions and parted) and parted[0].sides[0] == (opinions[0].member,) != ("n0",)

    shrunk = shrink(tape, fails=failing_if(rule))
    (parted,) = shrunk.tape.faults
    (opinion,) = shrunk.tape.operations
    assert isinstance(parted, Partition)
    assert isinstance(opinion, Opinion)
    assert shrunk.tape.nodes == 3
    assert (parted.sides, opinion.member) == ((("n1",), ("n2",)), "n1")


def test_questions_go_with_their_calls_and_keep_to_them():
    calls = [Call(at_ms=100 * number, agent="a", script=Script(number), gateway="n1") for number in range(9)]
    queries = [Query(at_ms=100 * number + 5, what="status", gateway="n0", call=number) for number in range(9)]
    system = MeshSystem(agents=(Offering(name="b"), Offering(name="a")), shards=8)
    tape = Tape(seed=1, nodes=2, clients=2, duration_ms=2_000, system=system, operations=(*calls, *queries))

    def rule(tape: Tape) -> bool:
        numbers = [each.script.n for each in tape.operations if isinstance(each, Call)]
        asked = [each for each in tape.operations if isinstance(each, Query)]
        return 2 in numbers and any(numbers[each.call] == 7 for each in asked)

    shrunk = shrink(tape, fails=failing_if(rule)).tape
    assert [each.script.n for each in shrunk.operations if isinstance(each, Call)] == [2, 7]
    assert [each.call for each in shrunk.operations if isinstance(each, Query)] == [1]
    assert isinstance(shrunk.system, MeshSystem)
    assert [agent.name for agent in shrunk.system.agents] == ["a"]


def test_idle_time_goes_but_not_that_of_the_calm():
    faults = (
        Isolate(at_ms=1_000, until_ms=1_100, nodes=("n1",)),
        Isolate(at_ms=2_000, until_ms=2_500, nodes=("n2",)),
    )
    shrunk = shrink(
        shards(*faults), fails=failing_if(lambda tape: len(tape.faults) == 2 and tape.duration_ms > 4_000)
    )
    assert isinstance(shrunk.tape.system, ShardSystem)
    last_ms = max(fault.until_ms or 0 for fault in shrunk.tape.faults if isinstance(fault, Isolate))
    assert last_ms < 100
    assert shrunk.tape.system.workload.probe_ms - last_ms >= 1_500
    assert shrunk.tape.duration_ms - shrunk.tape.system.workload.probe_ms >= 2_000


@pytest.mark.parametrize(
    "faults",
    [
        (Crash(at_ms=500, nodes=("n1",)), Restart(at_ms=900, nodes=("n1",))),
        (FailedFlush(at_ms=500, until_ms=800, nodes=("n1",)), Restart(at_ms=900, nodes=("n1",))),
    ],
)
def test_nobody_is_left_down_to_make_shards_fail(faults):
    """The rule would be as broken without the restart, but any shard may be dead then."""
    shrunk = shrink(shards(*faults), fails=failing_if(lambda tape: tape.faults and tape.duration_ms >= 4_000))
    assert [type(fault) for fault in shrunk.tape.faults] != [type(faults[0])]


def test_late_truths_stay_with_the_lies_that_they_end():
    lie = Opinion(at_ms=500, nodes=NAMES, member="n2", condition="gone")
    tape = shards(operations=(lie, replace_condition(lie)))
    shrunk = shrink(
        tape, fails=failing_if(lambda tape: any(is_lie(each) for each in tape.operations) and is_long(tape))
    )
    assert [is_lie(each) for each in shrunk.tape.operations] == [True, False]


def replace_condition(lie: Opinion) -> Opinion:
    return Opinion(at_ms=lie.at_ms + 500, nodes=lie.nodes, member=lie.member, condition="well")


def is_lie(operation: object) -> bool:
    return isinstance(operation, Opinion) and operation.condition != "well"


def is_long(tape: Tape) -> bool:
    return tape.duration_ms > 4_000


def test_the_tape_ends_where_the_failure_is_seen():
    seen = Violation("rule", "it is broken", at_ns=1_234_567_890)

    def fails(tape: Tape) -> list[Violation]:
        return [seen] if tape.duration_ms >= 1_235 else []

    assert shrink(shards(*MUCH), fails=fails).after.duration_ms == 1_235


def test_views_are_given_as_much_time_as_before_and_no_ms_is_whittled_off():
    faults = (Pause(at_ms=9_000, until_ms=9_900, nodes=("n1",)), Crash(at_ms=10_000, nodes=("n2",)))
    tape = Tape(seed=1, nodes=4, duration_ms=30_000, system=GossipSystem(right_views=True), faults=faults)
    shrunk = shrink(
        tape, fails=failing_if(lambda tape: any(isinstance(fault, Pause) for fault in tape.faults))
    )
    assert [type(fault) for fault in shrunk.tape.faults] == [Pause]
    assert 20_000 <= shrunk.after.duration_ms <= 21_000
    assert shrunk.runs < 60


def test_the_same_tape_shrinks_in_the_same_way():
    rule = failing_if(lambda tape: has(tape, Crash, "n2") and has(tape, Pause, "n0"))
    assert shrink(shards(*MUCH), fails=rule) == shrink(shards(*MUCH), fails=rule)


def test_no_tape_is_run_twice():
    seen = []

    def rule(tape: Tape) -> bool:
        seen.append(tape.to_json())
        return has(tape, Pause, "n3")

    shrunk = shrink(shards(*MUCH), fails=failing_if(rule))
    assert len(seen) == len(set(seen)) == shrunk.runs


def test_runs_and_time_are_bounded():
    rule = failing_if(lambda tape: has(tape, Pause, "n3"))
    shrunk = shrink(shards(*MUCH), fails=rule, most_runs=5)
    assert (shrunk.runs, shrunk.ended) == (5, "runs")
    assert rule(shrunk.tape)
    assert shrink(shards(*MUCH), fails=rule, is_time_up=lambda: True).ended == "time"


def test_only_the_same_failure_counts():
    def fails(tape: Tape) -> list[Violation]:
        return [Violation("dead", "") if has(tape, Pause, "n3") else Violation("slow", "")]

    assert has(shrink(shards(*MUCH), fails=fails).tape, Pause, "n3")


def test_one_of_several_failures_can_be_named():
    def fails(tape: Tape) -> list[Violation]:
        return [
            *[Violation("a", "")] * has(tape, Pause, "n3"),
            *[Violation("b", "")] * has(tape, Crash, "n1"),
        ]

    shrunk = shrink(shards(*MUCH), fails=fails, checker="b")
    assert (shrunk.checker, has(shrunk.tape, Crash, "n1"), has(shrunk.tape, Pause, "n3")) == (
        "b",
        True,
        False,
    )
    with pytest.raises(NothingToShrinkError, match="does not fail by 'c', but by 'a', 'b'"):
        shrink(shards(*MUCH), fails=fails, checker="c")


def test_unsound_tapes_are_not_taken():
    shrunk = shrink(
        shards(*MUCH), fails=failing_if(lambda tape: True), sound=lambda tape: len(tape.faults) >= 3
    )
    assert shrunk.after.faults == 3


def test_tapes_that_cannot_be_run_are_not_taken():
    def fails(tape: Tape) -> list[Violation]:
        if tape.nodes < 4:
            raise TapeError("too few")
        return [WRONG]

    assert shrink(shards(*MUCH), fails=fails).after.nodes == 4


def test_a_tape_that_passes_is_refused():
    with pytest.raises(NothingToShrinkError, match="the tape passes"):
        shrink(replace(shards(), duration_ms=500))


def shrunk_by(plant: str, system: str, seed: int, **more) -> Shrunk:
    """A tape of a seed that a planted bug makes fail; it still does so when it is small, and holds without the bug."""
    tape = SWARMS[system](seed)
    with planted(plant):
        shrunk = shrink(tape, **more)
        assert shrunk.checker in {violation.checker for violation in play(tape).violations}
        assert shrunk.checker in {violation.checker for violation in play(shrunk.tape).violations}
    assert play(shrunk.tape).verdict == "held"
    return shrunk


@pytest.mark.parametrize(
    ("plant", "seed", "faults"),
    [
        ("promises-before-the-flush", 0, 0),
        ("commits-what-one-too-few-has", 0, 0),
        ("hears-an-owner-that-it-doubts-for-ever", 4, 1),
    ],
)
def test_tapes_of_planted_bugs_get_small(plant, seed, faults):
    assert shrunk_by(plant, "shards", seed, most_runs=150).after.faults <= faults


@pytest.mark.long
def test_three_faults_are_left_of_most_planted_bugs():
    seeds = {
        "elects-whoever-asks": 44,
        "asks-half-of-a-joint-configuration": 3,
        "counts-the-ring-and-not-the-configuration": 3,
        "believes-any-log-to-match": 9,
        "reads-without-asking-whether-it-still-owns": 37,
        "forgets-the-vote-over-a-restart": 17,
    }
    left = [shrunk_by(plant, "shards", seed).after.faults for plant, seed in seeds.items()]
    assert statistics.median(left) <= 3


@pytest.mark.long
def test_the_clients_of_whole_nodes_ask_for_little_in_the_end():
    shrunk = shrunk_by("answers-before-the-flush", "mesh", 96, checker="nothing lost")
    assert shrunk.after.faults <= 3
    assert shrunk.after.operations <= 10
