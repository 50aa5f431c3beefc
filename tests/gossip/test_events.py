"""What is handed to the shell and comes back from it after a restart."""

from __future__ import annotations

import pytest

from hubless_gossip import Address, Peer, Remembered


def test_remembered_survives_and_garbage_is_refused() -> None:
    remembered = Remembered(9, (Peer("a", 1, Address("h", 2)),))
    assert Remembered.from_bytes(remembered.to_bytes()) == remembered
    for raw in (b"", b"garbage", b"\xc0", remembered.to_bytes()[:-1]):
        with pytest.raises(ValueError, match="remembered"):
            Remembered.from_bytes(raw)
