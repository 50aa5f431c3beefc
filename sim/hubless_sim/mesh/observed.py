"""What there is to see of a run of whole nodes with clients, whatever they run on: all that its checkers look at.

``MeshRun`` shows it of simulated nodes, ``hubless_sim.real`` of processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

import msgspec

from hubless.shard.records import Recovered
from hubless.tasks.machine import Machine
from hubless.wire import Told
from hubless_sim.mesh.client import FIRST_QUERY
from hubless_sim.mesh.notes import Answered, GaveUp, Handed, Queried, Receipt, Stray
from hubless_sim.tapes.operations import Call, Query
from hubless_sim.tapes.systems import MeshSystem


class Start(msgspec.Struct, frozen=True):
    """One start of an attempt, as a worker's node saw it."""

    at_ns: int
    node: str
    boot: int
    attempt: int


ClientNote = Answered | Handed | Receipt | Queried | Told | Stray | GaveUp


class Heard:
    """What clients have noted, by the number of the call or query."""

    def __init__(self) -> None:
        self.answers: dict[int, tuple[int, Answered]] = {}
        self.repeats: list[tuple[int, Answered]] = []
        self.handed: dict[bytes, list[tuple[int, int]]] = {}
        self.receipts: dict[bytes, int] = {}
        self.queried: dict[int, tuple[int, bytes]] = {}
        self.replies: dict[int, tuple[int, Told]] = {}
        self.told: dict[int, Told] = {}
        self.strays: list[Stray] = []
        self.given_up: dict[int, int] = {}

    def client_said(self, now_ns: int, value: ClientNote) -> None:
        """Keep a note."""
        match value:
            case Answered(call=call) if call in self.answers:
                self.repeats.append((now_ns, value))
            case Answered(call=call):
                self.answers[call] = (now_ns, value)
            case Handed(call=call, task=task):
                self.handed.setdefault(task, []).append((now_ns, call))
            case Receipt(task=task):
                self.receipts.setdefault(task, now_ns)
            case Queried(query=query, task=task):
                self.queried[query] = (now_ns, task)
            case Told(request=request) if request >= FIRST_QUERY:
                self.replies[request - FIRST_QUERY] = (now_ns, value)
            case Told(request=request):
                self.told[request] = value
            case Stray():
                self.strays.append(value)
            case GaveUp(call=call):
                self.given_up[call] = now_ns


class Observed(Protocol):
    """What clients did and heard, by the number of the call or query, and what nodes hold at the end. Times in ns."""

    @property
    def system(self) -> MeshSystem: ...

    @property
    def calls(self) -> Sequence[Call]: ...

    @property
    def queries(self) -> Sequence[Query]: ...

    @property
    def answers(self) -> Mapping[int, tuple[int, Answered]]: ...

    @property
    def repeats(self) -> Sequence[tuple[int, Answered]]:
        """Answers to a call that was answered before."""
        ...

    @property
    def handed(self) -> Mapping[bytes, Sequence[tuple[int, int]]]:
        """When each task was handed in, and by which call."""
        ...

    @property
    def receipts(self) -> Mapping[bytes, int]: ...

    @property
    def queried(self) -> Mapping[int, tuple[int, bytes]]:
        """When each query was sent, and about which task."""
        ...

    @property
    def replies(self) -> Mapping[int, tuple[int, Told]]: ...

    @property
    def starts(self) -> Mapping[bytes, Sequence[Start]]: ...

    @property
    def misled(self) -> AbstractSet[tuple[bytes, int, bytes]]:
        """What attempts answered, by task and number, that a fault had give other answers than their scripts'."""
        ...

    @property
    def unowned(self) -> Mapping[int, Sequence[str]]:
        """Shards that did not have one owner when they had to, and who took himself for one."""
        ...

    def running(self) -> list[str]:
        """The nodes on which a process runs at the end."""
        ...

    def owners(self) -> Mapping[int, Sequence[str]]:
        """By shard, the nodes that take themselves for its owner at the end."""
        ...

    def machine(self, node: str, shard: int) -> Machine | None:
        """The tasks of a shard as a running node has them, if it replicates it."""
        ...

    def journals(self) -> Iterator[tuple[str, Sequence[Recovered]]]:
        """By the id of each running node (a wiped disk is another node), what its disk holds."""
        ...

    def unfinished(self) -> Mapping[str, Any]:
        """The running nodes that have something under way, and what."""
        ...
