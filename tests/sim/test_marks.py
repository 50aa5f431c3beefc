"""Marks: found in the sources, counted over runs, and all of them reached by the standing sweep."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from hubless_gossip.marks import sometimes
from hubless_sim.cli import coverage as coverage_command
from hubless_sim.mesh.run import MeshRun
from hubless_sim.play import play
from hubless_sim.search import coverage
from hubless_sim.search.marks import Mark, MarkError, counting, marks, marks_of
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import MeshSystem, Offering
from hubless_sim.tapes.tape import Start, Tape, replace

FAR, NEAR = Mark("a", "a/far.py", 3, "far"), Mark("a", "a/near.py", 5, "near")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "core.py").write_text('def f(rare):\n    if rare:\n        sometimes("it was rare")\n')
    (tmp_path / "room").mkdir()
    return tmp_path


def test_the_standing_sweep_reaches_every_mark() -> None:
    by_tape = dict(coverage.reached(coverage.standing(), jobs=2))
    missed = [each.mark for each in coverage.found(marks(), by_tape) if not each.tapes]
    assert missed == [], (
        "find other seeds with `mesh sim coverage --seeds 500 --choose`, or see to it that they get there"
    )


def test_all_cores_have_marks() -> None:
    found = marks()
    assert len(found) >= 60
    assert {mark.package for mark in found} == {"hubless", "hubless_agents", "hubless_gossip"}


def test_a_mark_is_found_with_its_place(folder: Path) -> None:
    assert marks_of({"a": folder}) == (Mark("a", "a/core.py", 3, "it was rare"),)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('sometimes("it was rare")', "a/room/other.py:1: the mark 'it was rare' is at a/core.py:3 as well"),
        ("sometimes(text)", r"a/room/other.py:1: sometimes\(text\): the text of a mark is one literal"),
        ('sometimes("one", "two")', "is one literal"),
        ('sometimes("")', "is one literal"),
        ('sometimes(f"{n} times")', "is one literal"),
        ("from hubless_gossip.marks import sometimes as rarely", "under another name"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(folder: Path, source: str, told: str) -> None:
    (folder / "room" / "other.py").write_text(source)
    with pytest.raises(MarkError, match=told):
        marks_of({"a": folder})


def test_marks_are_counted_while_somebody_wants_to_know() -> None:
    sometimes("before")
    with counting() as counts:
        sometimes("now")
        with counting() as inner:
            sometimes("within")
        sometimes("now")
    sometimes("after")
    assert (counts, inner) == ({"now": 2}, {"within": 1})


def test_counting_changes_no_run() -> None:
    tape = coverage.tape_of("shards:7")
    digest = play(tape).digest
    with counting() as counts:
        assert play(tape).digest == digest
    assert set(counts) <= {mark.text for mark in marks()}
    assert counts


def test_what_is_done_for_every_task_reaches_no_mark() -> None:
    calls = tuple(
        Call(at_ms=3_000 + 5 * n, agent=("kept", "light")[n % 2], script=Script(n), gateway=f"n{n % 3}")
        for n in range(200)
    )
    agents = (Offering(name="kept"), Offering(name="light", durability="none"))
    run = MeshRun(
        Tape(
            seed=1,
            nodes=3,
            clients=2,
            duration_ms=6_000,
            system=MeshSystem(agents=agents, shards=8),
            operations=calls,
            start=Start(join=()),
        )
    )
    run.advance_to_ms(2_900)
    with counting() as counts:
        run.advance_to_ms(6_000)
    assert counts == {}
    assert len(run.answers) == 200


def test_the_rarest_come_first() -> None:
    middle = Mark("a", "a/far.py", 9, "middle")
    by_tape = {"one": {"near": 3, "middle": 1}, "two": {"near": 1}}
    assert coverage.found([NEAR, middle, FAR], by_tape) == [
        coverage.Found(FAR, 0, 0),
        coverage.Found(middle, 1, 1),
        coverage.Found(NEAR, 2, 4),
    ]


def test_a_choice_reaches_each_mark_as_often_as_it_can_up_to_enough() -> None:
    by_tape = {
        "a": {"rare": 1},
        "b": {"common": 1, "usual": 1},
        "c": {"common": 5},
        "d": {"common": 1, "usual": 1},
        "e": {},
    }
    assert coverage.chosen(by_tape, enough=1) == ["a", "b"]
    assert sorted(coverage.chosen(by_tape, enough=2)) == ["a", "b", "d"]
    assert sorted(coverage.chosen(by_tape, enough=9)) == ["a", "b", "c", "d"]


def test_tapes_have_names() -> None:
    names = coverage.named({"mesh_forked": [7], "gossip": [1, 2]})
    assert names == ["mesh_forked:7", "gossip:1", "gossip:2"]
    assert coverage.seeds_of([*names, "mesh_forked"]) == {"gossip": [1, 2], "mesh_forked": [7]}
    assert coverage.tape_of("gossip:2").seed == 2
    kept = coverage.tape_of("mesh_forked")
    assert kept.seed != 7
    assert coverage.tape_of("mesh_forked:7") == replace(kept, seed=7)
    with pytest.raises(LookupError, match="no tape is called 'nothing'"):
        coverage.tape_of("nothing")


def test_a_choice_is_written_as_the_standing_sweep_is_kept() -> None:
    kept = coverage.SEEDS.read_text()
    assert coverage.written(msgspec.json.decode(kept)) == kept.strip()


def test_the_command_names_what_is_not_reached_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_command, "standing", lambda: ["gossip_forgotten"])
    done = CliRunner().invoke(coverage_command.command, ["--json"], standalone_mode=False)
    told = msgspec.json.decode(done.stdout)
    assert done.return_value == 1
    assert told["tapes"] == 1
    assert 0 < told["missed"] < len(told["marks"])
    assert [mark["tapes"] for mark in told["marks"]] == [0] * told["missed"] + [1] * (
        len(told["marks"]) - told["missed"]
    )
    shown = CliRunner().invoke(coverage_command.command, [], standalone_mode=False)
    assert f"{told['missed']} not reached of {len(told['marks'])} marks, by 1 tapes" in shown.stdout
    assert "dropped a tombstone whose time was over" in shown.stdout
