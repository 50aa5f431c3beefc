"""Is a history linearizable? The algorithm of Wing and Gong with Lowe's memory of configurations.

J. Wing, C. Gong: Testing and Verifying Concurrent Objects (1993); G. Lowe: Testing for Linearizability (2016), sections
3 and 4. The search extends a linearization by any operation that was called before the first return of those that
are left, takes steps back where none fits, and never visits a configuration (operations linearized, state) twice.
Two shortcuts keep it short. An operation that fits and changes nothing is placed at once and for good: wherever else
it could stand, the others would see no difference. One that never returned and would change nothing is left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeVar

MOST_CONFIGURATIONS: Final = 2_000_000


class Mark(Enum):
    """What stands in for a value: the output of an operation that never returned; the state after an impossible one."""

    UNKNOWN = "unknown"
    REJECTED = "rejected"


UNKNOWN: Final = Mark.UNKNOWN
REJECTED: Final = Mark.REJECTED

S = TypeVar("S", bound=Hashable)

_Configuration = tuple[int, int, int, Any]


class Specification(Protocol[S]):
    """What one object does when nobody else uses it. States are hashable values and never changed in place."""

    def part(self, op_input: Any) -> Hashable:
        """The object that the operation is about. Objects are independent, so each is checked alone."""

    def initial(self) -> S:
        """The state of an object before its first operation."""

    def step(self, state: S, op_input: Any, op_output: Any) -> S | Mark:
        """The state after the operation, REJECTED if it could not have answered so.

        With the output UNKNOWN the operation may have had its effect, and is asked for the state after it.
        """


@dataclass(frozen=True, slots=True)
class Operation:
    """One call by one client. `return_ns` is None if it never returned, or with an error that leaves its effect open.

    Two operations of which one returned when the other was called count as concurrent.
    """

    call_ns: int
    return_ns: int | None
    input: Any
    output: Any = UNKNOWN
    client: str = ""

    def __post_init__(self) -> None:
        if self.return_ns is not None and self.return_ns < self.call_ns:
            raise ValueError(f"return_ns {self.return_ns} is before call_ns {self.call_ns}")
        if (self.return_ns is None) != (self.output is UNKNOWN):
            raise ValueError("an operation has an output if and only if it returned")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the search found for one part; of a whole history: for the worst part.

    `is_linearizable` is None if the search was given up. `linearization` is the order found, or, of a history that
    has none, the one that got past the most returns: it explains all that returned before `culprit` did, but none
    explains `culprit`'s return. `unplaced` are the operations called until then that it could not place, `culprit`
    among them. `configurations` counts those that were visited.
    """

    is_linearizable: bool | None
    part: Hashable
    linearization: tuple[Operation, ...]
    unplaced: tuple[Operation, ...]
    culprit: Operation | None
    configurations: int


def check(
    history: Iterable[Operation],
    specification: Specification[S],
    *,
    most_configurations: int = MOST_CONFIGURATIONS,
) -> Verdict:
    """The verdict on a history: that of its first part that is not linearizable, if there is one.

    Linear in the operations, but exponential in how many that change the state are under way at once. After
    `most_configurations` in a part the search is given up.
    """
    parts: dict[Hashable, list[Operation]] = {}
    for operation in history:
        parts.setdefault(specification.part(operation.input), []).append(operation)
    undecided: Verdict | None = None
    placed: list[Operation] = []
    visited = 0
    for part, operations in parts.items():
        verdict = _Search(part, operations, specification, most_configurations).run()
        if verdict.is_linearizable is False:
            return verdict
        if verdict.is_linearizable is None:
            undecided = undecided or verdict
        placed += verdict.linearization
        visited += verdict.configurations
    whole = next(iter(parts)) if len(parts) == 1 else None
    return undecided or Verdict(True, whole, tuple(placed), (), None, visited)


class _Placed(NamedTuple):
    """One operation of a linearization, those before it, and the configuration to step back to."""

    node: int
    before: _Placed | None
    configuration: _Configuration
    is_for_good: bool


class _Search:
    """The search in one part.

    Calls and returns that are left are a doubly linked list of numbers in the order of time, with 0 as its head. A
    configuration is (base, window, open, state): linearized are all returning operations before number `base`, those
    of them that `window` has a bit for from there on, and those that `open` has a bit for of the ones that never
    returned. So it stays small however long the history is.
    """

    def __init__(
        self, part: Hashable, operations: Sequence[Operation], specification: Specification[Any], most: int
    ) -> None:
        self._part = part
        self._operations = sorted(operations, key=lambda operation: operation.call_ns)
        self._step = specification.step
        self._most = most
        self._here: _Configuration = (0, 0, 0, specification.initial())
        self._last: _Placed | None = None
        self._seen: set[_Configuration] = set()
        self._furthest: tuple[int, _Placed | None] = (0, None)
        self._number_operations()
        self._number_events()

    def _number_operations(self) -> None:
        """Those that return and those that never do are counted apart, in the order of their calls."""
        self._ranks: list[int] = []
        self._left = is_open = 0
        for operation in self._operations:
            self._ranks.append(is_open if operation.return_ns is None else self._left)
            self._left += operation.return_ns is not None
            is_open += operation.return_ns is None

    def _number_events(self) -> None:
        """At one instant calls come before returns: the operations may have overlapped."""
        events: list[tuple[int, int, int]] = []
        for index, operation in enumerate(self._operations):
            events.append((operation.call_ns, 0, index))
            if operation.return_ns is not None:
                events.append((operation.return_ns, 1, index))
        events.sort()
        size = len(events) + 1
        self._index = [-1, *(index for _, _, index in events)]
        self._return_of = [0] * size
        self._calls = [0] * len(self._operations)
        for node, (_, is_return, index) in enumerate(events, 1):
            if is_return:
                self._return_of[self._calls[index]] = node
            else:
                self._calls[index] = node
        self._next = [*range(1, size), 0]
        self._previous = [size - 1, *range(size - 1)]

    def run(self) -> Verdict:
        node = self._next[0]
        while self._left:
            if node == 0:
                return self._verdict(is_linearizable=False)
            if len(self._seen) > self._most:
                return self._verdict(is_linearizable=None)
            if self._calls[self._index[node]] == node:
                node = self._place(node)
            else:
                if node > self._furthest[0]:
                    self._furthest = (node, self._last)
                node = self._step_back()
        return Verdict(True, self._part, self._chain(self._last), (), None, len(self._seen))

    def _place(self, node: int) -> int:
        """Puts the operation next, if it fits and leads anywhere new. Returns which event to look at then."""
        base, window, open_bits, state = self._here
        index = self._index[node]
        operation = self._operations[index]
        is_open = operation.return_ns is None
        after = self._step(state, operation.input, operation.output)
        changes = after != state
        if after is REJECTED or (is_open and not changes):
            return self._next[node]
        if is_open:
            open_bits |= 1 << self._ranks[index]
        else:
            window |= 1 << (self._ranks[index] - base)
            ones = (~window & (window + 1)).bit_length() - 1
            base, window = base + ones, window >> ones
        there = (base, window, open_bits, after)
        if there in self._seen:
            return self._next[node] if changes else self._step_back()
        self._seen.add(there)
        self._last = _Placed(node, self._last, self._here, not changes)
        self._here = there
        self._lift(node)
        return self._next[0]

    def _step_back(self) -> int:
        """Takes back what was placed last and has an alternative. Returns the event after it; 0 if nothing is left."""
        while (last := self._last) is not None:
            self._put_back(last.node)
            self._here, self._last = last.configuration, last.before
            if not last.is_for_good:
                return self._next[last.node]
        return 0

    def _lift(self, call: int) -> None:
        for node in (call, self._return_of[call]):
            if node:
                before, after = self._previous[node], self._next[node]
                self._next[before], self._previous[after] = after, before
        self._left -= self._return_of[call] != 0

    def _put_back(self, call: int) -> None:
        for node in (self._return_of[call], call):
            if node:
                self._next[self._previous[node]] = self._previous[self._next[node]] = node
        self._left += self._return_of[call] != 0

    def _chain(self, last: _Placed | None) -> tuple[Operation, ...]:
        placed: list[Operation] = []
        while last is not None:
            placed.append(self._operations[self._index[last.node]])
            last = last.before
        return tuple(reversed(placed))

    def _verdict(self, *, is_linearizable: bool | None) -> Verdict:
        """Without a linearization: how far one got."""
        furthest, last = self._furthest
        prefix = self._chain(last)
        culprit = self._operations[self._index[furthest]] if furthest else None
        placed = {id(operation) for operation in prefix}
        unplaced = tuple(
            operation
            for operation, call in zip(self._operations, self._calls, strict=True)
            if call < furthest and id(operation) not in placed
        )
        return Verdict(is_linearizable, self._part, prefix, unplaced, culprit, len(self._seen))
