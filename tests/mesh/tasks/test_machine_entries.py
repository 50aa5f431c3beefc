"""The bytes of log entries: what is written is read, and what cannot be read stops nobody."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubless.tasks.entries import (
    AttemptEnded,
    AttemptStarted,
    Cancelled,
    Entered,
    Entry,
    Expired,
    Follows,
    Forked,
    Merged,
    Retried,
    Submitted,
    decode_entry,
    encode_entry,
)
from hubless.tasks.machine import Machine
from hubless_agents import Effect, Failure

TASK = bytes(range(16))
FAILURE = Failure(code="raised", message="no", where="n1/echo", effect=Effect.DONE, detail="line 1")
ENTRIES: list[Entry] = [
    Submitted(TASK, "echo", "key", b"payload", 1_700_000_000_000, 1_700_000_030_000, 2, "n1"),
    AttemptStarted(TASK, 3, "n2", 5),
    AttemptEnded(TASK, 3, b"result", None, 6),
    AttemptEnded(TASK, 3, None, FAILURE, 6, Follows.AGAIN, "n3"),
    Expired(TASK, FAILURE, 7),
    Cancelled(TASK, 8),
    Retried(TASK, 9, 99),
    Forked(10, "operator"),
    Entered(TASK, "echo", "", b"p", b"r", None, "n4", 11),
    Merged(TASK, 0, b"both", 12),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_every_entry_comes_back_from_its_bytes(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


def test_the_tags_and_the_order_of_fields_are_what_older_logs_hold() -> None:
    heads = [msgspec.msgpack.decode(encode_entry(entry)) for entry in ENTRIES]
    assert [head[0] for head in heads] == [1, 2, 3, 3, 4, 5, 6, 7, 8, 10]
    assert heads[0] == [
        *[1, TASK, "echo", "key", b"payload", 1_700_000_000_000, 1_700_000_030_000, 2],
        "n1",
    ]
    assert heads[3][2:4] == [3, None]
    assert heads[3][5:] == [6, 1, "n3"]


def test_fields_that_a_later_version_appends_are_passed_over() -> None:
    body = msgspec.msgpack.encode([5, TASK, 8, "since version 9", {"a": [1]}])
    assert decode_entry(body) == Cancelled(TASK, 8)


def test_fields_that_an_earlier_version_did_not_write_have_their_defaults() -> None:
    assert decode_entry(msgspec.msgpack.encode([3, TASK, 1, b"r", None, 6])) == AttemptEnded(
        TASK, 1, b"r", None, 6, Follows.DONE, ""
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([77, TASK, 8]),
        msgspec.msgpack.encode([5, TASK]),
        msgspec.msgpack.encode([5, "text", 8]),
        msgspec.msgpack.encode([3, TASK, 1, b"r", None, 6, 9]),
        encode_entry(ENTRIES[0]) + b"\x00",
        b"\x93\x05\xa2\xff\xfe\x08",
        b"\x94\x05\xc4\x01a\x08" + b"\x91" * 100_000 + b"\x00",
    ],
    ids=["empty", "unused", "tag", "short", "type", "follows", "trailing", "utf-8", "deep"],
)
def test_bytes_that_are_no_entry_are_counted_and_change_nothing(body: bytes) -> None:
    machine = Machine()
    assert machine.apply(body) == (None, None)
    assert (machine.applied, machine.counters.unknown, machine.rows) == (1, 1, {})


@given(st.lists(st.binary(max_size=64), max_size=10))
def test_no_bytes_whatever_raise(bodies: list[bytes]) -> None:
    machine = Machine()
    for body in bodies:
        machine.apply(body)
    assert machine.applied == len(bodies)


@given(st.sampled_from(ENTRIES), st.data())
def test_no_damaged_entry_raises_and_the_state_stays_writable(entry: Entry, data: st.DataObject) -> None:
    body = bytearray(encode_entry(entry))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    machine = Machine()
    for one in ENTRIES[0], ENTRIES[1]:
        machine.apply(encode_entry(one))
    machine.apply(bytes(body))
    machine.apply(encode_entry(Cancelled(TASK, 12)))
    assert Machine.from_state(machine.state()).state() == machine.state()
