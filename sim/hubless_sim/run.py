"""A run of a tape: the world that it asks for, brought up, advanced by hand, and summed up.

Each kind of system has a run of its own, which says what its processes are and what it hears from them.
"""

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from hubless_gossip import Address
from hubless_sim.addresses import address_of
from hubless_sim.faults import MS, index_of, indices
from hubless_sim.tapes.operations import Operation, called
from hubless_sim.tapes.tape import Tape, check
from hubless_sim.verdict import Verdict, Violation
from hubless_sim.world.hosts import Birth, Host
from hubless_sim.world.nodes import Traffic
from hubless_sim.world.recorder import Recorder
from hubless_sim.world.world import World

_STEP_MS = 100


class Result(msgspec.Struct, frozen=True):
    """The figures of a whole run.  ``found`` is what its kind of system has to show."""

    digest: str
    verdict: Verdict
    violations: tuple[Violation, ...]
    virtual_s: float
    events: int
    messages: int
    bytes: int
    lost: int
    written_bytes: int
    found: dict[str, Any]
    too_large: int = 0
    """How many of the lost were larger than their links carry."""


class Run:
    """What runs of all systems share.  Raises TapeError on a tape that cannot be run."""

    def __init__(self, tape: Tape, recorder: Recorder | None = None) -> None:
        check(tape)
        self.tape = tape
        monitored = tape.links.monitored
        self.world = World(
            nodes=tape.nodes + tape.clients,
            seed=tape.seed,
            make=self.make,
            base=tape.links.to_layer(),
            links=None if monitored is None else monitored.to_profile(),
            disk=tape.disks.to_profile(),
            observe=self.observe,
            recorder=recorder,
        )
        self._schedule()

    # What a kind of system says

    def make(self, birth: Birth) -> Host:
        """Make the process that a node or client runs."""
        raise TypeError(f"{type(self).__name__} makes no process for {birth.name}")

    def observe(self, now_ns: int, node: int, value: Any) -> None:
        """Hear what a process notes."""

    def order(self, operation: Operation) -> Any:
        """What an operation is to the processes of the nodes that it names; None if nothing is handed to them."""

    def is_over(self) -> bool:
        """Whether nothing more is to be seen, although the tape goes on; asked every now and then."""
        return False

    def violations(self) -> Sequence[Violation]:
        """What must hold at the end of any run and does not."""
        return ()

    def noticed(self) -> int:
        """How many violations were seen so far, by what looks on while the run goes on."""
        return 0

    def found(self) -> dict[str, Any]:
        """What there is to show at the end."""
        return {}

    # What is the same for all

    def advance_to_ms(self, at_ms: int) -> None:
        """Run up to and including this virtual time."""
        self.world.run_until(at_ms * MS)

    def finish(self) -> Result:
        """Run to the end of the tape, or until there is nothing more to see, and sum up.  Raises what a core raises."""
        world = self.world
        while world.now_ns < self.tape.duration_ms * MS and not self.is_over():
            self.advance_to_ms(min(world.now_ns // MS + _STEP_MS, self.tape.duration_ms))
        return self.result(tuple(self.violations()))

    def judge(self) -> Result:
        """The same, and what a core raises is a finding: the verdict is ``broken``."""
        try:
            return self.finish()
        except Exception as error:  # noqa: BLE001 whatever a core raises is what the run was made to find
            text = f"{type(error).__name__}: {error}"
            return self.result((Violation(type(error).__name__, text, self.world.now_ns),), "broken")

    def result(self, violations: tuple[Violation, ...], verdict: Verdict | None = None) -> Result:
        """The figures so far."""
        world = self.world
        traffic = [world.traffic(index) for index in range(len(world))]
        return Result(
            digest=world.digest(),
            verdict=verdict or ("violated" if violations else "held"),
            violations=violations,
            virtual_s=world.now_ns / 1e9,
            events=world.events,
            messages=sum(each.messages_out for each in traffic),
            bytes=sum(each.bytes_out for each in traffic),
            lost=sum(each.lost for each in traffic),
            written_bytes=sum(world.disk(index).use.bytes for index in range(len(world))),
            found=self.found(),
            too_large=sum(each.too_large for each in traffic),
        )

    def names(self) -> list[str]:
        """All nodes of the tape (not its clients), in order of their numbers."""
        return [f"n{index}" for index in range(self.tape.nodes)]

    def running(self) -> list[str]:
        """The nodes on which a process runs now (blocked ones too)."""
        return [name for name in self.names() if self.world.host(index_of(name)) is not None]

    def host(self, name: str) -> Any:
        """The process that runs on a node; raises LookupError while the node is down."""
        host = self.world.host(index_of(name))
        if host is None:
            raise LookupError(f"{name} is down at {self.world.now_ns} ns; see running()")
        return host

    def traffic(self, name: str) -> Traffic:
        """The counters of a node."""
        return self.world.traffic(index_of(name))

    def seeds(self, node: int) -> tuple[Address, ...]:
        """Through whom a node joins."""
        join = indices(self.tape.start.join) or range(self.tape.nodes)
        return tuple(address_of(index) for index in join if index != node)

    def command_now(self, node: int, order: Any) -> None:
        """Hand an order to the process that is being made on the node, once it is there."""
        world = self.world
        world.at(world.now_ns, functools.partial(world.command, node, order))

    def _schedule(self) -> None:
        tape, world = self.tape, self.world
        for fault in tape.faults:
            fault.impose(world)
        absent = set(indices(tape.start.absent))
        for index in range(len(world)):
            if index not in absent:
                world.at(index * tape.start.stagger_ms * MS, functools.partial(world.start, index))
        for operation in tape.operations:
            order = self.order(operation)
            if order is not None:
                for index in indices(called(operation)):
                    world.at(operation.at_ms * MS, functools.partial(world.command, index, order))
