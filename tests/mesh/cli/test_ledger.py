"""Inputs and records of `mesh submit`: what a resumed run finds, keeps, and refuses."""

from __future__ import annotations

import json

import pytest

from hubless.cli.exits import CommandError
from hubless.cli.ledger import Inputs, Ledger
from hubless.client import Reply
from hubless_agents import Effect, Failure


@pytest.fixture
def inputs(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"n": 1}\n\n{"n": 2}\n{"n": 3}')
    return Inputs.read(path)


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_blank_lines_are_skipped_and_line_numbers_are_those_of_the_file(inputs, tmp_path):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False) as ledger:
        for number in (1, 2, 3):
            ledger.write(Reply(json.dumps(number).encode()))
    assert [(record["line"], record["value"]) for record in records(output)] == [(1, 1), (3, 2), (4, 3)]


def test_a_failure_is_a_record_with_its_error(inputs, tmp_path):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False) as ledger:
        ledger.write(Reply(b"", Failure(code="raised", message="no", where="n/a", effect=Effect.MAYBE)))
    (record,) = records(output)
    assert record["error"] == {"code": "raised", "message": "no", "effect": "maybe", "where": "n/a"}
    assert "value" not in record


def test_a_null_answer_is_an_answer(inputs, tmp_path):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False) as ledger:
        ledger.write(Reply(b"null"))
    with Ledger(output, inputs, restart=False) as ledger:
        assert (ledger.done, ledger.failed) == (1, 0)
    assert records(output)[0]["value"] is None


@pytest.mark.parametrize("torn", [b"", b'{"line":4', b'{"line":4,"of":"00000000","value":3}'])
def test_a_run_goes_on_after_the_last_whole_record(inputs, tmp_path, torn):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False) as ledger:
        ledger.write(Reply(b"1"))
        ledger.write(Reply(b"2"))
    with output.open("ab") as file:
        file.write(torn)
    with Ledger(output, inputs, restart=False) as ledger:
        assert ledger.done == 2
        assert list(inputs.after(ledger.done)) == [b'{"n": 3}']
        ledger.write(Reply(b"3"))
    assert [record["value"] for record in records(output)] == [1, 2, 3]


def test_an_output_of_other_inputs_is_not_continued(inputs, tmp_path):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False) as ledger:
        ledger.write(Reply(b"1"))
    (tmp_path / "other.jsonl").write_text('{"n": 9}\n')
    others = Inputs.read(tmp_path / "other.jsonl")
    before = output.read_bytes()
    with pytest.raises(CommandError, match="line 1 answers another input"):
        Ledger(output, others, restart=False)
    assert output.read_bytes() == before
    with Ledger(output, others, restart=True) as ledger:
        assert ledger.done == 0


def test_a_file_of_something_else_is_not_touched(inputs, tmp_path):
    output = tmp_path / "notes.txt"
    output.write_text("dear diary\n")
    with pytest.raises(CommandError, match="not written by `mesh submit`"):
        Ledger(output, inputs, restart=False)
    assert output.read_text() == "dear diary\n"


def test_two_runs_do_not_share_an_output(inputs, tmp_path):
    output = tmp_path / "out.jsonl"
    with Ledger(output, inputs, restart=False), pytest.raises(CommandError, match="another `mesh submit`"):
        Ledger(output, inputs, restart=False)


def test_an_input_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"n": 1}\n{"n": }\n')
    with pytest.raises(CommandError, match="line 2 is not JSON"):
        Inputs.read(path)


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"no input file .*nothing\.jsonl"):
        Inputs.read(tmp_path / "nothing.jsonl")
