"""The messages of the work sockets: frozen, typed, array-like, tagged with a small integer.

A field is only ever added at the end and with a default, and a tag is never given to another message:
a receiver that does not know a tag counts and drops that message alone, so that versions can roll.

Task ids are 16 bytes (see `hubless.placement`). Payloads are the agent's own JSON bytes and are parsed
only where they are used. Durations travel as *remaining* milliseconds, since clocks of nodes differ.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hubless_agents import Failure

_MOST_SHARDS = 4096
MeshId = Annotated[bytes, Meta(min_length=8, max_length=8)]
ShardCount = Annotated[int, Meta(ge=1, le=_MOST_SHARDS)]
Shard = Annotated[int, Meta(ge=0, lt=_MOST_SHARDS)]
Bytes = Annotated[int, Meta(ge=1)]

# -- greeting -----------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """First message on a connection from a client or a joining node; answered with `Welcome`.

    `role` is "client" or "node". The mesh id in the envelope may be empty: the sender does not know it yet.
    """

    role: str
    request: int = 0


class Welcome(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Who answered, and what a newcomer must know.

    `gossip` is "host:port" of the gossip socket. `peers` are work addresses of live members, this node's
    first, for fail-over. `owned` are the shards that this node owns just now: an id minted for one of
    them saves a hop. `payload_bytes` is the largest payload that this node takes.
    """

    request: int
    mesh: MeshId
    node: str
    boot: int
    gossip: str
    shards: ShardCount
    peers: tuple[str, ...]
    owned: tuple[Shard, ...]
    payload_bytes: Bytes = 1024 * 1024


class Refused(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The frame was understood and is not wanted: `code` "mesh_mismatch" | "leaving" | "starting".

    `task` is the submission that is refused, b"" if it was something else.
    """

    code: str
    message: str
    task: bytes = b""


# -- client and gateway -------------------------------------------------------------------------------


class Submit(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A task from a client. Submitting the same id again never makes a second task while its owner lives.

    `deadline_ms` is what remains of the caller's patience; 0 asks for the agent's own deadline.
    `key` is "" for a task without one; a key decides the shard that `task` must carry. `again` says that another
    gateway may have taken the same id before.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ms: int
    again: bool = False


def _check_outcome(payload: bytes | None, failure: Failure | None) -> None:
    if (payload is None) is (failure is None):
        raise ValueError("an outcome has either a payload or a failure: set exactly one of them")


class Answer(Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The outcome of a submitted task. Exactly one of `payload` and `failure` is set.

    `node` ran the last attempt ("" when none ran), `attempt` counts from 1.
    """

    task: bytes
    payload: bytes | None
    failure: Failure | None
    node: str
    attempt: int

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Cancel(Struct, frozen=True, array_like=True, gc=False, tag=12):
    """The client no longer wants the answer."""

    task: bytes


class Ask(Struct, frozen=True, array_like=True, gc=False, tag=13):
    """An operator's question: `what` is "members" | "ring" | "breakers" | "node" | "leave"."""

    request: int
    what: str
    argument: str = ""


class Told(Struct, frozen=True, array_like=True, gc=False, tag=14):
    """The answer to an `Ask`: `body` is JSON bytes, or empty with `failure` set."""

    request: int
    body: bytes
    failure: Failure | None = None


# -- node and node ------------------------------------------------------------------------------------


class Place(Struct, frozen=True, array_like=True, gc=False, tag=20):
    """Gateway to owner: keep this task and see to it. Sent again until settled; known ids are recognised.

    `gateway` is where the outcome goes. `trail` are the nodes that handed it on because they were leaving.
    `boot` is the process that a repetition is meant for, 0 in what is said for the first time: its successor under
    the same name treats the task as `again`. `again`: another owner may have started the task before; `once`: its
    agent must not be started twice. Who does not know a task that is both answers that its effect may have happened.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ms: int
    gateway: str
    trail: tuple[str, ...] = ()
    again: bool = False
    once: bool = False
    boot: int = 0


class Settled(Struct, frozen=True, array_like=True, gc=False, tag=21):
    """Owner to gateway: the task has its one outcome. Exactly one of `payload` and `failure` is set."""

    task: bytes
    payload: bytes | None
    failure: Failure | None
    node: str
    attempt: int

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Assign(Struct, frozen=True, array_like=True, gc=False, tag=22):
    """Owner to executor: run this attempt. The attempt number is the fencing token."""

    task: bytes
    attempt: int
    agent: str
    payload: bytes
    deadline_ms: int
    failures: tuple[Failure, ...] = ()


class Ended(Struct, frozen=True, array_like=True, gc=False, tag=23):
    """Executor to owner: how the attempt ended. Exactly one of `payload` and `failure` is set."""

    task: bytes
    attempt: int
    payload: bytes | None
    failure: Failure | None

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Withdraw(Struct, frozen=True, array_like=True, gc=False, tag=24):
    """Owner to executor, or gateway to owner: nobody waits for this task any more."""

    task: bytes


class Taken(Struct, frozen=True, array_like=True, gc=False, tag=26):
    """Owner to gateway: a task that came through other nodes is here now."""

    task: bytes


class LeavePlease(Struct, frozen=True, array_like=True, gc=False, tag=25):
    """An operator asked, through another node, that the receiver leave the mesh."""

    reason: str


Message = (
    Hello
    | Welcome
    | Refused
    | Submit
    | Answer
    | Cancel
    | Ask
    | Told
    | Place
    | Settled
    | Assign
    | Ended
    | Withdraw
    | Taken
    | LeavePlease
)
