"""The private socket's frames: whole, in pieces, and as junk. And the lines of a worker's output."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubless_agents import (
    Assignment,
    Contract,
    Effect,
    GiveTask,
    RecallTask,
    WorkerAnswered,
    WorkerReady,
    failure,
)
from hubless_agents.frames import (
    FrameError,
    FrameReader,
    StartFailed,
    decode_order,
    decode_report,
    encode_answer,
    encode_give,
    encode_ready,
    encode_recall,
    encode_start_failed,
)
from hubless_agents.loglines import LINE_LIMIT_CHARS, LINES_PER_S, LogLines


def frames_of(stream: bytes, size: int, limit: int = 1_000_000) -> list[bytes]:
    reader, frames = FrameReader(limit), []
    for start in range(0, len(stream), size):
        frames += reader.feed(stream[start : start + size])
    return frames


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 70))
def test_stream_may_be_cut_anywhere(payloads, size):
    stream = b"".join(encode_answer(i, "returned", payload) for i, payload in enumerate(payloads))
    answers = [decode_report(frame, 1) for frame in frames_of(stream, size)]
    assert [answer.payload for answer in answers] == payloads


def test_orders_survive_the_way():
    earlier = failure("raised", "why", effect=Effect.MAYBE, retry_after_ms=5)
    give = GiveTask(3, 7, Assignment(b"t" * 16, 2, "echo", b"{}", 0, (earlier,)), 99)
    (frame,) = frames_of(encode_give(give), 1_000)
    decoded = decode_order(frame)
    assert isinstance(decoded, GiveTask)
    assert (decoded.give, decoded.remaining_ns) == (7, 99)
    assert decoded.assignment.failures == (earlier,)
    assert (decoded.assignment.task, decoded.assignment.agent) == (b"t" * 16, "echo")
    (frame,) = frames_of(encode_recall(RecallTask(3, 8, stop=True)), 1_000)
    assert decode_order(frame) == RecallTask(0, 8, stop=True)


def test_reports_survive_the_way():
    contracts = (Contract(name="a"), Contract(name="b", memory_bytes=64 << 20))
    stream = encode_ready(5, contracts) + encode_start_failed("m", "d")
    stream += encode_answer(4, "raised", message="m" * 9_000, detail="d", took_ns=6)
    ready, failed, answer = [decode_report(frame, 9) for frame in frames_of(stream, 50)]
    assert ready == WorkerReady(9, 5, contracts)
    assert failed == StartFailed("m", "d")
    assert isinstance(answer, WorkerAnswered)
    assert (answer.worker, answer.kind, answer.took_ns, len(answer.message)) == (9, "raised", 6, 500)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_junk_is_a_frame_error(junk):
    for decode in (decode_order, lambda frame: decode_report(frame, 1)):
        try:
            decode(junk)
        except FrameError:
            continue


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1",
        b"\x93\x02\x01",
        b"\x91" * 5_000 + b"\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x93\x00\x05\x91\x80",  # a catalogue with a contract without a name
        b"\x97\x02\x00\x63\xc4\x00\xa0\xa0\x00",  # an answer of an unknown kind
        b"\x80",
    ],
)
def test_known_junk_is_refused(frame):
    with pytest.raises(FrameError):
        decode_report(frame, 1)


def test_frame_over_the_limit_is_refused_before_it_is_collected():
    with pytest.raises(FrameError, match="limit"):
        FrameReader(100).feed(b"\x00\x00\x00\x65")


def test_lines_are_cut_out_of_chunks():
    lines = LogLines()
    assert lines.feed(0, b"one\r\ntw") == ["one"]
    assert lines.feed(0, b"o\n\xff\nrest") == ["two", "\N{REPLACEMENT CHARACTER}"]
    assert lines.close() == ["rest"]


def test_flood_is_counted_instead_of_told():
    lines = LogLines()
    assert len(lines.feed(1, b"x\n" * 5_000)) == LINES_PER_S
    assert lines.feed(2, b"x\n" * 5_000) == []
    told = lines.feed(2_000_000_000, b"calm\n")
    assert told[0].startswith(f"[{10_000 - LINES_PER_S} lines dropped")
    assert told[1:] == ["calm"]


def test_line_without_end_is_bounded():
    lines = LogLines()
    for _ in range(100):
        lines.feed(0, b"x" * 5_000)
    (line,) = lines.feed(0, b"\n")
    assert len(line) <= 2 * LINE_LIMIT_CHARS
