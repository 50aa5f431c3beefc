"""What numbers in a tape may be, by the names of their fields, and where one is out of its bounds."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from hubless_sim.faults import MAX_MS

MAX_BYTES = 8 * 1024 * 1024
MAX_US = 60_000_000
_MAX_PPM = 100_000
_MOST = 2**31
_TIME = (0, MAX_MS)
_PAUSE = (1, MAX_MS)

Bounds = Mapping[str, tuple[float, float]]

FAULTS: Bounds = {
    "awake_ms": _TIME,
    "base_us": (0, MAX_US),
    "blocked_ms": _TIME,
    "by_ms": (-MAX_MS, MAX_MS),
    "by": (1, _MOST),
    "bytes_per_s": (1, 10**12),
    "down_ms": _PAUSE,
    "factor": (2, 100_000),
    "jitter_us": (0, MAX_US),
    "late_ms": _PAUSE,
    "mb": (1, 1_000_000),
    "most_bytes": (1, MAX_BYTES),
    "ppm": (-_MAX_PPM, _MAX_PPM),
    "rate": (0, 1),
    "room_bytes": (0, MAX_BYTES),
    "shard": (0, 4_095),
    "up_ms": _PAUSE,
}
SYSTEMS: Bounds = {
    "deadline_ms": _PAUSE,
    "from_ms": _TIME,
    "give_up_ms": _PAUSE,
    "keys": (1, 10_000),
    "knobs": _TIME,
    "most_moves": (0, 4_096),
    "owned_ms": _TIME,
    "patience_ms": _PAUSE,
    "pause_ms": _PAUSE,
    "probe_give_up_ms": _PAUSE,
    "probe_ms": _TIME,
    "replicas": (1, 99),
    "ring_ms": _TIME,
    "settled_ms": _TIME,
    "shards": (1, 4_096),
    "until_ms": _TIME,
    "writes": (0, 1),
}
"""What the cores check themselves of their own settings is not here."""
OPERATIONS: Bounds = {
    "at_ms": _TIME,
    "call": (0, 9_999),
    "cancel_after_ms": _TIME,
    "deadline_ms": _PAUSE,
    "load": (0, 255),
    "ms": _TIME,
    "n": (-_MOST, _MOST),
    "repeat_after_ms": _TIME,
}


class Beyond(NamedTuple):
    """A number that is out of its bounds, and its place in the document."""

    where: str
    value: float
    least: float
    most: float


def beyond(where: str, part: msgspec.Struct, bounds: Bounds) -> Iterator[Beyond]:
    """The numbers of a part of a tape, and of the parts in it, that are out of bounds."""
    for name in part.__struct_fields__:
        yield from _beyond(f"{where}.{name}", name, getattr(part, name), bounds)


def _beyond(where: str, name: str, value: Any, bounds: Bounds) -> Iterator[Beyond]:
    match value:
        case msgspec.Struct():
            yield from beyond(where, value, bounds)
        case tuple():
            for place, each in enumerate(value):
                yield from _beyond(f"{where}[{place}]", name, each, bounds)
        case dict():
            for key, each in value.items():
                yield from _beyond(f"{where}.{key}", name, each, bounds)
        case int() | float() if name in bounds:
            least, most = bounds[name]
            if not least <= value <= most:
                yield Beyond(where, value, least, most)
        case _:
            pass
