"""Runs the tape of a gossip mesh.

``GossipRun(tape)`` is a run that can be stopped at any virtual time and looked into; ``run(tape)``
goes to its end and returns the figures.
"""

import functools

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
from hubless_sim.faults import MS, index_of, indices
from hubless_sim.gossip_host import GossipHost, Order, address_of, configured
from hubless_sim.hosts import Birth
from hubless_sim.links import LinkProfile
from hubless_sim.network import Layer
from hubless_sim.nodes import Traffic
from hubless_sim.tape import Conditions, Leave, Load, Meta, Operation, Tape, TapeError, check
from hubless_sim.world import World


class Told(msgspec.Struct, frozen=True):
    """One membership event as a node told it."""

    at_ns: int
    node: str
    event: MembershipEvent


class Result(msgspec.Struct, frozen=True):
    """The figures of a whole run.  ``views`` is what each running node believes of each member."""

    digest: str
    virtual_s: float
    events: int
    messages: int
    bytes: int
    lost: int
    told: int
    views: dict[str, dict[str, str]]


class GossipRun:
    """A run of a tape, advanced by hand.  Raises TapeError on a tape that cannot be run."""

    def __init__(self, tape: Tape) -> None:
        check(tape)
        try:
            config = configured(tape.gossip.preset, tape.gossip.knobs)
        except (ValueError, TypeError) as error:
            raise TapeError(f"tape: {error} at `$.gossip`.") from error
        self.tape = tape
        self.config = config
        self.told: list[Told] = []
        self.world = World(
            nodes=tape.nodes,
            seed=tape.seed,
            make=self._make,
            base=_base(tape.links),
            links=_profile(tape.links),
            observe=self._observe,
        )
        self._seeds = JoinRequested(tuple(address_of(index) for index in indices(tape.start.join)))
        self._schedule()

    def advance_to_ms(self, at_ms: int) -> None:
        """Run up to and including this virtual time."""
        self.world.run_until(at_ms * MS)

    def finish(self) -> Result:
        """Run to the end of the tape and sum up."""
        self.advance_to_ms(self.tape.duration_ms)
        traffic = [self.traffic(name) for name in self.names()]
        return Result(
            digest=self.world.digest(),
            virtual_s=self.tape.duration_ms / 1000,
            events=self.world.events,
            messages=sum(each.messages_out for each in traffic),
            bytes=sum(each.bytes_out for each in traffic),
            lost=sum(each.lost for each in traffic),
            told=len(self.told),
            views={
                name: {node: condition.name.lower() for node, condition in self.view(name).items()}
                for name in self.running()
            },
        )

    def names(self) -> list[str]:
        """All nodes of the tape, in order of their numbers."""
        return [f"n{index}" for index in range(self.tape.nodes)]

    def running(self) -> list[str]:
        """The nodes on which a process runs now (blocked ones too)."""
        return [name for name in self.names() if self.world.host(index_of(name)) is not None]

    def core(self, name: str) -> Gossip:
        """The core that runs on a node; raises LookupError while the node is down."""
        host = self.world.host(index_of(name))
        if host is None:
            raise LookupError(f"{name} is down at {self.world.now_ns} ns; see running()")
        core: Gossip = host.core
        return core

    def view(self, name: str) -> dict[str, Condition]:
        """What a running node believes of each member it knows, itself included."""
        return {member.node: member.condition for member in self.core(name).members()}

    def traffic(self, name: str) -> Traffic:
        """The counters of a node."""
        return self.world.traffic(index_of(name))

    def _make(self, birth: Birth) -> GossipHost:
        host = GossipHost(birth, mesh=self.tape.seed.to_bytes(8, "big"), config=self.config)
        self.world.at(self.world.now_ns, functools.partial(self.world.command, birth.node, self._seeds))
        return host

    def _observe(self, now_ns: int, node: int, value: MembershipEvent) -> None:
        self.told.append(Told(now_ns, f"n{node}", value))

    def _schedule(self) -> None:
        tape, world = self.tape, self.world
        absent = set(indices(tape.start.absent))
        for index in range(tape.nodes):
            if index not in absent:
                world.at(index * tape.start.stagger_ms * MS, functools.partial(world.start, index))
        for operation in tape.operations:
            order = _order(operation)
            for index in indices(operation.nodes):
                world.at(operation.at_ms * MS, functools.partial(world.command, index, order))
        for fault in tape.faults:
            fault.impose(world)


def run(tape: Tape) -> Result:
    """Run a tape to its end."""
    return GossipRun(tape).finish()


def _order(operation: Operation) -> Order:
    match operation:
        case Leave():
            return LeaveRequested()
        case Meta(meta=meta):
            return MetaChanged(meta.encode())
        case Load(load=load, busy=busy):
            return LoadChanged(load, busy)


def _base(links: Conditions) -> Layer:
    return Layer(
        loss=links.loss,
        duplicate=links.duplicate,
        base_ns=links.base_us * 1000,
        jitter_ns=links.jitter_us * 1000,
    )


def _profile(links: Conditions) -> LinkProfile | None:
    if links.monitored is None:
        return None
    return LinkProfile(
        heartbeat_interval_ns=links.monitored.heartbeat_interval_ms * MS,
        heartbeat_timeout_ns=links.monitored.heartbeat_timeout_ms * MS,
        reconnect_ns=links.monitored.reconnect_ms * MS,
    )
