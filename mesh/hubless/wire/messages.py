"""The messages of the work sockets: frozen, typed, array-like, tagged with a small integer.

A field is only ever added at the end and with a default, and a tag is never given to another message:
a receiver that does not know a tag counts and drops that message alone, so that versions can roll.

Task ids are 16 bytes (see `hubless.placement`); what clients send as one is checked by the gateway, which says what
is wrong with it. Payloads are the agent's own JSON bytes and are parsed
only where they are used. Durations travel as *remaining* milliseconds, since clocks of nodes differ.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from hubless.wire.replication import (
    Append,
    Appended,
    AskVote,
    Beat,
    BeatAnswer,
    Count,
    Dismissed,
    Install,
    Installed,
    Orphaned,
    TimeoutNow,
    Vote,
)
from hubless_agents import Failure

_MOST_SHARDS = 4096
TaskId = Annotated[bytes, Meta(min_length=16, max_length=16)]
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
    them saves a hop; `reachable` those whose owner it knows and believes to be there. `payload_bytes` is the largest
    payload that this node takes.
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
    reachable: tuple[Shard, ...] = ()


class Refused(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The frame was understood and is not wanted: `code` "mesh_mismatch" | "leaving" | "starting" | "no_quorum".

    `task` is the submission that is refused, b"" if it was something else; it has had no effect through this node,
    unless `may_be_known`: then its shard's owner may have it, and it must keep its id. "no_quorum": its shard cannot be
    reached from here, another one may be (`Welcome.reachable`), and so may the same one from elsewhere.
    """

    code: str
    message: str
    task: bytes = b""
    may_be_known: bool = False


# -- client and gateway -------------------------------------------------------------------------------


class Durability(IntEnum):
    """Where a task is kept: as its agent says, nowhere but with its gateway, or by its shard's replicas."""

    OF_AGENT = 0
    NONE = 1
    REPLICATED = 2


class ShardChoice(IntEnum):
    """What a task has to do with the shard of its id.

    Another would do as well; or its key or name decides it; and with `AT_ONCE` its caller does not wait for that shard.
    """

    FREE = 0
    FIXED = 1
    AT_ONCE = 2


class Submit(Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A task from a client. Submitting the same id again never makes a second task while it is kept.

    `deadline_ms` is what remains of the caller's patience; 0 asks for the agent's own deadline.
    `key` is "" for a task without one; a key decides the shard that `task` must carry. `again` says that another
    gateway may have taken the same id before, `age_ms` ago at most. `durability` is one of `Durability`; `receipt` asks
    for an `Accepted`. `shard` is one of `ShardChoice`.
    """

    task: bytes
    agent: str
    key: str
    payload: bytes
    deadline_ms: int
    again: bool = False
    durability: Durability = Durability.OF_AGENT
    receipt: bool = False
    age_ms: int = 0
    shard: ShardChoice = ShardChoice.FREE


def _check_outcome(payload: bytes | None, failure: Failure | None) -> None:
    if (payload is None) is (failure is None):
        raise ValueError("an outcome has either a payload or a failure: set exactly one of them")


class Answer(Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The outcome of a submitted task. Exactly one of `payload` and `failure` is set.

    `node` ran the last attempt ("" when none ran), `attempt` counts from 1. `provisional`: the gateway saw to the task
    by itself since its shard was not within reach; another outcome may turn out to have been the first.
    """

    task: bytes
    payload: bytes | None
    failure: Failure | None
    node: str
    attempt: int
    provisional: bool = False

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Cancel(Struct, frozen=True, array_like=True, gc=False, tag=12):
    """The client no longer wants the answer. `alone`: nor can anybody else, wherever and however often it was
    submitted: nobody has the id but this client.
    """

    task: bytes
    alone: bool = False


class Accepted(Struct, frozen=True, array_like=True, gc=False, tag=15):
    """The receipt: a majority of the shard's replicas has the submission on disk. Sent if it was asked for."""

    task: bytes


class Ask(Struct, frozen=True, array_like=True, gc=False, tag=13):
    """An operator's question or order. `what` is

    "members" | "ring" | "breakers" | "node"       what the asked node believes
    "shards" | "tasks" | "dead_letters"            put together from what all nodes say
    "status" | "result" | "cancel" | "retry"       of the task whose id (hexadecimal) is `argument`
    "leave" | "drain"                              of the node named by `argument`
    "fork"                                         of the shard numbered by `argument`
    """

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

    `gateway` is where the outcome goes. `trail` are the nodes that handed it on because they did not own its shard.
    `receipt` asks for a `Taken` as soon as the task cannot be lost any more. `is_kept` is False for a task that no
    shard keeps: it never leaves its gateway's node, and of such a task `again` says that another gateway may have
    started it before, `once` that its agent must not be started twice. `apart`: the gateway's own node is to see to it,
    since no owner is within reach; such a message never leaves its node either. `age_ms`: how long ago an owner may
    first have been given the task, 0 if none was: what runs `once` and may be forgotten since is not taken.
    """

    task: TaskId
    agent: str
    key: str
    payload: bytes
    deadline_ms: int
    gateway: str
    trail: tuple[str, ...] = ()
    receipt: bool = False
    is_kept: bool = True
    again: bool = False
    once: bool = False
    apart: bool = False
    age_ms: int = 0


class Settled(Struct, frozen=True, array_like=True, gc=False, tag=21):
    """Owner to gateway: the task has its one outcome. Exactly one of `payload` and `failure` is set.

    `provisional` as in `Answer`.
    """

    task: TaskId
    payload: bytes | None
    failure: Failure | None
    node: str
    attempt: int
    provisional: bool = False

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Assign(Struct, frozen=True, array_like=True, gc=False, tag=22):
    """Owner to executor: run this attempt. The attempt number is the fencing token.

    `term` is that in which the sender owns the task's shard, 0 for a task that no shard keeps. `submitted_ms`, by the
    clock of its first owner, tells it from a task that had the same id before and is forgotten. `boot` is the process
    that the attempt was given to, 0 if that is not known: the next one of the node must not run it.
    """

    task: TaskId
    attempt: int
    agent: str
    payload: bytes
    deadline_ms: int
    failures: tuple[Failure, ...] = ()
    term: int = 0
    submitted_ms: int = 0
    boot: int = 0


class Ended(Struct, frozen=True, array_like=True, gc=False, tag=23):
    """Executor to owner: how the attempt ended. Exactly one of `payload` and `failure` is set."""

    task: TaskId
    attempt: int
    payload: bytes | None
    failure: Failure | None

    def __post_init__(self) -> None:
        _check_outcome(self.payload, self.failure)


class Recall(Struct, frozen=True, array_like=True, gc=False, tag=29):
    """Owner to executor: the attempt is no longer wanted. `term` as in the `Assign` that ordered it."""

    task: TaskId
    attempt: int
    term: int = 0


class Withdraw(Struct, frozen=True, array_like=True, gc=False, tag=24):
    """Gateway to owner: its client no longer wants this task. `alone` as in `Cancel`: nor do others'."""

    task: TaskId
    alone: bool = False


class Taken(Struct, frozen=True, array_like=True, gc=False, tag=26):
    """Owner to gateway: the task is kept here, and not lost as long as a majority of the shard's replicas is not.

    `provisional`: it is in this node's own journal and nowhere else.
    """

    task: TaskId
    provisional: bool = False


class Moved(Struct, frozen=True, array_like=True, gc=False, tag=27):
    """The answer to a `Place` that reached a node which does not own the shard and cannot hand it on.

    `owner` in `term` is the best that the sender knows; "" for nobody.
    """

    task: TaskId
    term: Count
    owner: str


class Owns(Struct, frozen=True, array_like=True, gc=False, tag=28):
    """To everybody: the sender has become the owner of these shards: (shard, term)."""

    led: tuple[tuple[Shard, Count], ...]


class Enter(Struct, frozen=True, array_like=True, gc=False, tag=32):
    """Node to owner: how a task ended that I saw to while its shard was not within reach. Sent again until `EnterDone`.

    `digest` stands for the payload of a task that succeeded. The result is None if there is a failure, and only then.
    I took the task at `submitted_ms`, in unix time; 0 if I do not say.
    """

    task: TaskId
    agent: str
    key: str
    payload: bytes
    digest: int
    result: bytes | None
    failure: Failure | None
    submitted_ms: Count = 0

    def __post_init__(self) -> None:
        _check_outcome(self.result, self.failure)


class EnterDone(Struct, frozen=True, array_like=True, gc=False, tag=33):
    """Owner to node: the shard has your outcome of this task, as its result or as superseded."""

    task: TaskId


class Whose(Struct, frozen=True, array_like=True, gc=False, tag=34):
    """Node to replica: who owns this shard?"""

    shard: Shard


class OwnedBy(Struct, frozen=True, array_like=True, gc=False, tag=35):
    """The answer to `Whose`: `owner`, perhaps the sender, in `term` is the best that it knows; "" for nobody."""

    shard: Shard
    term: Count
    owner: str


class Consult(Struct, frozen=True, array_like=True, gc=False, tag=30):
    """Node to node: an operator's question or order that the receiver can answer (see `Ask`)."""

    request: int
    what: str
    argument: str = ""


class Consulted(Struct, frozen=True, array_like=True, gc=False, tag=31):
    """The answer to a `Consult`: `body` is JSON bytes, or empty with `failure` set."""

    request: int
    body: bytes
    failure: Failure | None = None


class LeavePlease(Struct, frozen=True, array_like=True, gc=False, tag=25):
    """An operator asked, through another node, that the receiver leave the mesh.

    `drain`: not before others keep what it keeps, however long that takes.
    """

    reason: str
    drain: bool = False


Message = (
    Hello
    | Welcome
    | Refused
    | Submit
    | Answer
    | Accepted
    | Cancel
    | Ask
    | Told
    | Place
    | Settled
    | Assign
    | Ended
    | Recall
    | Withdraw
    | Taken
    | Moved
    | Owns
    | Enter
    | EnterDone
    | Whose
    | OwnedBy
    | Consult
    | Consulted
    | LeavePlease
    | Append
    | Appended
    | AskVote
    | Vote
    | Install
    | Installed
    | TimeoutNow
    | Beat
    | BeatAnswer
    | Orphaned
    | Dismissed
)
