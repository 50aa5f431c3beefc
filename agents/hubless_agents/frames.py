"""The private socket between a node and one worker: frames of a length and a MessagePack array.

A frame is four bytes (length of the rest, big endian) and an array whose first element says what it is.
Both ends are of the same version, since the node starts the worker; junk is still only a `FrameError`.
"""

import struct
from typing import Final, cast, get_args

import msgpack
import msgspec

from .contract import Contract
from .events import (
    AnswerKind,
    Assignment,
    GiveTask,
    RecallTask,
    WorkerAnswered,
    WorkerReady,
)
from .failure import DETAIL_LIMIT_CHARS, MESSAGE_LIMIT_CHARS, Failure

# Room for everything in a frame that is not payload: a catalogue of contracts, failures of earlier attempts.
OVERHEAD_BYTES: Final = 4 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_KINDS: Final[tuple[AnswerKind, ...]] = get_args(AnswerKind)
_KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
_GIVE, _RECALL = 0, 1
_READY, _START_FAILED, _ANSWER = 0, 1, 2
_MAX_CONTRACTS: Final = 4_096


class FrameError(ValueError):
    """The bytes are not of this protocol. The stream cannot be used any further."""


class StartFailed(msgspec.Struct, frozen=True):
    """The worker could not import the user's module; it exits."""

    message: str
    detail: str


class FrameReader:
    """Cuts a stream into frames. A frame longer than the limit is a FrameError before it is collected."""

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._rest = bytearray()

    def feed(self, chunk: bytes | memoryview) -> list[bytes]:
        """The frames that this chunk completes, without their lengths."""
        rest = self._rest
        if rest:
            rest += chunk
            with memoryview(rest) as view:
                frames, used = self._cut(view)
            del rest[:used]
            return frames
        with memoryview(chunk) as view:
            frames, used = self._cut(view)
            rest += view[used:]
        return frames

    def _cut(self, view: memoryview) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        position, end = 0, len(view)
        while end - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(view, position)
            if length > self._limit:
                raise FrameError(f"a frame of {length} bytes; the limit is {self._limit}")
            start = position + _LENGTH.size
            if end - start < length:
                break
            frames.append(bytes(view[start : start + length]))
            position = start + length
        return frames, position


def _frame(parts: tuple[object, ...]) -> bytes:
    # Exceptions of users may have texts that are no Unicode: the frame must go out all the same.
    body = cast("bytes", msgpack.packb(parts, use_bin_type=True, unicode_errors="replace"))
    return _LENGTH.pack(len(body)) + body


def _parts(frame: bytes) -> list[object]:
    size = len(frame)
    try:
        parts = msgpack.unpackb(
            frame,
            raw=False,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=min(size, _MAX_CONTRACTS),
            max_map_len=64,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise FrameError(f"not MessagePack: {type(error).__name__}") from None
    if not isinstance(parts, list):
        raise FrameError("not an array")
    return parts


# ---- node to worker -----------------------------------------------------------------------------------


def encode_give(effect: GiveTask) -> bytes:
    task = effect.assignment
    failures = [msgspec.to_builtins(failure) for failure in task.failures] if task.failures else []
    return _frame(
        (_GIVE, effect.give, task.agent, task.attempt, effect.remaining_ns, task.task, task.payload, failures)
    )


def encode_recall(effect: RecallTask) -> bytes:
    return _frame((_RECALL, effect.give, effect.stop))


def decode_order(frame: bytes) -> GiveTask | RecallTask:
    """What the node asks of a worker; `worker` is 0, `deadline_ns` is the remaining time."""
    match _parts(frame):
        case [0, int(give), str(agent), int(attempt), int(remaining), bytes(task), bytes(payload), list(raw)]:
            failures = tuple(msgspec.convert(raw, list[Failure])) if raw else ()
            assignment = Assignment(task, attempt, agent, payload, remaining, failures)
            return GiveTask(0, give, assignment, remaining)
        case [1, int(give), bool(stop)]:
            return RecallTask(0, give, stop)
        case _:
            raise FrameError("not an order")


# ---- worker to node -----------------------------------------------------------------------------------


def encode_ready(pid: int, contracts: tuple[Contract, ...]) -> bytes:
    return _frame((_READY, pid, [msgspec.to_builtins(one, builtin_types=(bytes,)) for one in contracts]))


def encode_start_failed(message: str, detail: str) -> bytes:
    return _frame((_START_FAILED, message[:MESSAGE_LIMIT_CHARS], detail[-DETAIL_LIMIT_CHARS:]))


def encode_answer(
    give: int,
    kind: AnswerKind,
    payload: bytes = b"",
    *,
    message: str = "",
    detail: str = "",
    took_ns: int = 0,
) -> bytes:
    parts = (
        _ANSWER,
        give,
        _KIND_NUMBERS[kind],
        payload,
        message[:MESSAGE_LIMIT_CHARS],
        detail[-DETAIL_LIMIT_CHARS:],
        took_ns,
    )
    return _frame(parts)


def decode_report(frame: bytes, worker: int) -> WorkerAnswered | WorkerReady | StartFailed:
    """What a worker says; anything else is a FrameError."""
    match _parts(frame):
        case [2, int(give), int(kind), bytes(payload), str(message), str(detail), int(took_ns)] if (
            0 <= kind < len(_KINDS)
        ):
            return WorkerAnswered(worker, give, _KINDS[kind], payload, message, detail, took_ns)
        case [0, int(pid), list(raw)]:
            try:
                contracts = msgspec.convert(raw, tuple[Contract, ...], builtin_types=(bytes,))
            except msgspec.ValidationError as error:
                raise FrameError(f"not a catalogue: {error}") from None
            return WorkerReady(worker, pid, contracts)
        case [1, str(message), str(detail)]:
            return StartFailed(message, detail)
        case _:
            raise FrameError("not a report")
