"""What becomes of an attempt by the faults of agents that are in force where it begins."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hubless_agents import Assignment
from hubless_sim.faults import (
    AgentAnswers,
    AgentFault,
    AgentHangs,
    AgentLeaks,
    AgentSlow,
    StoreSevered,
    StoreSlow,
    StoreToken,
)
from hubless_sim.faults.agents import Answering, Showing
from hubless_sim.world.chance import UNIT, draw, stream, tail_ns, threshold

_US = 1_000
_STREAM = 7
_SEVERED_NS = 5_000_000
"""How long an attempt waits for a store that is out of reach."""


class Ailment(NamedTuple):
    """What is wrong with one attempt; as it stands here, nothing is."""

    factor: int = 1
    hangs: bool = False
    does: Answering | None = None
    leaked_bytes: int = 0
    is_severed: bool = False
    store_ns: int = 0
    token: Showing | None = None


WELL = Ailment()

OVERSIZED_BYTES = (1 << 20) + 1
"""One more than a node takes, by its default."""


def misshapen(payload: bytes, does: Answering | None) -> bytes:
    """What is said instead of an answer in JSON, where only its form is wrong."""
    match does:
        case "garbled":
            return b"{" + payload
        case "off_schema":
            return b"[" + payload + b"]"
        case "oversized":
            return b" " * OVERSIZED_BYTES
        case _:
            return payload


def ailment_of(ills: Sequence[Any], seed: int, assignment: Assignment) -> Ailment:
    """What the faults do to an attempt: the worst of those of one kind, but latencies and leaks add up."""
    found = WELL
    for place, fault in enumerate(_concerning(ills, assignment.agent)):
        key = stream(seed, _STREAM, int.from_bytes(assignment.task[-8:], "big"), assignment.attempt, place)
        chance = draw(key, 0)
        if chance & (UNIT - 1) >= threshold(fault.rate):
            continue
        match fault:
            case AgentSlow(factor=factor):
                found = found._replace(factor=max(found.factor, factor))
            case AgentHangs():
                found = found._replace(hangs=True)
            case AgentAnswers(does=does):
                found = found._replace(does=does)
            case AgentLeaks(mb=mb):
                found = found._replace(leaked_bytes=found.leaked_bytes + (mb << 20))
            case StoreSevered():
                found = found._replace(is_severed=True, store_ns=found.store_ns + _SEVERED_NS)
            case StoreSlow(base_us=base_us, jitter_us=jitter_us):
                late_ns = base_us * _US + tail_ns(jitter_us * _US, draw(key, 1))
                found = found._replace(store_ns=found.store_ns + late_ns)
            case StoreToken(does=showing):
                found = found._replace(token=showing)
            case _:
                raise TypeError(f"no attempt knows what {fault!r} means")
    return found


def _concerning(ills: Iterable[Any], agent: str) -> list[AgentFault]:
    return [
        each for each in ills if isinstance(each, AgentFault) and (not each.agents or agent in each.agents)
    ]
