"""All kinds of faults, and which of their fields name nodes."""

from typing import get_args

from hubless_sim.faults import agents, disk, lies, network, process

MeshFault = (
    process.Crash
    | process.PowerCut
    | process.Restart
    | process.Pause
    | process.Starve
    | process.SlowNode
    | process.ClockDrift
    | process.ClockJump
    | network.Partition
    | network.OneWay
    | network.Isolate
    | network.RingPartition
    | network.Flapping
    | network.Loss
    | network.Duplicate
    | network.Latency
    | network.Corrupt
    | network.Bandwidth
    | network.SizeLimit
    | disk.SlowDisk
    | disk.StalledDisk
    | disk.FullDisk
    | disk.FailedFlush
    | disk.TornWrite
    | disk.BitRot
)
"""What can happen to processes, networks, disks and clocks: what any mesh must live with."""

WorkFault = (
    agents.AgentSlow
    | agents.AgentHangs
    | agents.AgentAnswers
    | agents.AgentLeaks
    | agents.StoreSevered
    | agents.StoreSlow
    | agents.StoreToken
    | agents.StaleOrders
    | agents.Misconfigured
)
"""What can happen to agents, to what they lean on and to the orders that reach them: of whole nodes alone."""

Lie = lies.ForgedIncarnations | lies.ForgedAccusations | lies.ForgedResults | lies.ForgedVotes
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
        case network.Partition(sides=(left, right)) | network.Flapping(sides=(left, right)):
            return [("sides[0]", left), ("sides[1]", right)]
        case (
            network.OneWay()
            | network.Loss()
            | network.Duplicate()
            | network.Latency()
            | network.Corrupt()
            | network.Bandwidth()
            | network.SizeLimit()
        ):
            return [("sources", fault.sources), ("targets", fault.targets)]
        case lies.ForgedIncarnations():
            return [("nodes", fault.nodes), ("victims", fault.victims)]
        case lies.ForgedAccusations():
            return [("nodes", fault.nodes), ("victims", fault.victims), ("accusers", fault.accusers)]
        case _:
            return [("nodes", fault.nodes)]
