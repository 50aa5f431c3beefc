"""What of a tape real processes can be made to suffer; the rest is refused before anything starts."""

from collections.abc import Iterator

from hubless_sim.faults import (
    Bandwidth,
    Corrupt,
    Crash,
    Duplicate,
    Fault,
    Flapping,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    Pause,
    PowerCut,
    Restart,
    RingPartition,
    SizeLimit,
    SlowNode,
    Starve,
    index_of,
)
from hubless_sim.real.agents import DEEDS
from hubless_sim.real.cells import MOST_CELLS
from hubless_sim.tapes.operations import Call
from hubless_sim.tapes.systems import MeshSystem
from hubless_sim.tapes.tape import Tape, TapeError

NETWORK = (
    Partition,
    OneWay,
    Isolate,
    RingPartition,
    Flapping,
    Loss,
    Duplicate,
    Latency,
    Corrupt,
    Bandwidth,
)
_LONGEST_MS = 600_000


def refuse_unmapped(tape: Tape) -> MeshSystem:
    """The tape's system, if real processes can play all of the tape. Raises TapeError: what they cannot."""
    system = tape.system
    if not isinstance(system, MeshSystem):
        raise TapeError(
            "tape: only whole nodes run as real processes, and `$.system` is another; use kind mesh."
        )
    for text in _refusals(tape, system):
        raise TapeError(f"tape: {text} Play it in the simulator alone, or leave that out.")
    return system


def needs_cells(tape: Tape) -> bool:
    """Whether nodes must be kept apart: plain loopback has neither cuts nor machines that vanish without a reset."""
    is_lossy = tape.links.loss > 0 or tape.links.duplicate > 0
    return is_lossy or any(
        isinstance(fault, NETWORK) or (isinstance(fault, Crash) and fault.silent) for fault in tape.faults
    )


def _refusals(tape: Tape, system: MeshSystem) -> Iterator[str]:
    if tape.nodes + tape.clients >= MOST_CELLS:
        yield f"{tape.nodes} nodes and {tape.clients} clients are too many for one machine (under {MOST_CELLS})."
    if tape.duration_ms > _LONGEST_MS:
        yield f"it takes {tape.duration_ms} ms of real time; allowed is up to {_LONGEST_MS}."
    if tape.start.absent and "n0" in tape.start.absent:
        yield "n0 is absent at `$.start.absent`, and a real mesh is founded by it."
    if system.knobs or system.replicas is not None or system.ring_ms:
        yield "knobs, replicas and ring_ms at `$.system` are the simulator's; a real node has its preset."
    if system.preset not in ("local", "lan", "wan"):
        yield f"no real node has the preset {system.preset!r}."
    if any(agent.store or agent.memory_mb for agent in system.agents):
        yield "store and memory_mb of agents at `$.system` are the simulator's."
    for place, operation in enumerate(tape.operations):
        if isinstance(operation, Call) and (strange := sorted(set(operation.script.does) - DEEDS)):
            yield f"no real worker can {strange[0]} (`$.operations[{place}].script.does`)."
    for place, fault in enumerate(tape.faults):
        yield from _refused(f"`$.faults[{place}]`", fault, tape)


def _refused(where: str, fault: Fault, tape: Tape) -> Iterator[str]:
    kind = fault.__struct_config__.tag
    match fault:
        case Starve(blocks="messages") | Starve(links_alive=True):
            yield f"{kind} at {where}: a real process stops as a whole (blocks all), its I/O thread too."
        case Crash() | PowerCut() | Restart() | Pause() | SlowNode() | Starve():
            clients = [name for name in fault.nodes if index_of(name) >= tape.nodes]
            if clients:
                yield f"{kind} at {where}: {clients[0]} is a client, and only nodes can be so treated."
        case (
            Partition()
            | OneWay()
            | Isolate()
            | RingPartition()
            | Flapping()
            | Loss()
            | Duplicate()
            | Latency()
            | Corrupt()
            | Bandwidth()
        ):
            pass
        case SizeLimit():
            yield f"{kind} at {where}: real nodes talk over TCP, which cuts messages into packets of any size."
        case _:
            yield f"{kind} at {where} cannot be done to a real process."
