"""How long those that are gone stay known."""

from __future__ import annotations

from typing import Any

import pytest

from hubless_gossip import GossipConfig, LeaveRequested

CONFIG = GossipConfig.local(forget_after_ms=60_000)


@pytest.mark.parametrize("is_left", [False, True])
def test_the_dead_and_the_left_are_forgotten_in_time(lockstep: Any, is_left: bool) -> None:
    """The left were kept for ever unless somebody was dead, too."""
    net = lockstep(CONFIG)
    for number in range(4):
        net.start(f"n{number}", *(["n0"] if number else []))
    net.run(3)
    if is_left:
        net.give("n3", LeaveRequested())
        net.run(3)
    net.kill("n3")
    net.run(50)
    assert all(core.member("n3") is not None for core in net.cores.values())
    net.run(20)
    assert all(core.member("n3") is None for core in net.cores.values())
