"""Knobs that cannot work together are refused by name."""

from __future__ import annotations

import pytest

from hubless_gossip import GossipConfig


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"probe_interval_ms": 0}, "probe_interval_ms"),
        ({"probe_timeout_ms": 5000}, "probe_timeout_ms"),
        ({"nack_percent": 100}, "nack_percent"),
        ({"suspicion_max_mult": 0.5}, "suspicion_max_mult"),
        ({"packet_max_bytes": 100}, "packet_max_bytes"),
        ({"packet_max_bytes": 65_537}, "packet_max_bytes"),
        ({"push_pull_max_bytes": 65_537}, "push_pull_max_bytes"),
        ({"members_max": 4097}, "members_max"),
        ({"confirmations": 4}, "confirmations"),
        ({"no_such_knob": 1}, "no_such_knob"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_name(changes: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        GossipConfig.lan(**changes)
