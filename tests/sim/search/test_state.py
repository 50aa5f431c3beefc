"""The state of a sweep: what was put in is there again, whatever became of the process that wrote it."""

from __future__ import annotations

import pytest

from hubless_sim.search.shrink import Size
from hubless_sim.search.state import Recorded, State, StateError, Swept
from hubless_sim.verdict import Violation

SWEPT = Swept("mesh", None, True, "abc")
FAILURE = Recorded(7, (Violation("receipts", "lost", 5, ("n1",)),), "mesh-7.json", Size(1, 2, 3, 4, 5), 99)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


def test_what_was_done_is_there_again(path):
    with State(path, SWEPT) as state:
        for seed in (3, 1, 2, 9):
            state.add_held(seed)
        state.add_failed(FAILURE)
    with State(path, SWEPT) as state:
        assert (state.held, state.failed) == ({1, 2, 3, 9}, {7: FAILURE})
        state.add_held(4)
    with State(path, SWEPT) as state:
        assert state.held == {1, 2, 3, 4, 9}


def test_a_failure_is_in_the_file_at_once(path):
    with State(path, SWEPT) as state:
        state.add_failed(FAILURE)
        assert b"mesh-7.json" in path.read_bytes()


def test_a_line_that_was_torn_is_cut_off(path):
    with State(path, SWEPT) as state:
        state.add_held(1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"held":[[2,')
    with State(path, SWEPT) as state:
        assert state.held == {1}
    assert path.read_bytes() == whole


def test_two_sweeps_do_not_write_one_file(path):
    with State(path, SWEPT), pytest.raises(StateError, match="in use by another sweep"):
        State(path, SWEPT)


@pytest.mark.parametrize("raw", [b"{}\n", b"hello", b"[1]\n", b'{"held":[[1,2]]}\n', b"\xff\n"])
def test_a_file_that_is_no_state_is_refused_and_left_alone(path, raw):
    path.write_bytes(raw)
    with pytest.raises(StateError, match="not the state of a sweep"):
        State(path, SWEPT)
    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Swept("shards", None, True, "abc"), "system mesh, not shards"),
        (Swept("mesh", "a-bug", True, "abc"), "plant none, not a-bug"),
        (Swept("mesh", None, False, "abc"), "another --no-shrink"),
        (Swept("mesh", None, True, "abd"), "another version of the code"),
    ],
)
def test_the_state_of_another_sweep_is_refused(path, other, words):
    with State(path, SWEPT):
        pass
    with pytest.raises(StateError, match=words):
        State(path, other)
