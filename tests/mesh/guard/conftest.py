"""Breakers of one node with a clock in hand."""

import random

import pytest

from hubless.guard import (
    BreakerConfig,
    Breakers,
    BreakerView,
    Evidence,
    Moved,
    Permit,
    PoolView,
    Refused,
    Scope,
)

S = 1_000_000_000
PEERS = ["a", "b", "c", "d"]


class Bench:
    """Breakers of node "me" with a clock in hand."""

    def __init__(self, peers: list[str] = PEERS, config: BreakerConfig | None = None) -> None:
        self.now = 0
        self.breakers = Breakers(rng=random.Random(7), config=config)
        self.breakers.watch(peers, {"echo": [*peers, "me"]})

    def permit(self, peer: str, agent: str = "echo") -> Permit:
        answer = self.breakers.allows(peer, agent, self.now)
        assert isinstance(answer, Permit), answer
        return answer

    def refusal(self, peer: str, agent: str = "echo") -> Refused:
        answer = self.breakers.allows(peer, agent, self.now)
        assert isinstance(answer, Refused), answer
        return answer

    def succeed(self, peer: str, times: int = 1, agent: str = "echo") -> list[Moved]:
        moves: list[Moved] = []
        for _ in range(times):
            moves += self.breakers.record_success(self.permit(peer, agent), self.now)
        return moves

    def fail(self, peer: str, times: int = 1, code: str = "unreachable", agent: str = "echo") -> list[Moved]:
        """Fails calls that were all sent before the first outcome."""
        moves: list[Moved] = []
        for permit in [self.permit(peer, agent) for _ in range(times)]:
            moves += self.breakers.record_failure(permit, code, self.now)
        return moves

    def tick(self, by_ns: int) -> list[Moved]:
        """Time passes, with a tick at every deadline on the way."""
        until = self.now + by_ns
        moves: list[Moved] = []
        while (due := self.breakers.next_deadline_ns()) is not None and due <= until:
            self.now = max(self.now, due)
            moves += self.breakers.tick(self.now)
        self.now = until
        return moves

    def view(self, scope: Scope) -> BreakerView:
        return next(view for view in self.breakers.snapshot(self.now) if view.scope == scope)

    def pool(self, agent: str = "") -> PoolView:
        return next(pool for pool in self.breakers.pools(self.now) if pool.agent == agent)


@pytest.fixture
def bench_of() -> type[Bench]:
    """Makes a bench: `bench_of(peers=[...], config=...)`."""
    return Bench


@pytest.fixture
def opened() -> Bench:
    """A bench on which the link to "a" has just been opened by hard evidence."""
    bench = Bench()
    bench.breakers.record_hard("a", Evidence.GONE, 0)
    return bench
