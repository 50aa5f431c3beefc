"""`mesh submit --detach` and names for tasks, with the mesh played by the test."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import trio.lowlevel
import trio.testing

from hubless.cli import main
from hubless.client import Reply
from hubless.client.errors import TaskFailed, UnreachableError
from hubless_agents import Effect, Failure

FULL = TaskFailed(
    Failure(code="overloaded", message="the disk is full", where="owner n1", retry_after_ms=1_000)
)
LATE = TaskFailed(Failure(code="expired", message="no receipt in time", where="client", effect=Effect.MAYBE))
BUSY = TaskFailed(Failure(code="overloaded", message="the queue is full", retry_after_ms=1))
UNKNOWN = TaskFailed(Failure(code="unknown_agent", message="no agent is called so"))


class Played:
    """Accepts tasks as told: by payload, a list of what happens to each submission; anything else is accepted."""

    def __init__(self, outcomes: dict) -> None:
        self._outcomes = outcomes
        self.submitted: list[tuple[bytes, dict]] = []
        self.streamed: list[dict] = []

    async def submit(self, agent, payload, **options):
        self.submitted.append((payload, options))
        await trio.lowlevel.checkpoint()
        outcome = self._outcomes.get(payload, [])
        problem = outcome.pop(0) if outcome else None
        if isinstance(problem, int):  # silent for so many seconds
            await trio.sleep(problem)
            problem = outcome.pop(0)
        if problem is not None:
            raise problem
        return SimpleNamespace(id=f"id-of-{payload.decode()}")

    def connected(self) -> list[str]:
        return ["127.0.0.1:7000"]

    async def stream(self, agent, items, *, idempotency_key, **options):
        for item in items:
            self.streamed.append(options | {"name": idempotency_key(item)})
            yield Reply(item)


def run_fast(main, *arguments):
    """Where everybody waits, time passes at once."""
    return trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture
def submit(tmp_path, monkeypatch, capsys):
    """Submits lines: exit code, stdout, stderr, the mesh."""

    def run(text: str, *options: str, outcomes=None):
        played = Played(outcomes or {})

        @asynccontextmanager
        async def connect(*at):
            yield played

        for module in ("submit", "detach"):
            monkeypatch.setattr(f"hubless.cli.{module}.connect", connect)
        monkeypatch.setattr("hubless.cli.submit.run_trio", run_fast)
        source = tmp_path / "in.jsonl"
        source.write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["submit", "double", "--input", str(source), *options])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err, played

    return run


def test_the_ids_of_accepted_tasks_are_printed_in_the_order_of_the_lines(submit):
    code, out, err, played = submit("1\n2\n\n3\n", "--detach", "--timeout", "60")
    assert (code, out) == (0, "id-of-1\nid-of-2\nid-of-3\n")
    assert err == "3 of 3 lines are accepted\n"
    assert {options["deadline"] for _, options in played.submitted} == {60.0}
    assert {options["idempotency_key"] for _, options in played.submitted} == {""}


def test_a_line_that_is_not_taken_is_told_with_its_number(submit):
    code, out, err, _ = submit("1\n2\n3\n", "--detach", outcomes={b"2": [UNKNOWN]})
    assert (code, out) == (1, "id-of-1\nid-of-3\n")
    assert "line 2: unknown_agent: no agent is called so" in err and "2 of 3 lines" in err
    code, out, err, _ = submit("1\n2\n", "--detach", "--json", outcomes={b"2": [UNKNOWN]})
    first, second = (json.loads(line) for line in out.splitlines())
    assert (code, err, first) == (1, "", {"line": 1, "task": "id-of-1"})
    assert (second["line"], second["error"]["code"], second["error"]["effect"]) == (
        2,
        "unknown_agent",
        "none",
    )


def test_an_overloaded_mesh_is_asked_again(submit):
    code, out, _, played = submit("1\n", "--detach", outcomes={b"1": [BUSY, BUSY]})
    assert (code, out, len(played.submitted)) == (0, "id-of-1\n", 3)


def test_who_waits_for_a_receipt_is_told_so_soon_and_from_whom(submit):
    code, out, err, _ = submit("1\n2\n", "--detach", outcomes={b"2": [30, LATE]})
    assert (code, out) == (1, "id-of-1\n")
    first, second, third, end, count = err.splitlines()
    assert first == second == third
    assert first.startswith("waiting for line 2: no receipt from 127.0.0.1:7000.")
    assert "30 s" in first and "mesh status" in first
    assert end.startswith("line 2: expired: no receipt in time") and count == "1 of 2 lines are accepted"


def test_who_waits_is_told_what_the_mesh_refuses_and_who_refuses(submit):
    code, _, err, _ = submit("1\n2\n3\n", "--detach", outcomes={b"1": [FULL] * 40, b"3": [FULL] * 40})
    assert code == 1
    waiting = "waiting for 2 lines, the first is line 1: refused by owner n1, overloaded: the disk is full."
    assert err.startswith(waiting)
    assert err.count(waiting) == 3
    assert err.splitlines()[-1] == "1 of 3 lines are accepted"


def test_who_need_not_wait_is_told_nothing(submit):
    assert submit("1\n2\n", "--detach", outcomes={b"2": [1, None]})[2] == "2 of 2 lines are accepted\n"
    code, out, err, _ = submit("1\n", "--detach", "--json", outcomes={b"1": [30, LATE]})
    assert (code, err) == (1, "")
    assert json.loads(out)["error"]["code"] == "expired"


def test_an_interrupted_run_tells_what_it_does_not_know(submit):
    outcomes = {b"2": [1, UnreachableError("no node answers")], b"3": [30, None]}
    code, out, err, _ = submit("1\n2\n3\n", "--detach", outcomes=outcomes)
    assert (code, out) == (3, "id-of-1\n")
    assert "1 of 3 lines are accepted; 2 under way, which may be accepted without your knowing" in err


def test_an_interrupted_run_tells_what_was_accepted(submit):
    gone = {b"2": [UnreachableError("no node answers")]}
    code, out, err, _ = submit("1\n2\n", "--detach", "--in-flight", "1", outcomes=gone)
    assert (code, out) == (3, "id-of-1\n")
    assert "no node answers" in err


def test_a_prefix_names_the_task_of_each_line_alike_in_every_run(submit, tmp_path):
    names = []
    for options in (["--detach"], ["--output", str(tmp_path / "out.jsonl")]):
        code, _, _, played = submit("7\n\n7\n", *options, "--idempotency-key", "batch-1")
        assert code == 0
        submitted = [options["idempotency_key"] for _, options in played.submitted]
        names.append(submitted or [options["name"] for options in played.streamed])
    first, second = names
    assert first == second
    assert len(set(first)) == 2  # equal lines are two tasks
    assert first[0].startswith("batch-1:1:") and first[1].startswith("batch-1:3:")


def test_a_resumed_run_names_the_rest_as_the_first_would_have(submit, tmp_path):
    output = str(tmp_path / "out.jsonl")
    options = ["--output", output, "--idempotency-key", "b"]
    _, _, _, whole = submit("1\n2\n", *options)
    first, *_ = (tmp_path / "out.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_text(first)
    _, _, _, rest = submit("1\n2\n", *options)
    assert [options["name"] for options in rest.streamed] == [whole.streamed[1]["name"]]


def test_durability_reaches_every_task(submit, tmp_path):
    output = str(tmp_path / "out.jsonl")
    _, _, _, played = submit("1\n", "--output", output, "--durability", "none")
    assert [options["durability"] for options in played.streamed] == ["none"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give --output FILE.jsonl, or --detach"),
        (["--detach", "--output", "o"], "--detach writes no --output"),
        (["--detach", "--durability", "none"], "--detach needs a task that the mesh keeps"),
        (
            ["--output", "o", "--durability", "none", "--idempotency-key", "k"],
            "--idempotency-key needs a task",
        ),
    ],
)
def test_options_that_contradict_each_other(submit, options, words):
    code, _, err, played = submit("1\n", *options)
    assert (code, played.submitted) == (2, [])
    assert words in err
