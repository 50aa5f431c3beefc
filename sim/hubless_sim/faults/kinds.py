"""All kinds of faults, and which of their fields name nodes."""

from typing import get_args

from hubless_sim.faults.disk import BitRot, FailedFlush, FullDisk, SlowDisk, StalledDisk, TornWrite
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

Fault = (
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

FAULT_KINDS: tuple[str, ...] = tuple(kind.__struct_config__.tag for kind in get_args(Fault))


def named(fault: Fault) -> list[tuple[str, tuple[str, ...]]]:
    """Every field of the fault that names nodes, as (field, names)."""
    match fault:
        case Partition(sides=(left, right)) | Flapping(sides=(left, right)):
            return [("sides[0]", left), ("sides[1]", right)]
        case OneWay() | Loss() | Duplicate() | Latency() | Corrupt() | Bandwidth():
            return [("sources", fault.sources), ("targets", fault.targets)]
        case _:
            return [("nodes", fault.nodes)]
