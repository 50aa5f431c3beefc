"""The nodes that a client knows: which are connected, which take the next task, and when to dial again."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from hubless.wire import Submit

_MS = 1_000_000
_FIRST_REDIAL_NS = 100 * _MS
_LONGEST_REDIAL_NS = 2_000 * _MS
_MOST_LEARNED = 64
_RUN = 16


class Dial(Struct, frozen=True):
    """Asks the shell to open a connection to `address` and greet it, and to report `received` or `lost`."""

    address: str


class HangUp(Struct, frozen=True):
    """Asks the shell to close the connection to `address`, with whatever is queued for it."""

    address: str


LinkEffect = Dial | HangUp


class Phase(enum.Enum):
    """Where the connection to a gateway stands."""

    DOWN = "down"
    DIALLING = "dialling"
    UP = "up"


class TroubleKind(enum.Enum):
    """Why a connection could not be made or was lost."""

    GONE = "gone"
    """Connection refused or reset, or heartbeats unanswered."""
    STRANGER = "stranger"
    """Somebody listens there and does not speak this protocol."""
    SILENT = "silent"
    """Connected, and no word."""
    ABSENT = "absent"
    """Not connected just now: nothing was sent there."""
    REFUSED = "refused"
    VERSION = "version"
    MESH = "mesh"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an address; `text` is told to people and complete in itself."""

    kind: TroubleKind
    text: str


@dataclass(slots=True, eq=False)
class Gateway:
    """One work address. `given` by the user, or learned from a node's welcome.

    `declines` says why it takes no new tasks although it is connected: "leaving", "starting" or "". It answers
    those that it has. `unanswered` counts greetings since its last word, `news_ns` is when it may be asked out of
    turn again. `owned` are shards that the node owns, `reachable` those whose owner it can reach, as it last said.
    """

    address: str
    given: bool
    phase: Phase = Phase.DOWN
    declines: str = ""
    owned: tuple[int, ...] = ()
    reachable: tuple[int, ...] = ()
    minted: int = 0
    submits: dict[bytes, Submit] = field(default_factory=dict)
    trouble: Trouble | None = None
    redial_ns: int = 0
    redial_after_ns: int = _FIRST_REDIAL_NS
    greeted_ns: int = 0
    unanswered: int = 0
    news_ns: int = 0

    def next_shard(self) -> int | None:
        """A shard for a new id: one that this node owns, else one that it reaches; None when it named neither.

        Sixteen ids in a row get the same one, then the next has its turn: tasks of one shard that arrive together are
        replicated together.
        """
        shards = self.owned or self.reachable
        if not shards:
            return None
        self.minted += 1
        return shards[self.minted // _RUN % len(shards)]


class Gateways:
    """All known gateways, in the order in which the user gave them, then as learned.

    New work goes to connected gateways that the user named, those that reach no shard excepted while others do; learned
    ones serve while none of those is connected. With `is_short`, learned ones are connected too: the named ones do not
    reach all that is wanted.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._all = {address: Gateway(address, given=True) for address in addresses}
        self._serving: list[Gateway] = []
        self._turn = 0
        self.is_short = False

    def __getitem__(self, address: str) -> Gateway:
        return self._all[address]

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    @property
    def serving(self) -> Sequence[Gateway]:
        """The gateways that take new work now."""
        return self._serving

    def learn(self, addresses: Sequence[str]) -> None:
        """Remembers addresses of members, for fail-over; at most 64 beyond the user's own."""
        for address in addresses:
            if address not in self._all:
                learned = sum(not gateway.given for gateway in self._all.values())
                if learned >= _MOST_LEARNED:
                    self._forget_one_learned()
                self._all[address] = Gateway(address, given=False)

    def moved(self, gateway: Gateway, phase: Phase, now_ns: int) -> None:
        """Notes a change of phase, with its time, and sets the next dialling time of a lost gateway."""
        gateway.phase = phase
        gateway.declines = ""
        gateway.unanswered = 0
        gateway.greeted_ns = now_ns
        if phase is Phase.UP:
            gateway.redial_after_ns = _FIRST_REDIAL_NS
            gateway.trouble = None
        elif phase is Phase.DOWN:
            gateway.redial_ns = now_ns + gateway.redial_after_ns
            gateway.redial_after_ns = min(2 * gateway.redial_after_ns, _LONGEST_REDIAL_NS)
        self._choose_serving()

    def declined(self, gateway: Gateway, why: str) -> None:
        """Notes that a connected gateway takes no new tasks; "" that it does again."""
        gateway.declines = why
        self._choose_serving()

    def reaches(self, gateway: Gateway, owned: tuple[int, ...], reachable: tuple[int, ...]) -> None:
        """Notes which shards a gateway owns, and which it reaches."""
        gateway.owned, gateway.reachable = owned, reachable
        self._choose_serving()

    def lost_shard(self, gateway: Gateway, shard: int) -> None:
        """Takes back what a gateway said of this shard, until it says more."""
        owned = tuple(other for other in gateway.owned if other != shard)
        self.reaches(gateway, owned, tuple(other for other in gateway.reachable if other != shard))

    def choose(self) -> Gateway | None:
        """The gateway for the next task: of the next two in turn, the one with less in flight."""
        serving = self._serving
        if not serving:
            return None
        self._turn = (self._turn + 1) % len(serving)
        first, second = serving[self._turn - 1], serving[self._turn]
        return first if len(first.submits) < len(second.submits) else second

    def choose_reaching(self, shard: int | None) -> Gateway | None:
        """The next gateway, learned ones too, that said to reach this shard (None: any shard); else the next of all."""
        reaching = [known for known in self._willing() if _reaches(known, shard)]
        if not reaching:
            return self.choose()
        self._turn += 1
        return reaching[self._turn % len(reaching)]

    def reach(self, shard: int | None) -> bool:
        """Whether any gateway said to reach this shard (None: any shard)."""
        return any(_reaches(known, shard) for known in self._willing())

    def to_dial(self, now_ns: int) -> list[Gateway]:
        """Gateways whose time to be dialled has come: the given ones, and all while none serves."""
        return [known for known in self._wanted() if known.redial_ns <= now_ns]

    def next_redial_ns(self) -> int | None:
        """When `to_dial` next has something."""
        return min((known.redial_ns for known in self._wanted()), default=None)

    def superfluous(self) -> list[Gateway]:
        """Learned gateways that are connected, idle and not needed, since a given one serves."""
        if self.is_short or not any(known.given for known in self._serving):
            return []
        return [
            known
            for known in self._all.values()
            if known.phase is not Phase.DOWN and not known.given and not known.submits
        ]

    def _choose_serving(self) -> None:
        willing = self._willing()
        given = [known for known in willing if known.given]
        self._serving = [known for known in given if _reaches(known, None)] or given or willing

    def _willing(self) -> list[Gateway]:
        return [known for known in self._all.values() if known.phase is Phase.UP and not known.declines]

    def _wanted(self) -> list[Gateway]:
        wants_all = self.is_short or not self._serving
        return [
            known for known in self._all.values() if known.phase is Phase.DOWN and (known.given or wants_all)
        ]

    def _forget_one_learned(self) -> None:
        for address, gateway in self._all.items():
            if not gateway.given and gateway.phase is Phase.DOWN:
                del self._all[address]
                return


def _reaches(gateway: Gateway, shard: int | None) -> bool:
    if shard is None:
        return bool(gateway.owned or gateway.reachable)
    return shard in gateway.reachable or shard in gateway.owned
