"""What a breaker answers when somebody asks to send work to a peer."""

import enum

import msgspec


class State(enum.Enum):
    """State of one breaker: `closed` lets calls through, `open` none, `half_open` one probe at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Link(msgspec.Struct, frozen=True, gc=False, order=True, tag="link"):
    """Scope of everything that goes over the link to one peer."""

    peer: str


class PeerAgent(msgspec.Struct, frozen=True, gc=False, order=True, tag="peer_agent"):
    """Scope of one agent's calls on one peer."""

    peer: str
    agent: str


Scope = Link | PeerAgent
"""What a breaker guards. The scope of an agent's version joins this union when answers can be judged."""


class Permit(msgspec.Struct, frozen=True, gc=False):
    """Leave for one call; hand it back with the call's outcome.

    `serial` is unique within the `Breakers` that gave it. `probe` says that the call is the one trial that a
    half-open breaker lets through; its lease ends at `lease_until_ns` (0 when it is no probe).
    """

    serial: int
    peer: str
    agent: str
    probe: bool = False
    lease_until_ns: int = 0


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The breaker of `scope` keeps calls from this peer until `retry_at_ns` at the earliest."""

    scope: Scope
    state: State
    retry_at_ns: int
