"""Chance as a pure function: the n-th draw on a stream is a hash of (seed, stream, n).

A shared generator would couple unrelated messages: take one message away and every later draw
changes.  Here a draw depends on its own coordinates alone, so removing a fault from a tape leaves
every message outside the fault's causal future as it was, and tapes shrink well.

The mixer is splitmix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014): integers only, equal on every machine and Python.
"""

import math

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB

UNIT_BITS = 20
UNIT = 1 << UNIT_BITS
"""Probabilities are compared as integers out of this many: a resolution of one in a million."""

_TAIL_BITS = 12
_TAIL_MASK = (1 << _TAIL_BITS) - 1
_TAIL_SCALE = 16
_TAIL = tuple(
    round(-math.log(1.0 - (step + 0.5) / (1 << _TAIL_BITS)) * (1 << _TAIL_SCALE))
    for step in range(1 << _TAIL_BITS)
)


def mix(value: int) -> int:
    """Scramble a 64-bit integer."""
    value = ((value ^ (value >> 30)) * _FIRST) & MASK
    value = ((value ^ (value >> 27)) * _SECOND) & MASK
    return value ^ (value >> 31)


def stream(seed: int, *coordinates: int) -> int:
    """The key of one stream of draws; its n-th draw is ``draw(key, n)``."""
    key = mix((seed + GOLDEN) & MASK)
    for coordinate in coordinates:
        key = mix((key + (coordinate + 1) * GOLDEN) & MASK)
    return key


def draw(key: int, number: int) -> int:
    """The n-th 64-bit draw of a stream."""
    value = (key + number * GOLDEN) & MASK  # and then as `mix`, without another call for each message
    value = ((value ^ (value >> 30)) * _FIRST) & MASK
    value = ((value ^ (value >> 27)) * _SECOND) & MASK
    return value ^ (value >> 31)


def threshold(probability: float) -> int:
    """The integer that a UNIT_BITS-bit draw must stay below for an event of this probability."""
    return round(probability * UNIT)


def tail_ns(jitter_ns: int, bits: int) -> int:
    """An exponentially distributed share of ``jitter_ns`` (its mean), from the low bits of a draw.

    Taken from a table of 4,096 quantiles in fixed point: at most 9 times the mean, and the same
    integer everywhere.
    """
    return (jitter_ns * _TAIL[bits & _TAIL_MASK]) >> _TAIL_SCALE
