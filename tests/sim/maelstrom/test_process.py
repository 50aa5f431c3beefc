"""A node as a process, as Maelstrom starts it: JSON lines on stdin and stdout."""

import json
import subprocess
import sys
from typing import Any

import pytest


def spoken(workload: str, *messages: Any) -> tuple[list[dict[str, Any]], str]:
    """What a node answers to these lines before stdin ends."""
    lines = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in messages)
    ran = subprocess.run(
        [sys.executable, "-m", "hubless.cli", "sim", "maelstrom", "serve", workload],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr


def to_node(**body: Any) -> dict[str, Any]:
    return {"src": "c1", "dest": "n1", "body": body}


INIT = to_node(type="init", msg_id=1, node_id="n1", node_ids=["n1"])


def test_a_node_answers_line_by_line() -> None:
    answers, _ = spoken("echo", INIT, to_node(type="echo", msg_id=2, echo="hello"))
    assert answers == [
        {"src": "n1", "dest": "c1", "body": {"type": "init_ok", "in_reply_to": 1}},
        {"src": "n1", "dest": "c1", "body": {"type": "echo_ok", "echo": "hello", "in_reply_to": 2}},
    ]


def test_a_node_alone_keeps_keys() -> None:
    asked = [
        to_node(type="read", msg_id=2, key="a"),
        to_node(type="write", msg_id=3, key="a", value=[1]),
        to_node(type="cas", msg_id=4, key="a", **{"from": 2, "to": 3}),
        to_node(type="read", msg_id=5, key="a"),
    ]
    answers, _ = spoken("lin-kv", INIT, *asked)
    bodies = {each["body"]["in_reply_to"]: each["body"] for each in answers}
    assert bodies[2]["code"] == 20
    assert bodies[3]["type"] == "write_ok"
    assert bodies[4]["code"] == 22
    assert bodies[5]["value"] == [1]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (to_node(type="init", msg_id=1, node_id="n9", node_ids=["n1"]), 12),
        (to_node(type="echo", msg_id=1, echo=1), 11),
    ],
)
def test_what_cannot_be_done_is_refused(message: dict[str, Any], code: int) -> None:
    (answer,), _ = spoken("broadcast", message)
    assert (answer["body"]["code"], answer["body"]["in_reply_to"]) == (code, 1)


def test_other_workloads_and_bad_fields_are_refused() -> None:
    answers, _ = spoken(
        "pn-counter", INIT, to_node(type="txn", msg_id=2), to_node(type="add", msg_id=3, delta="many")
    )
    assert [each["body"].get("code") for each in answers] == [None, 10, 12]


def test_lines_that_are_no_messages_are_named_and_dropped() -> None:
    answers, told = spoken("echo", "not JSON", '{"src": "c1"}', "", INIT)
    assert len(answers) == 1
    assert told.count("dropped: not a message") == 2
