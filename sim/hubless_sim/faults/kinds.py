"""All kinds of faults, and which of their fields name nodes."""

from typing import get_args

from hubless_sim.faults.agents import (
    AgentAnswers,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    Misconfigured,
    StaleOrders,
    StoreSevered,
    StoreSlow,
    StoreToken,
)
from hubless_sim.faults.disk import BitRot, FailedFlush, FullDisk, SlowDisk, StalledDisk, TornWrite
from hubless_sim.faults.lies import ForgedAccusations, ForgedIncarnations, ForgedResults, ForgedVotes
from hubless_sim.faults.network import (
    Bandwidth,
    Corrupt,
    Duplicate,
    Flapping,
    Isolate,
    Latency,
    Loss,
    OneWay,
    Partition,
    RingPartition,
)
from hubless_sim.faults.process import (
    ClockDrift,
    ClockJump,
    Crash,
    Pause,
    PowerCut,
    Restart,
    SlowNode,
    Starve,
)

MeshFault = (
    Crash
    | PowerCut
    | Restart
    | Pause
    | Starve
    | SlowNode
    | ClockDrift
    | ClockJump
    | Partition
    | OneWay
    | Isolate
    | RingPartition
    | Flapping
    | Loss
    | Duplicate
    | Latency
    | Corrupt
    | Bandwidth
    | SlowDisk
    | StalledDisk
    | FullDisk
    | FailedFlush
    | TornWrite
    | BitRot
)
"""What can happen to processes, networks, disks and clocks: what any mesh must live with."""

WorkFault = (
    AgentSlow
    | AgentHangs
    | AgentAnswers
    | AgentLeaks
    | StoreSevered
    | StoreSlow
    | StoreToken
    | StaleOrders
    | Misconfigured
)
"""What can happen to agents, to what they lean on and to the orders that reach them: of whole nodes alone."""

Lie = ForgedIncarnations | ForgedAccusations | ForgedResults | ForgedVotes
"""What a node can say that is not true."""

Fault = MeshFault | WorkFault | Lie


def _kinds(*kinds: type) -> tuple[str, ...]:
    return tuple(kind.__struct_config__.tag for kind in kinds)  # type: ignore[attr-defined]


MESH_KINDS = _kinds(*get_args(MeshFault))
WORK_KINDS = _kinds(*get_args(WorkFault))
LIE_KINDS = _kinds(*get_args(Lie))
FAULT_KINDS = (*MESH_KINDS, *WORK_KINDS, *LIE_KINDS)


def named(fault: Fault) -> list[tuple[str, tuple[str, ...]]]:
    """Every field of the fault that names nodes, as (field, names)."""
    match fault:
        case Partition(sides=(left, right)) | Flapping(sides=(left, right)):
            return [("sides[0]", left), ("sides[1]", right)]
        case OneWay() | Loss() | Duplicate() | Latency() | Corrupt() | Bandwidth():
            return [("sources", fault.sources), ("targets", fault.targets)]
        case ForgedIncarnations():
            return [("nodes", fault.nodes), ("victims", fault.victims)]
        case ForgedAccusations():
            return [("nodes", fault.nodes), ("victims", fault.victims), ("accusers", fault.accusers)]
        case _:
            return [("nodes", fault.nodes)]
