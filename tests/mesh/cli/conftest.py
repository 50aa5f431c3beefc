"""A mesh for commands to ask, played by the test."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from hubless.cli import main
from hubless.client.errors import MeshError

NODES = {"n1": "aa", "n2": "bb", "n3": ""}


def _member(node: str, name: str) -> dict:
    return {
        "node": node,
        "name": name,
        "condition": "alive",
        "since_s": 1.0,
        "work": "",
        "load": 0,
        "agents": [],
    }


class Told:
    """A mesh with prepared answers, by question; an exception is raised. `asked` is what it was asked."""

    def __init__(self, answers: dict) -> None:
        self._answers = {"members": {"mesh": "00", "node": "n1", "members": self.members()}} | answers
        self.asked: list[tuple[str, str]] = []

    def members(self) -> list[dict]:
        return [_member(node, name) for node, name in NODES.items()]

    def ask(self, what: str, argument: str = "") -> dict:
        self.asked.append((what, argument))
        answer = self._answers[what]
        if isinstance(answer, MeshError):
            raise answer
        return answer

    def status(self, task: str) -> dict:
        return self.ask("status", task)

    def cancel(self, task: str) -> dict:
        return self.ask("cancel", task)

    def retry(self, task: str) -> dict:
        return self.ask("retry", task)


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs a command against prepared answers: exit code, stdout, stderr, what was asked."""

    def run(*arguments: str, **answers) -> tuple[int, str, str, list[tuple[str, str]]]:
        played = Told(answers)

        @contextmanager
        def connect_blocking(*at):
            yield played

        module = arguments[0].replace("-", "_")
        monkeypatch.setattr(f"hubless.cli.{module}.connect_blocking", connect_blocking)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err, played.asked

    return run
