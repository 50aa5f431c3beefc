"""Whatever bytes come in: counted, answered in words where words help, and never raised."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.effects import Log, NodeEffect, RefuseClient, ToClient
from hubless.reception import Reception
from hubless.wire import Cancel, Hello, Limits, Message, Refused, Settled, encode, encode_refusal

MESH = b"mesh-one"
TASK = b"t" * 16
LIMITS = Limits(frame_bytes=10_000, payload_bytes=1_000, messages=16)


class Listener:
    """Takes cancellations from clients and settlements from nodes."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Message]] = []

    def from_client(self, now_ns: int, route: bytes, message: Message, out: list[NodeEffect]) -> bool:
        self.heard.append(("client", message))
        return isinstance(message, Cancel | Hello)

    def is_outlived(self, node: str, boot: int) -> bool:
        return False

    def from_node(self, now_ns: int, node: str, message: Message, out: list[NodeEffect]) -> bool:
        self.heard.append((node, message))
        return isinstance(message, Settled)


class Room:
    def __init__(self) -> None:
        self.listener = Listener()
        self.reception = Reception(mesh=MESH, limits=LIMITS, audience=self.listener)

    def take(self, parts: list[bytes]) -> list[NodeEffect]:
        out: list[NodeEffect] = []
        self.reception.frame(0, b"route", parts, out)
        return out


@pytest.fixture
def room() -> Room:
    return Room()


def test_messages_go_to_whoever_they_are_for_in_order(room: Room) -> None:
    settled = Settled(TASK, b"1", None, "n1", 1)
    assert room.take(encode(MESH, "", 0, [Cancel(TASK), Cancel(TASK)])) == []
    assert room.take(encode(MESH, "n1", 4, [settled])) == []
    assert room.listener.heard == [("client", Cancel(TASK)), ("client", Cancel(TASK)), ("n1", settled)]


def test_what_a_sender_has_no_business_to_say_is_counted(room: Room) -> None:
    room.take(encode(MESH, "", 0, [Settled(TASK, b"1", None, "n1", 1)]))
    room.take(encode(MESH, "n1", 0, [Cancel(TASK)]))
    assert room.reception.counters.misplaced == 2


def test_another_mesh_is_refused_in_words(room: Room) -> None:
    (effect,) = room.take(encode(b"mesh-two", "n1", 0, [Settled(TASK, b"1", None, "n1", 1)]))
    assert isinstance(effect, ToClient)
    assert isinstance(effect.message, Refused)
    assert effect.message.code == "mesh_mismatch"
    assert MESH.hex() in effect.message.message
    assert room.listener.heard == []
    assert room.reception.counters.foreign_mesh == 1


def test_a_greeting_may_come_from_who_does_not_know_the_mesh_yet(room: Room) -> None:
    room.take(encode(b"", "", 0, [Hello("node")]))
    assert room.listener.heard == [("client", Hello("node"))]


def test_only_a_greeting_may(room: Room) -> None:
    (effect,) = room.take(encode(b"", "", 0, [Hello("node"), Cancel(TASK)]))
    assert isinstance(effect, ToClient)
    assert room.listener.heard == []


def test_another_version_is_told_in_words_that_it_can_read(room: Room) -> None:
    header, body = encode(MESH, "", 0, [Cancel(TASK)])
    (effect,) = room.take([header[:4] + b"\x63" + header[5:], body])
    assert isinstance(effect, RefuseClient)
    assert "version 99" in effect.text
    assert room.reception.counters.version == 1


def test_a_frame_beyond_the_limit_is_refused_unread(room: Room) -> None:
    header, _ = encode(MESH, "", 0, [])
    (effect,) = room.take([header, b"x" * (LIMITS.frame_bytes + 1)])
    assert isinstance(effect, RefuseClient)
    assert room.reception.counters.oversized == 1


def test_one_bad_message_does_not_spoil_the_others(room: Room) -> None:
    header, _ = encode(MESH, "", 0, [])
    body = msgpack.packb([MESH, "", 0, [[12, TASK], [99, 1], [12, "no bytes"], [12, TASK]]])
    room.take([header, body])
    assert [message for _, message in room.listener.heard] == [Cancel(TASK), Cancel(TASK)]
    assert (room.reception.counters.unknown_tags, room.reception.counters.malformed) == (1, 1)


def test_refusals_are_not_refused_back(room: Room) -> None:
    assert room.take(encode_refusal("go away")) == []
    assert room.reception.counters.refused == 1


def test_a_peer_s_refusal_of_our_frames_is_told_to_people(room: Room) -> None:
    out: list[NodeEffect] = []
    room.reception.refusal(encode_refusal("install the same release"), out)
    room.reception.refusal(encode(b"mesh-two", "n7", 1, [Refused("mesh_mismatch", "another mesh")]), out)
    assert [isinstance(effect, Log) and effect.level for effect in out] == ["warning", "warning"]
    assert room.reception.counters.refused == 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=3))
def test_no_bytes_raise(parts: list[bytes]) -> None:
    room = Room()
    room.take(parts)
    room.reception.refusal(parts, [])
    assert room.listener.heard == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damaged_frame_raises(data: st.DataObject) -> None:
    room = Room()
    header, body = encode(MESH, "n1", 3, [Settled(TASK, b"12345", None, "n1", 1), Cancel(TASK)])
    damaged = bytearray(header + body)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    room.take([bytes(damaged[:6]), bytes(damaged[6:])])
    assert room.reception.counters.frames == 1
