"""Hosts the gossip core in the world: numbers of nodes become names and addresses, and back."""

import random

from hubless_gossip import (
    DeadlineReached,
    Effect,
    Event,
    Gossip,
    GossipConfig,
    Identity,
    JoinRequested,
    LeaveRequested,
    LoadChanged,
    MetaChanged,
    PacketReceived,
    Persist,
    Remembered,
    SendPacket,
    Tell,
    WatchLinks,
)
from hubless_gossip import LinkDown as CoreLinkDown
from hubless_gossip import LinkRefused as CoreLinkRefused
from hubless_gossip import LinkUp as CoreLinkUp
from hubless_sim.addresses import FIRST_PORT, address_of
from hubless_sim.checkers.bounds import Overfull
from hubless_sim.faults import index_of
from hubless_sim.gossip.haste import Haste
from hubless_sim.world.hosts import (
    Birth,
    Command,
    Delivered,
    Due,
    HostEffect,
    HostEvent,
    Keep,
    LinkDown,
    LinkRefused,
    LinkUp,
    Note,
    Send,
    Watch,
    WriteRefused,
    Written,
)

_DEADLINE = DeadlineReached()

Order = JoinRequested | LeaveRequested | MetaChanged | LoadChanged


def configured(preset: str, knobs: dict[str, int | float | bool]) -> GossipConfig:
    """The configuration of a tape's ``gossip`` setting; raises ValueError on unknown names or bad values."""
    presets = {
        "local": GossipConfig.local,
        "lan": GossipConfig.lan,
        "wan": GossipConfig.wan,
        "swim": GossipConfig.swim,
    }
    if preset not in presets:
        raise ValueError(f"preset {preset!r} is unknown; presets are {', '.join(presets)}")
    return presets[preset](**knobs)


class GossipHost:
    """One process of the mesh as far as membership goes: the core, and nothing around it."""

    __slots__ = ("_haste", "core")

    def __init__(self, birth: Birth, *, mesh: bytes, config: GossipConfig) -> None:
        self._haste = Haste(birth.name, mesh, config)
        kept = Remembered.from_bytes(birth.kept) if birth.kept else Remembered(0)
        self.core = Gossip(
            Identity(mesh=mesh, node=birth.name, boot=birth.boot, address=address_of(birth.node)),
            config=config,
            rng=random.Random(birth.seed),
            now_ns=birth.now_ns,
            incarnation=kept.incarnation,
            peers=kept.peers,
        )

    def handle(self, now_ns: int, event: HostEvent) -> list[HostEffect]:
        """Hand the event to the core and put its effects into the world's terms."""
        effects = self.core.handle(now_ns, _inward(event))
        out = [_outward(effect) for effect in effects] if effects else []
        packet = event.packet if isinstance(event, Delivered) else None
        out += [Note(each) for each in self._haste.watch(now_ns, packet, effects, self.core)]
        for what, (size, most) in self.core.fill().items():
            if size > most:
                out.append(Note(Overfull(f"the {what}", size, most)))
        return out

    def next_deadline_ns(self) -> int | None:
        """The core's own deadline."""
        return self.core.next_deadline_ns()


def _inward(event: HostEvent) -> Event:
    match event:
        case Delivered(packet=packet, source=source):
            return PacketReceived(packet, address_of(source))
        case Due():
            return _DEADLINE
        case LinkUp(peer=peer, boot=boot):
            return CoreLinkUp(f"n{peer}", boot)
        case LinkDown(peer=peer, boot=boot):
            return CoreLinkDown(f"n{peer}", boot)
        case LinkRefused(peer=peer, boot=boot):
            return CoreLinkRefused(f"n{peer}", boot)
        case Command(order=order):
            if not isinstance(order, Order):
                raise TypeError(f"{order!r} is no order to a gossip host; see Order")
            return order
        case Written() | WriteRefused():
            raise TypeError(f"{event!r} reached a gossip host, which writes no journal")


def _outward(effect: Effect) -> HostEffect:
    match effect:
        case SendPacket(to=to, packet=packet):
            return Send(to.port - FIRST_PORT, packet)
        case WatchLinks(peers=peers):
            return Watch(tuple(index_of(peer.node) for peer in peers))
        case Persist(remembered=remembered):
            return Keep(remembered.to_bytes())
        case Tell(event=event):
            return Note(event)
