"""A client of bare shards: one request at a time, to whoever it believes to be the owner, until it is answered.

It writes and reads registers of drawn shards, and in the end writes and reads each of its shards once more, which
shows whether they live.
"""

from collections import deque

import msgspec

from hubless_sim.sealed import ANSWER, Ask, seal_ask, to_answer, unseal
from hubless_sim.tapes.systems import Workload
from hubless_sim.world.chance import draw, stream
from hubless_sim.world.hosts import Birth, Delivered, Due, HostEffect, HostEvent, Note, Send

MS = 1_000_000
_STREAM = 10
_ELSEWHERE_NS = 20 * MS


class Done(msgspec.Struct, frozen=True):
    """A request has ended.  ``return_ns`` None: given up, and it may or may not have had its effect."""

    client: int
    call_ns: int
    return_ns: int | None
    ask: Ask
    value: int | None
    is_probe: bool


class ShardClient:
    """One client process; its requests are drawn from its seed."""

    def __init__(
        self, birth: Birth, *, turn: int, clients: int, nodes: int, shards: int, workload: Workload
    ) -> None:
        self._me = birth.node
        self._nodes = nodes
        self._shards = shards
        self._workload = workload
        self._chance = stream(birth.seed, _STREAM)
        self._draws = 0
        self._number = 0
        self._probes: deque[tuple[int, bool]] = deque(
            (shard, is_write) for shard in range(turn, shards, clients) for is_write in (True, False)
        )
        self._owners: dict[int, int] = {}
        self._ask: Ask | None = None
        self._is_probe = False
        self._call_ns = 0
        self._repeat_ns = 0
        self._target = 0
        self._due_ns: int | None = birth.now_ns + workload.from_ms * MS

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Apply one event."""
        out: list[HostEffect] = []
        match event:
            case Delivered(packet=packet, source=source):
                self._answered(now_ns, source, packet, out)
            case Due() if self._due_ns is not None and now_ns >= self._due_ns:
                if self._ask is None:
                    self._begin(now_ns, out)
                elif now_ns >= self._call_ns + self._patience_ns():
                    self._give_up(now_ns, self._ask, out)
                else:
                    self._owners.pop(self._ask.shard, None)
                    self._target = (self._target + 1) % self._nodes
                    self._say(now_ns, self._ask, out)
            case _:
                pass
        return out

    @property
    def is_done(self) -> bool:
        """Whether it has nothing more to ask."""
        return self._due_ns is None

    @property
    def waiting(self) -> Done | None:
        """The request that waits for its answer, as it would be given up now."""
        if self._ask is None:
            return None
        return Done(self._me, self._call_ns, None, self._ask, None, self._is_probe)

    def next_deadline_ns(self) -> int | None:
        """When it asks next, or again."""
        return self._due_ns

    def _begin(self, now_ns: int, out: list[HostEffect]) -> None:
        work = self._workload
        if now_ns < work.until_ms * MS:
            chance = self._draw()
            shard, key = chance % self._shards, (chance >> 20) % work.keys
            is_write = (chance >> 40) % 1000 < work.writes * 1000
        elif now_ns < work.probe_ms * MS:
            self._due_ns = work.probe_ms * MS
            return
        elif self._probes:
            self._is_probe = True
            (shard, is_write), key = self._probes.popleft(), 0
        else:
            self._due_ns = None
            return
        self._number += 1
        value = self._me * 1_000_000 + self._number if is_write else None
        self._ask = Ask(self._number, shard, key, value)
        self._call_ns = now_ns
        self._target = self._owners.get(shard, self._draw() % self._nodes)
        self._say(now_ns, self._ask, out)

    def _say(self, now_ns: int, ask: Ask, out: list[HostEffect]) -> None:
        self._due_ns = now_ns + self._workload.patience_ms * MS
        out.append(Send(self._target, seal_ask(ask)))

    def _answered(self, now_ns: int, source: int, packet: bytes, out: list[HostEffect]) -> None:
        content = unseal(packet)
        if content[:1] != ANSWER or self._ask is None:
            return
        answer = to_answer(content)
        if answer.number != self._ask.number:
            return
        if answer.is_done:
            self._owners[self._ask.shard] = source
            self._end(now_ns, now_ns, answer.value, out)
        elif source == self._target:
            if 0 <= answer.owner < self._nodes and answer.owner != source:
                self._target = answer.owner - 1  # the deadline's own step leads to it
            self._due_ns = now_ns + _ELSEWHERE_NS

    def _patience_ns(self) -> int:
        work = self._workload
        return (work.probe_give_up_ms if self._is_probe else work.give_up_ms) * MS

    def _give_up(self, now_ns: int, ask: Ask, out: list[HostEffect]) -> None:
        """A probe is made again after the others: a shard that is lost must not hide that they live."""
        if self._is_probe:
            self._probes.append((ask.shard, ask.value is not None))
        self._end(now_ns, None, None, out)

    def _end(self, now_ns: int, return_ns: int | None, value: int | None, out: list[HostEffect]) -> None:
        if self._ask is not None:
            done = Done(self._me, self._call_ns, return_ns, self._ask, value, self._is_probe)
            out.append(Note(done))
        self._ask = None
        self._due_ns = now_ns + (self._draw() % (self._workload.pause_ms * MS) if not self._is_probe else 0)

    def _draw(self) -> int:
        self._draws += 1
        return draw(self._chance, self._draws)
