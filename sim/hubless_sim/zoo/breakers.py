"""Bugs in whom a node cuts off: what counts as a failure, how many may be out, and how they come back."""

from __future__ import annotations

from hubless.guard import breaker as breaker_module
from hubless.guard import breakers as breakers_module
from hubless.guard.breaker import Breaker
from hubless.guard.breakers import Breakers
from hubless.guard.permit import Permit, Refused, State
from hubless.guard.pools import Gate, Pool, Pools
from hubless.guard.states import CHARGES, TRANSITIONS, Cause, Charge
from hubless_sim.zoo.planting import Bed, Swaps

BED = Bed("breakers")


@BED.plant("pools", first=3)
def counts_cancellations_as_failures(swaps: Swaps) -> None:
    """A call that its caller gave up counts against the node that ran it."""
    swaps.put(breakers_module, "CHARGES", {**CHARGES, "cancelled": Charge.LINK})


@BED.plant("crowds", first=0)
def counts_want_of_room_as_failure(swaps: Swaps) -> None:
    """A node that refuses a call because too many wait there is held to have failed at it."""
    swaps.put(breakers_module, "CHARGES", {**CHARGES, "overloaded": Charge.AGENT})


@BED.plant("pools", first=1)
def opens_for_all_of_a_pool(swaps: Swaps) -> None:
    """Breakers open however many of the pool are out already: when all fail, nobody is left to ask."""

    def none(self: Pools, pool: Pool, peer: str) -> str:
        return ""

    swaps.put(Pools, "hindrance", none)


@BED.plant("pools", first=0)
def lets_no_probe_through(swaps: Swaps) -> None:
    """A breaker that is half-open refuses its probe, and so all calls for ever."""

    def closed(self: Breakers, gate: Gate, peer: str, agent: str, now_ns: int) -> Permit | Refused:
        for breaker in (gate.link, gate.agent):
            if breaker.state is State.HALF_OPEN:
                return Refused(breaker.scope, breaker.state, now_ns)
        return guarded(self, gate, peer, agent, now_ns)

    guarded = swaps.put(Breakers, "_guarded", closed)


@BED.plant("sinks", first=0)
def lets_calls_fall_into_a_black_hole(swaps: Swaps) -> None:
    """Breakers open on hard evidence alone: who fails all calls, and fast, is given ever more of them."""

    def is_refused(self: Breakers, breaker: Breaker, pool: Pool, now_ns: int) -> bool:
        return breaker.evidence is not None

    swaps.put(Breakers, "_is_failing", is_refused)


@BED.plant("sinks", first=0)
def lets_all_through_after_the_wait(swaps: Swaps) -> None:
    """A breaker closes when its wait is over, without a probe: who fails all calls gets some more each time."""
    unasked = {**TRANSITIONS, State.OPEN: {Cause.DUE: State.CLOSED}}
    swaps.put(breaker_module, "TRANSITIONS", unasked)
