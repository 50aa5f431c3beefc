"""Frames of the work sockets: what goes in comes out, and what is broken never raises anything but FrameError."""

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless.wire import (
    PROTOCOL_VERSION,
    Accepted,
    Answer,
    Ask,
    Assign,
    Consult,
    Consulted,
    Durability,
    Ended,
    FrameError,
    Hello,
    LeavePlease,
    Limits,
    Moved,
    Outbox,
    OwnedBy,
    Owns,
    Place,
    Recall,
    Refused,
    Settled,
    ShardChoice,
    Submit,
    Taken,
    Welcome,
    Whose,
    decode,
    encode,
    encode_refusal,
)
from hubless_agents import Effect, Failure

MESH = b"8 bytes!"
TASK = bytes(range(16))
LIMITS = Limits(frame_bytes=1 << 16, payload_bytes=1 << 12, messages=32)
FAILURE = Failure(code="worker_died", message="gone", where="n1/echo", effect=Effect.MAYBE, retry_after_ms=5)

texts = st.text(max_size=20)
blobs = st.binary(max_size=50)
ids = st.binary(min_size=16, max_size=16)
counts = st.integers(0, 2**31)
flags = st.booleans()
failures = st.builds(
    Failure,
    code=st.just("raised"),
    message=texts,
    where=texts,
    effect=st.sampled_from(Effect),
    retry_after_ms=st.none() | counts,
    detail=texts,
)
ends = st.tuples(blobs, st.none()) | st.tuples(st.none(), failures)
kinds = st.sampled_from([Answer, Settled])
messages = st.one_of(
    st.builds(
        Submit,
        blobs,
        texts,
        texts,
        blobs,
        counts,
        flags,
        durability=st.sampled_from(Durability),
        receipt=flags,
        shard=st.sampled_from(ShardChoice),
    ),
    st.builds(
        Place, ids, texts, texts, blobs, counts, texts, st.lists(texts, max_size=3).map(tuple), flags, flags
    ),
    st.builds(Assign, ids, counts, texts, blobs, counts, st.lists(failures, max_size=2).map(tuple), counts),
    st.builds(lambda task, attempt, end: Ended(task, attempt, *end), ids, counts, ends),
    st.builds(
        lambda kind, task, end, node, attempt: kind(task, *end, node, attempt),
        kinds,
        ids,
        ends,
        texts,
        counts,
    ),
    st.builds(Ask, counts, texts, texts),
    st.builds(Recall, ids, counts, counts),
    st.builds(Taken, ids) | st.builds(Accepted, blobs),
    st.builds(Moved, ids, counts, texts),
    st.builds(Owns, st.lists(st.tuples(st.integers(0, 4095), counts), max_size=3).map(tuple)),
    st.builds(Whose, st.integers(0, 4095)),
    st.builds(OwnedBy, st.integers(0, 4095), counts, texts),
    st.builds(Refused, texts, texts, blobs),
    st.builds(Consult, counts, texts, texts),
    st.builds(Consulted, counts, blobs, st.none() | failures),
    st.builds(LeavePlease, texts, flags),
)


@given(st.lists(messages, max_size=10), st.text(max_size=64), counts)
def test_what_is_encoded_is_decoded(batch: list, sender: str, boot: int) -> None:
    envelope = decode(encode(MESH, sender, boot, batch), LIMITS)
    assert (envelope.mesh, envelope.sender, envelope.boot) == (MESH, sender, boot)
    assert envelope.messages == batch
    assert envelope.unknown == envelope.malformed == 0


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_arbitrary_parts_never_raise_anything_but_a_frame_error(parts: list[bytes]) -> None:
    try:
        decode(parts, LIMITS)
    except FrameError as problem:
        assert problem.reason in {"garbage", "version", "oversized", "refused"}


@settings(max_examples=300)
@given(st.data())
def test_mutated_bodies_never_raise_anything_but_a_frame_error(data: st.DataObject) -> None:
    header, body = encode(MESH, "n1", 1, [Submit(TASK, "echo", "", b"{}", 5), Ended(TASK, 1, None, FAILURE)])
    raw = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    try:
        decode([header, bytes(raw[:cut])], LIMITS)
    except FrameError:
        return


def test_a_deeply_nested_body_is_garbage_and_not_a_crash() -> None:
    header = encode(MESH, "n1", 1, [])[0]
    bomb = b"\x91" * 20_000 + b"\xc0"
    with pytest.raises(FrameError, match="garbage"):
        decode([header, bomb], LIMITS)


def test_an_unknown_tag_is_counted_and_spoils_nothing() -> None:
    header = encode(MESH, "n1", 1, [])[0]
    good = [10, TASK, "echo", "", b"{}", 5]
    body = msgpack.packb([MESH, "n1", 1, [[999, "from a later release"], good]])
    envelope = decode([header, body], LIMITS)
    assert envelope.messages == [Submit(TASK, "echo", "", b"{}", 5)]
    assert (envelope.unknown, envelope.malformed) == (1, 0)


def test_a_malformed_message_is_counted_and_spoils_nothing() -> None:
    header = encode(MESH, "n1", 1, [])[0]
    body = msgpack.packb([MESH, "n1", 1, [[10, 7, 7, 7], [1, "client"], "not a message"]])
    envelope = decode([header, body], LIMITS)
    assert envelope.messages == [Hello("client")]
    assert (envelope.unknown, envelope.malformed) == (0, 2)


def test_a_field_that_a_later_release_appended_is_ignored() -> None:
    header = encode(MESH, "n1", 1, [])[0]
    body = msgpack.packb([MESH, "n1", 1, [[1, "client", 7, "a field of tomorrow"]]])
    assert decode([header, body], LIMITS).messages == [Hello("client", 7)]


def test_another_version_is_told_in_words() -> None:
    header, body = encode(MESH, "n1", 1, [])
    other = header[:4] + bytes([PROTOCOL_VERSION + 1]) + header[5:]
    with pytest.raises(FrameError, match="install the same hubless release") as caught:
        decode([other, body], LIMITS)
    assert caught.value.reason == "version"


def test_a_refusal_of_any_version_is_readable() -> None:
    header, text = encode_refusal("go away")
    other = header[:4] + bytes([PROTOCOL_VERSION + 7]) + header[5:]
    with pytest.raises(FrameError, match="go away") as caught:
        decode([other, text], LIMITS)
    assert caught.value.reason == "refused"


def test_an_oversized_frame_is_refused_before_it_is_parsed() -> None:
    header = encode(MESH, "n1", 1, [])[0]
    with pytest.raises(FrameError) as caught:
        decode([header, b"\xc1" * (LIMITS.frame_bytes + 1)], LIMITS)
    assert caught.value.reason == "oversized"


def test_too_many_messages_are_garbage() -> None:
    frame = encode(MESH, "n1", 1, [Hello("client")] * (LIMITS.messages + 1))
    with pytest.raises(FrameError, match="garbage"):
        decode(frame, LIMITS)


def test_limits_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="below frame_bytes"):
        Limits(frame_bytes=10, payload_bytes=10)


@given(st.lists(st.tuples(st.sampled_from("abc"), messages), max_size=60))
def test_the_outbox_keeps_the_order_of_each_receiver(sent: list) -> None:
    outbox: Outbox[str] = Outbox(mesh=MESH, sender="n1", boot=1, limits=LIMITS)
    for receiver, message in sent:
        outbox.add(receiver, message)
    arrived: dict[str, list] = {}
    for receiver, frame in outbox.frames():
        arrived.setdefault(receiver, []).extend(decode(frame, LIMITS).messages)
    for receiver in "abc":
        assert arrived.get(receiver, []) == [message for to, message in sent if to == receiver]
    assert list(outbox.frames()) == []


def test_the_outbox_splits_what_one_frame_cannot_hold() -> None:
    outbox: Outbox[str] = Outbox(mesh=MESH, sender="n1", boot=1, limits=LIMITS)
    large = Submit(TASK, "echo", "", bytes(LIMITS.payload_bytes), 5)
    for _ in range(3 * LIMITS.messages):
        outbox.add("a", large)
    frames = [frame for _, frame in outbox.frames()]
    assert all(len(body) <= LIMITS.frame_bytes for _, body in frames)
    assert sum(len(decode(frame, LIMITS).messages) for frame in frames) == 3 * LIMITS.messages


def test_what_cannot_be_encoded_is_counted_and_spoils_nothing() -> None:
    outbox: Outbox[str] = Outbox(mesh=MESH, sender="n1", boot=1, limits=LIMITS)
    good = [Submit(TASK, name, "", b"{}", 5) for name in ("one", "two", "three")]
    outbox.add("a", good[0])
    outbox.add("a", Submit(TASK, "\ud800", "", b"{}", 5))
    outbox.add("a", good[1])
    outbox.add("b", Submit(TASK, "echo", "", b"{}", 2**70))
    outbox.add("c", good[2])
    arrived = [(to, message) for to, frame in outbox.frames() for message in decode(frame, LIMITS).messages]
    assert arrived == [("a", good[0]), ("a", good[1]), ("c", good[2])]
    assert outbox.unencodable == 2


def test_a_welcome_travels_whole() -> None:
    welcome = Welcome(1, MESH, "n1", 2, "127.0.0.1:7001", 64, ("127.0.0.1:7000",), (1, 5))
    assert decode(encode(MESH, "n1", 2, [welcome]), LIMITS).messages == [welcome]


@pytest.mark.parametrize(
    "fields",
    [
        {"mesh": b"short"},
        {"mesh": b"nine bytes"},
        {"shards": 0},
        {"shards": 4097},
        {"owned": (4096,)},
        {"owned": (-1,)},
        {"payload_bytes": 0},
    ],
)
def test_a_welcome_that_no_client_could_work_with_is_malformed(fields: dict) -> None:
    welcome = msgspec.structs.replace(Welcome(1, MESH, "n1", 2, "127.0.0.1:7001", 64, (), (1, 5)), **fields)
    envelope = decode(encode(MESH, "n1", 2, [welcome, Hello("client")]), LIMITS)
    assert (envelope.messages, envelope.malformed) == ([Hello("client")], 1)


RAW_FAILURE = msgspec.to_builtins(FAILURE)


@pytest.mark.parametrize("payload_and_failure", [[None, None], [b"1", RAW_FAILURE]])
@pytest.mark.parametrize(
    "raw",
    [[11, TASK, "*", "n1", 1], [21, TASK, "*", "n1", 1], [23, TASK, 1, "*"]],
    ids=["answer", "settled", "ended"],
)
def test_an_outcome_of_neither_or_both_is_malformed(raw: list, payload_and_failure: list) -> None:
    place = raw.index("*")
    header = encode(MESH, "n1", 1, [])[0]
    messages = [[*raw[:place], *payload_and_failure, *raw[place + 1 :]], [1, "client"]]
    envelope = decode([header, msgpack.packb([MESH, "n1", 1, messages])], LIMITS)
    assert (envelope.messages, envelope.malformed, envelope.unknown) == ([Hello("client")], 1, 0)


@pytest.mark.parametrize(("payload", "failure"), [(None, None), (b"1", FAILURE)])
def test_an_outcome_of_neither_or_both_cannot_be_made(payload: bytes | None, failure: Failure | None) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Answer(TASK, payload, failure, "n1", 1)
    with pytest.raises(ValueError, match="exactly one"):
        Settled(TASK, payload, failure, "n1", 1)
    with pytest.raises(ValueError, match="exactly one"):
        Ended(TASK, 1, payload, failure)


def test_what_an_earlier_release_says_is_understood() -> None:
    """Fields are only appended: a message without them asks for what there was before them."""
    header = encode(MESH, "n1", 1, [])[0]
    old = [
        [10, TASK, "echo", "", b"1", 5],
        [20, TASK, "echo", "", b"1", 5, "n1"],
        [22, TASK, 1, "echo", b"1", 5],
        [29, TASK, 1],
    ]
    envelope = decode([header, msgpack.packb([MESH, "n1", 1, old])], LIMITS)
    assert envelope.messages == [
        Submit(TASK, "echo", "", b"1", 5, again=False, durability=Durability.OF_AGENT, receipt=False),
        Place(TASK, "echo", "", b"1", 5, "n1", is_kept=True),
        Assign(TASK, 1, "echo", b"1", 5, term=0),
        Recall(TASK, 1, 0),
    ]


@pytest.mark.parametrize("led", [[[4096, 1]], [[-1, 1]], [["0", 1]], [[0]]])
def test_an_ownership_of_what_no_mesh_has_is_malformed(led: list) -> None:
    header = encode(MESH, "n1", 1, [])[0]
    envelope = decode([header, msgpack.packb([MESH, "n1", 1, [[28, led], [1, "client"]]])], LIMITS)
    assert (envelope.messages, envelope.malformed) == ([Hello("client")], 1)


@pytest.mark.parametrize("task", [b"", b"short", bytes(17)])
@pytest.mark.parametrize(
    "fields",
    [
        [20, "echo", "", b"1", 5, "n1"],
        [21, b"1", None, "n1", 1],
        [22, 1, "echo", b"1", 5],
        [23, 1, b"1", None],
        [24],
        [26],
        [27, 1, "n1"],
        [29, 1],
        [32, "echo", "", b"", 0, b"1", None],
        [33],
    ],
    ids=["Place", "Settled", "Assign", "Ended", "Withdraw", "Taken", "Moved", "Recall", "Enter", "EnterDone"],
)
def test_what_no_task_can_be_called_is_malformed_between_nodes(fields: list, task: bytes) -> None:
    header = encode(MESH, "n1", 1, [])[0]
    tag, *rest = fields
    good, bad = [tag, TASK, *rest], [tag, task, *rest]
    envelope = decode([header, msgpack.packb([MESH, "n1", 1, [bad, good]])], LIMITS)
    assert ([message.task for message in envelope.messages], envelope.malformed) == ([TASK], 1)


@pytest.mark.parametrize("term", [-1, 2**62])
def test_terms_that_nobody_can_follow_are_malformed(term: int) -> None:
    header = encode(MESH, "n1", 1, [])[0]
    raw = [[28, [[1, term]]], [27, TASK, term, "n1"], [1, "client"]]
    envelope = decode([header, msgpack.packb([MESH, "n1", 1, raw])], LIMITS)
    assert (envelope.messages, envelope.malformed) == ([Hello("client")], 2)
