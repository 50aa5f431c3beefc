"""What the processes around a mesh are given to start with, and the JSON lines that they say."""

from typing import Any

import msgspec

from hubless.wire import Told
from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Queried, Receipt, Stray
from hubless_sim.mesh.observed import ClientNote
from hubless_sim.tapes.tape import Tape

_KINDS: dict[str, type[ClientNote]] = {
    kind.__name__: kind for kind in (Answered, Handed, Receipt, Queried, Told, Stray, GaveUp)
}


class ClientSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What a client process must know. ``epoch`` is a file that will hold the time that is 0 in the tape, in ns of
    CLOCK_MONOTONIC; ``mesh`` is hexadecimal.
    """

    tape: Tape
    node: int
    mesh: str
    addresses: tuple[str, ...]
    epoch: str
    parent: int


def read_note(event: dict[str, Any]) -> tuple[int, ClientNote]:
    """When a note was made, in ns of CLOCK_MONOTONIC, and the note."""
    return event["at_ns"], msgspec.convert(event["note"], type=_KINDS[event["kind"]])


class OnlookerSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What the process must know; ``mesh`` is hexadecimal."""

    mesh: str
    addresses: tuple[str, ...]
    parent: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What nodes said after ``at_ns`` (CLOCK_MONOTONIC), by their number: the shards that each owns, and what it has
    under way, if anything.
    """

    at_ns: int
    owned: dict[int, tuple[int, ...]]
    unfinished: dict[int, dict[str, int]]
