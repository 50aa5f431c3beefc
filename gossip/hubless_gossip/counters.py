"""What the core refused, dropped or did, counted. Public: `Gossip.counters`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Counts since the start of this process."""

    packets_in: int = 0
    packets_out: int = 0
    packet_bytes_out: int = 0
    malformed_packets: int = 0
    other_version: int = 0
    other_mesh: int = 0
    own_echoes: int = 0
    """Packets that claim to come from this very node."""
    stale_boots: int = 0
    """Packets of a process that its successor has replaced."""
    unknown_messages: int = 0
    malformed_messages: int = 0
    unknown_senders: int = 0
    """Packets that could not be answered: neither the sender's address nor the source is known."""
    unknown_subjects: int = 0
    """Accusations of nodes this one does not know."""
    members_refused: int = 0
    relays_refused: int = 0
    probes_refused: int = 0
    link_reports_refused: int = 0
    events_lost: int = 0
    rumours_dropped: int = 0
    displaced: int = 0
    """Claims about this node that it cannot refute: a higher boot (a copied data directory?)."""
    probes: int = 0
    indirect_probes: int = 0
    suspicions: int = 0
    refutations: int = 0
    deaths_by_suspicion: int = 0
    deaths_by_kernel: int = 0
    deaths_disputed: int = 0
    """Deaths claimed by others that this node turned into a suspicion of its own."""
    deaths_withheld: int = 0
    """Expired suspicions that lacked a second accuser."""
    panics: int = 0
    """Expired suspicions that were prolonged because most of the mesh was suspect at once."""
    displacements: int = 0
    """Processes found gone because another one of the mesh answered at their address."""
    lags: int = 0
    """How often this node found that it had been blocked itself."""
