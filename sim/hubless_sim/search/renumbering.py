"""Tapes with one node, client or call less: whoever comes after it moves up, wherever the tape names them."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict, replace

from hubless_sim.faults import Fault, index_of
from hubless_sim.tapes.operations import Call, Operation, Query
from hubless_sim.tapes.systems import MeshSystem, ShardSystem, System
from hubless_sim.tapes.tape import Tape

Renaming = Callable[[str], str | None]
"""What a node is called from now on; None: it is gone."""

_PLAIN = frozenset({"agent", "agents", "key", "idempotency", "meta", "what", "kind", "script"})
"""Fields of faults and operations whose text is no node's name, whatever it looks like."""


def without(tape: Tape, index: int) -> Tape | None:
    """The tape without the node or client of this number; None if nothing sensible is left of it.

    Faults and operations that concern nobody else go with it; calls go through the node that takes its place.
    """
    is_client = index >= tape.nodes
    if (
        tape.nodes + tape.clients == 1
        or (not is_client and tape.nodes == 1)
        or (is_client and tape.clients == 1)
    ):
        return None

    def renamed(name: str) -> str | None:
        old = index_of(name)
        return None if old == index else f"n{old - (old > index)}"

    system = _system(tape.system, renamed)
    if system is None:
        return None
    gateway = f"n{max(0, index - 1)}" if index == tape.nodes - 1 else f"n{index}"
    return replace(
        tape,
        nodes=tape.nodes - (not is_client),
        clients=tape.clients - is_client,
        start=replace(
            tape.start, join=_some(tape.start.join, renamed), absent=_some(tape.start.absent, renamed)
        ),
        system=system,
        operations=_operations(tape.operations, renamed, gateway),
        faults=tuple(kept for fault in tape.faults if (kept := _renamed(fault, renamed)) is not None),
    )


def with_operations(tape: Tape, kept: Sequence[int]) -> Tape:
    """The tape with these of its operations, in order; what asks about a call that is gone goes too."""
    places = set(kept)
    numbers: dict[int, int] = {}
    number = 0
    for place, operation in enumerate(tape.operations):
        if isinstance(operation, Call):
            if place in places:
                numbers[number] = len(numbers)
            number += 1
    left: list[Operation] = []
    for place in kept:
        operation = tape.operations[place]
        if isinstance(operation, Query) and operation.what not in ("drain", "fork"):
            if operation.call not in numbers:
                continue
            operation = replace(operation, call=numbers[operation.call])
        elif isinstance(operation, Query):
            operation = replace(operation, call=0)
        left.append(operation)
    return replace(tape, operations=tuple(left))


def names_in(part: Fault | Operation) -> dict[str, tuple[str, ...]]:
    """Every list of nodes that a fault or an operation has, by its field."""
    return {
        field: value
        for field, value in asdict(part).items()
        if isinstance(value, tuple) and field not in _PLAIN and all(isinstance(each, str) for each in value)
    }


def _operations(operations: Sequence[Operation], renamed: Renaming, gateway: str) -> tuple[Operation, ...]:
    """What is asked of the others; queries count the calls, which all stay."""
    left: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Call | Query):
            moved = replace(operation, gateway=renamed(operation.gateway) or gateway)
            if isinstance(moved, Query) and moved.node:
                name = renamed(moved.node)
                if name is None:
                    continue
                moved = replace(moved, node=name)
            left.append(moved)
        elif (kept := _renamed(operation, renamed)) is not None:
            left.append(kept)
    return tuple(left)


def _renamed(part: Any, renamed: Renaming) -> Any:
    """A fault or an operation by other names; None if one of its lists is empty now, which would mean all."""
    changes: dict[str, Any] = {}
    for field, value in asdict(part).items():
        if field in _PLAIN:
            continue
        changed = _value(value, renamed)
        if changed is None and value is not None:
            return None
        changes[field] = changed
    return replace(part, **changes)


def _value(value: Any, renamed: Renaming) -> Any:
    match value:
        case str() if index_of(value) >= 0:
            return renamed(value)
        case tuple() if value and all(isinstance(each, tuple) for each in value):
            sides = tuple(_value(each, renamed) for each in value)
            return None if None in sides else sides
        case tuple() if value and all(isinstance(each, str) for each in value):
            return _some(value, renamed) or None
        case _:
            return value


def _some(names: Sequence[str], renamed: Renaming) -> tuple[str, ...]:
    return tuple(name for old in names if (name := renamed(old)) is not None)


def _system(system: System, renamed: Renaming) -> System | None:
    """What runs, with the lists of nodes that it has; None if one is empty now, which would mean all."""
    if isinstance(system, ShardSystem):
        ring = _some(system.ring, renamed)
        return None if system.ring and not ring else replace(system, ring=ring)
    if isinstance(system, MeshSystem):
        agents = tuple(replace(agent, nodes=_some(agent.nodes, renamed)) for agent in system.agents)
        core = _some(system.core, renamed)
        lost = any(old.nodes and not new.nodes for old, new in zip(system.agents, agents, strict=True))
        return None if lost or (system.core and not core) else replace(system, agents=agents, core=core)
    core = _some(system.core, renamed)
    return None if system.core and not core else replace(system, core=core)
