"""The states of one breaker and the moves between them, as data. Everything else only asks this table.

Rules:

* `TRANSITIONS[state][cause]` is the state after; a cause that is not listed cannot happen in that state.
* Only `closed -> open` takes a peer out of its pool, so only that move needs the pool's leave (`breakers.py`).
* Whatever is not closed counts as taken out, half-open too.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hubless.guard.permit import State


class Evidence(enum.Enum):
    """What needs no statistics: one observation is enough."""

    GONE = "gone"
    REFUSED = "refused"
    BAD_SIGNATURE = "bad_signature"


class Charge(enum.Enum):
    """Whom an outcome is charged to, or credited."""

    LINK = "link"
    """No answer came: a failure of the link and of (peer, agent)."""
    AGENT = "agent"
    """The peer answered that it could not run the agent: a failure of (peer, agent), a success of the link."""
    ANSWERED = "answered"
    """The peer did its part: a success of both, whatever is wrong with the input or the agent's version."""
    DECLINED = "declined"
    """The peer had no room: a success of the link, nothing said about (peer, agent)."""
    NOTHING = "nothing"
    """Nobody's doing: the caller gave up."""


CHARGES: Final[Mapping[str, Charge]] = MappingProxyType(
    {
        "unreachable": Charge.LINK,
        "expired": Charge.LINK,
        "deadline": Charge.AGENT,
        "worker_died": Charge.AGENT,
        "out_of_memory": Charge.AGENT,
        "quarantined": Charge.AGENT,
        "raised": Charge.ANSWERED,
        "bad_output": Charge.ANSWERED,
        "bad_input": Charge.ANSWERED,
        "payload_too_large": Charge.ANSWERED,
        "refused": Charge.ANSWERED,
        "overloaded": Charge.DECLINED,
        "no_executor": Charge.DECLINED,
        "unknown_agent": Charge.DECLINED,
        "cancelled": Charge.NOTHING,
    }
)
"""Failure code -> charge; a code from a newer peer counts as answered."""


class Cause(enum.Enum):
    """Why a breaker moves."""

    RATE = "rate"
    HARD = "hard"
    DUE = "due"
    PROBE_SUCCEEDED = "probe_succeeded"
    PROBE_FAILED = "probe_failed"
    LEASE_EXPIRED = "lease_expired"


_CLOSED: Final[Mapping[Cause, State]] = {
    Cause.RATE: State.OPEN,
    Cause.HARD: State.OPEN,
}
_OPEN: Final[Mapping[Cause, State]] = {
    Cause.DUE: State.HALF_OPEN,
}
_HALF_OPEN: Final[Mapping[Cause, State]] = {
    Cause.PROBE_SUCCEEDED: State.CLOSED,
    Cause.PROBE_FAILED: State.OPEN,
    Cause.LEASE_EXPIRED: State.OPEN,
    Cause.HARD: State.OPEN,
}
TRANSITIONS: Final[Mapping[State, Mapping[Cause, State]]] = MappingProxyType(
    {
        State.CLOSED: MappingProxyType(_CLOSED),
        State.OPEN: MappingProxyType(_OPEN),
        State.HALF_OPEN: MappingProxyType(_HALF_OPEN),
    }
)
