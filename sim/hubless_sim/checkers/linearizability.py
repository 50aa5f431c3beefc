"""Is a history linearizable? The algorithm of Wing and Gong with Lowe's memory of configurations.

J. Wing, C. Gong: Testing and Verifying Concurrent Objects (1993); G. Lowe: Testing for Linearizability (2016), sections
3 and 4. The search extends a linearization by any operation that was called before the first return of those that
are left, takes steps back where none fits, and never visits a configuration (operations linearized, state) twice.
Three shortcuts keep it short. A read that fits is placed at once and for good: wherever else it could stand, the
others would see no difference. An operation that never returned and would change nothing is not placed yet. And
a configuration is as good as visited if one was that differs only in fewer of those that never returned.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeVar

MOST_CONFIGURATIONS: Final = 1_000_000
"""Where a search is given up: about 250 MB and a few seconds."""


class Mark(Enum):
    """What stands in for a value: the output of an operation that never returned; the state after an impossible one."""

    UNKNOWN = "unknown"
    REJECTED = "rejected"


UNKNOWN: Final = Mark.UNKNOWN
REJECTED: Final = Mark.REJECTED

_MOST_COMPARED: Final = 16

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

    def stays_quiet(self, op_input: Any) -> bool:
        """Whether the operation, if it fits a state and leaves it as it is, does so in all later states that it fits.

        So it is with reads, and with whatever works once. False is never wrong, only slower.
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

    Linear in the operations, but exponential in how many that change the state are under way at once, to which those
    that never returned belong for ever: a dozen of them in one part are many, if the history is wrong. After
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
        self._is_quiet = [
            operation.return_ns is not None and specification.stays_quiet(operation.input)
            for operation in self._operations
        ]
        self._most = most
        self._here: _Configuration = (0, 0, 0, specification.initial())
        self._last: _Placed | None = None
        self._seen: set[_Configuration] = set()
        self._has_open = any(operation.return_ns is None for operation in operations)
        self._fewest: dict[tuple[int, int, Any], tuple[int, ...]] = {}
        self._visited = 0
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
        self._index: list[int] = [-1, *(index for _, _, index in events)]
        self._return_of = [0] * size
        self._calls = [0] * len(self._operations)
        for node, (_, is_return, index) in enumerate(events, 1):
            if is_return:
                self._return_of[self._calls[index]] = node
            else:
                self._calls[index] = node
        self._next: list[int] = [*range(1, size), 0]
        self._previous: list[int] = [size - 1, *range(size - 1)]

    def run(self) -> Verdict:
        self._place_what_changes_nothing()
        node = self._next[0]
        while self._left:
            if node == 0:
                return self._verdict(is_linearizable=False)
            if self._visited > self._most:
                return self._verdict(is_linearizable=None)
            if self._is_call(node):
                node = self._branch(node)
            else:
                if node > self._furthest[0]:
                    self._furthest = (node, self._last)
                node = self._step_back()
        return Verdict(True, self._part, self._chain(self._last), (), None, self._visited)

    def _is_call(self, node: int) -> bool:
        return self._calls[self._index[node]] == node

    def _branch(self, node: int) -> int:
        """Places the operation next, if it fits and leads anywhere new. Returns which event to look at then."""
        state = self._here[3]
        operation = self._operations[self._index[node]]
        after = self._step(state, operation.input, operation.output)
        if after is REJECTED or (after == state and not self._return_of[node]):
            return self._next[node]
        self._place(node, after, is_for_good=False)
        self._place_what_changes_nothing()
        return self._next[0] if self._is_new(*self._here) else self._step_back()

    def _place_what_changes_nothing(self) -> None:
        """Places all that could be next and would leave the state as it is, now and wherever else it fits."""
        state = self._here[3]
        node = self._next[0]
        while node and self._is_call(node):
            operation = self._operations[self._index[node]]
            if (
                self._is_quiet[self._index[node]]
                and self._step(state, operation.input, operation.output) == state
            ):
                self._place(node, state, is_for_good=True)
                node = self._previous[node]  # what came next may have been its own return
            node = self._next[node]

    def _place(self, node: int, after: Any, *, is_for_good: bool) -> None:
        base, window, open_bits, _ = self._here
        rank = self._ranks[self._index[node]]
        if self._return_of[node]:
            window |= 1 << (rank - base)
            ones = (~window & (window + 1)).bit_length() - 1
            base, window = base + ones, window >> ones
        else:
            open_bits |= 1 << rank
        self._last = _Placed(node, self._last, self._here, is_for_good)
        self._here = (base, window, open_bits, after)
        self._lift(node)

    def _is_new(self, base: int, window: int, open_bits: int, state: Any) -> bool:
        """Whether the configuration leads anywhere that one before it did not.

        What can still be done with some operations left open can be done with more of them.
        """
        configuration = (base, window, open_bits, state)
        if configuration in self._seen:
            return False
        if self._has_open:
            place = (base, window, state)
            before = self._fewest.get(place, ())
            if any(fewer & open_bits == fewer for fewer in before):
                return False
            more = (other for other in before if open_bits & other != open_bits)
            self._fewest[place] = (open_bits, *more)[:_MOST_COMPARED]
        self._seen.add(configuration)
        self._visited += 1
        return True

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
        return Verdict(is_linearizable, self._part, prefix, unplaced, culprit, self._visited)
