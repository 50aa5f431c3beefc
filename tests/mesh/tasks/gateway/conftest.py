"""A gateway on n0; the room that plays everybody else lies beside the tests that use it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubless.view import View
from hubless_gossip import Member

sys.path.insert(0, str(Path(__file__).parent))

from gateway_room import Room


@pytest.fixture
def room(view_of: Callable[..., View], member: Callable[..., Member]) -> Room:
    return Room(view_of(member("n0"), member("n1"), member("n2")))
