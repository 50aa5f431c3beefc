"""What the things that histories are about do when they are used one call at a time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from hubless_sim.checkers.linearizability import REJECTED, UNKNOWN, Mark


@dataclass(frozen=True, slots=True)
class Write:
    """Its output is None."""

    key: Hashable
    value: Hashable


@dataclass(frozen=True, slots=True)
class Read:
    """Its output is the value; None before the first write."""

    key: Hashable


class RegisterSpec:
    """A register for each key: a read has the value of the last write."""

    def part(self, op_input: Write | Read) -> Hashable:
        return op_input.key

    def initial(self) -> Hashable:
        return None

    def step(self, state: Hashable, op_input: Write | Read, op_output: object) -> Hashable | Mark:
        if isinstance(op_input, Write):
            return op_input.value
        return state if op_output is UNKNOWN or op_output == state else REJECTED

    def stays_quiet(self, op_input: Write | Read) -> bool:
        return isinstance(op_input, Read)


@dataclass(frozen=True, slots=True)
class Submit:
    """Its output is None, once the task is accepted. A submission that was certainly refused is no operation."""

    task: Hashable


@dataclass(frozen=True, slots=True)
class Outcome:
    """Its output is a `Result`."""

    task: Hashable


@dataclass(frozen=True, slots=True)
class Cancel:
    """Its output is whether the task is cancelled; False: it is unknown, or ended before."""

    task: Hashable


@dataclass(frozen=True, slots=True)
class Status:
    """Its output is a word: unknown, queued, running, succeeded, failed, dead, expired or cancelled."""

    task: Hashable


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended: the word of its state, and its result or failure, whatever can be compared and hashed."""

    status: str
    value: Hashable = None


class _Unseen(Enum):
    """Stands for a result, or for all that can be said of an end but that it was no cancellation."""

    UNSEEN = "unseen"


_UNSEEN: Final = _Unseen.UNSEEN


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that nothing changes any more; what nobody has seen yet may still be anything."""

    status: str | _Unseen
    value: Hashable | _Unseen = _UNSEEN


class Unended(Enum):
    """A task that was never accepted, or that is queued or running, which come and go with its attempts."""

    ABSENT = "absent"
    LIVE = "live"


_LIVE_WORDS: Final = frozenset({"queued", "running"})
_END_WORDS: Final = frozenset({"succeeded", "failed", "dead", "expired", "cancelled"})

TaskState = Unended | Ended
Question = Submit | Outcome | Cancel | Status


class TaskSpec:
    """Tasks by their ids: accepted once, ended once, and the end is the same for ever, whoever asks.

    Nobody sees a task end: it has when the first answer says so. Histories must be shorter than the retention, after
    which a task is unknown again, and tasks that an operator queues again are other tasks to it.
    """

    def part(self, op_input: Question) -> Hashable:
        return op_input.task

    def initial(self) -> TaskState:
        return Unended.ABSENT

    def step(self, state: TaskState, op_input: Question, op_output: object) -> TaskState | Mark:
        match op_input:
            case Submit():
                return Unended.LIVE if state is Unended.ABSENT else state
            case Cancel():
                return self._cancel(state, op_output)
            case Outcome():
                return state if op_output is UNKNOWN else self._end(state, op_output)
            case Status():
                return state if op_output is UNKNOWN else self._status(state, op_output)

    def stays_quiet(self, op_input: Question) -> bool:
        """A cancellation that comes too early would have come to something later."""
        return not isinstance(op_input, Cancel)

    def _cancel(self, state: TaskState, is_cancelled: object) -> TaskState | Mark:
        if is_cancelled is UNKNOWN:
            return Ended("cancelled") if state is Unended.LIVE else state
        if is_cancelled:
            return self._end(state, Result("cancelled", _UNSEEN))
        if isinstance(state, Ended):
            return REJECTED if state.status == "cancelled" else state
        return Ended(_UNSEEN) if state is Unended.LIVE else state

    def _status(self, state: TaskState, word: object) -> TaskState | Mark:
        if word in _END_WORDS:
            return self._end(state, Result(str(word), _UNSEEN))
        if word in _LIVE_WORDS:
            return state if state is Unended.LIVE else REJECTED
        if word == "unknown":
            return state if state is Unended.ABSENT else REJECTED
        raise ValueError(f"a status is one of a task's words, got {word!r}")

    def _end(self, state: TaskState, result: object) -> TaskState | Mark:
        """The end that an answer speaks of, as far as all answers before agree with it."""
        if not isinstance(result, Result):
            raise TypeError(f"the output of an outcome is a Result, got {result!r}")
        if state is Unended.ABSENT:
            return REJECTED
        if not isinstance(state, Ended):
            return Ended(result.status, result.value)
        if state.status is _UNSEEN and result.status == "cancelled":
            return REJECTED
        if state.status not in (_UNSEEN, result.status):
            return REJECTED
        if _UNSEEN not in (state.value, result.value) and state.value != result.value:
            return REJECTED
        return Ended(result.status, result.value if state.value is _UNSEEN else state.value)
