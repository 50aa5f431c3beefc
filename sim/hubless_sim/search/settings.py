"""Settings of a tape back to their defaults: of what runs, of links and of disks."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import fields, replace

from hubless_sim.tapes.systems import GossipSystem, MeshSystem, ReplicaKnobs, ShardSystem, System, Workload
from hubless_sim.tapes.tape import Conditions, Disks, Start, Tape

_NOT_SETTINGS = frozenset(
    {
        "shards",
        "ring",
        "agents",
        "from_ms",
        "until_ms",
        "probe_ms",
        "owned_ms",
        "right_views",
        "settled_ms",
        "beat_ms",
        "monitored",
    }
)
"""What is made smaller elsewhere, is a time of the tape, or says what must hold in its calm."""


def plainer(tape: Tape) -> Iterator[Tape]:
    """Tapes with all settings at their defaults, of one part or of all, and then with one that is."""
    links, disks, system = _plain(tape.links), _plain(tape.disks), _plain_system(tape.system)
    yield replace(tape, links=links, disks=disks, system=system)
    yield replace(tape, system=system)
    yield replace(tape, links=links)
    yield replace(tape, disks=disks)
    yield replace(tape, start=replace(tape.start, stagger_ms=Start().stagger_ms))
    for links in _one_plain(tape.links):
        yield replace(tape, links=links)
    for disks in _one_plain(tape.disks):
        yield replace(tape, disks=disks)
    for system in _plainer_systems(tape.system):
        yield replace(tape, system=system)


def _odd(part: Any) -> dict[str, Any]:
    """The defaults of the settings that have another value."""
    return {
        field.name: field.default
        for field in fields(part)
        if field.name not in _NOT_SETTINGS
        and field.default is not msgspec.NODEFAULT
        and getattr(part, field.name) != field.default
        and isinstance(field.default, int | float | str)
    }


def _plain(part: Any) -> Any:
    return replace(part, **_odd(part))


def _one_plain(part: Any) -> Iterator[Any]:
    for name, default in _odd(part).items():
        yield replace(part, **{name: default})


def _parts(system: System) -> dict[str, Conditions | Disks | Workload | ReplicaKnobs]:
    """Parts of a system that have settings of their own, by field."""
    match system:
        case ShardSystem(workload=workload):
            return {"workload": workload}
        case MeshSystem(replicas=ReplicaKnobs() as replicas):
            return {"replicas": replicas}
        case _:
            return {}


def _plain_system(system: System) -> System:
    parts = {name: _plain(part) for name, part in _parts(system).items()}
    knobs = {} if isinstance(system, ShardSystem) else {"knobs": dict[str, int | float | bool]()}
    return replace(_plain(system), **parts, **knobs)  # type: ignore[no-any-return]


def _plainer_systems(system: System) -> Iterator[System]:
    yield from _one_plain(system)
    for name, part in _parts(system).items():
        for plain in _one_plain(part):
            yield replace(system, **{name: plain})
    if isinstance(system, ShardSystem) and system.workload.keys > 1:
        yield replace(system, workload=replace(system.workload, keys=1))
    if isinstance(system, GossipSystem | MeshSystem):
        for knob in system.knobs:
            left = {name: value for name, value in system.knobs.items() if name != knob}
            yield replace(system, knobs=left)
