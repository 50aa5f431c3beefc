"""The client's core: its connections, what it asks of them, and what they say. No I/O, no clock.

The shell performs the returned effects, sends what `frames` yields, and calls `due` when `next_deadline_ns` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hubless.client.calls import Calls
from hubless.client.gateways import Dial, Gateway, Gateways, HangUp, LinkEffect, Phase, Trouble, TroubleKind
from hubless.client.questions import Questions
from hubless.placement import shard_of_task
from hubless.wire import (
    Accepted,
    Answer,
    Ask,
    Cancel,
    Envelope,
    Hello,
    Refused,
    Submit,
    Told,
    Welcome,
    limits_for,
)
from hubless.wire.outbox import Outbox

_MS = 1_000_000
_GREET_EVERY_NS = 5_000 * _MS
_ASK_AGAIN_NS = 200 * _MS
_NEWS_EVERY_NS = 20 * _MS
_SILENT_AFTER_GREETINGS = 2
_FOR_NOW = ("leaving", "starting")


class Session:
    """All that one client has under way in one mesh: `calls` and `questions`, and the connections that carry them.

    Args:
        addresses: work addresses that the user named, at least one.
        entropy: returns n random bytes, for task ids.
        mesh: the mesh that must answer; b"" takes the mesh of the first node that does.
        patience_ns: how long unanswered tasks wait for any node while none is connected, and tasks without a deadline
            for a quorum.

    `has_mail` says that `frames` has something.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        entropy: Callable[[int], bytes],
        now_ns: int,
        mesh: bytes = b"",
        patience_ns: int = 10_000 * _MS,
    ) -> None:
        if not addresses:
            raise ValueError("addresses is empty; name at least one node as host:port")
        self._entropy = entropy
        self._patience_ns = patience_ns
        self.mesh = mesh
        self.shards = 0
        self.gateways = Gateways(addresses)
        self.calls = Calls(self.gateways, entropy=entropy, patience_ns=patience_ns, post=self._post)
        self.questions = Questions(self.gateways, self._post)
        self._outbox: Outbox[str] | None = None
        self._alone_since_ns = now_ns
        self.has_mail = False

    # -- what the connections report ------------------------------------------------------------------

    def start(self, now_ns: int) -> list[LinkEffect]:
        """Dials the given addresses."""
        return self._dial(now_ns)

    def received(self, now_ns: int, address: str, envelope: Envelope) -> list[LinkEffect]:
        """Takes the messages of one frame from the gateway at `address`."""
        gateway = self.gateways[address]
        gateway.unanswered = 0
        answered = self.calls.answered
        effects: list[LinkEffect] = []
        for message in envelope.messages:
            if type(message) is Answer:
                answered(message)
                continue
            match message:
                case Accepted(task=task):
                    self.calls.accepted(task)
                case Welcome() if gateway.phase is not Phase.DOWN:
                    effects += self._welcomed(now_ns, gateway, message)
                case Told():
                    self.questions.told(message)
                case Refused() if gateway.phase is not Phase.DOWN:
                    effects += self._refused(now_ns, gateway, message)
                case _:
                    pass  # nothing else is meant for a client, and an address that was hung up has no say
        self.calls.house(now_ns)
        return effects

    def lost(self, now_ns: int, address: str, trouble: Trouble) -> list[LinkEffect]:
        """The connection is gone, or was never made: its tasks go to another gateway."""
        gateway = self.gateways[address]
        if gateway.phase is Phase.DOWN:
            return []
        was_serving = bool(self.gateways.serving)
        self.gateways.moved(gateway, Phase.DOWN, now_ns)
        gateway.trouble = trouble
        self._note_loneliness(now_ns, was_serving=was_serving)
        self.calls.lost(gateway)
        self.calls.house(now_ns)
        self.questions.lost(gateway, trouble)
        return self._dial(now_ns)

    # -- time -----------------------------------------------------------------------------------------

    def due(self, now_ns: int) -> list[LinkEffect]:
        """Gives up on what is overdue, dials again, greets."""
        self.calls.due(now_ns)
        if not self.gateways.serving and now_ns >= self._alone_since_ns + self._patience_ns:
            self.calls.despair()
        self.gateways.is_short = self.gateways.is_short and bool(self.calls.unplaced.resting)
        effects: list[LinkEffect] = []
        for gateway in self.gateways.superfluous():
            self.gateways.moved(gateway, Phase.DOWN, now_ns)
            effects.append(HangUp(gateway.address))
        return effects + self._greet(now_ns) + self._dial(now_ns)

    def next_deadline_ns(self) -> int:
        """When `due` wants to be called; there is always a next time."""
        times = [self.calls.next_deadline_ns(), self.gateways.next_redial_ns()]
        if self.calls.unplaced and not self.gateways.serving:
            times.append(self._alone_since_ns + self._patience_ns)
        times += [
            gateway.greeted_ns + _GREET_EVERY_NS
            for gateway in self.gateways
            if gateway.phase is not Phase.DOWN
        ]
        return min(time for time in times if time is not None)

    def frames(self) -> Iterator[tuple[str, list[bytes]]]:
        """Encodes and forgets what waits to be sent: (address, frame) pairs."""
        self.has_mail = False
        return self._outbox.frames() if self._outbox is not None else iter(())

    # -- inside ---------------------------------------------------------------------------------------

    def _post(self, gateway: Gateway, message: Submit | Cancel | Ask | Hello) -> None:
        if self._outbox is not None:
            self.has_mail = True
            self._outbox.add(gateway.address, message)

    def _note_loneliness(self, now_ns: int, *, was_serving: bool) -> None:
        if was_serving and not self.gateways.serving:
            self._alone_since_ns = now_ns

    def _welcomed(self, now_ns: int, gateway: Gateway, welcome: Welcome) -> list[LinkEffect]:
        if self.mesh and welcome.mesh != self.mesh:
            text = (
                f"{gateway.address} is of mesh {welcome.mesh.hex()} and not of mesh {self.mesh.hex()}: "
                "give addresses of one mesh"
            )
            effects = self.lost(now_ns, gateway.address, Trouble(TroubleKind.MESH, text))
            return [HangUp(gateway.address), *effects]
        self.gateways.learn(welcome.peers)
        if self._outbox is None:
            self.mesh = welcome.mesh
            self.shards = self.calls.shards = welcome.shards
            self.calls.payload_bytes = welcome.payload_bytes
            limits = limits_for(welcome.payload_bytes)
            self._outbox = Outbox(mesh=welcome.mesh, sender="", boot=0, limits=limits)
        owned = tuple(shard for shard in welcome.owned if shard < self.shards)
        reachable = tuple(shard for shard in welcome.reachable if shard < self.shards)
        self.gateways.reaches(gateway, owned, reachable)
        if gateway.phase is not Phase.UP:
            # clients that come together shall not go from shard to shard together
            gateway.minted = int.from_bytes(self._entropy(2))
            self.gateways.moved(gateway, Phase.UP, now_ns)
        elif gateway.declines == "starting":
            self.gateways.declined(gateway, "")  # it may have found its mesh
        if gateway.owned or gateway.reachable:
            self.calls.unplaced.wake_for_news()
        return []

    def _refused(self, now_ns: int, gateway: Gateway, refused: Refused) -> list[LinkEffect]:
        """One task goes elsewhere; a gateway that leaves or starts keeps the others, and its connection."""
        call = self.calls.given_back(gateway, refused.task, may_be_known=refused.may_be_known)
        if refused.code == "no_quorum":
            if call is not None:
                self.gateways.lost_shard(gateway, shard_of_task(refused.task))
                self._ask_for_news(now_ns, gateway)
                self.calls.without_quorum(now_ns, call)
            return self._dial(now_ns)
        if call is not None:
            self.calls.unplaced.add(call)
        if refused.code not in _FOR_NOW:
            kind = TroubleKind.MESH if refused.code == "mesh_mismatch" else TroubleKind.REFUSED
            trouble = Trouble(kind, refused.message)
            return [HangUp(gateway.address), *self.lost(now_ns, gateway.address, trouble)]
        was_serving = bool(self.gateways.serving)
        self.gateways.declined(gateway, refused.code)
        self._note_loneliness(now_ns, was_serving=was_serving)
        if refused.code == "starting":
            gateway.greeted_ns = now_ns - _GREET_EVERY_NS + _ASK_AGAIN_NS
        return self._dial(now_ns)

    def _ask_for_news(self, now_ns: int, gateway: Gateway) -> None:
        """Has the gateway say again which shards it reaches; once for many tasks that it refuses at a time."""
        if now_ns >= gateway.news_ns:
            gateway.news_ns = now_ns + _NEWS_EVERY_NS
            self._post(gateway, Hello("client"))

    def _greet(self, now_ns: int) -> list[LinkEffect]:
        """Asks connected gateways for news, and leaves those that are silent if there are others to turn to.

        Silence is counted in greetings of ours, not in time: a program that blocks its own event loop for a while
        must not take all nodes for silent.
        """
        effects: list[LinkEffect] = []
        for gateway in list(self.gateways):
            if gateway.phase is Phase.DOWN or now_ns < gateway.greeted_ns + _GREET_EVERY_NS:
                continue
            is_silent = gateway.unanswered >= _SILENT_AFTER_GREETINGS and len(self.gateways) > 1
            if gateway.phase is Phase.DIALLING or is_silent:
                trouble = Trouble(
                    TroubleKind.SILENT, f"{gateway.address} accepts connections and says nothing"
                )
                effects += [HangUp(gateway.address), *self.lost(now_ns, gateway.address, trouble)]
                continue
            gateway.greeted_ns = now_ns
            gateway.unanswered += 1
            self._post(gateway, Hello("client"))
        return effects

    def _dial(self, now_ns: int) -> list[LinkEffect]:
        effects: list[LinkEffect] = []
        for gateway in self.gateways.to_dial(now_ns):
            self.gateways.moved(gateway, Phase.DIALLING, now_ns)
            effects.append(Dial(gateway.address))
        return effects
