"""What a node prints: in order, and never in the way of the node."""

import json
import os
import threading

import pytest

from hubless.cli.voice import JsonVoice, PlainVoice, Printer
from hubless.driver import LogLine


def test_lines_are_printed_in_order_before_the_printer_goes(capfd: pytest.CaptureFixture[str]) -> None:
    with Printer() as printer:
        for number in range(1_000):
            printer.say(str(number))
    assert capfd.readouterr().out.split() == [str(number) for number in range(1_000)]


def test_a_reader_that_stalls_does_not_hold_who_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled, told = threading.Event(), []

    def echo(line: str, **_: object) -> None:
        stalled.wait(30)
        told.append(line)

    monkeypatch.setattr("click.echo", echo)
    with Printer() as printer:
        for number in range(30_000):
            printer.say(str(number))  # more than may wait: the rest is dropped
        stalled.set()
    assert told[0] == "0"
    assert "lines were dropped" in told[-1]
    assert len(told) < 30_000


def test_a_reader_that_has_gone_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    kept = os.dup(1)
    os.dup2(writer, 1)
    os.close(writer)
    try:
        with Printer() as printer:
            printer.say("nobody hears this")
            printer.say("nor this")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr().err == ""


def test_json_lines_name_member_and_condition(capfd: pytest.CaptureFixture[str]) -> None:
    with Printer() as printer:
        JsonVoice(printer).log(LogLine("node", "warning", "n2 is dead", "abc", "dead"))
    event = json.loads(capfd.readouterr().out)
    assert (event["event"], event["member"], event["condition"]) == ("log", "abc", "dead")


def test_people_read_who_spoke(capfd: pytest.CaptureFixture[str]) -> None:
    with Printer() as printer:
        PlainVoice(printer).log(LogLine("worker 1", "info", "hello"))
    assert capfd.readouterr().out.split() == ["worker", "1", "hello"]
