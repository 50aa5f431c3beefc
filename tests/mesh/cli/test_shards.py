"""Commands about shards and the mesh as a whole, with the mesh's answers prepared."""

from __future__ import annotations

import json

import pytest

from hubless.cli.health import problems
from hubless.cli.names import Names
from hubless.client.errors import TaskFailed
from hubless_agents import Failure


def shard(number: int, condition: str = "healthy", **fields) -> dict:
    return {
        "shard": number,
        "owner": "n1",
        "owner_name": "aa",
        "term": 3,
        "index": 120,
        "commit": 120,
        "voters": ["n1", "n2", "n3"],
        "outgoing": [],
        "learners": [],
        "lag": {},
        "condition": condition,
        "live": 3,
        "kept": 10,
    } | fields


def of(*shards: dict, silent=()) -> dict:
    return {"shards": list(shards), "silent": list(silent)}


TASKS = {"tasks": [], "counts": {"running": 3, "succeeded": 1200}, "silent": [], "unowned": []}


def columns(line: str) -> list[str]:
    return [part.strip() for part in line.split("  ") if part.strip()]


# -- shards ---------------------------------------------------------------------------------------------


def test_shards_are_counted_and_shown_one_a_line(told):
    moving = shard(
        1,
        "moving",
        voters=["n2", "n3"],
        outgoing=["n1", "n2"],
        learners=["n4"],
        lag={"n3": 7, "n4": 90},
        commit=118,
    )
    lost = shard(2, "quorum_lost", owner="", owner_name="")
    code, out, _, asked = told("shards", shards=of(shard(0), moving, lost, silent=["n2"]))
    assert (code, asked[0]) == (0, ("shards", ""))
    count, _, *rows, silence = out.splitlines()
    assert count == "1 healthy, 1 moving, 1 quorum_lost"
    assert columns(rows[0]) == ["0", "healthy", "aa", "3", "120", "3", "10", "aa, bb, n3"]
    assert columns(rows[1])[4:] == ["118+2", "3", "10", "bb, n3 -7, aa (goes), n4 -90 (joins)"]
    assert columns(rows[2])[:3] == ["2", "quorum_lost", "-"]
    assert "no answer in time from bb" in silence


def test_only_shards_that_are_not_healthy(told):
    _, out, _, _ = told("shards", "--unhealthy", shards=of(shard(0), shard(1, "electing")))
    assert out.splitlines()[0] == "1 healthy, 1 electing"
    assert [columns(line)[:2] for line in out.splitlines()[2:]] == [["1", "electing"]]
    only = json.loads(told("shards", "--unhealthy", "--json", shards=of(shard(0), shard(1, "electing")))[1])
    assert [row["shard"] for row in only["shards"]] == [1]


# -- the mesh at a glance -------------------------------------------------------------------------------


def test_a_mesh_that_is_well(told):
    code, out, _, _ = told("status", shards=of(shard(0), shard(1)), tasks=TASKS)
    assert code == 0
    assert [columns(line) for line in out.splitlines()] == [
        ["mesh 00"],
        ["nodes", "3 alive"],
        ["shards", "2 healthy"],
        ["tasks", "3 running, 1,200 succeeded"],
        [],
        ["all is well"],
    ]


def test_a_mesh_that_is_not_well_says_what_to_do(told):
    answers = {"shards": of(shard(3, "quorum_lost"), shard(4, "quorum_lost"), shard(9)), "tasks": TASKS}
    _, out, _, _ = told("status", **answers)
    assert "shards 3-4: quorum lost" in out and "mesh fork SHARD" in out
    seen = json.loads(told("status", "--json", **answers)[1])
    assert seen["shards"] == {"healthy": 1, "quorum_lost": 2}
    assert (seen["nodes"], seen["tasks"], seen["silent"]) == ({"alive": 3}, TASKS["counts"], [])
    (problem,) = seen["problems"]
    assert set(problem) == {"what", "remedy", "is_grave"} and problem["is_grave"]


@pytest.mark.parametrize(
    "condition",
    ["quorum_lost", "damaged", "journal failed", "disk full", "under-replicated", "electing", "moving"],
)
def test_every_condition_of_a_shard_has_its_remedy(condition):
    members = [{"node": f"n{place}", "name": "", "condition": "alive"} for place in range(1, 4)]
    (problem,) = problems(members, of(shard(1, condition), shard(2)), TASKS, Names())
    assert problem.what.startswith(f"shard 1: {condition.replace('_', ' ')}, ")
    assert problem.remedy
    assert problem.is_grave is (condition not in ("electing", "moving"))


def test_members_tasks_and_silence_are_named_after_the_shards():
    members = [
        {"node": "n1", "name": "aa", "condition": "dead"},
        {"node": "n2", "name": "", "condition": "busy"},
        {"node": "n3", "name": "", "condition": "left"},
    ]
    tasks = {"tasks": [], "counts": {"dead": 2}, "silent": ["n1", "n2", "n3"]}
    found = problems(members, of(shard(1, "damaged")), tasks, Names(members))
    told = [problem.what for problem in found]
    assert told[0].startswith("shard 1")
    assert told[1:3] == ["aa: dead", "n2: busy"]
    assert told[3].startswith("n2: no answer in time")  # of who is known to be gone, none is expected
    assert told[4] == "2 tasks are dead: tried too often"
    assert not any("{" in problem.what + problem.remedy for problem in found)


def test_an_election_that_waits_for_nodes_that_nobody_knows_does_not_pass():
    """A node that came back before the others has not met them: they are not even dead."""
    here = [{"node": "n1", "name": "aa", "condition": "alive"}]
    electing = of(shard(1, "electing", owner=""), shard(2, "electing", owner=""))
    (stuck,) = problems(here, electing, TASKS, Names(here))
    assert stuck.is_grave and "shards 1-2: no majority" in stuck.what and "heard of n2, n3" in stuck.what
    assert "start what is missing" in stuck.remedy
    others = [{"node": "n2", "name": "", "condition": "suspect"}]
    assert not any(problem.is_grave for problem in problems(here + others, electing, TASKS, Names(here)))


def test_it_is_named_whose_disk_is_full():
    members = [{"node": "n1", "name": "aa", "condition": "alive"}]
    (full,) = problems(members, of(shard(1, "disk full"), shard(2, "disk full")), TASKS, Names(members))
    assert full.what == "shards 1-2: disk full, aa has no room for new tasks"


def test_nobody_takes_over_the_shards_of_a_dead_node_that_are_lost_without_it():
    members = [{"node": f"n{place}", "name": "", "condition": "alive"} for place in range(2, 5)]
    members += [{"node": "n1", "name": "aa", "condition": "dead"}]
    (dead,) = problems(members, of(shard(1)), TASKS, Names(members))
    assert "do nothing" in dead.remedy
    (dead,) = problems(members[1:], of(shard(1)), TASKS, Names(members))  # and nobody else to take them over
    assert "do nothing" not in dead.remedy
    lost, needed = problems(members, of(shard(1, "quorum_lost")), TASKS, Names(members))
    assert "tasks are not among those shown" in lost.what
    assert "do nothing" not in needed.remedy


def test_what_is_wrong_has_no_blanks_at_the_end_of_its_lines(told):
    out = told("status", shards=of(shard(1, "quorum_lost")), tasks=TASKS)[1]
    _, _, problems_shown = out.partition("\n\n")
    assert problems_shown
    assert all(line == line.rstrip() for line in problems_shown.splitlines())


# -- fork -----------------------------------------------------------------------------------------------


def test_fork_first_shows_what_it_would_do(told):
    lost = of(shard(2, "quorum_lost"), silent=["n2", "n3"])
    code, out, err, asked = told("fork", "2", shards=lost)
    assert code == 2
    assert ("fork", "2") not in asked
    words = " ".join(out.split())
    assert "`mesh fork 2 --yes` would" in words and "only the missing ones have (bb, n3)" in words
    assert "nothing was done" in err and "--yes" in err
    error = json.loads(told("fork", "2", "--json", shards=lost)[2])["error"]
    assert (error["kind"], error["shard"]["condition"]) == ("unconfirmed", "quorum_lost")


def test_a_shard_that_is_not_lost_is_not_forked(told):
    code, out, err, asked = told("fork", "1", shards=of(shard(1)))
    assert (code, out) == (4, "")
    assert "shard 1 is healthy, not quorum_lost" in err
    assert ("fork", "1") not in asked


def test_there_must_be_such_a_shard(told):
    """It is the mesh that lacks it, so this is a refusal, whoever finds it out."""
    code, _, err, _ = told("fork", "17", shards=of(shard(0), shard(1)))
    assert code == 4
    assert "there is no shard 17: this mesh has shards 0 to 1" in err
    lacks = TaskFailed(Failure(code="bad_input", message="there is no shard '17'"))
    assert told("fork", "17", "--yes", fork=lacks)[0] == 4


def test_a_shard_with_an_owner_is_not_forked_with_consent_either(told):
    owned = TaskFailed(Failure(code="refused", message="shard 1 has an owner"))
    code, out, err, _ = told("fork", "1", "--yes", "--json", fork=owned)
    assert (code, out, json.loads(err)["error"]["exit"]) == (4, "", 4)


def test_fork_with_a_word_of_consent(told):
    done = {"shard": 2, "replicas": ["n1", "n2"], "index": 118}
    code, out, _, asked = told("fork", "2", "--yes", fork=done)
    assert (code, asked[0]) == (0, ("fork", "2"))
    assert "shard 2 has a new lineage from entry 118 on, with aa, bb" in out
    assert json.loads(told("fork", "2", "--yes", "--json", fork=done)[1]) == done


def test_fork_by_force_says_so(told):
    in_doubt = of(shard(2, "electing", owner=""))
    assert "not quorum_lost" in told("fork", "2", shards=in_doubt)[2]
    out = told("fork", "2", "--force", shards=in_doubt)[1]
    assert "`mesh fork 2 --yes --force` would" in " ".join(out.split())
    done = {"shard": 2, "replicas": ["n1"], "index": 4}
    code, _, _, asked = told("fork", "2", "--yes", "--force", fork=done)
    assert (code, asked[0]) == (0, ("fork", "2 force"))


def test_forks_show_beside_the_term(told):
    forked = shard(1, term=(1 << 50) + 7, forks=1, last_term=1 << 50)
    assert "7 (fork 1)" in told("shards", shards=of(forked))[1]
