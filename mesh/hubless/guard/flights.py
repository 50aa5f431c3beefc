"""Calls in flight and when each becomes suspiciously old: a hashed timing wheel (Varghese and Lauck, SOSP 1987).

Starting and finishing a call cost a few dictionary operations, whatever the number in flight.
"""

from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """One call in flight. `overdue` once it has been reported by `Flights.overdue`."""

    __slots__ = ("overdue", "owner", "serial", "started_ns", "tick")

    def __init__(self, serial: int, owner: T, started_ns: int, tick: int) -> None:
        self.serial = serial
        self.owner = owner
        self.started_ns = started_ns
        self.tick = tick
        self.overdue = False


class Flights(Generic[T]):
    """Calls by serial number; due times are rounded up to `granularity_ns`."""

    __slots__ = ("_flights", "_granularity_ns", "_limit", "_ticks", "_wheel")

    def __init__(self, *, granularity_ns: int, limit: int) -> None:
        self._granularity_ns = granularity_ns
        self._limit = limit
        self._flights: dict[int, Flight[T]] = {}
        self._wheel: dict[int, dict[int, Flight[T]]] = {}
        self._ticks: list[int] = []

    def __len__(self) -> int:
        return len(self._flights)

    def started(self, serial: int, owner: T, now_ns: int, due_ns: int) -> bool:
        """A call begins; False, and nothing kept, if `limit` calls are in flight already."""
        if len(self._flights) >= self._limit:
            return False
        tick = -(-due_ns // self._granularity_ns)
        flight = Flight(serial, owner, now_ns, tick)
        self._flights[serial] = flight
        slot = self._wheel.get(tick)
        if slot is None:
            slot = self._wheel[tick] = {}
            heappush(self._ticks, tick)
        slot[serial] = flight
        return True

    def finished(self, serial: int) -> Flight[T] | None:
        """A call ended; None if it was not kept."""
        flight = self._flights.pop(serial, None)
        if flight is not None and not flight.overdue:
            del self._wheel[flight.tick][serial]
        return flight

    def overdue(self, now_ns: int) -> list[Flight[T]]:
        """Calls that became due since the last time, oldest due first; they stay in flight."""
        late: list[Flight[T]] = []
        while self._ticks and self._ticks[0] * self._granularity_ns <= now_ns:
            for flight in self._wheel.pop(heappop(self._ticks)).values():
                flight.overdue = True
                late.append(flight)
        return late

    def next_due_ns(self) -> int | None:
        """When `overdue` may have something to report."""
        while self._ticks and not self._wheel[self._ticks[0]]:
            del self._wheel[heappop(self._ticks)]
        return self._ticks[0] * self._granularity_ns if self._ticks else None
