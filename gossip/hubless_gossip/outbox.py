"""Messages of one `handle` call, gathered per address; rumours fill what room a small packet leaves."""

from __future__ import annotations

from hubless_gossip.codec import pack_header, pack_message, pack_packet, packet_size
from hubless_gossip.config import GossipConfig
from hubless_gossip.counters import Counters
from hubless_gossip.events import SendPacket
from hubless_gossip.member import Address, Identity
from hubless_gossip.messages import Message
from hubless_gossip.rumours import Rumours


class Outbox:
    """Small messages share packets of at most `packet_max_bytes`; a bulk message is a packet of its own."""

    __slots__ = ("_bulk", "_config", "_counters", "_header", "_rumours", "_small")

    def __init__(
        self, identity: Identity, config: GossipConfig, rumours: Rumours, counters: Counters
    ) -> None:
        self._header = pack_header(identity.mesh, identity.node, identity.boot)
        self._config = config
        self._rumours = rumours
        self._counters = counters
        self._small: dict[Address, list[bytes]] = {}
        self._bulk: list[tuple[Address, bytes]] = []

    @property
    def bulk_room_bytes(self) -> int:
        """What one bulk message may weigh."""
        return self._config.push_pull_max_bytes - packet_size(self._header, 0)

    def send(self, to: Address, message: Message) -> None:
        self.send_packed(to, pack_message(message))

    def send_packed(self, to: Address, packed: bytes) -> None:
        waiting = self._small.get(to)
        if waiting is None:
            self._small[to] = [packed]
        elif packed not in waiting:
            waiting.append(packed)

    def send_bulk(self, to: Address, message: Message) -> None:
        """A push-pull message of any size up to `bulk_room_bytes`."""
        self._bulk.append((to, pack_message(message)))

    def gossip(self, to: Address) -> None:
        """A packet of nothing but rumours, if there are any."""
        self._small.setdefault(to, [])

    def drain(self, live: int) -> list[SendPacket]:
        """The packets to send, first the small ones."""
        out: list[SendPacket] = []
        most = self._config.packet_max_bytes - packet_size(self._header, 0)
        for to, messages in self._small.items():
            pack: list[bytes] = []
            room = most
            for packed in messages:
                if len(packed) > room:
                    out.append(self._packet(to, pack))
                    pack, room = [], most
                pack.append(packed)
                room -= len(packed)
            pack.extend(self._rumours.take(room, live))
            if pack:
                out.append(self._packet(to, pack))
        out.extend(self._packet(to, [packed]) for to, packed in self._bulk)
        self._small.clear()
        self._bulk.clear()
        return out

    def _packet(self, to: Address, messages: list[bytes]) -> SendPacket:
        packet = pack_packet(self._header, messages)
        self._counters.packets_out += 1
        self._counters.packet_bytes_out += len(packet)
        return SendPacket(to, packet)
