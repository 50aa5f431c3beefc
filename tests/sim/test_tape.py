"""Tapes: strict parsing, errors that say where and what to do, and JSON that comes back equal."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_sim.faults import FAULT_KINDS, AgentHangs, Crash, Isolate, Partition, Starve
from hubless_sim.play import open_run, play
from hubless_sim.tapes.bounds import MAX_BYTES
from hubless_sim.tapes.operations import Call, Leave
from hubless_sim.tapes.script import Script
from hubless_sim.tapes.systems import GossipSystem, MeshSystem, Offering
from hubless_sim.tapes.tape import Conditions, Tape, TapeError, check, parse, replace

SMALL = {"seed": 1, "nodes": 3, "duration_ms": 1000}
MESH: dict[str, Any] = {"clients": 1, "system": {"kind": "mesh", "agents": [{"name": "square"}]}}
CALL: dict[str, Any] = {"kind": "call", "at_ms": 5, "agent": "square", "gateway": "n0", "script": {"n": 1}}


def test_a_tape_comes_back_equal_from_its_json() -> None:
    tape = Tape(
        seed=7,
        nodes=4,
        duration_ms=60_000,
        system=GossipSystem(preset="lan", knobs={"probe_interval_ms": 500}),
        links=Conditions(loss=0.01, monitored=None),
        operations=(Leave(at_ms=5, nodes=("n1",)),),
        faults=(
            Crash(at_ms=1, nodes=("n0",), silent=True),
            Partition(at_ms=2, until_ms=9, sides=(("n0", "n1"), ())),
            Starve(at_ms=3, nodes=("n3",), blocked_ms=10, awake_ms=5),
        ),
    )
    assert parse(tape.to_json()) == tape


def test_a_tape_of_whole_nodes_comes_back_equal_too() -> None:
    tape = Tape(
        seed=7,
        nodes=3,
        clients=2,
        duration_ms=5_000,
        system=MeshSystem(agents=(Offering(name="square", nodes=("n1",)),), workers=3),
        operations=(
            Call(at_ms=5, agent="square", script=Script(3, ("crash",), ms=2.5), gateway="n2"),
            Leave(at_ms=9, nodes=("n1",)),
        ),
        faults=(Crash(at_ms=1, nodes=("n4",)),),
    )
    assert parse(tape.to_json()) == tape


def test_a_small_tape_has_defaults_for_the_rest() -> None:
    tape = parse(json.dumps(SMALL))
    assert tape.start.join == ("n0",)
    assert tape.system == GossipSystem()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"nodes": 0}, r"0 at `\$.nodes`; allowed is 1 to"),
        ({"nodes": "three"}, r"Expected `int`, got `str` - at `\$.nodes`"),
        ({"speed": 2}, "unknown field `speed`. Remove the field"),
        ({"version": 9}, r"version 9 at `\$.version`"),
        ({"seed": -1}, r"-1 at `\$.seed`"),
        ({"start": {"join": ["n3"]}}, r"unknown node 'n3' at `\$.start.join`; this tape has n0 to n2"),
        ({"links": {"loss": 1.5}}, r"1.5 at `\$.links.loss`; allowed is 0 to 1"),
        ({"faults": [{"kind": "fire", "at_ms": 1}]}, "Fault kinds are crash, power_cut, restart"),
        ({"faults": [{"kind": "crash", "at_ms": 1, "nodes": ["n9"]}]}, r"'n9' at `\$.faults\[0\].nodes`"),
        ({"faults": [{"kind": "crash", "at_ms": 1, "nodes": ["n01"]}]}, "unknown node 'n01'"),
        (
            {"faults": [{"kind": "pause", "at_ms": 5, "until_ms": 5, "nodes": ["n0"]}]},
            r"faults\[0\].until_ms",
        ),
        ({"faults": [{"kind": "partition", "at_ms": 5, "sides": [[], []]}]}, "both sides are empty"),
        ({"faults": [{"kind": "partition", "at_ms": 5, "sides": [["n1"], ["n1"]]}]}, "n1 is on both sides"),
        ({"faults": [{"kind": "loss", "at_ms": 5, "rate": -0.1}]}, r"-0.1 at `\$.faults\[0\].rate`"),
        ({"faults": [{"kind": "latency", "at_ms": 5, "base_us": -1}]}, r"faults\[0\].base_us"),
        (
            {"faults": [{"kind": "starve", "at_ms": 5, "nodes": ["n0"], "blocked_ms": 5}]},
            "one of blocked_ms and awake_ms is 0",
        ),
        (
            {"faults": [{"kind": "slow_node", "at_ms": 5, "nodes": ["n0"], "factor": 1}]},
            r"faults\[0\].factor",
        ),
        (
            {"faults": [{"kind": "flapping", "at_ms": 5, "sides": [["n0"], []], "down_ms": 0, "up_ms": 5}]},
            "down_ms",
        ),
        ({"faults": [{"kind": "full_disk", "at_ms": 5, "nodes": ["n0"], "room_bytes": -1}]}, "room_bytes"),
        ({"operations": [{"kind": "leave", "at_ms": 5, "nodes": ["n7"]}]}, r"`\$.operations\[0\] \(nodes\)`"),
        (
            {
                "system": {"kind": "mesh", "agents": []},
                "operations": [{"kind": "load", "at_ms": 5, "nodes": ["n1"], "load": 3}],
            },
            "load at .* cannot be asked of this system; it knows leave, call",
        ),
        ({"system": {"kind": "shards", "shards": 10**30}}, r"at `\$.system.shards`; allowed is 1 to 4096"),
        ({"system": {"kind": "shards", "ring": ["n3"]}}, r"unknown node 'n3' at `\$.system.ring`"),
        ({"system": {"kind": "shards", "workload": {"keys": 0}}}, r"0 at `\$.system.workload.keys`"),
        (
            {"system": {"kind": "gossip", "knobs": {"probe_interval_ms": 1e308}}},
            r"system.knobs.probe_interval",
        ),
        ({"clients": 1}, r"1 at `\$.clients`; membership alone has none"),
        (
            MESH | {"system": {"kind": "mesh", "agents": [{"name": ""}]}},
            r"agent name ''.*`\$.system.agents\[0\]`",
        ),
        (
            {"system": {"kind": "mesh", "agents": [{"name": "a", "nodes": ["n9"]}]}},
            r"unknown node 'n9' at `\$.system.agents\[0\].nodes`",
        ),
        (MESH | {"operations": [CALL | {"gateway": "n3"}]}, "unknown node 'n3' .* this tape has n0 to n2"),
        (MESH | {"operations": [CALL | {"script": {"n": 2**40}}]}, r"`\$.operations\[0\].script.n`"),
        (MESH | {"operations": [CALL | {"script": {"n": 1, "did": []}}]}, "unknown field `did`"),
        ({"system": {"kind": "moon"}}, r"Invalid value 'moon' - at `\$.system.kind`"),
    ],
)
def test_a_wrong_tape_is_refused_with_the_place_and_the_remedy(change: dict[str, object], text: str) -> None:
    with pytest.raises(TapeError, match=text):
        parse(json.dumps(SMALL | change))


@pytest.mark.parametrize("field", ["workers", "queue", "max_kills"])
def test_what_supervisors_refuse_is_the_tapes_mistake_too(field: str) -> None:
    tape = parse(json.dumps(SMALL | {"system": {"kind": "mesh", "agents": [], field: 0}}))
    with pytest.raises(TapeError, match=rf"{field}.*=0: choose a value .* at `\$.system`"):
        open_run(tape)


def test_a_call_of_an_agent_that_nobody_has_is_judged_like_any_other() -> None:
    system = MESH["system"] | {"owned_ms": 3_000, "shards": 2}
    tape = SMALL | MESH | {"duration_ms": 6_000, "system": system}
    result = play(parse(json.dumps(tape | {"operations": [CALL | {"at_ms": 1_500, "agent": "cube"}]})))
    assert (result.verdict, result.found["answers"]) == ("held", {"unknown_agent": 1})


def test_what_is_not_json_or_too_long_is_refused() -> None:
    with pytest.raises(TapeError, match="not JSON"):
        parse("seed: 7")
    with pytest.raises(TapeError, match="too long"):
        parse(b" " * (MAX_BYTES + 1))


def test_a_changed_tape_is_checked_again() -> None:
    tape = parse(json.dumps(SMALL))
    assert replace(tape, seed=2).seed == 2
    with pytest.raises(TapeError, match="nodes"):
        replace(tape, nodes=0)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_garbage_never_raises_anything_else(raw: bytes) -> None:
    with pytest.raises(TapeError):
        parse(raw)


def test_every_fault_kind_is_known_to_the_parser() -> None:
    extras: dict[str, dict[str, object]] = {
        "partition": {"sides": [["n0"], []]},
        "loss": {"rate": 0.5},
        "duplicate": {"rate": 0.5},
        "one_way": {"sources": ["n0"]},
        "latency": {"base_us": 5},
        "flapping": {"sides": [["n0"], []], "down_ms": 5, "up_ms": 5},
        "corrupt": {"rate": 0.5},
        "bandwidth": {"bytes_per_s": 1000},
        "size_limit": {"most_bytes": 1400},
        "slow_node": {"nodes": ["n0"], "factor": 10},
        "clock_drift": {"nodes": ["n0"], "ppm": 100},
        "clock_jump": {"nodes": ["n0"], "by_ms": -5},
        "agent_slow": {"nodes": ["n0"], "agents": ["square"], "factor": 3},
        "agent_answers": {"nodes": ["n0"], "does": "wrong", "rate": 0.5},
        "agent_leaks": {"nodes": ["n0"], "mb": 40},
        "store_token": {"nodes": ["n0"], "does": "replayed"},
        "stale_orders": {"nodes": ["n0"], "late_ms": 500},
        "misconfigured": {"nodes": ["n0"], "does": "mesh"},
        "forged_incarnations": {"nodes": ["n0"], "victims": ["n1"], "by": 3},
        "forged_accusations": {"nodes": ["n0"], "victims": ["n1"], "accusers": ["n2"]},
    }
    system = {"kind": "mesh", "agents": [{"name": "square"}]}
    kinds = {kind: {"kind": kind, "at_ms": 1} | extras.get(kind, {"nodes": ["n0"]}) for kind in FAULT_KINDS}
    tape = parse(json.dumps(SMALL | {"system": system, "faults": list(kinds.values())}))
    assert len({type(fault) for fault in tape.faults}) == len(FAULT_KINDS)
    check(replace(tape, faults=(Isolate(at_ms=1, nodes=("n2",)),)))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "agent_hangs", "nodes": ["n0"]}, "have `$.system` of kind mesh"),
        ({"kind": "forged_votes", "nodes": ["n0"]}, "have `$.system` of kind mesh or shards"),
        ({"kind": "forged_accusations", "nodes": ["n0"], "victims": ["n9"]}, "unknown node 'n9'"),
    ],
)
def test_faults_of_what_a_system_does_not_have_are_refused(fault: dict[str, object], told: str) -> None:
    with pytest.raises(TapeError, match=re.escape(told)):
        parse(json.dumps(SMALL | {"faults": [fault | {"at_ms": 1}]}))


def test_a_fault_of_an_agent_that_nobody_offers_is_refused() -> None:
    system = MeshSystem(agents=(Offering(name="square"),))
    with pytest.raises(TapeError, match=re.escape("unknown agent 'cube' at `$.faults[0].agents`")):
        check(
            Tape(
                seed=1,
                nodes=3,
                duration_ms=100,
                system=system,
                faults=(AgentHangs(at_ms=1, nodes=("n0",), agents=("cube",)),),
            )
        )


def test_the_tape_of_the_readme_is_one() -> None:
    text = (Path(__file__).parents[2] / "sim" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert {fault.at_ms for fault in parse(example).faults} == {3000, 5000, 10_000}
