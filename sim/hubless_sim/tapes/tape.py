"""A tape: one JSON document that fixes a run.

Seed, topology, what runs on the nodes, what is asked of it and timed faults; a run is a pure function of it.
Parsing is strict: unknown fields, unknown nodes, impossible times and rates are refused with the place in
the document and what to do about it.
"""

from typing import Any

import msgspec

from hubless_sim.faults import (
    FAULT_KINDS,
    MAX_MS,
    MS,
    WORK_KINDS,
    AgentFault,
    Fault,
    Flapping,
    Lasting,
    Partition,
    Starve,
    index_of,
    named,
)
from hubless_sim.tapes.bounds import FAULTS, MAX_BYTES, MAX_US, OPERATIONS, SYSTEMS, Bounds, beyond
from hubless_sim.tapes.operations import Operation, named_in
from hubless_sim.tapes.systems import ASKED, GossipSystem, MeshSystem, Offering, ShardSystem, System
from hubless_sim.world.disk import DiskProfile
from hubless_sim.world.links import LinkProfile
from hubless_sim.world.network import Layer

VERSION = 2
MAX_NODES = 2_000
MAX_FAULTS = 10_000
MAX_OPERATIONS = 10_000

_SUFFERED_BY: dict[str, tuple[type, ...]] = dict.fromkeys((*WORK_KINDS, "forged_results"), (MeshSystem,)) | {
    "forged_incarnations": (MeshSystem, GossipSystem),
    "forged_accusations": (MeshSystem, GossipSystem),
    "forged_votes": (MeshSystem, ShardSystem),
}
"""Which systems have what a kind of fault breaks; all have it of the kinds that are not here."""


class TapeError(ValueError):
    """A tape cannot be run as it stands; the text says where, what is wrong and what to do."""


class Monitored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Timing of the monitored links that nodes keep to the peers they watch; the transport's local profile."""

    heartbeat_interval_ms: int = 100
    heartbeat_timeout_ms: int = 500
    reconnect_ms: int = 10

    def to_profile(self) -> LinkProfile:
        """As the world takes it."""
        return LinkProfile(
            heartbeat_interval_ns=self.heartbeat_interval_ms * MS,
            heartbeat_timeout_ns=self.heartbeat_timeout_ms * MS,
            reconnect_ns=self.reconnect_ms * MS,
        )


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds on every link throughout; faults come on top.

    A packet takes ``base_us`` plus an exponential share with mean ``jitter_us``.  ``monitored`` null:
    no link evidence at all.
    """

    base_us: int = 250
    jitter_us: int = 250
    loss: float = 0.0
    duplicate: float = 0.0
    monitored: Monitored | None = msgspec.field(default_factory=Monitored)

    def to_layer(self) -> Layer:
        """As the world takes it."""
        return Layer(
            loss=self.loss,
            duplicate=self.duplicate,
            base_ns=self.base_us * 1000,
            jitter_ns=self.jitter_us * 1000,
        )


class Disks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a commit takes on every disk: ``base_us`` plus an exponential share with mean ``jitter_us``."""

    base_us: int = 300
    jitter_us: int = 300

    def to_profile(self) -> DiskProfile:
        """As the world takes it."""
        return DiskProfile(self.base_us * 1000, self.jitter_us * 1000)


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the mesh comes up: one process each ``stagger_ms``, told to join through ``join`` (none named: all others).

    Nodes in ``absent`` are not started; a ``restart`` brings them in.
    """

    join: tuple[str, ...] = ("n0",)
    stagger_ms: int = 10
    absent: tuple[str, ...] = ()


class Tape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a run depends on.  Nodes are called ``n0`` ...; the clients have the numbers after them."""

    version: int = VERSION
    seed: int
    nodes: int
    clients: int = 0
    duration_ms: int
    system: System = msgspec.field(default_factory=GossipSystem)
    links: Conditions = msgspec.field(default_factory=Conditions)
    disks: Disks = msgspec.field(default_factory=Disks)
    start: Start = msgspec.field(default_factory=Start)
    operations: tuple[Operation, ...] = ()
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> bytes:
        """The document, indented, ending in a newline; parse() of it gives an equal tape."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def parse(raw: bytes | str) -> Tape:
    """Read a tape; raises TapeError."""
    if len(raw) > MAX_BYTES:
        raise TapeError(f"tape: {len(raw)} bytes is too long; the limit is {MAX_BYTES}. Split the run.")
    try:
        tape = msgspec.json.decode(raw, type=Tape)
    except msgspec.ValidationError as error:
        raise TapeError(f"tape: {error}. {_remedy(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TapeError(f"tape: not JSON: {error}. A tape is one JSON document.") from error
    check(tape)
    return tape


def check(tape: Tape) -> None:
    """Refuse a tape whose values do not fit together; raises TapeError."""
    if tape.version != VERSION:
        raise TapeError(f"tape: version {tape.version} at `$.version`; this simulator reads {VERSION}.")
    _bounded("$.seed", tape.seed, 0, 2**63 - 1)
    _bounded("$.nodes", tape.nodes, 1, MAX_NODES)
    _bounded("$.clients", tape.clients, 0, MAX_NODES)
    _bounded("$.duration_ms", tape.duration_ms, 1, MAX_MS)
    _bounded("$.start.stagger_ms", tape.start.stagger_ms, 0, MAX_MS)
    _bounded("$.faults (how many)", len(tape.faults), 0, MAX_FAULTS)
    _bounded("$.operations (how many)", len(tape.operations), 0, MAX_OPERATIONS)
    _known("$.start.join", tape.start.join, tape)
    _known("$.start.absent", tape.start.absent, tape)
    _check_system(tape)
    _check_links(tape.links)
    _bounded("$.disks.base_us", tape.disks.base_us, 0, MAX_US)
    _bounded("$.disks.jitter_us", tape.disks.jitter_us, 0, MAX_US)
    for place, operation in enumerate(tape.operations):
        _check_operation(f"$.operations[{place}]", operation, tape)
    for place, fault in enumerate(tape.faults):
        _check_fault(f"$.faults[{place}]", fault, tape)


def _check_system(tape: Tape) -> None:
    _within("$.system", tape.system, SYSTEMS)
    match tape.system:
        case GossipSystem(core=core):
            _known("$.system.core", core, tape, clients=False)
            if tape.clients:
                raise TapeError(
                    f"tape: {tape.clients} at `$.clients`; membership alone has none. Leave it out."
                )
        case ShardSystem(ring=ring):
            _known("$.system.ring", ring, tape, clients=False)
        case MeshSystem(core=core, agents=agents):
            _known("$.system.core", core, tape, clients=False)
            for place, agent in enumerate(agents):
                _known(f"$.system.agents[{place}].nodes", agent.nodes, tape, clients=False)
                _check_agent(f"$.system.agents[{place}]", agent)


def _check_agent(where: str, agent: Offering) -> None:
    try:
        agent.to_contract()
    except ValueError as error:
        raise TapeError(f"tape: {error}, at `{where}`.") from error


def _check_operation(where: str, operation: Operation, tape: Tape) -> None:
    allowed = ASKED[type(tape.system)]
    if not isinstance(operation, allowed):
        kinds = ", ".join(kind.__struct_config__.tag for kind in allowed)  # type: ignore[attr-defined]
        kind = operation.__struct_config__.tag
        raise TapeError(f"tape: {kind} at `{where}` cannot be asked of this system; it knows {kinds}.")
    _within(where, operation, OPERATIONS)
    _known(f"{where} (nodes)", named_in(operation), tape, clients=False)


def _check_links(links: Conditions) -> None:
    _bounded("$.links.base_us", links.base_us, 0, MAX_US)
    _bounded("$.links.jitter_us", links.jitter_us, 0, MAX_US)
    _bounded("$.links.loss", links.loss, 0, 1)
    _bounded("$.links.duplicate", links.duplicate, 0, 1)
    if links.monitored is not None:
        _bounded("$.links.monitored.heartbeat_interval_ms", links.monitored.heartbeat_interval_ms, 1, MAX_MS)
        _bounded("$.links.monitored.heartbeat_timeout_ms", links.monitored.heartbeat_timeout_ms, 1, MAX_MS)
        _bounded("$.links.monitored.reconnect_ms", links.monitored.reconnect_ms, 1, MAX_MS)


def _check_fault(where: str, fault: Fault, tape: Tape) -> None:
    _bounded(f"{where}.at_ms", fault.at_ms, 0, MAX_MS)
    kind = str(fault.__struct_config__.tag)
    systems = _SUFFERED_BY.get(kind)
    if systems is not None and not isinstance(tape.system, systems):
        able = " or ".join(str(each.__struct_config__.tag) for each in systems)  # type: ignore[attr-defined]
        raise TapeError(
            f"tape: {kind} at `{where}` breaks nothing of this system; have `$.system` of kind {able}."
        )
    for field, names in named(fault):
        _known(f"{where}.{field}", names, tape)
    if isinstance(fault, Lasting) and fault.until_ms is not None:
        _bounded(f"{where}.until_ms", fault.until_ms, fault.at_ms + 1, MAX_MS)
    _within(where, fault, FAULTS)
    match fault:
        case Partition(sides=(left, right)) | Flapping(sides=(left, right)):
            if not left and not right:
                raise TapeError(f"tape: both sides are empty at `{where}.sides`; name the nodes of one.")
            if both := sorted(set(left) & set(right)):
                raise TapeError(f"tape: {both[0]} is on both sides at `{where}.sides`; take it off one.")
        case AgentFault(agents=agents) if isinstance(tape.system, MeshSystem):
            offered = [agent.name for agent in tape.system.agents]
            if unknown := sorted(set(agents).difference(offered)):
                raise TapeError(
                    f"tape: unknown agent {unknown[0]!r} at `{where}.agents`; this tape has {', '.join(offered)}."
                )
        case Starve() if (fault.blocked_ms > 0) != (fault.awake_ms > 0):
            raise TapeError(
                f"tape: one of blocked_ms and awake_ms is 0 at `{where}`; give both (for turns) or neither."
            )
        case _:
            pass


def _bounded(where: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise TapeError(f"tape: {value} at `{where}`; allowed is {least} to {most}.")


def _within(where: str, part: msgspec.Struct, bounds: Bounds) -> None:
    for each in beyond(where, part, bounds):
        _bounded(*each)


def _known(where: str, names: tuple[str, ...], tape: Tape, *, clients: bool = True) -> None:
    last = tape.nodes + (tape.clients if clients else 0) - 1
    for name in names:
        if not 0 <= index_of(name) <= last:
            raise TapeError(f"tape: unknown node {name!r} at `{where}`; this tape has n0 to n{last}.")


def _remedy(text: str) -> str:
    if "Invalid value" in text and "faults" in text:
        return f"Fault kinds are {', '.join(FAULT_KINDS)}."
    if "unknown field" in text:
        return "Remove the field or correct its name; fields are listed in sim/README.md."
    return "Shape and fields are listed in sim/README.md."


def replace(tape: Tape, **changes: Any) -> Tape:
    """The tape with some fields changed, checked again."""
    changed = msgspec.structs.replace(tape, **changes)
    check(changed)
    return changed
