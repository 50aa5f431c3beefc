"""`mesh submit`, with the mesh played by the test."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from hubless.cli import main
from hubless.client import Reply
from hubless.client.reply import unreachable_reply
from hubless_agents import Effect, Failure

DIED = Failure(code="unreachable", message="its node died", where="n1/double", effect=Effect.MAYBE)


class Played:
    """A mesh that gives prepared replies."""

    def __init__(self, replies: list[Reply]) -> None:
        self._replies = iter(replies)

    def stream(self, agent, items, **options):
        return self

    def __aiter__(self):
        return self

    async def __anext__(self) -> Reply:
        for reply in self._replies:
            return reply
        raise StopAsyncIteration


@pytest.fixture
def submit(tmp_path, monkeypatch, capsys):
    """Submits as many lines as there are replies: exit code, records, stderr."""

    def run(*replies: Reply) -> tuple[int, list[dict], str]:
        @asynccontextmanager
        async def connect(*at):
            yield Played(list(replies))

        monkeypatch.setattr("hubless.cli.submit.connect", connect)
        source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        source.write_text("".join(f"{number}\n" for number in range(len(replies))))
        with pytest.raises(SystemExit) as ended:
            main(["submit", "double", "--input", str(source), "--output", str(output)])
        records = [json.loads(line) for line in output.read_text().splitlines()]
        return int(ended.value.code or 0), records, capsys.readouterr().err

    return run


def test_a_task_whose_node_died_has_a_record_and_the_rest_goes_on(submit):
    code, records, _ = submit(Reply(b"1"), Reply(b"", DIED), Reply(b"3"))
    assert code == 1
    assert [record.get("value") for record in records] == [1, None, 3]
    assert (records[1]["error"]["code"], records[1]["error"]["effect"]) == ("unreachable", "maybe")


def test_a_mesh_that_is_gone_ends_the_run_and_leaves_the_rest_for_the_next(submit):
    gone = unreachable_reply("no node of the mesh answers any more", effect=Effect.MAYBE)
    code, records, err = submit(Reply(b"1"), gone, Reply(b"3"))
    assert code == 3
    assert [record.get("value") for record in records] == [1]
    assert "1 of 3 lines are done" in err
