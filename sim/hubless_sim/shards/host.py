"""Hosts the replicas of a node, and nothing else of it, so that thousands of seeds run in minutes.

Opinions of the others come from monitored links and from orders, which may well be wrong; tasks are replaced by
registers.  One event of the world is one tick.
"""

import random
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import msgspec

from hubless.deadlines import earliest
from hubless.effects import NodeEffect, ToPeer
from hubless.shard.events import (
    Commit,
    Committed,
    Disowned,
    Flushed,
    Forgotten,
    JournalFailed,
    JournalFull,
    JournalHasRoom,
    Owning,
    ReadReady,
    Restored,
)
from hubless.shard.replicas import Replicas
from hubless.shard.settings import ReplicasSettings
from hubless.wire import FrameError, Limits, Outbox, decode
from hubless.wire.replication import ShardMessage
from hubless_sim.journal_shell import JournalShell
from hubless_sim.names import formats_of, name_of, place_of
from hubless_sim.packets import to_frame, to_packet
from hubless_sim.sealed import ASK, RAFT, Answer, Ask, seal, seal_answer, to_ask, unseal
from hubless_sim.shards.audit import Audit
from hubless_sim.shards.registers import Put, Registers, to_body
from hubless_sim.tapes.operations import Opinion, Ring
from hubless_sim.world.chance import stream
from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    LinkDown,
    LinkRefused,
    LinkUp,
    Send,
    Watch,
    WriteRefused,
    Written,
)

_PAYLOAD = 1  # kind of the entries that are the machine's own
_NoPacket = LinkUp | LinkDown | LinkRefused | Due | Written | WriteRefused | Command
_KINDS = frozenset(ShardMessage.__args__)
_LIMITS = Limits()


class ShardSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes have in common.  ``name_of`` gives the present name of the node with a number."""

    mesh: bytes
    nodes: int
    shards: int
    replicas: int
    settings: ReplicasSettings
    name_of: Callable[[int], str]


class ShardHost:
    """One process: the replicas of a node."""

    def __init__(self, birth: Birth, *, setting: ShardSetting, ring: tuple[int, ...], audit: Audit) -> None:
        self.me = name_of(birth.node, birth.formats)
        self._index = birth.node
        self._setting = setting
        self._audit = audit
        self.replicas = Replicas(
            self.me,
            setting.shards,
            settings=setting.settings,
            rng=random.Random(birth.seed),
            now_ns=birth.now_ns,
            recovered=birth.recovered,
            is_founder=birth.node == 0 and not birth.formats and not birth.recovered,
        )
        audit.born(birth.node, birth.recovered)
        self._journal = JournalShell()
        self._outbox: Outbox[int] = Outbox(mesh=setting.mesh, sender=self.me, boot=birth.boot, limits=_LIMITS)
        self._machines: dict[int, Registers] = {}
        self._boots: dict[str, int] = {}
        self._writes: dict[tuple[int, int], int] = {}
        self._reads: dict[int, tuple[int, Ask]] = {}
        self._ticket = 0
        self._ring = ring
        self._conditions: dict[int, str] = dict.fromkeys(range(setting.nodes), "doubtful")
        self._conditions[birth.node] = "well"
        self._names = [name_of(index, 0) for index in range(setting.nodes)]
        """Who runs on each machine, as far as this process has heard: a wiped disk is another node."""
        self._names[birth.node] = self.me
        self._out: list[HostEffect] = []
        self._is_started = False

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Hand the event to the replicas, and carry out what follows within the same tick."""
        self._out = []
        effects: list[NodeEffect] = []
        if not self._is_started:
            self._is_started = True
            self._out.append(Watch(tuple(range(self._setting.nodes))))
            self.replicas.start(now_ns, effects)
            self._tell_opinion(now_ns)
        if isinstance(event, Delivered):
            self._packet(now_ns, event.source, event.packet, effects)
        else:
            self._take(now_ns, event, effects)
        if effects:
            self._perform(effects)
        for shard in self.replicas.wants_compaction():
            self.replicas.compact(shard, self._machine(shard).to_bytes())
        ended: list[NodeEffect] = []
        self.replicas.tick_ended(now_ns, ended)
        if ended:
            self._perform(ended)
        for target, frame in self._outbox.frames():
            self._out.append(Send(target, seal(to_packet(RAFT, frame))))
        return self._out

    def next_deadline_ns(self) -> int | None:
        """The replicas' deadline, or the journal's."""
        due_ns, again_ns = self.replicas.next_deadline_ns(), self._journal.next_due_ns()
        return due_ns if again_ns is None else earliest(due_ns, again_ns)

    # What comes in

    def _take(self, now_ns: int, event: _NoPacket, out: list[NodeEffect]) -> None:
        match event:
            case Due():
                self._journal.due(now_ns, self._out)
                self.replicas.tick(now_ns, out)
            case Written() | WriteRefused():
                self._disk_answered(now_ns, event, out)
            case LinkUp(peer=peer):
                self._names[peer] = self._setting.name_of(peer)  # the handshake says it
                self._believe(now_ns, peer, "well")
            case LinkDown(peer=peer):
                self._believe(now_ns, peer, "doubtful")
            case LinkRefused(peer=peer):
                self._believe(now_ns, peer, "gone")
            case Command(order=Opinion(member=member, condition=condition)):
                self._believe(now_ns, int(member[1:]), condition)
            case Command(order=Ring(members=members)):
                self._ring = tuple(int(member[1:]) for member in members)
                self._tell_opinion(now_ns)
            case Command(order=None):
                pass  # the first event of a process: it starts
            case Command(order=order):
                raise TypeError(f"{order!r} is no order to a host of shards")

    def _disk_answered(self, now_ns: int, event: Written | WriteRefused, out: list[NodeEffect]) -> None:
        for answer in self._journal.take(now_ns, event, self._out):
            match answer:
                case Flushed(mark=mark):
                    self.replicas.flushed(now_ns, mark, out)
                case JournalFailed(problem=problem):
                    self.replicas.failed(now_ns, problem, out)
                case JournalFull(problem=problem):
                    self.replicas.full(problem)
                case JournalHasRoom():
                    self.replicas.has_room()

    def _packet(self, now_ns: int, source: int, packet: bytes, out: list[NodeEffect]) -> None:
        content = unseal(packet)
        if content[:1] == ASK:
            self._asked(now_ns, source, to_ask(content), out)
            return
        try:
            envelope = decode(to_frame(content), _LIMITS)
        except FrameError:  # garbled: there is no content then
            return
        sender = envelope.sender
        if envelope.boot < self._boots.get(sender, 0):
            return  # a process that another one is known to have followed
        self._boots[sender] = envelope.boot
        self._hear_of(sender)
        for message in envelope.messages:
            if type(message) not in _KINDS:
                raise TypeError(f"{message!r} is no message between replicas")
            self.replicas.receive(now_ns, sender, cast("ShardMessage", message), out)

    def _asked(self, now_ns: int, client: int, ask: Ask, out: list[NodeEffect]) -> None:
        if ask.value is None:
            self._ticket += 1
            self._reads[self._ticket] = (client, ask)
            self.replicas.read(now_ns, ask.shard, self._ticket, out)
            return
        body = to_body(Put(client, ask.number, ask.key, ask.value))
        if not self.replicas.is_full and self.replicas.propose(now_ns, ask.shard, body):
            self._writes[client, ask.number] = ask.shard
        else:
            self._answer(client, self._elsewhere(ask.number, ask.shard))

    # Opinions

    def _hear_of(self, name: str) -> None:
        place = place_of(name)
        if self._names[place] != name and formats_of(name) > formats_of(self._names[place]):
            self._names[place] = name

    def _believe(self, now_ns: int, peer: int, condition: str) -> None:
        if peer != self._index or condition == "draining":
            self._conditions[peer] = condition
        self._tell_opinion(now_ns)

    def _tell_opinion(self, now_ns: int) -> None:
        held: dict[str, set[str]] = {"well": set(), "doubtful": set(), "gone": set(), "draining": set()}
        for peer, condition in self._conditions.items():
            name = self._names[peer]
            held[condition].add(name)
            held["gone"].update(name_of(peer, earlier) for earlier in range(formats_of(name)))
        self.replicas.conditions_changed(
            now_ns,
            well=frozenset(held["well"] | held["draining"]),
            doubtful=frozenset(held["doubtful"]),
            gone=frozenset(held["gone"]),
            draining=frozenset(held["draining"]),
            preferences=lambda shard: self._ranked(shard)[: self._setting.replicas],
            spares=lambda shard: self._ranked(shard)[self._setting.replicas :],
        )

    def _ranked(self, shard: int) -> tuple[str, ...]:
        """The members of the ring that this node knows of, by a hash of theirs and the shard's."""
        return _ranking(shard, tuple(sorted(self._names[each] for each in self._ring)))

    # What goes out

    def _perform(self, effects: list[NodeEffect]) -> None:
        for effect in effects:
            match effect:
                case ToPeer(node=node, message=message):
                    self._audit.said(self._index, self.me, effect)
                    self._outbox.add(place_of(node), message)
                case Commit():
                    self._audit.wrote(self._index, effect.records)
                    self._journal.commit(effect, self._out)
                case Committed(shard=shard, entries=entries):
                    self._audit.committed(self._index, shard, entries)
                    for entry in entries:
                        if entry.kind == _PAYLOAD:
                            self._apply(shard, entry.body)
                case Restored(shard=shard, state=state):
                    self._audit.restored(self._index, shard)
                    self._machines[shard] = Registers.from_bytes(state)
                case Owning(shard=shard, term=term):
                    self._audit.owns(self._index, self.me, shard, term)
                case Disowned(shard=shard):
                    self._send_away(shard)
                case Forgotten(shard=shard):
                    self._machines.pop(shard, None)
                case ReadReady(ticket=ticket, is_owner=is_owner):
                    self._read(ticket, is_owner=is_owner)
                case _:
                    raise AssertionError(f"replicas let {effect!r} out")

    def _machine(self, shard: int) -> Registers:
        return self._machines.setdefault(shard, Registers())

    def _apply(self, shard: int, body: bytes) -> None:
        put = self._machine(shard).apply(body)
        if self._writes.pop((put.client, put.number), None) is not None:
            self._answer(put.client, Answer(put.number, is_done=True))

    def _read(self, ticket: int, *, is_owner: bool) -> None:
        client, ask = self._reads.pop(ticket)
        if is_owner:
            value = self._machine(ask.shard).read(ask.key)
            self._answer(client, Answer(ask.number, is_done=True, value=value))
        else:
            self._answer(client, self._elsewhere(ask.number, ask.shard))

    def _send_away(self, shard: int) -> None:
        """What was proposed last may or may not be committed: its clients ask the next owner again."""
        for (client, number), of in list(self._writes.items()):
            if of == shard:
                del self._writes[client, number]
                self._answer(client, self._elsewhere(number, shard))

    def _elsewhere(self, number: int, shard: int) -> Answer:
        known = self.replicas.owner(shard)
        return Answer(number, is_done=False, owner=-1 if known is None else place_of(known[0]))

    def _answer(self, client: int, answer: Answer) -> None:
        self._out.append(Send(client, seal_answer(answer)))


@lru_cache(maxsize=1024)
def _ranking(shard: int, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: stream(shard, zlib.crc32(name.encode()))))
