"""Owners on n0; the desk that plays everybody else lies beside the tests that use it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubless.view import View
from hubless_gossip import Member

sys.path.insert(0, str(Path(__file__).parent))

from owner_desk import Desk, LateLog


@pytest.fixture
def room_of(view_of: Callable[..., View]) -> Callable[..., Desk]:
    """An owner among these members; nothing is decided by itself."""
    return lambda *members, **options: Desk(view_of(*members), LateLog(), is_prompt=False, **options)


@pytest.fixture
def room(room_of: Callable[..., Desk], member: Callable[..., Member]) -> Desk:
    """n0 owns and runs no agents; n1, n2 and n3 offer `echo` and `once`."""
    return room_of(member("n0", offers=()), member("n1"), member("n2"), member("n3"))
