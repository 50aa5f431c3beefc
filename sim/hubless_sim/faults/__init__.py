"""Faults: what a tape can do to a mesh, when, and to whom.

Each kind is a frozen Struct with ``at_ms`` and, where it lasts, ``until_ms`` (null: for ever).
``impose`` puts it into the world at its time; faults of one kind may overlap.  Nodes are named
``n0`` to ``n<nodes - 1>``; an empty list of sources, targets or sides means all (other) nodes.
"""

from hubless_sim.faults.agents import (
    AgentAnswers,
    AgentFault,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    Misconfigured,
    StaleOrders,
    StoreSevered,
    StoreSlow,
    StoreToken,
)
from hubless_sim.faults.base import MAX_MS, MS, Lasting, chosen, index_of, indices
from hubless_sim.faults.disk import BitRot, FailedFlush, FullDisk, SlowDisk, StalledDisk, TornWrite
from hubless_sim.faults.kinds import FAULT_KINDS, LIE_KINDS, MESH_KINDS, WORK_KINDS, Fault, named
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
    SizeLimit,
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

__all__ = [
    "FAULT_KINDS",
    "LIE_KINDS",
    "MAX_MS",
    "MESH_KINDS",
    "MS",
    "WORK_KINDS",
    "AgentAnswers",
    "AgentFault",
    "AgentHangs",
    "AgentLeaks",
    "AgentSlow",
    "Bandwidth",
    "BitRot",
    "ClockDrift",
    "ClockJump",
    "Corrupt",
    "Crash",
    "Duplicate",
    "FailedFlush",
    "Fault",
    "Flapping",
    "ForgedAccusations",
    "ForgedIncarnations",
    "ForgedResults",
    "ForgedVotes",
    "FullDisk",
    "Isolate",
    "Lasting",
    "Latency",
    "Loss",
    "Misconfigured",
    "OneWay",
    "Partition",
    "Pause",
    "PowerCut",
    "Restart",
    "RingPartition",
    "SizeLimit",
    "SlowDisk",
    "SlowNode",
    "StaleOrders",
    "StalledDisk",
    "Starve",
    "StoreSevered",
    "StoreSlow",
    "StoreToken",
    "TornWrite",
    "chosen",
    "index_of",
    "indices",
    "named",
]
