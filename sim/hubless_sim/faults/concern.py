"""Whom a fault concerns: rules about the healthy leave out those nodes, and no others."""

from collections.abc import Sequence

from hubless_sim.faults.kinds import Fault
from hubless_sim.faults.network import Duplicate
from hubless_sim.faults.process import Starve


def named_in(fault: Fault) -> set[str]:
    """The nodes that a fault names."""
    named = {*getattr(fault, "nodes", ()), *getattr(fault, "sources", ()), *getattr(fault, "targets", ())}
    return named.union(*getattr(fault, "sides", ()))


def concerned_from_ns(faults: Sequence[Fault], name: str) -> float:
    """From when on a node is, or was, in the hands of a fault; infinite if it never is.

    A node that is only busy is healthy as long as its links are answered, and so is one that hears things twice.
    """
    at_ms = (fault.at_ms for fault in faults if _concerns(fault, name))
    return min(at_ms, default=float("inf")) * 1_000_000


def _concerns(fault: Fault, name: str) -> bool:
    match fault:
        case Starve(links_alive=True) | Duplicate():
            return False
        case _:
            return name in named_in(fault) or _is_of_all(fault)


def _is_of_all(fault: Fault) -> bool:
    """Whether it names nobody somewhere, which means everybody."""
    ends = [getattr(fault, end, None) for end in ("sources", "targets")]
    return () in [*ends, *getattr(fault, "sides", ())]
