"""Commands about tasks, with the mesh's answers prepared."""

from __future__ import annotations

import json

import pytest

from hubless.client.errors import TaskFailed, UnreachableError
from hubless_agents import Effect, Failure

ID = "ab" * 16
RAISED = {
    "code": "raised",
    "message": "ValueError: no",
    "where": "n1/a",
    "effect": "maybe",
    "detail": "line 1\nline 2",
}
DIED = {"code": "worker_died", "message": "signal 9", "where": "n2/a", "effect": "maybe", "detail": ""}


def task(state: str, **fields) -> dict:
    return {
        "task": ID,
        "agent": "summarise",
        "key": "",
        "state": state,
        "attempt": 2,
        "executor": "n2",
        "owner": "n1",
        "shard": 7,
        "submitted": 1_000_000.0,
        "ended": None if state in ("queued", "running") else 1_000_002.5,
        "deadline": 1_000_060.0,
        "forked": False,
        "provisional": "",
    } | fields


def listed(*rows: dict, silent=(), unowned=(), **counts: int) -> dict:
    return {"tasks": list(rows), "counts": counts, "silent": list(silent), "unowned": list(unowned)}


# -- tasks ----------------------------------------------------------------------------------------------


def test_tasks_are_asked_for_as_wished_and_shown_one_a_line(told):
    rows = listed(task("running", executor="", key="order-17"), task("dead", forked=True), running=1, dead=1)
    code, out, _, asked = told("tasks", "--agent", "summarise", "--limit", "7", tasks=rows)
    assert code == 0
    (what, argument), *_ = asked
    assert (what, json.loads(argument)) == ("tasks", {"state": None, "agent": "summarise", "limit": 7})
    assert out.splitlines()[0] == "1 running, 1 dead"
    assert f"{ID}  summarise  running" in out and "key 'order-17'" in out and "forked" in out
    running, dead = (line for line in out.splitlines() if line.startswith(ID))
    assert running.split()[-1] == "aa"  # where nothing runs yet, the owner is shown, by its name
    assert dead.split()[-1] == "bb"


def test_tasks_of_one_state(told):
    code, out, _, asked = told("tasks", "--state", "dead", tasks=listed(succeeded=3))
    assert (code, out) == (0, "3 succeeded\nnone of these is what was asked for\n")
    assert json.loads(asked[0][1])["state"] == "dead"
    assert told("tasks", "--state", "lost", tasks=listed())[0] == 2


def test_tasks_says_who_did_not_answer_and_that_there_are_more(told):
    _, out, _, _ = told(
        "tasks", "--limit", "1", tasks=listed(task("running"), silent=["n2", "n3"], running=9)
    )
    assert "not more than the newest 1 are shown" in out
    assert "no answer in time from bb, n3" in out


def test_tasks_and_dead_letters_say_whose_tasks_are_missing(told):
    _, out, _, _ = told("tasks", tasks=listed(unowned=[3, 4, 5, 9]))
    assert "no owner of shards 3-5 9 has answered: their tasks are missing here" in out
    assert out.startswith("none known\n")
    assert told("tasks", tasks=listed())[1] == "none\n"
    _, out, _, _ = told("dead-letters", dead_letters=listed(unowned=[3]))
    assert out.startswith("no task is known to be dead\nno owner of shard 3 has answered: its tasks")


def test_tasks_for_programs_are_what_the_mesh_said(told):
    rows = listed(task("running"), running=1)
    code, out, _, asked = told("tasks", "--json", tasks=rows)
    assert (code, json.loads(out)) == (0, rows)
    assert [what for what, _ in asked] == ["tasks"]


# -- status of one --------------------------------------------------------------------------------------


def test_status_of_a_task_shows_what_happened_to_it(told):
    row = task(
        "dead",
        key="order-17",
        forked=True,
        provisional="n2",
        in_doubt=True,
        failures=[RAISED, DIED],
        result=None,
        superseded=[{"node": "n1", "at": 1.0, "result": '"other"', "failure": None}],
    )
    code, out, _, asked = told("status", ID.upper(), status=row)
    assert (code, asked[0]) == (0, ("status", ID))
    for words in (
        "summarise, key 'order-17'",
        "dead",
        "7, owned by aa",
        "2 by its shard, then apart from it on bb",
        "after 2500 ms",
        "new lineage",
        "provisional: bb ran it",
        "in doubt: its shard may have had another outcome",
        "raised: ValueError: no",
        "aa/a, effect maybe",
        "line 2",
        "worker_died: signal 9",
        'aa: "other"',
    ):
        assert words in out
    assert out.index("raised: ") < out.index("worker_died: ")
    assert not any(line.endswith(" ") for line in out[out.index("failures") :].splitlines())


def test_status_shows_the_beginning_of_a_result(told):
    row = task("succeeded", failures=[], superseded=[], result='"' + "x" * 5000)
    _, out, _, _ = told("status", ID, status=row)
    assert out.rstrip().endswith("x…")
    assert json.loads(told("status", ID, "--json", status=row)[1]) == row


def test_a_task_without_an_attempt_yet(told):
    row = task("queued", attempt=0, executor="", failures=[], superseded=[], result=None)
    _, out, _, _ = told("status", ID, status=row)
    assert "attempts   none" in out and "deadline" in out


def test_a_task_of_which_only_the_outcome_was_told_shows_no_more(told):
    row = task(
        "succeeded", attempt=None, executor="n2", provisional="n2", failures=[], superseded=[], result="7"
    )
    row |= {"submitted": None, "entered": 1_000_000.0, "ended": None, "deadline": None}
    _, out, _, _ = told("status", ID, status=row)
    assert "apart from it on bb, it is not known how many" in out
    assert "entered" in out
    assert not any(word in out for word in ("submitted", "ended ", "deadline", "after ", "none"))
    (line,) = (line for line in told("tasks", tasks=listed(row, succeeded=1))[1].splitlines() if ID in line)
    assert line.split()[1:4] == ["summarise", "succeeded", "-"] and line.split()[-1] == "bb"


@pytest.mark.parametrize("command", ["status", "cancel", "retry"])
def test_an_unknown_task_is_refused(told, command):
    unknown = TaskFailed(Failure(code="refused", message="no task has this id: see `mesh tasks`"))
    code, out, err, _ = told(command, ID, **{command: unknown})
    assert (code, out) == (4, "")
    assert "no task has this id" in err


@pytest.mark.parametrize("command", ["status", "cancel", "retry"])
def test_what_is_no_id_is_not_asked_for(told, command):
    code, _, err, asked = told(command, "17")
    assert (code, asked) == (2, [])
    assert "32 hex digits" in err and "mesh tasks" in err


def test_a_shard_without_a_quorum_is_a_refusal(told):
    moving = TaskFailed(Failure(code="unreachable", message="its shard has no owner: see `mesh shards`"))
    assert told("status", ID, status=moving)[0] == 4


# -- orders ---------------------------------------------------------------------------------------------


def test_a_task_is_cancelled(told):
    code, out, _, asked = told("cancel", ID, cancel={"task": ID, "state": "cancelled"})
    assert (code, out, asked) == (0, f"task {ID} is cancelled\n", [("cancel", ID)])


def test_who_cancels_is_told_what_becomes_of_the_attempt_that_runs(told):
    running = {"task": ID, "state": "cancelled", "executor": "n2"}
    code, out, _, _ = told("cancel", ID, cancel=running)
    assert code == 0
    assert f"task {ID} is cancelled; it was running on node n2" in out and "on_cancel='kill'" in out
    assert json.loads(told("cancel", ID, "--json", cancel=running)[1]) == running
    assert told("cancel", ID, cancel=running | {"executor": ""})[1] == f"task {ID} is cancelled\n"


def test_what_has_ended_cannot_be_cancelled(told):
    code, out, err, _ = told("cancel", ID, "--json", cancel={"task": ID, "state": "succeeded"})
    error = json.loads(err)["error"]
    assert (code, out) == (4, "")
    assert (error["kind"], error["state"]) == ("not_cancelled", "succeeded")


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_task_is_tried_again(told, state):
    code, out, _, _ = told("retry", ID, retry={"task": ID, "state": state})
    assert (code, out) == (0, f"task {ID} is {state}: see `mesh status {ID}`\n")
    assert json.loads(told("retry", ID, "--json", retry={"task": ID, "state": state})[1])["state"] == state


def test_what_succeeded_is_not_tried_again(told):
    code, _, err, _ = told("retry", ID, retry={"task": ID, "state": "succeeded"})
    assert code == 4
    assert "is not queued again, it is succeeded" in err


def test_an_order_whose_answer_was_lost_may_have_happened(told):
    lost = UnreachableError("the connection was lost", effect=Effect.MAYBE)
    code, _, err, _ = told("cancel", ID, "--json", cancel=lost)
    assert code == 3
    assert json.loads(err)["error"]["effect"] == "maybe"


# -- dead letters ---------------------------------------------------------------------------------------


def test_dead_letters_come_with_their_evidence(told):
    letters = listed(task("dead", failures=[RAISED] * 4 + [DIED], key="k"), dead=1)
    code, out, _, asked = told("dead-letters", dead_letters=letters)
    assert (code, json.loads(asked[0][1])["limit"]) == (0, 50)
    assert f"{ID}  summarise, key 'k'" in out and "2 attempts, the last on bb" in out
    assert out.count("raised: ValueError") == 2 and out.count("worker_died") == 1
    assert f"2 earlier: see `mesh status {ID}`" in out
    assert "mesh retry ID" in out


def test_no_dead_letters(told):
    assert told("dead-letters", dead_letters=listed())[:2] == (0, "no task is dead\n")
    assert json.loads(told("dead-letters", "--json", dead_letters=listed())[1]) == listed()
