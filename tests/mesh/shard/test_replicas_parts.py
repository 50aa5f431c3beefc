"""Alarms, beats and flushes: what a node keeps for thousands of shards without looking at all of them."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import MS, SECOND, Mesh

from hubless.shard.alarms import Alarms
from hubless.shard.beats import Beats
from hubless.shard.configs import NOBODY
from hubless.shard.flushes import Flushes
from hubless.shard.group import Group
from hubless.shard.learning import Learning
from hubless.shard.losses import Losses
from hubless.shard.output import Output, RaftSettings, Standing
from hubless.shard.raft import Raft
from hubless.shard.records import HardState, Recovered
from hubless.wire.replication import Beat, Led, Vote

# -- alarms -----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    grain=st.sampled_from([1, 7]),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 200)),
            st.tuples(st.just("clear"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("pass"), st.just(0), st.integers(0, 40)),
        ),
        max_size=80,
    ),
)
def test_alarms_come_when_they_are_due_and_never_before(grain, steps):
    alarms = Alarms(grain_ns=grain)
    wanted: dict[int, int] = {}
    now = 0
    for what, key, value in steps:
        match what:
            case "set":
                alarms.set(key, now + value)
                wanted[key] = -(-(now + value) // grain) * grain
            case "clear":
                alarms.set(key, None)
                wanted.pop(key, None)
            case _:
                now += value
                due = {key for key, at in wanted.items() if at <= now}
                next_due = alarms.next_deadline_ns()
                assert not due or (next_due is not None and next_due <= now)
                taken = alarms.take_due(now)
                assert len(taken) == len(set(taken))
                assert set(taken) == due
                wanted = {key: at for key, at in wanted.items() if at > now}
        assert len(alarms) == len(wanted)
        next_due = alarms.next_deadline_ns()
        if wanted:
            assert next_due is not None
            assert next_due <= min(wanted.values())


def test_an_alarm_that_is_moved_to_and_fro_takes_no_room():
    alarms = Alarms()
    for round_ in range(10_000):
        alarms.set(round_ % 3, 1_000_000 - round_)
    assert sorted(alarms.take_due(2_000_000)) == [0, 1, 2]
    assert alarms.next_deadline_ns() is None


def test_a_grain_must_be_positive():
    with pytest.raises(ValueError, match="grain_ns is 0"):
        Alarms(grain_ns=0)


# -- beats ------------------------------------------------------------------------------------------------


def test_an_answer_counts_once_and_only_from_whom_was_asked():
    beats = Beats(first_number=1_000)
    led = (Led(1, 2, 3),)
    ((node, beat),) = beats.beat(50, {"b": led})
    assert (node, beat) == ("b", Beat(1_001, led))
    assert beats.answered("c", 1_001) is None
    assert beats.answered("b", 1_000) is None
    sent = beats.answered("b", 1_001)
    assert sent is not None
    assert (sent.at_ns, sent.led) == (50, led)
    assert beats.answered("b", 1_001) is None


def test_beats_of_long_ago_are_forgotten():
    beats = Beats(first_number=0)
    for now_ns in range(40):
        beats.beat(now_ns, {"b": (Led(1, 2, 3),)})
    assert beats.answered("b", 8) is None
    assert beats.answered("b", 39) is not None
    beats.beat(41, {"c": (Led(1, 2, 3),)})
    assert beats.answered("b", 40) is None


def shaky_after(pattern: str, beats_sent: int) -> bool:
    """`pattern` of beats that are answered (x) or not (.), over and over."""
    beats = Beats(first_number=0)
    for turn in range(beats_sent):
        ((_, beat),) = beats.beat(turn, {"b": (Led(1, 2, 3),)})
        if pattern[turn % len(pattern)] == "x":
            assert beats.answered("b", beat.number) is not None
    return beats.shaky() == {"b"}


@pytest.mark.parametrize(
    ("pattern", "is_shaky"),
    [
        ("x", False),
        ("xx.", False),
        ("x.", True),
        ("xx...", True),
        ("xxx......", True),
        (".", False),
        ("x" * 16 + "." * 20, False),
    ],
    ids=["all", "most", "half", "flapping", "slowly", "dead", "a-pause"],
)
def test_who_answers_now_and_then_is_shaky_but_not_who_was_away(pattern: str, is_shaky: bool):
    assert shaky_after(pattern, 36) is is_shaky


def test_who_answers_again_is_shaky_no_more():
    assert shaky_after("." + "x.." * 12 + "x" * 12, 37)
    assert not shaky_after("." + "x.." * 12 + "x" * 40, 70)


# -- losses -----------------------------------------------------------------------------------------------


def lost_by_a(losses: Losses, times: list[int]) -> None:
    for at_ns in times:
        losses.owned_by(at_ns - 5, "a", "ab", 100)
        losses.owned_by(at_ns, "b", "ab", 100)


def test_who_loses_a_shard_again_and_again_waits_longer_each_time():
    losses = Losses()
    lost_by_a(losses, [1_000])
    assert losses.recent(1_099, 100) == {"a"}
    assert losses.recent(1_100, 100) == frozenset()
    lost_by_a(losses, [1_200, 1_500])
    assert losses.recent(1_899, 100) == {"a"}
    assert losses.recent(1_900, 100) == frozenset()
    lost_by_a(losses, [2_000 + turn * 1_000 for turn in range(40)])
    assert losses.pause_ns("a", 100) == 6_400


def test_what_was_long_ago_is_forgotten_and_giving_a_shard_back_is_no_loss():
    losses = Losses()
    lost_by_a(losses, [1_000, 1_200])
    assert losses.pause_ns("a", 100) == 200
    lost_by_a(losses, [2_700])
    assert losses.pause_ns("a", 100) == 100
    assert losses.recent(2_700, 100) == {"a"}, "b gave it back twice"


# -- learning ---------------------------------------------------------------------------------------------


def test_a_learner_with_nothing_new_is_done_without_for_a_while():
    learning = Learning()
    stands = {"b": Standing(3, is_caught_up=False, received=10)}
    assert learning.stuck(0, stands, 100) == frozenset()
    assert learning.stuck(799, stands, 100) == frozenset()
    assert learning.stuck(800, stands, 100) == {"b"}
    assert learning.stuck(2_399, {}, 100) == {"b"}
    assert learning.stuck(2_400, stands, 100) == frozenset()
    assert learning.stuck(3_199, stands, 100) == frozenset(), "it has its time again"


def test_a_learner_that_gets_on_or_has_all_is_waited_for():
    learning = Learning()
    for turn in range(40):
        slow = Standing(3, is_caught_up=False, received=turn // 7)
        done = Standing(9, is_caught_up=True)
        assert learning.stuck(100 * turn, {"b": slow, "c": done}, 100) == frozenset()


# -- flushes ----------------------------------------------------------------------------------------------


def group(shard: int) -> Group:
    raft = Raft(
        me="a",
        recovered=Recovered(shard=shard),
        config=None,
        settings=RaftSettings(),
        rng=random.Random(1),
        now_ns=0,
    )
    assert raft.config == NOBODY
    return Group(raft=raft, limit_bytes=1, handed=0, heard_ns=0)


def output(token: int, *, records: int = 0, held: int = 0) -> Output:
    return Output(
        records=[HardState(1, 1, "")] * records,
        now=[],
        held=[("b", Vote(1, token, granted=True))] * held,
        restored=None,
        committed=[],
        reads=[],
        flush=token,
    )


def test_what_is_held_without_records_waits_for_the_records_before_it_and_for_no_others():
    flushes = Flushes()
    one, other = group(1), group(2)
    flushes.add(one, output(1, records=1, held=1))
    assert flushes.commit().mark == 1
    flushes.add(other, output(1, records=2))
    flushes.add(one, output(1, held=1))
    second = flushes.commit()
    assert (second.mark, len(second.records)) == (2, 2)
    ready = flushes.flushed(1)
    assert [(each[0] is one, len(each[2])) for each in ready] == [(True, 1), (True, 1)]
    assert flushes.unflushed == 1
    assert [each[0] is other for each in flushes.flushed(2)] == [True]
    assert flushes.commit() is None


def test_one_flush_may_answer_for_several_commits():
    flushes = Flushes()
    for token in (1, 2, 3):
        flushes.add(group(token), output(token, records=1, held=1))
        flushes.commit()
    assert [token for _, token, _ in flushes.flushed(2)] == [1, 2]
    assert [token for _, token, _ in flushes.flushed(3)] == [3]


# -- the same on every run --------------------------------------------------------------------------------

_STORY = """
import hashlib, sys
sys.path.insert(0, {here!r})
from nodes import MS, SECOND, Mesh
mesh = Mesh(4, shards=8, seed=5)
digest = hashlib.sha256()
carry = mesh.carry
def noted(host, node, message):
    digest.update(repr((mesh.now_ns, host.name, node, message)).encode())
    carry(host, node, message)
mesh.carry = noted
mesh.run(3 * SECOND)
mesh.kill("n1")
mesh.run(SECOND)
mesh.drain("n2")
for shard in range(8):
    mesh.propose(shard)
mesh.run(3 * SECOND)
mesh.restart("n1")
mesh.run(2 * SECOND)
print(digest.hexdigest())
"""


def test_a_run_is_the_same_whatever_the_hash_seed():
    digests = set()
    for seed in ("1", "77"):
        story = _STORY.format(here=str(Path(__file__).parent))
        done = subprocess.run(
            [sys.executable, "-c", story],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_node_at_rest_wakes_for_beats_and_little_else():
    mesh = Mesh(3, shards=256)
    mesh.run_until_as_wished()
    mesh.run(3 * SECOND)
    replicas = mesh.running("n0")
    wakes, now_ns = 0, mesh.now_ns
    end_ns = now_ns + 2 * SECOND
    while mesh.now_ns < end_ns:
        due_ns = replicas.next_deadline_ns()
        assert due_ns is not None
        wakes += 1
        mesh.run(max(MS // 10, due_ns - mesh.now_ns))
    assert wakes <= 2 * (10 + 40) + 10  # beats, and alarms of a quarter of a beat
