"""Commands that ask a mesh, with the mesh played by the test."""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager

import pytest

from hubless.cli import main
from hubless.client import UnreachableError

GONE = UnreachableError("no node is connected")


def member(node: str, condition: str = "alive", *, load: int = 0) -> dict:
    return {
        "node": node,
        "name": f"name-of-{node}",
        "condition": condition,
        "since_s": 1.0,
        "work": "127.0.0.1:1",
        "load": load,
        "agents": [],
    }


class Played:
    """A mesh whose members are first one list, then the next, and at last always the last."""

    def __init__(self, views: list[list[dict] | BaseException]) -> None:
        self._views = itertools.chain(views, itertools.repeat(views[-1]))
        self.asked: list[tuple[str, str]] = []

    def members(self) -> list[dict]:
        view = next(self._views)
        if isinstance(view, BaseException):
            raise view
        return view

    def ask(self, what: str, argument: str = "") -> dict:
        if what == "members":
            return {"mesh": "00", "node": "n1", "members": self.members()}
        self.asked.append((what, argument))
        return {"node": argument.removeprefix("name-of-")}


@pytest.fixture
def mesh(monkeypatch, capsys):
    """Runs a command against a mesh with these views of its members: exit code, stdout, stderr, what was asked."""

    def run(*arguments: str, views: list) -> tuple[int, str, str, list[tuple[str, str]]]:
        played = Played(views)

        @contextmanager
        def connect_blocking(*at):
            yield played

        monkeypatch.setattr(f"hubless.cli.{arguments[0]}.connect_blocking", connect_blocking)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err, played.asked

    return run


def test_leave_returns_when_the_others_hold_the_node_for_left(mesh):
    views = [[member("n1"), member("n2")]] * 2 + [[member("n1"), member("n2", "left")]]
    code, out, _, asked = mesh("leave", "name-of-n2", views=views)
    assert (code, out, asked) == (0, "node n2 has left\n", [("leave", "name-of-n2")])
    assert json.loads(mesh("leave", "n2", "--json", views=views)[1]) == {"node": "n2", "condition": "left"}


def test_leave_survives_the_loss_of_the_node_that_it_asked(mesh):
    views = [[member("n1"), member("n2")], GONE, [member("n1", "left"), member("n2")]]
    assert mesh("leave", "n1", views=views)[:2] == (0, "node n1 has left\n")


def test_the_last_node_has_left_when_nobody_answers(mesh):
    views = [[member("n1"), member("n2", "dead")], GONE]
    assert mesh("leave", "n1", views=views)[:2] == (0, "node n1 has left\n")


def test_leave_need_not_wait(mesh):
    code, out, _, asked = mesh("leave", "n2", "--no-wait", views=[[member("n1"), member("n2")]])
    assert (code, out, asked) == (0, "node n2 was asked to leave\n", [("leave", "n2")])


@pytest.mark.parametrize("order", ["leave", "drain"])
@pytest.mark.parametrize(
    ("condition", "words"),
    [("dead", "node n2 is dead: `mesh status` says"), ("left", "node n2 has left already")],
)
def test_a_node_that_is_gone_is_not_asked(mesh, order, condition, words):
    code, _, err, asked = mesh(order, "n2", views=[[member("n1"), member("n2", condition)]])
    assert (code, asked) == (4, [])
    assert words in err


@pytest.mark.parametrize("options", [[], ["--no-wait"]])
def test_the_only_node_that_is_there_is_not_drained(mesh, options):
    """It would leave with all that it keeps, since there is nobody to hand it to."""
    views = [[member("n1"), member("n2", "dead"), member("n3", "left")]]
    code, out, err, asked = mesh("drain", "n1", *options, views=views)
    assert (code, out, asked) == (4, "", [])
    assert "nobody can take over what it keeps" in err and "mesh leave n1" in err


@pytest.mark.parametrize(
    ("last", "words"),
    [("dead", "died before it had left"), ("busy", "is busy after 0.15 s: it goes on, see `mesh members`")],
)
def test_a_node_that_does_not_leave_is_an_error(mesh, last, words):
    views = [[member("n1"), member("n2")], [member("n1"), member("n2", last)]]
    code, _, err, _ = mesh("leave", "n2", "--timeout", "0.15", views=views)
    assert code == 1
    assert words in err


def test_drain_returns_when_the_node_has_left(mesh):
    views = [[member("n1"), member("n2")]] * 3 + [[member("n1"), member("n2", "left")]]
    code, out, _, asked = mesh("drain", "name-of-n2", views=views)
    assert (code, out, asked) == (0, "node n2 is drained and has left\n", [("drain", "name-of-n2")])
    assert json.loads(mesh("drain", "n2", "--json", views=views)[1]) == {"node": "n2", "condition": "left"}


def test_drain_need_not_wait(mesh):
    views = [[member("n1"), member("n2")]]
    assert mesh("drain", "n2", "--no-wait", views=views)[:2] == (0, "node n2 was asked to drain\n")
    told = json.loads(mesh("drain", "n2", "--no-wait", "--json", views=views)[1])
    assert told == {"node": "n2", "condition": "draining"}


def test_a_node_that_is_not_drained_in_time_is_an_error(mesh):
    code, _, err, _ = mesh("drain", "n2", "--timeout", "0.15", views=[[member("n1"), member("n2")]])
    assert code == 1
    assert "n2 was asked to drain and is alive after 0.15 s: it goes on, see `mesh shards`" in err


@pytest.mark.parametrize("order", ["leave", "drain"])
def test_who_stops_waiting_is_told_that_the_node_goes_on(mesh, order):
    code, _, err, _ = mesh(order, "n2", views=[[member("n1"), member("n2")], KeyboardInterrupt()])
    assert code == 5
    assert f"interrupted; node n2 was asked to {order} and goes on with that" in err


def test_members_shows_how_many_attempts_run(mesh):
    views = [[member("n1", load=3), member("n2", load=255)]]
    _, out, _, _ = mesh("members", views=views)
    _, head, first, second = out.splitlines()
    assert "running" in head
    assert " 3 " in first
    assert " 255 or more " in second
