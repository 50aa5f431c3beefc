"""Runs of the membership core alone."""

from collections.abc import Sequence
from typing import Any

import msgspec

from hubless_gossip import (
    Condition,
    Gossip,
    JoinRequested,
    LeaveRequested,
    LoadChanged,
    MembershipEvent,
    MetaChanged,
)
from hubless_sim.checkers.bounds import Overfull, overfull
from hubless_sim.checkers.membership import Settled, wrong_metadata, wrong_views
from hubless_sim.faults import MS, index_of
from hubless_sim.gossip.audit import Audit
from hubless_sim.gossip.haste import Hasty, hasty
from hubless_sim.gossip.host import GossipHost, Order, configured
from hubless_sim.run import Run
from hubless_sim.tapes.operations import Leave, Load, Meta, Operation
from hubless_sim.tapes.systems import GossipSystem
from hubless_sim.tapes.tape import Tape, TapeError
from hubless_sim.verdict import Violation
from hubless_sim.world.hosts import Birth
from hubless_sim.world.recorder import Recorder

_LOOK_NS = 100 * MS


class Told(msgspec.Struct, frozen=True):
    """One membership event as a node told it."""

    at_ns: int
    node: str
    event: MembershipEvent


class GossipRun(Run):
    """A run of a mesh that only gossips.  Raises TapeError on a tape that cannot be run."""

    def __init__(self, tape: Tape, recorder: Recorder | None = None) -> None:
        if not isinstance(tape.system, GossipSystem):
            raise TypeError(f"the tape's system is {tape.system!r}; see hubless_sim.play for any system")
        try:
            self.config = configured(tape.system.preset, tape.system.knobs)
        except (ValueError, TypeError) as error:
            raise TapeError(f"tape: {error} at `$.system`.") from error
        self.told: list[Told] = []
        self.overfull: list[tuple[int, str, Overfull]] = []
        self.hasty: list[tuple[int, str, Hasty]] = []
        self._asks_for_views = tape.system.right_views
        self._core = tape.system.core
        self._settled_ms = tape.system.settled_ms
        names = [f"n{index}" for index in range(tape.nodes)]
        self._audit = Audit(tape.faults, names, core=self._core or names, settled_ms=self._settled_ms)
        self._settled = Settled()
        super().__init__(tape, recorder)
        if self._settled_ms is not None:
            self.world.at(self._settled_ms * MS, self._look)

    def core(self, name: str) -> Gossip:
        """The core that runs on a node; raises LookupError while the node is down."""
        core: Gossip = self.host(name).core
        return core

    def view(self, name: str) -> dict[str, Condition]:
        """What a running node believes of each member it knows, itself included."""
        return {member.node: member.condition for member in self.core(name).members()}

    def violations(self) -> Sequence[Violation]:
        """What was kept beyond its bound, and who was held dead too soon; of tapes that ask for right views, what was
        told or is held wrongly, too."""
        always = (*overfull(self.overfull), *hasty(self.hasty))
        if not self._asks_for_views:
            return always
        metadata = {
            name: {
                member.node: member.meta for member in self.core(name).members() if self._counts(member.node)
            }
            for name in self._views()
        }
        return (
            *self._audit.violations,
            *always,
            *(wrong_views(self._views()) if self._settled_ms is None else self._settled.violations()),
            *wrong_metadata(metadata),
        )

    def _look(self) -> None:
        """Whether the core has settled, now and every so often."""
        self._settled.look(self.world.now_ns, self._views())
        self.world.at(self.world.now_ns + _LOOK_NS, self._look)

    def _views(self) -> dict[str, dict[str, Condition]]:
        """What those that count, and run, believe of each other."""
        return {
            name: {node: condition for node, condition in self.view(name).items() if self._counts(node)}
            for name in self.running()
            if self._counts(name)
        }

    def _counts(self, name: str) -> bool:
        """Whether it is asked of the node that it ends with the right view, and is seen in that of others."""
        return not self._core or name in self._core

    def noticed(self) -> int:
        """What the audit has seen."""
        return len(self._audit.violations)

    def found(self) -> dict[str, Any]:
        """What each running node believes, and how much was told."""
        views = {
            name: {node: condition.name.lower() for node, condition in self.view(name).items()}
            for name in self.running()
        }
        return {"told": len(self.told), "views": views}

    def make(self, birth: Birth) -> GossipHost:
        """A node: the core, and nothing around it."""
        host = GossipHost(birth, mesh=self.tape.seed.to_bytes(8, "big"), config=self.config)
        self.command_now(birth.node, JoinRequested(self.seeds(birth.node)))
        return host

    def observe(self, now_ns: int, node: int, value: Any) -> None:
        """A node told something of its members, or was seen to keep more than it may."""
        name = f"n{node}"
        if isinstance(value, Overfull):
            self.overfull.append((now_ns, name, value))
            return
        if isinstance(value, Hasty):
            self.hasty.append((now_ns, name, value))
            return
        self.told.append(Told(now_ns, name, value))
        if self._asks_for_views:
            lives = {each: self.world.boot(index_of(each)) for each in self.running()}
            self._audit.told(now_ns, name, self.world.boot(node), value, lives)

    def order(self, operation: Operation) -> Order | None:
        """What the shell of a node tells its core."""
        match operation:
            case Leave():
                return LeaveRequested()
            case Meta(meta=meta):
                return MetaChanged(meta.encode())
            case Load(load=load, busy=busy):
                return LoadChanged(load, busy)
            case _:
                return None
