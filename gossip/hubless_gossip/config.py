"""Knobs of the membership protocol, with the formula beside each, and presets for three kinds of network.

The LAN and WAN values start from memberlist's (hashicorp/memberlist, config.go); the formulas are those of
SWIM (Das, Gupta, Motivala 2002) and Lifeguard (arXiv 1707.00788). `n` is the number of live members.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hubless_gossip.claims import ACCUSERS_MAX
from hubless_gossip.codec import PACKET_MAX_BYTES
from hubless_gossip.messages import MEMBERS_MAX


class GossipConfig(Struct, frozen=True, kw_only=True):
    """Durations in milliseconds. Raises ValueError, naming the field, on values that cannot work."""

    # --- probing (SWIM section 4.1; Lifeguard section IV-A) ---
    probe_interval_ms: int = 1000
    """One member is probed per `probe_interval * (h + 1)`, h = local health score."""
    probe_timeout_ms: int = 500
    """Indirect probes go out `probe_timeout * (h + 1)` after an unanswered ping."""
    nack_percent: int = 80
    """A relay answers nack (or link-alive) after `nack_percent %` of the probe timeout, or of what is left of the
    interval after it, if that is less: so that it comes before the verdict."""
    indirect_probes: int = 3
    """Relays per failed ping; up to two of them watch the target through a monitored link."""
    health_max: int = 8
    """The local health score h stays in 0..health_max (Lifeguard's S)."""

    # --- suspicion (Lifeguard section IV-B) ---
    suspicion_mult: float = 2.5
    """min = suspicion_mult * max(1, log10(n)) * probe_interval."""
    suspicion_max_mult: float = 6.0
    """max = suspicion_max_mult * min; timeout = max - (max - min) * log(c + 1) / log(K + 1), c = accusers
    after the first that rumours named to this node, and itself; see suspicion.py."""
    confirmations: int = 3
    """K, at most 3: an accusation names up to 4 accusers. Among fewer than K + 2 members nobody can confirm often
    enough: there it is max(0, n - 2)."""

    # --- rumours (SWIM section 4.1, memberlist) ---
    gossip_interval_ms: int = 200
    """Waiting rumours leave every gossip_interval, to `gossip_fanout` members; none wait, none leave."""
    gossip_fanout: int = 3
    retransmit_mult: float = 4.0
    """A rumour is sent ceil(retransmit_mult * log10(n + 1)) times (lambda * log(n + 1))."""
    refutation_factor: float = 2.0
    """A refutation is sent refutation_factor times as often as any other rumour."""
    gossip_to_dead_ms: int = 30_000
    """The dead are still gossiped to for this long, so that they can refute."""
    eager_fanout: int = 4
    """A kernel-witnessed crash is forwarded at once to this many members by everybody who hears it first."""

    # --- push-pull, joining, healing ---
    push_pull_interval_ms: int = 30_000
    """Digests are compared every push_pull_interval * (1 + max(0, ceil(log2(n / 32)))), jittered by 1/4."""
    catch_up_ms: int = 300
    """After an exchange that brought news another follows this soon: an epidemic of big differences. After
    newcomers were met one follows in 5 to 10 times this: rumours alone miss somebody now and then."""
    join_retry_ms: int = 500
    """Join requests repeat after join_retry * 1.6^k, at most join_retry_max, jittered by a fifth."""
    join_retry_max_ms: int = 5000
    heal_interval_ms: int = 2000
    """One failed or remembered peer is tried per heal_interval, jittered by a half."""

    # --- baseline ---
    lifeguard: bool = True
    """False: plain SWIM, to compare with. No buddy system, nacks, second opinions or eager refutations, and a
    death is believed on one accuser's word. See GossipConfig.swim."""

    # --- evidence ---
    watched_neighbours: int = 3
    """Each node keeps a monitored link to its K successors on the ring of hashed node ids."""
    degraded_after: int = 3
    """That many probes in a row answered only through relays make a link degraded. Its reporter says so
    again every push_pull_interval."""
    lag_ms: int = 250
    """handle() called this long after the asked deadline: this node was blocked. Half to one probe_timeout."""

    # --- what subscribers see ---
    flap_window_ms: int = 600_000
    flap_budget: int = 4
    """Per flap_window a member (of one boot) costs that many events; beyond, a condition must last."""
    settle_ms: int = 5000
    """How long it must last: settle * 4^k, k = events told beyond the budget."""
    events_max: int = 4096
    """Membership events per handle(); what is beyond is reported as EventsLost."""

    # --- bounds ---
    members_max: int = 4096
    forget_after_ms: int = 7 * 24 * 3600 * 1000
    """The dead and the left stay known (tombstones; the dead are retried) for this long of a process's life, or
    until a full table needs their room."""
    rumours_max: int = 2048
    relays_max: int = 256
    packet_max_bytes: int = 1400
    push_pull_max_bytes: int = 64 * 1024
    persist_interval_ms: int = 5000
    """Changed peers are persisted at most this often; a changed incarnation at once."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value <= 0 and name not in _MAY_BE_ZERO:
                raise ValueError(f"GossipConfig.{name} must be above 0, not {value}")
            if value < 0:
                raise ValueError(f"GossipConfig.{name} must not be negative, not {value}")
        if self.probe_timeout_ms >= self.probe_interval_ms:
            raise ValueError(
                f"GossipConfig.probe_timeout_ms ({self.probe_timeout_ms}) must be below probe_interval_ms "
                f"({self.probe_interval_ms}): indirect probes need the rest of the interval"
            )
        if self.nack_percent >= 100:
            raise ValueError(f"GossipConfig.nack_percent must be below 100, not {self.nack_percent}")
        if self.suspicion_max_mult < 1:
            raise ValueError(
                f"GossipConfig.suspicion_max_mult must be at least 1, not {self.suspicion_max_mult}"
            )
        if self.confirmations >= ACCUSERS_MAX:
            raise ValueError(
                f"GossipConfig.confirmations must be below {ACCUSERS_MAX}, not {self.confirmations}: no accusation "
                "names more accusers"
            )
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Receivers drop what is larger, whatever their own configuration is."""
        if not 1400 <= self.packet_max_bytes <= PACKET_MAX_BYTES:
            raise ValueError(
                f"GossipConfig.packet_max_bytes must be 1400..{PACKET_MAX_BYTES}, not {self.packet_max_bytes}"
            )
        if self.push_pull_max_bytes > PACKET_MAX_BYTES:
            raise ValueError(
                f"GossipConfig.push_pull_max_bytes must be at most {PACKET_MAX_BYTES}, not {self.push_pull_max_bytes}"
            )
        if self.members_max > MEMBERS_MAX:
            raise ValueError(
                f"GossipConfig.members_max must be at most {MEMBERS_MAX}, not {self.members_max}: no message "
                "compares views of more"
            )

    @classmethod
    def local(cls, **changes: float) -> GossipConfig:
        """Processes of one host, over loopback."""
        return _changed(_LOCAL, changes)

    @classmethod
    def lan(cls, **changes: float) -> GossipConfig:
        """One data centre: round trips of a millisecond or so."""
        return _changed(GossipConfig(), changes)

    @classmethod
    def swim(cls, **changes: float) -> GossipConfig:
        """Plain SWIM as Lifeguard's paper compares itself with: the ``lan`` network, alpha = 5, beta = 1."""
        return _changed(_SWIM, changes)

    @classmethod
    def wan(cls, **changes: float) -> GossipConfig:
        """Several sites: round trips of hundreds of milliseconds, loss."""
        return _changed(_WAN, changes)


_MAY_BE_ZERO = frozenset({"lifeguard", "confirmations", "health_max", "flap_budget", "indirect_probes"})


def _changed(base: GossipConfig, changes: dict[str, int | float]) -> GossipConfig:
    unknown = sorted(set(changes) - set(base.__struct_fields__))
    if unknown:
        raise ValueError(
            f"GossipConfig has no knob {unknown[0]!r}: knobs are {', '.join(base.__struct_fields__)}"
        )
    return msgspec.structs.replace(base, **changes)


_LOCAL = GossipConfig(
    probe_interval_ms=250,
    probe_timeout_ms=100,
    suspicion_mult=5.0,
    suspicion_max_mult=5.0,
    gossip_interval_ms=50,
    gossip_to_dead_ms=15_000,
    push_pull_interval_ms=10_000,
    catch_up_ms=100,
    join_retry_ms=100,
    join_retry_max_ms=1000,
    heal_interval_ms=1000,
    watched_neighbours=4,
    lag_ms=100,
    persist_interval_ms=2000,
)

_SWIM = GossipConfig(
    lifeguard=False,
    health_max=0,
    suspicion_mult=5.0,
    suspicion_max_mult=1.0,
    confirmations=0,
    refutation_factor=1.0,
    lag_ms=24 * 3600 * 1000,
)

_WAN = GossipConfig(
    probe_interval_ms=5000,
    probe_timeout_ms=3000,
    suspicion_mult=4.0,
    gossip_interval_ms=500,
    gossip_fanout=4,
    gossip_to_dead_ms=60_000,
    push_pull_interval_ms=60_000,
    catch_up_ms=1000,
    join_retry_ms=2000,
    join_retry_max_ms=15_000,
    heal_interval_ms=3000,
    lag_ms=1500,
    persist_interval_ms=15_000,
)
