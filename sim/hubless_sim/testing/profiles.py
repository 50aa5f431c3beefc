"""Timing of a simulated mesh: what its nodes are configured for, and the network between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec

from hubless.shard.settings import ReplicasSettings
from hubless_sim.tapes.tape import Conditions

ProfileName = Literal["local", "lan", "wan", "quiet"]
_S = 1_000_000_000


class Profile(msgspec.Struct, frozen=True):
    """``preset`` and ``knobs`` are those of gossip."""

    preset: str
    replicas: ReplicasSettings
    links: Conditions
    knobs: dict[str, int | float | bool] = {}


_LOCAL = ReplicasSettings.local()
_QUIET_REPLICAS = replace(
    _LOCAL,
    beat_ns=10 * _S,
    enquire_ns=120 * _S,
    raft=replace(_LOCAL.raft, election_ns=100 * _S, resend_ns=5 * _S),
)

PROFILES: dict[str, Profile] = {
    "local": Profile("local", _LOCAL, Conditions(base_us=50, jitter_us=50)),
    "lan": Profile("lan", ReplicasSettings.lan(), Conditions(base_us=250, jitter_us=250)),
    "wan": Profile("wan", ReplicasSettings.wan(), Conditions(base_us=40_000, jitter_us=5_000)),
    "quiet": Profile(
        "lan",
        _QUIET_REPLICAS,
        Conditions(base_us=250, jitter_us=250),
        {
            "probe_interval_ms": 30_000,
            "gossip_interval_ms": 500,
            "push_pull_interval_ms": 600_000,
            "heal_interval_ms": 10_000,
            "persist_interval_ms": 60_000,
        },
    ),
}
"""``local``: processes of one machine; ``lan``: one data centre; ``wan``: several sites.

``quiet`` is for tests that let hours pass: nodes talk as little as they can. A death that resets connections is still
seen at once, a silent one only after minutes.
"""
