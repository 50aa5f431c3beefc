"""Lifeguard section IV-A: relays that say nack show a node that the silence of another is not its own fault."""

from __future__ import annotations

from typing import Any

import pytest

from hubless_gossip import Condition, GossipConfig


@pytest.mark.parametrize("config", [GossipConfig.local(), GossipConfig.lan(), GossipConfig.wan()])
def test_nacks_come_before_the_verdict(lockstep: Any, config: GossipConfig) -> None:
    """With the timeouts of `wan` they came after it, and everybody distrusted itself for each dead member."""
    net = lockstep(config, latency_ms=config.probe_timeout_ms / 50, monitored=False)
    for number in range(8):
        net.start(f"n{number}", *(["n0"] if number else []))
    net.run(20)
    net.kill("n3")
    worst = 0
    while any(net.sees(name, "n3") is not Condition.DEAD for name in net.cores):
        assert net.now < 600e9
        net.run(1)
        worst = max(worst, *(core.health_score for core in net.cores.values()))
    assert worst == 0
