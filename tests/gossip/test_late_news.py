"""Statements whose rumours did not reach everybody."""

from __future__ import annotations

from typing import Any

import msgspec

from hubless_gossip import GossipConfig, MetaChanged


def test_a_statement_whose_rumour_runs_out_too_early_is_asked_for(lockstep: Any) -> None:
    """As in a cut that is over before anybody is suspected."""
    config = msgspec.structs.replace(GossipConfig.local(), retransmit_mult=0.01, push_pull_interval_ms=60_000)
    net = lockstep(config)
    for number in range(10):
        net.start(f"n{number}", *(["n0"] if number else []))
    while not net.agree():
        net.run(1)
    net.give("n3", MetaChanged(b"agents"))
    net.run(3)
    assert {core.member("n3").meta for core in net.cores.values()} == {b"agents"}
